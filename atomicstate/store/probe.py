"""Read all of an LMDB environment, in a process that may die of it.

Run as a program, with the standard library and lmdb alone: `probe.py DIRECTORY MAP [write]`.
LMDB maps the file and trusts it: on a damaged one it ends the process (SIGBUS, SIGSEGV, abort).
Exits 0 where all is readable, 3 where it is damaged, 4 where it can't tell; says why on stdout.
"""

from __future__ import annotations

import sys

import lmdb

DAMAGED = 3
CANT_TELL = 4
PRIVATE_FILE = 0o600


def walk(directory: str, map_size: int, *, write: bool) -> None:
    """Touch every page that a reader or the next writer would touch."""
    with lmdb.open(
        directory,
        map_size=map_size,
        readonly=not write,
        create=False,
        max_dbs=0,
        mode=PRIVATE_FILE,
    ) as environment:
        with environment.begin() as transaction, transaction.cursor() as cursor:
            count = sum(1 for _key in cursor.iternext(keys=True, values=True))
            if count != transaction.stat()["entries"]:
                raise lmdb.CorruptedError(f"{count} records are there, not as many as it says")
        if write:
            # The list of free pages is read by a writer alone. Nothing of this is written.
            with environment.begin(write=True) as transaction:
                transaction.put(b"\xff" * 8, bytes(20_000), append=True)
                transaction.abort()


def main() -> int:
    """Walk what the arguments name; the exit status is the answer."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    damage = tuple(
        getattr(lmdb, name)
        for name in ("CorruptedError", "PageNotFoundError", "InvalidError", "ProblemError")
        if hasattr(lmdb, name)
    )
    try:
        walk(sys.argv[1], int(sys.argv[2]), write="write" in sys.argv[3:])
    except lmdb.Error as error:
        sys.stdout.write(str(error))
        return DAMAGED if isinstance(error, damage) else CANT_TELL
    return 0


if __name__ == "__main__":
    sys.exit(main())
