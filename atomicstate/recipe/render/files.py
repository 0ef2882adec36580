"""Files of the image: the modules copy, move, link, mkdir and remove.

Folders on the way to a path are made. A path is followed through the links that the image has for
folders, and a folder of the image keeps its mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import shown
from atomicstate.recipe.render import instructions
from atomicstate.recipe.render.context import Context
from atomicstate.recipe.render.paths import BUILDERS, image_path, octal

if TYPE_CHECKING:
    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.schema import (
        CopyBody,
        LinkBody,
        MkdirBody,
        MoveBody,
        RemoveBody,
    )

# -- copy and move ------------------------------------------------------------------------------

_FROM_TO = """\
from=$1 to=$2
"""
# Make way for a file at $1.
_WAY_OR_NOT = """\
way() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    echo "$0: $1 is a folder, which makes way with 'replace' alone" >&2
    exit 1
  fi
  rm -f -- "$1"
}
"""
_WAY = """\
way() { rm -rf -- "$1"; }
"""
# What the folder $1 holds goes into the folder $2. A link to a folder stays one, a folder keeps
# its mode, and a file takes the place of a file or a link.
_MERGE = """\
merge() {
  local name
  while IFS= read -r -d '' name; do
    if [ -d "$2/$name" ] && [ ! -L "$2/$name" ]; then way "$2/$name"; fi
  done < <(cd -- "$1" && find . ! -type d -print0)
  tar -C "$1" --numeric-owner --xattrs "${@:3}" -cf - . |
    tar -C "$2" -xpf - --xattrs --xattrs-include='*' --keep-directory-symlink --no-overwrite-dir
}
"""
_COPY = f"""\
if [ ! -d "$from" ]; then
  mkdir -p -- "$(dirname -- "$to")"
  way "$to"
  cp -T --preserve=mode -- "$from" "$to"
  exit
fi
for name in {" ".join(BUILDERS)}; do
  if [[ $name == "${{to%/}}"/* ]] && [ -e "$from/${{name#"${{to%/}}"/}}" ]; then
    echo "copy: $name is the builder's meanwhile: copy it by a module of its own" >&2
    exit 1
  fi
done
if [ ! -d "$to" ]; then
  mkdir -p -- "$to"
  chmod --reference="$from" -- "$to"
fi
merge "$from" "$to" --owner=0 --group=0
"""


def copy(step: Step, body: CopyBody, context: Context) -> instructions.Instruction:
    """A resource into the image: its files, links and modes, and all of it root's.

    Raises ValidationError.
    """
    source = context.resource(step, body.source)
    target = image_path("destination", body.destination, builders=True)
    if target in BUILDERS:
        return instructions.Copy(((source, target, ""),))
    mount, seen = context.mounted(source)
    way = _WAY if body.replace else _WAY_OR_NOT
    script = instructions.BEGIN + _FROM_TO + way + _MERGE + _COPY
    return instructions.run(script, [seen, target], name="copy", mounts=[mount])


# A folder is merged into one that is there; a thing that is there already is left in peace.
_MOVE = """\
if [ ! -e "$from" ] && [ ! -L "$from" ]; then
  echo "move: there is no $from" >&2
  exit 1
fi
mkdir -p -- "$(dirname -- "$to")"
if [ "$(realpath -m -- "$from")" = "$(realpath -m -- "$to")" ]; then exit; fi
if [ -d "$from" ] && [ ! -L "$from" ] && [ -d "$to" ]; then
  merge "$from" "$to"
  rm -rf -- "$from"
else
  way "$to"
  mv -T -- "$from" "$to"
fi
"""
# Relative: the tree is looked at from elsewhere, too. From where the link really lies, as there
# may be a link on the way to it.
_LINK = """\
link() {
  local to=$1
  if [[ $to == /* ]]; then
    to=$(realpath -sm --relative-to="$(realpath -- "$(dirname -- "$2")")" -- "$to")
  fi
  ln -sT -- "$to" "$2"
}
"""


def move(step: Step, body: MoveBody, context: Context) -> instructions.Run:
    """A file or folder of the image, with owners and modes, somewhere else.

    Raises ValidationError.
    """
    source, target = image_path("source", body.source), image_path("destination", body.destination)
    if target == source or target.startswith(f"{source}/"):
        raise ValidationError(f"body.destination: {shown(target)} is in {shown(source)} itself")
    script = (
        instructions.BEGIN + _FROM_TO + (_WAY if body.replace else _WAY_OR_NOT) + _MERGE + _MOVE
    )
    if body.create_link:
        script += f'{_LINK}link "$to" "$from"\n'
    return instructions.run(script, [source, target], name="move")


def link(step: Step, body: LinkBody, context: Context) -> instructions.Run:
    """A symbolic link, relative if what it leads to is an absolute path.

    Raises ValidationError.
    """
    target = image_path("target", body.target)
    script = f'{instructions.BEGIN}{_LINK}mkdir -p -- "$(dirname -- "$2")"\n'
    script += 'rm -rf -- "$2"\n' if body.replace else ""
    return instructions.run(f'{script}link "$1" "$2"\n', [body.to, target], name="link")


# -- folders ------------------------------------------------------------------------------------

_MKDIR = """\
mode=$1
shift
make() {
  if [ -d "$1" ]; then return; fi
  make "$(dirname -- "$1")"
  mkdir -- "$1"
  chmod -- "$mode" "$1"
}
for path; do make "$path"; done
"""


def mkdir(step: Step, body: MkdirBody, context: Context) -> instructions.Run:
    """Folders, and those on the way to them, of just this mode; those that are there stay."""
    targets = [image_path(f"targets[{place}]", path) for place, path in enumerate(body.targets)]
    return instructions.run(instructions.BEGIN + _MKDIR, [octal(body.perm), *targets], name="mkdir")


_REMOVE = """\
rm -rf -- "$@"
"""
# Some of what lies in /run is the builder's.
_REMOVE_INSIDE = """\
for path; do
  if [ -d "$path" ]; then
    find "$path/" -mindepth 1 -maxdepth 1 ! -path '/run/.containerenv' ! -path '/run/secrets' \\
      ! -path '/run/atomicstate-*' -exec rm -rf -- {} +
  elif [ -f "$path" ]; then
    : >"$path"
  fi
done
"""


def remove(step: Step, body: RemoveBody, context: Context) -> instructions.Run:
    """Files and folders, or what is in them; what is not there is no error."""
    targets = [image_path(f"targets[{place}]", path) for place, path in enumerate(body.targets)]
    script = _REMOVE_INSIDE if body.inside else _REMOVE
    return instructions.run(instructions.BEGIN + script, targets, name="remove")
