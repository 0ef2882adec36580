"""Where packages come from: the `repos` modules.

On Debian a branch is a suite of the archive that the base takes its packages from, or that the
variable DEBIAN_ARCHIVE names; a date is one of the archive that DEBIAN_SNAPSHOT names. On ALT both
are as APM has them. The lines go into a file of their own on Debian, into sources.list on ALT.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown
from atomicstate.recipe.render import apt, instructions
from atomicstate.recipe.render.context import unable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.render.context import Context
    from atomicstate.recipe.schema import ReposBody

_LATEST = "latest"
_SNAPSHOT = "DEBIAN_SNAPSHOT"
_URL = re.compile(r"[a-z+]+:/[^\s\[\]]+")

# -- Debian -------------------------------------------------------------------------------------

_DEB_CLEAN = """\
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
"""
_DEB_CLEAN_TEMPORARY = """\
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ ! -f "$list" ] || sed -i -E '/^[[:space:]]*deb(-src)?[[:space:]].*cdrom:/d' "$list"
done
"""
_DEB_BRANCH = """\
if [ "$(. /etc/os-release && echo "$ID")" != debian ]; then
  echo "repos: this base is not Debian: write the lines of its branch in 'custom'" >&2
  exit 1
fi
"""
# Asked before anything is cleaned away. A line as sources.list has it, or a stanza.
_DEB_ARCHIVE = r"""\
uri() {
  local line='deb[[:space:]]+(\[[^]]*\][[:space:]]+)?' stanza='URIs:[[:space:]]*'
  { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } |
    sed -nE "s,^($line|$stanza)([a-z+]+:[^[:space:]]*/$1)/?([[:space:]].*)?$,\3,;T;p;q"
}
debian=${DEBIAN_ARCHIVE:+$DEBIAN_ARCHIVE/debian}
security=${DEBIAN_ARCHIVE:+$DEBIAN_ARCHIVE/debian-security}
if [ -z "$debian" ]; then debian=$(uri debian) security=$(uri debian-security); fi
if [ -z "$debian" ]; then
  echo "repos: no repository of this base is an archive of Debian: set DEBIAN_ARCHIVE in 'env'" >&2
  exit 1
fi
"""
_DEB_DISABLE = """\
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
  [ ! -e "$list" ] || mv -- "$list" "$list.disabled"
done
"""
_DEB_ADD = """\
list=/etc/apt/sources.list.d/atomicstate.list
mkdir -p "${list%/*}"
touch "$list"
for line; do
  if [[ $line == *" _security_ "* && -z ${security:-} ]]; then continue; fi
  line=${line/ _debian_ / ${debian:-} } line=${line/ _security_ / ${security:-} }
  grep -qxF -e "$line" "$list" || printf '%s\\n' "$line" >>"$list"
done
"""
_DEB_KEYS = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
_DEB_WITHOUT_UPDATES = ("sid", "unstable", "experimental", "rc-buggy")


def _deb(step: Step, body: ReposBody, context: Context) -> tuple[str, list[str]]:
    known = _URL.fullmatch(step.env.get(_SNAPSHOT, ""))
    if body.date and body.date != _LATEST and not known:
        raise unable(
            context.dialect,
            "date",
            "nothing says where the archive of old days is",
            f"set {_SNAPSHOT} in `env` to its URL, below which `debian` has a folder for each day",
            "write the lines of that day in `custom`",
        )
    if body.tasks:
        raise unable(
            context.dialect,
            "tasks",
            "there are no build tasks: they are ALT's",
            "write the lines of a repository in `custom`",
        )
    lines = list(_deb_branch(step, body.branch, body.date)) if body.branch else []
    for line in body.custom:
        if not line.startswith(("deb ", "deb-src ")):
            raise unable(
                context.dialect,
                "custom",
                f"{shown(line)} is no line of a repository",
                "write it as `deb URL SUITE COMPONENT`",
            )
        lines.append(line.strip())
    today = body.branch and (not body.date or body.date == _LATEST)
    script = _DEB_ARCHIVE if today else ""
    script += _DEB_CLEAN if body.clean else ""
    script += _DEB_CLEAN_TEMPORARY if body.clean_temporary else ""
    if body.branch:
        script += _DEB_BRANCH + _DEB_DISABLE
    return script + (_DEB_ADD if lines else ""), lines


def _deb_branch(step: Step, branch: str, date: str) -> Iterator[str]:
    """The lines of a suite of Debian's, with its updates, now or on a day."""
    debian, security, options = "_debian_", "_security_", _DEB_KEYS
    if date and date != _LATEST:
        # What is in force then is out of date now, and is to be taken all the same.
        options = f"check-valid-until=no {_DEB_KEYS}"
        archive, day = step.env[_SNAPSHOT].rstrip("/"), f"{date.replace('/', '')}T000000Z"
        debian, security = f"{archive}/debian/{day}", f"{archive}/debian-security/{day}"
    yield f"deb [{options}] {debian} {branch} main"
    if branch not in _DEB_WITHOUT_UPDATES:
        yield f"deb [{options}] {debian} {branch}-updates main"
        yield f"deb [{options}] {security} {branch}-security main"


# -- ALT ----------------------------------------------------------------------------------------


class _Branch(NamedTuple):
    """A branch of ALT's: its place below the mirror, its key, and whether old days are kept."""

    place: str
    key: str
    kept: bool = False


_MIRROR = "ftp.altlinux.org/pub/distributions"
_BRANCHES = {
    "c8": _Branch("update.altsp.su/pub/distributions/ALTLinux/c8/branch", "cert8"),
    "c8.1": _Branch(f"{_MIRROR}/ALTLinux/c8.1/branch", "updates"),
    "c9f2": _Branch(f"{_MIRROR}/ALTLinux/c9f2/branch", "c9f2"),
    "c10f1": _Branch(f"{_MIRROR}/ALTLinux/c10f1/branch", "c10f1"),
    "c10f2": _Branch(f"{_MIRROR}/ALTLinux/c10f2/branch", "c10f2"),
    "p8": _Branch(f"{_MIRROR}/ALTLinux/p8/branch", "updates", kept=True),
    "p9": _Branch(f"{_MIRROR}/ALTLinux/p9/branch", "p9", kept=True),
    "p10": _Branch(f"{_MIRROR}/ALTLinux/p10/branch", "p10", kept=True),
    "p11": _Branch(f"{_MIRROR}/ALTLinux/p11/branch", "p11", kept=True),
    "sisyphus": _Branch(f"{_MIRROR}/ALTLinux/Sisyphus", "alt", kept=True),
}
_WITH_PRIORITY = ("p10", "p11", "sisyphus")

_RPM_CLEAN = """\
rm -rf /etc/apt/sources.list.d/* /etc/rpm/macros.d/priority_distbranch /etc/rpm/macros.d/p10
echo >/etc/apt/sources.list
"""
_RPM_CLEAN_TEMPORARY = """\
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ ! -f "$list" ] || sed -i -E '/^[[:space:]]*rpm[[:space:]].*(cdrom:|[[:space:]]task$)/d' "$list"
done
"""
_RPM_BRANCH = """\
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ ! -f "$list" ] || sed -i -E 's/^[[:space:]]*rpm/#&/' "$list"
done
rm -f /etc/rpm/macros.d/priority_distbranch /etc/rpm/macros.d/p10
"""
_RPM_PRIORITY = """\
mkdir -p /etc/rpm/macros.d
echo "%_priority_distbranch $1" >/etc/rpm/macros.d/priority_distbranch
shift
"""
# Which architecture and which scheme the base has, only the base knows. AREPO: its packages for
# 32 bits beside those for 64.
_RPM_ADD = """\
arch=$(uname -m) scheme=http
case $arch in i?86) arch=i586 ;; armv*) arch=armh ;; esac
if rpm -q --quiet apt-https; then scheme=https; fi
for line; do
  if [[ $line == *x86_64-i586* && $line == *_scheme_* ]]; then
    [ "$arch" = x86_64 ] && ! grep -qs '^AREPO.*NO' /etc/sysconfig/apt-repo || continue
  fi
  line=${line//_arch_/$arch} line=${line//_scheme_/$scheme}
  grep -qsxF -e "$line" /etc/apt/sources.list /etc/apt/sources.list.d/*.list ||
    printf '%s\\n' "$line" >>/etc/apt/sources.list
done
"""


def _rpm(_step: Step, body: ReposBody, context: Context) -> tuple[str, list[str]]:
    arguments: list[str] = []
    lines: list[str] = []
    script = _RPM_CLEAN if body.clean else ""
    script += _RPM_CLEAN_TEMPORARY if body.clean_temporary else ""
    if body.branch:
        script += _RPM_BRANCH
        lines += _rpm_branch(body.branch, body.date)
        if body.branch in _WITH_PRIORITY and not body.date:
            script += _RPM_PRIORITY
            arguments.append(body.branch)
    for line in body.custom:
        lines += _rpm_custom(line.strip(), context)
    lines += [f"rpm _scheme_://git.altlinux.org/repo/{task}/ _arch_ task" for task in body.tasks]
    return script + (_RPM_ADD if lines else ""), [*arguments, *lines]


def _rpm_branch(branch: str, date: str) -> Iterator[str]:
    found = _BRANCHES.get(branch)
    if found is None:
        raise ValidationError(
            f"body.branch: ALT has no branch {shown(branch)}",
            hint=f"one of: {', '.join(_BRANCHES)}; or write its lines in `custom`",
        )
    place = found.place
    if date and date != _LATEST:
        if not found.kept:
            kept = ", ".join(name for name, known in _BRANCHES.items() if known.kept)
            raise ValidationError(
                f"body.date: of the branch {branch} no old days are kept",
                hint=f"they are of {kept}; or leave `date` out",
            )
        day = date.replace("/", "")
        place = f"{_MIRROR}/archive/{branch}/date/{day[:4]}/{day[4:6]}/{day[6:]}"
    for architecture in ("_arch_", "noarch", "x86_64-i586"):
        yield f"rpm [{found.key}] _scheme_://{place} {architecture} classic"


def _rpm_custom(line: str, context: Context) -> Iterator[str]:
    if line.startswith("rpm"):
        yield line
    elif line.startswith(("http://", "https://", "ftp://", "rsync://", "file:/")):
        yield f"rpm {line} _arch_ classic"
        yield f"rpm {line} noarch classic"
    else:
        raise unable(
            context.dialect,
            "custom",
            f"{shown(line)} is no line of a repository",
            "write it as `rpm URL _arch_ COMPONENT`",
        )


# -- both ---------------------------------------------------------------------------------------


def repos(step: Step, body: ReposBody, context: Context) -> instructions.Run | None:
    """The lists of repositories, and a look at whether they can be fetched.

    Raises ValidationError for what the base's distribution does not have.
    """
    script, arguments = (_deb if context.dialect == "deb" else _rpm)(step, body, context)
    if not script:
        return None
    if body.no_update:
        return instructions.run(instructions.BEGIN + script, arguments, name="repos", env=step.env)
    return apt.run(context, step, script + "apt update\n", arguments)
