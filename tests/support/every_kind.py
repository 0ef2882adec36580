"""A log with every kind of event, twice: each field filled, and each that has a default left out.

Made of the Structs themselves: a new kind is in by itself. The values mean nothing together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import inspect

from atomicstate.events.bodies import ALL
from atomicstate.events.event import Actor, BootInstance, Draft
from atomicstate.recipe import resources
from atomicstate.store.verify import BLOB_FIELDS, MANIFEST_FIELDS, MAP_FIELDS

if TYPE_CHECKING:
    from atomicstate.store.state import State

TRANSACTION = "01902d5e-7c00-7000-8000-000000000001"
REQUEST = "6f1f3fb6-3f0e-4b7c-9d2e-0a5b3c1d2e4f"
ACTOR = Actor(1001, "ève", -1, "package add", ("--yes", "--no-live"))
BOOT = BootInstance("2f1d" * 8, 2, "c" * 64, 1)


class _Named(NamedTuple):
    """The blobs that an event names: a manifest where it names one, else `plain`."""

    plain: str = ""
    manifest: str = ""


def make(state: State) -> None:
    """Make the log, and the blobs that it names; one of them is redacted."""
    state.make()
    blob, dropped = state.blobs.put(b"what a tool printed"), state.blobs.put(b"a secret")
    state.blobs.redact(dropped)
    entries = [resources.Entry("", 0o755), resources.Entry("a", 0o644, state.blobs.put(b"a file"))]
    manifest = state.blobs.put(resources.encode(entries))
    with state.create_log() as log:
        for seq, body in enumerate(ALL):
            full = _filled(body, _Named(dropped if seq % 2 else blob, manifest))
            bare = _filled(body, _Named(), required=True)
            log.append(
                [
                    Draft(
                        body=full,
                        actor=ACTOR,
                        boot=BOOT,
                        transaction=TRANSACTION,
                        cause=1,
                        request=REQUEST,
                    ),
                    Draft(body=bare, actor=Actor(0, "root", 0, "init")),
                ]
            )


def _filled(struct: type[Any], blobs: _Named, *, required: bool = False) -> Any:
    fields = inspect.type_info(struct).fields
    wanted = [field for field in fields if field.required or not required]
    return struct(**{field.name: _value(field.name, field.type, blobs) for field in wanted})


def _value(name: str, kind: Any, blobs: _Named) -> Any:  # noqa: PLR0911 - one a type
    blob = blobs.manifest if name in MANIFEST_FIELDS else blobs.plain
    if name in BLOB_FIELDS:
        return blob
    if name in MAP_FIELDS and isinstance(kind, inspect.DictType):
        return {"key": blob}
    match kind:
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 1 << 40
        case inspect.StrType():
            return f"{name} ü"
        case inspect.VarTupleType():
            return (_value(name, kind.item_type, blobs),) * 2
        case inspect.DictType():
            return {"key": _value(name, kind.value_type, blobs)}
        case inspect.UnionType():
            return _value(name, kind.types[0], blobs)
        case inspect.StructType():
            return _filled(kind.cls, blobs)
    raise NotImplementedError(f"no value for {kind}: add one")
