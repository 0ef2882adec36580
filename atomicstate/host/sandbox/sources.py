"""The machine's apt sources: those of Debian, for the suite that a sandbox is made of.

Third-party sources stay behind: the base tree is Debian alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from atomicstate.errors import NotFoundError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})
_POCKETS = ("", "-updates", "-security", "/updates", "-backports", "-proposed-updates")
_DEBIAN_SUITES = frozenset(
    {"buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"}
    | {"oldstable", "stable", "testing", "unstable"}
)
_ROLLING = frozenset({"sid", "unstable", "experimental"})
_SUITE = re.compile(r"[a-z][a-z0-9.-]{0,40}")
# Options of a one-line entry, by the name that they have in a stanza.
_OPTIONS = {
    "arch": "Architectures",
    "signed-by": "Signed-By",
    "trusted": "Trusted",
    "check-valid-until": "Check-Valid-Until",
    "check-date": "Check-Date",
    "by-hash": "By-Hash",
    "pdiffs": "PDiffs",
    "lang": "Languages",
    "snapshot": "Snapshot",
}
_KEPT = frozenset({*_OPTIONS.values(), "Valid-Until-Min", "Valid-Until-Max", "Date-Max-Future"})


class Source(Struct, frozen=True):
    """One entry: `options` are the further fields of its stanza, by name."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: dict[str, str] = {}

    @property
    def signed_by(self) -> str:
        """The key: a path, a fingerprint, or a whole key."""
        return self.options.get("Signed-By", "")

    def render(self) -> str:
        """It, as a stanza of a .sources file."""
        fields = {
            "Types": "deb",
            "URIs": " ".join(self.uris),
            "Suites": " ".join(self.suites),
            "Components": " ".join(self.components),
            **dict(sorted(self.options.items())),
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items())


def check_suite(suite: str) -> str:
    """`suite`, if it has the form of one. Raises ValidationError."""
    if not _SUITE.fullmatch(suite):
        raise ValidationError(f"{suite[:60]!r} is not the name of a Debian suite")
    return suite


def parse_list(text: str) -> Iterator[Source]:
    """The entries for binary packages of a one-line .list file."""
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        match = re.match(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<rest>.+)", line)
        if match is None:
            continue
        uri, *rest = match["rest"].split()
        if not rest:
            continue
        pairs = (word.partition("=") for word in (match["options"] or "").split())
        options = {
            _OPTIONS[key.rstrip("+-").lower()]: value.replace(",", " ")
            for key, _, value in pairs
            if key.rstrip("+-").lower() in _OPTIONS
        }
        yield Source((uri,), (rest[0],), tuple(rest[1:]), options)


def parse_stanzas(text: str) -> Iterator[Source]:
    """The enabled entries for binary packages of a .sources file."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in {"no", "false", "0", "off", "without"}:
            continue
        options = {name: fields[name.lower()] for name in _KEPT if name.lower() in fields}
        yield Source(
            tuple(fields.get("uris", "").split()),
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            options,
        )


def _fields(stanza: str) -> dict[str, str]:
    """A stanza's fields, by lower-case name; a folded value keeps its lines."""
    found: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in {" ", "\t"} and name:
            found[name] += f"\n{line}"
        elif ":" in line:
            key, _, value = line.partition(":")
            name = key.strip().lower()
            found[name] = value.strip()
    return found


def read_sources(apt: Path) -> list[Source]:
    """All entries below the folder `apt` (/etc/apt), in apt's order."""
    folder = apt / "sources.list.d"
    files = [apt / "sources.list", *(sorted(folder.iterdir()) if folder.is_dir() else [])]
    found: list[Source] = []
    for path in files:
        if path.suffix in {".list", ".sources"} and path.is_file():
            parse = parse_stanzas if path.suffix == ".sources" else parse_list
            found.extend(parse(path.read_text("utf-8", "replace")))
    return found


def for_suite(sources: Iterable[Source], suite: str) -> list[Source]:
    """Debian's entries for `suite` with its updates and security.

    Where the machine has only those of another suite, the same mirrors serve, asked for this
    one. Raises NotFoundError where no entry is Debian's.
    """
    check_suite(suite)
    debian = [source for source in sources if _is_debian(source)]
    chosen = _selected(debian, suite)
    if not chosen:
        present = [name for source in debian for name in source.suites]
        own = next((name for name in present if name in _DEBIAN_SUITES), None)
        chosen = [] if own is None else _renamed(_selected(debian, own), own, suite)
    if not chosen:
        raise NotFoundError(
            f"the apt sources of this machine name no Debian mirror to make {suite} from",
            hint="a sandbox takes its mirror from /etc/apt/sources.list and sources.list.d",
        )
    return chosen


def _selected(sources: list[Source], suite: str) -> list[Source]:
    """The entries for the pockets of `suite`; none unless the suite itself is among them."""
    wanted = {suite + pocket for pocket in _POCKETS}
    chosen = []
    for source in sources:
        suites = tuple(name for name in source.suites if name in wanted)
        if suites:
            chosen.append(Source(source.uris, suites, source.components, source.options))
    return chosen if any(suite in one.suites for one in chosen) else []


def _renamed(chosen: list[Source], own: str, suite: str) -> list[Source]:
    """The entries for `own`, for another suite of the same mirrors."""
    pairs = [(one, tuple(name.replace(own, suite, 1) for name in one.suites)) for one in chosen]
    if suite in _ROLLING:  # has neither updates nor security
        pairs = [(one, (suite,)) for one, names in pairs if suite in names]
    return [Source(one.uris, names, one.components, one.options) for one, names in pairs]


def _is_debian(source: Source) -> bool:
    """Whether an entry is Debian's own archive, or a mirror of it, as far as it tells."""
    if not source.components or not _COMPONENTS.issuperset(source.components):
        return False
    if any(uri.startswith(("cdrom:", "file:", "copy:")) for uri in source.uris):
        return False  # not to be had from inside the tree
    if source.signed_by:
        return "debian-archive" in source.signed_by
    return any("debian" in uri for uri in source.uris)
