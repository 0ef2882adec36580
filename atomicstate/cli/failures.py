"""Every exception as an error of the product, and how it is told."""

from __future__ import annotations

import errno
import sys
from typing import TYPE_CHECKING, Any

import click

from atomicstate.cli.terminal import clean, look_of
from atomicstate.errors import (
    AtomicstateError,
    CanceledError,
    HostError,
    NoSpaceError,
    ValidationError,
    from_os_error,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class Told(Exception):  # noqa: N818 - it carries an error, it is none of its own
    """The answer on standard output holds this error already."""

    def __init__(self, error: AtomicstateError) -> None:
        super().__init__(error.message)
        self.error = error


def as_error(exception: BaseException) -> AtomicstateError:
    """`exception` as an error of the product; INTERNAL for what nobody foresaw."""
    if isinstance(exception, Told):
        return exception.error
    if isinstance(exception, AtomicstateError):
        return exception
    if isinstance(exception, KeyboardInterrupt | click.Abort | EOFError):
        return CanceledError("canceled")
    if isinstance(exception, click.ClickException):
        return _usage(exception)
    return _unforeseen(exception)


def unheard(error: OSError) -> AtomicstateError:
    """The answer could not be written: a full disk behind a redirection, say."""
    failed = from_os_error(error, "write to", "standard output")
    failed.hint = "what the command did stays done: `atomicstate log` tells"
    return failed


def _unforeseen(exception: BaseException) -> AtomicstateError:
    if isinstance(exception, MemoryError):
        return NoSpaceError("there is not enough memory", hint="free some and try again")
    if isinstance(exception, OSError) and exception.filename is not None:
        return from_os_error(exception, "work with", str(exception.filename))
    if isinstance(exception, OSError) and exception.errno == errno.ENOSPC:
        return NoSpaceError("there is no space left")
    if isinstance(exception, OSError):
        return HostError(f"a system call failed: {exception.strerror or exception}")
    return AtomicstateError(
        f"this is a bug in atomicstate ({type(exception).__name__}: {exception})",
        hint="run the command again with -v and report what it shows",
    )


def _usage(exception: click.ClickException) -> ValidationError:
    """A usage error: click's sentence, and where to read on."""
    message = exception.format_message()
    context = getattr(exception, "ctx", None)
    if context is None:
        return ValidationError(message)
    return ValidationError(message, hint=f"`{context.command_path} --help` tells how to use it")


def wants_json(argv: Sequence[str]) -> bool:
    """Whether `argv` asks for JSON, even where it can't be parsed otherwise.

    What follows `--` is another program's.
    """
    words = list(argv)
    if "--" in words:
        words = words[: words.index("--")]
    for index, word in enumerate(words):
        if word in ("-f", "--format") and words[index + 1 : index + 2] in (["json"], ["jsonl"]):
            return True
        if word in ("-fjson", "-fjsonl", "--format=json", "--format=jsonl"):
            return True
    return False


def as_data(error: AtomicstateError) -> dict[str, Any]:
    """The `error` of an envelope."""
    return {
        **error.details,
        "errorCode": error.code,
        "message": _encodable(error.message),
        "hint": _encodable(error.hint),
    }


def tell(error: AtomicstateError) -> None:
    """Say on standard error what happened, and in a second line what to do."""
    look = look_of(sys.stderr)
    # A tool's last words come on several lines: each is cleaned, those after the first set in.
    first, *rest = error.message.splitlines() or [""]
    lines = [look.paint("error:", "error") + " " + clean(first)]
    lines += ["  " + look.paint(clean(line), "dim") for line in rest if line.strip()]
    if error.hint:
        lines.append(look.paint("hint:", "bold") + " " + clean(error.hint))
    sys.stderr.write("\n".join(lines) + "\n")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
