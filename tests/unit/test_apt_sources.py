"""The machine's apt sources, and which of them a sandbox is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError, ValidationError
from atomicstate.host.sandbox.base import transport_settings
from atomicstate.host.sandbox.sources import (
    Source,
    check_suite,
    for_suite,
    parse_list,
    parse_stanzas,
    read_sources,
)

if TYPE_CHECKING:
    from pathlib import Path

MIRROR = "http://mirror.example.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def debian(*suites: str, uri: str = MIRROR) -> Source:
    return Source((uri,), suites, ("main",))


def test_a_one_line_entry_is_read_with_its_options() -> None:
    text = f"deb [arch=amd64,arm64 signed-by={KEYRING} x=y] {MIRROR} bookworm main contrib # why\n"
    assert list(parse_list(text)) == [
        Source(
            (MIRROR,),
            ("bookworm",),
            ("main", "contrib"),
            {"Architectures": "amd64 arm64", "Signed-By": KEYRING},
        )
    ]


@pytest.mark.parametrize("line", ["", "# deb http://x debian main", "deb-src http://x y z", "deb"])
def test_what_is_no_entry_for_binary_packages_is_passed_over(line: str) -> None:
    assert list(parse_list(line)) == []


def test_stanzas_are_read_with_folded_values() -> None:
    text = (
        f"Types: deb deb-src\n# a comment\nURIs: {MIRROR}\nSuites: bookworm bookworm-updates\n"
        "Components: main\nSigned-By:\n -----BEGIN\n .\n abc\n\n\nTypes: deb-src\nURIs: x\n"
    )
    assert list(parse_stanzas(text)) == [
        Source(
            (MIRROR,),
            ("bookworm", "bookworm-updates"),
            ("main",),
            {"Signed-By": "\n -----BEGIN\n .\n abc"},
        )
    ]


def test_a_disabled_stanza_is_passed_over() -> None:
    text = f"Enabled: no\nTypes: deb\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\n"
    assert list(parse_stanzas(text)) == []


def test_what_is_rendered_is_read_back() -> None:
    source = Source((MIRROR, "http://b"), ("a", "b"), ("main",), {"Signed-By": KEYRING})
    assert list(parse_stanzas(source.render())) == [source]


def test_both_kinds_of_files_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (tmp_path / "sources.list").write_text(f"deb {MIRROR} one main\n")
    (folder / "a.sources").write_text(debian("two").render())
    (folder / "b.list").write_text(f"deb {MIRROR} three main\n")
    (folder / "c.list.disabled").write_text(f"deb {MIRROR} four main\n")
    assert [source.suites for source in read_sources(tmp_path)] == [("one",), ("two",), ("three",)]


def test_a_suite_brings_its_updates_and_no_other_suite() -> None:
    sources = [
        debian("bookworm", "bookworm-updates", "trixie", "bookworm-fasttrack"),
        debian("bookworm-security"),
        debian("sid"),
    ]
    assert [source.suites for source in for_suite(sources, "bookworm")] == [
        ("bookworm", "bookworm-updates"),
        ("bookworm-security",),
    ]


@pytest.mark.parametrize(
    "stranger",
    [
        Source(("https://download.example.com/linux/debian",), ("bookworm",), ("stable",)),
        Source(("https://apt.example.com",), ("bookworm",), ("main",)),
        Source((MIRROR,), ("bookworm",), ("main",), {"Signed-By": "/etc/apt/keyrings/other.gpg"}),
        Source(("https://example.com/debian",), ("nodistro",), ("main",)),
        Source(("cdrom:[Debian 12]/",), ("bookworm",), ("main",)),
        Source((MIRROR,), ("./",), ()),
    ],
)
def test_a_third_partys_source_stays_behind(stranger: Source) -> None:
    assert for_suite([stranger, debian("bookworm")], "bookworm") == [debian("bookworm")]
    with pytest.raises(NotFoundError, match="no Debian mirror"):
        for_suite([stranger], "bookworm")


def test_a_mirror_of_another_suite_serves_the_one_asked_for() -> None:
    sources = [debian("bookworm", "bookworm-updates"), debian("bookworm-security")]
    assert [source.suites for source in for_suite(sources, "trixie")] == [
        ("trixie", "trixie-updates"),
        ("trixie-security",),
    ]


def test_a_rolling_suite_has_no_updates() -> None:
    sources = [debian("bookworm", "bookworm-updates"), debian("bookworm-security")]
    assert for_suite(sources, "sid") == [debian("sid")]


@pytest.mark.parametrize("name", ["", "-x", "Bookworm", "a b", "a\nb", "a/../b", "x" * 60])
def test_what_is_no_suite_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="not the name of a Debian suite"):
        check_suite(name)


def test_how_archives_are_fetched_comes_along() -> None:
    dump = (
        'APT "";\nAcquire "";\nAcquire::Check-Valid-Until "false";\nAcquire::Languages "";\n'
        'Acquire::Languages:: "none";\nAcquire::http::Proxy "http://proxy:3128/";\n'
        'Acquire::http::Proxy::mirror.example.org "DIRECT";\n'
        'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
    )
    assert transport_settings(dump) == "".join(
        f"{line}\n" for line in dump.splitlines() if line not in {'APT "";', 'Acquire "";'}
    )


def test_what_names_programs_and_files_of_the_machine_stays_behind() -> None:
    dump = (
        'Dir::Cache::pkgcache "";\nDPkg::Post-Invoke:: "rm -f /x";\n'
        'Acquire::http::Proxy-Auto-Detect "/usr/bin/detect";\n'
        'Acquire::https::CaInfo "/etc/ca.pem";\nAcquire::https::SslKey "/etc/key.pem";\n'
        'Acquire::AllowInsecureRepositories "true";\nAcquire::GzipIndexes "true";\n'
    )
    assert transport_settings(dump) == ""
