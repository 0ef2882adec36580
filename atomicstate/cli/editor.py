"""A person's own editor, on a copy of a text."""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.cli.terminal import can_ask
from atomicstate.errors import AtomicstateError, HostError, ValidationError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_STANDARD = "vi"
_HINT = "set EDITOR to the editor that you want"


class Draft:
    """A text that is being edited, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def edit(self) -> bytes:
        """Open the editor, and return what is in the file when it has ended.

        Raises ValidationError, HostError where the editor can't be started or failed.
        """
        from atomicstate import process

        words = _editor()
        status = process.foreground([*words, self.path])
        if status != 0:
            raise HostError(f"{words[0]} exited {status}: nothing was changed")
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise from_os_error(error, "read", self.path) from error


@contextmanager
def draft(content: bytes, name: str) -> Iterator[Draft]:
    """A draft that begins as `content`. It is gone in the end, but what was written and could not
    be used is kept: the error says where.
    """
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="atomicstate-"))
    made = Draft(folder / name)
    try:
        made.path.write_bytes(content)
        yield made
    except AtomicstateError as error:
        if made.path.is_file() and made.path.read_bytes() != content:
            kept = f"what you wrote is in {made.path}"
            error.hint = f"{error.hint}; {kept}" if error.hint else kept
            raise
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def must_edit() -> None:
    """Raises ValidationError where nobody can edit anything."""
    if not can_ask():
        raise ValidationError(
            "an editor needs a terminal, and there is none here: nothing was changed",
            hint="`atomicstate config show >FILE`, change that, `atomicstate config import FILE`",
        )
    _editor()


def _editor() -> list[str]:
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _STANDARD
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValidationError(f"{text!r} is no command: {error}", hint=_HINT) from error
    if not words:
        raise ValidationError(f"{text!r} names no editor", hint=_HINT)
    return words
