"""What a person wrote as a command: the `shell` and `git` modules.

The command is bash's, as with APM: `bash -c`, before it `set -e` in a shell module alone. It works
in a folder that is gone afterwards, with the resources that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.recipe.render import apt, instructions
from atomicstate.recipe.render.context import WORK, Context

if TYPE_CHECKING:
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.schema import GitBody, ShellBody

_LOUD = """\
does() { "$@"; }
"""
# What it printed is told where it fails: else nobody knows why.
_QUIET = """\
does() {
  local said status=0
  said=$("$@" 2>&1) || status=$?
  [ "$status" -eq 0 ] || printf '%s\\n' "$said" >&2
  return "$status"
}
"""

_SHELL_BEGIN = f"""\
cd {WORK}
command=$1
shift
"""
# A copy, no link: a command that copies a folder would copy the link.
_RESOURCES = """\
while [ "$#" -gt 0 ]; do
  mkdir -p -- "$(dirname -- "./$2")"
  cp -aT -- "$1" "./$2"
  shift 2
done
"""


def shell(step: Step, body: ShellBody, context: Context) -> instructions.Run:
    """The command, in a folder of its own that has the resources of the step."""
    command, mounts = _command(f"set -e\n{body.command}", context)
    resources = []
    for place, source in enumerate(step.sources, 1):
        mount, target = context.mounted(context.resource(step, source), place)
        mounts.append(mount)
        resources += [target, source]
    script = instructions.BEGIN + (_QUIET if body.quiet else "") + _SHELL_BEGIN
    script += _RESOURCES if resources else ""
    return instructions.run(
        f'{script}{"does" if body.quiet else "exec"} /bin/bash -c "$command"\n',
        [command, *resources],
        name="shell",
        mounts=[f"type=tmpfs,target={WORK}", *mounts],
        env=step.env,
    )


# A revision may be a branch, a tag, a commit, or any other name that the repository has for one.
_CLONE = """\
dir=$(mktemp -d)
export GIT_TERMINAL_PROMPT=0
if [ -z "$rev" ]; then
  does git clone --quiet -- "$url" "$dir"
else
  does git clone --quiet --no-checkout -- "$url" "$dir"
  if git -C "$dir" fetch --quiet -- origin "$rev" 2>/dev/null; then rev=FETCH_HEAD; fi
  does git -C "$dir" checkout --quiet --detach "$rev" --
fi
cd "$dir"
does /bin/bash -c "$command"
cd /
rm -rf -- "$dir"
"""
_ARGUMENTS = """\
url=$1 rev=$2 command=$3
shift 3
"""
# What is there already is neither fetched again nor taken away.
_BRING = """\
missing=() temporary=()
while [ "$1" != -- ]; do
  installed "$1" || missing+=("$1")
  shift
done
shift
for name; do
  installed "$name" || temporary+=("$name")
done
if [ "${#missing[@]}" -gt 0 ] || [ "${#temporary[@]}" -gt 0 ]; then
  apt update
  apt install -- "${missing[@]}" "${temporary[@]}"
fi
"""
_TAKE_AWAY = """\
[ "${#temporary[@]}" -eq 0 ] || apt remove -- "${temporary[@]}"
"""


def git(step: Step, body: GitBody, context: Context) -> instructions.Run:
    """The command in a clone of the repository, with packages that are there meanwhile alone."""
    command, mounts = _command(body.command, context)
    arguments = [body.url, body.rev, command]
    script = _ARGUMENTS + (_QUIET if body.quiet else _LOUD)
    if not (body.deps or body.build_deps):
        return instructions.run(
            instructions.BEGIN + script + _CLONE, arguments, name="git", mounts=mounts, env=step.env
        )
    temporary = [name for name in body.build_deps if name not in body.deps]
    arguments += [*apt.names(context, body.deps), "--", *apt.names(context, temporary)]
    script += apt.of(context).installed
    return apt.run(context, step, script + _BRING + _CLONE + _TAKE_AWAY, arguments, mounts)


def _command(command: str, context: Context) -> tuple[str, list[str]]:
    """`command` for `bash -c`, and the mount that it needs: a long one lies in a file."""
    if instructions.fits(command):
        return command, []
    mount, target = context.mounted(context.file(command.encode()))
    return f". {target}", [mount]
