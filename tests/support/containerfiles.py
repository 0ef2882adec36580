"""Recipes to Containerfiles, and Containerfiles read as podman reads them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.recipe import reader
from atomicstate.recipe.containerfile import Rendered, render
from atomicstate.recipe.expand import Step
from atomicstate.recipe.pins import NO_PINS
from atomicstate.recipe.resources import context_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from atomicstate.recipe.pins import Pins
    from atomicstate.recipe.schema import Body

BASE = "localhost/base:1"
BASE_ID = "ab" * 32
LONGEST_LINE = 65_535
"""What podman 4.3 takes of a line; it ends reading at a longer one, silently."""

_FLAG = re.compile(r"--[a-z]+=\S+\s+")


class Instruction(NamedTuple):
    """One instruction, with the comments right before it.

    `words` are a RUN's argument vector, or what another instruction has.
    """

    comments: tuple[str, ...]
    keyword: str
    flags: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """What a RUN is for: the type of its module; empty for another instruction."""
        return self.words[self.words.index("/bin/bash") + 3] if self.keyword == "RUN" else ""

    @property
    def env(self) -> dict[str, str]:
        """The variables that a RUN is given."""
        if self.words[0] != "/usr/bin/env":
            return {}
        end = self.words.index("/bin/bash")
        return dict(word.split("=", 1) for word in self.words[1:end])

    @property
    def script(self) -> str:
        """The script of a RUN."""
        return self.words[self.words.index("/bin/bash") + 2]

    @property
    def arguments(self) -> tuple[str, ...]:
        """What that script has as `$1`, ..."""
        return self.words[self.words.index("/bin/bash") + 4 :]


def read(content: bytes) -> list[Instruction]:
    """The instructions of a Containerfile."""
    found, comments, joined = [], [], ""
    for line in content.decode("ascii").splitlines():
        assert len(line) <= LONGEST_LINE
        if joined and (not line or line.lstrip().startswith("#")):
            continue  # gone: what the author meant to be there is not
        if not joined and not line.strip():
            comments = []
        elif not joined and line.startswith("#"):
            comments.append(line)
        elif line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1]
        else:
            found.append(_instruction(tuple(comments), joined + line))
            comments, joined = [], ""
    assert not joined
    return found


def layers(content: bytes) -> list[Instruction]:
    """The instructions of the steps: all but the first two and the last."""
    base, every, *found, whole = read(content)
    assert (base.keyword, every.keyword, whole.keyword) == ("FROM", "LABEL", "LABEL")
    return found


def _instruction(comments: tuple[str, ...], text: str) -> Instruction:
    keyword, rest = text.split(" ", 1)
    flags = []
    while match := _FLAG.match(rest):
        flags.append(match[0].strip())
        rest = rest[match.end() :]
    words = json.loads(rest) if keyword == "RUN" else rest.split()
    assert all(type(word) is str for word in words)
    return Instruction(comments, keyword, tuple(flags), tuple(words))


def steps(
    document: str, sources: Mapping[int, Mapping[str, str]] | None = None, *, event: int = 1
) -> list[Step]:
    """The modules of a recipe without includes or expressions as steps of the events 1, 2, ..."""
    reading = reader.look(document.encode())
    assert not [problem for problem in reading.problems if not problem.warning], reading.problems
    assert reading.recipe
    env = reading.recipe.env
    return [
        Step(
            event + place,
            f"modules[{place}]",
            module,
            {**env, **module.env},
            dict((sources or {}).get(place, {})),
        )
        for place, module in enumerate(reading.recipe.modules)
    ]


def rendered(
    document: str,
    dialect: str = "deb",
    *,
    resources: tuple[str, ...] = (),
    pins: Pins = NO_PINS,
) -> Rendered:
    """What is made of the modules of `document` where these resources are to be had."""
    manifests = {name: manifest_of(name) for name in resources}
    return render(steps(document), BASE_ID, BASE, dialect, manifests, pins=pins)


def only(
    type_: str, body: str, dialect: str = "deb", *resources: str, env: str = "{}"
) -> Instruction:
    """The one instruction of one module."""
    document = f"env: {env}\nmodules:\n  - type: {type_}\n    body: {body}\n"
    [instruction] = layers(rendered(document, dialect, resources=resources).content)
    return instruction


def manifest_of(name: str) -> str:
    """A digest that stands for the resource `name`."""
    return hashlib.sha256(name.encode()).hexdigest()


def write_context(directory: Path, made: Rendered, resources: Mapping[str, Path]) -> None:
    """The folder that a build of `made` reads, with copies of the resources."""
    directory.mkdir()
    (directory / "Containerfile").write_bytes(made.content)
    for path, content in made.files.items():
        target = directory / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    for name, source in resources.items():
        target = directory / context_path(manifest_of(name))
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy(source, target)


def step(type_: str, body: Body, event: int = 1) -> Step:
    """A step of one body, read from no document."""
    from atomicstate.recipe.schema import Module

    return Step(event, "modules[0]", Module(type_, body), {}, {})
