"""Changes of the recipe that somebody asks for: checked as a whole, recorded in one commit."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from atomicstate.engine import documents, recording
from atomicstate.engine.results import ChangeResult, RecordedChange
from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.events.asjson import fields_of
from atomicstate.events.asked import in_words
from atomicstate.events.bodies import (
    EnvSet,
    ModuleAdded,
    ModuleChanged,
    ModuleRemoved,
    kind_of,
)
from atomicstate.events.event import Event
from atomicstate.projectors.pending import kept
from atomicstate.projectors.state import ADDED, REMOVED
from atomicstate.projectors.system import System
from atomicstate.recipe import checks, writer
from atomicstate.recipe.secrets import refuse_secrets
from atomicstate.recipe.summary import summary
from atomicstate.store.blobs import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from atomicstate.engine.results import Reporter
    from atomicstate.engine.session import Session
    from atomicstate.events.bodies import AnyBody
    from atomicstate.projectors.recipe import Composition
    from atomicstate.recipe.checks import Wrong
    from atomicstate.recipe.expand import Trouble
    from atomicstate.recipe.schema import Module

_NUMBER = re.compile(r"#?([1-9][0-9]{0,17})", re.ASCII)
_FOUND = re.compile(r"found-([1-9][0-9]{0,8})", re.ASCII)


class Edit(NamedTuple):
    """One change: the body of its event, and the module that it puts into the recipe, if any.

    The body names the module's blob, which need not be there yet.
    """

    body: AnyBody
    module: Module | None = None


def added(module: Module, before: int = 0) -> Edit:
    """`module` comes, before the one in the slot `before`, or at the end."""
    blob = digest_of(writer.encode_module(module))
    return Edit(ModuleAdded(blob, module.type, before, summary(module)), module)


def changed(slot: int, module: Module) -> Edit:
    """The module in `slot` becomes `module`."""
    blob = digest_of(writer.encode_module(module))
    return Edit(ModuleChanged(blob, module.type, slot, summary(module)), module)


def removed(slot: int, module: Module) -> Edit:
    """`module`, which lies in `slot`, goes."""
    return Edit(ModuleRemoved(slot, module.type, summary(module)))


class Standing(NamedTuple):
    """The recipe as it is wanted: where its parts lie, and by which words they are known."""

    system: System
    composed: Composition

    def modules(self) -> list[tuple[int, Module]]:
        """Each module with its slot, in order."""
        return list(zip(self.composed.slots, self.composed.recipe.modules, strict=True))

    def label(self, slot: int) -> str:
        """The word for the module in `slot`: the event's number, or found-N."""
        return str(slot) if slot > 0 else f"found-{-slot}"

    def is_of_packages(self, slot: int) -> bool:
        """Whether `package add` or `package remove` put the module there."""
        return slot > 0 and self.system.actions[slot].kind in (ADDED, REMOVED)

    def find(self, word: str) -> tuple[int, Module]:
        """The module that `word` means: its id, the number of an event that made or last changed
        it (12, #12), or found-N. Raises NotFoundError, with near matches."""
        there = dict(self.modules())
        for slot, module in there.items():
            if word and module.id == word:
                return slot, module
        slots = set(there)
        if match := _NUMBER.fullmatch(word):
            seq = int(match[1])
            slots &= {seq, *self._owned(seq)}
        elif match := _FOUND.fullmatch(word):
            slots &= {-int(match[1])}
        else:
            slots = set()
        if not slots:
            raise self._unknown(word, there)
        slot = slots.pop()
        return slot, there[slot]

    def _owned(self, seq: int) -> list[int]:
        pairs = zip(self.composed.slots, self.composed.owners, strict=True)
        return [slot for slot, owner in pairs if owner == seq]

    def _unknown(self, word: str, there: dict[int, Module]) -> NotFoundError:
        from difflib import get_close_matches

        words = [module.id for module in there.values() if module.id]
        words += [self.label(slot) for slot in there]
        near = get_close_matches(word.removeprefix("#"), words, 3)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        return NotFoundError(
            f"there is no module {word[:60]!r} in the recipe; nothing was changed",
            hint=f"{meant}`atomicstate module list` shows them all",
        )


def standing(session: Session, system: System) -> Standing:
    """The recipe of what is wanted and not held back."""
    return Standing(system, documents.composition(session, system, kept(system)))


def record(
    session: Session,
    plan: Callable[[Standing], Sequence[Edit]],
    reporter: Reporter,
    *,
    allow_secret: bool = False,
) -> ChangeResult:
    """Record the edits that `plan` makes of the recipe as it is: all of them, or nothing.

    Raises ValidationError for what the recipe can't have and for what looks like a secret, and
    what `plan` raises. What would have to be there for a build and is not is told to `reporter`.
    """
    edits: list[Edit] = []

    def decide(system: System) -> list[AnyBody]:
        here = standing(session, system)
        edits[:] = plan(here)
        check(session, here, edits, reporter, allow_secret=allow_secret)
        for edit in edits:
            if edit.module is not None:
                session.blobs.put(writer.encode_module(edit.module))
        return [edit.body for edit in edits]

    events = recording.record(session, decide, reporter)
    return _result(events, edits)


def skipping(result: ChangeResult, skipped: Sequence[str]) -> ChangeResult:
    """`result`, with what was so already."""
    return replace(result, skipped=tuple(skipped))


def check(
    session: Session,
    here: Standing,
    edits: Sequence[Edit],
    reporter: Reporter,
    *,
    allow_secret: bool = False,
) -> None:
    """Raises ValidationError where the recipe would be wrong with `edits` as it is not without.

    What is only missing yet (a resource, a value of Env), or can't be built on the base, is told
    to `reporter`.
    """
    modules = [edit.module for edit in edits if edit.module is not None]
    for module in modules:
        check_module(module)
    env = {edit.body.name: edit.body.value for edit in edits if isinstance(edit.body, EnvSet)}
    refuse_secrets(modules, env, allow_secret)
    after = composed_with(session, here, edits)
    known = {wrong.message for wrong in checks.recipe_problems(here.composed.recipe)}
    new = [wrong for wrong in checks.recipe_problems(after.recipe) if wrong.message not in known]
    _refuse(new)
    missing = []
    for trouble in _new_troubles(session, here, after):
        if not trouble.missing:
            raise ValidationError(f"the recipe would be wrong: {trouble}; nothing was changed")
        missing.append(trouble.message)
    for message in dict.fromkeys(missing):
        reporter.note(f"{message}: an apply needs it")
    if not missing and (why := _why_not_built(session, here, after)):
        reporter.note(f"{why}: an apply refuses that, on the base as it is")


def check_module(module: Module) -> None:
    """Raises ValidationError where `module` is none that a recipe can have."""
    _refuse_empty(module)
    _refuse(checks.module_problems(module))


def _refuse_empty(module: Module) -> None:
    """Raises ValidationError for a value that must not be empty: who made it did not look."""
    body = msgspec.to_builtins(module.body, str_keys=True)
    try:
        msgspec.convert(body, type(module.body))
    except msgspec.ValidationError as error:
        where = str(error).rpartition("$.")[2].rstrip("`")
        raise ValidationError(
            f"{where or 'a value'} of the {module.type} module is empty; nothing was changed"
        ) from error


def _refuse(problems: Iterable[Wrong]) -> None:
    for wrong in problems:
        expected = f"expected: {wrong.expected}" if wrong.expected else ""
        raise ValidationError(f"{wrong.message}; nothing was changed", hint=expected)


def composed_with(session: Session, here: Standing, edits: Sequence[Edit]) -> Composition:
    """The recipe with `edits`: folded as it will be, over events that are not there yet."""
    view = System.from_bytes(here.system.to_bytes())
    modules = {}
    for edit in edits:
        if edit.module is not None and isinstance(edit.body, ModuleAdded | ModuleChanged):
            modules[edit.body.module] = edit.module
        event = Event(
            view.position + 1, edit.body, "", 0, 0, session.actor, None, 0, "", view.log_id
        )
        view.apply(event)
    return documents.composition(session, view, kept(view), modules)


def _new_troubles(session: Session, here: Standing, after: Composition) -> Iterable[Trouble]:
    """What is in the way of a build with the edits, and is not without them."""
    found = documents.expansion(session, here.system, after).troubles
    if not found:
        return
    before = documents.expansion(session, here.system, here.composed).troubles
    # By what they say: a module that comes before another moves it.
    known = Counter((trouble.name, trouble.message) for trouble in before)
    for trouble in found:
        if known[trouble.name, trouble.message]:
            known[trouble.name, trouble.message] -= 1
        else:
            yield trouble


def _why_not_built(session: Session, here: Standing, after: Composition) -> str:
    """Why no image can be made of the recipe any more; empty where one can, or never could."""
    seqs = kept(here.system)
    try:
        documents.build_of(session, here.system, seqs, after)
    except ValidationError as error:
        try:
            documents.build_of(session, here.system, seqs, here.composed)
        except ValidationError:
            return ""
        return error.message
    return ""


def _result(events: Sequence[Event], edits: Sequence[Edit]) -> ChangeResult:
    actions = [
        RecordedChange(
            event.seq,
            kind_of(event.body),
            in_words(kind_of(event.body), fields_of(event.body)),
            writer.as_builtins(edit.module) if edit.module is not None else None,
        )
        for event, edit in zip(events, edits, strict=True)
    ]
    last = actions[-1]
    return ChangeResult(
        last.seq, last.kind, last.what, last.module, events[-1].request or None, actions
    )
