"""recipe(S): the recipe and the layers of a set of actions, over the recipe found at `init`.

The actions are folded in the order of the log, and the last one to write a package's name has it.
One action gives one module and one layer, or none: so one more package builds one more layer, and
applying a part first gives the same bytes in the end as applying all at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.errors import NotFoundError
from atomicstate.projectors.state import ADDED
from atomicstate.recipe.containerfile import Layer
from atomicstate.recipe.schema import Module, PackagesBody, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System


def recipe_of(system: System, seqs: Iterable[int], found: Recipe) -> Recipe:
    """The recipe of the actions `seqs` over the recipe `found`."""
    actions = _in_order(system, seqs)
    modules = [module for _layer, module in _modules(actions, found)]
    base = _last_base(actions)
    return Recipe(base.reference if base else found.image, tuple(modules))


def layers(system: System, seqs: Iterable[int], found: Recipe) -> tuple[Layer, ...]:
    """What `containerfile.render` makes layers of: the modules of the same recipe."""
    return tuple(layer for layer, _module in _modules(_in_order(system, seqs), found))


def base_of(system: System, seqs: Iterable[int]) -> tuple[str, str, str]:
    """Reference, id and architecture of the base of the actions `seqs`.

    Raises NotFoundError where no host was adopted.
    """
    base = _last_base(_in_order(system, seqs))
    if base:
        return base.reference, base.image_id, base.architecture
    if system.origin is None:
        raise NotFoundError("no host was adopted yet", hint="run `atomicstate init`")
    return system.origin.base, system.origin.base_id, system.origin.architecture


def base_created(system: System, seqs: Iterable[int]) -> int:
    """When the base of the actions `seqs` was made: nanoseconds since 1970, 0: not known."""
    base = _last_base(_in_order(system, seqs))
    if base:
        return base.created
    return system.origin.created if system.origin else 0


def base_event(system: System, seqs: Iterable[int]) -> int:
    """The number of the action that sets the base; 0 where it is as `init` found it."""
    base = _last_base(_in_order(system, seqs))
    return base.seq if base else 0


def _in_order(system: System, seqs: Iterable[int]) -> list[Action]:
    return [system.actions[seq] for seq in sorted(seqs)]


def _last_base(actions: list[Action]) -> Action | None:
    return next((action for action in reversed(actions) if action.reference), None)


def _modules(actions: list[Action], found: Recipe) -> list[tuple[Layer, Module]]:
    """Each module with its layer, those of `found` first."""
    writer = {name: action.seq for action in actions for name in action.names}
    modules = []
    for module in found.modules:
        install = tuple(name for name in module.body.install if name not in writer)
        remove = tuple(name for name in module.body.remove if name not in writer)
        body = PackagesBody(install, remove)
        if body == module.body or install or remove:
            kept = Module(module.type, body, module.name, module.id)
            modules.append((Layer(0, install, remove), kept))
    for action in actions:
        names = tuple(name for name in action.names if writer[name] == action.seq)
        base = tuple(name for name in names if name in action.in_base)
        install = tuple(n for n in names if n not in base) if action.kind == ADDED else ()
        remove = () if action.kind == ADDED else base
        if install or remove:
            module = Module("packages", PackagesBody(install, remove))
            modules.append((Layer(action.seq, install, remove), module))
    return modules
