"""A transaction's story, told of its events."""

from __future__ import annotations

from atomicstate.projectors.transactions import Transaction
from tests.support.histories import APPLY_STEPS, History, checksum, image_id


def story(history: History, transaction: str | None) -> Transaction:
    events = [event for event in history.events if event.transaction == transaction]
    found = Transaction.of(events)
    assert found is not None
    return found


def test_an_apply_that_went_well() -> None:
    history = History()
    history.add("jq")
    transaction = history.apply()
    assert transaction
    found = story(history, transaction)
    assert (found.mode, found.outcome) == ("apply", "done")
    assert [step.name for step in found.steps] == list(APPLY_STEPS)
    assert found.ended is not None
    assert (found.checksum, found.image_id) == (checksum(transaction), image_id(transaction))
    # Each event comes ten nanoseconds of CLOCK_BOOTTIME after the one before.
    assert [step.duration for step in found.steps[:3]] == [10, 10, 10]


def test_an_apply_that_failed_tells_the_step_and_the_reason() -> None:
    history = History()
    history.add("jq")
    found = story(history, history.apply(stop="build", end="undone"))
    assert found.outcome == "rolled back"
    assert found.code == "CONTAINER"
    assert {step.name: step.status for step in found.steps} == {
        "config": "undone",
        "containerfile": "undone",
        "build": "undone",
    }
    assert found.steps[2].code == "CONTAINER"


def test_an_apply_that_was_cut_short_is_open() -> None:
    history = History()
    history.add("jq")
    found = story(history, history.apply(stop="switch", end="cut"))
    assert (found.outcome, found.ended) == ("open", None)
    assert found.steps[-1].status == "started"
    assert found.steps[-1].duration is None


def test_a_live_one_ends_with_its_action() -> None:
    history = History()
    found = story(history, history.live("jq"))
    assert (found.mode, found.outcome) == ("live", "done")
    assert found.action == history.actions[-1]
    assert story(history, history.live("vim", end="cut")).outcome == "open"
    assert story(history, history.live("vim", end="undone")).outcome == "rolled back"


def test_the_overlay_alone() -> None:
    history = History()
    history.enable_overlay()
    found = story(history, history.events[-1].transaction)
    assert (found.mode, found.outcome) == ("overlay", "done")


def test_events_without_a_beginning_are_no_transaction() -> None:
    assert Transaction.of(History().events) is None
