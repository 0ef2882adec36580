"""A search looks at bytes before it decodes: it must not pass over an event that matches."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atomicstate.cli.needles import needles
from atomicstate.cli.query import query_of
from atomicstate.errors import ValidationError
from atomicstate.events import codec
from atomicstate.events.bodies import StepSkipped
from atomicstate.events.event import Actor, Event

if TYPE_CHECKING:
    from atomicstate.store.search import Query

ALPHABET = 'ab0 .é日"\\\n'
TEXTS = st.text(ALPHABET, max_size=6)
PIECES = st.one_of(
    st.text("ab0é日", min_size=1, max_size=3),
    st.sampled_from(
        [
            *(
                ".",
                "^",
                "$",
                r"\.",
                r"\d",
                r"\w",
                r"\W",
                r"\b",
                r"\B",
                r"\A",
                r"\Z",
                r"\\",
                r"\x61",
            ),
            *("[ab]", "[^a]", "[]a]", "[^]a]", r"[\]a]", r"[\\]", "[a|b]", "[(]", "(ab)", "(a|b0)"),
            *(
                "((a)b|0)",
                "(?:ab)",
                "(?i:A)",
                "(?=a)",
                "(?>[^a]*)",
                "(?<=a)",
                '"',
                "\n",
                "|",
                "{",
                "a{b}",
            ),
        ]
    ),
)
TIMES = st.sampled_from(
    ["", "", "", "*", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{0,2}", "{,1}", "{,2}+"]
)
FLAGS = st.sampled_from(["", "", "", "(?i)", "(?x)", "(?s)", "(?m)", "(?a)"])
PATTERNS = st.tuples(
    FLAGS, st.lists(st.tuples(PIECES, TIMES).map("".join), min_size=1, max_size=4).map("".join)
).map("".join)


def event(reason: str) -> Event:
    actor = Actor(0, "root", -1, "apply")
    return Event(1, StepSkipped("a", reason), "", 0, 0, actor, None, 0, "", bytes(16))


def query(grep: str) -> Query:
    log: Any = SimpleNamespace()
    return query_of(log, Path(), kinds=(), txn=None, actor=None, package=None, grep=grep)


@settings(max_examples=1500, deadline=None)
@given(pattern=PATTERNS, reason=TEXTS)
@example(pattern="b[^a]*+$", reason="b")
@example(pattern="b(?>[^a]*)$", reason="b")
@example(pattern="b(?![^a])", reason="b")
@example(pattern=r"b\Z", reason="b")
@example(pattern="(?i)B$", reason="b")
def test_what_matches_a_text_is_found_by_its_bytes(pattern: str, reason: str) -> None:
    try:
        asked = query(pattern)
    except ValidationError:
        return
    body = event(reason)
    record = codec.encode(body) + bytes(codec.HASH_SIZE)
    if any(re.search(pattern, text) for text in (reason, "a", "root", "apply", "step.skipped", "")):
        assert all(may_be(record) for may_be in asked.records)
        assert all(test(body) for test in asked.events)
    elif all(may_be(record) for may_be in asked.records):
        assert not all(test(body) for test in asked.events)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("curl", ("curl",)),
        ("lib[0-9]+", ("lib",)),
        ("^CONT", ("CONT",)),
        ("podman exited [1-9]:", ("podman exited ",)),
        ("no such.*file$", ("no such",)),
        ("lib(curl|ssl)4?", ("lib",)),
        ("curl|openssl1*", ("curl", "openssl")),
        ("colou?r", ("colo",)),
        (r"1\.0-1", ("0-1",)),
        ("[a-z]+", ()),
        ("curl|.*", ()),
        ("(?i)curl", ()),
        (r"\x63url", ()),
    ],
)
def test_the_texts_that_a_match_must_hold(pattern: str, expected: tuple[str, ...]) -> None:
    assert needles(pattern) == expected
