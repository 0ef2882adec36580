"""Steering the history and looking at it, over random valid histories."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atomicstate.engine import blame, documents, history, replay
from atomicstate.engine.points import Point
from atomicstate.engine.session import Session
from atomicstate.errors import ValidationError
from atomicstate.events.bodies import ModuleChanged, WantedChanged
from atomicstate.projectors import wanted
from atomicstate.projectors.fold import fold
from atomicstate.projectors.pending import kept
from atomicstate.projectors.recipe import Found, compose
from atomicstate.projectors.system import System
from atomicstate.projectors.wanted import Change
from atomicstate.recipe.writer import write
from atomicstate.store.header import FORMAT, MAGIC, Header
from atomicstate.store.log import write_whole
from tests.support.histories import ACTOR, FOUND, LOG_ID, History, actions, histories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def view(past: History) -> System:
    system = System(compact=False)
    fold(system, past.records())
    return system


def recipe(past: History) -> tuple[object, ...]:
    """The recipe of what is wanted, with what belongs to it: the document, resources, values."""
    system = view(past)
    assert system.origin
    made = compose(system, system.wanted, Found(FOUND, system.origin.resources, past.modules))
    return write(made.recipe), made.slots, made.resources, made.given


@contextmanager
def session_of(past: History) -> Iterator[Session]:
    """A session over a real log that holds the history, and the blobs that it names."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with Session(state, None, ACTOR) as session:
            session.state.make()
            for content in past.blobs.values():
                session.blobs.put(content)
            write_whole(state / "log", Header(MAGIC, FORMAT, LOG_ID, 0), iter(past.records()))
            yield session


def steered(past: History, steering: wanted.Steering) -> None:
    past.change_wanted(steering.void, steering.revive)


def action(seq: int) -> Change:
    return Change(seq, revive=frozenset({seq}))


def chosen(past: History, data: st.DataObject) -> list[int]:
    return data.draw(st.lists(st.sampled_from(past.actions), min_size=1, unique=True))


@given(histories(), actions())
@settings(deadline=None, max_examples=200)
def test_undo_after_do_is_the_recipe_before_and_redo_the_one_after(
    past: History, act: Callable[[History], list[int]]
) -> None:
    before = recipe(past)
    changes = [action(seq) for seq in act(past)]
    after = recipe(past)
    steered(past, wanted.undo(view(past).wanted, changes))
    assert recipe(past) == before
    steered(past, wanted.redo(view(past).wanted, changes))
    assert recipe(past) == after


@given(histories(), st.data())
@settings(deadline=None, max_examples=150)
def test_to_undo_an_undo_or_to_redo_it_is_what_was_before(
    past: History, data: st.DataObject
) -> None:
    if not past.actions:
        return
    before, there = recipe(past), view(past).wanted
    made = wanted.undo(there, map(action, chosen(past, data)))
    undoing = Change(len(past.events) + 1, made.void, made.revive, undoes=True)
    steered(past, made)
    assert view(past).wanted == there - made.void
    again = data.draw(st.sampled_from([wanted.undo, wanted.redo]))
    steered(past, again(view(past).wanted, [undoing]))
    assert recipe(past) == before


@given(histories(max_ops=12) | histories(max_ops=12, edits=True))
@settings(deadline=None, max_examples=15)
def test_a_replay_is_the_view_that_grew_event_by_event_at_every_point(past: History) -> None:
    with session_of(past) as session:
        grown = System()
        for event in past.events:
            grown.apply(event)
            at = session.system_at(event.seq)
            seqs = kept(at)
            document = documents.recipe_document(session, at, seqs)
            try:
                containerfile = documents.build(session, at, seqs).containerfile
            except ValidationError as error:
                with pytest.raises(ValidationError, match=re.escape(error.message)):
                    replay.replay(session, f"#{event.seq}")
            else:
                found = replay.replay(session, f"#{event.seq}")
                assert found.actions == tuple(sorted(seqs))
                assert (found.recipe, found.containerfile) == (document, containerfile)
            if grown.complete:
                assert documents.recipe_document(session, grown, kept(grown)) == document


@given(histories(max_ops=30, edits=True))
@settings(deadline=None, max_examples=40)
def test_blame_of_a_view_that_let_go_is_that_of_the_whole_one(past: History) -> None:
    compact = System(slack=-1_000_000)
    fold(compact, past.records())
    if not compact.complete:
        return
    with session_of(past) as session:
        whole = view(past)
        lines = blame.recipe(session, whole, kept(whole))
        assert blame.recipe(session, compact, kept(compact)) == lines


def without(past: History, seqs: set[int]) -> System:
    """The view of the same history, folded again with the actions `seqs` void."""
    system = view(past)
    body = WantedChanged(tuple(seqs), (), "undo")
    last = past.events[-1]
    system.apply(msgspec.structs.replace(last, seq=last.seq + 1, body=body, transaction=""))
    return system


def going_with(past: History, seq: int) -> set[int]:
    """The action, and those that change the module that it put there: these can't stay alone."""
    bodies = [(event.seq, event.body) for event in past.events]
    return {
        seq,
        *(other for other, body in bodies if isinstance(body, ModuleChanged) and body.slot == seq),
    }


@given(histories() | histories(edits=True))
@settings(deadline=None, max_examples=60)
def test_a_line_is_gone_or_anothers_without_the_event_that_it_is_blamed_on(
    past: History,
) -> None:
    with session_of(past) as session:
        system = view(past)
        lines = blame.recipe(session, system, kept(system))
        # Each that is wanted, blamed or not: one that is blamed for nothing takes nothing along.
        for seq in kept(system):
            gone = going_with(past, seq)
            left = without(past, gone)
            rest = blame.recipe(session, left, kept(left))
            assert not gone & {line.seq for line in rest}
            if isinstance(past.events[seq - 1].body, ModuleChanged):
                # What was there before is back, and what came later acts on that: an added package
                # can take out a module that did nothing but remove it.
                continue
            # And nothing goes with it that is blamed on another, but that there is no module:
            # of this everybody who took one out is the cause.
            others = Counter(
                line.text for line in lines if line.seq not in gone and line.text != "modules: []"
            )
            assert others <= Counter(line.text for line in rest)


@given(histories(), st.data())
@settings(deadline=None, max_examples=40)
def test_a_difference_applied_to_one_point_gives_the_other(
    past: History, data: st.DataObject
) -> None:
    points = st.integers(1, len(past.events))
    first, second = data.draw(points), data.draw(points)
    with session_of(past) as session:
        # Without what libapt resolved: these histories have no plans.
        there = documents.view(session, Point(first, str(first)))
        here = documents.view(session, Point(second, str(second)))
        found = history.between(session, first, there, second, here)
    old, new = found.recipe_before.decode(), found.recipe_after.decode()
    patch = "".join(unified_diff(old.splitlines(True), new.splitlines(True), "a", "b"))
    assert applied(old, patch) == new
    assert (there[1] | set(found.added)) - set(found.removed) == here[1]


def applied(text: str, patch: str) -> str:
    """`text` after a unified diff, by the diff's own line numbers; it must fit."""
    lines, out, place = text.splitlines(True), [], 0
    for line in patch.splitlines(True)[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            begin = int(start) - (count != "0")
            out += lines[place:begin]
            place = begin
        elif line.startswith("+"):
            out.append(line[1:])
        else:
            assert lines[place] == line[1:]
            if line.startswith(" "):
                out.append(lines[place])
            place += 1
    return "".join(out + lines[place:])
