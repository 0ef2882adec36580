"""What a service tells systemd, over a real socket."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from atomicstate.notify import ServiceManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 1_000_000


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's end of the socket, at `tmp_path`/notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5)
        yield channel


def manager(tmp_path: Path, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})


def test_each_state_is_one_message(heard, tmp_path):
    told = manager(tmp_path)
    told.ready()
    told.status("two\nlines and\x00 more " + "x" * 1000)
    told.stopping()
    assert heard.recv(100) == b"READY=1"
    status = heard.recv(2000).decode()
    assert status.startswith("STATUS=two lines and")
    assert "\n" not in status and len(status) < 500
    assert heard.recv(100) == b"STOPPING=1"


def test_a_socket_without_a_path_is_reached_too():
    name = f"atomicstate-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{name}")
        channel.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert channel.recv(100) == b"READY=1"


def test_the_watchdog_hears_of_it_twice_as_often_as_it_needs(heard, tmp_path):
    told = manager(tmp_path, WATCHDOG_USEC=str(10 * SECOND), WATCHDOG_PID=str(os.getpid()))
    assert told.interval == 5
    told.alive()
    assert heard.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "x"},
        {"WATCHDOG_USEC": "10", "WATCHDOG_PID": "1"},
    ],
)
def test_a_watchdog_that_does_not_ask_hears_nothing(heard, tmp_path, environ):
    told = manager(tmp_path, **environ)
    assert told.interval is None
    told.alive()
    with told.busy():
        pass
    told.ready()
    assert heard.recv(100) == b"READY=1"


def test_it_hears_while_something_takes_long_and_not_afterwards(heard, tmp_path):
    told = manager(tmp_path, WATCHDOG_USEC=str(SECOND // 10))
    with told.busy():
        time.sleep(0.3)
    told.stopping()
    messages = [heard.recv(100)]
    while messages[-1] != b"STOPPING=1":
        messages.append(heard.recv(100))
    assert messages.count(b"WATCHDOG=1") >= 4
    heard.settimeout(0.2)
    with pytest.raises(TimeoutError):
        heard.recv(100)


@pytest.mark.parametrize(
    "environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}]
)
def test_without_a_service_manager_nothing_happens(environ):
    told = ServiceManager(environ)
    told.ready()
    told.status("x")
    told.alive()
    told.stopping()


def test_a_service_manager_that_reads_nothing_holds_nobody_up(heard, tmp_path, monkeypatch):
    monkeypatch.setattr("atomicstate.notify._PATIENCE", 0.01)
    told = manager(tmp_path)
    for _message in range(50):
        told.status("x" * 300)
    assert heard.recv(1000).startswith(b"STATUS=x")
