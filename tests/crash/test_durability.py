"""Durability seen from outside, in the system calls: nothing is acknowledged before it is on disk.

LMDB writes the pages of a commit, flushes them, and then writes the meta page that makes them
the newest over a descriptor opened with O_DSYNC: that write is durable when it returns.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from atomicstate.store.blobs import digest_of
from atomicstate.store.state import State

CALLS = "openat,close,mkdir,rename,write,writev,pwrite64,pwritev,fsync,fdatasync,msync"
ACKNOWLEDGED = "acknowledged"

PROGRAM = f"""
import os, sys
from pathlib import Path
import lmdb
really = lmdb.open
lmdb.open = lambda *words, **options: really(*words, **{{**options, **eval(sys.argv[2])}})
from atomicstate.events.bodies import StepDone
from atomicstate.events.event import Draft
from atomicstate.store.state import State
from tests.support.logs import ACTOR, fact
state = State(Path(sys.argv[1]))
with state.open_log() as log:
    for size in (1, 2, 400):
        log.append([fact("x" * 300)] * size)
        os.write(1, b"{ACKNOWLEDGED}")
    blob = state.blobs.put(b"what the build said")
    log.append([Draft(body=StepDone("build", {{}}, blob), actor=ACTOR)])
    os.write(1, b"{ACKNOWLEDGED}")
"""


class Call(NamedTuple):
    """One system call that succeeded; `path` is what it worked on, `synchronous` with O_DSYNC."""

    name: str
    path: str
    synchronous: bool
    arguments: str


_LINE = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)(?:<(?P<opened>.*)>)?")
_DESCRIPTOR = re.compile(r"(\d+)<([^>]*)>")


def traced(state: State, options: dict[str, object]) -> list[Call]:
    """What the program did, in the order in which the calls returned."""
    trace = state.directory.parent / "trace"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-qq", "-s", "40", "-e", f"trace={CALLS}", "-o", trace),
            *(sys.executable, "-c", PROGRAM, state.directory, repr(options)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    calls, synchronous = [], set()
    for line in trace.read_text().splitlines():
        assert "resumed>" not in line, "two at once: the order can't be told"
        found = _LINE.search(line)
        if found is None or int(found["result"]) < 0:
            continue
        name, arguments = found["name"], found["arguments"]
        if name == "openat":
            change = synchronous.add if "SYNC" in arguments else synchronous.discard
            change(found["result"])
            continue
        of = _DESCRIPTOR.match(arguments)
        number, path = of.groups() if of else ("", arguments)
        calls.append(Call(name, path, number in synchronous, arguments))
    return calls


def commits(calls: list[Call]) -> list[list[Call]]:
    """The calls before each acknowledgement, since the one before."""
    parts: list[list[Call]] = [[]]
    for call in calls:
        if call.name == "write" and f'"{ACKNOWLEDGED}"' in call.arguments:
            parts.append([])
        else:
            parts[-1].append(call)
    return parts[:-1]


def is_durable(commit: list[Call], data: Path) -> bool:
    """Whether all that was written to `data` was on disk when the last of the calls returned."""
    ours = [call for call in commit if call.path == str(data)]
    *_before, last, meta = [at for at, call in enumerate(ours) if "write" in call.name]
    flushes = [at for at, call in enumerate(ours) if call.name in ("fsync", "fdatasync", "msync")]
    flushed = any(last < at < meta for at in flushes)
    return flushed and (ours[meta].synchronous or any(at > meta for at in flushes))


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.make()
    state.create_log().close()
    return state


def test_each_append_is_on_disk_before_it_is_acknowledged(state: State) -> None:
    done = commits(traced(state, {}))
    assert len(done) == 4
    assert all(is_durable(commit, state.log_directory / "data.mdb") for commit in done)


@pytest.mark.parametrize("option", ["sync", "metasync"])
def test_a_log_that_is_not_flushed_is_told_from_one_that_is(state: State, option: str) -> None:
    done = commits(traced(state, {option: False}))
    assert not any(is_durable(commit, state.log_directory / "data.mdb") for commit in done)


def test_a_blob_and_its_name_are_on_disk_before_the_event_that_names_it(state: State) -> None:
    commit = commits(traced(state, {}))[-1]
    [blob] = map(state.blobs.path, state.blobs.all())
    names = [call.name for call in commit]
    renamed = names.index("rename")
    assert f'"{blob}"' in commit[renamed].arguments
    [temporary] = [call.path for call in commit[:renamed] if call.name == "write"]
    data = str(state.log_directory / "data.mdb")

    def place(name: str, path: object) -> int:
        return next(at for at, c in enumerate(commit) if (c.name, c.path) == (name, str(path)))

    event = next(at for at, call in enumerate(commit) if call.path == data)
    assert place("write", temporary) < place("fsync", temporary) < renamed
    assert renamed < place("fsync", blob.parent) < event
    assert place("fsync", state.blobs.directory) < event


def test_a_blob_in_a_folder_that_another_just_made_has_its_folders_name_on_disk(
    state: State,
) -> None:
    """The other may have been killed between making the folder and flushing its name."""
    blob = digest_of(b"what the build said")
    state.blobs.path(blob).parent.mkdir()
    commit = commits(traced(state, {}))[-1]
    data = str(state.log_directory / "data.mdb")
    calls = [(call.name, call.path) for call in commit]
    event = next(at for at, (_name, path) in enumerate(calls) if path == data)
    assert ("fsync", str(state.blobs.directory)) in calls[:event]
