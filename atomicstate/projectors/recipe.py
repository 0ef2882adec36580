"""recipe(S): the recipe of a set of actions, over the recipe found at `init`.

The actions are folded in the order of the log. Each module lies in a slot: one found at `init` in
-1, -2, ..., any other in the slot with the number of the action that made it. What writes a
package's name takes it out of every module before it, so the last one to write it has it. A
package action gives one module at the end, or none: one more package builds one more layer, and
applying a part first gives the same bytes in the end as applying all at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from atomicstate.errors import NotFoundError
from atomicstate.projectors import state
from atomicstate.recipe.schema import Module, PackagesBody, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from atomicstate.projectors.state import Action
    from atomicstate.projectors.system import System


class Found(NamedTuple):
    """What actions are folded over: the recipe and the resources that `init` found.

    `modules` has the module of each blob that an action names.
    """

    recipe: Recipe
    resources: Mapping[str, str] = {}
    modules: Mapping[str, Module] = {}


class Composition(NamedTuple):
    """A recipe, and where its parts come from.

    `slots` and `owners` are of its modules: the slot, and the event that last wrote it (0: what
    `init` found); `earlier` is what lay in that slot before, oldest first, with who wrote it, as
    far as the view has it.
    `env_owners` are of its variables. `resources` maps names to manifests, `given` are values of
    Env that are no part of the document.
    """

    recipe: Recipe
    slots: tuple[int, ...]
    owners: tuple[int, ...]
    env_owners: Mapping[str, int]
    resources: Mapping[str, str]
    given: Mapping[str, str]
    earlier: tuple[tuple[tuple[Module, int], ...], ...]


def compose(system: System, seqs: Iterable[int], found: Found) -> Composition:
    """The recipe of the actions `seqs` over what was found."""
    actions = _in_order(system, seqs)
    work = _Work(found)
    for action in actions:
        work.take(action)
    base = _last_base(actions)
    image = base.reference if base else found.recipe.image
    # A recipe that names none is about the image that `init` found booted.
    return work.composition(image or (system.origin.base if system.origin else ""))


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


def module_blobs(system: System, seqs: Iterable[int]) -> frozenset[str]:
    """The blobs of the modules that the actions `seqs` name: what `Found.modules` has to have."""
    actions = (system.actions[seq] for seq in seqs)
    return frozenset(
        action.content
        for action in actions
        if action.kind in (state.MODULE_ADDED, state.MODULE_CHANGED)
    )


def _in_order(system: System, seqs: Iterable[int]) -> list[Action]:
    return [system.actions[seq] for seq in sorted(seqs)]


def _last_base(actions: list[Action]) -> Action | None:
    return next((action for action in reversed(actions) if action.reference), None)


class _Work:
    """A recipe in the making."""

    def __init__(self, found: Found) -> None:
        self._modules = found.modules
        self._order = [-(place + 1) for place in range(len(found.recipe.modules))]
        self._at: dict[int, tuple[Module, int]] = {
            slot: (module, 0)
            for slot, module in zip(self._order, found.recipe.modules, strict=True)
        }
        self._earlier: dict[int, list[tuple[Module, int]]] = {}
        self._naming: dict[str, set[int]] = {}
        for slot, (module, _owner) in self._at.items():
            self._note_names(slot, module)
        self._env = {name: (value, 0) for name, value in found.recipe.env.items()}
        self._given: dict[str, str] = {}
        self._resources = dict(found.resources)

    def take(self, action: Action) -> None:
        """Fold one action; one about a module that is not there changes nothing."""
        if take := _TAKERS.get(action.kind):
            take(self, action)

    def composition(self, image: str) -> Composition:
        slots = tuple(slot for slot in self._order if slot in self._at)
        there = [self._at[slot] for slot in slots]
        env = {name: value for name, (value, _owner) in self._env.items()}
        return Composition(
            Recipe(image, tuple(module for module, _owner in there), env),
            slots,
            tuple(owner for _module, owner in there),
            {name: owner for name, (_value, owner) in self._env.items()},
            self._resources,
            self._given,
            tuple(tuple(self._earlier.get(slot, ())) for slot in slots),
        )

    # -- one kind of action each -------------------------------------------------------------

    def _packages(self, action: Action) -> None:
        for name in action.names:
            for slot in self._naming.pop(name, ()):
                self._strip(slot, name)
        in_base = tuple(name for name in action.names if name in action.in_base)
        if action.kind == state.ADDED:
            body = PackagesBody(tuple(name for name in action.names if name not in in_base))
        else:
            body = PackagesBody((), in_base)
        if body.install or body.remove:
            self._place(action.seq, Module("packages", body), action.seq, 0)

    def _added(self, action: Action) -> None:
        self._place(action.seq, self._modules[action.content], action.seq, action.slot)

    def _changed(self, action: Action) -> None:
        if action.slot in self._order:
            module = self._modules[action.content]
            if action.slot in self._at:
                self._earlier.setdefault(action.slot, []).append(self._at[action.slot])
            self._at[action.slot] = (module, action.seq)
            self._note_names(action.slot, module)

    def _removed(self, action: Action) -> None:
        # Its place is kept: others may stand before it.
        self._at.pop(action.slot, None)
        self._earlier.pop(action.slot, None)

    def _env_set(self, action: Action) -> None:
        self._env_removed(action)
        if action.given:
            self._given[action.key] = action.content
        else:
            self._env[action.key] = (action.content, action.seq)

    def _env_removed(self, action: Action) -> None:
        # What is set again stands at the end: the order is told by the newest actions alone.
        (self._given if action.given else self._env).pop(action.key, None)

    def _resource_set(self, action: Action) -> None:
        self._resources[action.key] = action.content

    def _resource_removed(self, action: Action) -> None:
        self._resources.pop(action.key, None)

    # -- modules -----------------------------------------------------------------------------

    def _place(self, slot: int, module: Module, owner: int, before: int) -> None:
        """A new module: before another one's slot, or at the end."""
        place = self._order.index(before) if before in self._order else len(self._order)
        self._order.insert(place, slot)
        self._at[slot] = (module, owner)
        self._note_names(slot, module)

    def _note_names(self, slot: int, module: Module) -> None:
        if isinstance(module.body, PackagesBody):
            for name in (*module.body.install, *module.body.remove):
                self._naming.setdefault(name, set()).add(slot)

    def _strip(self, slot: int, name: str) -> None:
        """Take a package's name out of a module, and the module with it if nothing is left."""
        module, owner = self._at.get(slot, (None, 0))
        if module is None or not isinstance(module.body, PackagesBody):
            return
        body = msgspec.structs.replace(
            module.body,
            install=tuple(other for other in module.body.install if other != name),
            remove=tuple(other for other in module.body.remove if other != name),
        )
        if body == PackagesBody(options=body.options) and body != module.body:
            del self._at[slot]
            self._earlier.pop(slot, None)
        else:
            self._at[slot] = (msgspec.structs.replace(module, body=body), owner)


_TAKERS: dict[str, Callable[[_Work, Action], None]] = {
    state.ADDED: _Work._packages,
    state.REMOVED: _Work._packages,
    state.MODULE_ADDED: _Work._added,
    state.MODULE_CHANGED: _Work._changed,
    state.MODULE_REMOVED: _Work._removed,
    state.ENV_SET: _Work._env_set,
    state.ENV_REMOVED: _Work._env_removed,
    state.RESOURCE_SET: _Work._resource_set,
    state.RESOURCE_REMOVED: _Work._resource_removed,
}
