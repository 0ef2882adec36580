"""Hypothesis strategies made of the Structs themselves: a new kind of event is in by itself."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from atomicstate.events.bodies import ALL
from atomicstate.events.event import Actor, BootInstance, Draft, Event

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)


def of_type(kind: inspect.Type) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one a type
    """Values of a type as msgspec describes it."""
    match kind:
        case inspect.NoneType():
            return st.none()
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return INTEGERS
        case inspect.StrType():
            return TEXT
        case inspect.BytesType():
            return st.binary(max_size=20)
        case inspect.VarTupleType():
            return st.lists(of_type(kind.item_type), max_size=3).map(tuple)
        case inspect.DictType():
            return st.dictionaries(of_type(kind.key_type), of_type(kind.value_type), max_size=3)
        case inspect.UnionType():
            return st.one_of([of_type(member) for member in kind.types])
        case inspect.StructType():
            return of_struct(kind.cls)
    raise NotImplementedError(f"no strategy for {kind}: add one")


def of_struct(struct: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Instances of a Struct, every field drawn."""
    fields = inspect.type_info(struct).fields  # type: ignore[attr-defined]
    return st.builds(struct, **{field.name: of_type(field.type) for field in fields})


BODIES = st.one_of([of_struct(kind) for kind in ALL])
EVENTS = of_struct(Event)
DRAFTS = st.builds(
    Draft,
    body=BODIES,
    transaction=TEXT,
    actor=of_struct(Actor),
    boot=st.none() | of_struct(BootInstance),
    cause=st.integers(0, 1 << 40),
    request=TEXT,
)
