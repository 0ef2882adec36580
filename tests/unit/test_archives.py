"""The archives that a live install fetched: a build takes them, the overlay may need them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.catalog.names import archive_name
from atomicstate.engine import apply, packages, prune
from atomicstate.engine.results import Silent
from atomicstate.engine.resume import resume
from atomicstate.host import podman
from atomicstate.host.podman import ARCHIVES, PodmanBuilder
from atomicstate.host.storage import Storage
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()
JQ = "jq_1.6-2_amd64.deb"
OLD = "tree_1%3a2.0_all.deb"


def test_an_epoch_is_written_as_libapt_does() -> None:
    assert archive_name("tree", "1:2.0", "all") == OLD
    assert archive_name("jq", "1.6-2", "amd64") == JQ


# -- in the builder --------------------------------------------------------------------------


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    folder = tmp_path / "archives"
    folder.mkdir()
    for name in (JQ, OLD):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def builder(tmp_path: Path, fetched: Path) -> PodmanBuilder:
    return PodmanBuilder(Storage(root=tmp_path / "storage"), fetched)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_build_finds_what_was_fetched_and_the_host_keeps_it(
    builder: PodmanBuilder, fetched: Path
) -> None:
    builder._offer_archives()
    builder._offer_archives()
    cache = builder.storage.cache / ARCHIVES
    assert names(cache) == names(fetched) == {JQ, OLD}
    # The disk holds it once.
    assert (cache / JQ).samefile(fetched / JQ)


def test_on_another_file_system_it_is_a_copy(
    builder: PodmanBuilder, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(podman.os, "link", refuse)
    builder._offer_archives()
    assert names(builder.storage.cache / ARCHIVES) == names(fetched)
    assert (builder.storage.cache / ARCHIVES / JQ).read_text() == JQ


def test_one_of_another_size_is_replaced(builder: PodmanBuilder, fetched: Path) -> None:
    builder._offer_archives()
    (fetched / JQ).unlink()
    (fetched / JQ).write_text("built again, with the same version")
    builder._offer_archives()
    assert (builder.storage.cache / ARCHIVES / JQ).samefile(fetched / JQ)


def test_the_host_keeps_what_it_is_told_and_builds_have_the_rest_still(
    builder: PodmanBuilder, fetched: Path
) -> None:
    builder.keep_archives({JQ})
    assert names(fetched) == {JQ}
    assert names(builder.storage.cache / ARCHIVES) == {JQ, OLD}


# -- in the pipeline -------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = adopted(tmp_path / "state", fake_host())
    for name in ("jq", "tree"):
        machine.command(
            lambda s, n=name: packages.carry_out(
                s, packages.propose(s, "add", (n,), live=True), SILENT
            )
        )
    return machine


def pruned(session: object) -> object:
    return prune.carry_out(session, prune.propose(session), SILENT)


@pytest.mark.parametrize("work", [pruned, lambda s: resume(s, SILENT, boot=True)])
def test_what_is_live_stays_and_what_the_booted_image_has_goes(machine: Machine, work) -> None:
    fetched = {archive_name(n, "1.0", "all") for n in ("jq", "oniguruma", "tree", "vim")}
    machine.host.archives = set(fetched)
    machine.command(work)
    assert machine.host.archives == fetched - {"vim_1.0_all.deb"}
    machine.command(lambda s: apply.carry_out(s, apply.propose(s), SILENT))
    machine.command(work)
    # It may not come up.
    assert machine.host.archives == fetched - {"vim_1.0_all.deb"}
    machine.host.reboot()
    machine.command(work)
    assert machine.host.archives == set()


def test_what_a_killed_install_needs_to_end_stays(machine: Machine) -> None:
    machine.host.archives = {"vim_1.0_all.deb"}
    machine.host.failing["carry_out"] = Crash()
    machine.killed(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ("vim",), live=True), SILENT)
    )
    machine.host.failing["finish"] = Crash()
    machine.killed(lambda s: resume(s, SILENT, boot=True))
    assert machine.host.archives == {"vim_1.0_all.deb"}


def test_what_a_boot_took_before_it_was_done_stays_for_the_next_boot(machine: Machine) -> None:
    machine.host.archives = {"vim_1.0_all.deb"}
    machine.host.failing["carry_out"] = Crash()
    machine.killed(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ("vim",), live=True), SILENT)
    )
    machine.host.failing.clear()
    machine.host.reboot()
    machine.command(lambda s: resume(s, SILENT, boot=True))
    assert "vim" in machine.host.tree
    assert machine.host.archives == {"vim_1.0_all.deb"}
