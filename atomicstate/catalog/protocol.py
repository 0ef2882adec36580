"""What the client and its worker say to each other: one request, then lines of answers, as JSON."""

from __future__ import annotations

from typing import Literal, NoReturn

import msgspec
from msgspec import Struct

from atomicstate.errors import (
    AptError,
    AtomicstateError,
    HostError,
    LockedError,
    NoSpaceError,
    NotFoundError,
    NotPermittedError,
)
from atomicstate.events.plan import Plan

Operation = Literal["resolve", "carry-out", "finish", "revert", "update"]


class Request(Struct, frozen=True):
    """What the worker is to do."""

    operation: Operation
    plan: Plan = Plan()
    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    given_install: tuple[str, ...] = ()
    given_remove: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    unclean: bool = False
    bare: bool = False


class Progress(Struct, frozen=True, tag="progress"):
    """How far it is: for a progress bar. `package` is empty where it is about none."""

    percent: float
    message: str
    package: str


class Resolved(Struct, frozen=True, tag="resolved"):
    """The last line of a `resolve`."""

    plan: Plan


class Done(Struct, frozen=True, tag="done"):
    """The last line of any other operation that worked."""


class Failed(Struct, frozen=True, tag="failed"):
    """The last line of one that did not. `output`: what the tools said belongs to it."""

    code: str
    message: str
    hint: str
    output: bool = False


Answer = Progress | Resolved | Done | Failed

_ERRORS: dict[str, type[AtomicstateError]] = {
    kind.code: kind
    for kind in (AptError, HostError, LockedError, NoSpaceError, NotFoundError, NotPermittedError)
}
_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(Request)
_decode_answer: msgspec.json.Decoder[Answer] = msgspec.json.Decoder(Answer)


class ScriptError(AptError):
    """An AptError that the output of dpkg and its scripts explains."""


def encode(message: Request | Answer) -> bytes:
    """`message` as a line."""
    return _encode(message) + b"\n"


def decode_request(line: bytes) -> Request:
    """The request in `line`. Raises msgspec.ValidationError."""
    return _decode_request.decode(line)


def decode_answer(line: bytes) -> Answer:
    """The answer in `line`. Raises msgspec.ValidationError, msgspec.DecodeError."""
    return _decode_answer.decode(line)


def failed(error: AtomicstateError) -> Failed:
    """`error` as the worker sends it."""
    return Failed(error.code, error.message, error.hint, isinstance(error, ScriptError))


def raise_failed(answer: Failed, output: str) -> NoReturn:
    """Raise the error that the worker sent, with the tools' last words where they explain it."""
    message = answer.message
    if answer.output and output:
        message = f"{message}\n{output}"
    raise _ERRORS.get(answer.code, AptError)(message, hint=answer.hint)
