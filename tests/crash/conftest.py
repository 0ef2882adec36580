"""The machine that is killed over and over, made once."""

from __future__ import annotations

import itertools
import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support.machines import Machine, machine
from tests.support.program import atomicstate
from tests.support.sandboxes import DRIVER, copy_of, shared_template
from tests.support.tiny import deb, make_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.running import Running


DOCUMENT = """\
image: localhost/atomicstate-base:bookworm
env:
  WHERE: /usr/share
modules:
  - type: copy
    body:
      source: motd
      destination: ${{ Env.WHERE }}/motd
"""
"""A variable, a module and a resource: each is an action."""


class Machines(Protocol):
    """Makes a machine, for `with`: adopted, with DOCUMENT and the package `tool` pending.

    One that has `gone_far` has these and then `other` applied and booted, and nothing pending.
    `at` is where it is made, by default in the test's own folder; `driver` is what drives it.
    """

    def __call__(
        self, *, gone_far: bool = False, at: Path | None = None, driver: str = DRIVER
    ) -> AbstractContextManager[Machine]: ...


def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template: small, adopted, with all pending that `Machines` tells of."""

    def make(template: Path) -> Running:
        scratch = tmp_path_factory.mktemp("tiny")
        debs = [
            deb(scratch / "debs", "tool", depends="tool-data"),
            deb(scratch / "debs", "tool-data"),
            deb(scratch / "debs", "other"),
            deb(scratch / "debs", "third"),
        ]
        running = make_tiny(template, debs, scratch)
        document = scratch / "wanted/image.yml"
        (document.parent / "resources").mkdir(parents=True)
        document.write_text(DOCUMENT)
        (document.parent / "resources/motd").write_text("a tool is here\n")
        for words in (
            ("init",),
            ("config", "import", document, "-y"),
            ("package", "add", "tool", "--no-live", "-y"),
        ):
            ran = atomicstate(*words, sandbox=template)
            assert ran.status == 0, ran
        return running

    with shared_template(_shared(tmp_path_factory) / "killable", make) as template:
        yield template


@pytest.fixture(scope="session")
def far_template(killable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template of what has something to go back to: two applies, each booted."""

    def make(template: Path) -> Running:
        host = copy_of(killable, template)
        apply, boot = ("apply", "-y"), ("sandbox", "reboot", template)
        add = ("package", "add", "other", "--no-live", "-y")
        for words in (apply, boot, add, apply, boot):
            ran = atomicstate(*words, sandbox=template)
            assert ran.status == 0, ran
        return host.running

    with shared_template(_shared(tmp_path_factory) / "gone-far", make) as template:
        yield template


@pytest.fixture
def machines(killable: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Machines:
    """Makes a machine of its own for each round."""
    numbers = itertools.count()

    def make(
        *, gone_far: bool = False, at: Path | None = None, driver: str = DRIVER
    ) -> AbstractContextManager[Machine]:
        template = request.getfixturevalue("far_template") if gone_far else killable
        return machine(template, at or tmp_path / f"m{next(numbers)}", driver)

    return make
