"""Each tool, at each of its calls, fails, lies, dies or hangs: a whole machine all the same.

Real tools behind scripts on PATH that count the calls.
"""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.crash.whole import check
from tests.support.seeds import seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.crash.conftest import Machines
    from tests.support.machines import Machine

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

APPLY = ("apply", "-y")
ADD = ("package", "add", "other", "-y")
BACK = ("rollback", "-y")
RESUME = ("resume", "-y")
TOOLS = ("podman", "buildah", "ostree", "unshare", "nsenter", "env", "cp", "rm")
WAYS = {
    "exits": "echo what went wrong >&2; exit 5",
    "works-and-fails": '"$real" "$@"; exit 1',
    "prints-garbage": r"printf '\377\376{\200[\n'; exit 0",
    "says-nothing": "exit 0",
    "is-killed": "kill -KILL $$",
    "hangs": "exec sleep 317.25",
}
PATIENCE = "6"
"""Seconds that a tool may take: more than any needs here."""

FINE = (0, 4, 9, 10, 11, 15)
"""It went through all the same; APT, CONTAINER, IMAGE, NO_SPACE, HOST. Never INTERNAL."""

MANY = 100
"""More calls than any command makes: a sweep that comes here does not end."""


def spoil(folder: Path, way: str, number: int) -> None:
    """Let the call `number` of any of the tools end that `way`; who it was is in `tool`."""
    folder.mkdir()
    for tool in TOOLS:
        path = folder / tool
        path.write_text(
            f"#!/bin/sh\nreal={shutil.which(tool)}\n"
            f"read -r n <{folder}/count; n=$((n + 1)); echo $n >{folder}/count\n"
            f"if [ $n = {number} ]; then echo {tool} $* >{folder}/tool; {WAYS[way]}; fi\n"
            'exec "$real" "$@"\n'
        )
        path.chmod(0o755)
    (folder / "count").write_text("0\n")


def run_spoiled(machine: Machine, folder: Path, words: tuple[str, ...], way: str, n: int) -> bool:
    """One round; returns whether there were so many calls."""
    spoil(folder, way, n)
    env = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "ATOMICSTATE_TOOL_TIMEOUT": PATIENCE,
    }
    ran = machine(*words, "-f", "json", env=env)
    came = folder / "tool"
    if not came.exists():
        assert ran.status == 0, ran
        return False
    machine.killed_at = f"{' '.join(words)}: {way}, call {n}: {came.read_text()[:200]}"
    assert ran.status in FINE, (machine.killed_at, ran)
    machine.acknowledge()
    check(machine, settled=False)
    machine.done(*RESUME)
    check(machine)
    return True


def test_some_tool_fails_at_some_call(machines: Machines, tmp_path: Path) -> None:
    """A sample of what the `crash` tests do, with another seed each day."""
    chance = random.Random(seed())
    quick = [way for way in WAYS if way != "hangs"]
    for number in range(2):
        words, way, call = chance.choice((APPLY, ADD)), chance.choice(quick), chance.randint(1, 9)
        print(f"{' '.join(words)}: {way}, call {call}")
        with machines() as machine:
            assert run_spoiled(machine, tmp_path / f"bin{number}", words, way, call)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("words", "template"),
    [(APPLY, "killable"), (ADD, "killable"), (BACK, "gone_far")],
    ids=["apply", "package-add", "rollback"],
)
def test_each_tool_fails_at_each_call(
    machines: Machines, tmp_path: Path, words: tuple[str, ...], template: str, way: str
) -> None:
    for number in range(1, MANY):
        with machines(template=template) as machine:
            if not run_spoiled(machine, tmp_path / f"bin{number}", words, way, number):
                break
    else:
        pytest.fail(f"more than {MANY} calls")
    print(f"{' '.join(words)}: {number - 1} calls of a tool, {way}")
    assert number > 1
