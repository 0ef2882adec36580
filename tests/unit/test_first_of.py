"""Where a transaction is looked for, by its id."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from atomicstate.cli.main import main
from atomicstate.events.bodies import StepStarted, TransactionBegun
from atomicstate.events.event import Actor, Draft
from atomicstate.store.log import Log
from atomicstate.store.search import first_of
from atomicstate.store.snapshots import Snapshots

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60_000_000_000
START = 1_750_000_000_000_000_000
COUNT = 200


def made_at(minute: int) -> str:
    """The id of a transaction that was made then."""
    milliseconds = (START + minute * MINUTE) // 1_000_000
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62 | minute))


@pytest.fixture
def log(tmp_path: Path):
    """A log of a transaction a minute, each of a begin and a step; at 150 an hour was lost."""
    with Log.create(tmp_path / "log") as made:
        for minute in range(COUNT):
            for body in (TransactionBegun("apply"), StepStarted("build")):
                lost = 60 * (minute > 150 or (minute == 150 and isinstance(body, StepStarted)))
                wall = START + (minute - lost) * MINUTE
                actor = Actor(0, "root", 0, "apply", ())
                draft = Draft(body=body, actor=actor, transaction=made_at(minute))
                made.append([draft], now=lambda wall=wall: (wall, wall - START))
        yield made


@pytest.mark.parametrize("characters", [8, 13, 36])
@pytest.mark.parametrize("minute", [0, 1, 50, 89])
def test_it_is_looked_for_from_shortly_before_it_was_made(log, tmp_path, minute, characters):
    wanted = made_at(minute)[:characters]
    first = first_of(log, Snapshots(tmp_path), wanted)
    assert 2 * (minute - 4) <= first <= 2 * minute + 1


def test_a_start_that_many_have_is_looked_for_everywhere(log, tmp_path):
    assert first_of(log, Snapshots(tmp_path), made_at(50)[:6]) == 1


@pytest.mark.parametrize("minute", [50, 149, 150, 151, 199])
def test_all_of_it_is_found_though_the_clock_went_back(log, tmp_path, minute, capsys):
    log.close()
    main(["--state-dir", str(tmp_path), "log", "--txn", made_at(minute), "-f", "jsonl"])
    assert len(capsys.readouterr().out.splitlines()) == 2
