"""What ties two actions: the rule's table, row by row."""

from __future__ import annotations

import pytest

from atomicstate.events.plan import PackageChange, Plan
from atomicstate.projectors import state
from atomicstate.projectors.independence import Keys, keys_of
from atomicstate.projectors.state import Action
from atomicstate.recipe.schema import (
    BrandingBody,
    CopyBody,
    GitBody,
    IncludeBody,
    KernelBody,
    LinkBody,
    MergeBody,
    MkdirBody,
    Module,
    MoveBody,
    NetworkBody,
    PackagesBody,
    RemoveBody,
    ReplaceBody,
    ReposBody,
    ShellBody,
    SystemdBody,
)


def package(
    verb: str, name: str, *, comes: tuple[str, ...] = (), goes: tuple[str, ...] = (), seq: int = 11
) -> Keys:
    changes = [PackageChange("install", other, "1", "all") for other in comes]
    changes += [PackageChange("remove", other, "1", "all") for other in goes]
    kind = {"add": state.ADDED, "remove": state.REMOVED}[verb]
    return keys_of(Action(seq, kind, (name,)), Plan(tuple(changes)))


def added(module: Module, seq: int = 2, before: int = 0) -> Keys:
    action = Action(seq, state.MODULE_ADDED, key=module.type, content="x", slot=before)
    return keys_of(action, Plan(), module)


def changed(slot: int, was: Module, module: Module, seq: int = 3) -> Keys:
    action = Action(seq, state.MODULE_CHANGED, key=module.type, content="x", slot=slot)
    return keys_of(action, Plan(), module, [was])


def removed(slot: int, was: Module, seq: int = 3) -> Keys:
    return keys_of(Action(seq, state.MODULE_REMOVED, key=was.type, slot=slot), Plan(), None, [was])


def of_env(name: str, kind: str = state.ENV_SET) -> Keys:
    return keys_of(Action(4, kind, key=name, content="x"), Plan())


def of_resource(name: str, kind: str = state.RESOURCE_SET) -> Keys:
    return keys_of(Action(5, kind, key=name, content="x"), Plan())


BASE = keys_of(Action(6, "base.set", reference="a", image_id="b"), Plan())


def copy(source: str, destination: str) -> Module:
    return Module("copy", CopyBody(source, destination))


def gone(*paths: str) -> Module:
    return Module("remove", RemoveBody(paths))


def units(*names: str) -> Module:
    return Module("systemd", SystemdBody(names, enabled=True))


def packages(*install: str, remove: tuple[str, ...] = ()) -> Module:
    return Module("packages", PackagesBody(install, remove))


SHELL = Module("shell", ShellBody("true"))
REPOS = Module("repos", ReposBody(clean=True))
HOST = Module("network", NetworkBody("a"))
EVERYTHING = [
    SHELL,
    Module("git", GitBody("https://example.org/x", "make")),
    Module("kernel", KernelBody()),
    Module("branding", BrandingBody("x")),
    Module("include", IncludeBody(("x.yml",))),
]


def tied(one: Keys, other: Keys) -> bool:
    assert one.independent_of(other) == other.independent_of(one)
    return not one.independent_of(other)


# -- package added, removed ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (package("remove", "jq"), True),
        (package("add", "jq"), True),
        (package("add", "vim"), False),
        (package("add", "vim", comes=("vim", "jq")), True),
        (package("add", "vim", comes=("onig",)), False),
        (package("remove", "vim", goes=("onig",)), True),
        (package("remove", "vim", goes=("jq",)), True),
        (added(REPOS), True),
        (BASE, False),
        (added(packages("jq")), True),
        (added(packages(remove=("jq",))), True),
        (added(packages("vim")), False),
        (added(packages("${{ Env.A }}")), True),
        (added(Module("packages", PackagesBody(upgrade=True))), True),
        (added(Module("packages", PackagesBody(remove=("vim",), depends=True))), True),
        (of_env("A"), False),
        (of_resource("root"), False),
    ],
)
def test_a_package_is_tied_to_itself_to_what_goes_and_to_repositories(other, expected):
    assert tied(package("add", "jq", comes=("jq", "onig"), seq=1), other) is expected


# -- base, repositories ----------------------------------------------------------------------


def test_the_base_is_tied_to_the_base_and_to_what_may_do_anything():
    assert tied(BASE, BASE)
    for keys in (package("add", "jq"), added(copy("root", "/")), added(units("a")), of_env("A")):
        assert not tied(BASE, keys)
    assert tied(BASE, added(SHELL))


def test_repositories_are_tied_to_each_other_and_to_packages():
    assert tied(added(REPOS), added(Module("repos", ReposBody(branch="p11")), 9))
    assert tied(added(REPOS), added(packages("jq"), 9))
    assert not tied(added(REPOS), added(copy("root", "/"), 9))
    assert not tied(added(REPOS), added(units("a"), 9))


# -- copy move link mkdir remove merge replace -----------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        copy("x", "/etc/a"),
        Module("merge", MergeBody("x", "/etc/a")),
        Module("move", MoveBody("/srv/x", "/etc/a")),
        Module("move", MoveBody("/etc/a", "/srv/x")),
        Module("link", LinkBody("/etc/a", "/srv/x")),
        Module("mkdir", MkdirBody(("/srv/y", "/etc/a"), "rwxr-xr-x")),
        Module("replace", ReplaceBody("/etc/a", "x", "y")),
        gone("/srv/y", "/etc/a"),
    ],
)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/a", True),
        ("/etc", True),
        ("/etc/a/b/c", True),
        ("/", True),
        ("/etc/./a/", True),
        ("/${{ Env.A }}", True),
        ("/etc/ab", False),
        ("/usr", False),
    ],
)
def test_a_path_is_tied_to_what_is_above_and_below_it(module, path, expected):
    assert tied(added(module, 9), added(copy("z", path))) is expected


def test_a_link_into_usr_is_the_path_that_it_leads_to():
    assert tied(added(copy("x", "/bin/sh"), 9), added(gone("/usr/bin")))
    assert not tied(added(copy("x", "/binary"), 9), added(gone("/usr/bin")))


def test_what_is_merged_from_the_image_is_read():
    merged = added(Module("merge", MergeBody("/etc/a", "/srv/x")), 9)
    assert tied(merged, added(gone("/etc")))
    assert not tied(merged, added(gone("/usr")))
    assert not tied(merged, added(Module("merge", MergeBody("/etc/a", "/srv/y"))))


@pytest.mark.parametrize(
    ("name", "expected"), [("root", True), ("root/etc", True), ("roots", False), ("files/a", False)]
)
@pytest.mark.parametrize("kind", [state.RESOURCE_SET, state.RESOURCE_REMOVED])
def test_a_module_is_tied_to_the_resource_that_it_takes(name, expected, kind):
    assert tied(added(copy("root/etc", "/etc")), of_resource(name, kind)) is expected


def test_an_include_is_tied_to_every_resource():
    assert tied(added(Module("include", IncludeBody(("x.yml",)))), of_resource("y"))


# -- systemd, network ------------------------------------------------------------------------


def test_a_unit_is_tied_to_itself_and_to_every_package():
    unit = added(units("a"), 9)
    assert tied(unit, added(units("b.timer", "a.service")))
    assert not tied(unit, added(units("b")))
    assert tied(unit, added(units("${{ Env.A }}")))
    assert tied(unit, package("add", "jq"))
    assert tied(unit, added(packages("jq")))
    assert not tied(unit, added(HOST))
    assert not tied(unit, added(copy("root", "/")))


def test_a_host_name_is_tied_to_itself_and_to_every_package():
    host = added(HOST, 9)
    assert tied(host, added(Module("network", NetworkBody("b"))))
    assert tied(host, package("remove", "jq"))
    assert not tied(host, added(copy("root", "/")))
    assert not tied(host, of_env("A"))


# -- shell git kernel branding include -------------------------------------------------------


@pytest.mark.parametrize("module", EVERYTHING, ids=lambda module: module.type)
@pytest.mark.parametrize(
    "other",
    [
        package("add", "jq"),
        BASE,
        added(REPOS, 9),
        added(copy("x", "/y"), 9),
        added(units("a"), 9),
        added(HOST, 9),
        added(SHELL, 9),
        of_env("A"),
        of_resource("root"),
    ],
)
def test_what_may_do_anything_is_tied_to_everything(module, other):
    assert tied(added(module), other)


# -- what is filled in -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "module",
    [
        copy("${{ Env.A }}", "/x"),
        Module("copy", CopyBody("a", "/x"), when='Env.A == "1"'),
        Module("copy", CopyBody("a", "/x"), env={"B": "${{ Env.A }}"}),
        Module("mkdir", MkdirBody(("/y", "/x/${{ Env.A }}"), "rwxr-xr-x")),
    ],
)
@pytest.mark.parametrize("kind", [state.ENV_SET, state.ENV_REMOVED])
def test_a_module_is_tied_to_the_variables_that_it_names(module, kind):
    assert tied(added(module), of_env("A", kind))
    assert not tied(added(module), of_env("AB", kind))


def test_a_module_is_tied_to_the_module_that_it_names():
    reads = added(Module("mkdir", MkdirBody(("/x",), "rwxr-xr-x"), when="Modules.one.If"), 9)
    one = Module("copy", CopyBody("a", "/y"), id="one")
    assert tied(reads, added(one))
    assert tied(reads, removed(-1, one))
    assert tied(reads, changed(-1, one, copy("a", "/y")))
    assert not tied(reads, added(Module("copy", CopyBody("a", "/y"), id="two")))


def test_variables_are_tied_each_to_itself():
    assert tied(of_env("A"), of_env("A", state.ENV_REMOVED))
    assert not tied(of_env("A"), of_env("B"))


# -- where a module lies ---------------------------------------------------------------------


def test_an_action_on_a_slot_is_tied_to_what_put_a_module_there():
    first = added(copy("a", "/a"), 7)
    assert tied(first, removed(7, copy("a", "/a"), 8))
    assert tied(first, changed(7, copy("a", "/a"), copy("b", "/b"), 8))
    assert tied(first, added(copy("c", "/c"), 9, before=7))
    assert not tied(first, added(copy("c", "/c"), 9, before=6))


def test_two_modules_before_one_that_was_found_are_not_tied():
    one, other = added(copy("a", "/a"), 7, before=-1), added(copy("b", "/b"), 8, before=-1)
    assert not tied(one, other)
    assert tied(one, changed(-1, copy("c", "/c"), copy("d", "/d")))


@pytest.mark.parametrize(
    "gone_from", [removed(-1, copy("a", "/a")), changed(-1, copy("a", "/a"), copy("b", "/b"))]
)
def test_what_a_module_did_that_does_it_no_more_counts_too(gone_from):
    assert tied(gone_from, added(gone("/a/x"), 9))
    assert not tied(gone_from, added(gone("/c"), 9))


def test_actions_of_one_import_are_tied_by_what_they_do_alone():
    # They share a request, by which they are undone together; each is applied by itself.
    assert not tied(added(copy("a", "/a"), 7), added(copy("b", "/b"), 8))
