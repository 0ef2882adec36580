"""Fixtures that several tests share."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests import standin
from tests.support.sandboxes import DRIVER, copy_of, for_all_workers, shared_template
from tests.support.tiny import make_tiny, tutorial_debs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.host import SandboxHost
    from atomicstate.host.sandbox.running import Running


LONG = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name what is long by its beginning: the whole of it would be in every report of a test."""
    if isinstance(val, str | bytes) and len(val) > LONG:
        return f"{argname}-{ascii(val[: LONG // 2])[:LONG]}-{len(val)}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a module in one worker (`--dist loadgroup`): they share a sandbox."""
    for item in items:
        if not any(map(item.get_closest_marker, ("xdist_group", "spread"))):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session", autouse=True)
def _standins_throughout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """With ATOMICSTATE_SANDBOX_DRIVER=bootc every test finds the stand-ins."""
    if DRIVER != "bootc":
        yield
        return
    with _standins_on_path(tmp_path_factory):
        yield


@pytest.fixture(scope="session")
def sandbox_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sandbox that is switched off: to be copied, never to be used."""
    assert os.geteuid() == 0, "sandbox tests need root: `./dev test --fast` leaves them out"
    with shared_template(for_all_workers(tmp_path_factory) / "sandbox-template") as template:
        yield template


@pytest.fixture(scope="session")
def tiny_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One with a tiny base and a few tiny packages, likewise. Its base tree is beside it."""

    def make(template: Path) -> Running:
        scratch = template.parent / "scratch"
        return make_tiny(template, tutorial_debs(scratch / "debs"), scratch)

    with shared_template(for_all_workers(tmp_path_factory) / "tiny-template", make) as template:
        yield template


@pytest.fixture
def sandbox_host(sandbox_template: Path, tmp_path: Path) -> Iterator[SandboxHost]:
    """A host of the test's own, just created; its directory is `sandbox_host.sandbox.directory`."""
    yield from _own_sandbox(sandbox_template, tmp_path / "sandbox")


@pytest.fixture
def tiny_host(tiny_template: Path, tmp_path: Path) -> Iterator[SandboxHost]:
    """A host of the test's own, likewise, with the tiny base."""
    yield from _own_sandbox(tiny_template, tmp_path / "sandbox")


@pytest.fixture(scope="module")
def debian_host(
    sandbox_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxHost]:
    """As `shared_host`, just created, with the packages of the mirror."""
    yield from _own_sandbox(sandbox_template, tmp_path_factory.mktemp("debian") / "sandbox")


@pytest.fixture(scope="module")
def shared_host(
    tiny_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SandboxHost]:
    """A host that the tests of a module share, of the tiny base: they leave it as they found it."""
    yield from _own_sandbox(tiny_template, tmp_path_factory.mktemp("shared") / "sandbox")


@pytest.fixture(scope="module")
def standins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The stand-ins for the tools of a bootc host come first on PATH."""
    with _standins_on_path(tmp_path_factory):
        yield


@contextlib.contextmanager
def _standins_on_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = standin.install(tmp_path_factory.mktemp("standin") / "bin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def bootc_host(
    tiny_template: Path, tmp_path_factory: pytest.TempPathFactory, standins: None
) -> Iterator[SandboxHost]:
    """A host under the `bootc` driver that the tests of a module share, as `shared_host`."""
    directory = tmp_path_factory.mktemp("bootc") / "sandbox"
    yield from _own_sandbox(tiny_template, directory, "bootc")


def _own_sandbox(template: Path, directory: Path, driver: str = DRIVER) -> Iterator[SandboxHost]:
    try:
        yield copy_of(template, directory, driver)
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)
