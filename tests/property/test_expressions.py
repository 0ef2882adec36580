"""Expressions of any kind: what they are worth, and that nothing but a sentence comes of others."""

from __future__ import annotations

import operator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomicstate.errors import ValidationError
from atomicstate.recipe.expressions import evaluate, parse
from atomicstate.recipe.expressions.values import text_of
from atomicstate.recipe.placeholders import check_text, fill, holds, reads

NAMES = {
    "Env": {"A": "a", "B": "", "C": "1"},
    "Modules": {"m": {"Name": "", "If": False, "Output": {"k": "v"}}},
    "Version": {"Major": 3},
    "Arch": "x86_64",
}

# A tree is ("literal", value), ("name", text, value) or (operator, *trees).
_BINDS = {
    **{"or": 10, "and": 15, "==": 20, "!=": 20, "<": 20, "<=": 20, ">": 20, ">=": 20, "in": 20},
    **{"contains": 20, "startsWith": 20, "+": 30, "-": 30, "not": 50, "*": 60, "negative": 90},
}
_DOES = {
    "or": lambda a, b: a or b,
    "and": lambda a, b: a and b,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda a, b: a in b,
    "contains": lambda a, b: b in a,
    "startsWith": str.startswith,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "not": operator.not_,
    "negative": operator.neg,
    "?": lambda a, b, c: b if a else c,
    "??": lambda a, b: b if a is None else a,
    "list": lambda *items: list(items),
    "upper": str.upper,
    "len": len,
}


def naive(tree):
    if tree[0] in ("literal", "name"):
        return tree[-1]
    return _DOES[tree[0]](*map(naive, tree[1:]))


def written(tree, floor=0):
    """The tree as text, in as few parentheses as it needs where `floor` must be held."""
    sign, *parts = tree
    if sign in ("literal", "name"):
        return literal(parts[0]) if sign == "literal" else parts[0]
    if sign == "list":
        return "[" + ", ".join(map(written, parts)) + "]"
    if sign in ("upper", "len"):
        return f"{sign}({written(parts[0])})"
    if sign == "?":
        text = f"{written(parts[0], 1)} ? {written(parts[1])} : {written(parts[2])}"
        return f"({text})" if floor else text
    if sign == "??":
        return f"({written(parts[0], 999)} ?? {written(parts[1], 999)})"
    binds = _BINDS[sign]
    if sign in ("not", "negative"):
        text = ("-" if sign == "negative" else "not ") + written(parts[0], binds)
    else:
        # Two orders in a row would be one comparison of three.
        left = binds + 1 if binds == 20 else binds
        text = f"{written(parts[0], left)} {sign} {written(parts[1], binds + 1)}"
    return f"({text})" if binds < floor else text


def literal(value):
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(f"\\U{ord(each):08x}" if each in '"\\\n' else each for each in value) + '"'


def trees(depth):
    """Strategies for trees of at most `depth`: of numbers, of texts, of truths."""
    number = st.just(("name", "Version.Major", 3)) | st.tuples(
        st.just("literal"), st.integers(0, 20)
    )
    text = st.sampled_from([("name", "Env.A", "a"), ("name", 'Modules["m"].k', "v")]) | st.tuples(
        st.just("literal"), st.text(max_size=5)
    )
    truth = st.just(("name", "Modules.m.If", False)) | st.tuples(st.just("literal"), st.booleans())
    if depth == 0:
        return number, text, truth
    numbers, texts, truths = trees(depth - 1)
    lists = st.tuples(st.just("list"), numbers, numbers)
    orders = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])

    def common(same):
        nothing = st.just(("literal", None))
        return st.tuples(st.just("?"), truths, same, same) | st.tuples(
            st.just("??"), nothing | same, same
        )

    return (
        st.one_of(
            number,
            st.tuples(st.sampled_from(["+", "-", "*"]), numbers, numbers),
            st.tuples(st.just("negative"), numbers),
            st.tuples(st.just("len"), texts | lists),
            common(numbers),
        ),
        st.one_of(
            text,
            st.tuples(st.just("+"), texts, texts),
            st.tuples(
                st.just("upper"), st.tuples(st.just("literal"), st.text("abXY1", max_size=4))
            ),
            common(texts),
        ),
        st.one_of(
            truth,
            st.tuples(st.sampled_from(["and", "or", "==", "!="]), truths, truths),
            st.tuples(st.just("not"), truths),
            st.tuples(orders, numbers, numbers) | st.tuples(orders, texts, texts),
            st.tuples(st.sampled_from(["contains", "startsWith"]), texts, texts),
            st.tuples(st.just("in"), numbers, lists),
            common(truths),
        ),
    )


numbers, texts, truths = trees(4)
good = st.one_of(numbers, texts, truths)


@given(good)
@settings(deadline=None, max_examples=500)
def test_an_expression_is_worth_what_its_parts_say(tree):
    expected = naive(tree)
    result = evaluate(parse(written(tree)), NAMES)
    assert (type(result), result) == (type(expected), expected)


@given(truths)
@settings(deadline=None, max_examples=150)
def test_a_condition_holds_as_its_parts_say(tree):
    assert holds(written(tree), NAMES) is naive(tree)


def names_of(tree):
    if tree[0] == "name":
        return {tuple(tree[1].replace('["m"]', ".m").split("."))}
    return set().union(*(names_of(part) for part in tree[1:] if isinstance(part, tuple)))


@given(good)
@settings(deadline=None, max_examples=150)
def test_an_expression_reads_the_names_that_are_in_it(tree):
    assert parse(written(tree)).reads() == names_of(tree)


@given(st.text(max_size=200))
@example("${{" * 20)
@settings(deadline=None, max_examples=500)
def test_any_text_is_an_expression_or_gives_a_sentence(text):
    evaluated(text)


TOKENS = (
    *("1", "2.5", "0x", "1e", "9" * 30, '"a"', "'b'", "`c`", '"', "'", "\\", "true", "nil", "x"),
    *("Env", "Env.A", ".", "?.", '["A"]', "[", "]", "(", ")", ",", "?", ":", "??", "|", "||", "!"),
    *(
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "^",
        "==",
        "=",
        "<",
        "<=",
        "&&",
        "&",
        "and",
        "or",
        "not",
        "in",
    ),
    *(
        "matches",
        "contains",
        "upper(",
        "split(",
        "repeat(",
        "len(Env)",
        "Version",
        "Modules.m",
        "$",
    ),
)


@given(st.lists(st.sampled_from(TOKENS), max_size=25), st.sampled_from(["", " "]))
@settings(deadline=None, max_examples=1000)
def test_any_row_of_tokens_is_an_expression_or_gives_a_sentence(tokens, between):
    evaluated(between.join(tokens))


@given(st.sampled_from(TOKENS), st.integers(1, 4000), st.sampled_from(["", "1"]))
@settings(deadline=None, max_examples=300)
def test_one_token_over_and_over_gives_a_value_or_a_sentence(token, times, end):
    evaluated((token * times)[:4000] + end)


def evaluated(text):
    try:
        expression = parse(text)
        assert expression.text == text
        expression.reads()
        value = evaluate(expression, NAMES)
    except ValidationError as error:
        assert error.message.startswith("the expression, ")
    else:
        assert value is None or isinstance(value, bool | int | float | str | list)


@given(st.text())
@example("$ {{ 1 }} }} $}{{")
def test_a_text_without_a_placeholder_stays_as_it_is(text):
    if "${{" in text:
        return
    check_text(text)
    assert fill(text, {}) == text
    assert reads(text) == frozenset()


plain = st.text(st.sampled_from("a ${}\n'\"`")).filter(lambda text: "${{" not in text)


@given(plain, st.lists(st.tuples(st.text(max_size=20) | st.sampled_from(["}}", "${{"]), plain)))
@settings(deadline=None)
def test_a_filled_text_is_what_stands_around_and_the_values(before, rest):
    if "${{" in before + "".join(after for _, after in rest):
        return
    text = before + "".join(f"${{{{ {literal(value)} }}}}{after}" for value, after in rest)
    assert fill(text, {}) == before + "".join(value + after for value, after in rest)


@given(
    st.lists(st.sampled_from(["${{", "}}", "}", "$", '"', "'", "`", "1", " ", "\\"]), max_size=30)
)
@settings(deadline=None, max_examples=300)
def test_any_row_of_beginnings_and_ends_is_filled_or_gives_a_sentence(pieces):
    try:
        fill("".join(pieces), NAMES)
    except ValidationError as error:
        assert error.message.startswith("the text, ")


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=300)
def test_a_number_that_is_written_reads_back(number):
    assert float(text_of(number)) == number
