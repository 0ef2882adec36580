"""A recipe from a git repository: a clone for a moment, at a commit that is told.

Nothing of the repository runs: no hook, no submodule, no other transport than those below.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from atomicstate import process
from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSPORTS = ("file", "git", "https", "ssh")
"""How a repository is reached."""

_LIMIT = 600.0
_UMASK = 0o022
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_TRANSPORT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)::?//|([A-Za-z][A-Za-z0-9+.-]*)::")
# What a caller that is a hook of git itself has in its environment is about another repository.
_CALLER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
_WITHOUT_CALLER = ("env", *(word for name in _CALLER for word in ("-u", name)))
_SETTINGS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "advice.detachedHead=false"),
)


class Checkout(NamedTuple):
    """The files of the repository `source` (told without who logs in) at `commit`."""

    folder: Path
    commit: str
    source: str

    def path(self, name: str) -> Path:
        """Where the file or folder `name` of the repository is, links followed inside of it.

        Raises ValidationError for what is outside.
        """
        top = self.folder.resolve()
        # A path with a NUL names nothing.
        found = (top / name.replace("\0", "\N{REPLACEMENT CHARACTER}")).resolve()
        if not found.is_relative_to(top) or found.relative_to(top).parts[:1] == (".git",):
            raise ValidationError(f"{shown(name)} is not in the repository")
        return found


@contextmanager
def checkout(source: str, revision: str = "") -> Iterator[Checkout]:
    """The repository at `source`, a URL or a folder, at a revision or else its newest commit.

    Its files are gone afterwards. Raises ValidationError for what is no repository's place,
    NotFoundError for a revision that it does not have, ToolError where git could not.
    """
    _require_transport(source)
    if revision.startswith("-"):
        raise ValidationError(f"{shown(revision)} is no revision")
    with tempfile.TemporaryDirectory(prefix="atomicstate-") as scratch:
        folder = Path(scratch) / "clone"
        _git("clone", "--quiet", "--no-checkout", "--template=", "--", _place(source), str(folder))
        commit = _commit(folder, revision)
        _git("-C", str(folder), "checkout", "--quiet", "--detach", commit)
        yield Checkout(folder, commit, _USER.sub("", source))


def _require_transport(source: str) -> None:
    match = _TRANSPORT.match(source)
    name = (match[1] or match[2]).lower() if match else ""
    if not source or "\0" in source or (match and (match[2] or name not in TRANSPORTS)):
        raise ValidationError(
            f"{shown(source)} is no repository that can be taken",
            hint=f"a folder, or a URL by {', '.join(TRANSPORTS)}",
        )


def _place(source: str) -> str:
    """A folder by its whole path: git runs elsewhere, and it may look like an option."""
    path = Path(source)
    return str(path.absolute()) if path.exists() else source


def _commit(folder: Path, revision: str) -> str:
    """The commit that `revision` means: of a branch, the newest that the source has."""
    for name in (f"refs/remotes/origin/{revision}", revision) if revision else ("HEAD",):
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = _git("-C", str(folder), *words, check=False)
        if found.status == 0:
            return found.text.strip()
    if not revision:
        raise NotFoundError("the repository has no commit: there is nothing to take")
    raise NotFoundError(f"the repository has no revision {shown(revision)}")


def _git(*words: str, check: bool = True) -> process.Finished:
    env = {
        "GIT_ALLOW_PROTOCOL": ":".join(TRANSPORTS),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
    }
    # git knows of a mode whether a file can be run, no more: the rest must not be the caller's.
    before = os.umask(_UMASK)
    try:
        return process.run(
            ["git", *_SETTINGS, *words],
            within=_WITHOUT_CALLER,
            env=env,
            timeout=process.time_limit(_LIMIT),
            check=check,
        )
    finally:
        os.umask(before)
