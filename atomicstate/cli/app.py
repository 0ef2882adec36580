"""One call of the command: where the log is, who acts, and how the answer is given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomicstate.cli.failures import Told, as_data, as_error
from atomicstate.cli.terminal import Look, can_ask, clean, look_of
from atomicstate.errors import CanceledError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atomicstate.cli.progress import Reporting
    from atomicstate.engine.session import Session

STATE_DIR = "/var/lib/atomicstate"


class App:
    """What all commands share. `format` is text, json or jsonl."""

    def __init__(self, state_dir: Path, sandbox: Path | None, *, verbose: bool = False) -> None:
        self.state_dir = state_dir
        self.sandbox = sandbox
        self.verbose = verbose
        self.format = "text"
        self.yes = False
        self.verb = ""
        self.options: tuple[str, ...] = ()

    @property
    def json(self) -> bool:
        """Whether the answer is for a program."""
        return self.format != "text"

    @property
    def look(self) -> Look:
        """How standard output draws."""
        return look_of(sys.stdout)

    def session(self) -> Session:
        """The engine's hold on this log and host, as the person who calls."""
        from atomicstate.engine.actor import current_actor
        from atomicstate.engine.session import Session

        return Session(self.state_dir, self.sandbox, current_actor(self.verb, self.options))

    def reporting(self) -> Reporting:
        """Who shows how a run goes on, as a context manager."""
        from atomicstate.cli.progress import reporting

        return reporting(verbose=self.verbose)

    # -- asking --------------------------------------------------------------------------------

    def must_ask(self) -> None:
        """Refuse early where a question will have to be put and nobody can answer it."""
        if not self.yes and not can_ask():
            raise ValidationError(
                f"`{self.verb}` asks before it changes anything, and there is no terminal here",
                hint="add -y to agree beforehand; nothing was changed",
            )

    def ask(self, question: str) -> None:
        """Go on if the person agrees (or did, by -y). Raises CanceledError otherwise."""
        if self.yes:
            return
        self.must_ask()
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CanceledError("canceled: nothing was changed", hint="")

    # -- answering -----------------------------------------------------------------------------

    def answer(self, data: Callable[[], Any], text: Callable[[Look], str]) -> None:
        """Give the answer: `data` in the envelope, or `text`. Only one of them is made."""
        if self.json:
            envelope(data(), None)
        else:
            say(text(self.look))

    def show(self, text: Callable[[Look], str]) -> None:
        """Show what a question is about: beside the answer, where that is for a program."""
        if not self.json:
            say(text(self.look))
        elif not self.yes:
            sys.stderr.write(text(look_of(sys.stderr)).rstrip("\n") + "\n")

    def note(self, sentence: str) -> None:
        """Say something beside the answer, on standard error."""
        sys.stderr.write(look_of(sys.stderr).paint(clean(sentence), "dim") + "\n")


def say(text: str) -> None:
    """Write `text` to standard output, with one newline at its end."""
    sys.stdout.write(text.rstrip("\n") + "\n" if text else "")


def envelope(data: Any, error: dict[str, str] | None) -> None:  # noqa: ANN401 - any JSON value
    """Write the JSON envelope to standard output."""
    write_bytes(_encode({"data": data, "error": error}) + b"\n")


def write_bytes(content: bytes) -> None:
    """Write `content` to standard output, after what was written as text before."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def stream_items(name: str, items: Iterable[Any]) -> None:
    """Write an envelope whose `data` is a list under `name`, item by item.

    What is raised before the first item goes on, with nothing written. Later the list is
    closed, the envelope gets the error beside it, and `Told` is raised: the part that could be
    read is worth more than none.
    """
    iterator: Iterator[Any] = iter(items)
    first = next(iterator, _END)
    out = sys.stdout.buffer
    sys.stdout.flush()
    out.write(b'{"data":{' + _encode(name) + b":[")
    error = None
    try:
        if first is not _END:
            out.write(_encode(first))
            for item in iterator:
                out.write(b"," + _encode(item))
    except BrokenPipeError:
        raise
    except BaseException as exception:
        error = as_error(exception)
        raise Told(error) from exception
    finally:
        out.write(b']},"error":' + _encode(as_data(error) if error else None) + b"}\n")
        out.flush()


def stream_lines(items: Iterable[Any]) -> None:
    """Write each item as one line of JSON."""
    out = sys.stdout.buffer
    sys.stdout.flush()
    for item in items:
        out.write(_encode(item) + b"\n")
    out.flush()


_END = object()


def _encode(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    import msgspec

    return msgspec.json.encode(value)
