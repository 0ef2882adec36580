"""The options of `log` as a query."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from atomicstate.errors import AtomicstateError, ValidationError
from atomicstate.events.codec import HASH_SIZE, encode
from atomicstate.events.upcasters import UPCASTERS
from atomicstate.store.search import Query, holds, is_kind, kinds_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from atomicstate.events.event import Event, UnknownEvent
    from atomicstate.store.log import Log

    OfRecord = Callable[[bytes], bool]
    OfEvent = Callable[[Event | UnknownEvent], bool]
    Part = tuple[tuple[OfRecord, ...], OfEvent]

# No plan, then a string of 64 characters, as MessagePack writes them: the digest of a plan's blob.
_PLAN_IN_BLOB = b"\xc0\xd9\x40"
_SHORTEST_PREFIX = 4
# What may match a text that stands alone, and not the same text among others: a look around, the
# very ends, and what takes all that it can get and gives nothing back.
_LOOKS_BEYOND = r"\(\?[=!<>]|[*+?}]\+|\\[AZ]"
_anything = msgspec.msgpack.Decoder()
_json = msgspec.json.Encoder().encode


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
    of_records = [test for part in parts for test in part[0]]
    return Query(tuple(of_records), tuple(part[1] for part in parts))


def _by_kind(log: Log, kinds: tuple[str, ...]) -> Part:
    known = kinds_of(log)
    for name in kinds:
        if not any(item == name or item.startswith(name + ".") for item in known):
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"kinds: {', '.join(sorted(known))}"
            raise ValidationError(f"there is no kind of event {name!r}", hint=hint)
    # A record of a kind that was replaced holds the old name, and is one of the new kind.
    words = {*kinds, *UPCASTERS}
    named = holds(*(name.encode() for name in words))
    return (named,), lambda event: is_kind(event, kinds)


def _by_transaction(txn: str) -> Part:
    wanted = txn.lower()
    if len(wanted) < _SHORTEST_PREFIX or not re.fullmatch(r"[0-9a-f-]{4,36}", wanted):
        raise ValidationError(
            f"{txn!r} is not the id of a transaction",
            hint="give the id as `log -v` shows it, or at least its first four digits",
        )
    return (holds(wanted.encode()),), lambda event: event.transaction.startswith(wanted)


def _by_actor(actor: str) -> Part:
    if actor.isascii() and actor.isdigit():
        uid = int(actor[:20])
        return (), lambda event: event.actor.uid == uid or event.actor.user == actor
    return (holds(_bytes(actor)),), lambda event: event.actor.user == actor


def _by_package(package: str, blobs: Path) -> Part:
    bare = package.partition(":")[0]

    @lru_cache(maxsize=1)
    def of_blob(digest: str) -> frozenset[str]:
        return _names_in_blob(blobs, digest)

    def concerns(event: Event | UnknownEvent) -> bool:
        body: Any = event.body
        if package in getattr(body, "names", ()) or bare in getattr(body, "names", ()):
            return True
        if getattr(body, "module_type", "") == "packages":
            return not _names_in_module(blobs, getattr(body, "module", "")).isdisjoint(
                (package, bare)
            )
        plan, digest = getattr(body, "plan", None), getattr(body, "plan_blob", "")
        if plan is not None:
            return any(change.name in (package, bare) for change in plan.changes)
        return bool(digest) and not of_blob(digest).isdisjoint((package, bare))

    return (holds(_bytes(bare), _PLAN_IN_BLOB, b"packages"),), concerns


def _names_in_blob(blobs: Path, digest: str) -> frozenset[str]:
    """The packages of a plan; none where the blob is gone or unreadable: the search goes on."""
    from atomicstate.events.plan import Plan
    from atomicstate.store.blobs import Blobs

    try:
        plan = msgspec.msgpack.decode(Blobs(blobs).get(digest), type=Plan)
    except (AtomicstateError, msgspec.DecodeError):
        return frozenset()
    return frozenset(change.name for change in plan.changes)


def _names_in_module(blobs: Path, digest: str) -> frozenset[str]:
    """The packages that a module installs or removes; none where its blob is gone or no module."""
    import msgspec

    from atomicstate.recipe.schema import PackagesBody
    from atomicstate.recipe.writer import decode_module
    from atomicstate.store.blobs import Blobs

    try:
        body = decode_module(Blobs(blobs).get(digest)).body
    except (AtomicstateError, msgspec.MsgspecError, KeyError):
        return frozenset()
    return frozenset((*body.install, *body.remove) if isinstance(body, PackagesBody) else ())


def _by_text(grep: str) -> Part:
    # Imported where it is used: most searches are for no text.
    from atomicstate.cli.needles import needles

    pattern = _compiled(grep)
    of_records: list[OfRecord] = []
    if found := needles(grep):
        of_records.append(holds(*map(_bytes, found)))
    if found != (grep,) and not re.search(_LOOKS_BEYOND, grep):
        of_records.append(_in_one_go(grep))
    return tuple(of_records), lambda event: any(map(pattern.search, _texts(encode(event))))


def _compiled(grep: str) -> re.Pattern[str]:
    import warnings

    try:
        with warnings.catch_warnings():
            # What Python warns of, such as `[[:alpha:]]`, means something else than it seems to.
            warnings.simplefilter("error")
            return re.compile(grep)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValidationError(f"{grep!r} is not a regular expression: {error}") from error


def _in_one_go(grep: str) -> OfRecord:
    """A search over all texts of a record, a line each: far quicker than one by one.

    Not for what _LOOKS_BEYOND.
    """
    anywhere = re.compile(grep, re.MULTILINE)

    def may_match(record: bytes) -> bool:
        try:
            texts = _json(_anything.decode(record[:-HASH_SIZE])).decode()
        except (msgspec.MsgspecError, TypeError, ValueError):
            return True  # damaged, or of a newer version: decoding it will say so
        # With a backslash in it, a text does not stand there as it is.
        return "\\" in texts or anywhere.search(texts.replace('"', "\n")) is not None

    return may_match


def _texts(encoded: bytes) -> list[str]:
    """Every text in an event, its kind and its actor among them."""
    texts: list[str] = []
    rest: list[Any] = [_anything.decode(encoded)]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            rest += value
        elif isinstance(value, dict):
            rest += value.keys()
            rest += value.values()
    return texts


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
