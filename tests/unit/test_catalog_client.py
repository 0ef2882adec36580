"""The client's side of the catalog, and the texts that libapt's messages become."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomicstate.catalog import protocol
from atomicstate.catalog.client import Catalog
from atomicstate.catalog.errors import apt_error, sentences
from atomicstate.catalog.install import failure_message
from atomicstate.catalog.resolve import near_names
from atomicstate.errors import (
    AptError,
    AtomicstateError,
    HostError,
    LockedError,
    NoSpaceError,
    NotFoundError,
    NotPermittedError,
)
from atomicstate.events.plan import PackageChange, Plan


@pytest.mark.parametrize(
    "kind", [AptError, HostError, LockedError, NoSpaceError, NotFoundError, NotPermittedError]
)
def test_an_error_crosses_the_pipe_as_it_is(kind: type[AtomicstateError]) -> None:
    answer = protocol.decode_answer(protocol.encode(protocol.failed(kind("no", hint="do so"))))
    assert isinstance(answer, protocol.Failed)
    with pytest.raises(kind) as caught:
        protocol.raise_failed(answer, "what dpkg said")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("no", "do so")


def test_what_dpkg_said_belongs_to_a_failing_script() -> None:
    with pytest.raises(AptError, match=r"^no\nwhat dpkg said$"):
        protocol.raise_failed(protocol.failed(protocol.ScriptError("no")), "what dpkg said")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("E:one, W:two, E:three", "one; three"),
        ("W:only this", "only this"),
        ("E:a, b and c", "a, b and c"),
        ("plain", "plain"),
    ],
)
def test_libapts_list_of_messages_becomes_sentences(text: str, said: str) -> None:
    assert sentences(text) == said


LOCK = "/var/lib/dpkg/lock-frontend"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"E:Could not get lock {LOCK}. It is held by process 7 (apt)", LockedError),
        (f"E:Unable to acquire the dpkg frontend lock ({LOCK}), are you root?", NotPermittedError),
        ("E:Write error - write (28: No space left on device)", NoSpaceError),
        ("E:Sub-process /usr/bin/dpkg returned an error code (1)", AptError),
    ],
)
def test_libapts_messages_get_their_class(text: str, kind: type[AtomicstateError]) -> None:
    assert type(apt_error(Exception(text), "nothing was changed")) is kind


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("jq", "jq failed: x"),
        ("jq:amd64", "jq failed: x"),
        ("/var/cache/apt/archives/jq_1.6_amd64.deb", "jq failed: x"),
        ("dpkg-exec", "dpkg failed: x"),
    ],
)
def test_a_failing_package_is_named_however_libapt_names_it(package: str, said: str) -> None:
    assert failure_message(package, "x") == said


def test_near_names_are_the_likely_ones() -> None:
    assert near_names("neovmi", {"neovim", "neovim-qt", "vim", "zsh"}) == ["neovim"]
    assert near_names("qqqqqq", {"neovim", "vim"}) == []


@pytest.mark.parametrize(
    "name",
    [
        "linux-image-amd64",
        "grub-pc",
        "grub2",
        "grub-efi-amd64-signed",
        "shim-signed",
        "dracut",
        "initramfs-tools",
        "initramfs-tools-core",
        "systemd-boot",
        "extlinux",
        "u-boot-tools",
    ],
)
def test_what_boots_the_machine_is_recognised(name: str) -> None:
    plan = Plan(
        (PackageChange("install", "jq", "1", "amd64"), PackageChange("install", name, "1", "all"))
    )
    assert Catalog([], Path("/")).boot_packages(plan) == (name,)


@pytest.mark.parametrize("name", ["linux-libc-dev", "shimmer", "grubby-doc", "systemd", "dracula"])
def test_what_only_sounds_like_it_is_not(name: str) -> None:
    plan = Plan((PackageChange("install", name, "1", "all"),))
    assert Catalog([], Path("/")).boot_packages(plan) == ()
