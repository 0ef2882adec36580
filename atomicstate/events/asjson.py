"""Events as plain values, for JSON: what `log -f json` and `export` show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from atomicstate.events.bodies import kind_of
from atomicstate.events.event import Event, UnknownEvent


def rfc3339(nanoseconds: int) -> str:
    """A time as RFC 3339, UTC, with nine digits of fraction."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def fields_of(value: msgspec.Struct) -> dict[str, Any]:
    """A Struct as a mapping by field name, deep: array-like ones too."""
    return {name: plain(getattr(value, name)) for name in value.__struct_fields__}


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """`value` with each Struct in it as a mapping, and tuples as lists."""
    if isinstance(value, msgspec.Struct):
        return fields_of(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def kind(event: Event | UnknownEvent) -> str:
    """The wire name of an event's kind."""
    return event.kind if isinstance(event, UnknownEvent) else kind_of(event.body)


def as_json(event: Event | UnknownEvent, record_hash: bytes) -> dict[str, Any]:
    """An event as JSON shows it: seq, time, txn, actor, kind, data, hash, and the rest.

    Of an unknown kind, `data` is the list of fields under `fields`.
    """
    if isinstance(event, UnknownEvent):
        data: Any = {"fields": msgspec.msgpack.decode(event.body, type=list)[1:]}
    else:
        data = fields_of(event.body)
    return {
        "seq": event.seq,
        "time": rfc3339(event.time),
        "txn": event.transaction or None,
        "actor": fields_of(event.actor),
        "kind": kind(event),
        "data": data,
        "hash": record_hash.hex(),
        "boottime": event.boottime,
        "boot": fields_of(event.boot) if event.boot else None,
        "cause": event.cause or None,
        "request": event.request or None,
        "log_id": event.log_id.hex(),
    }
