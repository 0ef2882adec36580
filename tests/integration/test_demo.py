"""The first command of the README."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support.program import LIMIT, PROGRAM

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_the_demo_tells_the_main_job_in_a_sandbox_that_is_there(sandbox_host):
    directory = sandbox_host.sandbox.directory
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo", "--dir", directory],
        cwd=PROGRAM.parent.parent.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    story, _, end = done.stdout.partition("$ atomicstate sandbox reboot")
    assert "Added jq" in story
    assert "/usr/bin/jq" in end, "the package is in what was booted"
    assert end.index("$ atomicstate status") < end.index("$ atomicstate log")
    told = end.partition("$ atomicstate log")[2]
    assert re.search(r"apply +root +1 to add: [0-9a-f]{12} boots next", told)


def test_the_demo_says_in_a_sentence_why_it_cant_go_on(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo", "--dir", tmp_path],
        cwd=PROGRAM.parent.parent.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("demo: `atomicstate sandbox create")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
