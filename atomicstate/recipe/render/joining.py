"""Several RUNs as one: what they start lies in a file of the build's context, one after another."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from atomicstate.recipe.render import instructions
from atomicstate.recipe.render.context import WORK
from atomicstate.recipe.render.instructions import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.recipe.render.context import Context

# Each step finds the place where commands work as empty as if it were alone.
_STEPS = f"""\
clear() {{ [ ! -d {WORK} ] || find {WORK} -mindepth 1 -delete; }}
. "$1"
"""


def together(runs: Sequence[Run], context: Context) -> Run:
    """One RUN that does what `runs` do, in order, up to the first that fails."""
    if len(runs) == 1:
        return runs[0]
    # Every word is quoted: the file starts programs with their arguments, and does nothing else.
    lines = [f"{shlex.join(run.argv)}\nclear\n" for run in runs]
    mount, target = context.mounted(context.file("".join(lines).encode()))
    mounts = dict.fromkeys(mount for run in runs for mount in run.mounts)
    script = instructions.BEGIN + _STEPS
    return instructions.run(script, [target], name="steps", mounts=[*mounts, mount])
