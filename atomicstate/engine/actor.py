"""Who runs this process, or did what it found."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from atomicstate.events.event import Actor

_UNSET = 2**32 - 1


def current_actor(verb: str, options: tuple[str, ...] = ()) -> Actor:
    """The actor of this process: `verb` and option names, never arguments or the environment."""
    uid = os.getuid()
    return Actor(uid, _user_name(uid), _login_uid(), verb, options)


def owner_as_actor(uid: int, verb: str, options: tuple[str, ...] = ()) -> Actor:
    """The user `uid` as the actor of what lies in a file of theirs: who logged in is not known."""
    return Actor(uid, _user_name(uid), -1, verb, options)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _login_uid() -> int:
    """The uid that logged in, before any sudo (proc(5): loginuid); -1 where there is none."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1
    return -1 if uid == _UNSET else uid
