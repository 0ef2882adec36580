"""Events as narrow Structs: what the view reads of them, and nothing else.

Making these classes and their decoder takes longer than folding a hundred events: loaded where
there are more.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, defstruct

from atomicstate.events import bodies, codec


class Added(Struct, array_like=True, gc=False, tag="package.added"):
    """The kind `package.added`."""

    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()


class Removed(Struct, array_like=True, gc=False, tag="package.removed"):
    """The kind `package.removed`."""

    names: tuple[str, ...]
    live: bool
    in_base: tuple[str, ...] = ()


class Begun(Struct, array_like=True, gc=False, tag="transaction.begun"):
    """The kind `transaction.begun`."""

    mode: str


class Started(Struct, array_like=True, gc=False, tag="step.started"):
    """The kind `step.started`."""

    step: str


class Done(Struct, array_like=True, gc=False, tag="step.done"):
    """The kind `step.done`."""

    step: str


class Skipped(Struct, array_like=True, gc=False, tag="step.skipped"):
    """The kind `step.skipped`."""

    step: str


STEPS: dict[type[Struct], str] = {Started: "started", Done: "done", Skipped: "skipped"}
"""The kinds that tell of a step, with the status that it has then."""

_FREQUENT: tuple[type[Struct], ...] = (Added, Removed, Begun, *STEPS)


def _rare() -> list[type[Struct]]:
    """A Struct without fields for each other kind: enough to know it by."""
    frequent = {kind.__struct_config__.tag for kind in _FREQUENT}
    return [
        defstruct(f"_{kind.__name__}", [], array_like=True, gc=False, tag=bodies.kind_of(kind))
        for kind in bodies.ALL
        if bodies.kind_of(kind) not in frequent
    ]


_Body: Any = Added
for _kind in (*_FREQUENT, *_rare()):
    _Body |= _kind

_Narrow = defstruct(
    "_Narrow",
    [("seq", int), ("body", _Body), ("transaction", str), ("time", int)],
    array_like=True,
    gc=False,
)
_decode = msgspec.msgpack.Decoder(list[_Narrow]).decode  # type: ignore[valid-type]


def decoded(batch: list[bytes]) -> list[Any] | None:
    """The events of `batch`; None where there is one that only a full reading can tell."""
    try:
        return _decode(codec.as_array([record[: -codec.HASH_SIZE] for record in batch]))
    except msgspec.DecodeError:
        return None
