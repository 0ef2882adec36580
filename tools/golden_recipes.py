"""Render the golden recipes anew: `python -m tools.golden_recipes`.

Each lies in a folder of tests/golden/recipes: image.yml, its resources, and in `image` what it
includes of its base. What they become is kept beside them, for each dialect in a folder.
tests/golden/README.md says when that may change.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from atomicstate.errors import NotFoundError
from atomicstate.recipe import reader, resources
from atomicstate.recipe.containerfile import Rendered, render
from atomicstate.recipe.dialects import DIALECTS
from atomicstate.recipe.expand import expand
from atomicstate.recipe.resources import Entry, Manifest
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RECIPES = Path(__file__).resolve().parent.parent / "tests/golden/recipes"
CONTAINERFILE = "Containerfile"
_BASE = "localhost/base:1"
_BASE_ID = "0123456789abcdef" * 4
_INPUTS = {"VARIANT": "Box", "KIND": "plain"}
_RENDERED = {"every-module": DIALECTS, "distribution": ("rpm", "apm")}


class FolderLibrary:
    """The resources of a golden recipe, and what its base has. Modes are the same everywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._content: dict[str, bytes] = {}

    def manifest(self, name: str) -> Manifest | None:
        """What lies there under this name (resources.Library)."""
        top = self._folder / ("image" if name.startswith("/") else "resources") / name.lstrip("/")
        return tuple(self._entries(top)) if top.exists() else None

    def content(self, digest: str) -> bytes:
        """The content of a file that a manifest names (resources.Library)."""
        try:
            return self._content[digest]
        except KeyError as error:
            raise NotFoundError(f"there is no file {digest}") from error

    def _entries(self, top: Path) -> Iterator[Entry]:
        for path in [top, *sorted(top.rglob("*"))]:
            name = "" if path == top else path.relative_to(top).as_posix()
            if path.is_dir():
                yield Entry(name, 0o755)
            else:
                content = path.read_bytes()
                self._content[digest_of(content)] = content
                yield Entry(name, 0o644, digest_of(content))


def golden() -> Iterator[tuple[Path, str]]:
    """The folders of what is kept, and the dialect of each."""
    for name, dialects in _RENDERED.items():
        for dialect in dialects:
            yield RECIPES / name / "rendered" / dialect, dialect


def rendered(folder: Path, dialect: str) -> Rendered:
    """What the recipe in `folder` becomes."""
    library = FolderLibrary(folder)
    recipe = reader.read((folder / "image.yml").read_bytes())
    inputs = {**_INPUTS, "DIALECT": dialect}
    steps = expand(recipe, library, inputs=inputs).require()
    manifests = {}
    for step in steps:
        for name in step.sources.values():
            manifests[name] = digest_of(resources.encode(library.manifest(name) or ()))
    return render(steps, _BASE_ID, _BASE, dialect, manifests)


def parts(made: Rendered) -> dict[str, bytes]:
    """All files of it, by path."""
    return {CONTAINERFILE: made.content, **made.files}


def main() -> None:
    """Write what is kept anew."""
    for folder, dialect in golden():
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in parts(rendered(folder.parents[1], dialect)).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


if __name__ == "__main__":
    main()
