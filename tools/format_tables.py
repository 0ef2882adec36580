"""Write the tables of docs/on-disk-format.md from the Structs: `python -m tools.format_tables`.

Only what stands between the markers is replaced. With `--check`, write nothing and exit 1 where
the file is not what would be written.
"""

from __future__ import annotations

import inspect
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from atomicstate.events import bodies
from atomicstate.events.bodies import ALL, Body, kind_of
from atomicstate.events.event import Actor, BootInstance, Event
from atomicstate.events.plan import PackageChange, Plan
from atomicstate.store.header import Header
from tools.generated import filled, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).resolve().parent.parent / "docs/on-disk-format.md"

_SCALARS: Final[dict[Any, str]] = {str: "str", int: "int", bool: "bool", bytes: "bin"}
_NAMES: Final = {
    Plan: "[plan](#the-plan)",
    PackageChange: "[change](#the-plan)",
    Actor: "[actor](#actor)",
    BootInstance: "[boot instance](#boot-instance)",
}

_MEANINGS: Final[dict[type[msgspec.Struct], dict[str, str]]] = {
    Header: {
        "magic": '`"atomicstate-log"`',
        "format": "the format's number: 1",
        "log_id": "16 random bytes, the same in each event of the log",
        "created": "UTC, nanoseconds since 1970-01-01",
        "kinds": "wire names of the kinds that the log holds, sorted",
    },
    Event: {
        "seq": "the event's number, as in the key: 1, 2, 3, ... without a gap",
        "body": "what happened: see [the bodies](#the-bodies)",
        "transaction": "UUIDv7 as text (36 characters); empty: none",
        "time": "UTC, nanoseconds since 1970-01-01; may go back, `seq` is the order",
        "boottime": "CLOCK_BOOTTIME, nanoseconds since that boot",
        "actor": "who asked",
        "boot": "in which run of the system; nil where no host was asked",
        "cause": "number of the event that led to this one; 0: none",
        "request": "UUID as text, of the request that this answers; empty: none",
        "log_id": "16 bytes, as in the header",
    },
    Actor: {
        "uid": "effective user id",
        "user": "its name",
        "login_uid": "user id of the login (before sudo); -1: the kernel knows none",
        "verb": "the command: `package add`",
        "options": "names of the options that were given, never their values",
    },
    BootInstance: {
        "boot_id": "the kernel's boot id, as text",
        "soft_reboots": "soft reboots since that boot",
        "checksum": "the booted deployment's, 64 hexadecimal digits; empty: not known",
        "serial": "the booted deployment's serial",
    },
    Plan: {
        "changes": "in libapt's order",
        "download_size": "bytes",
        "installed_size": "bytes, net growth: negative where it shrinks",
    },
    PackageChange: {
        "kind": "`install`, `upgrade`, `downgrade`, `remove` or `configure`",
        "name": "the package",
        "version": "the one that comes, or goes",
        "architecture": "Debian's name: `amd64`",
        "was": "the version before; empty: none",
        "sha256": "of the archive, 64 hexadecimal digits; empty for what goes",
        "automatic": "comes as a dependency alone",
        "download_size": "bytes",
        "installed_size": "bytes, net growth",
    },
}


def _meaning(struct: type[msgspec.Struct], field: str) -> str:
    try:
        return _MEANINGS[struct][field]
    except KeyError:
        name = struct.__name__
        raise SystemExit(f"say in {Path(__file__).name} what {name}.{field} means") from None


def _type(hint: Any) -> str:  # noqa: ANN401 - a type
    """A field's type in the words of MessagePack."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hint in _NAMES:
        return _NAMES[hint]
    arguments = typing.get_args(hint)
    match typing.get_origin(hint):
        case types.UnionType | typing.Union:
            if set(arguments) == set(ALL):
                return "array"
            return " or ".join(
                "nil" if item is types.NoneType else _type(item) for item in arguments
            )
        case origin if origin is tuple:
            return f"array of {_type(arguments[0])}"
        case origin if origin is dict:
            return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    raise TypeError(f"no words for the type {hint}: add them to {Path(__file__).name}")


def _default(field: msgspec.structs.FieldInfo) -> str:
    """The default as JSON writes it, in code quotes; nothing where the field is always there."""
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT:
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def _rows(struct: type[msgspec.Struct], first: int) -> Iterator[str]:
    hints = typing.get_type_hints(struct)
    for number, field in enumerate(msgspec.structs.fields(struct), first):
        yield f"| {number} | `{field.name}` | {_type(hints[field.name])} | {_default(field)} |"


def fields_table(struct: type[msgspec.Struct]) -> str:
    """The fields of an array-like Struct, with what each means."""
    lines = ["| no. | name | type | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for row, field in zip(_rows(struct, 0), msgspec.structs.fields(struct), strict=True):
        lines.append(f"{row} {_meaning(struct, field.name)} |")
    return "\n".join(lines)


def bodies_section() -> str:
    """Each kind with its fields by number, in the order of the source."""
    return "\n\n".join(_body(body) for body in ALL)


def _body(body: type[Body]) -> str:
    lines = ["| no. | name | type | default |", "| --- | --- | --- | --- |"]
    lines.append(f'| 0 | | `"{kind_of(body)}"` | |')
    lines += _rows(body, 1)
    meaning = inspect.getdoc(body) or ""
    asked = " An action." if kind_of(body) in bodies.ACTIONS else ""
    return f"#### {kind_of(body)}\n\n{meaning}{asked}\n\n" + "\n".join(lines)


def sections() -> dict[str, str]:
    """What stands between the markers, by the markers' name."""
    structs: dict[str, type[msgspec.Struct]] = {
        "header": Header,
        "envelope": Event,
        "actor": Actor,
        "boot": BootInstance,
        "plan": Plan,
        "change": PackageChange,
    }
    tables = {name: fields_table(struct) for name, struct in structs.items()}
    return {**tables, "bodies": bodies_section()}


def document(text: str) -> str:
    """`text` with each generated section as it should be. LookupError for a marker that lacks."""
    return filled(text, sections())


def main() -> None:
    """Write the file, or check it."""
    settle(TARGET, document(TARGET.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
