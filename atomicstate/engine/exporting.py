"""`config export`: the recipe as a folder ready to be committed, which builds without this program.

A folder is written to if it is empty, or holds an earlier export and nothing of that was edited:
a list of what was written lies in it.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Struct

from atomicstate.engine import ci, documents
from atomicstate.engine.context import CONTAINERFILE
from atomicstate.engine.recipe_folder import RECIPE
from atomicstate.errors import ConflictError, ImageError, ValidationError, from_os_error
from atomicstate.projectors.recipe import base_of
from atomicstate.recipe.reference import valid_reference
from atomicstate.recipe.resources import RESOURCES, Entry, beside, context_path, decode
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from atomicstate.engine.session import Session
    from atomicstate.recipe.resources import Manifest
    from atomicstate.store.blobs import Blobs

LIST = ".atomicstate-export.json"
"""The list of what an export wrote, in its folder."""

_IGNORED = frozenset({".git", LIST})
_FROM = re.compile(rb"^FROM [0-9a-f]{64}$", re.MULTILINE)
_LOCAL = "localhost/"
_FILE, _PROGRAM, _FOLDER = 0o644, 0o755, 0o755
_FEW = 5


class ExportResult(Struct, frozen=True):
    """What was written, by path in `folder`. `notes` say what git will not keep of it."""

    folder: str
    files: list[str]
    notes: list[str]


class _Item(NamedTuple):
    """What lies at a path: a file (of a blob, or of this content), a link, or a folder."""

    mode: int
    digest: str = ""
    content: bytes | None = None
    link: str = ""

    @property
    def is_folder(self) -> bool:
        return not self.digest and self.content is None and not self.link

    @property
    def mark(self) -> str:
        """By what it is known again."""
        if self.link:
            return f"-> {self.link}"
        return digest_of(self.content) if self.content is not None else self.digest


def export(session: Session, folder: Path, *, with_ci: bool) -> ExportResult:
    """Write the recipe that is wanted, its resources, a Containerfile and what that needs.

    Raises ConflictError for a folder that holds something else, ValidationError for what can't
    be built or can't be exported.
    """
    items = _items(session, with_ci=with_ci)
    before = _list_of(folder)
    _refuse_foreign(folder, items, before)
    _refuse_edited(folder, before)
    try:
        _make_folder(folder)
        # First both, then the new ones alone: after a kill each is one or the other.
        _write_list(folder, [before, _marks(items)])
        _remove(folder, before, items)
        for path, item in items.items():
            _write(folder / path, item, session.blobs)
        _write_list(folder, [_marks(items)])
    except OSError as error:
        raise from_os_error(error, "export to", folder) from error
    files = [path for path, item in items.items() if not item.is_folder]
    return ExportResult(str(folder), files, list(_notes(items)))


# -- what is exported ---------------------------------------------------------------------------


def _items(session: Session, *, with_ci: bool) -> dict[str, _Item]:
    """All of it, by path: folders before what is in them."""
    system, seqs = documents.view(session, None)
    composed = documents.composition(session, system, seqs)
    build = documents.build(session, system, seqs)
    blobs = session.blobs
    if "." in composed.resources:
        raise ValidationError(
            "a module takes all of the resources (.), and what a build needs would be among them:"
            " nothing was exported",
            hint="name the files and folders that it takes",
        )
    text = documents.laid_out(session, system, composed.recipe)
    base, base_id, _architecture = base_of(system, seqs)
    containerfile = _from_reference(build.containerfile.content, _pinned(session, base, base_id))
    generated = {RECIPE: text, CONTAINERFILE: containerfile, **build.files}
    items = {path: _Item(_FILE, content=content) for path, content in generated.items()}
    if with_ci:
        items |= {path: _Item(_FILE, content=content) for path, content in ci.files().items()}
    manifests = {name: decode(blobs.get(digest)) for name, digest in composed.resources.items()}
    for name, manifest in beside(manifests).items():
        items |= _placed(f"{RESOURCES}/{name}", manifest)
    for digest in set(build.resources.values()):
        items |= _placed(context_path(digest), decode(blobs.get(digest)))
    return dict(sorted(items.items()))


def _placed(top: str, manifest: Manifest) -> dict[str, _Item]:
    def item(entry: Entry) -> _Item:
        return _Item(entry.mode, entry.digest, link=entry.link)

    return {f"{top}/{entry.path}" if entry.path else top: item(entry) for entry in manifest}


def _pinned(session: Session, base: str, base_id: str) -> str:
    """The base as others can have it: by the digest that it has in its registry."""
    reference = valid_reference(base)
    if reference.startswith(_LOCAL) or "@" in reference:
        return reference
    try:
        digest = session.host.builder.resolve(base_id.removeprefix("sha256:")).digest
    except ImageError:
        return reference
    name, _colon, tag = reference.rpartition(":")
    bare = name if name and "/" not in tag else reference
    return valid_reference(f"{bare}@{digest}") if digest else reference


def _from_reference(containerfile: bytes, reference: str) -> bytes:
    """The id of an image says nothing on another machine."""
    return _FROM.sub(f"FROM {reference}".encode(), containerfile, count=1)


def _notes(items: Mapping[str, _Item]) -> Iterator[str]:
    """What git does not keep."""
    folders = [path for path, item in items.items() if item.is_folder]
    full = {path.rpartition("/")[0] for path in items}
    if empty := [path for path in folders if path not in full]:
        yield f"git keeps no empty folder: {_few(empty)}"
    right = (_FILE, _PROGRAM)
    odd = [path for path, item in items.items() if not item.link and item.mode not in right]
    odd += [path for path in folders if items[path].mode == _FILE]
    if odd:
        yield f"of modes git keeps only whether a file can be run: {_few(odd)}"


def _few(paths: list[str]) -> str:
    more = f" and {len(paths) - _FEW} more" if len(paths) > _FEW else ""
    return ", ".join(paths[:_FEW]) + more


# -- the folder ---------------------------------------------------------------------------------

_Marks = dict[str, list[str]]


def _marks(items: Mapping[str, _Item]) -> _Marks:
    return {path: [item.mark] for path, item in items.items() if not item.is_folder}


def _list_of(folder: Path) -> _Marks:
    """What an earlier export wrote there, and how each is known."""
    try:
        content = (folder / LIST).read_bytes()
        found = msgspec.json.decode(content, type=dict[str, list[str]])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise ConflictError(
            f"the list of the earlier export in {folder} can't be read: nothing was written",
            hint="export to another folder",
        ) from error
    return {path: marks for path, marks in found.items() if _is_inside(path)}


def _is_inside(path: str) -> bool:
    return not path.startswith("/") and not {"", ".", ".."} & {*path.split("/")}


def _refuse_foreign(folder: Path, items: Mapping[str, _Item], before: _Marks) -> None:
    """Raises ConflictError where the folder holds what no export wrote, and an export would."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise ConflictError(f"{folder} is no folder: nothing was written")
    there = [path.name for path in folder.iterdir() if path.name not in _IGNORED]
    if there and not before:
        raise ConflictError(
            f"{folder} is not empty, and holds no export: nothing was written",
            hint="export to an empty folder",
        )
    for path, item in items.items():
        target = folder / path
        for above in target.relative_to(folder).parents:
            if str(above) != "." and (folder / above).is_symlink():
                raise ConflictError(f"{folder / above} is a link: nothing was written")
        known = path in before or (item.is_folder and target.is_dir() and not target.is_symlink())
        if os.path.lexists(target) and not known:
            raise ConflictError(
                f"{target} is there, and is not of an export: nothing was written",
                hint="move it away, or export to another folder",
            )


def _refuse_edited(folder: Path, before: _Marks) -> None:
    """Raises ConflictError where a file is not as an export wrote it."""
    for path, marks in before.items():
        found = _mark_of(folder / path)
        if found and found not in marks:
            raise ConflictError(
                f"{folder / path} was edited since it was exported: nothing was written",
                hint=f"`atomicstate config import {folder / RECIPE}` takes edits of the recipe in;"
                " or export to another folder",
            )


def _mark_of(path: Path) -> str:
    """By what a file or link is known again; empty where there is none."""
    try:
        return f"-> {path.readlink()}" if path.is_symlink() else digest_of(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except IsADirectoryError:
        return "a folder"


def _write_list(folder: Path, marks: list[_Marks]) -> None:
    merged: _Marks = {}
    for each in marks:
        for path, known in each.items():
            merged[path] = [*dict.fromkeys((*merged.get(path, ()), *known))]
    content = msgspec.json.format(msgspec.json.encode(merged, order="sorted"), indent=1) + b"\n"
    _replace(folder / LIST, _Item(_FILE, content=content), None)


def _remove(folder: Path, before: _Marks, items: Mapping[str, _Item]) -> None:
    """Take away what an earlier export wrote and this one does not, with folders left empty."""
    for path in before:
        if path not in items or items[path].is_folder:
            (folder / path).unlink(missing_ok=True)
            for above in (folder / path).parents:
                if above == folder or (above.is_dir() and any(above.iterdir())):
                    break
                if above.is_dir():
                    above.rmdir()


def _write(path: Path, item: _Item, blobs: Blobs) -> None:
    if item.is_folder:
        _make_folder(path)
        path.chmod(item.mode)
    else:
        _make_folder(path.parent)
        _replace(path, item, blobs)


def _make_folder(path: Path) -> None:
    """Make a folder and those that lead to it: others shall read them, whatever the umask."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir()
        path.chmod(_FOLDER)


def _replace(path: Path, item: _Item, blobs: Blobs | None) -> None:
    """Put a file or link in its place at once."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        if item.link:
            temporary.symlink_to(item.link)
        else:
            with temporary.open("xb") as file:
                if item.content is not None:
                    file.write(item.content)
                elif blobs is not None:
                    blobs.write_to(item.digest, file)
                os.fchmod(file.fileno(), item.mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
