"""What the product is measured against: the bare loops that somebody would write first."""

from __future__ import annotations

import random
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb
import msgspec
from msgspec import Struct

from atomicstate.projectors.fold import BATCH
from atomicstate.projectors.narrow import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAP_SIZE = 1 << 31


class Who(Struct, gc=False):
    uid: int
    user: str
    login: int
    verb: str


class Boot(Struct, gc=False):
    id: str
    soft: int


class Asked(Struct, gc=False, tag_field="kind", tag="package.added"):
    names: tuple[str, ...]
    live: bool
    version: str


class Started(Struct, gc=False, tag_field="kind", tag="step.started"):
    step: str


class Done(Struct, gc=False, tag_field="kind", tag="step.done"):
    step: str
    evidence: dict[str, str]


class MapEvent(Struct, gc=False):
    """The product's event as msgspec writes it unless told otherwise: maps, names and all."""

    seq: int
    body: Asked | Started | Done
    transaction: str
    time: int
    boottime: int
    actor: Who
    boot: Boot
    cause: int
    request: str
    log_id: bytes


def map_events(count: int) -> Iterator[MapEvent]:
    """Events that take 240 bytes each; ids are short for that."""
    numbers = random.Random(1)
    who, log_id = Who(0, "root", 1000, "package add"), bytes(8)
    for seq in range(1, count + 1):
        unique = f"{numbers.getrandbits(64):016x}"
        body: Asked | Started | Done = Asked((f"lib{seq % 200}",), True, "1.0-1")
        if seq % 3 == 1:
            body = Started("containerfile and its image")
        elif seq % 3 == 2:
            body = Done("containerfile", {"is": unique[:14]})
        boot = Boot(unique[:8], 0)
        yield MapEvent(seq, body, unique, seq * 10**9, seq * 10**9, who, boot, seq - 1, "", log_id)


def open_bare(directory: Path, *, readahead: bool = True) -> Any:
    """A py-lmdb environment with nothing set but its size."""
    directory.mkdir(parents=True, exist_ok=True)
    return lmdb.open(str(directory), map_size=MAP_SIZE, readahead=readahead)


def fill_map_events(directory: Path, count: int) -> None:
    """A log of map_events in bare LMDB, 1,000 a commit."""
    encode = msgspec.msgpack.encode
    with open_bare(directory) as environment:
        events = map_events(count)
        for start in range(1, count + 1, 1000):
            with environment.begin(write=True) as transaction:
                for seq, event in zip(range(start, start + 1000), events, strict=False):
                    transaction.put(seq.to_bytes(8, "big"), encode(event), append=True)


def scan_and_decode(environment: Any) -> int:
    """S: every value, decoded. How many there were."""
    decode = msgspec.msgpack.Decoder(MapEvent).decode
    count = 0
    with environment.begin() as transaction, transaction.cursor() as cursor:
        for value in cursor.iternext(keys=False, values=True):
            decode(value)
            count += 1
    return count


def scan_and_decode_narrow(environment: Any) -> int:
    """Every event of a log of ours, as narrow as the view reads it, a batch at a time; how many."""
    count = 0
    with environment.begin() as transaction, transaction.cursor() as cursor:
        cursor.set_key((1).to_bytes(8, "big"))
        records = cursor.iternext(keys=False, values=True)
        while batch := list(islice(records, BATCH)):
            count += len(decoded(batch) or ())
    return count


def scan_and_hash(environment: Any) -> int:
    """Every record of a log of ours, its hash computed and compared. How many there were."""
    previous = bytes(32)
    count = 0
    with environment.begin() as transaction, transaction.cursor() as cursor:
        cursor.set_key((1).to_bytes(8, "big"))
        for record in cursor.iternext(keys=False, values=True):
            previous = blake2b(previous + record[:-32], digest_size=32).digest()
            if previous != record[-32:]:
                raise ValueError(f"event {count + 1}")
            count += 1
    return count
