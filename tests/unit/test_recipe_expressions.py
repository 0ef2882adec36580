"""Expressions, conditions and placeholders.

What the operators and functions give was compared with expr-lang itself, case by case.
"""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.expressions import evaluate, parse
from atomicstate.recipe.expressions.values import text_of
from atomicstate.recipe.placeholders import (
    PLACEHOLDER,
    check_condition,
    check_text,
    fill,
    holds,
    reads,
)

NAMES = {
    "Env": {"VARIANT": "gnome", "EMPTY": "", "N": "12", "not": "x", "A-B": "dash"},
    "Modules": {
        "kernel": {
            "Name": "the kernel",
            "Type": "kernel",
            "Id": "kernel",
            "If": True,
            "Output": {"version": "6.12", "Type": "hidden"},
        }
    },
    "Version": {"Major": 5, "Minor": 2, "Patch": 1, "Commits": 0, "Value": "5.2.1"},
    "Arch": "x86_64",
    "GoArch": "amd64",
}


def value(text):
    return evaluate(parse(text), NAMES)


def refused(text):
    with pytest.raises(ValidationError) as caught:
        value(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42", 42),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", 3),
        ("017", 17),
        ("1_000", 1000),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("true", True),
        ("nil", None),
        ("'it'", "it"),
        (r"'\''", "'"),
        (r'"a\x41\u0041\u{1F600}\101\n"', "aAA\U0001f600A\n"),
        (r"`a\nb`", r"a\nb"),
        ("`a``b`", "a`b"),
        ("[1, 'a', [true],]", [1, "a", [True]]),
        ("[]", []),
    ],
)
def test_a_literal_is_its_value(text, expected):
    result = value(text)
    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("10 - 3 - 2", 5),
        ("-2 ** 2", -4.0),
        ("2 ** 3 ^ 2", 512.0),
        ("2 ** -1", 0.5),
        ("- - 1", 1),
        ("not false == true", True),
        ("true == not false", True),
        ("not not true", True),
        ("true or true and false", True),
        ("true || true && false", True),
        ("1 + 1 == 2 and !(1 > 2)", True),
        ("1 < 2 < 3", True),
        ("3 > 2 > 2", False),
        ("1 < 2 == true", True),
        ("1 == 1 == true", True),
        ("nil ?? 1", 1),
        ("1 + nil ?? 2", 3),
        ("nil ?? -nil ?? 3", -3),
        ("nil ?? nil ?? 'a'", "a"),
        ("true ? false ? 1 : 2 : 3", 2),
        ("false ? 1 : false ? 2 : 3", 3),
        ("true ? .5 : 1", 0.5),
        ("1 + 2 | string() + 'x'", "3x"),
        ("'a' | upper() + 'b' | lower()", "ab"),
        ("'a,b' | split(',') | join('-') == 'a-b'", True),
        ("1 ?? 2 | string()", "1"),
        ("false ? 'a' : 'b' | upper()", "B"),
    ],
)
def test_an_operator_holds_its_operands_as_in_expr_lang(text, expected):
    result = value(text)
    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4 / 2", 2.0),
        ("7 % -3", 1),
        ("-7 % 3", -1),
        ("1 + 0.5", 1.5),
        ("'a' + 'b'", "ab"),
        ("1 == 1.0", True),
        ("'a' < 'b'", True),
        ("'a' == nil", False),
        ("nil == nil", True),
        ("[1, 'a'] == [1.0, 'a']", True),
        ("[1] == [true]", False),
        ("1 in [2, 1.0]", True),
        ("true in [1, 'a']", False),
        ("1 in []", False),
        ("'a' in [nil]", False),
        ("'a' not in ['a']", False),
        ("'VARIANT' in Env and 'X' not in Env", True),
        ("'If' in Modules.kernel", True),
        ("Arch contains '86'", True),
        ("Arch not contains '87'", True),
        ("Arch startsWith 'x'", True),
        ("Arch endsWith 'x'", False),
        ("'abc' matches '^a.c$'", True),
        ("'abc' not matches 'b'", False),
        (r"'é' matches `^\pL$`", True),
    ],
)
def test_what_an_operator_gives(text, expected):
    result = value(text)
    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("len('é')", 1),
        ("len([1, 2])", 2),
        ("len(Env)", 5),
        ("upper('straße')", "STRAßE"),
        ("lower('ΑΣ')", "ασ"),
        ("trim(' a\\t')", "a"),
        ("trim('xax', 'x')", "a"),
        ("trimPrefix('abc', 'ab')", "c"),
        ("trimSuffix('abc', 'x')", "abc"),
        ("trimPrefix(' a')", "a"),
        ("split('a,b,c', ',')", ["a", "b", "c"]),
        ("split('a,b,c', ',', 2)", ["a", "b,c"]),
        ("split('a,b', ',', 0)", []),
        ("split('abc', '')", ["a", "b", "c"]),
        ("split('abc', '', 2)", ["a", "bc"]),
        ("split('', ',')", [""]),
        ("join(['a', 'b'])", "ab"),
        ("join([], ',')", ""),
        ("replace('abc', '', '-')", "-a-b-c-"),
        ("replace('aaa', 'a', 'b', 2)", "bba"),
        ("hasPrefix('ab', 'a') and hasSuffix('ab', 'b')", True),
        ("indexOf('éa', 'a')", 2),
        ("indexOf('a', 'b')", -1),
        ("repeat('ab', 2)", "abab"),
        ("string([1.5, true, 'a'])", "[1.5 true a]"),
        ("int('+12') + int(-1.9)", 11),
        ("float('1e3')", 1000.0),
        ("int(Env.N) > 9", True),
        ("upper('a',)", "A"),
    ],
)
def test_what_a_function_gives(text, expected):
    result = value(text)
    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Env.VARIANT", "gnome"),
        ('Env["A-B"]', "dash"),
        ("Env['VAR' + 'IANT']", "gnome"),
        ("Env.not", "x"),
        ("Version.Major", 5),
        ("Modules.kernel.If", True),
        ("Modules.kernel.Output.version", "6.12"),
        ("Modules.kernel.version", "6.12"),
        ("Modules['kernel']['version']", "6.12"),
        ("Modules.kernel.Type", "kernel"),
        ("Env?.VARIANT", "gnome"),
        ("(nil)?.x.y[0]", None),
        ("(nil)?.['x']", None),
        ("[1, 2][-1]", 2),
        ("(Arch | split('_'))[0]", "x86"),
    ],
)
def test_a_name_gives_what_it_stands_for(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("", "column 1", "the expression ends where a value is expected"),
        ("1 +", "column 4", "ends where a value is expected"),
        ("(1", "column 3", "ends where an operator or `)` is expected"),
        ("[1", "column 3", "`]` or `,` is expected"),
        ("1 2", "column 3", "'2' stands where an operator or the end is expected"),
        ("true ? 1", "column 9", "`:` is expected"),
        ("Env.", "column 5", "ends where a name is expected"),
        ("'a' | upper", "column 12", "ends where `(` is expected"),
        ("1 not 2", "column 7", "'2' stands where `in`, `matches`"),
        ("1 = 2", "column 3", "'=' means nothing"),
        ("'a", "column 1", "the text that begins with this ' has no end"),
        ("1a", "column 1", "this is no number"),
        ("0x", "column 1", "this is no number"),
        ("1e_", "column 1", "'1e_' is no number"),
        ("9223372036854775808", "column 1", "this number is too large"),
        ("1e400", "column 1", "this number is too large"),
        (r"'ab\q'", "column 4", "begins an escape"),
        (r"'\ud800'", "column 2", "begins an escape"),
        (r"""'\"'""", "column 2", "begins an escape"),
        ("1 + nope(1)", "column 5", "there is no function 'nope'"),
        ("upper('a', 'b')", "column 1", "`upper` takes 1 argument, not 2"),
        ("split('a')", "column 1", "`split` takes 2 to 3 arguments, not 1"),
        ("1 ?? 2 + 3", "column 8", "`+` after `??`"),
        ("'a' matches '('", "column 13", "is no regular expression"),
        ("1\n+ +\n)", "line 3, column 1", "')' stands where a value"),
    ],
)
def test_what_is_no_expression_is_refused_with_its_column(text, column, what):
    with pytest.raises(ValidationError) as caught:
        parse(text)
    assert what in caught.value.message
    assert caught.value.message.startswith(f"the expression, {column}: ")


@pytest.mark.parametrize(
    ("text", "column", "what"),
    [
        ("1 + true", 3, "a number is expected here, not a truth value"),
        ("'a' + 1", 5, "`+` adds two numbers or two texts, not text and a whole number"),
        ("1 == 'a'", 3, "a whole number and text can't be compared"),
        ("true < false", 6, "a truth value and a truth value have no order"),
        ("1 < 2 < 'a'", 7, "a whole number and text have no order"),
        ("not 1 in [1]", 1, "true or false is expected here, not a whole number"),
        ("true and 1", 6, "true or false is expected here"),
        ("1 ? 2 : 3", 1, "true or false is expected here"),
        ("1 in ['a']", 3, "a whole number can't be in a list that holds nothing but text"),
        ("'a' in 'abc'", 5, "`in` looks into a list or a group of names, not into text"),
        ("nil contains 'a'", 5, "text is expected here, not nil"),
        ("1 / 0", 3, "a division by zero"),
        ("1 % 0", 3, "a division by zero"),
        ("1.5 % 2", 5, "a whole number is expected here"),
        ("9223372036854775807 + 1", 21, "too large a number"),
        ("1e308 * 10", 7, "too large a number"),
        ("10 ** 400", 4, "no number, or too large a one"),
        ("(-8) ** 0.5", 6, "no number, or too large a one"),
        ("1 + upper(1)", 5, "text is expected here, not a whole number"),
        ("join(['a', 1])", 1, "text is expected here"),
        ("int('1x')", 1, "this text is no whole number"),
        ("float('inf')", 1, "this text is no number"),
        ("repeat('a', -1)", 1, "can't be repeated -1 times"),
        ("string(nil)", 1, "nil can't be written as text"),
        ("[1][1]", 4, "the list has 1 items, none is 1"),
        ("[1]['a']", 4, "a list has no part 'a'"),
        ("Env[1]", 4, "a name is expected here"),
        ("Arch.x", 6, "text has no part 'x'"),
        ("(nil).x", 7, "nil has no part 'x'"),
        ("Env", 1, "a group of names, no value"),
        ("[Env]", 1, "a group of names can't be in a list"),
        ("Env == Env", 5, "a group of names can't be compared"),
        ("'a' matches ('(' + '')", 5, "is no regular expression"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_its_column(text, column, what):
    assert refused(text).message.startswith(f"the expression, column {column}: ")
    assert what in refused(text).message


@pytest.mark.parametrize(
    ("text", "column", "what", "hint"),
    [
        ("1 == Evn.X", 6, "there is no Evn", "Env"),
        ("Env.VARIAN", 5, "there is no Env.VARIAN", "VARIANT"),
        ("Env['VARIAN']", 4, "there is no Env.VARIAN", "VARIANT"),
        ("Env.X ?? 'd'", 5, "there is no Env.X", "EMPTY"),
        ("Modules.kernal.If", 9, "there is no Modules.kernal", "kernel"),
        ("Modules.kernel.verzion", 16, "there is no Modules.kernel.verzion", "version"),
        ("Modules.kernel.Output.x", 23, "there is no Modules.kernel.Output.x", "version"),
        ("Version.Mayor", 9, "there is no Version.Mayor", "Major"),
        ("true or Foo", 9, "there is no Foo", "GoArch"),
        ("uper('a')", 1, "there is no function 'uper'", "upper"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_that_is_known(text, column, what, hint):
    error = refused(text)
    assert error.message == f"the expression, column {column}: {what}"
    assert hint in error.hint


def test_what_is_not_reached_is_not_looked_at():
    assert value("'X' in Env and Env.X == 'a'") is False
    assert value("true or 1 / 0 == 1") is True
    assert value("true ? 1 : 1 / 0") == 1
    assert value("1 ?? (1 / 0)") == 1
    assert value("2 < 1 < 1 / 0") is False


def test_a_message_never_shows_a_value():
    names = {"Env": {"TOKEN": "hunter2"}}
    for text in ("int(Env.TOKEN)", "Env.TOKEN == 1", "Env.TOKEN + 1", "Env.TOKEN.x", "-Env.TOKEN"):
        with pytest.raises(ValidationError) as caught:
            evaluate(parse(text), names)
        assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000,
        "[" * 2000,
        "-" * 2000,
        "not " * 900,
        "x[" * 1500,
        "true ? " * 500,
        "upper(" * 500,
    ],
)
def test_nesting_without_an_end_is_a_sentence(text):
    with pytest.raises(ValidationError):
        parse(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [("(", ")"), ("[", "]"), ("-", ""), ("true ? 1 : ", ""), ("1 ** ", ""), ("", " | string()")],
)
def test_fifty_levels_are_taken_and_one_more_is_refused(before, after):
    value(before * 50 + "1" + after * 50)
    with pytest.raises(ValidationError, match="more than 50 parts lie in one another"):
        parse(before * 51 + "1" + after * 51)


def test_a_long_row_of_operators_is_no_nesting():
    assert value(" + ".join(["1"] * 1000)) == 1000
    assert value(" or ".join(["false"] * 300 + ["true"])) is True
    assert value(" < ".join(map(str, range(500)))) is True


def test_a_long_expression_can_be_compared():
    text = "+".join(["1"] * 2000)
    expression = parse(text)
    assert expression in {expression}
    assert expression != parse(text)


def test_an_expression_of_more_than_4000_characters_is_refused():
    assert value("1" + " " * 3999) == 1
    with pytest.raises(ValidationError, match="more than 4000 characters"):
        parse("1" + " " * 4000)


@pytest.mark.parametrize(
    "text",
    [
        "repeat('a', 1048577)",
        "repeat('a', 9223372036854775807)",
        "repeat('a', 1048576) + 'b'",
        "replace(repeat('a', 1000), 'a', repeat('b', 2000))",
        "replace(repeat('a', 1000000), '', 'b')",
        "join([repeat('a', 600000), repeat('b', 400000)], repeat('c', 100000))",
        "[repeat('a', 600000), repeat('b', 600000)]",
        "split(repeat('a', 20000), '')",
        "split(repeat('a', 20000), 'a')",
        "[split(repeat('a', 9000), ''), split(repeat('a', 9000), '')]",
    ],
)
def test_no_result_grows_beyond_its_bounds(text):
    assert "more than" in refused(text).message


def test_a_text_of_the_largest_size_is_taken():
    assert len(value("repeat('a', 1048576)")) == 1 << 20


@pytest.mark.parametrize("pattern", ["(x+x+)+y", "(a|aa)*$", ".*.*.*.*.*.*z", "(a?){500}a{500}b"])
def test_a_search_ends_whatever_the_pattern(pattern):
    start = time.monotonic()
    assert value(f"repeat('a', 3900) + '!' matches '{pattern}'") is (pattern == "(a|aa)*$")
    assert time.monotonic() - start < 5


def test_a_search_in_too_long_a_text_or_for_too_long_a_pattern_is_refused():
    assert (
        "`matches` takes a text of 4000 characters"
        in refused("repeat('a', 4001) matches 'a'").message
    )
    assert "may have 1000 characters, not 1001" in refused("'a' matches repeat('a', 1001)").message


def test_an_expression_says_what_it_reads():
    text = (
        "Env.A == 'x' and (Modules['kernel'].If or Version.Major > 1) ? upper(Arch) : [Env[GoArch]]"
    )
    assert parse(text).reads() == {
        ("Env", "A"),
        ("Modules", "kernel", "If"),
        ("Version", "Major"),
        ("Arch",),
        ("Env",),
        ("GoArch",),
    }
    assert parse("'Env.A' in ['x'] and 1 < 2").reads() == frozenset()
    assert parse("Modules.a?.['b'][Env.C].d | len() < Env.D").reads() == {
        ("Modules", "a", "b"),
        ("Env", "C"),
        ("Env", "D"),
    }


def test_an_expression_keeps_its_text_and_does_not_change():
    expression = parse(" 1 + 1 ")
    assert expression.text == " 1 + 1 "
    with pytest.raises(AttributeError):
        expression.text = "2"


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (2.0, "2"),
        (1.5, "1.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (100000.0, "100000"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (123456789.0, "1.23456789e+08"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e20, "1e+20"),
        (1e-300, "1e-300"),
        (-0.0, "-0"),
        (10**18, "1000000000000000000"),
    ],
)
def test_a_number_is_written_as_go_writes_it(number, written):
    assert text_of(number) == written


def test_placeholders_are_filled_in():
    text = "v${{ Version.Major }}.${{Version.Minor}}: ${{ Modules.kernel.If }} ${{ 1 / 2 }}"
    assert fill(text, NAMES) == "v5.2: true 0.5"
    assert fill("${{ ['a', 1, [true]] }}|${{ [] }}", NAMES) == "[a 1 [true]]|[]"


def test_quotes_hide_the_end_of_a_placeholder():
    assert fill("""a ${{ "}}" + '}}' + `}}` }} }} b""", NAMES) == "a }}}}}} }} b"
    assert fill(r"""${{ "\"}}" }}""", NAMES) == '"}}'
    assert [match[1] for match in PLACEHOLDER.finditer("${{ '}}' }} ${{x}}")] == [" '}}' ", "x"]


def test_what_is_filled_in_is_not_looked_through_again():
    names = {"Env": {"A": "${{ Env.B }}", "B": "b"}}
    assert fill("${{ Env.A }}", names) == "${{ Env.B }}"


def test_a_text_of_many_lines_gives_the_line_and_column():
    with pytest.raises(ValidationError, match=r"^the text, line 2, column 10: there is no Env\.X$"):
        fill("one\n  ${{Env.X}}\n", {"Env": {}})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a ${{ Env.X", "the text, column 3: the placeholder has no end: `}}` is missing"),
        ("${{ 'a }}", "the text, column 5: the text that begins with this ' has no end"),
        ("${{ }}", "the text, column 5: the expression ends where a value is expected"),
        ("a ${{ 1 + }}", "the text, column 11: the expression ends where a value is expected"),
        ("${{ $x }}", "the text, column 5: '$' means nothing in an expression"),
        ("${{ ${{ 1 }} }}", "the text, column 5: '$' means nothing in an expression"),
        ("${{ 1 } }}", "the text, column 7: '}' means nothing in an expression"),
        ("${{ 1 }} ${{ nope() }}", "the text, column 14: there is no function 'nope'"),
    ],
)
def test_a_placeholder_that_is_none_is_refused(text, what):
    for use in (check_text, reads, lambda text: fill(text, NAMES)):
        with pytest.raises(ValidationError) as caught:
            use(text)
        assert caught.value.message == what


def test_nil_is_not_filled_in():
    with pytest.raises(ValidationError, match="column 3: nil can't be written as text"):
        fill("a ${{ nil }}", NAMES)


def test_a_text_can_grow_by_a_million_characters_alone():
    one = "${{ repeat('a', 600000) }}"
    assert len(fill(one, NAMES)) == 600000
    with pytest.raises(ValidationError, match="column 27: the text grows by more than 1048576"):
        fill(one * 2, NAMES)


def test_a_text_of_nothing_but_beginnings_is_refused_at_once():
    start = time.monotonic()
    for piece in ("${{", '${{"', "${{ '`\"", "${{}"):
        with pytest.raises(ValidationError):
            check_text(piece * 200_000)
    assert time.monotonic() - start < 5


def test_what_all_placeholders_of_a_text_read():
    assert reads("${{ Env.A }} and ${{ Modules.k.v }} ${{ Env.A }}") == {
        ("Env", "A"),
        ("Modules", "k", "v"),
    }
    assert reads("none") == frozenset()


def test_a_condition_holds_or_not():
    assert holds("", NAMES)
    assert holds('Env.VARIANT == "gnome"', NAMES)
    assert not holds("Modules.kernel.If and Arch == 'aarch64'", NAMES)


def test_a_condition_that_is_neither_true_nor_false_is_refused():
    with pytest.raises(ValidationError, match="this one is text") as caught:
        holds("Env.VARIANT", NAMES)
    assert "compare it" in caught.value.hint


def test_a_condition_is_checked_without_names():
    check_condition("")
    check_condition("Nobody.knows == 1")
    with pytest.raises(ValidationError, match="column 6"):
        check_condition("1 == ")


def test_a_condition_in_a_placeholder_is_refused_with_what_to_write():
    for use in (check_condition, lambda text: holds(text, NAMES)):
        with pytest.raises(ValidationError, match="by itself") as caught:
            use('${{ Env.VARIANT == "gnome" }}')
        assert "without `${{` and `}}`" in caught.value.hint


def test_bytes_of_the_environment_that_are_no_unicode_do_no_harm():
    names = {"Env": {"X": "a\udcff"}}
    assert evaluate(parse("Env.X matches 'a' and indexOf(Env.X, 'a') == 0"), names) is True


_SCRIPT = """
import sys
from atomicstate.recipe.placeholders import check_condition, check_text, fill, holds, reads
text = "echo $HOME {{ x }}"
check_text(text); check_condition("")
assert (fill(text, {}), reads(text), holds("", {})) == (text, frozenset(), True)
print(sorted({"lark", "re2", "msgspec", "difflib"} & set(sys.modules)))
fill("${{ 1 }}", {})
print(sorted({"lark", "re2", "difflib"} & set(sys.modules)))
"""


def test_a_text_without_a_placeholder_costs_no_import():
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["[]", "['lark']"]
