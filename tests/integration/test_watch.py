"""`watch` as a service runs it: the real command on a real host, edited from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.program import LIMIT, PROGRAM, Ran, atomicstate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = pytest.mark.sandbox


class Service:
    """A watch that runs until it is ended, with a service manager that listens."""

    def __init__(self, recipe: Recipe, folder: Path, *words: str) -> None:
        self._said, self._complained = folder / "stdout", folder / "stderr"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.heard: list[str] = []
        self._listener = Thread(target=self._listen)
        self._listener.start()
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "2000000",
            "PYTHONUNBUFFERED": "1",
        }
        words = ("watch", "--settle", "0.3", *words)
        with self._said.open("w") as said, self._complained.open("w") as complained:
            self.process = subprocess.Popen(
                [PROGRAM, *recipe.where, *words],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=complained,
                env=environ,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    @property
    def complained(self) -> str:
        return self._complained.read_text()

    def until(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not done():
            assert self.process.poll() is None, (self.process.returncode, self.complained)
            assert time.monotonic() < end, (self.said, self.complained)
            time.sleep(0.05)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while message := self.manager.recv(2000):
                self.heard.append(message.decode())

    def hears(self, start: str) -> None:
        """Wait for a message to the service manager that begins so."""
        self.until(lambda: any(message.startswith(start) for message in self.heard))

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(LIMIT)
        finally:
            with contextlib.suppress(OSError):
                self.manager.shutdown(socket.SHUT_RDWR)
            self._listener.join()
            self.manager.close()


class Recipe:
    """The recipe of an adopted host, which a person edits. Each test has a log of its own."""

    def __init__(self, sandbox: Path, state: Path) -> None:
        self.where = ("--sandbox", str(sandbox), "--state-dir", str(state))
        assert self.run("init").status == 0
        self.path = state / "recipe/image.yml"
        self._head = self.path.read_text().partition("modules:")[0]

    def run(self, *words: str) -> Ran:
        return atomicstate(*self.where, *words)

    def save(self, *commands: str, text: str = "") -> None:
        """As an editor saves: another file in the old one's place."""
        modules = "".join(
            f"  - {{type: shell, body: {{command: {command}}}}}\n" for command in commands
        )
        fresh = self.path.with_name(".image.yml.fresh")
        fresh.write_text(text or f"{self._head}modules:\n{modules}")
        fresh.replace(self.path)

    def events(self) -> list[dict[str, Any]]:
        """What happened since `init`."""
        return self.run("log", "-f", "json").data["events"][1:]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events()]


@pytest.fixture
def recipe(shared_host: SandboxHost, tmp_path: Path) -> Recipe:
    return Recipe(shared_host.sandbox.directory, tmp_path / "state")


@pytest.fixture
def start(recipe: Recipe, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    started: list[Service] = []

    def begin(*words: str) -> Service:
        folder = tmp_path / f"service-{len(started)}"
        folder.mkdir()
        started.append(Service(recipe, folder, *words))
        return started[-1]

    yield begin
    for service in started:
        service.end(signal.SIGKILL)


def test_edits_become_history_while_it_runs(recipe, start):
    service = start()
    service.hears("READY=1")
    recipe.save("echo one")
    os.chown(recipe.path, 1, 1)
    service.hears("STATUS=recorded of ")
    service.until(lambda: "run echo one" in service.said)

    recipe.save(text="modules:\n  - {type: shell, body: {comand: x}}\n")
    service.until(lambda: "'comand' is no key" in service.complained)
    recipe.path.unlink()
    service.until(lambda: "no such file" in service.complained)
    assert recipe.kinds() == ["module.added", "recipe.taken"]

    recipe.save("echo one", "echo two")
    service.until(lambda: "run echo two" in service.said)
    assert service.end() == 0
    assert service.heard[-1] == "STOPPING=1"
    assert service.heard.count("READY=1") == 1
    assert recipe.kinds() == ["module.added", "recipe.taken"] * 2
    assert {event["actor"]["verb"] for event in recipe.events()} == {"watch"}
    assert [event["actor"]["user"] for event in recipe.events()][2:] == ["root"] * 2


def test_what_was_edited_while_it_was_down_is_found_when_it_starts(recipe, start):
    recipe.save("echo one")
    os.chown(recipe.path, 1, 1)
    service = start("-f", "jsonl")
    service.until(lambda: service.said.endswith("\n"))
    outcome = json.loads(service.said)
    assert (outcome["kind"], outcome["user"], outcome["error"]) == ("recorded", "daemon", None)
    assert [event["seq"] for event in recipe.events()] == outcome["events"]
    assert service.end(signal.SIGINT) == 130


def test_a_kill_loses_no_edit(recipe, start):
    service = start()
    service.hears("READY=1")
    recipe.save("echo one")
    service.end(signal.SIGKILL)
    another = start()
    another.hears("READY=1")
    assert another.end() == 0
    assert recipe.kinds() == ["module.added", "recipe.taken"]
    assert recipe.run("verify").status == 0


def test_once_does_what_is_to_be_done_and_ends(recipe):
    ran = recipe.run("watch", "--once")
    assert (ran.status, ran.stdout, ran.stderr) == (0, "", "")
    recipe.save("echo one")
    ran = recipe.run("watch", "--once", "-f", "json")
    (outcome,) = ran.data["outcomes"]
    assert outcome["kind"] == "recorded"
    recipe.save(text="modules: {")
    ran = recipe.run("watch", "--once")
    assert (ran.status, ran.stdout) == (2, "")
    assert ran.stderr.count("error:") == 1
    ran = recipe.run("watch", "--once", "-f", "json")
    assert ran.status == 2
    assert json.loads(ran.stdout)["error"]["problems"]


def test_an_edit_is_built_at_once_where_that_was_asked_for(recipe, start, shared_host):
    service = start("--apply")
    service.hears("READY=1")
    recipe.save("echo one >/usr/lib/one")
    service.until(lambda: "staged " in service.said)
    assert service.end() == 0
    assert recipe.kinds().count("transaction.staged") == 1
    status = recipe.run("status", "-f", "json").data
    assert (status["state"], status["pending"], status["drift"]) == ("switched", [], None)
    staged = shared_host.deployer.status().staged
    shared_host.deployer.unstage(staged.checksum)


def test_json_without_an_end_is_refused(recipe):
    assert recipe.run("watch", "-f", "json").status == 2


def test_without_a_log_it_says_so(tmp_path):
    for words in ((), ("--once",)):
        ran = atomicstate("--state-dir", tmp_path / "none", "watch", *words)
        assert ran.status == 3
        assert "atomicstate init" in ran.stderr
