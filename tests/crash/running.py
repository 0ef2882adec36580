"""Whether what runs is as the log says: its packages, /etc, the processes and the mounts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomicstate.host.mounts import parse_mountinfo
from tests.crash.logged import (
    Event,
    begun_of,
    ended_of,
    is_of_boot,
    objects_of,
    of_kind,
    running_boot,
)
from tests.support.program import output
from tests.support.sandboxes import inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.machines import Machine

END = 10.0
"""Seconds that the kernel gets to end what a killed run had started."""


def packages_as_logged(machine: Machine, log: list[Event], status: Any, *, resumed: bool) -> None:
    """In the overlay of this boot there is what was done live in it, and nothing half done."""
    if status["unfinished"]:
        return
    boot_id = running_boot(machine)
    wanted = _done_live(log, boot_id)
    if resumed:
        wanted = _lost_in_a_boot(log, status) | wanted
    listed = inside(machine.host, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n")
    states = dict(line.split() for line in listed.stdout.splitlines())
    assert set(states.values()) <= {"ii", "rc"}, states
    for name, there in wanted.items():
        assert (states.get(name) == "ii") == there, name
        assert _is_file(machine, f"/usr/share/{name}/version") == there, name
    if any(wanted.values()):
        assert status["overlay"]["active"]
    undone = {
        name
        for event in of_kind(log, "transaction.begun").values()
        if event["data"]["mode"] in ("live", "restore") and is_of_boot(boot_id, event)
        for name in event["data"]["names"]
        if name not in wanted
    }
    for name in undone:
        assert states.get(name) != "ii", name


def _done_live(log: list[Event], boot_id: str) -> dict[str, bool]:
    """By name, whether what was done last in the overlay of that boot has put it there."""
    actions = {e["seq"]: e for e in log if e["kind"].startswith("package.")}
    restored, undoes = ended_of(log, "restore"), begun_of(log, "undo")
    found: dict[str, bool] = {}
    for event in log:
        kind, data, txn = event["kind"], event["data"], event["txn"]
        if not is_of_boot(boot_id, event):
            continue
        if data.get("live"):
            found |= _put_there(event)
        elif kind == "step.done" and data["step"] == "live" and txn in restored:
            for seq in restored[txn]["data"]["add"]:
                found |= _put_there(actions[seq])
        elif kind == "wanted.changed" and txn in undoes:
            for seq in data["void"]:
                found |= {name: not there for name, there in _put_there(actions[seq]).items()}
    return found


def _lost_in_a_boot(log: list[Event], status: Any) -> dict[str, bool]:
    """As `_done_live`, what a `resume` has to bring back: what is not in an image yet."""
    pending = {item["seq"] for item in status["pending"] if item["change"] == "add"}
    found: dict[str, bool] = {}
    for event in log:
        if event["seq"] in pending and event["data"].get("live"):
            found |= _put_there(event)
    return found


def _put_there(action: Event) -> dict[str, bool]:
    return dict.fromkeys(action["data"]["names"], action["kind"] == "package.added")


def withdrawn_as_logged(machine: Machine, log: list[Event], status: Any) -> None:
    """Of what live installs put into /etc nothing is gone but what a withdraw was to take away.

    Where one came to its end all of that is; one that was taken back may have begun with it.
    """
    if status["unfinished"]:
        return
    boot_id = running_boot(machine)
    begun = {txn: e for txn, e in begun_of(log, "withdraw").items() if is_of_boot(boot_id, e)}
    named = {path for event in begun.values() for path in objects_of(event)}
    gone = {
        path for txn in begun.keys() & ended_of(log, "withdraw") for path in objects_of(begun[txn])
    }
    there = [name for name, is_there in _done_live(log, boot_id).items() if is_there]
    listed = inside(machine.host, "dpkg-query", "-L", *there).stdout.split() if there else []
    brought = {path for path in listed if path.startswith("/etc/")}
    for path in sorted(brought - named):
        assert _is_there(machine, path), f"{path} is gone"
    for path in sorted(gone):
        assert not _is_there(machine, path), f"{path} was withdrawn and is there"


def _is_there(machine: Machine, path: str) -> bool:
    return inside(machine.host, "test", "-e", path).returncode == 0


def _is_file(machine: Machine, path: str) -> bool:
    return inside(machine.host, "test", "-f", path).returncode == 0


def no_process(machine: Machine) -> None:
    """Nothing works on the machine any more. The kernel may need a moment."""
    deadline = time.monotonic() + END
    while (found := list(_processes(machine))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not found


def _processes(machine: Machine) -> Iterable[str]:
    own = str(machine.directory).encode()
    namespace = machine.host.sandbox.pin.stat().st_ino
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
            inner = (entry / "ns/mnt").stat().st_ino == namespace
            if int(entry.name) != os.getpid() and (own in words or inner):
                yield f"{entry.name} {words!r}"
        except (OSError, ValueError):
            continue


def no_stray_mount(machine: Machine, status: Any) -> None:
    own, run = machine.directory, machine.host.sandbox.run
    # Containers-storage binds its own folder over itself, once, and leaves it so.
    allowed = {run, run / "ns", own / "storage/overlay"}
    outer = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    points = [one.point for one in outer]
    runtime = machine.host.sandbox.runtime
    stray = {p for p in points if p.is_relative_to(own) or p.is_relative_to(runtime)} - allowed
    assert not stray
    assert points.count(run) == 1
    text = output(*machine.host.running.enter(), "cat", "/proc/self/mountinfo")
    usr = [one for one in parse_mountinfo(text) if one.point == machine.host.sandbox.tree / "usr"]
    assert len(usr) <= 1, "an overlay on an overlay"
    assert status["overlay"]["active"] == bool(usr)
