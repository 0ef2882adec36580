"""The view: snapshots, the fast fold, letting go, and recipes that don't depend on the order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomicstate.engine.library import RecordedLibrary
from atomicstate.errors import CorruptError
from atomicstate.events import codec
from atomicstate.projectors.fold import fold
from atomicstate.projectors.pending import (
    applied,
    boots_next,
    held,
    kept,
    pending,
    staged,
)
from atomicstate.projectors.recipe import Composition, Found, base_of, compose
from atomicstate.projectors.system import System
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.expand import expand
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import CopyBody, Module, PackagesBody, ShellBody
from atomicstate.recipe.writer import write
from tests.support.histories import FOUND, NAMES, History, histories

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ALWAYS = -1_000_000
"""As slack: let go of what can be whenever what boots has moved."""


def composed(history: History, system: System, seqs: Iterable[int]) -> Composition:
    """What the actions `seqs` of a history make."""
    assert system.origin
    return compose(system, seqs, Found(FOUND, system.origin.resources, history.modules))


@pytest.fixture(scope="module", autouse=True)
def _narrow_for_few_too() -> Iterator[None]:
    """The histories are short: else none of them would go the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomicstate.projectors.fold.FEW", 0)
        yield


def documents(history: History, system: System, seqs: Iterable[int]) -> tuple[Any, ...]:
    """The recipe, where its parts come from, and the base: all that a Containerfile is made of."""
    made = composed(history, system, seqs)._replace(earlier=())
    return write(made.recipe), made, base_of(system, seqs)


def rendered(history: History, system: System, seqs: Iterable[int]) -> bytes:
    base, base_id, _architecture = base_of(system, seqs)
    made = composed(history, system, seqs)
    library = RecordedLibrary(history.blobs, made.resources)  # type: ignore[arg-type]
    steps = expand(made.recipe, library, owners=made.owners, inputs=made.given).require()
    return render(steps, base_id, base, "deb", made.resources).content


def answers(history: History, system: System) -> tuple[object, ...]:
    """All that anybody asks of the view, apart from what it holds inside."""
    there = applied(system)
    return (
        boots_next(system),
        pending(system),
        staged(system),
        documents(history, system, system.wanted),
        documents(history, system, there) if there is not None else None,
        system.host,
        system.open,
        system.last_action,
        system.dropped,
        held(system),
        documents(history, system, kept(system)),
    )


def view_of(history: History) -> System:
    """The view as a session reads it: the whole log again, where the compact one lost something."""
    system = System()
    fold(system, history.records())
    if not system.complete:
        system = System(compact=False)
        fold(system, history.records())
    return system


@given(histories(), st.data())
@settings(deadline=None, max_examples=100)
def test_a_snapshot_and_the_rest_are_the_whole_fold_at_every_prefix(
    history: History, data: st.DataObject
) -> None:
    slack = data.draw(st.sampled_from([ALWAYS, 0, 256]))
    whole = System(slack=slack)
    for event in history.events:
        resumed = System.from_bytes(whole.to_bytes())
        resumed.apply(event)
        whole.apply(event)
        assert resumed.to_bytes() == whole.to_bytes()
        assert resumed.complete == whole.complete
        if whole.complete:
            # Otherwise it is asked nothing: the log is folded anew.
            assert answers(history, resumed) == answers(history, whole)


@given(histories(), st.integers(1, 9), st.sampled_from([ALWAYS, 256]))
@settings(deadline=None, max_examples=100)
def test_folding_records_is_applying_events_one_by_one(
    history: History, size: int, slack: int
) -> None:
    slow, fast = System(slack=slack), System(slack=slack)
    records = history.records()
    previous = codec.GENESIS
    for start in range(0, len(records), size):
        chunk = records[start : start + size]
        fold(fast, chunk, check_from=previous)
        previous = chunk[-1][-codec.HASH_SIZE :]
        for event in history.events[start : start + size]:
            slow.apply(event)
        assert fast.to_bytes() == slow.to_bytes()


@given(histories(max_ops=30) | histories(max_ops=30, edits=True))
@settings(deadline=None, max_examples=500)
def test_letting_go_is_not_seen(history: History) -> None:
    compact, whole = System(slack=ALWAYS), System(compact=False)
    for event in history.events:
        compact.apply(event)
        whole.apply(event)
        assert whole.complete
        if not compact.complete:
            return
        assert answers(history, compact) == answers(history, whole)


@given(histories(max_ops=30), st.data())
@settings(deadline=None, max_examples=150)
def test_the_whole_view_can_let_go_at_any_time(history: History, data: st.DataObject) -> None:
    there = data.draw(st.integers(1, len(history.events)))
    compact, whole = System(compact=False), System(compact=False)
    for event in history.events:
        compact.apply(event)
        whole.apply(event)
        if event.seq == there:
            compact.let_go()
        if not compact.complete:
            return
        assert answers(history, compact) == answers(history, whole)


@given(histories(max_ops=30), st.data())
@settings(deadline=None, max_examples=150)
def test_what_would_be_without_some_actions_is_known_or_not_told(
    history: History, data: st.DataObject
) -> None:
    compact, whole = System(slack=ALWAYS), System(compact=False)
    fold(compact, history.records())
    fold(whole, history.records())
    void = set(data.draw(st.lists(st.sampled_from(history.actions or [0]), max_size=3)))
    if compact.complete and compact.can_tell_without(void):
        left = documents(history, compact, compact.wanted - void)
        assert left == documents(history, whole, whole.wanted - void)


@given(histories())
@settings(deadline=None, max_examples=250)
def test_the_view_knows_what_the_host_holds(history: History) -> None:
    system = view_of(history)
    assert (system.host.booted, system.host.booted_txn) == history.booted
    assert (system.host.staged, system.host.staged_txn) == history.staged
    assert system.host.overlay == history.overlay
    there = history.held()
    assert applied(system) == there
    if there is not None:
        assert [item.seq for item in pending(system)] == history.pending()
        back = history.wanted & history.back - there
        assert {item.seq for item in held(system)} == back
        assert kept(system) == history.wanted - back


@given(histories(), st.integers(0))
@settings(deadline=None, max_examples=100)
def test_a_part_first_and_then_the_rest_is_all_at_once(history: History, bits: int) -> None:
    if history.held() is None:
        return
    system = view_of(history)
    there = history.held() or frozenset()
    add = [seq for seq in history.pending() if seq not in there]
    drop = [seq for seq in history.pending() if seq in there]
    at_once = documents(history, system, there.union(add).difference(drop))

    part = [seq for place, seq in enumerate(history.pending()) if bits >> place & 1]
    history.apply(part)
    history.apply()
    system = view_of(history)
    there = applied(system)
    assert there is not None
    assert documents(history, system, there) == at_once


@given(histories())
@settings(deadline=None, max_examples=100)
def test_the_recipe_reads_back(history: History) -> None:
    system = System()
    fold(system, history.records())
    recipe = composed(history, system, system.wanted).recipe
    assert read(write(recipe)) == recipe


@given(histories())
@settings(deadline=None, max_examples=100)
def test_the_last_word_on_a_package_counts(history: History) -> None:
    system = System()
    fold(system, history.records())
    made = composed(history, system, system.wanted)
    bodies = [
        (owner, module.body)
        for owner, module in zip(made.owners, made.recipe.modules, strict=True)
        if isinstance(module.body, PackagesBody)
    ]
    last = {
        name: system.actions[seq]
        for seq in sorted(system.wanted)
        for name in system.actions[seq].names
    }
    edits = map(system.actions.__getitem__, system.wanted)
    edited = {edit.slot for edit in edits if edit.kind in ("module.changed", "module.removed")}
    for name, action in last.items():
        # Before it nothing is said of the package any more, and after it only modules do.
        assert not [
            owner
            for owner, body in bodies
            if owner < action.seq and name in (*body.install, *body.remove)
        ]
        if action.seq in edited:
            continue
        own = [body for owner, body in bodies if owner == action.seq]
        comes, in_base = action.kind == "package.added", name in action.in_base
        assert any(name in body.install for body in own) == (comes and not in_base)
        assert any(name in body.remove for body in own) == (not comes and in_base)


@given(histories(max_ops=8), st.data())
@settings(deadline=None, max_examples=100)
def test_a_gap_is_named_by_the_number_that_is_missing(
    history: History, data: st.DataObject
) -> None:
    records = history.records()
    history.enable_overlay()
    missing = data.draw(st.integers(1, len(records)))
    broken = history.records()
    del broken[missing - 1]
    system = System()
    with pytest.raises(CorruptError) as caught:
        fold(system, broken)
    assert caught.value.seq == missing
    assert system.position == missing - 1


@given(histories(max_ops=8), st.data())
@settings(deadline=None, max_examples=100)
def test_a_changed_record_is_named_by_the_chain(history: History, data: st.DataObject) -> None:
    records = history.records()
    seq = data.draw(st.integers(1, len(records)))
    record = bytearray(records[seq - 1])
    place = data.draw(st.integers(0, len(record) - 1))
    record[place] ^= data.draw(st.integers(1, 255))
    records[seq - 1] = bytes(record)
    system = System()
    with pytest.raises(CorruptError) as caught:
        fold(system, records, check_from=codec.GENESIS)
    assert caught.value.seq == seq
    assert system.position == seq - 1


_OTHER_PROCESS = """
import sys
from atomicstate.projectors.system import System
from tests.property.test_projectors import documents, rendered, told
system = System.from_bytes(bytes.fromhex(sys.stdin.read()))
print(documents(told(), system, system.wanted)[0].hex())
print(rendered(told(), system, system.wanted).hex())
"""


def told() -> History:
    """A story with packages, modules, variables and resources."""
    history = History()
    for name in ("jq", "curl", "g++", "vim"):
        history.live(name)
    history.apply()
    history.remove("nano", "jq", in_base=["nano"])
    history.set_resource("files/motd", "hello")
    history.add_module(Module("copy", CopyBody("files/motd", "/etc/motd")), -2)
    history.add_module(Module("shell", ShellBody("echo ${{ Env.NAME }}"), env={"A": "ö"}))
    history.set_env("NAME", "wörld")
    history.set_base("localhost/base:2")
    return history


def test_another_process_in_another_time_zone_writes_the_same_bytes() -> None:
    history = told()
    system = System()
    fold(system, history.records())
    recipe = documents(history, system, system.wanted)[0]
    containerfile = rendered(history, system, system.wanted)
    assert b"files/motd" in recipe
    assert b"\nRUN " in containerfile
    for zone, seed in (("Pacific/Kiritimati", "1"), ("America/St_Johns", "77")):
        other = subprocess.run(
            [sys.executable, "-c", _OTHER_PROCESS],
            input=system.to_bytes().hex(),
            env={**os.environ, "TZ": zone, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert [bytes.fromhex(line) for line in other.stdout.split()] == [recipe, containerfile]


def test_a_deployment_from_long_ago_is_no_reason_to_guess() -> None:
    history = History()
    made = []
    for name in NAMES * 4:
        history.add(name)
        made.append(history.apply())
        history.boot()
    history.rollback = (history.rollback[0], made[0] or "")
    history.boot_rollback()
    compact, whole = System(slack=ALWAYS), System(compact=False)
    fold(compact, history.records())
    fold(whole, history.records())
    assert not compact.complete
    assert whole.complete
    assert applied(whole) == history.made[made[0] or ""]


def test_taking_back_what_was_let_go_is_noticed() -> None:
    history = History()
    first = history.add("jq")
    for _ in range(2):
        history.remove("jq")
    history.add("vim", "nano")
    # Let go: both deployments hold it, and what supersedes it twice.
    for _ in range(2):
        history.apply()
        history.boot()
    history.change_wanted((first,), ())
    compact, whole = System(slack=ALWAYS), System(compact=False)
    for event in history.events:
        compact.apply(event)
        whole.apply(event)
    assert [(item.seq, item.change) for item in pending(whole)] == [(first, "drop")]
    assert not compact.complete


def long_life() -> History:
    """Many rounds of the same packages, each applied and booted."""
    history = History()
    for _round in range(6):
        for name in NAMES:
            history.add(name)
            history.remove(name)
        history.apply()
        history.boot()
    return history


def test_the_newest_change_of_a_package_is_undone_without_the_whole_log() -> None:
    history = long_life()
    compact, whole = System(slack=ALWAYS), System(compact=False)
    fold(compact, history.records())
    fold(whole, history.records())
    last = history.actions[-1]
    assert compact.can_tell_without({last})
    history.change_wanted((last,), ())
    for system in (compact, whole):
        fold(system, history.records()[system.position :])
    assert len(compact.actions) < len(history.actions) / 2
    assert compact.complete
    assert answers(history, compact) == answers(history, whole)


def test_undoing_all_that_superseded_what_was_let_go_is_noticed() -> None:
    history = long_life()
    of_jq = history.asked_for("jq")
    compact = System(slack=ALWAYS)
    fold(compact, history.records())
    newest = set(of_jq) & compact.actions.keys()
    assert newest < set(of_jq)
    assert not compact.can_tell_without(newest)
    history.change_wanted(newest, ())
    fold(compact, history.records()[compact.position :])
    assert not compact.complete


def test_a_view_that_was_whole_stays_small_from_there_on() -> None:
    history = long_life()
    system = System(compact=False)
    fold(system, history.records())
    before = len(system.to_bytes())
    system.let_go()
    assert len(system.to_bytes()) < before / 2
    again = System.from_bytes(system.to_bytes())
    again.keep_all()
    assert again.complete


def test_the_view_stays_small_while_the_log_grows() -> None:
    history = History()
    sizes = []
    system = System(slack=16)
    for _round in range(24):
        for name in NAMES * 6:
            history.add(name)
            history.remove(name)
        history.apply()
        history.boot()
        fold(system, history.records()[system.position :])
        sizes.append(len(system.to_bytes()))
    assert max(sizes[12:]) < 1.2 * max(sizes[:12])


def test_the_view_stays_small_while_modules_come_and_go() -> None:
    history = History()
    sizes = []
    system = System(slack=16)
    for round_ in range(36):
        for _time in range(20):
            seq = history.add_module(Module("shell", ShellBody("true")))
            history.change_module(seq, Module("shell", ShellBody("false")))
            history.remove_module(seq)
            history.set_env("A", str(round_))
            history.set_resource("root", "x")
        history.apply()
        history.boot()
        fold(system, history.records()[system.position :])
        sizes.append(len(system.to_bytes()))
    assert max(sizes[24:]) < 1.2 * max(sizes[:24])


def test_a_module_keeps_its_place_when_the_one_that_it_was_put_before_is_let_go() -> None:
    history = History()
    gone = history.add_module(Module("shell", ShellBody("gone")), -2)
    first = history.add_module(Module("shell", ShellBody("first")), gone)
    last = history.add_module(Module("shell", ShellBody("last")))
    history.remove_module(gone)
    changed = history.add_module(Module("shell", ShellBody("it")))
    history.change_module(changed, Module("shell", ShellBody("it, changed")))
    for _ in range(4):
        history.apply([history.add("jq")] if _ else None)
        history.boot()
    system = System(slack=ALWAYS)
    fold(system, history.records())
    made = composed(history, system, system.wanted)
    assert made.slots[:3] == (-1, first, -2)
    assert made.slots[3:5] == (last, changed)
    assert made.recipe.modules[4].body == ShellBody("it, changed")


def test_what_was_left_out_of_a_deployment_stays_pending() -> None:
    history = History()
    left_out = [history.add("jq"), history.remove("jq")]
    for _round in range(4):
        history.apply([history.add("jq")])
        history.boot()
    system = System(slack=ALWAYS)
    fold(system, history.records())
    assert [item.seq for item in pending(system)] == left_out
    assert len(system.actions) < len(history.actions)


def test_what_a_rollback_took_away_is_held_back_until_it_is_named() -> None:
    history = History()
    history.add("jq")
    history.apply()
    history.boot()
    bad = history.add("vim")
    history.apply()
    history.boot()
    history.roll_back()
    history.boot()
    system = System()
    fold(system, history.records())
    assert pending(system) == []
    assert [item.seq for item in held(system)] == [bad]
    history.apply([bad])
    fold(system, history.records()[system.position :])
    assert (pending(system), held(system)) == ([], [])
    assert bad in (applied(system) or ())


def test_what_is_held_back_makes_nothing_superfluous() -> None:
    history = History()
    first = history.add("vim")
    history.apply()
    history.boot()
    history.add("vim")
    transaction = history.apply()
    history.boot()
    history.roll_back()
    assert transaction
    history.deploy(transaction)
    history.boot()
    history.stage_foreign()
    system = System(slack=ALWAYS)
    fold(system, history.records())
    assert [item.seq for item in pending(system)] == [first]


def test_a_staged_deployment_that_did_not_come_up_is_known() -> None:
    history = History()
    seq = history.add("jq")
    transaction = history.apply()
    history.power_cut()
    system = System()
    fold(system, history.records())
    assert system.dropped == transaction
    assert [item.seq for item in pending(system)] == [seq]
    assert transaction
    history.deploy(transaction)
    fold(system, history.records()[system.position :])
    assert (system.dropped, pending(system)) == ("", [])


def test_an_adopted_deployment_holds_its_base_alone() -> None:
    history = History()
    history.add("jq")
    history.apply()
    history.boot()
    history.stage_foreign()
    history.adopt()
    system = System()
    fold(system, history.records())
    assert applied(system) == {history.actions[-1]}
    assert [item.names for item in pending(system)] == [("jq",)]
    assert base_of(system, applied(system) or ())[0].startswith("x:")


def test_an_adopted_deployment_lacks_what_was_let_go_too() -> None:
    history = History()
    for _round in range(3):
        history.add("jq")
        history.remove("jq")
        history.apply()
        history.boot()
    history.stage_foreign()
    history.adopt()
    compact = System(slack=ALWAYS)
    fold(compact, history.records())
    assert len(compact.actions) < len(history.actions)
    assert not compact.complete
