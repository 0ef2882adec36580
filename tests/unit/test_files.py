"""Files that are whole or not there, and what a killed writer leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from atomicstate.files import remove_abandoned, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

WRITE = """
import sys
from pathlib import Path
from atomicstate.files import write_atomically
write_atomically(Path(sys.argv[1]), b"new")
"""


@pytest.mark.parametrize(
    ("point", "content"), [("file.written", b"old"), ("file.replaced", b"new")]
)
def test_a_killed_writer_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, point: str, content: bytes
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    done = subprocess.run(
        [sys.executable, "-c", WRITE, path],
        env={**os.environ, "ATOMICSTATE_FAILPOINT": point},
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == content
    remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_of_a_writer_that_lives_stays(tmp_path: Path) -> None:
    ours = tmp_path / f".file.{os.getpid()}.0a0b.tmp"
    others = [tmp_path / name for name in (".file.word.0a.tmp", "file.1.2.tmp", ".x.tmp", "x")]
    for path in (ours, *others):
        path.touch()
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, *others])


def test_a_folder_that_is_not_there_has_nothing_abandoned(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "missing")
