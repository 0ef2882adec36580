"""What the modules of files do: their scripts run here, on paths of a test's own."""

from __future__ import annotations

import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.containerfile import render
from atomicstate.recipe.schema import (
    CopyBody,
    LinkBody,
    MergeBody,
    MkdirBody,
    MoveBody,
    RemoveBody,
    ReplaceBody,
)
from tests.support.containerfiles import BASE, BASE_ID, Instruction, layers, manifest_of, step

if TYPE_CHECKING:
    from pathlib import Path

    from atomicstate.recipe.schema import Body


def instruction(type_: str, body: Body) -> Instruction:
    made = render([step(type_, body)], BASE_ID, BASE, "deb", {"a": manifest_of("a")})
    return layers(made.content)[0]


def run(type_: str, body: Body, source: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Do what a module of the type copy or merge does with `source`, any other by itself."""
    words = list(instruction(type_, body).words)
    if source:
        words[words.index("/run/atomicstate-source")] = str(source)
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=False, cwd="/")


def does(type_: str, body: Body, source: Path | None = None) -> None:
    ran = run(type_, body, source)
    assert (ran.returncode, ran.stderr) == (0, "")


def fails(type_: str, body: Body, source: Path | None = None) -> str:
    ran = run(type_, body, source)
    assert ran.returncode == 1
    return ran.stderr


def listed(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def write(path: Path, text: str, permissions: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(permissions)
    return path


# -- mkdir --------------------------------------------------------------------------------------


def test_folders_and_those_on_the_way_have_just_this_mode(tmp_path: Path) -> None:
    new = tmp_path / "a b/c'd"
    does("mkdir", MkdirBody((str(new), str(tmp_path / "-e")), "rwxrwx--T"))
    assert [mode(path) for path in (new, new.parent, tmp_path / "-e")] == [0o1770] * 3


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(0o700)
    does("mkdir", MkdirBody((str(tmp_path / "old"),), "rwxr-xr-x"))
    assert mode(tmp_path / "old") == 0o700


@pytest.mark.parametrize(
    ("text", "octal"),
    [
        ("rwxr-xr-x", "0755"),
        ("---------", "0000"),
        ("rwsr-xr-x", "4755"),
        ("rwSr-sr-t", "7655"),
        ("rwxrwxrwt", "1777"),
        ("rwxrwxrwT", "1776"),
    ],
)
def test_a_mode_is_what_ls_shows(text: str, octal: str) -> None:
    assert instruction("mkdir", MkdirBody(("/a",), text)).arguments[0] == octal


# -- remove -------------------------------------------------------------------------------------


def test_files_and_folders_go(tmp_path: Path) -> None:
    write(tmp_path / "folder/file", "x")
    write(tmp_path / "stays", "x")
    (tmp_path / "link").symlink_to(tmp_path / "stays")
    targets = (tmp_path / "folder", tmp_path / "link", tmp_path / "none")
    does("remove", RemoveBody(tuple(f"{target}/" for target in targets)))
    assert listed(tmp_path) == ["stays"]


def test_what_is_inside_goes(tmp_path: Path) -> None:
    write(tmp_path / "real/.hidden", "x")
    write(tmp_path / "real/sub/-f", "x")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    file = write(tmp_path / "file", "x", 0o600)
    targets = (str(tmp_path / "folder"), str(file), str(tmp_path / "none"))
    does("remove", RemoveBody(targets, inside=True))
    assert listed(tmp_path / "real") == []
    assert (file.read_text(), mode(file)) == ("", 0o600)


# -- link ---------------------------------------------------------------------------------------


def test_a_link_to_an_absolute_path_is_relative(tmp_path: Path) -> None:
    does("link", LinkBody(str(tmp_path / "new/sub/link"), str(tmp_path / "a/b")))
    assert (tmp_path / "new/sub/link").readlink().as_posix() == "../../a/b"


def test_a_link_is_relative_to_where_it_really_lies(tmp_path: Path) -> None:
    write(tmp_path / "usr/deep/bin/x", "")
    write(tmp_path / "target", "found")
    (tmp_path / "bin").symlink_to("usr/deep/bin")
    does("link", LinkBody(str(tmp_path / "bin/link"), str(tmp_path / "target")))
    assert (tmp_path / "usr/deep/bin/link").read_text() == "found"


def test_what_a_link_leads_to_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", "")
    (tmp_path / "alternative").symlink_to("real")
    does("link", LinkBody(str(tmp_path / "link"), str(tmp_path / "alternative")))
    assert (tmp_path / "link").readlink().name == "alternative"


@pytest.mark.parametrize("to", ["sub/x", "-rf", "../a b"])
def test_a_link_to_a_relative_path_is_as_it_stands(tmp_path: Path, to: str) -> None:
    does("link", LinkBody(str(tmp_path / "link"), to))
    assert (tmp_path / "link").readlink().as_posix() == to


def test_what_lies_in_the_place_of_a_link_stays_or_goes(tmp_path: Path) -> None:
    write(tmp_path / "place/file", "x")
    place = str(tmp_path / "place")
    assert "File exists" in fails("link", LinkBody(place, "to"))
    assert (tmp_path / "place/file").read_text() == "x"
    does("link", LinkBody(place, "to", replace=True))
    assert (tmp_path / "place").readlink().as_posix() == "to"


# -- move ---------------------------------------------------------------------------------------


def test_a_file_is_moved_with_its_mode_and_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "from", "x", 0o640)
    does("move", MoveBody(str(tmp_path / "from"), str(tmp_path / "new/sub/to")))
    assert not (tmp_path / "from").exists()
    moved = tmp_path / "new/sub/to"
    assert (moved.read_text(), mode(moved)) == ("x", 0o640)


def test_a_moved_folder_leaves_a_link(tmp_path: Path) -> None:
    write(tmp_path / "home/file", "x")
    does("move", MoveBody(str(tmp_path / "home"), str(tmp_path / "var/home"), create_link=True))
    assert (tmp_path / "home").readlink().as_posix() == "var/home"
    assert (tmp_path / "home/file").read_text() == "x"


def test_a_folder_is_moved_into_the_one_that_is_there(tmp_path: Path) -> None:
    write(tmp_path / "from/a", "new")
    write(tmp_path / "from/sub/b", "new")
    write(tmp_path / "to/a", "old")
    write(tmp_path / "to/sub/c", "old")
    (tmp_path / "to/sub").chmod(0o700)
    does("move", MoveBody(str(tmp_path / "from"), str(tmp_path / "to")))
    assert not (tmp_path / "from").exists()
    assert [(tmp_path / "to" / name).read_text() for name in ("a", "sub/b", "sub/c")] == [
        "new",
        "new",
        "old",
    ]
    assert mode(tmp_path / "to/sub") == 0o700


def test_what_was_moved_already_stays_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "var/home/file", "x")
    (tmp_path / "home").symlink_to("var/home")
    body = MoveBody(
        str(tmp_path / "home"), str(tmp_path / "var/home"), create_link=True, replace=True
    )
    does("move", body)
    assert (tmp_path / "home/file").read_text() == "x"


def test_a_file_takes_the_place_of_a_folder_only_if_it_is_told_so(tmp_path: Path) -> None:
    write(tmp_path / "from", "x")
    write(tmp_path / "to/file", "x")
    source, target = str(tmp_path / "from"), str(tmp_path / "to")
    assert "is a folder, which makes way with 'replace' alone" in fails(
        "move", MoveBody(source, target)
    )
    assert (tmp_path / "to/file").exists()
    does("move", MoveBody(source, target, replace=True))
    assert (tmp_path / "to").read_text() == "x"


def test_a_link_is_moved_as_one(tmp_path: Path) -> None:
    (tmp_path / "from").symlink_to("nowhere")
    does("move", MoveBody(str(tmp_path / "from"), str(tmp_path / "to")))
    assert (tmp_path / "to").readlink().as_posix() == "nowhere"


def test_what_is_not_there_is_not_moved(tmp_path: Path) -> None:
    assert "there is no" in fails("move", MoveBody(str(tmp_path / "none"), str(tmp_path / "to")))


@pytest.mark.parametrize("target", ["/a", "/a/", "/a/b", "//a/./b"])
def test_nothing_is_moved_into_itself(target: str) -> None:
    with pytest.raises(ValidationError, match="is in '/a' itself"):
        instruction("move", MoveBody("/a", target))


# -- copy ---------------------------------------------------------------------------------------


def test_a_file_is_copied_with_its_mode(tmp_path: Path) -> None:
    source = write(tmp_path / "source", "new", 0o750)
    write(tmp_path / "linked", "old")
    (tmp_path / "to").symlink_to("linked")
    for target in ("new/sub/to", "to"):
        does("copy", CopyBody("a", str(tmp_path / target)), source)
        copied = tmp_path / target
        assert (copied.is_symlink(), copied.read_text(), mode(copied)) == (False, "new", 0o750)
    assert (tmp_path / "linked").read_text() == "old"


def test_a_copied_file_takes_the_place_of_a_folder_only_if_it_is_told_so(tmp_path: Path) -> None:
    source, target = write(tmp_path / "source", "new"), write(tmp_path / "to/file", "x").parent
    assert "makes way with 'replace' alone" in fails("copy", CopyBody("a", str(target)), source)
    does("copy", CopyBody("a", str(target), replace=True), source)
    assert target.read_text() == "new"


def test_a_copied_folder_keeps_what_is_a_link_and_the_modes_of_what_is_there(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "to"
    write(source / "bin/tool", "new", 0o4755)
    write(source / "etc/a b\n-c", "new")
    write(source / "new/file", "new", 0o600)
    (source / "lib").symlink_to("usr/lib")
    (source / "etc").chmod(0o700)
    (source / "new").chmod(0o1777)
    write(target / "usr/bin/other", "old")
    (target / "bin").symlink_to("usr/bin")
    write(target / "etc/a b\n-c", "old", 0o600)
    (target / "etc").chmod(0o755)
    does("copy", CopyBody("a", str(target)), source)
    assert (target / "bin").is_symlink()
    assert (target / "lib").readlink().as_posix() == "usr/lib"
    assert listed(target / "usr/bin") == ["other", "tool"]
    assert mode(target / "usr/bin/tool") == 0o4755
    assert ((target / "etc/a b\n-c").read_text(), mode(target / "etc/a b\n-c")) == ("new", 0o644)
    assert (mode(target / "etc"), mode(target / "new")) == (0o755, 0o1777)
    assert mode(target / "new/file") == 0o600


def test_a_new_folder_has_the_mode_of_its_source(tmp_path: Path) -> None:
    write(tmp_path / "source/file", "x")
    (tmp_path / "source").chmod(0o750)
    does("copy", CopyBody("a", str(tmp_path / "new/sub")), tmp_path / "source")
    assert (mode(tmp_path / "new/sub"), mode(tmp_path / "new")) == (0o750, 0o755)


def test_within_a_copied_folder_too_a_folder_makes_way_only_if_it_is_told_so(
    tmp_path: Path,
) -> None:
    source = write(tmp_path / "source/sub/name", "new").parents[1]
    (source / "sub/link").symlink_to("x")
    write(tmp_path / "to/sub/name/file", "old")
    write(tmp_path / "to/sub/link/file", "old")
    write(tmp_path / "to/sub/stays/file", "old")
    target = tmp_path / "to"
    assert "makes way with 'replace' alone" in fails("copy", CopyBody("a", str(target)), source)
    does("copy", CopyBody("a", str(target), replace=True), source)
    assert (target / "sub/name").read_text() == "new"
    assert (target / "sub/link").readlink().as_posix() == "x"
    assert (target / "sub/stays/file").read_text() == "old"


def test_what_is_copied_is_roots() -> None:
    assert "--owner=0 --group=0" in instruction("copy", CopyBody("a", "/b")).script
    assert "--owner" not in instruction("move", MoveBody("/a", "/b")).script


def test_a_resource_is_mounted_by_what_it_holds() -> None:
    assert instruction("copy", CopyBody("a", "/b")).flags == (
        f"--mount=type=bind,source=resources/{manifest_of('a')[:32]},target=/run/atomicstate-source",
    )


def test_a_resource_that_is_not_to_be_had_is_an_error() -> None:
    for type_, body in (("copy", CopyBody("x/y", "/b")), ("merge", MergeBody("x/y", "/b"))):
        with pytest.raises(
            ValidationError, match=rf"modules\[0\].*{type_}: there is no resource 'x/y'"
        ):
            instruction(type_, body)


@pytest.mark.parametrize("path", ["/etc/hosts", "/etc//resolv.conf", "/etc/./hostname"])
def test_a_file_that_the_builder_mounts_is_copied_by_its_own_instruction(path: str) -> None:
    copied = instruction("copy", CopyBody("a", path))
    assert copied.keyword == "COPY"
    assert copied.words[0] == f"resources/{manifest_of('a')[:32]}"


def test_a_folder_with_a_file_that_the_builder_mounts_is_refused_while_it_builds(
    tmp_path: Path,
) -> None:
    write(tmp_path / "source/hosts", "x")
    words = list(instruction("copy", CopyBody("a", "/etc")).words)
    words[words.index("/run/atomicstate-source")] = str(tmp_path / "source")
    # Only as far as the check: this is a real /etc.
    words[2] = words[2][: words[2].index('if [ ! -d "$to" ]')]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert "/etc/hosts is the builder's meanwhile" in ran.stderr


@pytest.mark.parametrize("path", ["/etc/hosts", "/etc/hostname/", "/etc/../etc/resolv.conf"])
def test_a_file_that_the_builder_mounts_can_be_no_target(path: str) -> None:
    for type_, body in (
        ("move", MoveBody("/a", path)),
        ("move", MoveBody(path, "/a")),
        ("link", LinkBody(path, "/a")),
        ("merge", MergeBody("a", path)),
        ("remove", RemoveBody((path,))),
        ("replace", ReplaceBody(path, "a", "b")),
    ):
        with pytest.raises(ValidationError, match="is the builder's, not the image's") as caught:
            instruction(type_, body)
        assert "tmpfiles.d" in caught.value.hint


@pytest.mark.parametrize("path", ["/dev/shm/x", "/proc", "/sys/kernel/x"])
def test_what_is_the_machines_can_be_no_target(path: str) -> None:
    for type_, body in (
        ("copy", CopyBody("a", path)),
        ("move", MoveBody("/a", path)),
        ("link", LinkBody(path, "/a")),
        ("merge", MergeBody("a", path)),
        ("mkdir", MkdirBody((path,), "rwxr-xr-x")),
        ("remove", RemoveBody((path,), inside=True)),
        ("replace", ReplaceBody(path, "a", "b")),
    ):
        with pytest.raises(ValidationError, match="is the machine's, not the image's"):
            instruction(type_, body)


# -- merge --------------------------------------------------------------------------------------


def test_content_is_added_at_the_end_or_at_the_beginning(tmp_path: Path) -> None:
    source = write(tmp_path / "source", "new\n")
    target = write(tmp_path / "to", "old", 0o600)
    does("merge", MergeBody("a", str(target)), source)
    assert target.read_text() == "oldnew\n"
    does("merge", MergeBody("a", str(target), prepend=True), source)
    assert (target.read_text(), mode(target)) == ("new\noldnew\n", 0o600)


@pytest.mark.parametrize("prepend", [False, True])
@pytest.mark.parametrize(("perm", "bits"), [("", 0o644), ("rw-------", 0o600)])
def test_a_file_that_is_not_there_is_made(
    tmp_path: Path, prepend: bool, perm: str, bits: int
) -> None:
    source, target = write(tmp_path / "source", "new"), tmp_path / "sub/to"
    does("merge", MergeBody("a", str(target), perm, prepend), source)
    assert (target.read_text(), mode(target)) == ("new", bits)


def test_a_file_of_the_image_can_be_merged_and_a_link_is_followed(tmp_path: Path) -> None:
    source, target = write(tmp_path / "source", "b\0\n"), write(tmp_path / "to", "a")
    (tmp_path / "link").symlink_to("to")
    does("merge", MergeBody(str(source), str(tmp_path / "link")))
    assert (target.read_text(), (tmp_path / "link").is_symlink()) == ("ab\0\n", True)


# -- replace ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "replacement", "before", "after"),
    [
        # As Go has them: what its documentation and its regexp package say.
        ("a(x*)b", "T", "-ab-axxb-", "-T-T-"),
        ("a(x*)b", "$1", "-ab-axxb-", "--xx-"),
        ("a(x*)b", "$1W", "-ab-axxb-", "---"),
        ("a(x*)b", "${1}W", "-ab-axxb-", "-W-xxW-"),
        ("a(?P<n>x*)b", "<$n>$$1 $x ${", "axxb", "<xx>$1  ${"),
        ("a*", "-", "baaac", "-b-c-"),
        ("|b+?", "-", "ab", "-a-b-"),
        ("(a)|(b)", "[$1$2$3$0]", "abc", "[aa][bb]c"),
        ("^#?key=.*$", "key=1", "a\n#key=2\r\nkey\nkey=\n", "a\nkey=1\nkey\nkey=1\n"),
        ("(?i)É", "e", "éÉ\u0436", "ee\u0436"),
        (r"\d\w\s", "x", "1\u00e9 1a ", "1\u00e9 x"),
        ("$", ";", "a\nb", "a;\nb;"),
        ("^$", "x", "", "x"),
        ("a", r"\1\n@x$ %s", "a", r"\1\n@x$ %s"),
        ("none", "x", "a\n", "a\n"),
        (r"\Qa.*[\E+", "x", "a.*[[ a.", "x a."),
        (r"\\Q|\Qa(", "x", r"\Qa(", "xx"),
        ("a{,2}", "x", "aa{,2}a", "axa"),
    ],
)
def test_text_is_replaced_as_go_does_it(
    tmp_path: Path, pattern: str, replacement: str, before: str, after: str
) -> None:
    target = tmp_path / "file"
    target.write_bytes(before.encode())
    target.chmod(0o640)
    does("replace", ReplaceBody(str(target), pattern, replacement))
    assert target.read_bytes().decode() == after
    assert mode(target) == 0o640


def test_a_file_that_is_no_text_is_replaced_byte_by_byte(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"\xff\xe9a\xc3\xa9\n\0")
    does("replace", ReplaceBody(str(target), "a\u00e9", "\u0436"))
    assert target.read_bytes() == b"\xff\xe9\xd0\xb6\n\0"


@pytest.mark.parametrize(
    "pattern",
    [
        "(?{ open my $f, '>', '%s' })",
        "(??{ `touch %s` })",
        "@{[ `touch %s` ]}",
        "${\\ system 'touch %s'}",
    ],
)
def test_a_pattern_runs_nothing(tmp_path: Path, pattern: str) -> None:
    target = write(tmp_path / "file", "a\n")
    canary = tmp_path / "canary"
    for body in (
        ReplaceBody(str(target), pattern.replace("%s", str(canary)), "b"),
        ReplaceBody(str(target), "a", pattern.replace("%s", str(canary))),
    ):
        run("replace", body)
    assert not canary.exists()


def test_a_pattern_that_is_none_and_a_file_that_is_not_there_fail(tmp_path: Path) -> None:
    target = write(tmp_path / "file", "a\n")
    assert run("replace", ReplaceBody(str(target), "(", "b")).returncode != 0
    assert target.read_text() == "a\n"
    none = run("replace", ReplaceBody(str(tmp_path / "none"), "a", "b"))
    assert none.returncode != 0
    assert "No such file" in none.stderr
