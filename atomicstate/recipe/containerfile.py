"""The Containerfile: what a builder makes the image from.

A pure function of its arguments and of RENDERER. One step, one layer, in order: what is added to
the end leaves the layers before it to the builder's cache. An image can't have more than 129
layers, so where there are many steps the oldest are joined. It needs no APM, unless the dialect is
`apm` and a step is of a kind that only APM knows.

No value from outside is ever code (render/instructions.py says how), but for commands that a
person wrote as such. What does not fit there lies in files beside the Containerfile, named by
their content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atomicstate.errors import ValidationError
from atomicstate.recipe.dialects import DIALECTS
from atomicstate.recipe.labels import LABEL_RENDERER, LABEL_WHOLE
from atomicstate.recipe.names import shown
from atomicstate.recipe.pins import NO_PINS
from atomicstate.recipe.reference import valid_image_id, valid_reference
from atomicstate.recipe.render.instructions import Instruction, Run
from atomicstate.recipe.render.joining import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.pins import Pins
    from atomicstate.recipe.render.context import Context

RENDERER = 2
"""The version of what is rendered: a change of even one byte of the output is a new one."""

JOINED = 32
"""So many of the oldest steps are joined, once there are ALONE more."""

ALONE = 16
"""So many of the newest steps stand alone at least."""

_WHERE = 200


class Rendered(NamedTuple):
    """A Containerfile, and the files that its context has to have besides the resources.

    `files` has their content by path, below the context. All are of the mode 0644.
    """

    content: bytes
    files: Mapping[str, bytes]


def render(
    steps: Sequence[Step],
    base_id: str,
    base: str,
    dialect: str,
    manifests: Mapping[str, str],
    *,
    pins: Pins = NO_PINS,
) -> Rendered:
    """The Containerfile of `steps` over the image `base_id`, which `base` named.

    `manifests` are digests of the resources by name, `pins` the versions that packages shall
    have. Raises ValidationError for what the dialect can't express, naming the step; for a
    dialect, an id or a reference that is none.
    """
    from atomicstate.recipe.render.context import Context

    if dialect not in DIALECTS:
        raise ValidationError(
            f"a base image of the kind {shown(dialect)} can't be rendered for",
            hint=f"this version takes: {', '.join(DIALECTS)}",
        )
    image = valid_image_id(base_id)
    context = Context(dialect, image, manifests, pins)
    parts = [
        f"# Written by atomicstate (renderer {RENDERER}): a change made here is lost.\n"
        f"# base {valid_reference(base)}\n"
        f'FROM {image}\nLABEL {LABEL_RENDERER}="{RENDERER}"\n'
    ]
    steps = [step for step in steps if _instruction(step, context)]
    joined = (len(steps) - ALONE) // JOINED * JOINED if len(steps) > JOINED + ALONE else 0
    for first in range(0, joined, JOINED):
        parts += _together(steps[first : first + JOINED], context)
    parts += [f"{_origin(step)}{_instruction(step, context)}" for step in steps[joined:]]
    parts.append(f'LABEL {LABEL_WHOLE}="{RENDERER}"\n')
    return Rendered("\n".join(parts).encode("ascii"), context.files)


def _together(steps: Sequence[Step], context: Context) -> Iterator[str]:
    """Several steps as few layers: neighbouring RUNs become one."""
    waiting: list[tuple[Step, Run]] = []
    for place, step in enumerate(steps, 1):
        context.place = place
        written = _instruction(step, context)
        if isinstance(written, Run):
            waiting.append((step, written))
            continue
        yield from _one_run(waiting, context)
        waiting = []
        yield f"{_origin(step)}{written}"
    context.place = 0
    yield from _one_run(waiting, context)


def _one_run(steps: Sequence[tuple[Step, Run]], context: Context) -> Iterator[str]:
    if steps:
        origins = "".join(_origin(step) for step, _run in steps)
        yield f"{origins}{together([run for _step, run in steps], context)}"


def _instruction(step: Step, context: Context) -> Instruction | None:
    """What the step does; None where that is nothing. Raises ValidationError, naming the step."""
    kind = step.module.type
    try:
        written = _renderers()[kind](step, step.module.body, context)
        # What no program can be given is found when it is written.
        return written if written and str(written) else None
    except ValidationError as error:
        raise ValidationError(
            f"the recipe, {step.where}, a module of the type {kind}: {error.message}",
            hint=error.hint or None,
        ) from error


def _origin(step: Step) -> str:
    """Where a step comes from, in two lines of comment."""
    origin = f"event {int(step.event)}" if step.event else "recipe"
    name = f" {shown(step.module.name)}" if step.module.name else ""
    return f"# {origin}\n# {step.module.type}{name} ({ascii(step.where[:_WHERE])[1:-1]})\n"


def _renderers() -> dict[str, Callable[[Step, Any, Context], Instruction | None]]:
    from atomicstate.recipe.render import apt, commands, files, kernel, repos, system, text

    return {
        "branding": kernel.branding,
        "copy": files.copy,
        "git": commands.git,
        "kernel": kernel.kernel,
        "link": files.link,
        "merge": text.merge,
        "mkdir": files.mkdir,
        "move": files.move,
        "network": system.network,
        "packages": apt.packages,
        "remove": files.remove,
        "replace": text.replace,
        "repos": repos.repos,
        "shell": commands.shell,
        "systemd": system.systemd,
    }
