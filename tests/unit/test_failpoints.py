"""The crash points: what is listed is what the source has, and an armed one kills."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import atomicstate as package
from atomicstate import failpoints
from atomicstate.machine import table
from tests.support.program import atomicstate

SOURCE = Path(package.__file__).parent
REACH = """
import sys
from atomicstate.failpoints import reach
for name in sys.argv[1:]:
    reach(name)
    print(name, flush=True)
"""


def reached_in_source() -> tuple[Counter[str], Counter[str]]:
    """The names given to `failpoints.reach`: plain ones, and the ends of a step's."""
    plain: Counter[str] = Counter()
    of_a_step: Counter[str] = Counter()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.reach"):
                continue
            (name,) = node.args
            if isinstance(name, ast.Constant):
                plain[name.value] += 1
            else:
                assert isinstance(name, ast.JoinedStr), ast.unparse(node)
                of_a_step[name.values[-1].value.lstrip(".")] += 1
    return plain, of_a_step


def test_every_point_in_the_source_is_listed_and_the_other_way() -> None:
    plain, of_a_step = reached_in_source()
    assert plain.keys() == failpoints.POINTS.keys()
    assert of_a_step.keys() == failpoints.OF_A_STEP.keys()


def run(armed: str, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", REACH, *names],
        env={**os.environ, failpoints.VARIABLE: armed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("armed", "printed"),
    [
        ("b", ["a"]),
        ("b:1", ["a"]),
        ("b:2", ["a", "b", "a"]),
        ("*:1", []),
        ("*:3", ["a", "b"]),
        ("*", []),
    ],
)
def test_an_armed_point_kills_the_process(armed: str, printed: list[str]) -> None:
    done = run(armed, "a", "b", "a", "b")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == printed
    assert done.stderr.startswith("killed at the failpoint ")


@pytest.mark.parametrize("armed", ["", "c", "b:3", "*:5"])
def test_what_is_not_reached_so_often_does_nothing(armed: str) -> None:
    done = run(armed, "a", "b", "a", "b")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["a", "b", "a", "b"], "")


def test_the_process_group_dies_with_it() -> None:
    script = f"sleep 60 & echo $!; exec {sys.executable} -c '{REACH}' a"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, failpoints.VARIABLE: "a"},
        capture_output=True,  # ends with the last process that has the pipe
        text=True,
        timeout=30,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split()[0].isdecimal()


def test_what_the_program_starts_is_not_armed() -> None:
    script = "from atomicstate import process; print(process.run(['env']).text)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, failpoints.VARIABLE: "a"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "LC_ALL=" in done.stdout
    assert failpoints.VARIABLE not in done.stdout


def test_the_command_lists_every_point_with_its_meaning() -> None:
    listed = atomicstate("machine", "--failpoints", "-f", "json").data
    assert listed["variable"] == "ATOMICSTATE_FAILPOINT"
    names = [item["name"] for item in listed["failpoints"]]
    steps = {move.step for move in table.MOVES}
    expected = {f"{step}.{when}" for step in steps for when in failpoints.OF_A_STEP}
    assert names == sorted(expected | failpoints.POINTS.keys())
    assert all(item["meaning"] for item in listed["failpoints"])
    text = atomicstate("machine", "--failpoints").stdout.splitlines()
    assert [line.split()[0] for line in text] == names
