"""What is fetched from a server, over a real one."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import fetch
from atomicstate.errors import AtomicstateError, HostError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/a.yml": (200, {}, b"modules: []\n"),
    "/moved": (302, {"Location": "/a.yml"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/ftp": (302, {"Location": "ftp://127.0.0.1/a"}, b""),
    "/round": (302, {"Location": "/round"}, b""),
    "/large": (200, {}, b"x" * 200_000),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, headers, body = ANSWERS.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_file_is_fetched(server):
    assert fetch.fetch(f"{server}/a.yml") == b"modules: []\n"


def test_a_redirect_is_followed(server):
    assert fetch.fetch(f"{server}/moved") == b"modules: []\n"


@pytest.mark.parametrize("path", ["/file", "/ftp", "/round", "/nothing"])
def test_where_it_can_t_be_had_it_is_an_error(server, path):
    with pytest.raises(HostError, match="can't be fetched"):
        fetch.fetch(server + path)


def test_what_is_too_large_is_refused(server, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_BYTES", 100_000)
    with pytest.raises(ValidationError, match="more than 100000 bytes"):
        fetch.fetch(f"{server}/large")


def test_what_takes_too_long_is_given_up(server, monkeypatch):
    monkeypatch.setattr(fetch, "LIMIT", 0.0)
    with pytest.raises(HostError, match="more than 0 seconds"):
        fetch.fetch(f"{server}/large")


def test_a_server_that_says_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(fetch, "_WAIT", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(HostError, match="can't be fetched"),
    ):
        fetch.fetch(f"http://127.0.0.1:{silent.getsockname()[1]}/a")


def test_a_server_that_is_not_there_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(HostError, match="can't be fetched"):
        fetch.fetch(f"http://127.0.0.1:{port}/a")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "/etc/passwd", ""])
def test_only_the_web_is_asked(url):
    with pytest.raises(ValidationError):
        fetch.fetch(url)


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b/", "http://127.0.0.1:x/"])
def test_what_is_no_address_is_an_error_in_a_sentence(url):
    with pytest.raises(AtomicstateError):
        fetch.fetch(url)
