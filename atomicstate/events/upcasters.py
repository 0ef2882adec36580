"""Old bodies become new ones on reading.

A field added at the end needs none: its default serves. A kind that is replaced by another gets
an upcaster here, under its wire name, and is never written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from atomicstate.events.event import Event, wire_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from atomicstate.events.bodies import AnyBody
    from atomicstate.events.event import UnknownEvent

UPCASTERS: Mapping[str, Callable[[list[Any]], AnyBody]] = {}
"""Wire name of the old kind -> what makes the new body of its fields (without the tag)."""


def upcast(
    event: UnknownEvent, upcasters: Mapping[str, Callable[[list[Any]], AnyBody]] = UPCASTERS
) -> Event | None:
    """`event` with today's body, or None where no upcaster knows its kind."""
    body = bytes(event.body)
    upcaster = upcasters.get(wire_name(body))
    if upcaster is None:
        return None
    fields = msgspec.msgpack.decode(body, type=list)[1:]
    values = {name: getattr(event, name) for name in event.__struct_fields__}
    return Event(**{**values, "body": upcaster(fields)})
