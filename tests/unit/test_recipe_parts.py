"""References, package names, and the Containerfile."""

from __future__ import annotations

import pytest

from atomicstate.errors import ValidationError
from atomicstate.recipe.names import valid_package
from atomicstate.recipe.reference import valid_image_id, valid_reference

BASE_ID = "ab" * 32
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "debian",
        "localhost/base:bookworm",
        "localhost:5000/a/b:1.2-x_y",
        "registry.example.org/a--b/c__d.e",
        "[::1]:5000/a",
        f"quay.io/a/b@{DIGEST}",
        f"quay.io/a/b:tag@{DIGEST}",
    ],
)
def test_a_reference_that_registries_know(text: str) -> None:
    assert valid_reference(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "--help",
        "a b",
        "a\n",
        "a\nRUN x",
        "a\\",
        "$HOME",
        "${A}",
        "a:",
        "a:b:c",
        "a@sha256:12",
        "a@md5:" + "0" * 64,
        "UPPER",
        "a//b",
        "/a",
        "a/",
        "..",
        "a/../b",
        "a#b",
        "é",
        "a" * 600,
    ],
)
def test_a_reference_that_is_none(text: str) -> None:
    with pytest.raises(ValidationError):
        valid_reference(text)


@pytest.mark.parametrize("text", ["ab", "", "0" * 63, "0" * 65, "G" * 64, "md5:" + "0" * 64])
def test_an_id_that_is_none(text: str) -> None:
    with pytest.raises(ValidationError):
        valid_image_id(text)


@pytest.mark.parametrize("name", ["jq", "g++", "libc6", "libc6:i386", "0ad", "python3.11"])
def test_a_package_name_that_debian_has(name: str) -> None:
    assert valid_package(name) == name


@pytest.mark.parametrize(
    "name",
    # The last ones are what apt-get reads as more than a name.
    [
        "",
        "a",
        "A",
        "-y",
        "a b",
        "a;b",
        "a\n",
        "a_b",
        "x" * 300,
        "é1",
        "vim-",
        "vim/sid",
        "a=1",
        "a*",
    ],
)
def test_a_package_name_that_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        valid_package(name)
