"""Boot loader entries and origin files."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomicstate.errors import CorruptError
from atomicstate.host.deployments import (
    kernel_argument,
    parse_entry,
    parse_origin,
    read_deployments,
    render_origin,
)

FIRST, SECOND = "a" * 64, "b" * 64
LABELS = {"org.atomicstate.transaction": "t1", "text": 'line\nnext "x" = [y] \\ é'}


def deployment(
    sysroot: Path, version: int, checksum: str, serial: int = 0, origin: str | None = None
) -> Path:
    """A deployment with its boot loader entry, as libostree lays it out."""
    tree = sysroot / f"ostree/deploy/debian/deploy/{checksum}.{serial}"
    tree.mkdir(parents=True)
    if origin is not None:
        tree.with_name(f"{tree.name}.origin").write_text(origin)
    link = sysroot / f"ostree/boot.1.1/debian/csum/{version}"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../../deploy/debian/deploy/{tree.name}")
    if not (sysroot / "ostree/boot.1").exists():
        (sysroot / "ostree/boot.1").symlink_to("boot.1.1")
    entries = sysroot / "boot/loader.1/entries"
    entries.mkdir(parents=True, exist_ok=True)
    if not (sysroot / "boot/loader").exists():
        (sysroot / "boot/loader").symlink_to("loader.1")
    (entries / f"ostree-{version}-debian.conf").write_text(
        f"title Debian (ostree:0)\nversion {version}\n"
        f"options root=UUID=1 ostree=/ostree/boot.1/debian/csum/{version} quiet\nlinux /vmlinuz\n"
    )
    return tree


def test_an_entry_is_keys_and_values() -> None:
    entry = parse_entry("# a comment\ntitle Debian GNU/Linux 12\n\nversion  2\noptions a=1 b\n")
    assert entry == {"title": "Debian GNU/Linux 12", "version": "2", "options": "a=1 b"}


def test_a_kernel_argument_is_found_by_its_whole_name() -> None:
    entry = {"options": "xostree=/no ostree=/ostree/boot.1 quiet"}
    assert kernel_argument(entry, "ostree") == "/ostree/boot.1"
    assert kernel_argument(entry, "quiet") is None
    assert kernel_argument({}, "ostree") is None


def test_an_origin_is_groups_of_keys() -> None:
    text = "# comment\n[origin]\nrefspec=a:b\n\n[libostree-transient]\npinned = true\n"
    assert parse_origin(text) == {
        "origin": {"refspec": "a:b"},
        "libostree-transient": {"pinned": "true"},
    }


def test_what_is_rendered_as_origin_is_read_back(tmp_path: Path) -> None:
    deployment(tmp_path, 1, FIRST, origin=render_origin("localhost/a:1", "sha256:1", LABELS))
    found = read_deployments(tmp_path)[0].deployment
    assert (found.image, found.image_digest, found.labels) == ("localhost/a:1", "sha256:1", LABELS)
    assert not found.pinned


def test_an_origin_is_ascii_with_one_line_a_key() -> None:
    rendered = render_origin("localhost/a:1", "sha256:1", LABELS)
    assert rendered.isascii()
    assert all("=" in line or line.startswith("[") for line in rendered.splitlines())


def test_the_highest_version_is_the_default(tmp_path: Path) -> None:
    deployment(tmp_path, 9, FIRST)
    deployment(tmp_path, 10, SECOND, 3)
    found = [located.deployment for located in read_deployments(tmp_path)]
    assert [(one.checksum, one.serial) for one in found] == [(SECOND, 3), (FIRST, 0)]


def test_a_deployment_without_an_origin_is_foreign(tmp_path: Path) -> None:
    deployment(tmp_path, 1, FIRST)
    found = read_deployments(tmp_path)[0].deployment
    assert (found.image, found.image_digest, found.labels) == ("", "", {})


@pytest.mark.parametrize(
    "transport",
    [
        "ostree-image-signed:docker://",
        "ostree-unverified-registry:",
        "ostree-unverified-image:containers-storage:[overlay@/var/lib/x+/run/x]",
        "ostree-remote-image:fedora:registry:",
        "docker://",
        "",
    ],
)
def test_the_origin_of_another_tool_names_its_image(tmp_path: Path, transport: str) -> None:
    origin = f"[origin]\ncontainer-image-reference={transport}host:5000/x/y:1\n"
    deployment(tmp_path, 1, FIRST, origin=origin)
    assert read_deployments(tmp_path)[0].deployment.image == "host:5000/x/y:1"


@pytest.mark.parametrize("labels", ["{", "[1]", "null", ""])
def test_labels_that_can_not_be_read_are_none(tmp_path: Path, labels: str) -> None:
    deployment(tmp_path, 1, FIRST, origin=f"[atomicstate]\nimage=a\nlabels={labels}\n")
    assert read_deployments(tmp_path)[0].deployment.labels == {}


def test_a_pinned_deployment_says_so(tmp_path: Path) -> None:
    deployment(tmp_path, 1, FIRST, origin="[libostree-transient]\npinned=true\n")
    assert read_deployments(tmp_path)[0].deployment.pinned


def test_where_it_lies_is_known(tmp_path: Path) -> None:
    tree = deployment(tmp_path, 1, FIRST)
    located = read_deployments(tmp_path)[0]
    assert (located.path, located.stateroot) == (tree.resolve(), "debian")


def test_an_entry_that_points_to_nothing_is_corrupt(tmp_path: Path) -> None:
    deployment(tmp_path, 1, FIRST).rmdir()
    with pytest.raises(CorruptError, match="no deployment"):
        read_deployments(tmp_path)


def test_entries_of_other_systems_are_left_alone(tmp_path: Path) -> None:
    deployment(tmp_path, 1, FIRST)
    (tmp_path / "boot/loader/entries/windows.conf").write_text("title Windows\n")
    assert len(read_deployments(tmp_path)) == 1


def test_a_sysroot_without_entries_has_no_deployments(tmp_path: Path) -> None:
    assert read_deployments(tmp_path) == []
