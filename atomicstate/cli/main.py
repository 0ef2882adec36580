"""The entry: signals, the one place where errors become words and exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from atomicstate.cli import signals
from atomicstate.cli.failures import Told, as_data, as_error, tell, wants_json
from atomicstate.cli.root import root

if TYPE_CHECKING:
    from collections.abc import Sequence


def run() -> NoReturn:
    """Run the command of this process, and exit.

    Without Python's own tidying up, a fifth of a short command's time: whatever has an end of its
    own (the log, locks, children) was closed by the command, and the streams are flushed here.
    """
    signals.install()
    for stream in (sys.stdout, sys.stderr):
        # A path or a name may hold bytes that the locale has no character for.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace", line_buffering=False)
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        status = _reader_left()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def main(argv: Sequence[str]) -> int:
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
    if wants_json(argv):
        from atomicstate.cli.app import envelope

        if not isinstance(exception, Told):
            envelope(None, as_data(error))
    else:
        sys.stdout.flush()
        tell(error)
    if error.code == "INTERNAL" and _is_verbose(argv):
        import traceback

        traceback.print_exception(exception, file=sys.stderr)
    return error.exit_status


def _is_verbose(argv: Sequence[str]) -> bool:
    return any(word in ("-v", "--verbose") for word in argv)


def _reader_left() -> int:
    """Whoever read our output has gone: that is no error, and Python shall not complain at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return 0
