"""What a step does to the image, as far as it shows: the paths it writes, the commands it runs."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import AtomicstateError
from atomicstate.recipe import schema
from atomicstate.recipe.shelltext import Command, commands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from atomicstate.recipe.document import Path
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.resources import Library, Manifest

_COMMAND: Path = ("body", "command")
_LARGE = 1 << 20


class Write(NamedTuple):
    """A path that is written, and where in the module that is said (in its shell: the command).

    `folder`: an empty one is made. `text`: what a file holds, where that is known.
    """

    path: str
    said_at: Path
    folder: bool = False
    text: str = ""
    command: Command | None = None


class Effects(NamedTuple):
    """What `step` does."""

    step: Step
    writes: tuple[Write, ...]
    commands: tuple[Command, ...]


def effects_of(step: Step, library: Library) -> Effects:
    """What `step` does, whose resources `library` has."""
    body = step.module.body
    run: tuple[Command, ...] = ()
    if isinstance(body, schema.ShellBody | schema.GitBody):
        run = tuple(commands(body.command))
        writes = tuple(write for command in run for write in _by_command(command))
    else:
        writes = tuple(_by_module(step, library))
    return Effects(step, writes, run)


def is_below(path: str, folders: Sequence[str]) -> bool:
    """Whether `path` lies in one of `folders`, or is one."""
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def normal(path: str) -> str:
    """`path` without a slash at its end, or two in one place."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _by_module(step: Step, library: Library) -> Iterator[Write]:
    match step.module.body:
        case schema.CopyBody(source=source, destination=destination):
            yield from _copied(library, step.sources.get(source), destination)
        case schema.MergeBody(source=source, destination=destination):
            text = _text(library, step.sources.get(source))
            yield Write(normal(destination), ("body", "destination"), text=text)
        case schema.MoveBody(destination=destination):
            yield Write(normal(destination), ("body", "destination"))
        case schema.LinkBody(target=target) | schema.ReplaceBody(target=target):
            yield Write(normal(target), ("body", "target"))
        case schema.MkdirBody(targets=targets):
            for place, target in enumerate(targets):
                yield Write(normal(target), ("body", "targets", place), folder=True)


def _copied(library: Library, name: str | None, destination: str) -> Iterator[Write]:
    """The files of a resource, where they come to lie."""
    said_at = ("body", "destination")
    manifest = _manifest(library, name)
    if manifest is None:
        yield Write(normal(destination), said_at)
        return
    for entry in manifest:
        if not entry.is_folder:
            path = normal(posixpath.join(destination, entry.path) if entry.path else destination)
            text = _content(library, entry.digest) if _is_declared(path) else ""
            yield Write(path, said_at, text=text)


def _is_declared(path: str) -> bool:
    """Whether a file there declares what is made when the system starts."""
    return posixpath.basename(posixpath.dirname(path)) == "tmpfiles.d"


def _manifest(library: Library, name: str | None) -> Manifest | None:
    try:
        return library.manifest(name) if name else None
    except AtomicstateError:
        return None


def _text(library: Library, name: str | None) -> str:
    manifest = _manifest(library, name)
    return _content(library, manifest[0].digest) if manifest else ""


def _content(library: Library, digest: str) -> str:
    try:
        return library.content(digest)[:_LARGE].decode("utf-8", "replace") if digest else ""
    except AtomicstateError:
        return ""


# -- commands -----------------------------------------------------------------------------------

_LAST_IS_TARGET = frozenset({"cp", "mv", "install", "ln", "rsync"})
_ALL_ARE_TARGETS = frozenset({"tee", "touch"})
_FOLDER_OPTIONS = {"tar": ("-C", "--directory"), "unzip": ("-d",), "wget": ("-P",)}
_FILE_OPTIONS = {"curl": ("-o", "--output"), "wget": ("-O", "--output-document")}
_TARGET_OPTIONS = ("-t", "--target-directory")


def _by_command(command: Command) -> Iterator[Write]:
    for path in command.outputs:
        if path.startswith("/") and not path.startswith("/dev/"):
            yield _written(command, path)
    program, operands = command.program, command.operands
    makes_folders = program == "mkdir" or (program == "install" and _has_flag(command, "d"))
    paths: Sequence[str] = ()
    if makes_folders or program in _ALL_ARE_TARGETS:
        paths = operands
    elif program in _LAST_IS_TARGET:
        paths = _values(command, _TARGET_OPTIONS) or operands[1:][-1:]
    elif program == "sed" and _has_flag(command, "i"):
        paths = operands[1:]
    elif program in _FOLDER_OPTIONS or program in _FILE_OPTIONS:
        options = (*_FOLDER_OPTIONS.get(program, ()), *_FILE_OPTIONS.get(program, ()))
        paths = _values(command, options)
    for path in paths:
        if path.startswith("/"):
            yield _written(command, path, folder=makes_folders)


def _written(command: Command, path: str, *, folder: bool = False) -> Write:
    return Write(normal(path), _COMMAND, folder, command=command)


def _has_flag(command: Command, letter: str) -> bool:
    """Whether an option of one letter is given, perhaps with others or a value behind it."""
    return any(
        letter in word[1:] for word in command.words[1:] if word[:1] == "-" and word[1:2] != "-"
    )


def _values(command: Command, options: Sequence[str]) -> tuple[str, ...]:
    """The values that follow `options`."""
    pairs = zip(command.words[1:], (*command.words[2:], ""), strict=False)
    apart = [value for word, value in pairs if word in options]
    joined = [word.partition("=")[2] for word in command.words if word.partition("=")[0] in options]
    return tuple(value for value in (*apart, *joined) if value)
