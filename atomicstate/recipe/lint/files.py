"""Rules about where files are put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.recipe import schema
from atomicstate.recipe.lint.effects import is_below
from atomicstate.recipe.lint.findings import Found, Rule
from atomicstate.recipe.names import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from atomicstate.recipe.document import Path
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.lint.effects import Effects, Write

    Check = Callable[[Sequence[Effects]], Iterator[tuple[Step, Found]]]

_SHOWN = 3

_STATE = ("/var", "/run", "/home", "/root", "/srv", "/mnt", "/media")
_SCRATCH = ("/var/cache", "/var/tmp")  # noqa: S108 - nothing is put there
_LOCAL = ("/opt", "/usr/local")
_TMPFILES = ("/usr/lib/tmpfiles.d", "/etc/tmpfiles.d")
ACCOUNTS = tuple(
    f"/etc/{name}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
)
_OWN = ("/etc/machine-id", "/etc/fstab", "/etc/crypttab", "/etc/adjtime")
_HOST_KEY = "/etc/ssh/ssh_host_"

_VENDOR = {
    "/etc/NetworkManager/conf.d": "/usr/lib/NetworkManager/conf.d",
    "/etc/X11/xorg.conf.d": "/usr/share/X11/xorg.conf.d",
    "/etc/binfmt.d": "/usr/lib/binfmt.d",
    "/etc/dbus-1": "/usr/share/dbus-1",
    "/etc/dconf/db": "/usr/share/glib-2.0/schemas (as an override)",
    "/etc/dracut.conf.d": "/usr/lib/dracut/dracut.conf.d",
    "/etc/environment.d": "/usr/lib/environment.d",
    "/etc/modprobe.d": "/usr/lib/modprobe.d",
    "/etc/modules-load.d": "/usr/lib/modules-load.d",
    "/etc/polkit-1": "/usr/share/polkit-1",
    "/etc/sysctl.d": "/usr/lib/sysctl.d",
    "/etc/systemd": "/usr/lib/systemd",
    "/etc/sysusers.d": "/usr/lib/sysusers.d",
    "/etc/tmpfiles.d": "/usr/lib/tmpfiles.d",
    "/etc/udev": "/usr/lib/udev",
}
"""Where in /usr a program looks, too, for what it looks for in /etc."""


def _is_state(path: str) -> bool:
    return is_below(path, _STATE) and not is_below(path, _SCRATCH)


def _writes(
    effects: Sequence[Effects], matches: Callable[[Write], bool]
) -> Iterator[tuple[Step, Path, list[str]]]:
    """What steps write, of what `matches`: one item for each place where it is said."""
    for step, writes, _commands in effects:
        by_place: dict[Path, list[str]] = {}
        for write in writes:
            if matches(write):
                by_place.setdefault(write.said_at, []).append(write.path)
        for path, found in by_place.items():
            yield step, path, list(dict.fromkeys(found))


def _named(paths: Sequence[str]) -> str:
    some = ", ".join(shown(path)[1:-1] for path in paths[:_SHOWN])
    return f"{some} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else some


# -- what does not come with an image -----------------------------------------------------------


def _state_files(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    for step, path, paths in _writes(effects, lambda w: not w.folder and _is_state(w.path)):
        yield step, Found(path, f"{_named(paths)} will not be there")


def _state_folders(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    declared = [
        write.text or _command_of(step)
        for step, writes, _commands in effects
        for write in writes
        if is_below(write.path, _TMPFILES)
    ]
    # What a declaration says is not known where its resource is not to be had.
    if not all(declared):
        return

    def is_lost(write: Write) -> bool:
        return (
            write.folder
            and _is_state(write.path)
            and write.path not in _STATE
            and not any(write.path in text for text in declared)
        )

    for step, path, paths in _writes(effects, is_lost):
        yield step, Found(path, f"{_named(paths)} will not be there")


def _command_of(step: Step) -> str:
    body = step.module.body
    return body.command if isinstance(body, schema.ShellBody | schema.GitBody) else ""


def _local(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    for step, path, paths in _writes(effects, lambda write: is_below(write.path, _LOCAL)):
        yield step, Found(path, f"{_named(paths)} may be hidden, or not brought up to date")


# -- what is merged -----------------------------------------------------------------------------


def _is_merged(path: str) -> bool:
    return is_below(path, ("/etc",)) and not (_is_own(path) or path in ACCOUNTS)


def _is_own(path: str) -> bool:
    return path in _OWN or path.startswith(_HOST_KEY)


def _etc(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    for step, path, paths in _writes(effects, lambda w: not w.folder and _is_merged(w.path)):
        better = [
            f"{theirs} in the place of {ours}"
            for ours, theirs in _VENDOR.items()
            if any(is_below(path, (ours,)) for path in paths)
        ]
        instead = f"take {' and '.join(better)}: the machine's /etc then holds its changes alone"
        yield step, Found(path, f"{_named(paths)} is merged", instead if better else "")


def _own_files(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    # A command empties machine-id, as it should be; what a module brings is content.
    for step, path, paths in _writes(effects, lambda w: _is_own(w.path) and not w.command):
        yield step, Found(path, f"{_named(paths)} would be the same on every machine")


def _account_files(effects: Sequence[Effects]) -> Iterator[tuple[Step, Found]]:
    for step, path, paths in _writes(effects, lambda write: write.path in ACCOUNTS):
        yield step, Found(path, f"{_named(paths)} is changed")


CHECKS: tuple[tuple[Rule, Check], ...] = (
    (
        Rule(
            "state-files",
            "error",
            "files put into /var, /run, /home, /root, /srv, /mnt or /media",
            "these are the machine's own, and an image does not bring them: a machine that is"
            " updated never sees what is there",
            "put it into /usr, and let a file in /usr/lib/tmpfiles.d copy it (C) or link it (L)"
            " when the system starts",
        ),
        _state_files,
    ),
    (
        Rule(
            "state-folders",
            "warning",
            "folders made there that no tmpfiles.d file declares",
            "these are the machine's own, and an image does not bring them",
            "declare it in a file in /usr/lib/tmpfiles.d: `d /var/lib/NAME 0755 root root -`; or"
            " StateDirectory=NAME in the unit of the service",
        ),
        _state_folders,
    ),
    (
        Rule(
            "local-software",
            "warning",
            "files put into /opt or /usr/local",
            "on many image-based systems these are links into /var, which an image does not bring",
            "install it below /usr (PREFIX=/usr), or move it to /usr/lib with a `move` module",
        ),
        _local,
    ),
    (
        Rule(
            "etc-files",
            "note",
            "files put into /etc, or changed there",
            "a machine on which the file was changed keeps its own, and what later images bring to"
            " it is not seen there",
            "it matters where all machines must get a change: put it where the program looks in"
            " /usr, if it does",
        ),
        _etc,
    ),
    (
        Rule(
            "machine-files",
            "warning",
            "machine-id, fstab, crypttab and host keys brought by an image",
            "each machine makes its own when it is installed, or starts for the first time",
            "leave it to the machine",
        ),
        _own_files,
    ),
    (
        Rule(
            "account-files",
            "warning",
            "/etc/passwd, /etc/group and their kin changed",
            "a machine that has accounts of its own keeps its own file, and lacks what is added",
            "declare system accounts in a file in /usr/lib/sysusers.d; people's are the machine's",
        ),
        _account_files,
    ),
)
