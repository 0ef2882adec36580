"""Whether a machine is whole after a kill: the log, OSTree, the images, files, mounts, processes.

It asks each of them by its own tool, and the log by the installed command; what the product
believes of them counts for nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE
from tests.crash.logged import (
    LAST_STEPS,
    Event,
    asked_for,
    begun_of,
    ended_of,
    events,
    objects_of,
    of_kind,
    running_boot,
)
from tests.crash.running import no_process, no_stray_mount, packages_as_logged, withdrawn_as_logged
from tests.support.program import output

if TYPE_CHECKING:
    from tests.support.machines import Machine


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


def _check(machine: Machine, *, settled: bool, resumed: bool) -> None:
    no_process(machine)
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
    packages_as_logged(machine, log, status, resumed=resumed)
    withdrawn_as_logged(machine, log, status)
    _removed_as_logged(machine, log)
    no_stray_mount(machine, status)
    if settled:
        assert status["unfinished"] == []
        _nothing_left(machine, log, status)
        _gone_back_or_not(machine, log)


# -- the log -----------------------------------------------------------------------------------


def _unfinished_as_logged(log: list[Event], status: Any) -> None:
    begun, back = (
        of_kind(log, "transaction.begun"),
        of_kind(log, "transaction.rolled_back"),
    )
    acted = {e["txn"] for e in log if e["kind"].startswith("package.")}
    ended = {
        e["txn"]
        for e in log
        if e["kind"] in ("step.done", "step.skipped")
        and e["txn"] in begun
        and e["data"]["step"] == LAST_STEPS.get(begun[e["txn"]]["data"]["mode"])
    }
    deployed = of_kind(log, "transaction.staged").keys() & begun_of(log, "deploy").keys()
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
    asked = asked_for(log)
    there = _held_in(log, _boots_next_of(machine, log))
    back: set[int] = set()
    for event in log:
        if event["kind"] == "wanted.held":
            back = set(event["data"]["seqs"])
        elif event["kind"] == "transaction.staged":
            back -= set(of_kind(log, "transaction.begun")[event["txn"]]["data"]["add"])
    shown = {item["seq"] for item in status["pending"] if item["change"] == "add"}
    assert shown == asked - there - back
    assert {item["seq"] for item in status["held"]} == (asked & back) - there


def _boots_next_of(machine: Machine, log: list[Event]) -> str:
    """The apply that made what boots next. What is staged again is another commit: before the log
    knows that one, its labels tell."""
    begun, staged = (
        of_kind(log, "transaction.begun"),
        of_kind(log, "transaction.staged"),
    )
    made = {event["data"]["checksum"]: txn for txn, event in staged.items()}
    txn = made.get(_boots_next(machine), "")
    if txn:
        return begun[txn]["data"]["target"] or txn
    record = _staged(machine)
    return str(_labels(machine, record)["org.atomicstate.transaction"]) if record else ""


def _held_in(log: list[Event], txn: str) -> set[int]:
    """The actions in the deployment of an apply that was staged: it added them, or its parents."""
    begun, staged = (
        of_kind(log, "transaction.begun"),
        of_kind(log, "transaction.staged"),
    )
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
    made_by = _labels(machine, staged)["org.atomicstate.transaction"]
    assert made_by in begun_of(log, "apply")
    # A rollback to a transaction stages that one's image again.
    stagings = {made_by} | {
        txn for txn, event in begun_of(log, "deploy").items() if event["data"]["target"] == made_by
    }
    assert stagings - of_kind(log, "transaction.rolled_back").keys()
    said = [event for txn, event in of_kind(log, "transaction.staged").items() if txn in stagings]
    if staged["checksum"] not in {event["data"]["checksum"] for event in said}:
        assert stagings & {item["transaction"] for item in status["unfinished"]}
    assert made_by in _images(machine, log), "the image of what is staged is gone"


def _staged(machine: Machine) -> Any:
    """The record of what was staged in this boot; None where nothing was."""
    record = machine.host.sandbox.staged_record
    if not record.exists():
        return None
    staged = json.loads(record.read_bytes())
    return staged if staged["boot_id"] == running_boot(machine) else None


def _labels(machine: Machine, staged: Any) -> Any:
    """Of the image that is staged; of one that bootc staged the record has the id alone."""
    if staged["labels"]:
        return staged["labels"]
    image_id = staged["image_id"].removeprefix("sha256:")
    argv = machine.host.builder.storage.argv("image", "inspect", image_id)
    return json.loads(output(*argv))[0]["Labels"]


def _removed_as_logged(machine: Machine, log: list[Event]) -> None:
    """What a prune has removed is gone, and nothing of what is deployed is."""
    deployed, images = _deployed(machine), _images(machine, log)
    there = {f"image sha256:{name}" for name in images.values()}
    there |= {f"deployment {checksum}" for checksum in deployed}
    for event in ended_of(log, "prune").values():
        assert not there & objects_of(event), "what was pruned is there"
    begun = begun_of(log, "apply", "deploy")
    for txn, event in of_kind(log, "transaction.staged").items():
        if event["data"]["checksum"] in deployed:
            made_by = begun[txn]["data"]["target"] or txn
            assert made_by in images, f"the image of {made_by}, which is deployed, is gone"


def _deployed(machine: Machine) -> list[str]:
    """The checksums of the deployments that are no longer only staged, as OSTree says."""
    shown = output("ostree", "admin", "status", f"--sysroot={machine.directory}/sysroot")
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
    begun = begun_of(log, "apply", "rollback", "unstage", "deploy")
    txn, event = next(reversed(begun.items()), ("", None))
    if event is None or event["data"]["mode"] == "apply":
        return
    data, held = event["data"], of_kind(log, "wanted.held").get(txn)
    if txn in of_kind(log, "transaction.rolled_back"):
        assert held is None
        assert _boots_next(machine) == data["boots_next"]
        return
    if data["mode"] == "unstage":
        assert _boots_next(machine) != data["target"]
    elif data["mode"] == "rollback":
        assert _boots_next(machine) == data["target"]
    else:
        assert _boots_next(machine) == of_kind(log, "transaction.staged")[txn]["data"]["checksum"]
    assert (held["data"]["seqs"] if held else []) == data["held"]


def _ostree(machine: Machine, *words: str) -> str:
    return output("ostree", f"--repo={machine.directory}/sysroot/ostree/repo", *words)


def _images(machine: Machine, log: list[Event]) -> dict[str, str]:
    """The images of the log, by transaction."""
    log_id = log[0]["log_id"]
    found = json.loads(output(*machine.host.builder.storage.argv("images", "-a", "--format=json")))
    labelled = [(item.get("Labels") or {}, item["Id"]) for item in found]
    return {
        labels["org.atomicstate.transaction"]: name
        for labels, name in labelled
        if labels.get("org.atomicstate.log") == log_id and not _is_cache(labels)
    }


def _is_cache(labels: dict[str, str]) -> bool:
    """Whether it is a layer that serves the next build: its file has not come to its end."""
    return LABEL_RENDERER in labels and LABEL_WHOLE not in labels


# -- leftovers ---------------------------------------------------------------------------------


def _nothing_left(machine: Machine, log: list[Event], status: Any) -> None:
    state = machine.state
    assert list((state / "txn").iterdir()) == []
    assert list(state.rglob("*.tmp")) == []
    assert output(*machine.host.builder.storage.buildah("containers", "-qa")).split() == []
    staged, back = (
        of_kind(log, "transaction.staged"),
        of_kind(log, "transaction.rolled_back"),
    )
    for txn in begun_of(log, "apply"):
        assert (txn in staged) != (txn in back), f"{txn} has not exactly one end"
    changed = of_kind(log, "wanted.changed")
    for txn in begun_of(log, "undo"):
        assert (txn in changed) != (txn in back), f"{txn} has not exactly one end"
    dropped = {
        event["txn"]
        for event in log
        if event["kind"] == "step.skipped" and "was dropped" in event["data"]["reason"]
    }
    there = _images(machine, log).keys()
    assert there <= staged.keys() - dropped, "an image of what was taken back"
    assert all(_named_images(machine)), "an image that has no name"
    commits = {*_deployed(machine), _boots_next(machine), log[0]["data"]["booted"]}
    refs = _ostree(machine, "refs", "--list", "atomicstate/image").split()
    assert {_ostree(machine, "rev-parse", ref).strip() for ref in refs} <= commits
    shown = status["host"]["staged"]
    if shown is not None and next(reversed(staged)) == shown["transaction"]:
        _promoted(machine, log, shown["transaction"])


def _named_images(machine: Machine) -> list[bool]:
    # Without those that another is made of.
    found = json.loads(output(*machine.host.builder.storage.argv("images", "--format=json")))
    return [bool(item.get("Names")) or _is_cache(item.get("Labels") or {}) for item in found]


def _promoted(machine: Machine, log: list[Event], txn: str) -> None:
    """The user's recipe is that of what is staged."""
    from atomicstate.engine.disk import DiskLibrary
    from atomicstate.recipe.resources import encode
    from atomicstate.store.blobs import digest_of

    recipe = machine.state / "recipe/image.yml"
    begun = begun_of(log, "apply")[txn]["data"]
    assert digest_of(recipe.read_bytes()) == (begun["promoted"] or begun["recipe"])
    with DiskLibrary(machine.state / "recipe/resources") as resources:
        for name, digest in begun["beside"].items():
            manifest = resources.manifest(name)
            assert manifest is not None and digest_of(encode(manifest)) == digest, name
