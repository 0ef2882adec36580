"""Packages by apt: how Debian's and ALT's are called, and the `packages` modules of both.

The lists and archives lie in a cache of the builder's, beside the image: nothing is fetched twice,
and no layer holds them. It may be empty at any time, so every step fetches the lists first; what
is there already is not fetched again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown, valid_name, valid_package
from atomicstate.recipe.render import instructions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.render.context import Context
    from atomicstate.recipe.schema import PackagesBody

CACHE = "atomicstate-archives"
"""The id of the builder's cache: archives lie in it, and a folder for each base with its lists.

It is one for both, as buildah 1.28 waits for itself for ever where two RUNs lock two caches.
"""

# Where a step sees it: a path of its own, so that no hook of the base's clears it.
_SEEN = "/run/atomicstate-archives"

_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~^_@-]*")

# update: a list that can't be fetched is an error, not a warning about an old one.
# Pattern-Only: a name that is unknown is an error, never a regular expression.
# AutomaticRemove: what goes is what the recipe says, whatever the base's own settings are.
# Without policy-rc.d a package's script may start a daemon, which outlives the build.
# No pkgcache: it tells trees apart by time and size alone, and many share this cache.
_DEB_BEGIN = """\
export DEBIAN_FRONTEND="${DEBIAN_FRONTEND:-noninteractive}"
policy=/usr/sbin/policy-rc.d mine= options=()
mkdir -p "$archives/partial" "$at/lists/partial"
if [ ! -e "$policy" ]; then
  mine=1
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
fi
apt() {
  apt-get -y -o Dir::Cache="$at" -o Dir::Cache::pkgcache= -o Dir::Cache::archives="$archives" \\
    -o Dir::State::lists="$at/lists" -o Acquire::Retries=3 -o APT::Update::Error-Mode=any \\
    -o APT::Cmd::Pattern-Only=true -o APT::Get::AutomaticRemove=false \\
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "${options[@]}" "$@"
}
"""
_DEB_INSTALLED = """\
installed() {
  [[ $(dpkg-query -W -f '${db:Status-Abbrev},' -- "$1" 2>/dev/null) == *ii* ]]
}
"""
_DEB_END = """\
[ -z "$mine" ] || rm -f "$policy"
"""
# What goes alone because of this removal: not what was there to be cleared away before.
_DEB_INSTALL_AND_CLEAR = """\
unneeded() { LC_ALL=C apt autoremove -s | sed -n 's/^Remv \\([^ ]*\\).*/\\1/p' | LC_ALL=C sort; }
before=$(unneeded)
apt install -- "$@"
mapfile -t more < <(LC_ALL=C comm -13 <(echo "$before") <(unneeded))
[ "${#more[@]}" -eq 0 ] || apt remove -- "${more[@]}"
"""
# An atomic ALT keeps apt's programs out of the way. Its apt makes no folders.
_RPM_BEGIN = """\
PATH=$PATH:/usr/libexec options=()
mkdir -p "$archives/partial" "$at/lists/partial"
apt() {
  apt-get -y -o Dir::Cache="$at/" -o Dir::Cache::pkgcache= -o Dir::Cache::archives="$archives/" \\
    -o Dir::State::lists="$at/lists/" -o Acquire::Retries=3 "${options[@]}" "$@"
}
"""
_RPM_INSTALLED = """\
installed() { rpm -q --quiet -- "$1"; }
"""
_RPM_INSTALL_AND_CLEAR = """\
options+=(-o APT::Remove-Depends=true)
apt install -- "$@"
"""
_INSTALL = """\
apt install -- "$@"
"""
# A version that is wanted may be older than the base's.
# What comes along is named too, or it would come in another version; it stays automatic.
_PINNED = """\
options+=(-o APT::Get::Allow-Downgrades=true)
along=()
while [ "$1" != -- ]; do
  along+=("$1")
  shift
done
shift
set -- "$@" "${along[@]}"
"""
# By itself it would leave its caches in the layer.
_MARK = """\
apt-mark -o Dir::Cache="$at/" -o Dir::Cache::pkgcache= -o Dir::State::lists="$at/lists" \\
  auto "${along[@]%%=*}"
"""
_OPTIONS = """\
while [ "$1" != -- ]; do
  options+=(-o "$1")
  shift
done
shift
"""


class Apt(NamedTuple):
    """One kind of apt. The rest are parts of scripts in bash.

    `begin` defines `apt`, which is apt-get on the cache, and `end` tidies up. `installed` defines
    `installed`, which asks about a package. `install_and_clear` does what `"$@"` says, where
    NAME- is a package that goes, and takes along what nothing needs any more because of that.
    """

    name: str
    valid: Callable[[str], str]
    begin: str
    end: str
    installed: str
    install_and_clear: str


DEB = Apt("deb", valid_package, _DEB_BEGIN, _DEB_END, _DEB_INSTALLED, _DEB_INSTALL_AND_CLEAR)
RPM = Apt("rpm", valid_name, _RPM_BEGIN, "", _RPM_INSTALLED, _RPM_INSTALL_AND_CLEAR)


def of(context: Context) -> Apt:
    """The apt of the base's dialect."""
    return DEB if context.dialect == "deb" else RPM


def run(
    context: Context,
    step: Step,
    script: str,
    arguments: Sequence[str] = (),
    mounts: Sequence[str] = (),
) -> instructions.Run:
    """A RUN of `script`, which has `apt`."""
    apt = of(context)
    places = f"archives={_SEEN} at={_SEEN}/{apt.name}-{context.base_id[:32]}\n"
    return instructions.run(
        instructions.BEGIN + places + apt.begin + script + apt.end,
        arguments,
        name=step.module.type,
        mounts=[f"type=cache,id={CACHE},target={_SEEN},sharing=locked", *mounts],
        env=step.env,
    )


def names(context: Context, packages: Iterable[str]) -> list[str]:
    """`packages`, if they are names of packages. Raises ValidationError."""
    return [of(context).valid(name) for name in packages]


def packages(step: Step, body: PackagesBody, context: Context) -> instructions.Run | None:
    """The packages that come and go, in one transaction: one may take the place of another.

    Raises ValidationError.
    """
    if not (body.install or body.remove or body.upgrade):
        # What `update` fetches is no part of an image, and every step fetches it.
        return None
    apt = of(context)
    chosen, along = _pinned(context, names(context, body.install))
    wanted = [*chosen, *(f"{name}-" for name in names(context, body.remove))]
    script, arguments = "", []
    if body.options:
        script += _OPTIONS
        arguments += [*(f"{key}={text}" for key, text in body.options.items()), "--"]
    script += "apt update\n"
    if body.upgrade:
        script += "apt dist-upgrade\n"
    if any(context.pins.get(name) for name in body.install):
        script += _PINNED
        arguments += [*along, "--"]
    if wanted:
        script += apt.install_and_clear if body.depends and body.remove else _INSTALL
    script += _MARK if along else ""
    return run(context, step, script, [*arguments, *wanted])


def _pinned(context: Context, install: Sequence[str]) -> tuple[list[str], list[str]]:
    """The packages `install`, and what comes along with them alone, as apt takes versions."""
    pins = {it: pin for name in install for it, pin in context.pins.get(name, {}).items()}
    known = {name: _versioned(context, name, pin.version) for name, pin in pins.items()}
    along = [known[name] for name, pin in pins.items() if pin.automatic and name not in install]
    more = [it for name, it in known.items() if not pins[name].automatic and name not in install]
    return [*(known.get(name, name) for name in install), *more], along


def _versioned(context: Context, name: str, version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise ValidationError(f"{shown(version)} is no version of {name}")
    return f"{of(context).valid(name)}={version}"
