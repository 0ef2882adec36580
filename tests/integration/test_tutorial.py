"""docs/history.md says what the commands say."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests.support.sandboxes import copy_of
from tools.tutorial import TARGET, tell

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


def test_the_tutorial_is_up_to_date(tiny_template: Path, tmp_path: Path) -> None:
    directory = tmp_path / "box"
    try:
        copy_of(tiny_template, directory, "ostree")
        assert tell(directory) == TARGET.read_text(encoding="utf-8"), "run `./dev docs`"
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)
