"""Each cell of the recovery table, as `resume` carries it out, over a host in memory.

A command is killed with a step's intent in the log and its outcome not; what happens meanwhile
makes the host answer what the cell is about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from atomicstate import failpoints
from atomicstate.engine import apply, packages, prune, rollback, undo, unfinished, withdraw
from atomicstate.engine.results import Silent
from atomicstate.errors import UnclearError
from atomicstate.host.ports import OverlayState
from atomicstate.machine import recovery
from atomicstate.projectors.pending import pending as pending_in
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import adopted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.sessions import Machine

SILENT = Silent()


# -- commands, and what goes before them -------------------------------------------------------


def add_live(session):
    return packages.carry_out(session, packages.propose(session, "add", ("jq",), live=True), SILENT)


def record(name):
    def work(session):
        proposal = packages.propose(session, "add", (name,), live=False)
        return packages.carry_out(session, proposal, SILENT)

    return work


def undo_live(session):
    proposal = undo.propose(session, undo.UNDO, ["HEAD"])
    return undo.carry_out(session, proposal, SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def go_back(session):
    return rollback.carry_out(session, rollback.propose(session), SILENT)


def let_into_etc(session):
    return withdraw.withdraw(session, SILENT)


def throw_away(session):
    return prune.carry_out(session, prune.propose(session, 0), SILENT)


def nothing(_machine: Machine) -> None:
    """It is as it was."""


def pending(machine: Machine) -> None:
    machine.command(record("jq"))


def booted(machine: Machine, *names: str) -> None:
    for name in names or ("jq",):
        machine.command(record(name))
        machine.command(apply_all)
        machine.host.reboot()


def queued(machine: Machine) -> None:
    booted(machine)
    machine.command(go_back)
    machine.command(record("tree"))


def staged(machine: Machine) -> None:
    pending(machine)
    machine.command(apply_all)


def added_live(machine: Machine) -> None:
    machine.command(add_live)


def staged_live(machine: Machine) -> None:
    machine.command(add_live)
    machine.command(apply_all)


def useless(machine: Machine) -> None:
    booted(machine, "jq", "tree", "hello", "nano")


# -- what happens meanwhile --------------------------------------------------------------------


def reboot(machine: Machine) -> None:
    machine.host.reboot()


def read_only_overlay(machine: Machine) -> None:
    shown = machine.host.state
    read_only = OverlayState(active=True, writable=False)
    machine.host.state = lambda plan=None: shown(plan) if plan else read_only


def half_a_change(machine: Machine) -> None:
    machine.host.overlay_on = True
    machine.host.tree.add("jq")


def half_taken_back(machine: Machine) -> None:
    machine.host.tree.remove("jq")


def something_foreign_staged(machine: Machine) -> None:
    image = machine.host._image("elsewhere/image:1", {}, frozenset({"bash"}))
    machine.host.deployments["staged"] = machine.host._deployment(image)


def booted_elsewhere(machine: Machine) -> None:
    something_foreign_staged(machine)
    machine.host.reboot()


def edited_recipe(machine: Machine) -> None:
    (machine.directory / "recipe/image.yml").write_text("image: my/own:1\nmodules: []\n")


def one_removed(machine: Machine) -> None:
    prunable = next(iter(machine.command(lambda s: prune._unused(s, s.system(), 0))))
    machine.host.remove_image(prunable.id)


# -- the cells ---------------------------------------------------------------------------------


class Cell(NamedTuple):
    """`step` answers `answer`, so `decision`: of `command`, after `before`, killed with the effect
    `done` or not, and then `meanwhile`.
    """

    step: str
    answer: str
    decision: str
    command: Callable
    done: bool = False
    before: Callable = nothing
    meanwhile: Callable = nothing

    def __str__(self) -> str:
        undone = " (undo)" if self.command is undo_live else ""
        return f"{self.step}{undone}: {self.answer}, so {self.decision}"


DONE, ABSENT, PARTIAL, GONE, OTHER = "done", "absent", "partial", "gone", "other"
ADOPT, DO, FINISH, SKIP, ASK = "adopt", "do", "finish", "skip", "ask"

CELLS = (
    Cell("overlay", DONE, ADOPT, add_live, done=True),
    Cell("overlay", ABSENT, DO, add_live),
    Cell("overlay", GONE, SKIP, add_live, meanwhile=reboot),
    Cell("overlay", OTHER, ASK, add_live, meanwhile=read_only_overlay),
    Cell("live", DONE, ADOPT, add_live, done=True),
    Cell("live", ABSENT, FINISH, add_live),
    Cell("live", PARTIAL, FINISH, add_live, meanwhile=half_a_change),
    Cell("live", GONE, SKIP, add_live, done=True, meanwhile=reboot),
    Cell("config", DONE, ADOPT, apply_all, done=True, before=pending),
    Cell("config", ABSENT, DO, apply_all, before=pending),
    Cell("containerfile", DONE, ADOPT, apply_all, done=True, before=pending),
    Cell("containerfile", ABSENT, DO, apply_all, before=pending),
    Cell("build", DONE, ADOPT, apply_all, done=True, before=pending),
    Cell("build", ABSENT, DO, apply_all, before=pending),
    Cell("unqueue", DONE, ADOPT, apply_all, done=True, before=queued),
    Cell("unqueue", ABSENT, DO, apply_all, before=queued),
    Cell("unqueue", OTHER, ASK, apply_all, before=queued, meanwhile=booted_elsewhere),
    Cell("switch", DONE, ADOPT, apply_all, done=True, before=pending),
    Cell("switch", ABSENT, DO, apply_all, before=pending),
    Cell("switch", OTHER, ASK, apply_all, before=pending, meanwhile=something_foreign_staged),
    Cell("promote", DONE, ADOPT, apply_all, done=True, before=pending),
    Cell("promote", ABSENT, DO, apply_all, before=pending),
    Cell("promote", OTHER, SKIP, apply_all, before=pending, meanwhile=edited_recipe),
    Cell("rollback", DONE, ADOPT, go_back, done=True, before=booted),
    Cell("rollback", ABSENT, DO, go_back, before=booted),
    Cell("rollback", OTHER, ASK, go_back, before=booted, meanwhile=something_foreign_staged),
    Cell("unstage", DONE, ADOPT, go_back, done=True, before=staged),
    Cell("unstage", ABSENT, DO, go_back, before=staged),
    Cell("unstage", GONE, SKIP, go_back, before=staged, meanwhile=reboot),
    Cell("withdraw", DONE, ADOPT, let_into_etc, done=True, before=staged_live),
    Cell("withdraw", ABSENT, DO, let_into_etc, before=staged_live),
    Cell("withdraw", GONE, SKIP, let_into_etc, before=staged_live, meanwhile=reboot),
    Cell("prune", DONE, ADOPT, throw_away, done=True, before=useless),
    Cell("prune", PARTIAL, FINISH, throw_away, before=useless, meanwhile=one_removed),
    Cell("prune", ABSENT, DO, throw_away, before=useless),
)


UNDO_CELLS = (
    # Of an undo taking back is the step: what is absent of the plan is done of it.
    Cell("live", DONE, ADOPT, undo_live, done=True, before=added_live),
    Cell("live", ABSENT, FINISH, undo_live, before=added_live),
    Cell("live", PARTIAL, FINISH, undo_live, before=added_live, meanwhile=half_taken_back),
    Cell("live", GONE, SKIP, undo_live, before=added_live, meanwhile=reboot),
)
"""The row `live` again. An undo has no intent for `overlay`: without one it takes nothing back."""


def said(cells: tuple[Cell, ...]) -> list[tuple[str, str, str]]:
    return sorted((cell.step, cell.answer, cell.decision) for cell in cells)


def test_every_cell_is_here_and_says_what_the_table_says() -> None:
    table = [
        (step, answer, decision)
        for step, row in recovery.RESUME.items()
        for answer, decision in row.items()
    ]
    assert said(CELLS) == sorted(table)
    assert said(UNDO_CELLS) == sorted(row for row in table if row[0] == "live")


@pytest.fixture
def reached(monkeypatch):
    """The crash points in the order in which they are reached; `kill` in it is the deadly one."""

    class Reached(list):
        kill = ""

    points = Reached()

    def reach(name: str) -> None:
        points.append(name)
        if name == points.kill:
            raise Crash

    monkeypatch.setattr(failpoints, "reach", reach)
    return points


@pytest.mark.parametrize("cell", CELLS + UNDO_CELLS, ids=str)
def test_a_step_whose_outcome_is_not_known(tmp_path, reached, cell) -> None:
    machine = adopted(tmp_path / "state", fake_host())
    cell.before(machine)
    reached.kill = f"{cell.step}.{'done' if cell.done else 'started'}"
    machine.killed(cell.command)
    cell.meanwhile(machine)
    reached.kill = ""
    reached.clear()
    position = len(machine.events())
    calls = len(machine.host.calls)

    if cell.decision == ASK:
        with pytest.raises(UnclearError, match=f"the step {cell.step} was interrupted"):
            machine.command(lambda s: unfinished.resume(s, SILENT))
        assert outcomes(machine, position, cell.step) == []
        assert [item.step for item in machine.command(unfinished.found)] == [cell.step]
        return

    machine.command(lambda s: unfinished.resume(s, SILENT))
    ended = {SKIP: "step.skipped"}.get(cell.decision, "step.done")
    assert outcomes(machine, position, cell.step) == [ended]
    # Only what is to be done is done: this point comes after a step's effect.
    assert reached.count(f"{cell.step}.done") == (cell.decision in (DO, FINISH))
    if cell.step == "live":
        overlay_as_decided(machine, cell, machine.host.calls[calls:])
    assert machine.command(unfinished.found) == []


def overlay_as_decided(machine: Machine, cell: Cell, calls: list[str]) -> None:
    """Only what was missing was done, and the packages are there, or not, as the log says."""
    undoes = cell.command is undo_live
    finishes = {"revert" if undoes else "finish"}
    changing = {"carry_out", "finish", "revert"} & set(calls)
    assert changing == (finishes if cell.decision == FINISH else set())
    there = not undoes and cell.decision != SKIP
    assert {"jq", "oniguruma"} & machine.host.tree == ({"jq", "oniguruma"} if there else set())
    assert machine.kinds()[-1] == ("wanted.changed" if undoes else "package.added")
    wanted = machine.command(lambda s: [item.names for item in pending_in(s.system())])
    assert wanted == ([] if undoes else [("jq",)])


def outcomes(machine: Machine, position: int, step: str) -> list[str]:
    """The kinds of the events about `step` that came after the first `position`."""
    kinds = machine.kinds()
    events = machine.events()
    return [
        kinds[place]
        for place in range(position, len(events))
        if kinds[place].startswith("step.") and events[place].body.step == step
    ]
