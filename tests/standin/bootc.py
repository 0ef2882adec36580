"""`bootc`: status, switch, rollback, usr-overlay, upgrade --download-only."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from atomicstate.errors import AtomicstateError
from atomicstate.host.sandbox.running import SandboxOverlay
from tests.standin import leave_path, wrong
from tests.standin.world import STATEROOT, World

if TYPE_CHECKING:
    from tests.standin.world import Known


class BootcError(Exception):
    """bootc's one way to fail: exit status 1, and a line on standard error."""


def main(argv: list[str]) -> int:
    leave_path()
    options = _parser().parse_args(argv)
    world = World()
    try:
        {
            "status": status,
            "switch": switch,
            "rollback": rollback,
            "usr-overlay": usr_overlay,
            "upgrade": upgrade,
        }[options.verb](world, options)
    except (BootcError, AtomicstateError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bootc", allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("status")
    verb.add_argument("--format", choices=["json"], required=True)
    verb.add_argument("--format-version", choices=["0", "1"], required=True)
    verb = verbs.add_parser("switch")
    verb.add_argument("--transport", default="registry")
    verb.add_argument("--progress-fd", type=int)
    verb.add_argument("reference")
    verbs.add_parser("rollback")
    verbs.add_parser("usr-overlay").add_argument("--read-only", action="store_true")
    verbs.add_parser("upgrade").add_argument("--download-only", action="store_true", required=True)
    return parser


# -- status ----------------------------------------------------------------------------------------


def status(world: World, _options: argparse.Namespace) -> None:
    muted = wrong("mute-after") is not None and world.changed.exists()
    if muted or wrong("no-status") is not None:
        raise BootcError("Status: Loading sysroot: Permission denied")
    found = world.deployments()
    said: dict[str, Any] = {
        "staged": _entry(world, found.staged),
        "booted": _entry(world, found.booted),
        "rollback": _entry(world, found.rollback),
        "rollbackQueued": found.queued,
        "type": "bootcHost",
        "usrOverlay": _overlay(world),
        "readOnly": False,
    }
    if found.others:
        said["otherDeployments"] = [_entry(world, one) for one in found.others]
    if wrong("incompatible") is not None:
        said["booted"] |= {"incompatible": True, "image": None}
    if wrong("older") is not None:
        del said["usrOverlay"], said["readOnly"]
        for entry in (said["staged"], said["booted"], said["rollback"]):
            if entry:
                del entry["downloadOnly"], entry["softRebootCapable"]
    order = "rollback" if found.queued else "default"
    whole = {
        "apiVersion": "org.containers.bootc/v1",
        "kind": "BootcHost",
        "metadata": {"name": "host"},
        "spec": {"image": _reference(found.staged or found.booted), "bootOrder": order},
        "status": said,
    }
    sys.stdout.write(json.dumps(_bare(whole) if wrong("bare") is not None else whole) + "\n")


def _entry(world: World, known: Known | None) -> dict[str, Any] | None:
    if known is None:
        return None
    digest = world.metadata(known.checksum, "ostree.manifest-digest")
    if digest is None:
        # Made by `sandbox create`, where an installer would have left the image's documents.
        digest = world.host.builder.resolve(known.image).digest
    return {
        "image": {
            "image": _reference(known),
            "version": None,
            "timestamp": None,
            "imageDigest": digest,
            "architecture": "amd64",
        },
        "cachedUpdate": None,
        "incompatible": False,
        "pinned": known.pinned,
        "softRebootCapable": False,
        "downloadOnly": known.locked,
        "store": "ostreeContainer",
        "ostree": {
            "stateroot": STATEROOT,
            "checksum": known.checksum,
            "deploySerial": known.serial,
        },
        "composefs": None,
    }


def _reference(known: Known) -> dict[str, str]:
    return {"image": known.image, "transport": known.transport}


def _overlay(world: World) -> dict[str, str] | None:
    state = SandboxOverlay(world.running).state()
    if not state.active:
        return None
    lasting = wrong("hotfix") is not None
    return {
        "accessMode": "readWrite" if state.writable else "readOnly",
        "persistence": "persistent" if lasting else "transient",
    }


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item not in (None, False, [])}
    return [_bare(item) for item in value] if isinstance(value, list) else value


# -- what changes the host -------------------------------------------------------------------------


def switch(world: World, options: argparse.Namespace) -> None:
    with world.locked():
        found = world.deployments()
        spec = found.staged or found.booted
        if (spec.transport, spec.image) == (options.transport, options.reference):
            print("Image specification is unchanged.")
            return
        if options.transport != "containers-storage":
            raise BootcError("Switching: Pulling: there is no registry here")
        if wrong("no-space") is not None:
            raise BootcError(
                "Switching: Pulling: Importing: write: No space left on device (os error 28)"
            )
        tell = _teller(options.progress_fd)
        image = world.host.builder.resolve(options.reference)
        tell("pulling", "Fetching layers", 0, 1)
        checksum = world.pull(image)
        tell("pulling", "Fetching layers", 1, 1)
        tell("staging", "Deploying Image", 0, 3)
        if wrong("lost-staging") is None:
            world.stage(checksum, options.reference, image)
        if wrong("exit-1-after-staging") is not None:
            raise BootcError("Switching: Staging: Pulling bound images: connection refused")
        world.clean_up()
        tell("staging", "Deploying Image", 3, 3)
        print(f"Queued for next boot: {options.transport}:{options.reference}")


def _teller(descriptor: int | None) -> Any:
    """Who writes the lines of --progress-fd."""
    if descriptor is None:
        return lambda *_told: None
    if descriptor < 3:
        raise BootcError(f"Cannot use fd {descriptor} for progress JSON")
    pipe = os.fdopen(descriptor, "w", buffering=1)
    pipe.write('{"type":"Start","version":"0.1.0"}\n')

    def tell(task: str, description: str, steps: int, total: int) -> None:
        told = {"type": "ProgressSteps", "task": task, "description": description, "id": task}
        counted = {"stepsCached": 0, "steps": steps, "stepsTotal": total, "subtasks": []}
        pipe.write(json.dumps({**told, **counted}) + "\n")

    return tell


def rollback(world: World, _options: argparse.Namespace) -> None:
    with world.locked():
        found = world.deployments()
        if found.rollback is None:
            raise BootcError("Rolling back: No rollback available")
        if found.queued:
            print("notice: Reverting queued rollback state")
        world.put_first(found.booted if found.queued else found.rollback)
        world.drop_staged()


def usr_overlay(world: World, options: argparse.Namespace) -> None:
    overlay = SandboxOverlay(world.running)
    if overlay.state().active:
        raise BootcError("Deployment is already in unlocked state: development")
    overlay.enable()
    if options.read_only:
        usr = world.host.sandbox.tree / "usr"
        subprocess.run([*world.running.enter(), "mount", "-o", "remount,bind,ro", usr], check=True)


def upgrade(world: World, _options: argparse.Namespace) -> None:
    with world.locked():
        if world.deployments().staged is None:
            print("No changes in the image")
            return
        world.lock_staged()
