"""What a service tells systemd: that it is ready, how it is, that it is alive (sd_notify(3)).

Without a service manager there is nobody to tell, and nothing is done.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST = 400
_PATIENCE = 1.0
"""Seconds: a manager that reads nothing holds nobody up."""


class ServiceManager:
    """The service manager that `environ` names, if any.

    `interval`: seconds within which it must hear that this process is alive; None: it never asks.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        self.interval = self._interval(environ) if self._address else None

    @staticmethod
    def _interval(environ: Mapping[str, str]) -> float | None:
        """Half of what it allows, so that one message may be late."""
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        try:
            microseconds = int(environ.get("WATCHDOG_USEC", "0"))
        except ValueError:
            return None
        return microseconds / 2_000_000 if microseconds > 0 else None

    def ready(self) -> None:
        """The service works from now on."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """How it is, in a line for people: `systemctl status` shows it."""
        line = " ".join(text.split())[:_LONGEST]
        self._send(f"STATUS={line}")

    def alive(self) -> None:
        """It does not hang."""
        if self.interval is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends."""
        self._send("STOPPING=1")

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Inside, something may take long: that it is alive is told beside it."""
        if self.interval is None:
            yield
            return
        from threading import Event, Thread

        done, interval = Event(), self.interval

        def beat() -> None:
            while not done.wait(interval):
                self.alive()

        self.alive()
        thread = Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _send(self, message: str) -> None:
        if not self._address:
            return
        import socket

        # A name that begins with @ is none of the file system: in the kernel it begins with NUL.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # That the manager can't be told is no reason to stop working.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            channel.settimeout(_PATIENCE)
            channel.connect(address)
            channel.sendall(message.encode("utf-8", "replace"))
