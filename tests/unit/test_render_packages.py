"""Packages and repositories in a Containerfile."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.dialects import DIALECTS
from atomicstate.recipe.pins import Pin
from atomicstate.recipe.schema import PackagesBody
from tests.support.containerfiles import BASE, BASE_ID, layers, only, rendered, step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEYS = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_comes_and_what_goes_is_one_transaction(dialect: str) -> None:
    run = only("packages", "{install: [jq, g++], remove: [nano]}", dialect)
    assert run.arguments == ("jq", "g++", "nano-")
    assert re.findall(r"^apt .*", run.script, re.M) == ["apt update", 'apt install -- "$@"']


def test_upgrade_comes_before_the_transaction() -> None:
    run = only("packages", "{install: [jq], upgrade: true, update: true}")
    assert re.findall(r"^apt .*", run.script, re.M) == [
        "apt update",
        "apt dist-upgrade",
        'apt install -- "$@"',
    ]


def test_upgrade_alone() -> None:
    run = only("packages", "{upgrade: true}")
    assert run.arguments == ()
    assert re.findall(r"^apt .*", run.script, re.M) == ["apt update", "apt dist-upgrade"]


def test_lists_that_are_fetched_alone_are_no_layer() -> None:
    document = "modules: [{type: packages, body: {update: true}}]"
    assert rendered(document) == rendered("modules: []")


def test_options_of_apt_come_before_the_names() -> None:
    run = only("packages", "{install: [jq], options: {'Acquire::Retries': '9', 'A::B': \"c 'd\"}}")
    assert run.arguments == ("Acquire::Retries=9", "A::B=c 'd", "--", "jq")
    assert 'options+=(-o "$1")' in run.script


def test_what_only_the_removed_needed_goes_too() -> None:
    plain = only("packages", "{remove: [jq]}").script
    assert "autoremove -s" in only("packages", "{remove: [jq], depends: true}").script
    assert (
        "APT::Remove-Depends=true"
        in only("packages", "{remove: [jq], depends: true}", "rpm").script
    )
    assert "autoremove" not in plain
    assert "autoremove" not in only("packages", "{install: [jq], depends: true}").script


def test_what_is_fetched_lies_in_one_cache_with_a_folder_for_each_kind_of_base() -> None:
    for dialect, name in (("deb", "deb"), ("rpm", "rpm"), ("apm", "rpm")):
        run = only("packages", "{install: [jq]}", dialect)
        seen = "/run/atomicstate-archives"
        assert run.flags == (
            f"--mount=type=cache,id=atomicstate-archives,target={seen},sharing=locked",
        )
        assert f"\narchives={seen} at={seen}/{name}-{BASE_ID[:32]}\n" in run.script


_VERSIONS = {"jq": "1:1.6-2.1+deb12u1~x", "nano": "7", "other": "1"}


def test_a_version_that_is_pinned_is_named() -> None:
    document = "modules: [{type: packages, body: {install: [jq, tree], remove: [nano]}}]"
    pins = {name: {name: Pin(version, automatic=False)} for name, version in _VERSIONS.items()}
    [run] = layers(rendered(document, pins=pins).content)
    assert run.arguments == ("--", "jq=1:1.6-2.1+deb12u1~x", "tree", "nano-")
    assert "APT::Get::Allow-Downgrades=true" in run.script
    assert "apt-mark" not in run.script
    assert rendered(document, pins={"other": pins["other"]}) == rendered(document)


def test_what_comes_along_with_a_pinned_package_is_pinned_and_stays_automatic() -> None:
    document = "modules: [{type: packages, body: {install: [jq, tree]}}]"
    along = {
        "libjq1": Pin("1.6", automatic=True),
        "libc6": Pin("2.36", automatic=False),
        "tree": Pin("2", automatic=True),
    }
    pins = {"jq": {"jq": Pin("1.6", automatic=False), **along}}
    [run] = layers(rendered(document, pins=pins).content)
    assert run.arguments == ("libjq1=1.6", "--", "jq=1.6", "tree=2", "libc6=2.36")
    assert run.script.index("apt install") < run.script.index("apt-mark ")


def test_what_comes_along_is_pinned_though_the_package_itself_is_not() -> None:
    document = "modules: [{type: packages, body: {install: [jq]}}]"
    pins = {"jq": {"libjq1": Pin("1.6", automatic=True)}}
    [run] = layers(rendered(document, pins=pins).content)
    assert run.arguments == ("libjq1=1.6", "--", "jq")
    assert run.script.index("along=()") < run.script.index("apt-mark ")


def test_a_version_that_is_none_is_refused() -> None:
    document = "modules: [{type: packages, body: {install: [jq]}}]"
    for version in ("", "1 2", "-1", "1;x", "1\n"):
        with pytest.raises(ValidationError, match="is no version of jq"):
            rendered(document, pins={"jq": {"jq": Pin(version, automatic=False)}})


@pytest.mark.parametrize(
    ("name", "dialects"), [("NetworkManager", ("rpm", "apm")), ("jq", DIALECTS)]
)
def test_a_name_has_the_form_that_the_dialect_knows(name: str, dialects: tuple[str, ...]) -> None:
    for dialect in DIALECTS:
        made = (render, [step("packages", PackagesBody((name,)))], BASE_ID, BASE, dialect, {})
        if dialect in dialects:
            made[0](*made[1:])
        else:
            with pytest.raises(ValidationError, match="is no package name"):
                made[0](*made[1:])


@pytest.mark.parametrize("name", ["", "-y", "a b", "jq;id", "jq\n", "$(id)", "jq=1", "jq-", "a*"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_name_that_is_none_is_refused(name: str, dialect: str) -> None:
    for body in (PackagesBody((name,)), PackagesBody((), (name,))):
        with pytest.raises(ValidationError, match="is no package name"):
            render([step("packages", body)], BASE_ID, BASE, dialect, {})


# -- repositories -------------------------------------------------------------------------------


def test_lines_of_debian_go_into_a_file_of_their_own() -> None:
    lines = ("deb [trusted=yes] http://a.example/x ./", "deb-src http://b.example c d")
    run = only("repos", f"{{custom: ['{lines[0]}', '{lines[1]} ']}}")
    assert run.arguments == lines
    assert "/etc/apt/sources.list.d/atomicstate.list" in run.script
    assert run.script.endswith('apt update\n[ -z "$mine" ] || rm -f "$policy"\n')


def test_lists_are_not_asked_for_where_they_are_not_to_be() -> None:
    run = only("repos", "{custom: [deb http://a.example b c], no-update: true}")
    assert run.flags == ()
    assert "apt update" not in run.script


@pytest.mark.parametrize("dialect", DIALECTS)
def test_repositories_are_forgotten(dialect: str) -> None:
    assert "rm -rf /etc/apt/sources.list" in only("repos", "{clean: true}", dialect).script
    assert "cdrom:" in only("repos", "{clean-temporary: true}", dialect).script


def test_a_suite_of_debian_comes_with_its_updates() -> None:
    for body in ("{branch: trixie}", "{branch: trixie, date: latest}"):
        run = only("repos", body)
        assert run.arguments == (
            f"deb [{KEYS}] _debian_ trixie main",
            f"deb [{KEYS}] _debian_ trixie-updates main",
            f"deb [{KEYS}] _security_ trixie-security main",
        )
        assert ".disabled" in run.script
        assert "is not Debian" in run.script


def added(tmp_path: Path, sources: Mapping[str, str], body: str, env: str = "{}") -> list[str]:
    """The lines that the script of a repos module writes, on a base with these sources."""
    etc = tmp_path / "etc"
    (etc / "apt/sources.list.d").mkdir(parents=True)
    (etc / "os-release").write_text("ID=debian\n")
    for name, text in sources.items():
        (etc / "apt" / name).write_text(text)
    run = only("repos", body[:-1] + ", no-update: true}", env=env)
    subprocess.run(
        ["/bin/bash", "-c", run.script.replace("/etc/", f"{etc}/"), "repos", *run.arguments],
        env={"PATH": "/usr/bin:/bin", **run.env},
        check=True,
        timeout=60,
    )
    return (etc / "apt/sources.list.d/atomicstate.list").read_text().splitlines()


ONE_LINE = """\
deb [signed-by=/x arch=amd64] http://a.example/pub/debian bookworm main
deb http://b.example/debian-security bookworm-security main
"""
STANZA = """\
Types: deb
URIs: https://a.example/debian/
Suites: bookworm
"""


@pytest.mark.parametrize(
    ("sources", "urls"),
    [
        (
            {"sources.list": ONE_LINE},
            ["http://a.example/pub/debian"] * 2 + ["http://b.example/debian-security"],
        ),
        ({"sources.list.d/debian.sources": STANZA}, ["https://a.example/debian"] * 2),
    ],
)
def test_a_suite_comes_from_the_archive_that_the_base_has(
    tmp_path: Path, sources: dict[str, str], urls: list[str]
) -> None:
    lines = added(tmp_path, sources, "{branch: trixie}")
    assert [line.split()[-3] for line in lines] == urls


def test_the_archive_is_known_before_it_is_cleaned_away(tmp_path: Path) -> None:
    lines = added(tmp_path, {"sources.list": ONE_LINE}, "{branch: trixie, clean: true}")
    assert lines[0] == f"deb [{KEYS}] http://a.example/pub/debian trixie main"


def test_a_variable_names_another_archive(tmp_path: Path) -> None:
    env = "{DEBIAN_ARCHIVE: 'http://c.example/x'}"
    lines = added(tmp_path, {"sources.list": ONE_LINE}, "{branch: trixie}", env)
    assert lines[0] == f"deb [{KEYS}] http://c.example/x/debian trixie main"
    assert lines[2].split()[-3] == "http://c.example/x/debian-security"


@pytest.mark.parametrize("date", ["20260701", "2026/07/01"])
def test_a_suite_of_debian_on_a_day(date: str) -> None:
    archive = "http://a.example/archive"
    options = f"check-valid-until=no {KEYS}"
    env = f"{{DEBIAN_SNAPSHOT: '{archive}/'}}"
    assert only("repos", f"{{branch: bookworm, date: {date}}}", env=env).arguments == (
        f"deb [{options}] {archive}/debian/20260701T000000Z bookworm main",
        f"deb [{options}] {archive}/debian/20260701T000000Z bookworm-updates main",
        f"deb [{options}] {archive}/debian-security/20260701T000000Z bookworm-security main",
    )


@pytest.mark.parametrize("env", ["{}", "{DEBIAN_SNAPSHOT: 'a b'}"])
def test_a_day_of_debian_needs_an_archive_that_keeps_it(env: str) -> None:
    with pytest.raises(ValidationError, match=r"body.date: .*nothing says where") as caught:
        only("repos", "{branch: bookworm, date: '20260701'}", env=env)
    assert "set DEBIAN_SNAPSHOT in `env`" in caught.value.hint


def test_unstable_has_no_updates_of_its_own() -> None:
    assert only("repos", "{branch: sid}").arguments == (f"deb [{KEYS}] _debian_ sid main",)


@pytest.mark.parametrize(
    ("body", "key"),
    [("{tasks: ['1234']}", "tasks"), ("{custom: [rpm http://a.example x86_64 classic]}", "custom")],
)
def test_what_is_alts_is_refused_on_debian(body: str, key: str) -> None:
    with pytest.raises(ValidationError, match=rf"modules\[0\].*repos: body.{key}") as caught:
        only("repos", body)
    assert "leave it out here with an `if`" in caught.value.hint


def test_a_branch_of_alt() -> None:
    run = only("repos", "{branch: sisyphus}", "rpm")
    place = "_scheme_://ftp.altlinux.org/pub/distributions/ALTLinux/Sisyphus"
    assert run.arguments == (
        "sisyphus",
        f"rpm [alt] {place} _arch_ classic",
        f"rpm [alt] {place} noarch classic",
        f"rpm [alt] {place} x86_64-i586 classic",
    )
    assert "_priority_distbranch" in run.script


@pytest.mark.parametrize("date", ["20260701", "2026/07/01"])
def test_a_branch_of_alt_on_a_day(date: str) -> None:
    run = only("repos", f"{{branch: p11, date: {date}}}", "apm")
    place = "_scheme_://ftp.altlinux.org/pub/distributions/archive/p11/date/2026/07/01"
    assert run.arguments[0] == f"rpm [p11] {place} _arch_ classic"
    assert 'echo "%_priority_distbranch' not in run.script


def test_tasks_and_lines_of_alt() -> None:
    body = "{tasks: ['42'], custom: ['rpm http://a.example _arch_ classic', 'file:///r']}"
    assert only("repos", body, "rpm").arguments == (
        "rpm http://a.example _arch_ classic",
        "rpm file:///r _arch_ classic",
        "rpm file:///r noarch classic",
        "rpm _scheme_://git.altlinux.org/repo/42/ _arch_ task",
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{branch: bookworm}", "ALT has no branch 'bookworm'"),
        ("{branch: c10f2, date: '20260701'}", "of the branch c10f2 no old days are kept"),
        ("{custom: [deb http://a.example b c]}", "is no line of a repository"),
    ],
)
def test_what_alt_does_not_have_is_refused(body: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        only("repos", body, "rpm")
    assert caught.value.hint


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bash_takes_every_script_as_it_is_meant(dialect: str) -> None:
    for type_, body in (
        (
            "packages",
            "{install: [a1], remove: [b1], depends: true, upgrade: true, options: {a: b}}",
        ),
        ("repos", "{clean: true, branch: p11, custom: []}"),
        ("repos", "{clean-temporary: true, branch: sisyphus, no-update: true}"),
        (
            "git",
            "{url: 'https://a.example', command: make, build-deps: [gcc], deps: [b1], quiet: true}",
        ),
    ):
        script = only(type_, body, dialect).script
        ran = subprocess.run(
            ["/bin/bash", "-n", "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
