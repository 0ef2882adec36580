"""The pipeline as a `transitions` machine: what is out of order is refused in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atomicstate.errors import ConflictError
from atomicstate.machine import table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


class Pipeline:
    """One transaction on its way through the states.

    `selected` are the actions that an apply is to bring in; `ready` tells of one whether it is
    durable in the log and its live step done or skipped: the guard of the first apply step.
    """

    state: str

    def __init__(
        self,
        mode: str,
        *,
        selected: Collection[int] = (),
        ready: Callable[[int], bool] = lambda _seq: True,
    ) -> None:
        from transitions import Machine

        self.mode = mode
        self._selected = selected
        self._ready = ready
        self._machine = Machine(
            model=self,
            states=list(table.STATES),
            initial=table.START[mode],
            transitions=_transitions(mode),
            auto_transitions=False,
            send_event=True,
        )

    def unready(self) -> list[int]:
        """The selected actions that the guard holds back."""
        return [seq for seq in self._selected if not self._ready(seq)]

    def all_ready(self, _event: Any) -> bool:  # noqa: ANN401 - the library's event
        """The guard: every selected action is durable, and live or not meant to be."""
        return not self.unready()

    def require(self, step: str) -> None:
        """Raises ConflictError, in a sentence, unless `step` is what may be done now."""
        if self._may(step):
            return
        unready = self.unready()
        if unready and step == table.steps(self.mode)[0]:
            names = ", ".join(f"#{seq}" for seq in unready)
            raise ConflictError(f"{names} can't be applied yet: the live step has not ended")
        expected = [name for name in table.steps(self.mode) if self._may(name)]
        then = f"; what comes next is {' or '.join(expected)}" if expected else ""
        raise ConflictError(f"{step} is out of order in the state {self.state}{then}")

    def done(self, step: str) -> None:
        """Go to the state that `step` leads to. Raises ConflictError where it is out of order."""
        self.require(step)
        getattr(self, step_trigger(step))()

    @property
    def past_pivot(self) -> bool:
        """Whether there is no way but forward."""
        return table.past_pivot(self.mode, self.state)

    def fail(self) -> None:
        """Go to `rolling_back`: a step before the pivot failed."""
        self._trigger("break_off")

    def undone(self) -> None:
        """Go back to where the transaction began."""
        self._trigger("go_back")

    def _may(self, step: str) -> bool:
        may = getattr(self, f"may_{step_trigger(step)}", None)
        return bool(may and may())

    def _trigger(self, name: str) -> None:
        if not getattr(self, f"may_{name}")():
            raise ConflictError(f"what has come to {self.state} can't be taken back any more")
        getattr(self, name)()


def step_trigger(step: str) -> str:
    """The machine's trigger for a step that is done."""
    return f"{step}_done"


def _transitions(mode: str) -> list[dict[str, Any]]:
    moves = [move for move in table.MOVES if move.mode == mode]
    rows: list[dict[str, Any]] = [
        {"trigger": step_trigger(move.step), "source": move.source, "dest": move.target}
        for move in moves
    ]
    if mode in (table.APPLY, table.DEPLOY):
        rows[0]["conditions"] = "all_ready"
    sources = dict.fromkeys(move.source for move in moves)
    before_pivot = [source for source in sources if not table.past_pivot(mode, source)]
    rows.append({"trigger": "break_off", "source": before_pivot, "dest": table.ROLLING_BACK})
    rows.append({"trigger": "go_back", "source": table.ROLLING_BACK, "dest": table.START[mode]})
    return rows
