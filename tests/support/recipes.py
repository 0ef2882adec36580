"""Recipes: strategies of every type of module, valid ones, and what a renderer gets of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from atomicstate.recipe import schema
from atomicstate.recipe.schema import BODIES, Module, PackagesBody, Recipe

if TYPE_CHECKING:
    from atomicstate.recipe.schema import Body

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9][a-z0-9-]*)?", re.ASCII)
_PIECES = (
    *("\\\n", "\n", "#", "$(id)", "${A}", "`", "'", '"', ";", " ", "--", "jq", "\r", "%", "&&"),
    *("null", "yes", "~", "1e5", "- a", "a: b", "<<", "!!x", "\t", "\x85", "\u2028", "\ufeff"),
)


def _form(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)


def _texts(max_size: int = 20) -> st.SearchStrategy[str]:
    """Text of all kinds, without what would be an expression or no argument of a command."""
    some = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    pieces = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join)
    return st.one_of(st.text(some, max_size=max_size), pieces).filter(
        lambda text: "${{" not in text
    )


def _some(one: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one, max_size=3).map(tuple)


def _many(one: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one, min_size=1, max_size=3).map(tuple)


hostile = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(_PIECES), max_size=6).map("".join),
    _form(r"[a-z0-9+.:-]{1,12}"),
)
"""What nobody should be able to get anywhere with."""

names = _form(PACKAGE.pattern)
texts = _texts()
_commands = texts.filter(bool)
_words = _form(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,8}")
_maybe_word = st.just("") | _words
_variables = _form(r"[A-Za-z_][A-Za-z0-9_]{0,8}")
_lines = texts.filter(lambda text: not re.search(r"[\x00-\x1f\x7f]", text))
_parts = st.one_of(_words, _lines.map(lambda text: text.replace("/", "").strip("."))).filter(bool)
relative = st.lists(_parts, min_size=1, max_size=3).map("/".join)
paths = relative.map("/{}".format)
_modes = _form(r"[r-][w-][xsS-][r-][w-][xsS-][r-][w-][xtT-]")
_flags = st.booleans()
_env = st.dictionaries(_variables, texts, max_size=3)
_conditions = st.sampled_from(["", 'Arch == "x86_64"', "Version.Major > 0 and not false"])
_urls = _form(r"https?://[a-z.]{1,9}/[a-z0-9/.-]{0,9}")
_units = _form(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,12}")
_host_names = _form(r"[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?(\.[a-z]{1,9})?")


@st.composite
def _packages(draw: st.DrawFn) -> PackagesBody:
    install = draw(_some(names))
    remove = draw(_some(names.filter(lambda name: name not in install)))
    options = draw(st.dictionaries(_form(r"[A-Za-z0-9][A-Za-z0-9:/._-]{0,9}"), texts, max_size=2))
    return PackagesBody(install, remove, draw(_flags), draw(_flags), draw(_flags), options)


@st.composite
def _repos(draw: st.DrawFn) -> schema.ReposBody:
    branch, clean = draw(_maybe_word), draw(_flags)
    date = draw(st.sampled_from(["", "20260102", "2026/01/02", "latest"])) if branch else ""
    return schema.ReposBody(
        clean,
        draw(_some(_lines.filter(str.strip))),
        branch,
        date,
        draw(_some(_form(r"[0-9]{1,10}"))),
        no_update=draw(_flags),
        clean_temporary=not clean and draw(_flags),
    )


@st.composite
def _branding(draw: st.DrawFn) -> schema.BrandingBody:
    name = draw(_maybe_word)
    overrides = draw(st.dictionaries(_variables, _lines, max_size=2))
    return schema.BrandingBody(name, draw(_some(_words)) if name else (), overrides, draw(texts))


_kernels = st.builds(
    schema.KernelBody,
    st.builds(schema.KernelInfo, _maybe_word, _some(_words), _flags, _flags),
    st.builds(
        schema.Initrd,
        st.sampled_from(["", "auto", "none", "dracut", "make-initrd"]),
        _maybe_word,
    ),
)
_systemd = st.builds(
    lambda targets, state, everyone: schema.SystemdBody(
        targets, state == "enabled", state == "masked", everyone
    ),
    _many(_units),
    st.sampled_from(["", "enabled", "masked"]),
    _flags,
)

OF_TYPE: dict[str, st.SearchStrategy[Body]] = {
    "branding": _branding(),
    "copy": st.builds(schema.CopyBody, relative, st.just("/") | paths, _flags),
    "git": st.builds(
        schema.GitBody, _urls, _commands, _some(names), _some(names), _maybe_word, _flags
    ),
    "include": st.builds(
        schema.IncludeBody, _many(st.one_of(relative, paths.map("/usr{}".format), _urls))
    ),
    "kernel": _kernels,
    "link": st.builds(schema.LinkBody, paths, _lines.filter(bool), _flags),
    "merge": st.builds(schema.MergeBody, relative | paths, paths, st.just("") | _modes, _flags),
    "mkdir": st.builds(schema.MkdirBody, _many(paths), _modes),
    "move": st.builds(schema.MoveBody, paths, paths, _flags, _flags),
    "network": st.builds(schema.NetworkBody, _host_names),
    "packages": _packages(),
    "remove": st.builds(schema.RemoveBody, _many(paths), _flags),
    "replace": st.builds(schema.ReplaceBody, paths, _commands, _commands),
    "repos": _repos(),
    "shell": st.builds(schema.ShellBody, _commands, _flags),
    "systemd": _systemd,
}
"""Bodies of each type that break no rule."""


@st.composite
def modules(draw: st.DrawFn, *kinds: str) -> Module:
    """Modules of these types, or of any, with all that stands beside a body."""
    kind = draw(st.sampled_from(kinds or tuple(BODIES)))
    output = draw(st.dictionaries(_form(r"[A-Za-z][A-Za-z0-9_]{0,6}"), texts, max_size=2))
    ids = st.just("") | _form(r"[A-Za-z][A-Za-z0-9_]{0,6}")
    return Module(
        kind, draw(OF_TYPE[kind]), draw(texts), draw(ids), draw(_env), draw(_conditions), output
    )


recipes = st.builds(
    Recipe,
    st.sampled_from(["", "localhost/a:1", "debian", "r.io/a@sha256:" + "0" * 64]),
    st.lists(modules(), max_size=4, unique_by=lambda module: module.id or object()).map(tuple),
    _env,
)
"""Documents that break no rule, of every type of module."""
