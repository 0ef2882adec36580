"""From an argument vector to an exit status: the one place where errors become words."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from atomicstate import interrupts
from atomicstate.cli.app import encoded, envelope
from atomicstate.cli.failures import Told, as_data, as_error, tell, unheard, wants_json
from atomicstate.cli.root import root
from atomicstate.errors import AtomicstateError, CanceledError

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_and_exit() -> NoReturn:
    """Run the command of this process, and exit.

    Without Python's own tidying up, a fifth of a short command's time: whatever has an end of its
    own (the log, locks, children) was closed by the command, and the streams are flushed here.
    """
    status = 0
    try:
        interrupts.install()
        if wants_json(sys.argv[1:]):
            interrupts.answer_with(lambda words: encoded(None, as_data(CanceledError(words))))
        _open_streams()
        status = dispatch(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone, and knows it: no error.
        status = 0
    except KeyboardInterrupt:
        status = CanceledError.exit_status
    except OSError as error:
        # Where the run failed before, that was told, and counts.
        status = status or _fail_unheard(error)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def _open_streams() -> None:
    """Make standard output and error fit for any text; a closed one leads nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, "w")))
        else:
            # A path or a name may hold bytes that the locale has no character for.
            stream.reconfigure(errors="backslashreplace", line_buffering=False)


def _fail_unheard(error: OSError) -> int:
    failed = unheard(error)
    with contextlib.suppress(OSError):
        tell(failed)
    return failed.exit_status


def dispatch(argv: Sequence[str]) -> int:
    """Run the command `argv`, and return its exit status. BrokenPipeError goes through."""
    words = list(argv)
    try:
        with root.make_context("atomicstate", words) as context:
            status = root.invoke(context)
            return status if isinstance(status, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except BrokenPipeError:
        raise
    except click.exceptions.NoArgsIsHelpError as error:
        return _incomplete(error, argv)
    except BaseException as exception:
        return _fail(exception, argv)


def _incomplete(error: click.UsageError, argv: Sequence[str]) -> int:
    """A group's name alone: its help, where a person reads it."""
    if wants_json(argv):
        return _fail(click.UsageError("a command is missing", ctx=error.ctx), argv)
    sys.stderr.write(error.format_message() + "\n")
    return error.exit_code


def _fail(exception: BaseException, argv: Sequence[str]) -> int:
    if isinstance(exception, SystemExit):
        raise exception
    error = as_error(exception)
    if isinstance(exception, Told):
        return error.exit_status
    try:
        if wants_json(argv):
            envelope(None, as_data(error))
        else:
            sys.stdout.flush()
            tell(error)
    except (AtomicstateError, OSError) as unwritable:
        if isinstance(unwritable, BrokenPipeError):
            raise
        tell(as_error(unwritable))
    if error.code == "INTERNAL" and _is_verbose(argv):
        import traceback

        traceback.print_exception(exception, file=sys.stderr)
    return error.exit_status


def _is_verbose(argv: Sequence[str]) -> bool:
    return any(word in ("-v", "--verbose") for word in argv)
