"""A damaged or unusable data.mdb: its own error, no dead process, the file as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import lmdb
import pytest

from atomicstate.errors import (
    AtomicstateError,
    CorruptError,
    HostError,
    NoSpaceError,
    NotPermittedError,
)
from atomicstate.store.failures import from_lmdb_error
from atomicstate.store.log import Log
from atomicstate.store.state import State
from atomicstate.store.verify import verify
from benchmarks import mix
from tests.support import sample_log
from tests.support.logs import fact, filled, texts
from tests.support.program import atomicstate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = 4096


@pytest.fixture
def data(tmp_path: Path) -> Path:
    filled(tmp_path / "log", 300).close()
    return tmp_path / "log" / "data.mdb"


def cut(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def overwrite(offset: int, content: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    return change


def replace(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(content), None)[1]


def swap_for_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def swap_for_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (replace(b""), "it is empty"),
        (cut(100), "cut off in meta page 0"),
        (cut(PAGE), "cut off in meta page 1"),
        (cut(2 * PAGE), "a process that read it was killed by SIGBUS"),
        (cut(5 * PAGE + 17), "is damaged"),
        (replace(b"garbage " * 4000), "meta page 0 is not what LMDB writes"),
        (overwrite(0, bytes(PAGE)), "meta page 0 is not what LMDB writes"),
        (overwrite(PAGE, bytes(PAGE)), "meta page 1 is not what LMDB writes"),
        (swap_for_directory, "it is not a regular file"),
        (swap_for_pipe, "it is not a regular file"),
        (os.unlink, "it is not there"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
@pytest.mark.parametrize("write", [True, False], ids=["write", "read"])
def test_damage_at_opening(
    data: Path, damage: Callable[[Path], None], words: str, *, write: bool
) -> None:
    damage(data)
    before = data.read_bytes() if data.is_file() else None
    with pytest.raises(CorruptError) as caught:
        Log.open(data.parent, write=write)
    assert words in caught.value.message
    assert caught.value.hint
    assert (data.read_bytes() if data.is_file() else None) == before


@pytest.mark.parametrize("content", [bytes(PAGE), b"\xff" * PAGE, bytes(range(256)) * 16])
def test_every_overwritten_page_is_found_and_kills_nobody(data: Path, content: bytes) -> None:
    whole = data.read_bytes()
    for page in range(2, len(whole) // PAGE):
        overwrite(page * PAGE, content)(data)
        found = _opened_and_verified(data.parent)
        assert found in ("corrupt", "whole"), page
        assert found == "corrupt" or _is_free(whole, page), page
        data.write_bytes(whole)


def _opened_and_verified(directory: Path) -> str:
    try:
        with Log.open(directory) as log:
            verify(log)
    except CorruptError:
        return "corrupt"
    return "whole"


def _is_free(whole: bytes, page: int) -> bool:
    """Whether no text of an event lies on the page: it is a free one, or the tree of these."""
    return b"number" not in whole[page * PAGE : (page + 1) * PAGE]


@pytest.mark.parametrize("many", [10, 1000], ids=["by two processes", "by one"])
@pytest.mark.parametrize("content", [bytes(PAGE), b"\xff" * PAGE])
def test_a_page_overwritten_while_the_mark_still_fits_is_found_by_verify(
    data: Path, content: bytes, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atomicstate.store.verify.MANY", many)
    whole, before = data.read_bytes(), data.stat()
    used = [page for page in range(2, len(whole) // PAGE) if not _is_free(whole, page)]
    # Opening reads the header, by way of the root: these pages no other process may try first.
    for page in used[1:]:
        overwrite(page * PAGE, content)(data)
        os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
        with Log.open(data.parent, write=False) as log, pytest.raises(CorruptError):
            verify(log)
        overwrite(page * PAGE, whole[page * PAGE : (page + 1) * PAGE])(data)
    assert len(used) > 10


def test_a_directory_in_place_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    with pytest.raises(CorruptError):
        Log.open(tmp_path / "log")


def test_a_file_in_place_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(CorruptError) as caught:
        Log.open(tmp_path / "log")
    assert "not a directory" in caught.value.message


def test_another_programs_environment_is_refused(tmp_path: Path) -> None:
    with (
        lmdb.open(str(tmp_path / "log")) as environment,
        environment.begin(write=True) as transaction,
    ):
        transaction.put(b"name", b"value")
    with pytest.raises(CorruptError) as caught:
        Log.open(tmp_path / "log")
    assert caught.value.seq == 0


def test_a_whole_file_without_its_mark_opens(data: Path) -> None:
    (data.parent / "clean").unlink()
    with Log.open(data.parent) as log:
        assert log.head().seq == 300
    assert (data.parent / "clean").is_file()


def test_a_clean_end_needs_no_second_look(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomicstate.store.datafile.check_pages", _never)
    with Log.open(data.parent) as log:
        log.append([fact()])
    Log.open(data.parent, write=False).close()


def _never(*_arguments: object, **_options: object) -> None:
    raise AssertionError("a child was started")


# -- limits of the system --------------------------------------------------------------------


PROGRAM = """
import resource, sys
from pathlib import Path
from atomicstate.errors import AtomicstateError
from atomicstate.store.log import Log
from tests.support.logs import fact
limit = getattr(resource, sys.argv[2])
with Log.open(Path(sys.argv[1])) as log:
    resource.setrlimit(limit, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        log.append([fact("x" * 1000)] * 2000)
    except AtomicstateError as error:
        print(type(error).__name__, error.message)
    resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(log.head().seq)
    log.append([fact("after")])
    print(log.head().seq)
"""


def test_a_limit_on_the_files_size_is_no_space_and_the_next_append_works(data: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, data.parent, "RLIMIT_FSIZE", "200000"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    error, head, after = finished.stdout.splitlines()
    assert error.startswith("NoSpaceError")
    assert (head, after) == ("300", "301")
    with Log.open(data.parent) as log:
        assert texts(log)[-1] == "after"


AS_NOBODY = """
import os, sys
from pathlib import Path
from atomicstate.errors import AtomicstateError
from atomicstate.store.log import Log
os.setgid(65534); os.setuid(65534)
try:
    Log.open(Path(sys.argv[1]), write=sys.argv[2] == "write")
except AtomicstateError as error:
    print(type(error).__name__, error.hint)
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("mode", ["read", "write"])
def test_another_user_who_may_read_but_not_lock_is_told_the_same(data: Path, mode: str) -> None:
    (data.parent / "clean").unlink()
    data.chmod(0o644)
    data.parent.chmod(0o755)
    test_another_user_is_told_what_to_do(data, mode)


@pytest.mark.sandbox
@pytest.mark.parametrize("mode", ["read", "write"])
def test_another_user_is_told_what_to_do(data: Path, mode: str) -> None:
    for directory in data.parents:
        if directory.stat().st_mode & 0o001 == 0 and directory != data.parent:
            directory.chmod(0o711)
    finished = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, data.parent, mode],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stdout.strip() == "NotPermittedError run it as root"


def test_a_map_that_is_too_big_is_a_sentence(data: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; "
        "from atomicstate.errors import HostError; from atomicstate.store.log import Log\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "try: Log.open(Path(sys.argv[1]), map_size=1 << 40)\n"
        "except HostError as error: print(error.hint)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, data.parent],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "ulimit" in finished.stdout


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("No such device", HostError),
        ("Invalid argument", HostError),
        ("No locks available", HostError),
        ("Read-only file system", NotPermittedError),
        ("Permission denied", NotPermittedError),
        ("No space left on device", NoSpaceError),
        ("Disk quota exceeded", NoSpaceError),
    ],
)
def test_what_lmdb_says_by_the_systems_words(
    tmp_path: Path, reason: str, kind: type[AtomicstateError]
) -> None:
    error = from_lmdb_error(lmdb.Error(f"{tmp_path}: {reason}"), "open the log", tmp_path)
    assert type(error) is kind
    assert error.message


INJECTED = """
import sys
from pathlib import Path
from atomicstate.errors import AtomicstateError
from atomicstate.store.log import Log
from tests.support.logs import fact
try:
    with Log.open(Path(sys.argv[1])) as log:
        before = log.head()
        try:
            log.append([fact("x" * 300)] * 20)
        finally:
            assert log.head() == before
except AtomicstateError as error:
    print(type(error).__name__, error.message, "|", error.hint)
"""


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("pwrite64:error=EDQUOT", "NoSpaceError", "quota"),
        ("writev:error=EDQUOT", "NoSpaceError", "quota"),
        ("pwrite64:error=ENOSPC", "NoSpaceError", "no space"),
        ("fdatasync:error=EIO", "HostError", "input/output error"),
        ("pread64:error=EIO", "HostError", "data.mdb: input/output error"),
        ("mmap:error=ENODEV", "HostError", "LMDB can't use this file system"),
    ],
)
def test_a_system_call_on_the_file_that_fails_is_a_sentence_and_leaves_the_log(
    data: Path, fault: str, kind: str, words: str
) -> None:
    """The kernel's own answers, put in by strace: a quota, a dying disk, a file system."""
    finished = subprocess.run(
        [
            *("strace", "-f", "-qq", "-o", "/dev/null", "-P", data, "-e", f"inject={fault}"),
            *(sys.executable, "-c", INJECTED, data.parent),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert finished.stdout.startswith(kind)
    assert words in finished.stdout
    with Log.open(data.parent) as log:
        assert verify(log).checked == 300


# -- file systems -----------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path):
    """A file system of 400 KiB."""
    point = tmp_path / "small"
    point.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k,mode=700", "tmpfs", point], check=True, timeout=30
    )
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=True, timeout=30)


@pytest.mark.sandbox
def test_a_full_disk_leaves_the_log_as_it_was(small: Path) -> None:
    with Log.create(small / "log") as log:
        ballast = small / "ballast"
        ballast.write_bytes(bytes(200_000))
        count = 0
        with pytest.raises(NoSpaceError) as caught:
            while count < 1000:
                log.append([fact("x" * 500)] * 20)
                count += 1
        assert caught.value.hint
        assert log.head().seq == count * 20
        with pytest.raises(NoSpaceError):
            log.append([fact("x" * 500)] * 20)
        ballast.unlink()
        log.append([fact("after")])
        assert texts(log)[-1] == "after"
        verify(log)


READ = """
import sys
from pathlib import Path
from atomicstate.errors import AtomicstateError
from atomicstate.store.log import Log
try:
    with Log.open(Path(sys.argv[1]), write=False) as log:
        print(log.head().seq)
except AtomicstateError as error:
    print(type(error).__name__)
"""


def fill(point: Path) -> None:
    with pytest.raises(OSError, match="No space"), (point / "ballast").open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


@pytest.mark.sandbox
@pytest.mark.parametrize("mark", ["clean", "no mark"])
def test_no_room_for_the_lock_file_is_no_damage_and_kills_nobody(small: Path, mark: str) -> None:
    """LMDB would map a file with a hole in it; a write to that is SIGBUS where the disk is full."""
    filled(small / "log", 3).close()
    (small / "log" / "lock.mdb").unlink()
    if mark != "clean":
        (small / "log" / "clean").unlink()
    fill(small)
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, "-c", READ, small / "log"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert finished.stdout.strip() == "NoSpaceError"
    (small / "ballast").unlink()
    with Log.open(small / "log") as log:
        assert log.head().seq == 3
        status = (small / "log" / "lock.mdb").stat()
        assert status.st_blocks * 512 >= status.st_size
    fill(small)
    with Log.open(small / "log", write=False) as log:
        assert log.head().seq == 3


@pytest.mark.sandbox
@pytest.mark.parametrize("write", [True, False])
def test_a_doubtful_log_on_a_read_only_file_system(small: Path, *, write: bool) -> None:
    filled(small / "log", 3).close()
    (small / "log" / "lock.mdb").unlink()
    (small / "log" / "clean").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True, timeout=30)
    if not write:
        with Log.open(small / "log", write=False) as log:
            assert log.head().seq == 3
        return
    with pytest.raises(NotPermittedError) as caught:
        Log.open(small / "log")
    assert "read-only" in caught.value.hint


@pytest.mark.sandbox
def test_a_read_only_file_system(small: Path) -> None:
    filled(small / "log", 3).close()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True, timeout=30)
    with Log.open(small / "log", write=False) as log:
        assert log.head().seq == 3
    with pytest.raises(NotPermittedError) as caught:
        Log.open(small / "log")
    assert "read-only" in caught.value.hint


@pytest.mark.sandbox
@pytest.mark.parametrize(
    "command", [("log",), ("config", "show"), ("show", "90"), ("diff", "10", "90"), ("verify",)]
)
def test_what_only_reads_needs_no_file_system_to_write_to(
    small: Path, command: tuple[str, ...]
) -> None:
    mix.fill(State(small / "state"), 100)
    before = atomicstate("--state-dir", small / "state", *command)
    subprocess.run(["mount", "-o", "remount,ro", small], check=True, timeout=30)
    ran = atomicstate("--state-dir", small / "state", *command)
    assert ran == before
    assert ran.status == 0


@pytest.mark.sandbox
def test_what_writes_is_refused_on_a_read_only_file_system(small: Path) -> None:
    sample_log.make(small / "state")
    subprocess.run(["mount", "-o", "remount,ro", small], check=True, timeout=30)
    ran = atomicstate("--state-dir", small / "state", "tag", "good")
    assert ran.status == 5
    assert "read-only" in ran.stderr
