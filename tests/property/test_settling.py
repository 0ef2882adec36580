"""When an edit is looked at, with a clock that the test turns."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atomicstate.settling import PATIENCE, Settling

SETTLE = 2.0
_STEPS = st.sampled_from([0.0, 0.5, 1.0, 1.5, 1.75, 2.0, 2.5, 7.0, 30.0])


class Watching(RuleBasedStateMachine):
    """Somebody edits, and a watch waits as it does: it looks as soon as a look is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.settling = Settling(SETTLE)
        self.edits: list[float] = []
        self.wish: float | None = None

    @rule(seconds=_STEPS)
    def time_goes_by(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.settling.due) is not None and due <= end:
            self.now = max(self.now, due)
            self.look()
        self.now = end

    @rule()
    def an_edit(self) -> None:
        self.settling.changed(self.now)
        self.edits.append(self.now)

    @rule(seconds=_STEPS)
    def a_look_that_could_not_be_done(self, seconds: float) -> None:
        if not self.edits:
            wish = self.now + seconds
            self.wish = wish if self.wish is None else min(self.wish, wish)
            self.settling.again(wish)

    def look(self) -> None:
        if self.edits:
            calm = self.now - self.edits[-1] >= SETTLE
            assert calm or self.now - self.edits[0] >= PATIENCE * SETTLE
        else:
            assert self.wish is not None and self.now >= self.wish
        self.edits.clear()
        self.wish = None
        self.settling.looked()

    @invariant()
    def every_edit_and_wish_comes_to_a_look(self) -> None:
        due = self.settling.due
        if self.edits:
            assert due is not None
            assert due <= self.edits[-1] + SETTLE
            assert due <= self.edits[0] + PATIENCE * SETTLE
        else:
            assert due == self.wish


TestWatching = Watching.TestCase
TestWatching.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(st.lists(st.floats(0, SETTLE, exclude_max=True, width=16), min_size=30, max_size=200))
def test_what_never_settles_is_looked_at_all_the_same(pauses: list[float]) -> None:
    settling, now, first = Settling(SETTLE), 0.0, 0.0
    for pause in pauses:
        settling.changed(now)
        due = settling.due
        assert due is not None
        assert due <= first + PATIENCE * SETTLE
        now += pause
        if now >= due:
            settling.looked()
            first = now


def test_nothing_is_due_before_anything_happens() -> None:
    settling = Settling(SETTLE)
    assert settling.due is None
    settling.changed(1.0)
    settling.looked()
    assert settling.due is None


def test_it_grows_with_no_number_of_changes() -> None:
    settling = Settling(SETTLE)

    def held() -> int:
        return sum(map(sys.getsizeof, vars(settling).values()))

    settling.changed(1.0)
    before = held()
    for place in range(10_000):
        settling.changed(1.0 + place / 10_000)
    assert held() == before
