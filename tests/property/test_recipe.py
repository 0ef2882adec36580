"""The recipe for any text: it reads back, and nothing gets out of where it is written."""

from __future__ import annotations

import re
import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomicstate.errors import AtomicstateError, ValidationError
from atomicstate.recipe.containerfile import Layer, render
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import Module, PackagesBody, Recipe
from atomicstate.recipe.writer import quoted, write

BASE_ID = "ab" * 32
NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9][a-z0-9-]*)?")
PIECES = ["\\\n", "\n", "#", "$(id)", "${A}", "`", "'", '"', ";", " ", "--", "jq", "\r", "%", "&&"]

hostile = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.from_regex(r"[a-z0-9+.:-]{1,12}", fullmatch=True),
)
names = st.from_regex(NAME, fullmatch=True).filter(lambda name: name.isascii())
packages = st.lists(names, max_size=3).map(tuple)
modules = st.builds(
    Module,
    st.just("packages"),
    st.builds(PackagesBody, packages, packages),
    st.one_of(hostile, st.sampled_from(["null", "yes", "~", "1e5", "- a", "a: b", "<<", "!!x"])),
    hostile,
)
recipes = st.builds(
    Recipe,
    st.sampled_from(["localhost/a:1", "debian", "r.io/a@sha256:" + "0" * 64]),
    st.lists(modules, max_size=3).map(tuple),
)


@given(recipes)
@settings(deadline=None, max_examples=150)
def test_a_recipe_reads_back_as_it_was_written(recipe: Recipe) -> None:
    assert read(write(recipe)) == recipe


@given(st.text(max_size=30))
@example("\x85\u2028\u2029\ufeff\U0001f600\xa0\xad")
@settings(deadline=None)
def test_any_text_stays_on_its_line_within_its_quotes(text: str) -> None:
    scalar = quoted(text)
    assert len(scalar.splitlines()) == 1
    assert not re.search(r'(?<!\\)(\\\\)*"', scalar[1:-1])


@given(st.binary(max_size=60))
@settings(deadline=None, max_examples=150)
def test_reading_anything_gives_a_recipe_or_a_sentence(content: bytes) -> None:
    try:
        read(content)
    except ValidationError as error:
        assert error.message.startswith("the recipe")


YAML = (
    *("image: x", "\n", "modules:", " ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!str ", "? "),
    *("type: packages", "body:", "install: ", "jq", ": ", ",", "|\n", "'", '"', "%YAML 1.1\n"),
    *("---\n", "...\n", "<<: ", "null", "#"),
)
yaml_text = st.lists(st.sampled_from(YAML), max_size=25).map("".join)


@given(yaml_text)
@settings(deadline=None, max_examples=300)
def test_reading_anything_like_yaml_gives_a_recipe_or_a_sentence(text: str) -> None:
    try:
        recipe = read(text.encode())
    except ValidationError as error:
        assert error.message.startswith("the recipe")
    else:
        assert read(write(recipe)) == recipe


@given(st.lists(hostile, min_size=1, max_size=3), st.booleans())
@settings(deadline=None, max_examples=300)
def test_a_hostile_name_gets_into_no_containerfile(given_names: list[str], comes: bool) -> None:
    layer = Layer(3, tuple(given_names), ()) if comes else Layer(3, (), tuple(given_names))
    try:
        text = render([layer], BASE_ID, "localhost/base:1", "deb").decode()
    except ValidationError:
        assert not all(NAME.fullmatch(name) and name.isascii() for name in given_names)
        return
    placeholder = Layer(3, ("jq",), ()) if comes else Layer(3, (), ("jq",))
    plain = render([placeholder], BASE_ID, "localhost/base:1", "deb").decode()
    # Nothing but the names differs from a Containerfile that is known to be good.
    assert text == plain.replace("-- jq;", f"-- {' '.join(given_names)};")


@given(hostile, hostile, hostile)
@settings(deadline=None, max_examples=150)
def test_a_hostile_base_gets_into_no_containerfile(base: str, base_id: str, dialect: str) -> None:
    for arguments in ((base_id, "a", "deb"), (BASE_ID, "a", dialect), (BASE_ID, base, "deb")):
        try:
            text = render([], *arguments).decode()
        except AtomicstateError:
            continue
        lines = text.splitlines()
        assert lines[1] == f"# base {arguments[1]}"
        assert lines[2:] == [f"FROM {BASE_ID}"]
        assert re.fullmatch(r"[A-Za-z0-9._:/@\[\]-]+", arguments[1])


def test_the_shell_takes_every_run_as_it_is_meant() -> None:
    text = render([Layer(1, ("jq", "g++")), Layer(2, (), ("nano",))], BASE_ID, "a", "deb").decode()
    for run in text.split("\nRUN ")[1:]:
        script = re.sub(r"\n+# .*", "", run).replace("\\\n", "")
        checked = subprocess.run(
            ["/bin/sh", "-n", "-c", script], capture_output=True, text=True, timeout=30, check=False
        )
        assert checked.returncode == 0, checked.stderr
