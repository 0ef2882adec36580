"""The options of `log` as a query."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from atomicstate.cli.scan import Query, is_kind, kinds_of
from atomicstate.errors import AtomicstateError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from atomicstate.events.event import Event, UnknownEvent
    from atomicstate.store.log import Log

    Part = tuple[tuple[bytes, ...], Callable[[Event | UnknownEvent], bool]]

# A string of 64 characters as MessagePack begins it: perhaps the digest of a plan's blob.
_DIGEST = b"\xd9\x40"
_SHORTEST_PREFIX = 4


def query_of(
    log: Log,
    blobs: Path,
    *,
    kinds: tuple[str, ...],
    txn: str | None,
    actor: str | None,
    package: str | None,
    grep: str | None,
) -> Query:
    """What is asked for. Raises ValidationError for what can't be meant."""
    parts: list[Part] = []
    if kinds:
        parts.append(_by_kind(log, kinds))
    if txn is not None:
        parts.append(_by_transaction(txn))
    if actor is not None:
        parts.append(_by_actor(actor))
    if package is not None:
        parts.append(_by_package(package, blobs))
    if grep is not None:
        parts.append(_by_text(grep))
    needles = tuple(part[0] for part in parts if part[0])
    return Query(needles, tuple(part[1] for part in parts))


def _by_kind(log: Log, kinds: tuple[str, ...]) -> Part:
    known = kinds_of(log)
    for name in kinds:
        if not any(item == name or item.startswith(name + ".") for item in known):
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"kinds: {', '.join(sorted(known))}"
            raise ValidationError(f"there is no kind of event {name!r}", hint=hint)
    return tuple(name.encode() for name in kinds), lambda event: is_kind(event, kinds)


def _by_transaction(txn: str) -> Part:
    wanted = txn.lower()
    if len(wanted) < _SHORTEST_PREFIX or not re.fullmatch(r"[0-9a-f-]{4,36}", wanted):
        raise ValidationError(
            f"{txn!r} is not the id of a transaction",
            hint="give the id as `log -v` shows it, or at least its first four digits",
        )
    return (wanted.encode(),), lambda event: event.transaction.startswith(wanted)


def _by_actor(actor: str) -> Part:
    if actor.isascii() and actor.isdigit():
        uid = int(actor[:20])
        return (), lambda event: event.actor.uid == uid or event.actor.user == actor
    return (_bytes(actor),), lambda event: event.actor.user == actor


def _by_package(package: str, blobs: Path) -> Part:
    bare = package.partition(":")[0]

    @lru_cache(maxsize=1)
    def of_blob(digest: str) -> frozenset[str]:
        return _names_in_blob(blobs, digest)

    def concerns(event: Event | UnknownEvent) -> bool:
        body: Any = event.body
        if package in getattr(body, "names", ()) or bare in getattr(body, "names", ()):
            return True
        plan, digest = getattr(body, "plan", None), getattr(body, "plan_blob", "")
        if plan is not None:
            return any(change.name in (package, bare) for change in plan.changes)
        return bool(digest) and not of_blob(digest).isdisjoint((package, bare))

    return (_bytes(bare), _DIGEST), concerns


def _names_in_blob(blobs: Path, digest: str) -> frozenset[str]:
    """The packages of a plan; none where the blob is gone or unreadable: the search goes on."""
    import msgspec

    from atomicstate.events.plan import Plan
    from atomicstate.store.blobs import Blobs

    try:
        plan = msgspec.msgpack.decode(Blobs(blobs).get(digest), type=Plan)
    except (AtomicstateError, msgspec.DecodeError):
        return frozenset()
    return frozenset(change.name for change in plan.changes)


def _by_text(grep: str) -> Part:
    try:
        pattern = re.compile(grep)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValidationError(f"{grep!r} is not a regular expression: {error}") from error
    literal = bool(grep) and re.escape(grep) == grep and grep.isascii()
    return (
        (_bytes(grep),) if literal else (),
        lambda event: any(pattern.search(text) for text in _texts(event)),
    )


def _texts(event: Event | UnknownEvent) -> Iterator[str]:
    """Every text in an event, its kind and its actor among them."""
    import msgspec

    from atomicstate.events.codec import encode

    return _strings(msgspec.msgpack.decode(encode(event)))


def _strings(value: Any) -> Iterator[str]:  # noqa: ANN401 - any MessagePack value
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
