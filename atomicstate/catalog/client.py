"""The catalog: what the rest of the product asks about packages, and has done to them.

Every call that needs libapt runs one worker of its own (worker.py), in the host's tree. So no
lock is held between calls, no view of the tree grows old, and nothing outlives a call.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from atomicstate import failpoints
from atomicstate.catalog import dpkg, protocol
from atomicstate.catalog.boot import is_boot_package
from atomicstate.catalog.dpkg import PlanState
from atomicstate.catalog.names import validate_names
from atomicstate.catalog.protocol import Progress, Request
from atomicstate.catalog.residue import Survey
from atomicstate.errors import AptError, HostError, ValidationError
from atomicstate.events.plan import Plan
from atomicstate.process import (
    LIMIT_HINT,
    ToolError,
    kill_group,
    python_path,
    run,
    start,
    time_limit,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["TIME_LIMIT", "Catalog", "PlanState", "Progress"]

TIME_LIMIT = 1800.0
"""Seconds that one call may take, unless the user set another limit (process.time_limit)."""

_QUERY_LIMIT = 60.0
_END_LIMIT = 10.0
_TAIL_BYTES = 16384
_TAIL_LINES = 10
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Mounts and processes of the worker's own: the kernel takes both away when it ends.
_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


class Catalog:
    """The packages of one host's tree.

    `enter` is what enters the mount namespace of the running tree (empty: this process's own),
    `root` where the tree lies in it. What a call says about packages is so at that moment.
    """

    def __init__(self, enter: Sequence[str], root: Path) -> None:
        self._enter = tuple(enter)
        self._root = root

    def resolve(
        self,
        install: Sequence[str],
        remove: Sequence[str],
        *,
        given_install: Sequence[str] = (),
        given_remove: Sequence[str] = (),
        versions: Mapping[str, str] | None = None,
        unclean: bool = False,
        bare: bool = False,
    ) -> Plan:
        """What installing and removing these names does, on top of the tree and what is given.

        `given_*` are pending wishes that are not in the tree; the plan holds only what comes on
        top of them, and is empty where that is nothing. A package that is installed is upgraded
        where a newer version is offered, as apt does. Nothing is removed for being unused.

        `versions` are those that names (`name` or `name:architecture`) shall have where they are
        offered still. With `unclean` a tree whose last change was cut short is taken as it is:
        for a plan that is not to be carried out in it. With `bare` the tree is seen without the
        overlay on its /usr, which must be there.

        Raises ValidationError, NotFoundError naming every unknown name, LockedError, and AptError
        for what can't be: with libapt's reasons, or because the system needs what would go.
        """
        both = set(install) & set(remove)
        if both:
            raise ValidationError(f"{sorted(both)[0]!r} is to be installed and to be removed")
        request = Request(
            "resolve",
            install=validate_names(install),
            remove=validate_names(remove),
            given_install=validate_names(given_install),
            given_remove=validate_names(given_remove),
            versions=dict(versions or {}),
            unclean=unclean,
            bare=bare,
        )
        answer = self._ask(request, _ignore)
        if not isinstance(answer, protocol.Resolved):
            raise AptError("the package worker gave no plan")
        return answer.plan

    def carry_out(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        """Do exactly `plan`: these versions, these archives, no other package.

        No question is asked (configuration that was changed by hand stays), no service is started.
        Raises AptError, with the package that failed and dpkg's last words, or where tree or
        package lists are not those of the plan any more; LockedError, NotPermittedError,
        NoSpaceError. Then `state` says what is there.
        """
        self._change(Request("carry-out", plan), on_progress)

    def finish(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        """Go on with `plan` where a killed run stopped. Raises as `carry_out` does."""
        self._change(Request("finish", plan), on_progress)

    def revert(self, plan: Plan, on_progress: Callable[[Progress], None]) -> None:
        """Bring every package of `plan` to what it was before, however far the plan came.

        What it installed is purged; what it replaced or removed comes back from the archives. A
        script that fails is set aside. A plan of which nothing is there is no error. Raises
        AptError naming what could not be taken back.
        """
        self._change(Request("revert", plan), on_progress)

    def update(self, on_progress: Callable[[Progress], None]) -> None:
        """Fetch the package lists. Raises AptError with the reasons; old lists stay in place."""
        self._ask(Request("update"), on_progress)

    def state(self, plan: Plan) -> PlanState:
        """Probe: how much of `plan` is in the tree now, from dpkg's database alone."""
        return dpkg.plan_state(plan, self._database())

    def installed(self, names: Sequence[str]) -> dict[str, str]:
        """Probe: the versions of those of `names` that are installed and configured."""
        database = self._database()
        found = {name: database.named(name) for name in names}
        return {name: record.version for name, record in found.items() if record is not None}

    def survey(self) -> Survey:
        """Probe: what lies in the tree's /etc and /var. Raises HostError."""
        return self._survey()

    def withdraw(self, signatures: Mapping[str, str]) -> Survey:
        """Effect: remove each of these paths that is still as its signature (of a survey) says.

        Returns what is there afterwards. Raises HostError.
        """
        return self._survey("--withdraw", stdin=msgspec.json.encode(signatures))

    def _survey(self, *options: str, stdin: bytes | None = None) -> Survey:
        module = (sys.executable, "-s", "-P", "-m", "atomicstate.catalog.survey")
        argv: list[str | Path] = [*self._enter, *module, self._root, *options]
        try:
            found = run(argv, env=_environment(), stdin=stdin, timeout=_QUERY_LIMIT)
            return msgspec.json.decode(found.stdout, type=Survey)
        except (ToolError, msgspec.MsgspecError) as error:
            raise HostError(f"/etc and /var can't be looked through: {error}") from error

    def boot_packages(self, plan: Plan) -> tuple[str, ...]:
        """The kernels, boot loaders and initramfs tools in `plan`: not for a live install."""
        return tuple(change.name for change in plan.changes if is_boot_package(change.name))

    def _database(self) -> dpkg.Database:
        clean = ("env", "-i", _PATH, "LC_ALL=C.UTF-8")
        words = [*self._enter, *clean, "chroot", str(self._root)]
        try:
            return dpkg.parse(run([*words, *dpkg.QUERY], timeout=_QUERY_LIMIT).text)
        except ToolError as error:
            raise HostError(f"the package database can't be read: {error.message}") from error

    def _change(self, request: Request, on_progress: Callable[[Progress], None]) -> None:
        failpoints.reach("packages.changing")
        self._ask(request, on_progress)
        failpoints.reach("packages.changed")

    def _ask(
        self, request: Request, on_progress: Callable[[Progress], None]
    ) -> protocol.Resolved | protocol.Done:
        """Run a worker for `request`. Raises what it raised there."""
        limit = time_limit(TIME_LIMIT)
        # The tools' output goes to a file: a daemon that a script leaves behind may hold it open
        # for as long as it likes, and no pipe fills up.
        with tempfile.TemporaryFile() as output:
            answer = self._converse(request, on_progress, output, limit)
            if isinstance(answer, protocol.Failed):
                protocol.raise_failed(answer, _tail(output))
            return answer

    def _converse(
        self,
        request: Request,
        on_progress: Callable[[Progress], None],
        output: BinaryIO,
        limit: float,
    ) -> protocol.Resolved | protocol.Done | protocol.Failed:
        source, sink = os.pipe()
        with os.fdopen(source, "rb", buffering=0) as answers:
            try:
                process = self._start(request, sink, output)
            finally:
                os.close(sink)
            try:
                answer = _last_answer(answers, time.monotonic() + limit, on_progress)
                process.wait(_END_LIMIT)
            except subprocess.TimeoutExpired:
                # It has answered: what keeps it is of no use to anybody.
                kill_group(process)
            except TimeoutError:
                kill_group(process)
                raise AptError(
                    _with_tail(f"the packages took longer than {limit:g} seconds", output),
                    hint=LIMIT_HINT,
                ) from None
            except BaseException:
                # Ctrl-C, or a progress bar that failed: the work ends with the call.
                kill_group(process)
                raise
        if answer is None:
            how = f" (exit status {process.returncode})" if process.returncode else ""
            raise AptError(_with_tail(f"the package worker ended before its work did{how}", output))
        return answer

    def _start(self, request: Request, sink: int, output: BinaryIO) -> subprocess.Popen[bytes]:
        # A file, not a pipe: it takes a plan of any size without waiting for the worker.
        with tempfile.TemporaryFile() as question:
            question.write(protocol.encode(request))
            question.seek(0)
            return start(
                [
                    *self._enter,
                    *_ALONE,
                    *(sys.executable, "-s", "-P", "-m", "atomicstate.catalog.worker"),
                    *(str(sink), self._root),
                ],
                env=_environment(),
                stdin=question.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
                pass_fds=(sink,),
            )


def _ignore(_progress: Progress) -> None:
    """Nobody looks."""


def _environment() -> dict[str, str]:
    """Let the worker find this very package, and leave nothing beside it."""
    return {"PYTHONPATH": python_path(), "PYTHONDONTWRITEBYTECODE": "1"}


def _lines(answers: BinaryIO, deadline: float) -> Iterator[bytes]:
    """The worker's lines until it ends. Raises TimeoutError after `deadline` (monotonic)."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        while True:
            if not selector.select(max(deadline - time.monotonic(), 0)):
                raise TimeoutError
            chunk = os.read(answers.fileno(), 65536)
            if not chunk:
                return
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole


def _last_answer(
    answers: BinaryIO, deadline: float, on_progress: Callable[[Progress], None]
) -> protocol.Resolved | protocol.Done | protocol.Failed | None:
    """Hand over the worker's progress until it answers. None where it ends without an answer.

    Raises TimeoutError after `deadline` (monotonic).
    """
    for line in _lines(answers, deadline):
        answer = protocol.decode_answer(line)
        if not isinstance(answer, Progress):
            return answer
        on_progress(answer)
    return None


def _tail(output: BinaryIO) -> str:
    """The last lines of what the tools said."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _TAIL_BYTES, 0))
    lines = output.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-_TAIL_LINES:])


def _with_tail(message: str, output: BinaryIO) -> str:
    said = _tail(output)
    return f"{message}\n{said}" if said else message
