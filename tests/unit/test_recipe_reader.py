"""image.yml, read strictly: what is wrong is said with its place."""

from __future__ import annotations

import time

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.reader import look, read
from atomicstate.recipe.schema import (
    BODIES,
    BrandingBody,
    CopyBody,
    GitBody,
    IncludeBody,
    Initrd,
    KernelBody,
    KernelInfo,
    LinkBody,
    MergeBody,
    MkdirBody,
    Module,
    MoveBody,
    NetworkBody,
    PackagesBody,
    Recipe,
    RemoveBody,
    ReplaceBody,
    ReposBody,
    ShellBody,
    SystemdBody,
)

GOOD = """\
# a comment
image: localhost/base:1
modules:
  - type: packages
    name: tools
    id: tools
    body:
      install: &names [jq, "g++"]
      remove:
        - nano  # not wanted
  - {type: packages, body: {remove: *names}}
"""


def refused(text: str | bytes) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    return caught.value


def module(line: str) -> str:
    return f"image: x\nmodules:\n  - {line}\n"


def test_a_recipe_as_people_write_it() -> None:
    assert read(GOOD.encode()) == Recipe(
        "localhost/base:1",
        (
            Module("packages", PackagesBody(("jq", "g++"), ("nano",)), "tools", "tools"),
            Module("packages", PackagesBody((), ("jq", "g++"))),
        ),
    )


WRITTEN = {
    "branding": "{name: sisyphus, subpackages: [release], release-overrides: {VARIANT_ID: x}}",
    "copy": "{source: root, destination: /, replace: true}",
    "git": "{url: https://example.org/x, command: make, build-deps: [gcc], rev: v1}",
    "include": "{targets: [more.yml, /usr/share/x.yml, 'https://example.org/x.yml']}",
    "kernel": "{kernel-info: {flavour: '6.12', no-inherit-modules: yes}, initrd: {method: none}}",
    "link": "{target: /etc/a, to: ../b}",
    "merge": "{source: a, destination: /etc/b, create-file-perm: rw-r--r--, prepend: true}",
    "mkdir": "{targets: [/opt/x], perm: rwxr-xr-x}",
    "move": "{source: /a, destination: /b, create-link: on}",
    "network": "{hostname: node-1}",
    "packages": "{install: [jq], update: true, options: {Acquire::Retries: 3}}",
    "remove": "{targets: [/etc/motd], inside: true}",
    "replace": "{target: /etc/x, pattern: 'a.*', repl: b}",
    "repos": "{branch: sisyphus, date: 20260102, no-update: true}",
    "shell": "{command: 'echo $HOME', quiet: true}",
    "systemd": "{targets: [sshd.service], enabled: true, global: true}",
}
MEANT = {
    "branding": BrandingBody("sisyphus", ("release",), {"VARIANT_ID": "x"}),
    "copy": CopyBody("root", "/", replace=True),
    "git": GitBody("https://example.org/x", "make", ("gcc",), rev="v1"),
    "include": IncludeBody(("more.yml", "/usr/share/x.yml", "https://example.org/x.yml")),
    "kernel": KernelBody(KernelInfo("6.12", no_inherit_modules=True), Initrd("none")),
    "link": LinkBody("/etc/a", "../b"),
    "merge": MergeBody("a", "/etc/b", "rw-r--r--", prepend=True),
    "mkdir": MkdirBody(("/opt/x",), "rwxr-xr-x"),
    "move": MoveBody("/a", "/b", create_link=True),
    "network": NetworkBody("node-1"),
    "packages": PackagesBody(("jq",), update=True, options={"Acquire::Retries": "3"}),
    "remove": RemoveBody(("/etc/motd",), inside=True),
    "replace": ReplaceBody("/etc/x", "a.*", "b"),
    "repos": ReposBody(branch="sisyphus", date="20260102", no_update=True),
    "shell": ShellBody("echo $HOME", quiet=True),
    "systemd": SystemdBody(("sshd.service",), enabled=True, global_=True),
}


@pytest.mark.parametrize("kind", BODIES)
def test_a_module_of_each_type_is_taken(kind: str) -> None:
    text = module(f"{{type: {kind}, body: {WRITTEN[kind]}}}")
    assert read(text.encode()).modules == (Module(kind, MEANT[kind]),)


def test_all_that_stands_beside_a_body_is_taken() -> None:
    text = module(
        "{type: shell, id: v, if: 'Arch == \"x86_64\"', env: {A: 1}, name: the version,"
        " body: {command: 'true'}, output: {VERSION: 'x'}}"
    )
    [found] = read(text.encode()).modules
    assert (found.name, found.id, found.when) == ("the version", "v", 'Arch == "x86_64"')
    assert (found.env, found.output) == ({"A": "1"}, {"VERSION": "x"})


def test_a_recipe_need_not_name_an_image() -> None:
    assert read(b"modules: []\n") == Recipe()


def test_merge_keys_bring_what_is_not_there() -> None:
    text = """\
image: x
modules:
  - &first {type: packages, name: one, body: {install: [jq]}}
  - {<<: *first, name: two}
  - {<<: [{name: three}, *first]}
"""
    assert read(text.encode()).modules == tuple(
        Module("packages", PackagesBody(("jq",)), name) for name in ("one", "two", "three")
    )


def test_every_problem_is_told_at_once_in_the_order_of_the_document() -> None:
    text = """\
imag: x
modules:
  - {type: pakages, body: {}}
  - {type: systemd, body: {targets: [a.service], enabled: true, masked: true, gobal: true}}
  - {}
  - {type: mkdir, body: {perm: "755"}}
  - {type: packages, id: 1a, body: {install: [jq], remove: [jq]}}
"""
    reading = look(text.encode())
    assert reading.recipe is None
    assert [(item.path, item.line) for item in reading.problems] == [
        ("imag", 1),
        ("modules[0].type", 3),
        ("modules[1].body.gobal", 4),
        ("modules[2]", 5),
        ("modules[2]", 5),
        ("modules[3].body", 6),
        ("modules[4].id", 7),
        ("modules[4].body.remove", 7),
    ]
    assert [item.nearest for item in reading.problems[:3]] == ["image", "packages", "global"]
    message = refused(text).message
    assert message.endswith("(and 7 more)")


def test_a_warning_does_not_forbid_the_recipe() -> None:
    reading = look(module("{type: repos, body: {name: x, clean: true}}").encode())
    assert reading.recipe is not None
    [problem] = reading.problems
    assert (problem.warning, problem.path) == (True, "modules[0].body.name")


def test_an_included_document_has_modules_alone() -> None:
    reading = look(b"image: x\nmodules: []\n", included=True)
    assert [problem.path for problem in reading.problems] == ["image"]
    assert look(b"modules: []\n", included=True).recipe == Recipe()
    assert look(b"{}", included=True).recipe is None


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "line 1, column 1", "nothing stands here"),
        ("image: x\nimag: y\n", "line 2, column 1 (imag)", "no key of a recipe"),
        ("image: x\nimage: y\n", "line 2, column 1", "twice"),
        (module("{type: packages, body: {instal: [a]}}"), "line 3, column 29", "is no key of"),
        (module("{type: packages, body: {install: [1]}}"), "line 3, column 39", "no package name"),
        (
            module("{type: packages, body: {install: [yes, null]}}"),
            "column 44",
            "nothing stands here",
        ),
        (module("{type: packages, body: {install: jq}}"), "line 3, column 29", "the text 'jq'"),
        (module("{type: packages}"), "line 3, column 5", "has no body"),
        (module("{}"), "line 3, column 5", "has no type"),
        (module("x"), "line 3, column 5", "the text 'x'"),
        (module("{type: pakages, body: {}}"), "line 3, column 6", "no type of module"),
        (module("{body: {}}"), "line 3, column 5", "has no type"),
        (module("{type: packages, body: {install: [--yes]}}"), "column 39", "no package name"),
        (module('{type: packages, body: {install: ["a\\nb"]}}'), "column 39", "no package name"),
        ("image: -x\n", "line 1, column 1 (image)", "no reference"),
        ("image: 'x\n", "line 2, column 1", "unexpected end"),
        ("image: {a: [b\n", "line 2, column 1", "expected"),
        ("image: x\n---\nimage: y\n", "line 2, column 1", "second document"),
        ("image: !!python/object:os.system x\n", "line 1, column 8", "a tag"),
        ("image: !!binary aGk=\n", "line 1, column 8", "a tag"),
        ("modules: !!set {a}\n", "line 1, column 10", "a tag"),
        ("a: &a [*a]\n", "line 1, column 8", "stands for nothing"),
        ("a: *b\n", "line 1, column 4", "stands for nothing"),
        ("<<: x\n", "line 1, column 1", "takes a mapping"),
        ("? [a]\n: b\n", "line 1, column 3", "no plain text"),
        ("1: b\n", "line 1, column 1", "no key of a recipe"),
        ("image: x\n\tmodules: []\n", "line", "the recipe"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, place: str, what: str) -> None:
    message = refused(text).message
    assert place in message
    assert what in message


def test_text_that_is_no_unicode_is_refused_with_its_line() -> None:
    assert "line 2: this is no UTF-8" in refused(b"image: x\n\xff\n").message


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('env: {A: "\\ud800"}\n', "env.A"),
        (module('{type: shell, body: {command: "\\udfff"}}'), "modules[0].body.command"),
        (module('{type: shell, name: "\\ud800", body: {command: a}}'), "modules[0].name"),
        (module('{type: packages, body: {options: {A: "\\ud800"}}}'), "modules[0].body.options.A"),
    ],
)
def test_half_a_character_is_refused_with_its_place(text: str, path: str) -> None:
    reading = look(text.encode())
    assert reading.recipe is None
    assert path in {problem.path for problem in reading.problems}
    assert "half a character" in refused(text).message


def test_a_key_that_is_half_a_character_is_refused() -> None:
    assert "a key that is no plain text" in refused('env: {"\\ud800": x}\n').message


def test_control_characters_are_refused() -> None:
    assert "special characters" in refused(b"image: \x00\n").message


def nine_of_nine(depth: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 500_000, "in one another"),
        ("{a: " * 100_000, "in one another"),
        ("a:\n" + "".join(" " * i + "- a:\n" for i in range(1, 300, 2)), "in one another"),
        (nine_of_nine(20), "aliases counted"),
        ("- a\n" * 200_000, "values"),
        ("#" * ((1 << 20) + 1), "larger than"),
    ],
)
def test_a_bomb_is_refused_before_it_costs(text: str, what: str) -> None:
    start = time.monotonic()
    assert what in refused(text).message
    assert time.monotonic() - start < 30
