"""Package names as people give them."""

from __future__ import annotations

import pytest

from atomicstate.catalog.names import LONGEST, validate_names
from atomicstate.errors import ValidationError


@pytest.mark.parametrize("name", ["jq", "g++", "libssl3", "0ad", "libc6:i386", "python3.11-doc"])
def test_debians_names_are_accepted(name: str) -> None:
    assert validate_names([name]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "-y",
        "--force-yes",
        "jq\n",
        "jq\nrm",
        "jq;rm",
        "jq rm",
        "JQ",
        "jq=1",
        "jq/sid",
        "jq:",
        "../jq",
        "jq*",
        "$(jq)",
        "jq\x00",
        "jé",
        "\u202ejq",
        "�q",
        "jq:a:b",
        "x" * 300,
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_names(["good", name])
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 120


def test_the_longest_name_is_accepted_and_no_longer_one() -> None:
    assert validate_names(["x" * LONGEST])
    with pytest.raises(ValidationError, match="too long"):
        validate_names(["x" * (LONGEST + 1)])


def test_a_name_counts_once_where_it_came_first() -> None:
    assert validate_names(["jq", "mc", "jq"]) == ("jq", "mc")
