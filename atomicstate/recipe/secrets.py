"""What looks like a secret: the log would keep it for ever, and so would each image's history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from atomicstate.errors import ValidationError
from atomicstate.recipe.document import path_text
from atomicstate.recipe.names import shown
from atomicstate.recipe.placeholders import PLACEHOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from atomicstate.recipe.document import Path
    from atomicstate.recipe.schema import Module

_ADVICE = (
    "give it to the build from outside (a secret mount, a file that is there only meanwhile),"
    " or agree with --allow-secret: the log keeps what it says for ever"
)

# Every repetition is bounded, or nothing that follows can make it try again: a long text costs a
# walk through it.
_FORMS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")),
    (
        "a password in an address",
        re.compile(
            r"""[A-Za-z][A-Za-z0-9+.-]{0,15}://[^/\s:@'"]{0,256}:[^/\s@'"$][^/\s@'"]{0,256}@"""
        ),
    ),
    (
        "a token",
        re.compile(
            r"\b(?:gh[pousr]_[A-Za-z0-9]{30}|github_pat_[A-Za-z0-9_]{22}|glpat-[\w-]{20}"
            r"|(?:AKIA|ASIA)[0-9A-Z]{16}\b|xox[abeprs]-[A-Za-z0-9-]{10}|AIza[\w-]{35}"
            r"|npm_[A-Za-z0-9]{30}|pypi-[\w-]{40}|dckr_pat_[\w-]{20}|hf_[A-Za-z0-9]{30}"
            r"|[sr]k_live_[A-Za-z0-9]{20}|sk-[A-Za-z0-9_-]{32}"
            r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{10})"
        ),
    ),
    (
        "a token",
        re.compile(r"authorization:\s{0,9}(?:bearer|basic)\s{1,9}[A-Za-z0-9+/=._-]{8}", re.I),
    ),
)
_WORD = r"(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|API_?KEY|PRIVATE_KEY|ACCESS_KEY|CREDENTIALS?)"
_NAME = re.compile(rf"(?:\w{{0,64}}_)?{_WORD}", re.IGNORECASE | re.ASCII)
_VALUE = r"""(?P<value>"[^"\n]{0,400}"|'[^'\n]{0,400}'|[^\s;&|<>()]{1,400})"""
_GIVEN: tuple[re.Pattern[str], ...] = (
    re.compile(rf"\b[A-Z0-9_]{{0,64}}{_WORD}={_VALUE}", re.ASCII),
    re.compile(rf"--(?:password|passwd|passphrase|token|secret|api-key)(?:=| {{1,9}}){_VALUE}"),
)
_PLAIN = frozenset({"", "true", "false", "yes", "no", "none", "null", "0", "1"})


class Found(NamedTuple):
    """Where something looks like a secret, and like what; never the secret itself."""

    path: Path
    what: str


def refuse_secrets(modules: Iterable[Module], env: Mapping[str, str], allow: bool) -> None:
    """Raises ValidationError where a module, or a variable of `env`, seems to hold a secret.

    With `allow` somebody said that it is none, or may be kept.
    """
    if allow:
        return
    for found in _in_variables(("env",), env):
        raise _refused(found, "")
    for module in modules:
        for found in secrets_in(module):
            name = f" {shown(module.name or module.id)}" if module.name or module.id else ""
            raise _refused(found, f" of the {module.type} module{name}")


def secrets_in(module: Module) -> Iterator[Found]:
    """What looks like a secret in `module`, from top to bottom."""
    yield from _in_variables(("env",), module.env)
    yield from _in_value(("body",), msgspec.to_builtins(module.body, str_keys=True))
    yield from _in_value(("output",), module.output)


def _refused(found: Found, whose: str) -> ValidationError:
    return ValidationError(
        f"{path_text(found.path)}{whose} looks like {found.what}: nothing was recorded",
        hint=_ADVICE,
    )


def _in_variables(path: Path, env: Mapping[str, str]) -> Iterator[Found]:
    for name, value in env.items():
        if _NAME.fullmatch(name) and _is_literal(value):
            yield Found((*path, name), "a secret, by its name")
        else:
            yield from _in_text((*path, name), value)


def _in_value(path: Path, value: Any) -> Iterator[Found]:  # noqa: ANN401 - of a body
    if isinstance(value, str):
        yield from _in_text(path, value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _in_value((*path, key), item)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _in_value((*path, place), item)


def _in_text(path: Path, text: str) -> Iterator[Found]:
    # What is filled in comes from elsewhere.
    text = PLACEHOLDER.sub("$", text)
    for what, form in _FORMS:
        if form.search(text):
            yield Found(path, what)
            return
    for form in _GIVEN:
        if any(_is_literal(match["value"]) for match in form.finditer(text)):
            yield Found(path, "a secret that is given to a command")
            return


def _is_literal(value: str) -> bool:
    """Whether it is a value, and not the name of a file or of a variable that holds it."""
    bare = value.strip("\"'")
    return bare.lower() not in _PLAIN and "$" not in bare and not bare.startswith(("/", "`"))
