"""The row about commands that answer about the recent past, on a real host: whole processes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.host.ports import LABEL_LOG, LABEL_TRANSACTION
from atomicstate.host.sandbox import lifecycle
from atomicstate.host.sandbox.host import host_of
from atomicstate.host.sandbox.layout import open_sandbox
from atomicstate.store.search import Query, holds, search
from atomicstate.store.state import State
from benchmarks import mix
from benchmarks.bench import Bench, Row
from benchmarks.measure import Ratio, of, seconds
from benchmarks.starting import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FEW = 12
"""Events of the short log."""

LOOKING = (
    "log",
    "log -n 10",
    "log -v -n 10",
    "log --tags",
    "log --kind package -n 3",
    "log --since <time>",
    "log --txn <txn>",
    "show HEAD",
    "show <first>",
    "show <txn>",
    "show good",
    "diff HEAD~3",
    "diff <first> <last> --stat",
    "diff <txn> good",
    "diff <time>",
    "config show",
    "config show --blame",
    "config show --at HEAD~3 --blame",
    "containerfile --at <first>",
    "status",
    "status --at HEAD~3",
    "apply --simulate",
    "apply --simulate <first>",
    "apply --simulate --except <first>",
)
"""Commands that change nothing. A name in <> is a number, an id or a time of each log's own."""

CHANGING = (
    ("tag here", "tag here --delete"),
    ("note <last> again",),
    ("undo <last> -y", "redo <last> -y"),
    ("undo <last> -y", "undo HEAD -y"),
    ("bisect start HEAD <first>", "bisect status", "bisect reset"),
)
"""Commands that change something, in groups that come back to where they began."""


class Place(NamedTuple):
    """A sandbox, and what the names in COMMANDS stand for in its log."""

    sandbox: Path
    names: dict[str, str]

    def running(self, command: str) -> Callable[[], object]:
        """One run of it, which must go well."""
        return partial(run, self.sandbox, *(self.names.get(w, w) for w in command.split()))


def run(sandbox: Path, *words: str) -> bytes:
    """What the command prints, which must go well."""
    argv = [PROGRAM, "--sandbox", sandbox, *words]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


@contextmanager
def place(sandbox: Path, count: int) -> Iterator[Place]:
    """A host of whose log the first `count` events are of a long life, and the newest of today."""
    subprocess.run([PROGRAM, "sandbox", "create", sandbox], capture_output=True, check=True)
    try:
        run(sandbox, "init")
        if count:
            _grow(sandbox, count)
        names = _today(sandbox)
        yield Place(sandbox, names)
    finally:
        argv = [PROGRAM, "sandbox", "destroy", sandbox, "-y"]
        subprocess.run(argv, capture_output=True, check=True)


def _grow(sandbox: Path, count: int) -> None:
    """A long life in the log, whose newest two images are what boots."""
    state = State(sandbox / "state")
    documents = mix.Documents(state.blobs.put(b"image: base\n"), state.blobs.put(b"FROM base\n"))
    source = mix.drafts(documents)
    next(source)  # the host adopted itself
    with state.open_log() as log:
        mix.grow(log, source, count // mix.CYCLE * mix.CYCLE)
        staged = search(
            log, Query((holds(b"transaction.staged"),)), 1, log.head().seq, reverse=True
        )
        newest = [next(staged).event.transaction for _slot in range(2)]
        log_id = log.log_id.hex()
    host = host_of(open_sandbox(sandbox))
    context = sandbox / "state/bench"
    context.mkdir()
    file = context / "Containerfile"
    for transaction in reversed(newest):
        file.write_text(f"FROM localhost/atomicstate-base:bookworm\nRUN touch /usr/{transaction}\n")
        labels = {LABEL_LOG: log_id, LABEL_TRANSACTION: transaction}
        tag = f"localhost/bench:{transaction}"
        host.builder.build(context, file, labels, tag, lambda _line: None)
        host.deployer.stage(host.builder.resolve(tag))
        lifecycle.reboot(sandbox)


def _today(sandbox: Path) -> dict[str, str]:
    """What is asked for today, up to FEW events of it; the names of it."""
    run(sandbox, "status")
    for name in ("hello", "tree"):
        run(sandbox, "package", "add", name, "--no-live", "-y")
    run(sandbox, "overlay", "enable")
    run(sandbox, "package", "add", "jq", "--no-live", "-y")
    run(sandbox, "tag", "good")
    while True:
        events = json.loads(run(sandbox, "log", "-f", "json", "-n", str(FEW)))["data"]["events"]
        added = [event for event in events if event["kind"] == "package.added"][-3:]
        if events[-1]["seq"] - added[0]["seq"] >= FEW - 2:
            break
        run(sandbox, "note", "HEAD", "so that there are a dozen")
    run(sandbox, "status")
    return {
        "<first>": str(added[0]["seq"]),
        "<last>": str(added[-1]["seq"]),
        "<time>": added[1]["time"],
        "<txn>": next(event["txn"] for event in reversed(events) if event["txn"]),
    }


def _recent(bench: Bench) -> Ratio:
    ratios: list[Ratio] = []
    with place(bench.fresh(), 0) as short, place(bench.fresh(), bench.scale.many) as long:
        for group in (*((command,) for command in LOOKING), *CHANGING):
            for command, ratio in zip(group, _compared(bench, group, long, short), strict=True):
                print(
                    f"  {command:36}{ratio.seconds * 1000:6.0f} ms{ratio.median:8.2f}"
                    f" ({ratio.low:.2f}..{ratio.high:.2f})",
                    file=sys.stderr,
                    flush=True,
                )
                ratios.append(ratio)
    return max(ratios, key=lambda ratio: ratio.median)


def _compared(bench: Bench, group: tuple[str, ...], long: Place, short: Place) -> list[Ratio]:
    """Each command of the group, on the long log over the short one."""
    pairs: list[list[tuple[float, float]]] = [[] for _command in group]
    for _round in range(bench.scale.rounds):
        for taken, command in zip(pairs, group, strict=True):
            taken.append((seconds(long.running(command)), seconds(short.running(command))))
    return [
        of([mine / peers for mine, peers in taken], median(mine for mine, _peers in taken))
        for taken in pairs
    ]


ROWS = (
    Row(
        "recent",
        "the slowest of the commands about the recent past, whole process, long log",
        "a log of a dozen events",
        2.0,
        _recent,
    ),
)
