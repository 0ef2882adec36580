"""Instructions of a Containerfile, written so that every value is data.

A RUN is a JSON array: a script that is a constant of this program, then the values as its
arguments. So a value is never read as code, neither by the Containerfile's parser nor by a shell.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_LINE = 60_000
"""The most characters of a line: podman takes one of 65,536 bytes for the end of the file."""

MAX_ARGUMENT = 120_000
"""The most bytes of an argument: the kernel starts no program with one of 131,072."""

MAX_ARGUMENTS = 1_000_000
"""The most bytes of all arguments of a step."""

BEGIN = "set -euo pipefail\n"
"""How every script of this program begins."""

_WIDTH = 100
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BREAK = "\\\n"


class Run(Struct, frozen=True):
    """A RUN: what it starts, and the values of `--mount` that it needs for that."""

    argv: tuple[str, ...]
    mounts: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The instruction. Raises ValidationError for what no program can be given."""
        flags = "".join(f"--mount={mount} {_BREAK}    " for mount in self.mounts)
        return f"RUN {flags}{_array(self.argv)}\n"


class Copy(Struct, frozen=True):
    """COPYs, each of one file: from, to, and flags.

    Both paths are this program's own: the parser expands what is in them.
    """

    files: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        return "".join(
            " ".join(["COPY", "--chown=0:0", *flags.split(), source, target]) + "\n"
            for source, target, flags in self.files
        )


Instruction = Run | Copy


def run(
    script: str,
    arguments: Sequence[str] = (),
    *,
    name: str,
    mounts: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Run:
    """A RUN of `script` by bash, whose `$0` is `name` and `$1`, ... are `arguments`.

    `mounts` are values of `--mount`, `env` are variables for it and all that it starts. Raises
    ValidationError for what no program can be given.
    """
    variables = [f"{_variable(key)}={value}" for key, value in (env or {}).items()]
    argv = ["/usr/bin/env", *variables] if variables else []
    argv += ["/bin/bash", "-c", script, name, *arguments]
    if sum(len(item.encode("utf-8", "replace")) + 1 for item in argv) > MAX_ARGUMENTS:
        raise ValidationError(
            f"this {name} step has more than {MAX_ARGUMENTS} bytes of values",
            hint="divide it into several modules",
        )
    return Run(tuple(argv), tuple(mounts))


def fits(text: str) -> bool:
    """Whether `text` can be an argument. Raises ValidationError for what is no text."""
    pieces = _pieces(text)
    return len(text.encode()) <= MAX_ARGUMENT and all(len(piece) <= MAX_LINE for piece in pieces)


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValidationError(f"{shown(name)} is no name of a variable")
    return name


def _array(argv: Sequence[str]) -> str:
    """`argv` as JSON, on as many lines as it takes to read it."""
    text = "["
    for place, item in enumerate(argv):
        if not fits(item):
            raise ValidationError(
                f"{shown(item)} is longer than a program can be told: {MAX_ARGUMENT} bytes,"
                f" {MAX_LINE} characters a line"
            )
        pieces = _pieces(item)
        if place:
            column = len(text) - text.rfind("\n")
            text += "," if column + len(pieces[0]) <= _WIDTH else f",{_BREAK}"
        text += _BREAK.join(pieces)
    return text + "]"


def _pieces(text: str) -> list[str]:
    """`text` as a JSON string, in the pieces that may stand on lines of their own.

    A line that goes on from another is taken for a comment if it begins with `#`, perhaps after
    blanks, and is left out: so it stays with the one before it.
    """
    first, *others = _encoded(text)
    pieces = ['"' + first]
    for line in others:
        pieces[-1] += "\\n"
        if line.lstrip(" ").startswith("#"):
            pieces[-1] += line
        else:
            pieces.append(line)
    pieces[-1] += '"'
    return pieces


def _encoded(text: str) -> list[str]:
    """The lines of `text`, each as it stands in a JSON string of ASCII."""
    if "\0" in text:
        raise ValidationError("a character that no program can be given (NUL)")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"{shown(text)} has half a character: it is no text") from error
    return [json.dumps(line)[1:-1] for line in text.split("\n")]
