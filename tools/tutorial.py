"""docs/history.md, a tutorial whose output is real: `python -m tools.tutorial`.

The commands run in a sandbox with a tiny base and a repository of its own.

What changes from run to run (ids, checksums, times, durations) is put in the place of something
that does not; the rest stands as the commands printed it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.generated import settle

PROGRAM = Path(sys.executable).with_name("atomicstate")
TARGET = Path(__file__).parents[1] / "docs" / "history.md"
SHOWN_AT = "/srv/box"
LIMIT = 600
"""Seconds; a command that takes longer hangs."""

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_HEX = re.compile(r"(?<![-\w])[0-9a-f]{12,64}\b")
_TIME = re.compile(
    r"\b(?P<day>\d{4}-\d\d-\d\d(?P<t>[T ])|[A-Z][a-z]{2} \d\d )\d\d:\d\d:\d\d"
    r"(?P<rest>\.\d{3} [+-]\d{4}|[+-]\d\d:\d\d)?"
)
_NUMBER = re.compile(r"^ *(?:[+-] +|at +event |Event )?(\d+)\b")
_TOOK = re.compile(r"\b\d+(\.\d+) s\b")
_AGE = re.compile(r", \d+ days? old$")
_LOGIN = re.compile(r", logged in as uid \d+")
_ZONES = {len(text): text for text in ("", "+00:00", ".000 +0000")}
_CHECKSUM = 12


class Tutorial:
    """The text, as it grows."""

    def __init__(self, sandbox: Path) -> None:
        self._sandbox = sandbox
        self._parts: list[str] = []
        self._known: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ATOMICSTATE_")
        }
        self._environment["ATOMICSTATE_SANDBOX"] = str(sandbox)

    @property
    def text(self) -> str:
        """The whole document."""
        return "\n\n".join(self._parts) + "\n"

    def say(self, text: str) -> None:
        """A paragraph, or several."""
        self._parts.append(text.strip())

    def run(self, *commands: str, status: int = 0) -> None:
        """Commands as typed after `atomicstate`, each with what it prints, in one block."""
        lines = []
        for command in commands:
            lines += [f"# atomicstate {command}", *self._output(command, status).splitlines()]
        self._parts.append("\n".join(["```console", *lines, "```"]))

    def quietly(self, *commands: str) -> None:
        """Commands that are not shown."""
        for command in commands:
            self._start(command, 0)

    def number(self, package: str) -> int:
        """The number of the newest action about `package`."""
        found = json.loads(self._start(f"log --kind package --package {package} -f json", 0))
        events = found["data"]["events"]
        return int([event["seq"] for event in events if package in event["data"]["names"]][-1])

    def _output(self, command: str, status: int) -> str:
        return self._settled(self._start(command, status))

    def _start(self, command: str, status: int) -> str:
        words = [word.replace(SHOWN_AT, str(self._sandbox)) for word in shlex.split(command)]
        done = subprocess.run(
            [PROGRAM, *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if done.returncode != status:
            raise RuntimeError(f"{command}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout.rstrip()

    # -- what does not change from run to run ----------------------------------------------------

    def _settled(self, output: str) -> str:
        text = output.replace(str(self._sandbox), SHOWN_AT)
        text = _LOGIN.sub("", _UUID.sub(self._id, text))
        lines, number = [], 0
        for line in text.splitlines():
            numbered = _NUMBER.match(line)
            number = int(numbered[1]) if numbered else number
            same = _AGE.sub(", less than a day old", _TOOK.sub(_duration, line))
            lines.append(_times(same, number))
        # Last: what stands for an id or a time is no checksum.
        return _HEX.sub(self._checksum, "\n".join(lines))

    def _id(self, match: re.Match[str]) -> str:
        place = len(self._names) + 1
        return self._names.setdefault(
            match[0], f"01a20bf3-{place:04x}-7000-8000-{'0' * 11}{place % 10}"
        )

    def _checksum(self, match: re.Match[str]) -> str:
        key = match[0][:_CHECKSUM]
        made = hashlib.sha256(f"{len(self._known) + 1}".encode()).hexdigest()
        return self._known.setdefault(key, made)[: len(match[0])]


def _times(line: str, number: int) -> str:
    """Times as if the event `number` had come twenty seconds times its number after ten."""
    minutes, seconds = divmod(20 * number, 60)
    clock = f"{10 + minutes // 60:02}:{minutes % 60:02}:{seconds:02}"

    def settled(match: re.Match[str]) -> str:
        day = f"2026-11-24{match['t']}" if match["t"] else "Nov 24 "
        return f"{day}{clock}{_ZONES[len(match['rest'] or '')]}"

    return _TIME.sub(settled, line)


def _duration(match: re.Match[str]) -> str:
    return "1" + "." + "5".ljust(len(match[1]) - 1, "0") + " s"


def tell(sandbox: Path) -> str:
    """The tutorial, told on the sandbox in that directory, which nobody used yet."""
    tutorial = Tutorial(sandbox)
    for part in (_begin, _look, _change_mind, _apply_parts, _find, _go_back):
        part(tutorial)
    return tutorial.text


def _begin(t: Tutorial) -> None:
    t.say(f"""
# A history you can steer

Written by `./dev docs` from a real run: `tools/tutorial.py` has the words, the commands print the
rest. Ids, checksums and times stand for those of the run.

The log keeps everything that was asked for and everything that was done. This is a walk through
what can be done with it: look at any point of it, take something back, apply a part, find what
broke, go back. The system is a sandbox with a handful of small packages; with `atomicstate
sandbox create {SHOWN_AT}` you can follow with packages of Debian.
    """)
    t.quietly("init")
    t.say("""
Say that this was asked for so far: an editor at once, two more packages for the next image, and
all of that applied and booted.
    """)
    t.run(
        "package add editor -y",
        "package add player paint --no-live -y -m 'for the party'",
    )
    t.quietly("apply -y", f"sandbox reboot {SHOWN_AT}")
    t.run("tag good")
    t.quietly(
        "package add server --no-live -y",
        "package remove paint -y",
        "package add viewer --no-live -y",
    )


def _look(t: Tutorial) -> None:
    t.say("""
## What happened

`log` is one line an event. A transaction, such as the apply, is one line as well, named by how it
ended; `-v` shows each of its steps, `--txn` those of one.
    """)
    t.run("log", "log --kind package --time iso -n 2")
    t.say("""
An event has a number, and a number is a **point** of the history: the state right after it. So is
`HEAD` (the newest), `HEAD~3`, a transaction (its id or the start of it), a tag, a time
(`yesterday`, `@{2 hours ago}`), and a deployment: `booted`, `staged`, `rollback`, `applied` (what
boots next). Every command takes any of them; one that is not there is answered with what was
near.
    """)
    t.run("log --tags")
    t.run("status --at goood", status=3)
    t.say("""
`show` tells everything about one: who, how, what libapt resolved, the steps and how long they
took, and what it changed in the recipe. With `--build-log` it prints what the build said.
    """)
    t.run("show good")
    t.say("""
Between two points (or from one to now) `diff` shows the recipe, the packages with their versions,
and the base.
    """)
    t.run("diff good", "diff good --stat")
    t.say("""
And before each line of the recipe (or of the `containerfile`) `--blame` puts the event that it
comes from, who asked for it, and when.
    """)
    t.run("config show --blame", "status --at 7")


def _change_mind(t: Tutorial) -> None:
    t.say("""
## Taking back

An undo changes what is wanted, not the log. What is pending is withdrawn, and where it has an
effect in the running system that is taken back by a plan of libapt's, which is shown first.
    """)
    paint, player = t.number("paint"), t.number("player")
    t.run(f"undo {paint} -y", "status")
    t.say("""
What was applied already becomes pending, to be dropped by the next image. An undo is an event
too: to undo it brings back what it took, and so does `redo`.
    """)
    t.run(f"undo {player} -y", "undo HEAD -y")
    t.say("""
What later actions stand on does not go without them: they are named, and `--cascade` takes them
along.
    """)
    t.run("package remove player --no-live -y")
    t.run(f"undo {player} -y", status=14)


def _apply_parts(t: Tutorial) -> None:
    t.say("""
## Applying a part

`apply` takes all that is pending, or what is named: numbers, ranges, transactions, everything
`--except` some. `--interactive` lets you choose in the terminal. What is left out stays pending.
A part that would mean something else without the rest is refused, with the names of what it
needs; `--with-dependencies` takes that along.
    """)
    player = t.number("player")
    t.run(f"apply --except {player} --simulate")
    t.quietly(f"apply --except {player} -y", f"sandbox reboot {SHOWN_AT}")
    t.run("status")


def _find(t: Tutorial) -> None:
    t.say("""
## Finding what broke it

Something was wrong when the viewer came, and right at the tag `good`. A command tells
which is which: exit status 0 says whole, another one broken, 125 that it can't be told. `bisect`
builds the state in the middle, runs the command in it, and halves again. It survives a kill: run
it again.
    """)
    t.run(
        f"bisect start {t.number('viewer')} good",
        "bisect run sh -c 'test ! -e /usr/share/server'",
        "bisect reset",
    )
    t.run(f"undo {t.number('server')} -y -m 'nothing opens any more'")


def _go_back(t: Tutorial) -> None:
    t.say("""
## Going back

`replay` derives a point from the first event on, without any snapshot, checks the chain of the
log on the way, and shows what is wanted differently now. Nothing is changed by it.
    """)
    t.run("replay --to 2")
    t.say("""
With `--restore` that state is wanted again: an event, which can be undone; `--apply` makes it
boot next, too.
    """)
    t.run("replay --to good --restore -y", "diff good", "undo HEAD -y")
    t.say("""
With `--sandbox DIR` the point is built and deployed in another sandbox, which is made if it is
not there; `--log FILE` takes the log from an export, of another machine perhaps. [Decision
7](decisions/0007-a-replay-in-another-sandbox.md) tells what that is and what it is not.

A rollback boots what was booted before, and leaves what is wanted alone: what it takes away is
held back. It is released by an `apply` that names it, or withdrawn by `undo`.
    """)
    t.run("rollback -y", "status")
    t.run("apply -y", status=8)
    t.run(f"apply {t.number('viewer')} --simulate")
    t.say("""
The options of all of these are in [the reference](cli.md).
    """)


def main() -> None:
    """Make a sandbox, tell the tutorial on it, and write it down."""
    sys.path.insert(0, str(TARGET.parents[1]))
    from atomicstate.host.sandbox import lifecycle
    from tests.support.tiny import make_tiny, tutorial_debs

    with tempfile.TemporaryDirectory(prefix="atomicstate-tutorial-", dir="/var/tmp") as folder:
        scratch, sandbox = Path(folder) / "scratch", Path(folder) / "box"
        make_tiny(sandbox, tutorial_debs(scratch / "debs"), scratch)
        try:
            text = tell(sandbox)
        finally:
            lifecycle.destroy(sandbox)
    settle(TARGET, text)


if __name__ == "__main__":
    main()
