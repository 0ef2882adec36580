"""What a command imports decides how fast it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import sample_log

_SCRIPT = """
import sys
from atomicstate.cli.main import main
status = main(sys.argv[1:])
print("\\n".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(status)
"""

HEAVY = {
    "apt",
    "apt_pkg",
    "asyncio",
    "email",
    "gi",
    "http",
    "json",
    "lark",
    "logging",
    "lzma",
    "multiprocessing",
    "random",
    "re2",
    "rich",
    "ruamel",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "transitions",
    "watchfiles",
    "yaml",
}


def imported_by(*argv):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("argv", [["log"], ["log", "-n", "10", "-f", "json"]])
def test_log_imports_nothing_heavy_and_neither_engine_nor_host(argv, tmp_path):
    sample_log.make(tmp_path)
    modules = imported_by("--state-dir", tmp_path, *argv)
    assert not modules & HEAVY
    own = {name.split(".")[1] for name in modules if name.startswith("atomicstate.")}
    light = {"cli", "errors", "events", "interrupts", "store", "files", "failpoints"}
    # A page for people folds the transactions.
    assert own <= (light if "json" in argv else light | {"projectors"})


def test_a_command_that_needs_no_log_imports_no_lmdb():
    modules = imported_by("machine")
    assert not modules & (HEAVY | {"lmdb", "msgspec"})


@pytest.mark.sandbox
def test_status_loads_nothing_that_only_changes_a_host(shared_host, tmp_path):
    called = ("--sandbox", shared_host.sandbox.directory, "--state-dir", tmp_path)
    imported_by(*called, "init")
    imported_by(*called, "package", "add", "--no-live", "-y", "player")
    modules = imported_by(*called, "status")
    assert not modules & {*HEAVY, "dataclasses", "hashlib", "atomicstate.process"}


def test_the_schema_needs_neither_log_nor_yaml_nor_engine():
    modules = imported_by("config", "schema")
    assert not modules & (HEAVY | {"lmdb"})
    own = {name.split(".")[1] for name in modules if name.startswith("atomicstate.")}
    assert own <= {"cli", "errors", "interrupts", "recipe"}
