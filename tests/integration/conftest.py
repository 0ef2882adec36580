"""A sandbox with a tiny base and a few tiny packages, made once for the tests about history."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.sandboxes import shared_template
from tests.support.tiny import make_tiny, tutorial_debs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atomicstate.host.sandbox.running import Running


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template, switched off: to be copied, never to be used. Its base tree is beside it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(template: Path) -> Running:
        scratch = template.parent / "scratch"
        return make_tiny(template, tutorial_debs(scratch / "debs"), scratch)

    with shared_template(shared / "tiny-template", make) as template:
        yield template
