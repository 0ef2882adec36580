"""The machine's table, and what is made of it."""

from __future__ import annotations

import pytest

from atomicstate.errors import ConflictError
from atomicstate.machine import recovery, table
from atomicstate.machine.diagram import mermaid
from atomicstate.machine.pipeline import Pipeline
from atomicstate.machine.state import pipeline_state, transaction_state
from atomicstate.projectors.state import LAST_STEPS

MODES = tuple(table.START)


def run(mode: str, steps: tuple[str, ...]) -> tuple[Pipeline, dict[str, str]]:
    pipeline, statuses = Pipeline(mode), {}
    for step in steps:
        pipeline.done(step)
        statuses[step] = "done"
    return pipeline, statuses


@pytest.mark.parametrize("mode", MODES)
def test_the_live_run_and_the_table_agree_at_every_step(mode: str) -> None:
    required = tuple(step for step in table.steps(mode) if step not in table.OPTIONAL)
    for steps in (table.steps(mode), required):
        for length in range(len(steps) + 1):
            pipeline, statuses = run(mode, steps[:length])
            assert pipeline.state == transaction_state(mode, statuses)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_out_of_order_is_refused_and_changes_nothing(mode: str) -> None:
    steps = table.steps(mode)
    for length in range(len(steps)):
        pipeline, _statuses = run(mode, steps[:length])
        state = pipeline.state
        for other in {move.step for move in table.MOVES} - {steps[length]}:
            if (mode, other, state) in {move[:3] for move in table.MOVES}:
                continue
            with pytest.raises(ConflictError):
                pipeline.done(other)
            assert pipeline.state == state


@pytest.mark.parametrize("mode", MODES)
def test_before_the_pivot_there_is_a_way_back_and_after_it_none(mode: str) -> None:
    steps = table.steps(mode)
    for length in range(len(steps) + 1):
        pipeline, _statuses = run(mode, steps[:length])
        done = set(steps[:length])
        if done & table.PIVOTS and pipeline.state != table.START[mode]:
            assert pipeline.past_pivot
            with pytest.raises(ConflictError):
                pipeline.fail()
        elif length < len(steps):
            pipeline.fail()
            assert pipeline.state == table.ROLLING_BACK
            pipeline.undone()
            assert pipeline.state == table.START[mode]


def test_every_step_has_an_answer_to_an_interruption() -> None:
    assert set(recovery.RESUME) == {move.step for move in table.MOVES}


def test_the_step_that_ends_a_transaction_is_the_last_in_its_table() -> None:
    for mode, step in LAST_STEPS.items():
        assert table.steps(mode)[-1] == step


def test_the_state_is_that_of_the_pipeline_before_that_of_the_overlay() -> None:
    live, apply = ("live", {"overlay": "done"}), ("apply", {"config": "done"})
    shown = pipeline_state([live, apply], switched=False, pending=True, overlay=True)
    assert shown == table.CONFIGURED


@pytest.mark.parametrize(
    ("switched", "pending", "overlay", "state"),
    [
        (True, True, True, "switched"),
        (False, True, True, "recorded"),
        (False, False, True, "overlay"),
        (False, False, False, "idle"),
    ],
)
def test_without_a_transaction_the_first_that_holds_counts(
    switched: bool, pending: bool, overlay: bool, state: str
) -> None:
    assert pipeline_state([], switched=switched, pending=pending, overlay=overlay) == state


def test_the_diagram_names_every_step() -> None:
    drawn = mermaid()
    for move in table.MOVES:
        assert f"{move.source} --> {move.target}: {move.step}" in drawn
