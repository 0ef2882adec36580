"""Whether a machine is whole after a kill: the log, OSTree, the images, files, mounts, processes.

It asks each of them by its own tool, and the log by the installed command; what the product
believes of them counts for nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atomicstate.host.mounts import parse_mountinfo
from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE
from tests.support.sandboxes import LIMIT, inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.machines import Machine

Event = dict[str, Any]
END = 10.0
"""Seconds that the kernel gets to end what a killed run had started."""

ASKED = ("package.added", "package.removed", "module.added", "env.set", "resource.set")

LAST_STEPS = {
    "apply": "promote",
    "overlay": "overlay",
    "rollback": "rollback",
    "unstage": "unstage",
    "restore": "live",
    "undo": "live",
    "withdraw": "withdraw",
    "prune": "prune",
}
"""By mode, the step that ends a transaction."""


def check(machine: Machine, *, settled: bool = True, resumed: bool = False) -> None:
    """Assert the promises. `settled`: nothing is unfinished, so nothing may be left over.

    `resumed`: by `resume`, so what live commands did is there, whichever boot it was in.
    """
    try:
        _check(machine, settled=settled, resumed=resumed)
    except AssertionError as error:
        error.add_note(f"killed: {machine.killed_at}")
        error.add_note("\n".join(f"{e['seq']} {e['kind']} {e['data']}" for e in events(machine)))
        raise


def events(machine: Machine) -> list[Event]:
    """The log, oldest first."""
    ran = machine("log", "-f", "jsonl")
    assert ran.status == 0, ran
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _check(machine: Machine, *, settled: bool, resumed: bool) -> None:
    _no_process(machine)
    verified = machine("verify")
    assert verified.status == 0, verified
    log = events(machine)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    for seq, digest in machine.acknowledged:
        assert log[seq - 1]["hash"] == digest, f"event {seq} is not the one that was acknowledged"
    status = machine.data("status")
    _unfinished_as_logged(log, status)
    _pending_as_logged(machine, log, status)
    _staged_as_logged(machine, log, status)
    _packages_as_logged(machine, log, status, resumed=resumed)
    _withdrawn_as_logged(machine, log, status)
    _removed_as_logged(machine, log)
    _no_stray_mount(machine, status)
    if settled:
        assert status["unfinished"] == []
        _nothing_left(machine, log, status)
        _gone_back_or_not(machine, log)


# -- the log -----------------------------------------------------------------------------------


def _of(log: list[Event], kind: str) -> dict[str, Event]:
    """The events of `kind`, by transaction."""
    return {event["txn"]: event for event in log if event["kind"] == kind}


def _begun(log: list[Event], *modes: str) -> dict[str, Event]:
    """The beginnings of the transactions of these modes, by transaction."""
    begun = _of(log, "transaction.begun")
    return {txn: event for txn, event in begun.items() if event["data"]["mode"] in modes}


def _ended(log: list[Event], *modes: str) -> dict[str, Event]:
    """The beginnings of those of `_begun` whose last step was done, by transaction."""
    begun = _begun(log, *modes)
    return {
        e["txn"]: begun[e["txn"]]
        for e in log
        if e["kind"] == "step.done"
        and e["txn"] in begun
        and e["data"]["step"] == LAST_STEPS[begun[e["txn"]]["data"]["mode"]]
    }


def _objects(begun: Event) -> set[str]:
    """What a prune, or a withdraw, was to take away."""
    return set(begun["data"]["objects"])


def _unfinished_as_logged(log: list[Event], status: Any) -> None:
    begun, back = _of(log, "transaction.begun"), _of(log, "transaction.rolled_back")
    acted = {e["txn"] for e in log if e["kind"].startswith("package.")}
    ended = {
        e["txn"]
        for e in log
        if e["kind"] in ("step.done", "step.skipped")
        and e["txn"] in begun
        and e["data"]["step"] == LAST_STEPS.get(begun[e["txn"]]["data"]["mode"])
    }
    deployed = _of(log, "transaction.staged").keys() & _begun(log, "deploy").keys()
    expected = {
        txn
        for txn, event in begun.items()
        if event["data"]["mode"] in (*LAST_STEPS, "live", "deploy")
        and txn not in back.keys() | acted | ended | deployed
    }
    shown = {i["transaction"] for i in status["unfinished"]}
    assert shown >= expected
    assert not shown & (back.keys() | ended)


def _pending_as_logged(machine: Machine, log: list[Event], status: Any) -> None:
    """What is asked and not in what boots next is pending: no action is lost, none is twice.

    Apart from what a rollback took away: that is held back, until an apply names it. That it
    boots next counts once the log says so: before, `resume` is asked for.
    """
    asked = _asked(log)
    there = _held_in(log, _boots_next(machine))
    back: set[int] = set()
    for event in log:
        if event["kind"] == "wanted.held":
            back = set(event["data"]["seqs"])
        elif event["kind"] == "transaction.staged":
            back -= set(_of(log, "transaction.begun")[event["txn"]]["data"]["add"])
    shown = {item["seq"] for item in status["pending"] if item["change"] == "add"}
    assert shown == asked - there - back
    assert {item["seq"] for item in status["held"]} == (asked & back) - there


def _asked(log: list[Event]) -> set[int]:
    """The actions that were asked for, without those that an undo took back."""
    asked: set[int] = set()
    for event in log:
        if event["kind"] in ASKED:
            asked.add(event["seq"])
        elif event["kind"] == "wanted.changed":
            asked -= set(event["data"]["void"])
            asked |= set(event["data"]["revive"])
    return asked


def _held_in(log: list[Event], checksum: str) -> set[int]:
    """The actions in the deployment `checksum`: those that its apply added, and its parents'."""
    begun, staged = _of(log, "transaction.begun"), _of(log, "transaction.staged")
    made = {event["data"]["checksum"]: txn for txn, event in staged.items()}
    txn = made.get(checksum, "")
    txn = begun[txn]["data"]["target"] or txn if txn else ""
    held: set[int] = set()
    while txn in staged:
        held |= set(begun[txn]["data"]["add"])
        txn = begun[txn]["data"]["parent"]
    return held


# -- the deployments ---------------------------------------------------------------------------


def _staged_as_logged(machine: Machine, log: list[Event], status: Any) -> None:
    """Staged and the log says so; or being staged; or nothing of it."""
    staged = _staged(machine)
    if staged is None:
        assert status["host"]["staged"] is None
        return
    assert status["host"]["staged"]["checksum"] == staged["checksum"]
    assert staged["checksum"] in _ostree(machine, "rev-parse", staged["checksum"])
    # Of an image that bootc staged it knows the id alone.
    labels = staged["labels"] or _labels_of(machine, staged["image_id"])
    made_by = labels["org.atomicstate.transaction"]
    assert made_by in _begun(log, "apply")
    # A rollback to a transaction stages that one's image again.
    stagings = {made_by} | {
        txn for txn, event in _begun(log, "deploy").items() if event["data"]["target"] == made_by
    }
    assert stagings - _of(log, "transaction.rolled_back").keys()
    said = [event for txn, event in _of(log, "transaction.staged").items() if txn in stagings]
    if staged["checksum"] not in {event["data"]["checksum"] for event in said}:
        assert stagings & {item["transaction"] for item in status["unfinished"]}
    assert made_by in _images(machine, log), "the image of what is staged is gone"


def _staged(machine: Machine) -> Any:
    """The record of what was staged in this boot; None where nothing was."""
    record = machine.host.sandbox.staged_record
    if not record.exists():
        return None
    staged = json.loads(record.read_bytes())
    return staged if staged["boot_id"] == _boot_id(machine) else None


def _boot_id(machine: Machine) -> str:
    """Of the boot that runs, which the log may not know yet."""
    boot: dict[str, str] = json.loads(machine.host.sandbox.boot_record.read_bytes())
    return boot["boot_id"]


def _is_of(boot_id: str, event: Event) -> bool:
    return event["boot"] is not None and event["boot"]["boot_id"] == boot_id


def _labels_of(machine: Machine, image_id: str) -> Any:
    argv = machine.host.builder.storage.argv("image", "inspect", image_id.removeprefix("sha256:"))
    return json.loads(_output(*argv))[0]["Labels"]


def _removed_as_logged(machine: Machine, log: list[Event]) -> None:
    """What a prune has removed is gone, and nothing of what is deployed is."""
    deployed, images = _deployed(machine), _images(machine, log)
    there = {f"image sha256:{name}" for name in images.values()}
    there |= {f"deployment {checksum}" for checksum in deployed}
    for event in _ended(log, "prune").values():
        assert not there & _objects(event), "what was pruned is there"
    begun = _begun(log, "apply", "deploy")
    for txn, event in _of(log, "transaction.staged").items():
        if event["data"]["checksum"] in deployed:
            made_by = begun[txn]["data"]["target"] or txn
            assert made_by in images, f"the image of {made_by}, which is deployed, is gone"


def _deployed(machine: Machine) -> list[str]:
    """The checksums of the deployments that are no longer only staged, as OSTree says."""
    shown = _output("ostree", "admin", "status", f"--sysroot={machine.directory}/sysroot")
    found = re.findall(r"^[* ] \S+ ([0-9a-f]{64})\.\d+", shown, re.MULTILINE)
    assert found, shown
    return found


def _boots_next(machine: Machine) -> str:
    """The checksum of the deployment that the next boot starts, as OSTree says."""
    staged = _staged(machine)
    if staged is not None:
        return staged["checksum"]
    return _deployed(machine)[0]


def _gone_back_or_not(machine: Machine, log: list[Event]) -> None:
    """The last rollback has exactly one end: what it went to boots next, or what did before it."""
    begun = _begun(log, "apply", "rollback", "unstage", "deploy")
    txn, event = next(reversed(begun.items()), ("", None))
    if event is None or event["data"]["mode"] == "apply":
        return
    data, held = event["data"], _of(log, "wanted.held").get(txn)
    if txn in _of(log, "transaction.rolled_back"):
        assert held is None
        assert _boots_next(machine) == data["boots_next"]
        return
    if data["mode"] == "unstage":
        assert _boots_next(machine) != data["target"]
    elif data["mode"] == "rollback":
        assert _boots_next(machine) == data["target"]
    else:
        assert _boots_next(machine) == _of(log, "transaction.staged")[txn]["data"]["checksum"]
    assert (held["data"]["seqs"] if held else []) == data["held"]


def _ostree(machine: Machine, *words: str) -> str:
    return _output("ostree", f"--repo={machine.directory}/sysroot/ostree/repo", *words)


def _images(machine: Machine, log: list[Event]) -> dict[str, str]:
    """The images of the log, by transaction."""
    log_id = log[0]["log_id"]
    found = json.loads(_output(*machine.host.builder.storage.argv("images", "-a", "--format=json")))
    labelled = [(item.get("Labels") or {}, item["Id"]) for item in found]
    return {
        labels["org.atomicstate.transaction"]: name
        for labels, name in labelled
        if labels.get("org.atomicstate.log") == log_id and not _is_cache(labels)
    }


def _is_cache(labels: dict[str, str]) -> bool:
    """Whether it is a layer that serves the next build: its file has not come to its end."""
    return LABEL_RENDERER in labels and LABEL_WHOLE not in labels


# -- the running system ------------------------------------------------------------------------


def _packages_as_logged(machine: Machine, log: list[Event], status: Any, *, resumed: bool) -> None:
    """In the overlay of this boot there is what was done live in it, and nothing half done."""
    if status["unfinished"]:
        return
    boot_id = _boot_id(machine)
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
        for event in _of(log, "transaction.begun").values()
        if event["data"]["mode"] in ("live", "restore") and _is_of(boot_id, event)
        for name in event["data"]["names"]
        if name not in wanted
    }
    for name in undone:
        assert states.get(name) != "ii", name


def _done_live(log: list[Event], boot_id: str) -> dict[str, bool]:
    """By name, whether what was done last in the overlay of that boot has put it there."""
    actions = {e["seq"]: e for e in log if e["kind"].startswith("package.")}
    restored, undoes = _ended(log, "restore"), _begun(log, "undo")
    found: dict[str, bool] = {}
    for event in log:
        kind, data, txn = event["kind"], event["data"], event["txn"]
        if not _is_of(boot_id, event):
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


def _withdrawn_as_logged(machine: Machine, log: list[Event], status: Any) -> None:
    """Of what live installs put into /etc nothing is gone but what a withdraw was to take away.

    Where one came to its end all of that is; one that was taken back may have begun with it.
    """
    if status["unfinished"]:
        return
    boot_id = _boot_id(machine)
    begun = {txn: e for txn, e in _begun(log, "withdraw").items() if _is_of(boot_id, e)}
    named = {path for event in begun.values() for path in _objects(event)}
    gone = {path for txn in begun.keys() & _ended(log, "withdraw") for path in _objects(begun[txn])}
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


def _no_process(machine: Machine) -> None:
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


def _no_stray_mount(machine: Machine, status: Any) -> None:
    own, run = machine.directory, machine.host.sandbox.run
    # Containers-storage binds its own folder over itself, once, and leaves it so.
    allowed = {run, run / "ns", own / "storage/overlay"}
    outer = parse_mountinfo(Path("/proc/self/mountinfo").read_text())
    points = [one.point for one in outer]
    runtime = machine.host.sandbox.runtime
    stray = {p for p in points if p.is_relative_to(own) or p.is_relative_to(runtime)} - allowed
    assert not stray
    assert points.count(run) == 1
    text = _output(*machine.host.running.enter(), "cat", "/proc/self/mountinfo")
    usr = [one for one in parse_mountinfo(text) if one.point == machine.host.sandbox.tree / "usr"]
    assert len(usr) <= 1, "an overlay on an overlay"
    assert status["overlay"]["active"] == bool(usr)


# -- leftovers ---------------------------------------------------------------------------------


def _nothing_left(machine: Machine, log: list[Event], status: Any) -> None:
    state = machine.state
    assert list((state / "txn").iterdir()) == []
    assert list(state.rglob("*.tmp")) == []
    assert _output(*machine.host.builder.storage.buildah("containers", "-qa")).split() == []
    staged, back = _of(log, "transaction.staged"), _of(log, "transaction.rolled_back")
    for txn in _begun(log, "apply"):
        assert (txn in staged) != (txn in back), f"{txn} has not exactly one end"
    changed = _of(log, "wanted.changed")
    for txn in _begun(log, "undo"):
        assert (txn in changed) != (txn in back), f"{txn} has not exactly one end"
    dropped = {
        event["txn"]
        for event in log
        if event["kind"] == "step.skipped" and "was dropped" in event["data"]["reason"]
    }
    there = _images(machine, log).keys()
    assert there <= staged.keys() - dropped, "an image of what was taken back"
    assert all(_named_images(machine)), "an image that has no name"
    commits = {event["data"]["checksum"] for event in staged.values()}
    commits |= {log[0]["data"]["booted"]}
    prefix = "atomicstate/image"
    refs = _ostree(machine, "refs", "--list", prefix).split()
    assert {_ostree(machine, "rev-parse", ref).strip() for ref in refs} <= commits
    shown = status["host"]["staged"]
    if shown is not None and next(reversed(staged)) == shown["transaction"]:
        _promoted(machine, log, shown["transaction"])


def _named_images(machine: Machine) -> list[bool]:
    # Without those that another is made of.
    found = json.loads(_output(*machine.host.builder.storage.argv("images", "--format=json")))
    return [bool(item.get("Names")) or _is_cache(item.get("Labels") or {}) for item in found]


def _promoted(machine: Machine, log: list[Event], txn: str) -> None:
    """The user's recipe is that of what is staged."""
    from atomicstate.engine.disk import DiskLibrary
    from atomicstate.recipe.resources import encode
    from atomicstate.store.blobs import digest_of

    recipe = machine.state / "recipe/image.yml"
    begun = _begun(log, "apply")[txn]["data"]
    assert digest_of(recipe.read_bytes()) == (begun["promoted"] or begun["recipe"])
    with DiskLibrary(machine.state / "recipe/resources") as resources:
        for name, digest in begun["beside"].items():
            manifest = resources.manifest(name)
            assert manifest is not None and digest_of(encode(manifest)) == digest, name


def _output(*argv: str) -> str:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, (argv, done)
    return done.stdout
