"""The machine that is killed over and over, made once."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support.debs import build_deb
from tests.support.machines import Machine, machine
from tests.support.program import atomicstate
from tests.support.sandboxes import DRIVER, copy_of, for_all_workers, keep_boot, shared_template
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
    """Makes a machine, for `with`: a copy of the fixture `template`.

    `at` is where it is made, by default in the test's own folder; `driver` is what drives it.
    """

    def __call__(
        self, *, template: str = "killable", at: Path | None = None, driver: str = DRIVER
    ) -> AbstractContextManager[Machine]: ...


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template: small, adopted, with DOCUMENT and the package `tool` pending."""

    def make(template: Path) -> Running:
        scratch = tmp_path_factory.mktemp("tiny")
        debs = [
            deb(scratch / "debs", "tool", depends="tool-data"),
            deb(scratch / "debs", "tool-data"),
            deb(scratch / "debs", "other"),
            deb(scratch / "debs", "third"),
            build_deb(
                scratch / "debs",
                "daemon",
                files={"/usr/share/daemon/version": "1.0", "/etc/daemon.conf": "quiet"},
            ),
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

    with shared_template(for_all_workers(tmp_path_factory) / "killable", make) as template:
        yield template


@pytest.fixture(scope="session")
def built_before(killable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As `killable`, with its layers in the cache: a build takes a second, not three."""

    def make(template: Path) -> Running:
        host = copy_of(killable, template)
        one = Machine(host)
        assert one.killed(("apply", "-y"), "build.done")
        one.done("abort", "-y")
        return host.running

    with shared_template(for_all_workers(tmp_path_factory) / "built-before", make) as template:
        yield template


@pytest.fixture(scope="session")
def built(built_before: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """That with an apply that was killed after its build: each round need not come there anew."""

    def make(template: Path) -> Running:
        host = copy_of(built_before, template)
        assert Machine(host).killed(("apply", "-y"), "build.done")
        keep_boot(host)
        return host.running

    with shared_template(for_all_workers(tmp_path_factory) / "built", make) as template:
        yield template


@pytest.fixture(scope="session")
def gone_far(killable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What has something to go back to: that and then `other` applied and booted, no more."""

    def make(template: Path) -> Running:
        host = copy_of(killable, template)
        apply, boot = ("apply", "-y"), ("sandbox", "reboot", template)
        add = ("package", "add", "other", "--no-live", "-y")
        for words in (apply, boot, add, apply, boot):
            ran = atomicstate(*words, sandbox=template)
            assert ran.status == 0, ran
        return host.running

    with shared_template(for_all_workers(tmp_path_factory) / "gone-far", make) as template:
        yield template


@pytest.fixture(scope="session")
def thrown_away(gone_far: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """That with two images of no use: what was applied and then taken back, twice."""

    def make(template: Path) -> Running:
        host = copy_of(gone_far, template)
        for name in ("third", "daemon"):
            for words in (
                ("package", "add", name, "--no-live", "-y"),
                ("apply", "-y"),
                ("rollback", "-y"),
            ):
                ran = atomicstate(*words, sandbox=template)
                assert ran.status == 0, ran
        return host.running

    with shared_template(for_all_workers(tmp_path_factory) / "thrown-away", make) as template:
        yield template


@pytest.fixture
def machines(tmp_path: Path, request: pytest.FixtureRequest) -> Machines:
    """Makes a machine of its own for each round."""
    numbers = itertools.count()

    def make(
        *, template: str = "killable", at: Path | None = None, driver: str = DRIVER
    ) -> AbstractContextManager[Machine]:
        made = request.getfixturevalue(template)
        return machine(made, at or tmp_path / f"m{next(numbers)}", driver)

    return make
