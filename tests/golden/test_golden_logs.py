"""Logs that earlier versions wrote are read for ever (README.md here)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atomicstate.recipe.containerfile import RENDERER
from atomicstate.store import transfer
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from tests.support import independent_reader
from tests.support.logs import action
from tests.support.program import atomicstate
from tools import golden
from tools.format_tables import TARGET as DOCUMENT

HERE = Path(__file__).parent
ALL = sorted(path.name for path in HERE.glob("format-*"))


@pytest.fixture(params=ALL)
def kept(request: pytest.FixtureRequest) -> Path:
    return HERE / request.param


@pytest.fixture
def state(kept: Path, tmp_path: Path) -> State:
    """A copy: opening makes files beside the log."""
    return State(shutil.copytree(kept / "state", tmp_path / "state"))


def covers(shown: Any, expected: Any) -> bool:
    """Whether `shown` has all of `expected`; objects may have members that came later."""
    if isinstance(expected, dict):
        return isinstance(shown, dict) and all(
            name in shown and covers(shown[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list):
        return len(shown) == len(expected) and all(map(covers, shown, expected))
    return type(shown) is type(expected) and shown == expected


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expected(kept: Path, name: str) -> str:
    return (kept / "expected" / name).read_text(encoding="utf-8")


def output(state: State, name: str) -> str:
    ran = atomicstate("--state-dir", state.directory, *golden.SHOWN[name])
    assert ran.status == 0, ran.stderr
    return ran.stdout


def test_there_is_one_of_format_1():
    assert "format-1" in ALL


@pytest.mark.parametrize("name", ["log.jsonl", "export.jsonl"])
def test_each_event_is_shown_as_it_was(kept: Path, state: State, name: str):
    was, shown = lines(expected(kept, name)), lines(output(state, name))
    assert len(shown) == len(was) > 30
    for line, old in zip(shown, was, strict=True):
        assert covers(line, old), (line, old)


@pytest.mark.parametrize("name", ["image.yml", f"containerfile-{RENDERER}"])
def test_the_projections_are_the_same_bytes(kept: Path, state: State, name: str):
    assert output(state, name) == expected(kept, name)


def test_its_blobs_and_its_chain_are_whole(kept: Path, state: State):
    with state.open_log(write=False) as log:
        report = verify(log, state.blobs)
    was = lines(expected(kept, "log.jsonl"))
    assert (report.checked, report.head.hash.hex()) == (len(was), was[-1]["hash"])
    assert (report.unknown, report.blobs_redacted) == (0, 1)


def test_it_goes_on(state: State):
    with state.open_log() as log:
        before = log.head().seq
        log.append([action("htop")])
        assert verify(log, state.blobs).head.seq == before + 1


def test_the_export_that_came_with_it_is_imported(kept: Path, tmp_path: Path):
    other = State(tmp_path / "imported")
    head = transfer.import_file(other, kept / "expected" / "export.jsonl")
    was = lines(expected(kept, "log.jsonl"))
    assert (head.seq, head.hash.hex()) == (len(was), was[-1]["hash"])


def test_the_reader_made_from_the_document_reads_it(kept: Path, state: State):
    argv = [sys.executable, "-I", independent_reader.__file__, state.directory, DOCUMENT]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    was = lines(expected(kept, "log.jsonl"))
    for line, old in zip(lines(ran.stdout), was, strict=True):
        del old["clock_went_back"]
        assert covers(line, old), (line, old)


def test_the_story_of_the_next_one_can_be_told(tmp_path: Path):
    state = State(tmp_path)
    state.make()
    golden.refuse_gaps(state)
    golden.write_log(state)
    with state.open_log(write=False) as log:
        assert verify(log, state.blobs).unknown == 0
