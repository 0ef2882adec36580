"""A process of its own that uses a log as it is told on standard input, until it is killed.

A line `append TEXT...` appends these facts in one commit and answers `ok SEQ`; `loop N` appends
N and N+1 and so on for ever, each acknowledged on standard output as soon as it is durable.
"""

from __future__ import annotations

import sys
from pathlib import Path

from atomicstate.store.log import Log
from tests.support.logs import action, fact


def main(directory: Path) -> None:
    """Obey each line."""
    with Log.open(directory) as log:
        print("ready", flush=True)
        for line in sys.stdin:
            verb, *words = line.split()
            if verb == "append":
                events = log.append([fact(word) for word in words])
            elif verb == "act":
                events = log.append([action(*words)])
            else:
                loop(log, int(words[0]))
            print("ok", events[-1].seq, flush=True)


def loop(log: Log, number: int) -> None:
    """Append for ever; from one to five events a commit."""
    while True:
        count = number % 5 + 1
        log.append([fact(str(n)) for n in range(number, number + count)])
        number += count
        print(number - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
