"""Recipes, rendered and built: what is in the tree then.

One base in a storage of its own serves all tests here: they build images, and change none.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from atomicstate.errors import ContainerError
from atomicstate.host.podman import PodmanBuilder
from atomicstate.host.sandbox.base import base_tar
from atomicstate.host.storage import Storage
from atomicstate.recipe import containerfile
from atomicstate.recipe.containerfile import LABEL_RENDERER, LABEL_WHOLE, RENDERER, render
from atomicstate.recipe.pins import NO_PINS, Pin
from atomicstate.recipe.render.apt import CACHE
from atomicstate.recipe.schema import (
    CopyBody,
    LinkBody,
    MkdirBody,
    MoveBody,
    RemoveBody,
    ReplaceBody,
    ShellBody,
)
from tests.support.containerfiles import BASE, manifest_of, step, steps, write_context
from tests.support.debs import build_deb, write_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.pins import Pins
    from atomicstate.recipe.schema import Body

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.xdist_group("built-recipes")]

LIMIT = 240


class Workshop:
    """A container storage with the base image in it."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self.directory = directory
        self.builder = PodmanBuilder(Storage(directory / "storage", runtime, "overlay"))
        tar, _recipe = base_tar("bookworm", lambda _line: None)
        self.base = self.builder.import_tar(tar, BASE, {})
        self.said: list[str] = []
        self._mounted: list[str] = []
        self._count = 0

    def podman(self, *words: str) -> str:
        argv = self.builder.storage.argv(*words)
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True)
        return ran.stdout.strip()

    def build(
        self,
        made: Sequence[Step],
        resources: Mapping[str, Path] | None = None,
        pins: Pins = NO_PINS,
    ) -> Path:
        """The tree of the image of these steps. `said` is what the build printed then."""
        self._count += 1
        self.said = []
        context = self.directory / f"context-{self._count}"
        manifests = {name: manifest_of(name) for name in resources or {}}
        rendered = render(made, self.base.id, BASE, "deb", manifests, pins=pins)
        write_context(context, rendered, resources or {})
        tag = f"localhost/made:{self._count}"
        self.builder.build(context, context / "Containerfile", {}, tag, self.said.append)
        labels = self.builder.resolve(tag).labels
        assert {LABEL_RENDERER: str(RENDERER), LABEL_WHOLE: str(RENDERER)}.items() <= labels.items()
        self._mounted.append(tag)
        return Path(self.podman("image", "mount", tag))

    def close(self) -> None:
        for tag in self._mounted:
            self.podman("image", "unmount", tag)
        self.podman("rmi", "--all", "--force")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    assert os.geteuid() == 0, "builds need root: `./dev test --fast` leaves them out"
    # podman takes no long path here.
    runtime = Path(tempfile.mkdtemp(prefix="as-", dir="/run"))
    try:
        made = Workshop(tmp_path_factory.mktemp("workshop"), runtime)
        yield made
        made.close()
    finally:
        shutil.rmtree(runtime)


def write(path: Path, text: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def lies(path: Path) -> tuple[str, str]:
    """Mode and owner of a file, as ls has them."""
    shown = subprocess.run(
        ["stat", "-c", "%A %U:%G", path], capture_output=True, text=True, timeout=60, check=True
    )
    mode, owner = shown.stdout.split()
    return mode, owner


def repository(directory: Path) -> Path:
    """A repository of packages that are made here."""
    debs = [
        build_deb(directory, "old", depends="old-part"),
        build_deb(directory, "old-part"),
        build_deb(directory, "once", depends="stray"),
        build_deb(directory, "stray"),
        build_deb(directory, "pinned", "1.0", depends="pinned-part"),
        build_deb(directory, "pinned", "2.0", depends="pinned-part"),
        build_deb(directory, "pinned-part", "1.0"),
        build_deb(directory, "pinned-part", "2.0"),
        build_deb(directory, "maker", files={"/usr/share/maker": "echo made >made\n"}),
        build_deb(directory, "needed"),
        build_deb(directory, "daemon", postinst="policy-rc.d x start || echo $? >/opt/policy"),
    ]
    for version in ("8.8-test", "9.9-test"):
        parts = {
            f"/boot/vmlinuz-{version}": version,
            **dict.fromkeys(
                (f"/usr/lib/modules/{version}/modules.{part}" for part in ("order", "builtin")), ""
            ),
        }
        debs.append(build_deb(directory, f"linux-image-{version}", files=parts))
    debs.append(build_deb(directory, "linux-image-test", depends="linux-image-9.9-test (= 1.0)"))
    made = directory / "repository"
    write_repository(made, debs, seen_at="/opt/repository")
    # apt asks for the compressed index first, and calls it an error where there is none.
    (made / "Packages.xz").write_bytes(lzma.compress((made / "Packages").read_bytes()))
    return made


PACKAGES = """
modules:
  - {type: packages, body: {install: [git, systemd, dracut]}}
  - {type: remove, body: {targets: [/usr/sbin/policy-rc.d]}}
  - {type: copy, body: {source: repository, destination: /opt/repository}}
  - type: repos
    body: {clean: true, custom: ['deb [trusted=yes] file:/opt/repository ./']}
  - {type: packages, body: {install: [old, once, pinned, needed]}}
  - {type: packages, body: {remove: [once]}}
  - {type: packages, body: {remove: [old], depends: true, install: [daemon]}}
  - type: shell
    body:
      command: |
        dpkg-query -W -f '${Package} ${Version}\\n' pinned pinned-part >/opt/pinned-before
        apt-mark -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= showauto >>/opt/pinned-before
  - {type: packages, body: {upgrade: true, update: true, options: {Debug::NoLocking: 'true'}}}
  - type: shell
    body:
      command: |
        git init -q -b main /opt/source
        cd /opt/source
        echo first >file
        git add .
        git -c user.name=T -c user.email=t@localhost commit -q -m first
        git tag v1
        git -c user.name=T -c user.email=t@localhost commit -q --allow-empty -m second
  - type: git
    env: {WHO: "it's \\"$HOME\\" `id` $(touch canary)"}
    body:
      url: file:///opt/source
      rev: v1
      command: |
        false
        sh /usr/share/maker
        git log --format=%s >/opt/log
        cp file made /opt
        pwd >/opt/clone
        printf '%s' "$WHO" >/opt/who
      build-deps: [maker, needed]
      deps: [needed]
  - {type: packages, body: {install: [linux-image-8.8-test]}}
  - {type: copy, body: {source: dracut.conf, destination: /etc/dracut.conf.d/test.conf}}
  - type: kernel
    body:
      kernel-info: {flavour: test}
      initrd: {method: dracut, plymouth-theme: disabled}
  - {type: systemd, body: {targets: [systemd-networkd, getty@tty7.service], enabled: true}}
  - {type: systemd, body: {targets: [systemd-timesyncd.service]}}
  - {type: systemd, body: {targets: [nothing.service], masked: true}}
  - {type: systemd, body: {targets: [systemd-tmpfiles-clean.timer], masked: true, global: true}}
"""


@pytest.fixture(scope="module")
def packages(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the modules of packages, units and clones."""
    folder = tmp_path_factory.mktemp("debs")
    resources = {
        "repository": repository(folder),
        # As little as it can be.
        "dracut.conf": write(folder / "conf", 'compress="cat"\ndracutmodules="base"\n'),
    }
    pins = {
        "pinned": {
            "pinned": Pin("1.0", automatic=False),
            "pinned-part": Pin("1.0", automatic=True),
        },
        "unknown": {"unknown": Pin("1", automatic=False)},
    }
    return workshop.build(steps(PACKAGES), resources, pins)


def installed(tree: Path) -> dict[str, str]:
    """The packages that a tree has, with their versions."""
    argv = ["dpkg-query", f"--admindir={tree}/usr/lib/sysimage/dpkg", "-W"]
    argv.append("-f=${db:Status-Abbrev} ${Package} ${Version}\n")
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    words = [line.split() for line in ran.stdout.splitlines()]
    return {name: version for state, name, version in words if state == "ii"}


def test_packages_come_and_go(packages: Path) -> None:
    there = installed(packages)
    assert {"git", "systemd", "needed", "daemon"} <= there.keys()
    assert not {"old", "once", "maker"} & there.keys()


def test_what_only_a_removed_package_needed_goes_if_it_is_told_so(packages: Path) -> None:
    there = installed(packages)
    assert "old-part" not in there
    assert "stray" in there


def test_a_version_is_pinned_until_an_upgrade(packages: Path) -> None:
    before = (packages / "opt/pinned-before").read_text().splitlines()
    assert before[:2] == ["pinned 1.0", "pinned-part 1.0"]
    assert "pinned-part" in before[2:]
    assert "pinned" not in before[2:]
    assert installed(packages)["pinned"] == "2.0"


def test_no_layer_keeps_what_was_fetched_or_made_for_the_build(
    packages: Path, workshop: Workshop
) -> None:
    for folder in ("var/cache/apt", "var/lib/apt/lists"):
        left = [path for path in (packages / folder).rglob("*") if path.is_file()]
        assert [path.name for path in left] == ["lock"]
    assert not list(packages.glob("run/atomicstate*"))
    assert not (packages / "usr/sbin/policy-rc.d").exists()
    assert not (packages / "canary").exists()
    cache = workshop.builder.storage.cache / CACHE
    assert list(cache.glob("git_*.deb"))


def test_no_package_may_start_a_daemon(packages: Path) -> None:
    assert (packages / "opt/policy").read_text() == "101\n"


def test_repositories_are_replaced(packages: Path) -> None:
    lists = packages / "etc/apt/sources.list.d"
    assert [path.name for path in lists.iterdir()] == ["atomicstate.list"]
    assert (lists / "atomicstate.list").read_text() == "deb [trusted=yes] file:/opt/repository ./\n"
    assert not (packages / "etc/apt/sources.list").exists()


def test_a_command_runs_in_a_clone(packages: Path) -> None:
    read = {name: (packages / "opt" / name).read_text() for name in ("file", "made", "log", "who")}
    assert read == {
        "file": "first\n",
        "made": "made\n",
        "log": "first\n",
        "who": 'it\'s "$HOME" `id` $(touch canary)',
    }
    clone = (packages / "opt/clone").read_text().strip()
    assert clone.startswith("/tmp/")
    assert not (packages / clone.lstrip("/")).exists()


def test_one_kernel_lies_where_a_deployment_takes_it_from(packages: Path) -> None:
    [kernel] = (packages / "usr/lib/modules").iterdir()
    assert kernel.name == "9.9-test"
    assert (kernel / "vmlinuz").read_text() == "9.9-test"
    assert (kernel / "modules.dep").is_file()
    assert (kernel / "initramfs.img").read_bytes().startswith(b"070701")
    assert "linux-image-8.8-test" not in installed(packages)


def test_units_are_enabled_disabled_and_masked(packages: Path) -> None:
    units = packages / "etc/systemd/system"
    assert (units / "multi-user.target.wants/systemd-networkd.service").is_symlink()
    assert (units / "getty.target.wants/getty@tty7.service").is_symlink()
    assert not (units / "sysinit.target.wants/systemd-timesyncd.service").is_symlink()
    assert (units / "nothing.service").readlink() == Path("/dev/null")
    globally = packages / "etc/systemd/user/systemd-tmpfiles-clean.timer"
    assert globally.readlink() == Path("/dev/null")


FILES = """
modules:
  - {type: copy, body: {source: root, destination: /, replace: true}}
  - {type: copy, body: {source: resolv, destination: /etc/resolv.conf}}
  - {type: network, body: {hostname: box}}
  - {type: mkdir, body: {targets: [/opt/a/b], perm: rwxrwxrwt}}
  - {type: move, body: {source: /etc/motd, destination: /usr/share/motd, create-link: true}}
  - {type: move, body: {source: /etc/apt, destination: /usr/share/apt, create-link: true}}
  - {type: link, body: {target: /bin/sh, to: /bin/bash, replace: true}}
  - {type: merge, body: {source: part, destination: /etc/issue, prepend: true}}
  - {type: merge, body: {source: part, destination: /etc/new/part, create-file-perm: rw-r-----}}
  - {type: replace, body: {target: /etc/issue, pattern: '(?i)debian (\\S+)', repl: 'Box of $1'}}
  - {type: remove, body: {targets: [/usr/share/doc, /none]}}
  - {type: remove, body: {targets: [/usr/share/man, /etc/issue.net, /run], inside: true}}
  - {type: branding, body: {release-overrides: {NAME: 'Box "$x"', VARIANT_ID: box}}}
  - type: shell
    env: {A: "b  'c'"}
    body: {command: 'scripts/run "$A" >/opt/said; pwd; touch left', quiet: true}
"""


@pytest.fixture(scope="module", params=["each a layer", "joined"])
def files(
    workshop: Workshop, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """The tree of the modules of files, whether each is a layer or many are joined into one."""
    folder = tmp_path_factory.mktemp("resources")
    write(folder / "root/bin/tool", "#!/bin/sh\n", 0o4755)
    write(folder / "root/etc/a b/it's\n$(x)", "new")
    (folder / "root/usr/share/doc/link").mkdir(parents=True)
    (folder / "root/etc/linked").symlink_to("a b")
    (folder / "root/etc").chmod(0o700)
    resources = {
        "root": folder / "root",
        "resolv": write(folder / "resolv", "nameserver 192.0.2.1\n"),
        "part": write(folder / "part", "part\n"),
        "scripts/run": write(folder / "run", '#!/bin/sh\nprintf "<%s>" "$@"\n', 0o755),
    }
    for path in (folder / "root").rglob("*"):
        os.chown(path, 1234, 1234, follow_symlinks=False)
    (folder / "root/bin/tool").chmod(0o4755)  # which a change of the owner takes away
    made = steps(FILES, {0: {"root": "root"}, 13: {"scripts/run": "scripts/run"}})
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "joined":
            patch.setattr(containerfile, "JOINED", 6)
            patch.setattr(containerfile, "ALONE", 0)
        return workshop.build(made, resources)


def test_a_tree_is_copied_over_the_image(files: Path) -> None:
    assert (files / "bin").readlink() == Path("usr/bin")
    assert lies(files / "usr/bin/tool") == ("-rwsr-xr-x", "root:root")
    assert (files / "etc/a b/it's\n$(x)").read_text() == "new"
    assert lies(files / "etc/linked") == ("lrwxrwxrwx", "root:root")
    assert lies(files / "etc") == ("drwxr-xr-x", "root:root")


def test_what_the_builder_mounts_is_the_images_own(files: Path) -> None:
    assert (files / "etc/resolv.conf").read_text() == "nameserver 192.0.2.1\n"
    assert (files / "etc/hostname").read_text() == "box\n"
    assert (files / "etc/hosts").read_text() == "127.0.0.1 localhost box\n::1 localhost6 box6\n"
    assert lies(files / "etc/hosts") == ("-rw-r--r--", "root:root")


def test_folders_links_and_moves(files: Path) -> None:
    assert lies(files / "opt/a/b") == ("drwxrwxrwt", "root:root")
    assert (files / "etc/motd").readlink() == Path("../usr/share/motd")
    assert (files / "etc/apt").readlink() == Path("../usr/share/apt")
    assert (files / "usr/share/apt/apt.conf.d").is_dir()
    assert (files / "usr/bin/sh").readlink() == Path("../../bin/bash")


def test_the_content_of_files(files: Path) -> None:
    issue = (files / "etc/issue").read_text()
    assert issue.startswith("part\nBox of GNU/Linux 12")
    assert (files / "etc/new/part").read_text() == "part\n"
    assert lies(files / "etc/new/part") == ("-rw-r-----", "root:root")


def test_what_is_removed_is_gone(files: Path) -> None:
    assert not (files / "usr/share/doc").exists()
    assert list((files / "usr/share/man").iterdir()) == []
    assert (files / "etc/issue.net").read_text() == ""


def test_os_release_says_what_it_was_told(files: Path) -> None:
    lines = (files / "usr/lib/os-release").read_text().splitlines()
    assert lines[1] == 'NAME="Box \\"\\$x\\""'
    assert lines[-1] == 'VARIANT_ID="box"'
    assert "ID=debian" in lines
    assert (files / "etc/os-release").readlink() == Path("../usr/lib/os-release")


def test_a_command_sees_its_resources_and_leaves_nothing(files: Path) -> None:
    assert (files / "opt/said").read_text() == "<b  'c'>"
    assert not list(files.glob("run/*"))
    assert not list(files.rglob("left"))


HOSTILE = (
    *(
        "it's $(touch canary) \"`touch canary`\\",
        "-rf",
        "a b \u0436\U0001f600\\",
        "--help",
        "*",
        "#",
    ),
    *("$(touch canary)", "`touch canary`", "; touch canary;", "${IFS}", "'", '"', "\\", "{a,b}"),
    *("[a]", "!x", "%s", "&", " ", "~", "'\"'\"'"),
)
RESOURCE = "it's $(touch \\canary) `touch canary` \""
COMMAND = """\
# event 9
printf '%s' "$A" >/opt/env

cat >/opt/here <<'EOF'
# recipe

RUN touch canary
a\\
EOF
"""


def test_hostile_values_do_what_they_say_and_nothing_else(
    workshop: Workshop, tmp_path: Path
) -> None:
    """Names, patterns and commands that would run, expand or end something, if they could."""
    moved, linked, removed = HOSTILE[:2], HOSTILE[:3], HOSTILE[5:]
    bodies: list[tuple[str, Body]] = [
        ("mkdir", MkdirBody(tuple(f"/opt/made/{name}" for name in HOSTILE), "rwx------")),
        *(("move", MoveBody(f"/opt/made/{name}", f"/opt/moved/{name}")) for name in moved),
        *(("link", LinkBody(f"/opt/link/{name}", name)) for name in linked),
        ("remove", RemoveBody((*(f"/opt/made/{name}" for name in removed), "/opt/made/*x"))),
        ("copy", CopyBody(RESOURCE, f"/opt/c/{RESOURCE}")),
        ("replace", ReplaceBody(f"/opt/c/{RESOURCE}", "^(.*)$", "$1@{[`touch canary`]}$$(x)")),
        ("shell", ShellBody(COMMAND)),
    ]
    all_steps = [step(type_, body) for type_, body in bodies]
    all_steps[-1] = msgspec.structs.replace(all_steps[-1], env={"A": RESOURCE + "\n\\"})
    source = write(tmp_path / "source", "\n".join(HOSTILE))
    tree = workshop.build(all_steps, {RESOURCE: source})
    opt = tree / "opt"
    assert {path.name for path in (opt / "moved").iterdir()} == set(moved)
    assert {path.name for path in (opt / "made").iterdir()} == set(HOSTILE[2:5])
    links = {path.name: str(path.readlink()) for path in (opt / "link").iterdir()}
    assert links == {name: name for name in linked}
    expected = "\n".join(f"{line}@{{[`touch canary`]}}$(x)" for line in HOSTILE)
    assert (opt / "c" / RESOURCE).read_text() == expected
    assert (opt / "env").read_text() == RESOURCE + "\n\\"
    assert (opt / "here").read_text() == "# recipe\n\nRUN touch canary\na\\\n"
    assert {path.name for path in opt.iterdir()} == {"moved", "made", "link", "c", "env", "here"}
    assert not (tree / "canary").exists()
    assert not Path("/canary").exists()


def test_one_more_step_builds_one_more_layer(workshop: Workshop) -> None:
    lines = ["modules:"]
    for name in ("one", "two", "three", "four"):
        lines.append(f"  - {{type: shell, body: {{command: echo {name} >/opt/{name}}}}}")
    lines.append("  - {type: network, body: {hostname: box}}")
    made = steps("\n".join(lines))
    workshop.build(made[:3])
    workshop.build(made)
    taken = sum("Using cache" in line for line in workshop.said)
    assert taken == len(["the label of each layer", "one", "two", "three"])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{type: shell, body: {command: 'echo no >&2; exit 3', quiet: true}}", "no"),
        (
            "{type: packages, body: {install: [no-such-package]}}",
            "E: Unable to locate package no-such-package",
        ),
        (
            "{type: systemd, body: {targets: [a], enabled: true}}",
            "systemd: this image has no systemctl",
        ),
        ("{type: move, body: {source: /none, destination: /a}}", "move: there is no /none"),
        ("{type: repos, body: {clean: true, custom: [deb file:/none ./]}}", "E: "),
        (
            "{type: kernel, body: {initrd: {plymouth-theme: x}}}",
            "kernel: this image has no theme x",
        ),
    ],
)
def test_a_step_that_fails_fails_the_build(workshop: Workshop, document: str, message: str) -> None:
    with pytest.raises(ContainerError):
        workshop.build(steps(f"modules:\n  - {document}\n"))
    assert any(line.startswith(message) for line in workshop.said), workshop.said
