"""Whatever somebody types: it is a Debian package name, or it is refused."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from atomicstate.catalog.names import validate_names
from atomicstate.errors import ValidationError

_ALLOWED = set(string.ascii_lowercase + string.digits + "+.-:")
_FIRST = string.ascii_lowercase + string.digits

good = st.builds(
    lambda first, rest: first + rest,
    st.sampled_from(_FIRST),
    st.text(_FIRST + "+.-", min_size=1, max_size=60),
)


@given(st.text(st.characters(), max_size=300))
def test_what_passes_can_be_no_option_and_no_shell_text(text: str) -> None:
    try:
        (name,) = validate_names([text])
    except ValidationError as error:
        assert error.message.isprintable()
    else:
        assert name == text
        assert name[0] in _FIRST
        assert set(name) <= _ALLOWED


@given(st.lists(good))
def test_every_debian_name_passes_and_order_stays(names: list[str]) -> None:
    assert list(validate_names(names)) == list(dict.fromkeys(names))
