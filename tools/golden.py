"""Make a golden log: `python -m tools.golden DIRECTORY`, which must not be there yet.

A small state directory that tells one story with every kind of event, and as text what the program
that made it shows of it. Clocks, ids and hashes are fixed. tests/golden/README.md has the rules.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from atomicstate.events import bodies
from atomicstate.events.bodies import ALL, AnyBody, kind_of
from atomicstate.events.event import Actor, BootInstance, Draft
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.recipe import resources, writer
from atomicstate.recipe.containerfile import RENDERER
from atomicstate.recipe.resources import Entry
from atomicstate.recipe.schema import (
    CopyBody,
    Module,
    NetworkBody,
    PackagesBody,
    Recipe,
    ShellBody,
    SystemdBody,
)
from atomicstate.store.log import Log
from atomicstate.store.state import State
from atomicstate.store.transfer import backup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.store.blobs import Blobs
    from atomicstate.store.log import Clock

Line = tuple[str, AnyBody]
"""A transaction's id (empty: none), and what happened."""

BEGIN = 1_764_000_000_000_000_000
_SECOND = 1_000_000_000
_WENT_BACK = 20
_LOG_ID = bytes.fromhex("00112233445566778899aabbccddeeff")
_ROOT = Actor(0, "root", 1000, "package add", ("--yes",))
_EVE = Actor(1001, "ève", -1, "apply")
_BASE = "localhost/base:1"


def _txn(number: int) -> str:
    return f"019ab5e0-0000-7000-8000-{number:012}"


def _image(number: int) -> str:
    return f"sha256:{number:064x}"


def _checksum(number: int) -> str:
    return f"{number:064x}"


_NONE = ("", "")
_ORIGIN = (_checksum(1), "")
_FIRST = (_checksum(2), _txn(2))
_FOREIGN = (_checksum(3), "")


def story(blobs: Blobs) -> Iterator[Line]:
    """Adopted; a live package, an apply, a boot, a failure, what is taken back, a foreign image.

    Then what people do to the recipe: modules, variables, resources; and names and notes.
    """
    found = Recipe(_BASE, (Module("packages", PackagesBody(("vim",), ("nano",))),))
    yield (
        "",
        bodies.SystemInitialized(
            "ostree",
            _BASE,
            _image(1),
            "amd64",
            "deb",
            blobs.put(writer.write(found)),
            _ORIGIN[0],
            "golden",
            resources={"root": _folder(blobs)},
        ),
    )
    yield from _live(blobs)
    yield from _applied(blobs)
    yield from _failed(blobs)
    yield from _taken_back()
    yield from _adopted()
    yield from _edited(blobs)
    yield from _marked(blobs)


def _live(blobs: Blobs) -> Iterator[Line]:
    change = PackageChange("install", "jq", "1.6-2.1", "amd64", "", "ab" * 32, False, 64_000, 99)
    plan = Plan((change, PackageChange("remove", "awk", "1.3", "amd64", was="1.3")), 64_000, -7)
    begun = bodies.TransactionBegun(
        "live", action="package.added", names=("jq", "vim"), plan=plan, in_base=("vim",)
    )
    yield _txn(1), begun
    yield _txn(1), bodies.StepStarted("overlay")
    yield _txn(1), bodies.StepDone("overlay", {"options": "lowerdir=/usr"})
    yield _txn(1), bodies.StepStarted("live")
    yield (
        _txn(1),
        bodies.StepDone("live", {"packages": "1"}, blobs.put("Setting up jq …\n".encode())),
    )
    yield _txn(1), bodies.PackageAdded(("jq", "vim"), True, ("vim",), plan)
    large = Plan(
        tuple(PackageChange("upgrade", f"lib{n}", "2", "amd64", "1", "cd" * 32) for n in range(12))
    )
    plan_blob = blobs.put(msgspec.msgpack.encode(large))
    yield "", bodies.PackageRemoved(("dash",), False, ("dash",), plan_blob=plan_blob)


def _applied(blobs: Blobs) -> Iterator[Line]:
    begun = bodies.TransactionBegun(
        "apply",
        add=(7, 8),
        base=_BASE,
        base_id=_image(1),
        architecture="amd64",
        dialect="deb",
        renderer=RENDERER,
        recipe=blobs.put(b"image: a recipe of then\n"),
        containerfile=blobs.put(b"FROM a Containerfile of then\n"),
        boots_next=_ORIGIN[0],
    )
    yield _txn(2), begun
    for step in ("config", "containerfile", "build", "switch"):
        yield _txn(2), bodies.StepStarted(step)
        yield _txn(2), bodies.StepDone(step, {"image": _image(2)} if step == "build" else {})
    yield _txn(2), bodies.TransactionStaged(_FIRST[0], _image(2))
    yield _txn(2), bodies.StepSkipped("promote", "image.yml was edited meanwhile")
    yield "", bodies.HostObserved(*_ORIGIN, *_FIRST, *_NONE, overlay=True)
    yield "", bodies.HostBooted(*_FIRST, *_NONE, *_ORIGIN)


def _failed(blobs: Blobs) -> Iterator[Line]:
    yield "", bodies.BaseSet("localhost/base:2", _image(4), "amd64")
    yield _txn(3), bodies.TransactionBegun("apply", add=(22,), parent=_txn(2), renderer=RENDERER)
    yield _txn(3), bodies.StepStarted("build")
    output = blobs.put(b"a token that was printed")
    blobs.redact(output)
    yield (
        _txn(3),
        bodies.StepFailed("build", "CONTAINER", "podman exited 1\nno such package", output),
    )
    yield _txn(3), bodies.StepUndoing("build", "podman exited 1")
    yield _txn(3), bodies.StepUndone("build", {"image": "none"}, ("/var/log/x",))
    yield _txn(3), bodies.TransactionRolledBack("podman exited 1", "CONTAINER")
    yield "", bodies.LiveBroken("dpkg was killed")


def _taken_back() -> Iterator[Line]:
    yield "", bodies.BaseUpdated("localhost/base:2", _image(5), "amd64")
    yield "", bodies.WantedChanged((7, 30), (), "undo")
    yield "", bodies.WantedChanged((), (7,), "redo")
    yield "", bodies.WantedHeld((8,))
    yield "", bodies.WantedHeld(())


def _adopted() -> Iterator[Line]:
    yield (
        "",
        bodies.HostObserved(*_FOREIGN, *_NONE, *_FIRST, overlay=False, queued=True, locked=True),
    )
    yield "", bodies.DeploymentAdopted(_FOREIGN[0], "localhost/other:1", _image(6), "arm64")
    yield "", bodies.PackageAdded(("tree",), False)


def _folder(blobs: Blobs) -> str:
    """A resource that is a folder, with a file and a link in it."""
    return blobs.put(
        resources.encode(
            [
                Entry("", 0o755),
                Entry("etc", 0o755),
                Entry("etc/motd", 0o644, blobs.put("Grüße\n".encode())),
                Entry("etc/issue", 0o777, link="motd"),
            ]
        )
    )


def _module(blobs: Blobs, module: Module) -> tuple[str, str]:
    """The digest of a module's blob, and its type."""
    return blobs.put(writer.encode_module(module)), module.type


def _edited(blobs: Blobs) -> Iterator[Line]:
    name = Module("network", NetworkBody("${{ Env.NAME }}"), "the host's name", "host")
    yield "", bodies.EnvSet("NAME", "golden")
    yield "", bodies.ModuleAdded(*_module(blobs, name), what="hostname ${{ Env.NAME }}")
    units = Module("systemd", SystemdBody(("sshd.service",), enabled=True))
    yield "", bodies.ModuleAdded(*_module(blobs, units), before=39, what="enable sshd.service")
    masked = Module("systemd", SystemdBody(("sshd.service",), masked=True))
    yield "", bodies.ModuleChanged(*_module(blobs, masked), slot=40, what="mask sshd.service")
    motd = blobs.put(resources.encode([Entry("", 0o600, blobs.put(b"welcome\n"))]))
    yield "", bodies.ResourceSet("files/motd", motd, 1)
    copied = Module("copy", CopyBody("files/motd", "/etc/motd", replace=True))
    yield "", bodies.ModuleAdded(*_module(blobs, copied), what="copy files/motd to /etc/motd")
    shell = Module("shell", ShellBody("touch /etc/here"), output={"AT": "1"})
    yield "", bodies.ModuleAdded(*_module(blobs, shell), what="run touch /etc/here")
    yield "", bodies.ModuleRemoved(44, "shell", "run touch /etc/here")
    yield "", bodies.EnvSet("ONLY_HERE", "x", given=True)
    yield "", bodies.EnvRemoved("ONLY_HERE", given=True)
    yield "", bodies.ResourceRemoved("root")
    document = blobs.put(b"# as a person writes it\nmodules: []\n")
    taken = bodies.RecipeTaken(
        document, True, {"files/motd": motd}, "https://example.org/recipes.git", _checksum(7)[:40]
    )
    yield "", taken


def _marked(blobs: Blobs) -> Iterator[Line]:
    yield "", bodies.TagSet("good", 39)
    yield "", bodies.NoteAdded(39, "asked for by ève")
    found = b'{"added":{"/etc/jq.conf":"x"},"changed":{},"users":["jq"],"groups":[]}'
    yield _txn(1), bodies.ResidueFound(blobs.put(found), 1, ("jq",), ())


def _clock(seq: int) -> Clock:
    """One second an event; the wall clock goes back by an hour for one of them."""
    wall = BEGIN + seq * _SECOND
    back = 3600 * _SECOND if seq == _WENT_BACK else 0
    return lambda: (wall - back, wall - BEGIN + 10**13)


def write_log(state: State) -> None:
    """The story as a log."""
    boot = BootInstance("2f1d0c9e-0000-4000-8000-000000000000", 1, _ORIGIN[0], 2)
    lines = list(story(state.blobs))
    with Log.create(
        state.log_directory, log_id=_LOG_ID, now=lambda: (BEGIN, 0), map_size=1 << 20
    ) as log:
        for seq, (transaction, body) in enumerate(lines, 1):
            draft = Draft(
                body=body,
                transaction=transaction,
                actor=_EVE if transaction == _txn(2) else _ROOT,
                boot=boot if seq % 3 else None,
                cause=seq - 1 if transaction else 0,
                request=_txn(900 + seq) if seq % 5 == 0 else "",
            )
            log.append([draft], now=_clock(seq))


def refuse_gaps(state: State) -> None:
    """Raises SystemExit for a story without one of today's kinds: it would prove too little."""
    told = {kind_of(body) for _transaction, body in story(state.blobs)}
    lacking = {kind_of(body) for body in ALL} - told
    if lacking:
        raise SystemExit(f"the story lacks {', '.join(sorted(lacking))}: add them to it")


SHOWN = {
    "log.jsonl": ("log", "-f", "jsonl"),
    "export.jsonl": ("export", "--blobs"),
    "image.yml": ("config", "show"),
    f"containerfile-{RENDERER}": ("containerfile",),
}
"""What a golden log comes with: a file, and the command whose output it holds."""


def make(directory: Path) -> None:
    """Make log, blobs and expected output below `directory`."""
    directory.mkdir(parents=True)
    scratch = State(directory / "scratch")
    scratch.make()
    refuse_gaps(scratch)
    write_log(scratch)
    _keep(scratch, directory / "state")
    program = Path(sys.executable).with_name("atomicstate")
    for name, words in SHOWN.items():
        argv = [str(program), "--state-dir", str(scratch.directory), *words]
        target = directory / "expected" / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(subprocess.run(argv, check=True, capture_output=True).stdout)
    shutil.rmtree(scratch.directory)


def _keep(scratch: State, target: Path) -> None:
    """The truth alone: data.mdb, compact, and the blobs."""
    backup(scratch, target)
    for name in ("lock.mdb", "clean"):
        (target / "log" / name).unlink(missing_ok=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("python -m tools.golden DIRECTORY")
    if Path(sys.argv[1]).exists():
        sys.exit(f"{sys.argv[1]} is there already: a golden log is never made again")
    make(Path(sys.argv[1]))
