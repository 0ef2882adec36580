"""The machine that is killed over and over, made once."""

from __future__ import annotations

import itertools
import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support.machines import Machine, machine
from tests.support.program import atomicstate
from tests.support.sandboxes import shared_template
from tests.support.tiny import deb, make_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.running import Running


class Machines(Protocol):
    """Makes a machine, for `with`: adopted, with the package `tool` recorded and pending."""

    def __call__(self) -> AbstractContextManager[Machine]: ...


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template: small, adopted, with one pending action."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(template: Path) -> Running:
        scratch = tmp_path_factory.mktemp("tiny")
        debs = [
            deb(scratch / "debs", "tool", depends="tool-data"),
            deb(scratch / "debs", "tool-data"),
            deb(scratch / "debs", "other"),
            deb(scratch / "debs", "third"),
        ]
        running = make_tiny(template, debs, scratch)
        for words in (["init"], ["package", "add", "tool", "--no-live", "-y"]):
            ran = atomicstate(*words, sandbox=template)
            assert ran.status == 0, ran
        return running

    with shared_template(shared / "killable", make) as template:
        yield template


@pytest.fixture
def machines(killable: Path, tmp_path: Path) -> Machines:
    """Makes a machine of its own for each round."""
    numbers = itertools.count()
    return lambda: machine(killable, tmp_path / f"m{next(numbers)}")
