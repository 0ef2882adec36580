"""One call of the command: where the log is, who acts, and how the answer is given."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from atomicstate.cli.failures import Told, as_data, as_error, unheard
from atomicstate.cli.terminal import Look, can_ask, clean, is_terminal, look_of
from atomicstate.errors import CanceledError, ValidationError
from atomicstate.interrupts import ctrl_c_left_alone

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
        self.wait = False
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
        """The engine's hold on this log and host, as the person who calls.

        With --wait, once no other run of the pipeline is under way.
        """
        from atomicstate.engine.actor import current_actor
        from atomicstate.engine.session import Session

        self._need_sandbox()
        session = Session(self.state_dir, self.sandbox, current_actor(self.verb, self.options))
        if self.wait:
            session.await_pipeline(lambda holder: self.note(f"waiting for {holder}"))
        return session

    def _need_sandbox(self) -> None:
        """Where there is no log, because there is no sandbox, that is what is said."""
        if self.sandbox is not None and not self.state_dir.exists():
            from atomicstate.host.sandbox.layout import open_sandbox

            open_sandbox(self.sandbox)

    def reporting(self) -> Reporting:
        """Who shows how a run goes on, as a context manager."""
        from atomicstate.cli.progress import reporting

        return reporting(verbose=self.verbose)

    def reboot_words(self) -> str:
        """How what boots next is started, as the end of a sentence."""
        if self.sandbox is None:
            return "reboot to start it"
        return f"`atomicstate sandbox reboot {clean(str(self.sandbox))}` starts it"

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

    def answer(
        self, data: Callable[[], Any], text: Callable[[Look], str], *, paged: bool = False
    ) -> None:
        """Give the answer: `data` in the envelope, or `text`. Only one of them is made.

        `paged`: it may be long, and is to be read.
        """
        if self.json:
            envelope(data(), None)
        elif paged:
            self.page(text(self.look))
        else:
            say(text(self.look))

    def page(self, text: str) -> None:
        """Write `text`; what is longer than the terminal goes through the person's pager."""
        if 0 < self.look.height <= text.count("\n") + 1 and is_terminal(sys.stdin):
            import click

            with ctrl_c_left_alone(), writing():
                click.echo_via_pager(text.rstrip("\n"))
        else:
            say(text)

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
    with writing():
        sys.stdout.write(text.rstrip("\n") + "\n" if text else "")


def encoded(data: Any, error: dict[str, Any] | None) -> bytes:  # noqa: ANN401 - any JSON value
    """The JSON envelope."""
    return _encode({"data": data, "error": error}) + b"\n"


def envelope(data: Any, error: dict[str, Any] | None) -> None:  # noqa: ANN401 - any JSON value
    """Write the JSON envelope to standard output."""
    content = encoded(data, error)
    with writing() as out:
        out.write(content)
        out.flush()


@contextmanager
def writing() -> Iterator[IO[bytes]]:
    """Standard output for bytes, after what was written as text before.

    Raises the product's error where it takes no more (a full disk behind it, say);
    BrokenPipeError goes through.
    """
    try:
        sys.stdout.flush()
        yield sys.stdout.buffer
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unheard(error) from error


class ItemStream:
    """An envelope whose `data` is a list under one name, written item by item: for `with`.

    What is raised before the first item goes on, with nothing written. Later the list is
    closed, the envelope gets the error beside it, and `Told` is raised: the part that could be
    read is worth more than none.
    """

    def __init__(self, name: str) -> None:
        self._before = b'{"data":{' + _encode(name) + b":["
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def write(self, item: bytes) -> None:
        """Add an item, as JSON."""
        sys.stdout.buffer.write(self._before + item)
        self._before, self._begun = b",", True

    def __exit__(self, _kind: object, exception: BaseException | None, _traceback: object) -> None:
        if isinstance(exception, BrokenPipeError) or (exception and not self._begun):
            return
        error = as_error(exception) if exception else None
        told = _encode(as_data(error) if error else None)
        before = b"" if self._begun else self._before
        sys.stdout.buffer.write(before + b']},"error":' + told + b"}\n")
        sys.stdout.buffer.flush()
        if error is not None:
            raise Told(error) from exception


def stream_items(name: str, items: Iterable[Any]) -> None:
    """Write an envelope whose `data` is a list under `name` (see ItemStream)."""
    with writing(), ItemStream(name) as stream:
        for item in items:
            stream.write(_encode(item))


def stream_lines(items: Iterable[Any]) -> None:
    """Write each item as one line of JSON."""
    with writing() as out:
        for item in items:
            out.write(_encode(item) + b"\n")
        out.flush()


def _encode(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    import msgspec

    return msgspec.json.encode(value)
