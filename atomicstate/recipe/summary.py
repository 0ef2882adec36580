"""What a module does, in a line: for the log, lists and questions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from atomicstate.recipe import schema
from atomicstate.recipe.secrets import secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from atomicstate.recipe.schema import Module

MAX_LINE = 200
"""The most characters of a line."""

_MAX_TEXT = 70
_FEW = 4
_USER = re.compile(r"(?<=://)[^/@\s]*@")


def summary(module: Module) -> str:
    """What `module` does: one line of printable text, shortened where it is long.

    The log keeps it for ever, and a blob can be dropped: what looks like a secret is not in it.
    """
    if any(secrets_in(module)):
        return f"{module.type}, with what looks like a secret"
    describe: Callable[[Any], str] = _OF_TYPE[module.type]
    text = describe(module.body) or f"{module.type}, which does nothing"
    if module.when:
        text += f", if {_text(module.when)}"
    if module.name:
        text += f" ({_text(module.name)})"
    return one_line(text, MAX_LINE)


def one_line(text: str, limit: int = _MAX_TEXT) -> str:
    """`text` on one line, of at most `limit` characters, without what can't be printed."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _text(text: str) -> str:
    return one_line(text)


def _few(words: Sequence[str]) -> str:
    shown = [_text(word) for word in words[:_FEW]]
    return " ".join(shown) + (f" and {len(words) - _FEW} more" if len(words) > _FEW else "")


def _url(text: str) -> str:
    """An address without who logs in there."""
    return _text(_USER.sub("", text))


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(part for part in parts if part)


def _packages(body: schema.PackagesBody) -> str:
    return _listed(
        (
            "update the package lists" if body.update else "",
            "upgrade all packages" if body.upgrade else "",
            f"install {_few(body.install)}" if body.install else "",
            f"remove {_few(body.remove)}" if body.remove else "",
        )
    )


def _repos(body: schema.ReposBody) -> str:
    of_day = f" of {_text(body.date)}" if body.date else ""
    return _listed(
        (
            "forget all repositories" if body.clean else "",
            "forget the repositories of tasks" if body.clean_temporary else "",
            f"repositories of the branch {_text(body.branch)}{of_day}" if body.branch else "",
            *(f"repository {_url(line)}" for line in body.custom[:_FEW]),
            f"{len(body.custom) - _FEW} repositories more" if len(body.custom) > _FEW else "",
            f"packages of the tasks {_few(body.tasks)}" if body.tasks else "",
        )
    )


def _kernel(body: schema.KernelBody) -> str:
    info, initrd = body.kernel_info, body.initrd
    return _listed(
        (
            f"kernel {_text(info.flavour)}" if info.flavour else "",
            f"kernel modules {_few(info.modules)}" if info.modules else "",
            "kernel headers" if info.include_headers else "",
            f"initial RAM disk by {initrd.method}" if initrd.method else "",
            f"boot theme {_text(initrd.plymouth_theme)}" if initrd.plymouth_theme else "",
        )
    )


def _branding(body: schema.BrandingBody) -> str:
    fields = list(body.release_overrides)
    return _listed(
        (
            f"branding {_text(body.name)}" if body.name else "",
            f"os-release with {_few(fields)}" if fields else "",
            f"build of the kind {_text(body.build_type)}" if body.build_type else "",
        )
    )


def _systemd(body: schema.SystemdBody) -> str:
    verb = "enable" if body.enabled else "mask" if body.masked else "disable"
    return f"{verb} {_few(body.targets)}" + (" for every user" if body.global_ else "")


def _git(body: schema.GitBody) -> str:
    return f"run {_text(body.command)} in {_url(body.url)}"


def _to(verb: str) -> Callable[[Any], str]:
    return lambda body: f"{verb} {_text(body.source)} to {_text(body.destination)}"


_OF_TYPE: dict[str, Callable[[Any], str]] = {
    "branding": _branding,
    "copy": _to("copy"),
    "git": _git,
    "include": lambda body: f"include {_few([_url(target) for target in body.targets])}",
    "kernel": _kernel,
    "link": lambda body: f"link {_text(body.target)} to {_text(body.to)}",
    "merge": _to("add"),
    "mkdir": lambda body: f"make the folder {_few(body.targets)}",
    "move": _to("move"),
    "network": lambda body: f"host name {_text(body.hostname)}",
    "packages": _packages,
    "remove": lambda body: ("empty " if body.inside else "remove ") + _few(body.targets),
    "replace": lambda body: f"replace {_text(body.pattern)} in {_text(body.target)}",
    "repos": _repos,
    "shell": lambda body: f"run {_text(body.command)}",
    "systemd": _systemd,
}
