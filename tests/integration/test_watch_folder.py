"""A watch sees whatever is done to a folder, by the kernel's own events."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.engine.watching import Seen
from atomicstate.errors import AtomicstateError, NotFoundError
from atomicstate.notify import ServiceManager
from atomicstate.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTLE = 0.2
LIMIT = 15.0
"""Seconds within which an edit must be seen, on a machine that is busy."""


class Eye:
    """A keeper that notes what is there at each look, and ends the watch when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[object] = []
        self.times: list[float] = []
        self.builds = 0
        self.next: list[Seen] = []
        self.ended = False
        self.during_build: Callable[[], None] = lambda: None

    def look(self) -> Seen:
        if self.ended:
            raise KeyboardInterrupt
        self.times.append(time.monotonic())
        self.seen.append(self.there())
        return self.next.pop(0) if self.next else Seen()

    def build(self) -> None:
        self.builds += 1
        self.during_build()

    def there(self) -> object:
        """All files and their content; a word where there is no document."""
        try:
            document = (self.folder / "image.yml").read_text()
        except OSError as error:
            return type(error).__name__
        below = self.folder / "resources"
        files = {
            str(path.relative_to(below)): path.read_text()
            for path in sorted(below.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        return document, files


class Running:
    """A watch that runs in a thread."""

    def __init__(self, state: Path, environ: dict[str, str] | None = None) -> None:
        self.folder = state / "recipe"
        self.eye = Eye(self.folder)
        self.told: list[str] = []
        self.error: BaseException | None = None
        self.watch = Watch(
            self.folder / "image.yml",
            self.folder / "resources",
            self.eye,
            ServiceManager(environ or {}),
            self.told.append,
            settle=SETTLE,
        )
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        self.until(lambda: bool(self.eye.seen))

    def _run(self) -> None:
        try:
            self.watch.run()
        except (KeyboardInterrupt, AtomicstateError) as error:
            self.error = error

    def until(self, done: Callable[[], bool]) -> None:
        """Wait until `done`, which must be within the limit."""
        end = time.monotonic() + LIMIT
        while not done():
            assert time.monotonic() < end, self.eye.seen[-3:]
            assert self._thread.is_alive() or done(), self.error
            time.sleep(0.02)

    def sees(self, expected: object = None) -> None:
        """Wait until what is there now, or `expected`, was seen."""
        self.until(lambda: self.eye.seen[-1] == (expected or self.eye.there()))

    def end(self) -> None:
        self.eye.ended = True
        end = time.monotonic() + LIMIT
        while self._thread.is_alive() and time.monotonic() < end:
            with_folder = self.folder.parent / "recipe"
            with_folder.mkdir(parents=True, exist_ok=True)
            (with_folder / "image.yml").write_text("end")
            self._thread.join(SETTLE * 3)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomicstate.watch._STEP", 20)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "state/recipe"
    (folder / "resources/deep/er").mkdir(parents=True)
    (folder / "image.yml").write_text("first")
    running = Running(tmp_path / "state")
    running.start()
    yield running
    running.end()


def test_what_is_there_at_the_start_is_looked_at(watching):
    assert watching.eye.seen == [("first", {})]


def test_a_file_that_is_written_is_seen(watching):
    (watching.folder / "image.yml").write_text("second")
    watching.sees(("second", {}))


def test_a_file_that_is_replaced_is_seen_as_often_as_it_is(watching):
    for text in ("second", "third", "fourth"):
        fresh = watching.folder / ".image.yml.new"
        fresh.write_text(text)
        fresh.replace(watching.folder / "image.yml")
        watching.sees((text, {}))


def test_a_file_that_is_removed_and_made_again_is_seen(watching):
    (watching.folder / "image.yml").unlink()
    watching.sees("FileNotFoundError")
    (watching.folder / "image.yml").write_text("again")
    watching.sees(("again", {}))


def test_a_folder_in_its_place_is_seen_and_so_is_its_end(watching):
    (watching.folder / "image.yml").unlink()
    (watching.folder / "image.yml").mkdir()
    watching.sees("IsADirectoryError")
    (watching.folder / "image.yml").rmdir()
    (watching.folder / "image.yml").write_text("again")
    watching.sees(("again", {}))


def test_a_change_of_mode_or_owner_alone_comes_to_a_look(watching):
    for change in (lambda path: path.chmod(0o600), lambda path: os.chown(path, 1, 1)):
        before = len(watching.eye.seen)
        change(watching.folder / "image.yml")
        watching.until(lambda before=before: len(watching.eye.seen) > before)


def test_resources_are_seen_however_deep_they_lie(watching):
    resources = watching.folder / "resources"
    (resources / "deep/er/a").write_text("1")
    watching.sees()
    (resources / "new/er/still").mkdir(parents=True)
    (resources / "new/er/still/b").write_text("2")
    watching.sees()
    # The folder is new, and what comes into it now is seen all the same.
    (resources / "new/er/still/b").write_text("3")
    watching.sees()
    (resources / "new").rename(resources / "other")
    watching.sees()
    (resources / "other/er/still/b").write_text("4")
    watching.sees(("first", {"deep/er/a": "1", "other/er/still/b": "4"}))


def test_resources_that_were_not_there_are_seen(watching):
    shutil.rmtree(watching.folder / "resources")
    watching.sees()
    (watching.folder / "resources").mkdir()
    (watching.folder / "resources/a").write_text("1")
    watching.sees(("first", {"a": "1"}))


def test_the_whole_folder_may_be_replaced(watching):
    for text in ("second", "third"):
        watching.folder.rename(watching.folder.parent / f"old-{text}")
        (watching.folder / "resources").mkdir(parents=True)
        (watching.folder / "image.yml").write_text(text)
        watching.sees((text, {}))
        (watching.folder / "resources/a").write_text(text)
        watching.sees((text, {"a": text}))


def test_the_whole_folder_may_go_and_come_again(watching):
    shutil.rmtree(watching.folder)
    watching.sees("FileNotFoundError")
    (watching.folder / "resources").mkdir(parents=True)
    (watching.folder / "image.yml").write_text("again")
    watching.sees(("again", {}))
    (watching.folder / "resources/a").write_text("1")
    watching.sees(("again", {"a": "1"}))


def test_a_burst_comes_to_one_look(watching):
    for place in range(200):
        (watching.folder / "image.yml").write_text(f"{place}")
        (watching.folder / f"resources/{place}").write_text("")
    watching.sees()
    assert len(watching.eye.seen) == 2
    assert watching.eye.seen[1] == watching.eye.there()


def test_what_is_edited_faster_than_it_settles_is_seen_meanwhile_and_in_the_end(watching):
    begin = time.monotonic()
    place = 0
    while time.monotonic() - begin < SETTLE * 25:
        place += 1
        (watching.folder / "image.yml").write_text(f"{place}")
        time.sleep(SETTLE / 20)
    looks = len(watching.eye.seen)
    assert 1 < looks < place / 10
    watching.sees((f"{place}", {}))


def test_what_others_do_beside_it_comes_to_no_look(watching):
    for name in (".image.yml.swp", "4913", "image.yml~", "Containerfile"):
        (watching.folder / name).write_text("x")
    (watching.folder.parent / "lock").write_text("x")
    (watching.folder.parent / "txn").mkdir()
    time.sleep(SETTLE * 4)
    assert len(watching.eye.seen) == 1


def test_no_link_is_followed_out_of_the_resources(watching, tmp_path):
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (watching.folder / "resources/link").symlink_to(outside)
    watching.until(lambda: len(watching.eye.seen) == 2)
    (outside / "deep/a").write_text("x")
    (outside / "b").write_text("x")
    time.sleep(SETTLE * 4)
    assert len(watching.eye.seen) == 2
    # A link in a circle is no folder without end.
    (watching.folder / "resources/circle").symlink_to(".")
    watching.until(lambda: len(watching.eye.seen) == 3)


def test_a_look_that_could_not_be_done_is_done_again(watching):
    watching.eye.next = [Seen(again=0.5), Seen(again=0.1)]
    (watching.folder / "image.yml").write_text("second")
    watching.until(lambda: len(watching.eye.seen) == 4)
    _first, second, third, fourth = watching.eye.times
    assert third - second >= 0.5
    assert fourth - third >= 0.1
    time.sleep(SETTLE * 2)
    assert len(watching.eye.seen) == 4


def test_what_is_edited_while_it_builds_is_seen_afterwards(watching):
    watching.eye.next = [Seen(build=True)]
    watching.eye.during_build = lambda: (watching.folder / "image.yml").write_text("meanwhile")
    (watching.folder / "image.yml").write_text("second")
    watching.sees(("meanwhile", {}))
    assert watching.eye.builds == 1
    assert watching.eye.seen == [(text, {}) for text in ("first", "second", "meanwhile")]


def test_a_state_directory_that_is_gone_ends_it(watching):
    shutil.rmtree(watching.folder.parent)
    watching.until(lambda: watching.error is not None)
    assert isinstance(watching.error, NotFoundError)
    assert "there is no state directory" in watching.error.message


def test_where_the_kernel_can_not_watch_it_is_looked_at_now_and_then(tmp_path, monkeypatch):
    def refusing(*_arguments: object) -> None:
        raise OSError(28, "OS file watch limit reached.")

    monkeypatch.setattr("watchfiles._rust_notify.RustNotify", refusing)
    monkeypatch.setattr("atomicstate.watch.BLIND", 0.5)
    folder = tmp_path / "state/recipe"
    folder.mkdir(parents=True)
    (folder / "image.yml").write_text("first")
    running = Running(tmp_path / "state")
    running.start()
    try:
        (folder / "image.yml").write_text("second")
        running.sees(("second", {}))
        running.until(lambda: len(running.eye.seen) > 4)
    finally:
        running.end()
    (told,) = running.told
    assert "can't be watched ([Errno 28] OS file watch limit reached.)" in told


def test_the_service_manager_hears_of_it(tmp_path):
    folder = tmp_path / "state/recipe"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(LIMIT)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
        running = Running(tmp_path / "state", environ)
        running.start()
        messages = []
        while messages.count(b"WATCHDOG=1") < 6:
            messages.append(channel.recv(1000))
        assert messages.count(b"READY=1") == 1
        running.end()
        while messages[-1] != b"STOPPING=1":
            messages.append(channel.recv(1000))
