"""Valid histories: a builder that writes them as the engine does, and a strategy of random ones.

`History` keeps a small model of the host (what is booted, staged, in the rollback slot), so that
what it appends could have happened. Nothing here uses the projectors: they are what is tested.
"""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import msgspec
from hypothesis import strategies as st

from atomicstate.events import bodies, codec
from atomicstate.events.event import Actor, BootInstance, Event
from atomicstate.recipe import resources, schema, writer
from atomicstate.recipe.resources import Entry
from atomicstate.recipe.schema import Module, PackagesBody, Recipe
from atomicstate.store.blobs import digest_of
from tests.support.recipes import modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

NAMES = ("curl", "g++", "jq", "nano", "vim")
APPLY_STEPS = ("config", "containerfile", "build", "switch", "promote")
LOG_ID = bytes(range(16))
FOUND = Recipe(
    "localhost/base:1",
    (
        Module("packages", PackagesBody(("jq", "less"), ("nano",)), name="found"),
        Module("packages", PackagesBody(("htop",)), name="more"),
    ),
    {"LANG": "C", "A": "0"},
)
"""The recipe that `init` finds: the slots -1 and -2."""

ACTOR = Actor(0, "root", 1000, "package add", ("--yes",))


def image_id(text: str) -> str:
    """An image's id that belongs to `text`."""
    return f"sha256:{checksum(text)}"


def checksum(text: str) -> str:
    """64 hexadecimal digits that belong to `text`."""
    return f"{random.Random(text).getrandbits(256):064x}"


class History:
    """A log that grows: `events`, and the host that it tells of.

    `blobs` has what the events name by digest, as far as the recipe needs it, `modules` the
    modules among that.
    """

    def __init__(self, base: str = "localhost/base:1") -> None:
        self.events: list[Event] = []
        self.blobs: dict[str, bytes] = {}
        self.modules: dict[str, Module] = {}
        self.base = base
        self.staged: tuple[str, str] = ("", "")
        self.booted: tuple[str, str] = (checksum("origin"), "")
        self.rollback: tuple[str, str] = ("", "")
        self.overlay = False
        self.queued = False
        self.back: frozenset[int] = frozenset()
        self.void: set[int] = set()
        self.made: dict[str, frozenset[int]] = {"": frozenset()}
        self.actions: list[int] = []
        self._boots = 0
        self._ids = 0
        self._time = 1_700_000_000_000_000_000
        self._append(
            bodies.SystemInitialized(
                driver="sandbox",
                base=base,
                base_id=image_id(base),
                architecture="amd64",
                dialect="deb",
                recipe=self.keep(writer.write(FOUND)),
                booted=self.booted[0],
                resources={"root": self.keep(_manifest(self, "found"))},
            )
        )

    def records(self) -> list[bytes]:
        """The events as the store keeps them."""
        records, previous = [], codec.GENESIS
        for event in self.events:
            encoded = codec.encode(event)
            previous = codec.chain(previous, encoded)
            records.append(encoded + previous)
        return records

    # -- asked -------------------------------------------------------------------------------

    def add(self, *names: str, in_base: Sequence[str] = (), transaction: str = "") -> int:
        """`package.added`; returns its number."""
        return self._act(bodies.PackageAdded(names, bool(transaction), tuple(in_base)), transaction)

    def remove(self, *names: str, in_base: Sequence[str] = (), transaction: str = "") -> int:
        """`package.removed`; returns its number."""
        return self._act(
            bodies.PackageRemoved(names, bool(transaction), tuple(in_base)), transaction
        )

    def set_base(self, reference: str) -> int:
        """`base.set`; returns its number."""
        return self._act(bodies.BaseSet(reference, image_id(reference), "amd64"))

    def keep(self, content: bytes) -> str:
        """A blob; returns its digest."""
        digest = digest_of(content)
        self.blobs[digest] = content
        return digest

    def add_module(self, module: Module, before: int = 0) -> int:
        """`module.added`; returns its number, which is its slot."""
        body = bodies.ModuleAdded(self._module(module), module.type, before, module.type)
        return self._act(body)

    def change_module(self, slot: int, module: Module) -> int:
        """`module.changed`; returns its number."""
        return self._act(bodies.ModuleChanged(self._module(module), module.type, slot, module.type))

    def remove_module(self, slot: int) -> int:
        """`module.removed`; returns its number."""
        return self._act(bodies.ModuleRemoved(slot, "", "gone"))

    def set_env(self, name: str, value: str, *, given: bool = False) -> int:
        """`env.set`; returns its number."""
        return self._act(bodies.EnvSet(name, value, given))

    def remove_env(self, name: str, *, given: bool = False) -> int:
        """`env.removed`; returns its number."""
        return self._act(bodies.EnvRemoved(name, given))

    def set_resource(self, name: str, content: str) -> int:
        """`resource.set` of one file; returns its number."""
        return self._act(bodies.ResourceSet(name, self.keep(_manifest(self, content)), 1))

    def remove_resource(self, name: str) -> int:
        """`resource.removed`; returns its number."""
        return self._act(bodies.ResourceRemoved(name))

    def there(self) -> dict[int, bool]:
        """Slots that surely hold a module of what is wanted, newest first, and whether an action
        about modules may change it: one of packages has its own."""
        found: dict[int, tuple[frozenset[str], bool]] = {
            -(place + 1): (frozenset(), True) for place in range(len(FOUND.modules))
        }
        for seq in sorted(self.wanted - self.back):
            body = self.events[seq - 1].body
            match body:
                case bodies.PackageAdded() | bodies.PackageRemoved():
                    names = frozenset(body.names)
                    found = {slot: item for slot, item in found.items() if not item[0] & names}
                    if (body.names != body.in_base) == isinstance(body, bodies.PackageAdded):
                        found[seq] = (names, False)
                case bodies.ModuleAdded():
                    found[seq] = (self._packages(body.module), True)
                case bodies.ModuleChanged():
                    found[body.slot] = (self._packages(body.module), True)
                case bodies.ModuleRemoved():
                    found.pop(body.slot, None)
        return {slot: mine for slot, (_names, mine) in reversed(found.items())}

    def _packages(self, digest: str) -> frozenset[str]:
        body = self.modules[digest].body
        return frozenset((*body.install, *body.remove) if isinstance(body, PackagesBody) else ())

    def _module(self, module: Module) -> str:
        digest = self.keep(writer.encode_module(module))
        self.modules[digest] = module
        return digest

    def adopt(self) -> None:
        """`deployment.adopted` of what boots next, where it is foreign."""
        found, transaction = self.boots_next()
        if self.held() is not None or transaction:
            return
        seq = self._act(bodies.DeploymentAdopted(found, f"x:{found[:3]}", image_id(found), "amd64"))
        self.made[found] = frozenset({seq})

    def change_wanted(self, void: Iterable[int], revive: Iterable[int]) -> None:
        """`wanted.changed`."""
        void, revive = set(void) - self.void, set(revive) & self.void
        self._append(bodies.WantedChanged(tuple(void), tuple(revive), "undo"))
        self.void = (self.void | void) - revive

    def asked_for(self, name: str) -> list[int]:
        """The actions about the package `name`."""
        bodies_of = ((seq, self.events[seq - 1].body) for seq in self.actions)
        return [seq for seq, body in bodies_of if name in getattr(body, "names", ())]

    @property
    def wanted(self) -> set[int]:
        """W."""
        return set(self.actions) - self.void

    # -- transactions ------------------------------------------------------------------------

    def live(self, *names: str, end: str = "done") -> str:
        """A live transaction that adds `names`, and ends `done`, `undone` or `cut` short."""
        transaction = self._new_id()
        begun = bodies.TransactionBegun("live", action="package.added", names=names)
        self._append(begun, transaction)
        self._overlay_step(transaction)
        self._append(bodies.StepStarted("live"), transaction)
        if end == "undone":
            self._append(bodies.StepFailed("live", "APT", "a script failed"), transaction)
            self._undo(transaction, "live")
        elif end == "done":
            self._append(bodies.StepDone("live", {"packages": "1"}), transaction)
            self.add(*names, transaction=transaction)
        return transaction

    def enable_overlay(self) -> None:
        """A transaction of the overlay alone."""
        transaction = self._new_id()
        self._append(bodies.TransactionBegun("overlay"), transaction)
        self._overlay_step(transaction)

    def boots_next(self) -> tuple[str, str]:
        """Checksum and transaction of what boots next."""
        if self.staged[0]:
            return self.staged
        return self.rollback if self.queued else self.booted

    def held(self) -> frozenset[int] | None:
        """The actions in what boots next; None where it is foreign."""
        return self._held(self.boots_next())

    def pending(self) -> list[int]:
        """The actions that what boots next lacks, and those that it has and nobody wants."""
        there = self.held() or frozenset()
        return sorted(self.wanted - there - self.back | there - self.wanted)

    def apply(
        self, add: Iterable[int] | None = None, *, stop: str = "", end: str = "done"
    ) -> str | None:
        """An apply of `add` (all that is pending). At the step `stop` it is `undone` or `cut`.

        None where what boots next is foreign: it would be refused.
        """
        held = self.held()
        if held is None:
            return None
        transaction = self._new_id()
        chosen = self.pending() if add is None else sorted(add)
        drop = tuple(seq for seq in chosen if seq in held)
        chosen = tuple(seq for seq in chosen if seq not in held)
        begun = bodies.TransactionBegun(
            "apply",
            add=chosen,
            drop=drop,
            parent=self._key(self.boots_next()),
            base=self.base,
            base_id=image_id(self.base),
            architecture="amd64",
            dialect="deb",
            renderer=1,
            recipe=checksum(f"recipe {transaction}"),
            containerfile=checksum(f"containerfile {transaction}"),
            staged_before=self.staged[0],
        )
        self._append(begun, transaction)
        done: list[str] = []
        for step in APPLY_STEPS:
            self._append(bodies.StepStarted(step), transaction)
            if step == stop and end == "undone" and step != "promote":
                self._append(bodies.StepFailed(step, "CONTAINER", "it exited 1"), transaction)
                self._undo(transaction, *done, step)
                return transaction
            if step == stop:
                return transaction
            self._apply_step(transaction, step, held.union(chosen).difference(drop))
            if step == "switch":
                self.back -= set(chosen)
            done.append(step)
        return transaction

    def roll_back(self) -> None:
        """A rollback to the deployment in the rollback slot, where that can be."""
        there = self._held(self.rollback)
        if not self.rollback[0] or there is None:
            return
        transaction = self._new_id()
        back = tuple(sorted(self.wanted - there))
        begun = bodies.TransactionBegun("rollback", target=self.rollback[0], held=back)
        self._append(begun, transaction)
        self._append(bodies.StepStarted("rollback"), transaction)
        self.queued, self.staged, self.back = True, ("", ""), frozenset(back)
        self._append(bodies.StepDone("rollback"), transaction)
        self._append(bodies.WantedHeld(back), transaction)
        self._observed()

    def deploy(self, target: str) -> None:
        """The image of an earlier transaction is staged again."""
        transaction = self._new_id()
        self._append(bodies.TransactionBegun("deploy", target=target), transaction)
        self._append(bodies.StepStarted("switch"), transaction)
        self._append(bodies.StepDone("switch"), transaction)
        self.staged = (checksum(target), target)
        self._append(bodies.TransactionStaged(checksum(target), image_id(target)), transaction)

    def apply_across_a_boot(self) -> None:
        """An apply that is cut short after the host staged, and that the log hears of late."""
        held, chosen = self.held(), self.pending()
        if held is not None and held & set(chosen):
            return
        transaction = self.apply(stop="switch", end="cut")
        if transaction is None or held is None:
            return
        self.staged = (checksum(transaction), transaction)
        self.boot()
        self.made[transaction] = held.union(chosen)
        self._append(bodies.StepDone("switch"), transaction)
        staged = bodies.TransactionStaged(checksum(transaction), image_id(transaction))
        self._append(staged, transaction)
        self._append(bodies.StepStarted("promote"), transaction)
        self._append(bodies.StepDone("promote"), transaction)

    # -- the host ----------------------------------------------------------------------------

    def boot(self) -> None:
        """A reboot: what is staged becomes what is booted."""
        if self.staged[0]:
            self.rollback, self.booted, self.staged = self.booted, self.staged, ("", "")
        elif self.queued:
            self.rollback, self.booted = self.booted, self.rollback
        self._booted()

    def power_cut(self) -> None:
        """A reboot that loses what was only staged."""
        self.staged = ("", "")
        if self.queued:
            self.rollback, self.booted = self.booted, self.rollback
        self._booted()

    def boot_rollback(self) -> None:
        """A person chose the other entry in the boot menu."""
        if self.rollback[0]:
            self.rollback, self.booted = self.booted, self.rollback
        self.staged = ("", "")
        self._booted()

    def stage_foreign(self) -> None:
        """Something else staged a deployment."""
        self.staged = (checksum(f"foreign {len(self.events)}"), "")
        self._observed()

    def unstage(self) -> None:
        """Something else dropped what was staged."""
        self.staged = ("", "")
        self._observed()

    def lay_overlay(self) -> None:
        """Something else laid an overlay on /usr."""
        self.overlay = True
        self._observed()

    # -- how -----------------------------------------------------------------------------------

    def _held(self, deployment: tuple[str, str]) -> frozenset[int] | None:
        return self.made.get(self._key(deployment))

    def _key(self, deployment: tuple[str, str]) -> str:
        found, transaction = deployment
        return transaction or ("" if found == checksum("origin") else found)

    def _apply_step(self, transaction: str, step: str, actions: frozenset[int]) -> None:
        if step == "promote" and len(self.events) % 3 == 0:
            self._append(bodies.StepSkipped(step, "the file was changed"), transaction)
            return
        self._append(bodies.StepDone(step, {"digest": checksum(step)}), transaction)
        if step == "switch":
            deployment = (checksum(transaction), transaction)
            self.staged = deployment
            self.made[transaction] = actions
            staged = bodies.TransactionStaged(deployment[0], image_id(transaction))
            self._append(staged, transaction)

    def _overlay_step(self, transaction: str) -> None:
        if self.overlay:
            self._append(bodies.StepSkipped("overlay", "it was there already"), transaction)
            return
        self._append(bodies.StepStarted("overlay"), transaction)
        self._append(bodies.StepDone("overlay", {"overlay": "writable"}), transaction)
        self.overlay = True

    def _undo(self, transaction: str, *steps: str) -> None:
        for step in reversed(steps):
            self._append(bodies.StepUndoing(step, "it failed"), transaction)
            self._append(bodies.StepUndone(step), transaction)
        self._append(bodies.TransactionRolledBack("it failed", "CONTAINER"), transaction)

    def _booted(self) -> None:
        self._boots += 1
        self.overlay = self.queued = False
        self._append(bodies.HostBooted(*self.booted, *self.staged, *self.rollback))

    def _observed(self) -> None:
        shown = (*self.booted, *self.staged, *self.rollback)
        self._append(bodies.HostObserved(*shown, self.overlay, self.queued))

    def _act(self, body: bodies.AnyBody, transaction: str = "") -> int:
        seq = self._append(body, transaction)
        self.actions.append(seq)
        return seq

    def _new_id(self) -> str:
        self._ids += 1
        return str(uuid.UUID(int=(self._time // 1_000_000) << 80 | 7 << 76 | self._ids))

    def _append(self, body: bodies.AnyBody, transaction: str = "") -> int:
        seq = len(self.events) + 1
        # Now and then the clock goes back.
        self._time += -5_000_000_000 if seq % 7 == 0 else 1_000_000_000
        boot = BootInstance(f"boot-{self._boots}", 0, self.booted[0], 0)
        self.events.append(
            Event(seq, body, transaction, self._time, seq * 10, ACTOR, boot, 0, "", LOG_ID)
        )
        return seq


def _manifest(history: History, content: str) -> bytes:
    """The manifest of one file."""
    return resources.encode([Entry("", 0o644, history.keep(content.encode()))])


_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
_packages = st.builds(
    lambda install, remove: Module(
        "packages", PackagesBody(tuple(install), tuple(set(remove) - set(install)))
    ),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
    st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
)
_modules = st.one_of(
    _packages,
    st.sampled_from(
        [
            Module("systemd", schema.SystemdBody(("a.service",), enabled=True)),
            Module("copy", schema.CopyBody("root", "/")),
            Module("copy", schema.CopyBody("files/a", "/etc/a")),
            Module("shell", schema.ShellBody("echo ${{ Env.A }}\ntrue"), env={"C": "${{ Env.B }}"}),
        ]
    ),
    modules().map(lambda module: msgspec.structs.replace(module, id="")),
)
_few_modules = st.sampled_from(
    [
        Module("shell", schema.ShellBody("one")),
        Module("shell", schema.ShellBody("two")),
        Module("packages", PackagesBody(("jq", "tree"), ("vim",))),
    ]
)
_in_base = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
_end = st.sampled_from(["undone", "cut"])
_edits = st.one_of(
    st.tuples(st.just("module"), _modules, st.integers(0, 5)),
    st.tuples(st.just("module"), _modules, st.just(0)),
    st.tuples(st.just("change"), _modules, st.integers(0, 5)),
    st.tuples(st.just("take out"), st.integers(0, 5)),
    st.tuples(st.just("env"), st.sampled_from("AB"), st.sampled_from("01-"), st.booleans()),
    st.tuples(st.just("resource"), st.sampled_from(["root", "files/a"]), st.sampled_from("xy-")),
)
_asked = st.one_of(
    st.tuples(st.just("add"), _names, _in_base),
    st.tuples(st.just("add"), _names, st.just([])),
    st.tuples(st.just("remove"), _names, _in_base),
    st.tuples(st.just("base"), st.sampled_from(["localhost/base:1", "localhost/base:2"])),
    _edits,
    _edits,
)
_ops = st.one_of(
    _asked,
    _asked,
    st.tuples(st.just("live"), _names, st.sampled_from(["done", "done", "undone", "cut"])),
    st.tuples(st.just("overlay")),
    st.tuples(st.just("apply")),
    st.tuples(st.just("apply")),
    st.tuples(st.just("apply some"), st.integers(0, 7)),
    st.tuples(st.just("apply some"), st.integers(0, 7)),
    st.tuples(st.just("apply"), st.sampled_from(APPLY_STEPS), _end),
    st.tuples(st.just("boot")),
    st.tuples(st.sampled_from(["boot", "cut", "back", "foreign", "unstage", "late", "look"])),
    st.tuples(st.sampled_from(["adopt", "roll back", "roll back", "deploy"])),
    st.tuples(st.just("wanted"), st.integers(0, 7), st.integers(0, 7)),
    st.tuples(st.just("all of"), st.sampled_from(NAMES), st.integers(1, 6), st.booleans()),
)
_few = st.one_of(
    st.tuples(st.just("module"), _few_modules, st.integers(0, 3)),
    st.tuples(st.just("module"), _few_modules, st.integers(0, 3)),
    st.tuples(st.just("change"), _few_modules, st.integers(0, 3)),
    st.tuples(st.just("take out"), st.integers(0, 3)),
    st.tuples(st.just("take out"), st.integers(0, 3)),
    st.tuples(st.just("env"), st.sampled_from("AB"), st.sampled_from("01-"), st.just(False)),
    st.tuples(st.just("add"), st.sampled_from([["jq"], ["vim"]]), st.just([])),
    st.tuples(st.just("next")),
    st.tuples(st.just("next")),
    st.tuples(st.just("wanted"), st.integers(0, 7), st.integers(0, 7)),
)


@st.composite
def actions(draw: st.DrawFn) -> Callable[[History], list[int]]:
    """What somebody asks for in one go: it appends to a history, and returns the numbers."""
    ops = draw(st.lists(_asked, min_size=1, max_size=3))

    def act(history: History) -> list[int]:
        before = len(history.actions)
        for op in ops:
            _do(history, *op)
        return history.actions[before:]

    return act


@st.composite
def histories(draw: st.DrawFn, max_ops: int = 20, *, edits: bool = False) -> History:
    """Random valid histories; with `edits` most of what happens are changes of the recipe."""
    history = History()
    if draw(st.booleans()):
        _age(history)
    for op in draw(st.lists(_few if edits else _ops, max_size=max_ops)):
        _do(history, *op)
    return history


def _age(history: History) -> None:
    """Some deployments, so that the base as it was at `init` is no longer among those kept."""
    for _round in range(3):
        history.add("jq")
        history.remove("jq")
        history.add("vim", "nano")
        history.apply()
        history.boot()


def _do(history: History, op: str, *args: object) -> None:  # noqa: PLR0912
    match op, *args:
        case "add", list(names), list(in_base):
            history.add(*names, in_base=[name for name in in_base if name in names])
        case "remove", list(names), list(in_base):
            history.remove(*names, in_base=[name for name in in_base if name in names])
        case "base", str(reference):
            history.set_base(reference)
        case "live", list(names), str(end):
            history.live(*names, end=end)
        case ("overlay",):
            history.enable_overlay()
        case ("apply",):
            history.apply()
        case ("next",):
            history.apply()
            history.boot()
        case "apply", str(stop), str(end):
            history.apply(stop=stop, end=end)
        case "apply some", int(bits):
            pending = history.pending()
            history.apply([seq for place, seq in enumerate(pending) if bits >> place & 1])
        case ("boot",):
            history.boot()
        case ("late",):
            history.apply_across_a_boot()
        case ("look",):
            history.lay_overlay()
        case ("cut",):
            history.power_cut()
        case ("back",):
            history.boot_rollback()
        case ("foreign",):
            history.stage_foreign()
        case ("unstage",):
            history.unstage()
        case ("adopt",):
            history.adopt()
        case ("roll back",):
            history.roll_back()
        case ("deploy",):
            made = [key for key in history.made if "-" in key and key != history.booted[1]]
            if made:
                history.deploy(made[len(history.events) % len(made)])
        case "wanted", int(void), int(revive):
            newest = history.actions[-3:]
            history.change_wanted(
                [seq for place, seq in enumerate(newest) if void >> place & 1],
                [seq for place, seq in enumerate(newest) if revive >> place & 1],
            )
        case "all of", str(name), int(count), bool(again):
            newest = history.asked_for(name)[-count:]
            history.change_wanted(() if again else newest, newest if again else ())
        case _:
            _edit(history, op, *args)


def _edit(history: History, op: str, *args: object) -> None:
    """An action about the recipe."""
    there = history.there()
    own = [slot for slot, mine in there.items() if mine]
    match op, *args:
        case "module", Module() as module, int(place):
            history.add_module(module, [0, *there][min(place, len(there))])
        case "change", Module() as module, int(place):
            for slot in own[place : place + 1]:
                history.change_module(slot, module)
        case "take out", int(place):
            for slot in own[place : place + 1]:
                history.remove_module(slot)
        case "env", str(name), "-", bool(given):
            history.remove_env(name, given=given)
        case "env", str(name), str(value), bool(given):
            history.set_env(name, value, given=given)
        case "resource", str(name), "-":
            history.remove_resource(name)
        case "resource", str(name), str(content):
            history.set_resource(name, content)
        case _:
            raise AssertionError(op)
