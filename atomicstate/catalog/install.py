"""One run of libapt's package manager: dpkg, in an order that works, with progress."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from atomicstate.catalog.errors import sentences
from atomicstate.catalog.libapt import apt_pkg
from atomicstate.catalog.protocol import Progress, ScriptError
from atomicstate.errors import NoSpaceError

if TYPE_CHECKING:
    from atomicstate.catalog.fetch import Report
    from atomicstate.catalog.libapt import PackageManager

_STATUS = re.compile(r"pm(status|error):(.*?):\s*(\d+(?:\.\d*)?):(.*)")
_RAISED = "raised:"


def run(manager: PackageManager, report: Report, share_before: float) -> None:
    """Do what is marked. `share_before` is the percentage where it begins.

    Raises ScriptError naming the package that failed first, NoSpaceError.
    """
    apt = apt_pkg()
    source, sink = os.pipe()
    # dpkg takes the inner lock itself; the outer one stays ours, so nobody comes between.
    apt.pkgsystem_unlock_inner()
    try:
        child = os.fork()
        if child == 0:
            os.close(source)
            _do_install(manager, sink)
        os.close(sink)
        errors = _follow(source, report, share_before)
        _pid, status = os.waitpid(child, 0)
    finally:
        apt.pkgsystem_lock_inner()
    if status == 0 and not errors:
        return
    said = errors[0] if errors else "dpkg did not end as it should"
    if any("No space left on device" in error for error in errors):
        raise NoSpaceError(said)
    raise ScriptError(said)


def _do_install(manager: PackageManager, sink: int) -> None:
    """In the child, which never returns: libapt blocks while dpkg runs."""
    status = 1
    try:
        status = manager.do_install(sink)
    except BaseException as error:  # whatever it is, it must end here
        text = " ".join(str(error).split())
        os.write(sink, f"{_RAISED}{text}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def _follow(source: int, report: Report, share_before: float) -> list[str]:
    """Report each line of libapt's progress until its end; what failed, the first cause first."""
    errors: list[str] = []
    raised: list[str] = []
    with os.fdopen(source, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith(_RAISED):
                raised.append(sentences(line.removeprefix(_RAISED).strip()))
                continue
            match = _STATUS.match(line)
            if match is None:
                continue
            kind, package, percent, message = match.groups()
            if kind == "error":
                errors.append(failure_message(package.strip(), message.strip()))
            else:
                part = min(float(percent), 100.0) / 100
                now = share_before + part * (100 - share_before)
                report(Progress(now, message.strip(), _bare(package)))
    return errors or raised


def _bare(package: str) -> str:
    """The package's name: libapt names an archive's path, or `name:architecture`, at times."""
    name = package.rpartition("/")[2].partition("_")[0].partition(":")[0]
    return "" if name == "dpkg-exec" else name


def failure_message(package: str, message: str) -> str:
    """`jq failed: installed jq package post-installation script ...`."""
    name = _bare(package)
    if not name:
        return f"dpkg failed: {message}"
    return f"{name} failed: {message}"
