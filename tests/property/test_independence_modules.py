"""Actions about modules, variables and resources: a part that is accepted means what it meant.

What a module means is told here by who wrote, before it, what it reads and writes, by brute force
over a few things that modules touch; none of that asks the rule that is tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from atomicstate.events.plan import Plan
from atomicstate.projectors import independence, state
from atomicstate.projectors.independence import Keys, keys_of
from atomicstate.projectors.recipe import Found, compose
from atomicstate.projectors.state import Action
from atomicstate.projectors.system import System
from atomicstate.recipe import schema
from atomicstate.recipe.schema import Module, PackagesBody, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable

PATHS = ("/etc", "/etc/a", "/etc/a/b", "/etc/ab", "/usr/bin", "/usr/bin/x", "/srv")
PACKAGES = ("jq", "vim")
UNITS = ("a.service", "b.timer")
THINGS = (*PATHS, *PACKAGES, *UNITS, "host name", "repositories")
FOUND = Recipe(
    "x",
    (
        Module("packages", PackagesBody(("jq", "less")), id="tools"),
        Module("copy", schema.CopyBody("root", "/etc")),
    ),
)


def shell(command: str, **more: str) -> Module:
    return Module("shell", schema.ShellBody(command), when=more.get("when", ""))


MODULES = (
    Module("copy", schema.CopyBody("root", "/etc/a")),
    Module("copy", schema.CopyBody("root/x", "/etc/a/b")),
    Module("copy", schema.CopyBody("files/a", "/bin/x")),
    Module("copy", schema.CopyBody("files/a", "/${{ Env.A }}")),
    Module("merge", schema.MergeBody("/etc/a", "/srv")),
    Module("move", schema.MoveBody("/etc/a/b", "/srv")),
    Module("link", schema.LinkBody("/usr/bin/x", "/etc/ab")),
    Module("mkdir", schema.MkdirBody(("/etc/ab",), "rwxr-xr-x")),
    Module("remove", schema.RemoveBody(("/etc",))),
    Module("remove", schema.RemoveBody(("/etc/a", "/srv"))),
    Module("replace", schema.ReplaceBody("/etc/a/b", "a", "b")),
    Module("systemd", schema.SystemdBody(("a",), enabled=True)),
    Module("systemd", schema.SystemdBody(("a.service", "b.timer"))),
    Module("systemd", schema.SystemdBody(("${{ Env.A }}.service",))),
    Module("network", schema.NetworkBody("n")),
    Module("network", schema.NetworkBody("${{ Env.B }}"), id="net"),
    Module("repos", schema.ReposBody(clean=True)),
    Module("packages", PackagesBody(("vim",), ("jq",))),
    Module("packages", PackagesBody(("jq",))),
    Module("packages", PackagesBody(("${{ Env.B }}",))),
    Module("packages", PackagesBody(upgrade=True)),
    Module("link", schema.LinkBody("/srv", "x"), when='Modules.net.Name == "x"'),
    Module("mkdir", schema.MkdirBody(("/srv",), "rwxr-xr-x"), env={"X": "${{ Modules.tools.If }}"}),
    shell("true"),
    Module("git", schema.GitBody("https://example.org", "make")),
    Module("kernel", schema.KernelBody(schema.KernelInfo("6.12"))),
    Module("branding", schema.BrandingBody("x")),
    Module("include", schema.IncludeBody(("more.yml",))),
)


# -- what modules touch, told apart ----------------------------------------------------------


def below(path: str) -> set[str]:
    """The paths that are this one or in it; of one that is open, all."""
    if "${{" in path:
        return set(PATHS)
    path = path.replace("/bin/", "/usr/bin/", 1) if path.startswith("/bin/") else path
    return {other for other in PATHS if other == path or other.startswith(f"{path}/")}


def touched(module: Module) -> tuple[set[str], set[str]]:  # noqa: PLR0911 - one a type
    """What a module writes, and what it reads."""
    match module.body:
        case schema.CopyBody(destination=path):
            return below(path), set()
        case schema.MergeBody(source=source, destination=path):
            return below(path), below(source) if source.startswith("/") else set()
        case schema.MoveBody(source=source, destination=path):
            return below(source) | below(path), set()
        case schema.LinkBody(target=path) | schema.ReplaceBody(target=path):
            return below(path), set()
        case schema.MkdirBody(targets=paths) | schema.RemoveBody(targets=paths):
            return set().union(*map(below, paths)), set()
        case schema.SystemdBody(targets=units):
            names = {unit if "." in unit else f"{unit}.service" for unit in units}
            return (set(UNITS) if "${{" in "".join(units) else names), set(PACKAGES)
        case schema.NetworkBody():
            return {"host name"}, set()
        case schema.ReposBody():
            return {"repositories"}, set()
        case PackagesBody(upgrade=False) as body:
            names = {*body.install, *body.remove}
            return (set(PACKAGES) if "${{" in "".join(names) else names), {"repositories"}
    return set(THINGS), set(THINGS)


def named(module: Module) -> tuple[str, ...]:
    """The variables, modules and resources that a module of MODULES names."""
    text = repr(module)
    words = ("Env.A", "Env.B", "Modules.net", "Modules.tools", "'root", "'files/a")
    every = words if module.type in ("include", "shell") else ()
    return tuple(word for word in words if word in text or word in every)


# -- a log -----------------------------------------------------------------------------------


class Log:
    """Actions by number, and the modules that they name."""

    def __init__(self) -> None:
        self.actions: dict[int, Action] = {}
        self.modules: dict[str, Module] = {}
        self.lying = {-place: [(0, module)] for place, module in enumerate(FOUND.modules, 1)}

    def act(self, kind: str, **fields: object) -> int:
        seq = len(self.actions) + 1
        self.actions[seq] = Action(seq, kind, **fields)  # type: ignore[arg-type]
        return seq

    def put(self, kind: str, module: Module, slot: int) -> None:
        digest = str(MODULES.index(module))
        self.modules[digest] = module
        seq = self.act(kind, key=module.type, content=digest, slot=slot)
        self.lying.setdefault(seq if kind == state.MODULE_ADDED else slot, []).append((seq, module))

    def keys(self) -> dict[int, Keys]:
        return {seq: self.keys_of(action) for seq, action in self.actions.items()}

    def keys_of(self, action: Action) -> Keys:
        module = self.modules.get(action.content)
        before = [other for made, other in self.lying.get(action.slot, ()) if made < action.seq]
        displaces = action.kind in (state.MODULE_CHANGED, state.MODULE_REMOVED)
        return keys_of(action, Plan(), module, before if displaces else ())

    def meant(self, seqs: Iterable[int]) -> dict[int, object]:
        """For each slot, what its module does and who wrote before what that touches."""
        system = System()
        system.act(dict(self.actions))
        made = compose(system, seqs, Found(FOUND, {"root": "", "files/a": ""}, self.modules))
        words = {
            **{f"Env.{name}": value for name, value in made.recipe.env.items()},
            **{f"'{name}": value for name, value in made.resources.items()},
        }
        writers: dict[str, int] = {}
        meaning: dict[int, object] = {}
        for slot, module in zip(made.slots, made.recipe.modules, strict=True):
            writes, reads = touched(module)
            meaning[slot] = (
                module,
                sorted((thing, writers.get(thing)) for thing in writes | reads),
                [(word, words.get(word)) for word in named(module)],
            )
            writers.update(dict.fromkeys(writes, slot))
            if module.id:
                words[f"Modules.{module.id}"] = str(slot)
        return meaning


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    # Few of them, so that they meet.
    few = draw(st.lists(st.sampled_from(MODULES), min_size=2, max_size=3))
    for _ in range(draw(st.integers(2, 7))):
        slots = [*log.lying]
        kind = draw(st.sampled_from("mmmmcrpen"))
        module = draw(st.sampled_from(few))
        slot = draw(st.sampled_from(slots))
        if kind == "m":
            log.put(state.MODULE_ADDED, module, draw(st.sampled_from([0, 0, slot])))
        elif kind == "c":
            log.put(state.MODULE_CHANGED, module, slot)
        elif kind == "r":
            log.act(state.MODULE_REMOVED, slot=slot)
        elif kind == "p":
            verb = draw(st.sampled_from([state.ADDED, state.REMOVED]))
            name = draw(st.sampled_from(PACKAGES))
            seq = log.act(verb, names=(name,))
            log.lying[seq] = [(seq, Module("packages", PackagesBody((name,))))]
        elif kind == "e":
            name, value = draw(st.sampled_from("AB")), draw(st.sampled_from("12"))
            log.act(state.ENV_SET, key=name, content=value)
        else:
            name = draw(st.sampled_from(["root", "files/a"]))
            log.act(state.RESOURCE_SET, key=name, content=draw(st.sampled_from("12")))
    return log


def slot_of(action: Action) -> int:
    return action.slot if action.kind == state.MODULE_CHANGED else action.seq


@given(logs(), st.integers(0, 255))
@settings(deadline=None, max_examples=1500)
def test_in_a_part_that_is_accepted_each_action_means_what_it_meant(log: Log, bits: int) -> None:
    part = {seq for seq in log.actions if bits >> seq & 1}
    keys = log.keys()
    part = set(independence.closure(part, keys))
    for seq in part:
        slot = slot_of(log.actions[seq])
        alone = log.meant(other for other in part if other <= seq)
        among_all = log.meant(range(1, seq + 1))
        assert alone.get(slot) == among_all.get(slot)


@given(logs(), st.integers(0, 255))
@settings(deadline=None, max_examples=300)
def test_a_part_and_then_the_rest_comes_to_all_at_once(log: Log, bits: int) -> None:
    part = independence.closure({seq for seq in log.actions if bits >> seq & 1}, log.keys())
    # The rest goes in on top of the part, whatever its numbers: the fold goes by these.
    together = log.meant(sorted(part) + sorted(log.actions.keys() - part))
    assert together == log.meant(log.actions)
    assert not independence.missing(part, log.keys())
