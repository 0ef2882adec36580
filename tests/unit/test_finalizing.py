"""What OSTree leaves in /boot where it could not finish what was staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.host.finalizing import finalize_failure

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_there_is_no_failure(tmp_path: Path) -> None:
    assert finalize_failure(tmp_path) == ""


def test_its_words_come_on_one_line_and_not_without_end(tmp_path: Path) -> None:
    (tmp_path / "ostree").mkdir()
    stamp = tmp_path / "ostree/finalize-failure.stamp"
    stamp.write_bytes(b"error: Installing kernel:\n  No space left\xff\n")
    assert finalize_failure(tmp_path) == "error: Installing kernel: No space left\ufffd"
    stamp.write_bytes(b"x" * 100_000)
    assert len(finalize_failure(tmp_path)) == 500


def test_what_can_not_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "ostree/finalize-failure.stamp").mkdir(parents=True)
    assert finalize_failure(tmp_path) == ""
