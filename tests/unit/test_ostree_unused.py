"""What the `ostree` driver takes away, where it can't tell what is staged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from atomicstate.errors import CorruptError, HostError, NoSpaceError
from atomicstate.host import ostree
from atomicstate.host.ostree import OstreeDeployer, read_staged

if TYPE_CHECKING:
    from pathlib import Path


class Broken:
    """A system whose record of what is staged can't be read."""

    def __init__(self, folder: Path) -> None:
        self.sysroot = folder
        self.record = folder / "staged.json"
        self.record.write_text("[")

    def staged(self) -> object:
        return read_staged(self.record)


@pytest.fixture
def system(tmp_path: Path) -> Broken:
    return Broken(tmp_path)


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(ostree, "_change", lambda verb, _request: found.append(verb))
    return found


def deployer(system: Any) -> OstreeDeployer:
    return OstreeDeployer(system, lambda: pytest.fail("no image is needed"))


def test_nothing_goes_while_it_can_not_be_told_what_is_staged(system, changes):
    with pytest.raises(CorruptError):
        system.staged()
    deployer(system).remove_unused()
    assert changes == []


@pytest.mark.parametrize("error", [HostError("no"), NoSpaceError("no")])
def test_what_can_not_be_taken_away_now_is_no_error(system, monkeypatch, error):
    def fail(_verb: str, _request: object) -> None:
        raise error

    system.record.unlink()
    monkeypatch.setattr(ostree, "_change", fail)
    deployer(system).remove_unused()


def test_what_nothing_names_goes(system, changes):
    system.record.unlink()
    deployer(system).remove_unused()
    assert changes == ["prune"]
