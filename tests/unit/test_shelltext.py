"""The commands of a script, word by word, without running it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atomicstate.recipe.shelltext import commands


def words(script: str) -> list[tuple[str, ...]]:
    return [command.words for command in commands(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b; c\nd", [("a", "b"), ("c",), ("d",)]),
        ("a && b || c | d & e", [("a",), ("b",), ("c",), ("d",), ("e",)]),
        ("a 'b c' \"d 'e'\" f\\ g", [("a", "b c", "d 'e'", "f g")]),
        ("a \\\n  b", [("a", "b")]),
        ("# it's a comment\na # b\nc", [("a",), ("c",)]),
        ("a b#c", [("a", "b#c")]),
        ("if a; then b; else c; fi", [("a",), ("b",), ("c",), ("fi",)]),
        ("X=1 Y+=2 a", [("a",)]),
        ("X=1", []),
        ("sudo -E env X=1 a b", [("a", "b")]),
        ("find | xargs -r a b", [("find",), ("a", "b")]),
        ("command -v a", [("command", "-v", "a")]),
        ("command a", [("a",)]),
        ("cat <<E\na b\nE\nc", [("cat",), ("c",)]),
        ("cat <<-'E'\n\ta b\n\tE\nc", [("cat",), ("c",)]),
        ("cat <<< a\nb", [("cat",), ("b",)]),
        ("(a; b)", [("a",), ("b",)]),
        ("a ${B:-c d} e", [("a", "${B:-c d}", "e")]),
        ("/usr/bin/a", [("/usr/bin/a",)]),
        ("a 'open", [("a", "open")]),
        ("", []),
    ],
)
def test_the_words_of_a_script(script: str, expected: list[tuple[str, ...]]) -> None:
    assert words(script) == expected


def test_what_stands_in_a_substitution_is_a_command_too() -> None:
    assert ("b", "c") in words("X=$(b c)")


@pytest.mark.parametrize(
    ("script", "outputs"),
    [
        ("a >/b", ("/b",)),
        ("a >>/b 2>/c", ("/b", "/c")),
        ("a &>/b", ("/b",)),
        ("a >| '/b c'", ("/b c",)),
        ("a </b", ()),
        ("a 2>&1 >&- 1>&2", ()),
        ("a > /b; ", ("/b",)),
        ("a >", ()),
    ],
)
def test_the_files_that_output_goes_to(script: str, outputs: tuple[str, ...]) -> None:
    (command,) = commands(script)
    assert command.outputs == outputs
    assert command.words == ("a",)


def test_a_command_knows_its_line() -> None:
    script = "a\n\nb \\\n  c\ncat <<E\nx\nE\nd 'e\nf' g\nh"
    assert [command.line for command in commands(script)] == [1, 3, 5, 8, 10]


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from("a'\"\\$(){}<>&|;#\n `-"), max_size=40).map("".join)
)
def test_any_text_comes_to_an_end(script: str) -> None:
    for command in commands(script):
        assert 1 <= command.line <= script.count("\n") + 1
