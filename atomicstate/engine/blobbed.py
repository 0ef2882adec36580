"""Plans that are too large for an event live in a blob that the event names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atomicstate.events.bodies import PackageAdded, PackageRemoved
from atomicstate.events.plan import Plan

if TYPE_CHECKING:
    from atomicstate.engine.session import Session
    from atomicstate.store.blobs import Blobs

INLINE = 700
"""Bytes of an encoded plan that still go into the event itself."""


def store_plan(blobs: Blobs, plan: Plan) -> tuple[Plan | None, str]:
    """The fields `plan` and `plan_blob` of an event; the blob is durable when this returns."""
    encoded = msgspec.msgpack.encode(plan)
    if len(encoded) <= INLINE:
        return plan, ""
    return None, blobs.put(encoded)


def plan_of(blobs: Blobs, plan: Plan | None, plan_blob: str) -> Plan:
    """The plan that these two fields of an event give; an empty one where there is neither."""
    if plan_blob:
        return msgspec.msgpack.decode(blobs.get(plan_blob), type=Plan)
    return plan or Plan()


def recorded_plan(session: Session, seq: int) -> Plan:
    """What libapt resolved for the action `seq`; an empty plan for one of another kind."""
    body = session.event(seq).body
    if not isinstance(body, PackageAdded | PackageRemoved):
        return Plan()
    return plan_of(session.blobs, body.plan, body.plan_blob)
