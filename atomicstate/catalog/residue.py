"""What a live change left outside /usr: the difference of two surveys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Container


class Survey(Struct, frozen=True):
    """`files` maps each path below /etc and /var to a signature of what lies there."""

    files: dict[str, str]
    users: tuple[str, ...]
    groups: tuple[str, ...]


class Residue(Struct, frozen=True):
    """What one change left outside /usr: paths with their signatures, and accounts.

    `added` came with it, as far as can be known; `changed` was there before, or may be of another.
    """

    added: dict[str, str]
    changed: dict[str, str]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.users or self.groups)


def left_between(before: Survey, after: Survey) -> Residue:
    """What is there `after` and was not, or not so, `before`.

    A file that holds the accounts is not named beside the accounts that it holds.
    """
    users = tuple(name for name in after.users if name not in before.users)
    groups = tuple(name for name in after.groups if name not in before.groups)
    told = {"/etc/passwd", "/etc/shadow"} if users else set()
    told |= {"/etc/group", "/etc/gshadow"} if users or groups else set()
    return Residue(
        added={path: sign for path, sign in after.files.items() if path not in before.files},
        changed={
            path: sign
            for path, sign in after.files.items()
            if before.files.get(path, sign) != sign and path not in told
        },
        users=users,
        groups=groups,
    )


def unsure_of(residue: Residue, seen: Container[str]) -> Residue:
    """`residue`, where what was `seen` at a time when the change did not run may be anybody's."""
    unsure = {path: sign for path, sign in residue.added.items() if path in seen}
    return msgspec.structs.replace(
        residue,
        added={path: sign for path, sign in residue.added.items() if path not in unsure},
        changed=residue.changed | unsure,
    )


def still_there(residue: Residue, now: Survey) -> list[str]:
    """What of `residue` is as it was left: paths, `user NAME` and `group NAME`, sorted."""
    paths = {**residue.added, **residue.changed}
    found = sorted(path for path, sign in paths.items() if now.files.get(path) == sign)
    found += [f"user {name}" for name in residue.users if name in now.users]
    found += [f"group {name}" for name in residue.groups if name in now.groups]
    return found
