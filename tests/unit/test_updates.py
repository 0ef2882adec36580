"""Whether a machine updates itself, told by the links that enable bootc's timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.host.updates import TIMER, notices, updates_itself

if TYPE_CHECKING:
    from pathlib import Path

ETC, RUN, USR = "etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the timer, which nothing enables."""
    unit = tmp_path / USR / TIMER
    unit.parent.mkdir(parents=True)
    unit.touch()
    return tmp_path


def enabled(tree: Path, folder: str, target: str = "timers.target") -> None:
    link = tree / folder / f"{target}.wants" / TIMER
    link.parent.mkdir(parents=True)
    # As systemctl makes it: from another tree it leads nowhere.
    link.symlink_to(f"/{USR}/{TIMER}")


def test_a_timer_that_nothing_enables_does_nothing(tree):
    assert not updates_itself(tree)
    assert notices(tree) == ()


def test_a_tree_without_systemd_does_not_update_itself(tmp_path):
    assert not updates_itself(tmp_path)


@pytest.mark.parametrize("folder", [ETC, RUN, USR])
def test_an_enabled_timer_is_told_with_what_ends_it(tree, folder):
    enabled(tree, folder, "default.target")
    [notice] = notices(tree)
    assert f"`systemctl mask --now {TIMER}`" in notice


@pytest.mark.parametrize("folder", [ETC, RUN])
def test_a_masked_timer_does_nothing(tree, folder):
    enabled(tree, USR)
    (tree / folder).mkdir(parents=True)
    (tree / folder / TIMER).symlink_to("/dev/null")
    assert not updates_itself(tree)


def test_a_link_that_outlived_the_timer_does_nothing(tree):
    enabled(tree, ETC)
    (tree / USR / TIMER).unlink()
    assert not updates_itself(tree)
