"""The Containerfile for any values: what was meant arrives, and nothing else is in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from atomicstate.errors import AtomicstateError, ValidationError
from atomicstate.recipe import schema
from atomicstate.recipe.checks import body_problems
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.dialects import DIALECTS
from atomicstate.recipe.expand import Step
from atomicstate.recipe.render.instructions import run
from atomicstate.recipe.schema import Module
from tests.support.containerfiles import BASE, BASE_ID, layers, manifest_of, read

if TYPE_CHECKING:
    from atomicstate.recipe.schema import Body

PIECES = (
    *(
        "\\\n",
        "\\",
        "\n",
        "\n#",
        "\n  # ",
        "# event 3",
        "# recipe",
        "\r",
        "\t",
        "\x0b",
        "\x7f",
        "\u2028",
    ),
    *(
        "$(touch /canary)",
        "${A}",
        "$A",
        "`id`",
        "'",
        '"',
        "'\"'",
        ";",
        "&&",
        "|",
        " ",
        "   \n",
        "-",
    ),
    *(
        "--",
        "--mount=type=bind,source=/,target=/x",
        "-rf",
        "jq",
        "%s",
        "*",
        "?",
        "[a]",
        "{a,b}",
        "~",
    ),
    *(
        "<<EOF\n",
        "\nEOF\n",
        "]",
        ",",
        '"]\nRUN touch /canary',
        "\nCOPY / /x",
        "\u0436",
        "\U0001f600",
    ),
    *("\ud800", "\0", "\u00e9", "RUN", "FROM scratch", "!", "=", "a" * 200, "#" * 300),
)
hostile = st.one_of(
    st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
)
lists = st.lists(hostile, max_size=4).map(tuple)


def good(text: str) -> bool:
    return "\0" not in text and not re.search("[\ud800-\udfff]", text)


@given(lists, st.dictionaries(st.sampled_from(["A", "B_1", "PATH"]), hostile), hostile)
@settings(deadline=None, max_examples=400)
@example(("# a\n\n#b\n", "", "\\", "\n", " \n #\n"), {}, "#\n#\n")
def test_a_run_has_just_the_arguments_that_were_meant(
    arguments: tuple[str, ...], env: dict[str, str], script: str
) -> None:
    try:
        text = str(run(script, arguments, name="name", env=env))
    except ValidationError:
        assert not all(map(good, (script, *arguments, *env.values())))
        return
    [found] = read(text.encode("ascii"))
    variables = ["/usr/bin/env", *(f"{key}={value}" for key, value in env.items())] if env else []
    assert found.words == (*variables, "/bin/bash", "-c", script, "name", *arguments)


paths = st.one_of(
    hostile.map(lambda text: f"/{text}"),
    st.sampled_from(["/a", "/etc/x y", "/opt/$(id)", "/-rf", "/a'b\"c", "/a/*", "/\u0436"]),
)
resources = st.sampled_from(["root", "a b/c'd", "-x", "\u0436/$(id)"])
modes = st.sampled_from(["rwxr-xr-x", "rw-r--r--", "rwxrwxrwt"])
flags = st.booleans()


def mostly(*plain: str) -> st.SearchStrategy[str]:
    """Plain values, and at times one that the checks may refuse."""
    return st.integers(0, 9).flatmap(lambda dice: hostile if not dice else st.sampled_from(plain))


names = mostly("jq", "g++", "libc6:i386", "a.b", "x-y")
units = mostly("a.service", "b@c\\x2d.timer", "d")
urls = mostly("https://a.example/$(id)", "file:///'\"", "ext::sh,-c,x", "a:b\\;c")


def many(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, max_size=3, unique=True).map(tuple)


def some(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


texts = hostile.filter(bool)
BODIES: dict[str, st.SearchStrategy[Body]] = {
    "branding": st.builds(
        schema.BrandingBody,
        release_overrides=st.dictionaries(st.sampled_from(["A", "B_1"]), hostile, max_size=2),
    ),
    "copy": st.builds(schema.CopyBody, resources, paths, flags),
    "git": st.builds(
        schema.GitBody, urls, texts, many(names), many(names), mostly("", "v1^{}", "a'b"), flags
    ),
    "link": st.builds(schema.LinkBody, paths, texts, flags),
    "merge": st.builds(schema.MergeBody, st.one_of(resources, paths), paths, modes, flags),
    "mkdir": st.builds(schema.MkdirBody, some(paths), modes),
    "move": st.builds(schema.MoveBody, paths, paths, flags, flags),
    "packages": st.builds(
        schema.PackagesBody,
        many(names),
        many(names),
        flags,
        flags,
        flags,
        st.dictionaries(st.sampled_from(["Acquire::Retries", "A::B"]), hostile, max_size=2),
    ),
    "remove": st.builds(schema.RemoveBody, some(paths), flags),
    "replace": st.builds(schema.ReplaceBody, paths, texts, texts),
    "repos": st.builds(
        schema.ReposBody,
        flags,
        many(hostile.map(lambda text: f"deb {text}")),
        no_update=flags,
    ),
    "shell": st.builds(schema.ShellBody, texts, flags),
    "systemd": st.builds(schema.SystemdBody, some(units), flags, flags, flags),
    "network": st.builds(schema.NetworkBody, mostly("box", "box.example")),
}
modules = st.one_of(
    [
        st.builds(Module, st.just(kind), bodies, hostile, env=st.just({}))
        for kind, bodies in BODIES.items()
    ]
)


@given(modules, st.sampled_from(DIALECTS), st.dictionaries(st.just("A"), hostile))
@settings(deadline=None, max_examples=600, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_step_with_any_values_is_the_same_instruction_as_with_plain_ones(
    module: Module, dialect: str, env: dict[str, str]
) -> None:
    """Other than the arguments, nothing depends on a value: neither the script nor the flags."""
    if next(iter(body_problems(module)), None):
        return  # never rendered: `expand` refuses it
    source = getattr(module.body, "source", "")
    sources = {} if source.startswith("/") else {source: source}
    step = Step(3, "modules[0]", module, env, sources)
    manifests = {source: manifest_of("x")}
    try:
        made = render([step], BASE_ID, BASE, dialect, manifests)
    except AtomicstateError as error:
        assert error.message.startswith("the recipe, modules[0], a module of the type ")
        return
    found = layers(made.content)
    assert [one.keyword for one in found] in ([], ["RUN"], ["COPY"], ["COPY", "COPY"])
    for one in found:
        assert one.comments[0] == "# event 3" if one is found[0] else not one.comments
        assert all(re.fullmatch(r"--[a-z]+=[a-zA-Z0-9=,/:-]+", flag) for flag in one.flags)
        if one.keyword == "COPY":
            assert all(re.fullmatch(r"[a-z/.0-9-]+", word) for word in one.words)
            continue
        assert {**one.env} in ({}, env)
        # What is code is a constant: all of it stands in the source of the program.
        assert "canary" not in one.script
        assert one.script.isascii()
        assert one.words[one.words.index("/bin/bash") + 3] == module.type


@given(texts, flags)
@settings(deadline=None, max_examples=200)
def test_a_command_arrives_as_it_was_written(command: str, quiet: bool) -> None:
    step = Step(1, "modules[0]", Module("shell", schema.ShellBody(command, quiet)), {}, {})
    try:
        made = render([step], BASE_ID, BASE, "deb", {})
    except ValidationError:
        assert not good(command)
        return
    assert layers(made.content)[0].arguments == (f"set -e\n{command}",)


@given(hostile, hostile, hostile)
@settings(deadline=None, max_examples=150)
def test_a_hostile_base_gets_into_no_containerfile(base: str, base_id: str, dialect: str) -> None:
    for arguments in ((base_id, BASE, "deb"), (BASE_ID, BASE, dialect), (BASE_ID, base, "deb")):
        try:
            text = render([], *arguments, {}).content.decode()
        except AtomicstateError:
            continue
        assert text.splitlines()[1:3] == [f"# base {arguments[1]}", f"FROM {BASE_ID}"]
        assert re.fullmatch(r"[A-Za-z0-9._:/@\[\]-]+", arguments[1])
