"""The view: snapshots, the fast fold, letting go, and recipes that don't depend on the order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomicstate.errors import CorruptError
from atomicstate.events import codec
from atomicstate.projectors.fold import fold
from atomicstate.projectors.pending import (
    applied,
    boots_next,
    held,
    kept,
    pending,
    selection,
    staged,
)
from atomicstate.projectors.recipe import base_of, layers, recipe_of
from atomicstate.projectors.system import System
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import Module, PackagesBody, Recipe
from atomicstate.recipe.writer import write
from tests.support.histories import NAMES, History, histories

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = -1_000_000
"""As slack: let go of what can be whenever what boots has moved."""

FOUND = Recipe(
    "localhost/base:1",
    (Module("packages", PackagesBody(("jq", "less"), ("nano",)), name="found"),),
)


@pytest.fixture(scope="module", autouse=True)
def _narrow_for_few_too() -> Iterator[None]:
    """The histories are short: else none of them would go the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atomicstate.projectors.fold.FEW", 0)
        yield


def documents(system: System, seqs: object) -> tuple[bytes, bytes]:
    chosen = frozenset(seqs)  # type: ignore[call-overload]
    base, base_id, _architecture = base_of(system, chosen)
    recipe = write(recipe_of(system, chosen, FOUND))
    return recipe, render(layers(system, chosen, FOUND), base_id, base, "deb")


def answers(system: System) -> tuple[object, ...]:
    """All that anybody asks of the view, apart from what it holds inside."""
    there = applied(system)
    return (
        boots_next(system),
        pending(system),
        staged(system),
        documents(system, system.wanted),
        documents(system, there) if there is not None else None,
        system.host,
        system.open,
        system.last_action,
        system.dropped,
        held(system),
        documents(system, kept(system)),
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
        assert answers(resumed) == answers(whole)


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


@given(histories(max_ops=30))
@settings(deadline=None, max_examples=250)
def test_letting_go_is_not_seen(history: History) -> None:
    compact, whole = System(slack=ALWAYS), System(compact=False)
    for event in history.events:
        compact.apply(event)
        whole.apply(event)
        assert whole.complete
        if not compact.complete:
            return
        assert answers(compact) == answers(whole)


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
        assert answers(compact) == answers(whole)


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
        left = documents(compact, compact.wanted - void)
        assert left == documents(whole, whole.wanted - void)


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
    at_once = documents(system, selection(system, add, drop))

    part = [seq for place, seq in enumerate(history.pending()) if bits >> place & 1]
    history.apply(part)
    history.apply()
    system = view_of(history)
    there = applied(system)
    assert there is not None
    assert documents(system, there) == at_once


@given(histories())
@settings(deadline=None, max_examples=100)
def test_the_recipe_reads_back(history: History) -> None:
    system = System()
    fold(system, history.records())
    recipe = recipe_of(system, system.wanted, FOUND)
    assert read(write(recipe)) == recipe


@given(histories())
@settings(deadline=None, max_examples=100)
def test_the_last_word_on_a_package_counts(history: History) -> None:
    system = System()
    fold(system, history.records())
    body = [module.body for module in recipe_of(system, system.wanted, FOUND).modules]
    installs = [name for part in body for name in part.install]
    removes = [name for part in body for name in part.remove]
    assert len({*installs, *removes}) == len(installs) + len(removes)
    last = {
        name: system.actions[seq]
        for seq in sorted(system.wanted)
        for name in system.actions[seq].names
    }
    for name in NAMES:
        if name not in last:
            continue
        comes, in_base = last[name].kind == "package.added", name in last[name].in_base
        assert (name in installs) == (comes and not in_base)
        assert (name in removes) == (not comes and in_base)


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
from tests.property.test_projectors import documents
system = System.from_bytes(bytes.fromhex(sys.stdin.read()))
for part in documents(system, system.wanted):
    print(part.hex())
"""


def test_another_process_in_another_time_zone_writes_the_same_bytes() -> None:
    history = History()
    for name in ("jq", "curl", "g++", "vim"):
        history.live(name)
    history.apply()
    history.remove("nano", "jq", in_base=["nano"])
    history.set_base("localhost/base:2")
    system = System()
    fold(system, history.records())
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
        assert [bytes.fromhex(line) for line in other.stdout.split()] == list(
            documents(system, system.wanted)
        )


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
    assert answers(compact) == answers(whole)


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
