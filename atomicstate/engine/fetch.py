"""A resource from the network: one file, over http or https, of bounded size and time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from atomicstate.errors import HostError, ValidationError
from atomicstate.recipe.resources import is_url

if TYPE_CHECKING:
    from http.client import HTTPResponse

MAX_BYTES = 16 << 20
"""The most bytes that are fetched."""

LIMIT = 60.0
"""Seconds that it may take."""

_WAIT = 20.0
_CHUNK = 1 << 16


def fetch(url: str) -> bytes:
    """What `url` names now. Raises HostError where it can't be had, ValidationError for what is
    too large or no http or https."""
    import http.client
    import urllib.error
    import urllib.request

    if not is_url(url):
        raise ValidationError(f"{url[:80]!r} is not fetched: only http and https are")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        # It follows to what another handler here takes: nothing but http and https.
        urllib.request.HTTPRedirectHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        with opener.open(url, timeout=_WAIT) as answer:
            return _read(answer, url)
    except urllib.error.HTTPError as error:
        raise HostError(f"{url} can't be fetched: the server answers {error.code}") from error
    except urllib.error.URLError as error:
        raise HostError(f"{url} can't be fetched: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise HostError(f"{url} can't be fetched: {error or type(error).__name__}") from error


def _read(answer: HTTPResponse, url: str) -> bytes:
    deadline = time.monotonic() + LIMIT
    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        if len(content) > MAX_BYTES:
            raise ValidationError(f"{url} has more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise HostError(f"{url} can't be fetched: it takes more than {LIMIT:g} seconds")
    return bytes(content)
