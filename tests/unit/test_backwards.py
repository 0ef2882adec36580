"""Lines that are found last one first."""

import pytest

from atomicstate.cli.backwards import AT_ONCE, backwards


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 5])
def test_all_lines_come_in_the_other_order(count):
    lines = [f"{number} ü" for number in range(count)]
    assert list(backwards(lines)) == lines[::-1]


def test_an_empty_line_and_bytes_that_are_no_text_are_kept():
    lines = ["", "caf\udce9", ""] * AT_ONCE
    assert list(backwards(lines)) == lines[::-1]


def test_all_lines_are_taken_before_the_first_is_given():
    def broken():
        yield "one"
        raise ValueError

    with pytest.raises(ValueError):
        backwards(broken())
