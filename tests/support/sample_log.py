"""A small log that tells a whole story: adopted, two packages, an apply, a reboot, a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.events.bodies import (
    AnyBody,
    HostBooted,
    PackageAdded,
    PackageRemoved,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepUndoing,
    StepUndone,
    SystemInitialized,
    TransactionBegun,
    TransactionRolledBack,
    TransactionStaged,
)
from atomicstate.events.event import Actor, BootInstance, Draft
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.store.log import Log

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Actor(0, "root", 1000, "package add", ("--yes",))
EVE = Actor(1001, "eve", 1001, "apply", ())
LIVE = "01902d5e-7c00-7000-8000-000000000001"
APPLY = "01902d5e-7c00-7000-8000-000000000002"
FAILED = "01902d5e-7c00-7000-8000-000000000003"
BEGIN = 1_750_000_000_000_000_000
SECOND = 1_000_000_000
CHECKSUM = "0123456789abcdef" * 4

_PLAN = Plan(
    (
        PackageChange("install", "jq", "1.6-2.1", "amd64", download_size=64_000),
        PackageChange("install", "libjq1", "1.6-2.1", "amd64", automatic=True),
    ),
    200_000,
    400_000,
)

_STORY: tuple[tuple[Actor, str, AnyBody], ...] = (
    (
        ROOT,
        "",
        SystemInitialized("ostree", "localhost/base:test", "sha256:ab", "amd64", "deb", "", ""),
    ),
    (ROOT, LIVE, TransactionBegun("live", action="package.added", names=("jq",), plan=_PLAN)),
    (ROOT, LIVE, StepStarted("live")),
    (ROOT, LIVE, StepDone("live", {"state": "done"})),
    (ROOT, LIVE, PackageAdded(("jq",), True, plan=_PLAN)),
    (EVE, APPLY, TransactionBegun("apply", add=(5,))),
    (EVE, APPLY, StepStarted("switch")),
    (EVE, APPLY, StepDone("switch", {"checksum": CHECKSUM})),
    (EVE, APPLY, TransactionStaged(CHECKSUM, "sha256:cd")),
    (EVE, APPLY, StepSkipped("promote", "nothing to do")),
    (ROOT, "", HostBooted(CHECKSUM, APPLY, "", "", "", "")),
    (ROOT, "", PackageRemoved(("nano",), False, plan=Plan())),
    (ROOT, FAILED, TransactionBegun("apply", add=(12,))),
    (ROOT, FAILED, StepStarted("build")),
    (ROOT, FAILED, StepFailed("build", "CONTAINER", "podman exited 1:\nno such package")),
    (ROOT, FAILED, StepUndoing("build", "podman exited 1")),
    (ROOT, FAILED, StepUndone("build")),
    (ROOT, FAILED, TransactionRolledBack("podman exited 1", "CONTAINER")),
)

LENGTH = len(_STORY)


def make(state_dir: Path) -> None:
    """Make the log under `state_dir`: event N lies N seconds after BEGIN, 12 a minute before."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with Log.create(state_dir / "log") as log:
        for seq, (actor, transaction, body) in enumerate(_STORY, 1):
            draft = Draft(
                body=body,
                actor=actor,
                transaction=transaction,
                boot=BootInstance("2f1d"),
            )
            wall = BEGIN + (seq - (60 if seq == 12 else 0)) * SECOND
            log.append([draft], now=lambda wall=wall: (wall, wall - BEGIN))
