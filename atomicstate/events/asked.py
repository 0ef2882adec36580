"""Actions in words: what somebody asked for, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_VALUE = 60


def in_words(kind: str, data: Mapping[str, Any]) -> str:
    """The action of a kind with these fields as what it asks for: `add jq curl`.

    Of a kind that is not known here, its wire name. The text may hold what can't be printed.
    """
    describe = _OF_KIND.get(kind)
    return describe(data) if describe else kind


def _names(verb: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda data: f"{verb} {' '.join(data['names'])}"


def _base(data: Mapping[str, Any]) -> str:
    return f"base {data['reference']}"


def _module(data: Mapping[str, Any]) -> str:
    # A log of another program may leave out the words.
    return str(data["what"] or f"a module of the type {data['module_type'] or '?'}")


def _of_slot(before: str, after: str) -> Callable[[Mapping[str, Any]], str]:
    def describe(data: Mapping[str, Any]) -> str:
        return f"{before} {slot_label(data['slot'])}{after} {_module(data)}"

    return describe


def slot_label(slot: int) -> str:
    """The word for a module's slot: the number of the event that made it, or found-N."""
    return f"#{slot}" if slot > 0 else f"found-{-slot}"


def _env_set(data: Mapping[str, Any]) -> str:
    return f"{_variable(data)} {assignment(data['name'], data['value'])}"


def assignment(name: str, value: str) -> str:
    """`NAME=value`, on one line, shortened where it is long."""
    line = " ".join(value.split())
    return f"{name}={line if len(line) <= _VALUE else f'{line[: _VALUE - 3]}...'}"


def _variable(data: Mapping[str, Any]) -> str:
    return "given value" if data["given"] else "variable"


def _resource(data: Mapping[str, Any]) -> str:
    files = data["files"]
    return f"resource {data['name']}, {'1 file' if files == 1 else f'{files} files'}"


_OF_KIND: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "package.added": _names("add"),
    "package.removed": _names("remove"),
    "base.set": _base,
    "base.updated": _base,
    "deployment.adopted": _base,
    "module.added": _module,
    "module.changed": _of_slot("change", " to:"),
    "module.removed": _of_slot("take out", ":"),
    "env.set": _env_set,
    "env.removed": lambda data: f"no {_variable(data)} {data['name']}",
    "resource.set": _resource,
    "resource.removed": lambda data: f"no resource {data['name']}",
}
