"""What `bootc status` says, read from hand-written answers of several versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atomicstate.errors import HostError
from atomicstate.host.bootc_status import Entry, Status, UsrOverlay, parse

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


def entry(checksum: str, **more: Any) -> dict[str, Any]:
    """A deployment as a recent bootc describes it."""
    return {
        "image": {
            "image": {"image": "registry.example.org/os:1", "transport": "registry"},
            "version": None,
            "timestamp": None,
            "imageDigest": f"sha256:{checksum}",
            "architecture": "amd64",
        },
        "cachedUpdate": None,
        "incompatible": False,
        "pinned": False,
        "softRebootCapable": False,
        "downloadOnly": False,
        "store": "ostreeContainer",
        "ostree": {"stateroot": "default", "checksum": checksum, "deploySerial": 0},
        "composefs": None,
        **more,
    }


def status_of(**status: Any) -> Status:
    """The status of a booted machine, with these keys."""
    status = {"booted": entry(TWO), **status}
    whole = {"apiVersion": "org.containers.bootc/v1", "kind": "BootcHost", "status": status}
    return parse(json.dumps(whole).encode())


def test_every_slot_is_read():
    found = status_of(
        staged=entry(ONE),
        booted=entry(TWO),
        rollback=entry(THREE),
        rollbackQueued=True,
        otherDeployments=[entry(TWO, pinned=True)],
    )
    assert found.staged is not None
    assert (found.staged.checksum, found.booted.checksum, found.rollback.checksum) == (
        ONE,
        TWO,
        THREE,
    )
    assert found.rollback_queued
    assert [(one.checksum, one.pinned) for one in found.others] == [(TWO, True)]


def test_an_entry_is_read_whole():
    found = status_of(
        booted=entry(
            ONE, ostree={"stateroot": "s", "checksum": ONE, "deploySerial": 3}, incompatible=True
        )
    )
    assert found.booted == Entry(
        checksum=ONE,
        serial=3,
        image="registry.example.org/os:1",
        transport="registry",
        manifest=f"sha256:{ONE}",
        incompatible=True,
    )


def test_a_downloaded_deployment_is_locked():
    assert status_of(staged=entry(ONE, downloadOnly=True)).staged.locked


def test_a_missing_key_means_null():
    bare = {"ostree": {"checksum": ONE}}
    assert status_of(booted=bare) == Status(booted=Entry(checksum=ONE, serial=0))
    nulls = dict.fromkeys(entry(ONE)) | {"ostree": {"checksum": ONE, "deploySerial": None}}
    keys = ("staged", "rollback", "rollbackQueued", "otherDeployments", "usrOverlay", "readOnly")
    assert status_of(booted=nulls, **dict.fromkeys(keys)) == status_of(booted=bare)


def test_a_key_that_is_not_known_means_nothing():
    found = status_of(booted=entry(ONE, aKeyOfLater={"deep": [1]}), anotherOne=7, type="bootcHost")
    assert found == status_of(booted=entry(ONE))


@pytest.mark.parametrize(
    "answer",
    ["{}", '{"status": null}', '{"status": {}}', '{"status": {"booted": null, "staged": null}}'],
)
def test_a_status_that_names_nothing_booted_is_no_status(answer):
    with pytest.raises(HostError, match="names no booted deployment"):
        parse(answer.encode())


def test_a_deployment_without_an_image_has_no_reference():
    found = status_of(booted=entry(ONE, image=None)).booted
    assert (found.image, found.transport, found.manifest) == ("", "", "")


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (None, None),
        ({"accessMode": "readWrite", "persistence": "transient"}, UsrOverlay(True, False)),
        ({"accessMode": "readOnly", "persistence": "transient"}, UsrOverlay(False, False)),
        ({"accessMode": "readWrite", "persistence": "persistent"}, UsrOverlay(True, True)),
        ({}, UsrOverlay(False, False)),
    ],
)
def test_the_overlay_is_read(said, understood):
    assert status_of(usrOverlay=said).overlay == understood


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"error: not root",
        b"[]",
        b"\xff",
        b'{"status": {"booted": {"ostree": {"checksum": 5}}}}',
        b'{"status": {"booted": {"ostree": {"stateroot": "s"}}}}',
        b'{"status": {"booted": {"ostree": {"checksum": "--repo=/elsewhere"}}}}',
        b'{"status": {"rollbackQueued": "yes"}}',
    ],
)
def test_what_is_no_status_is_an_error_of_the_host(answer):
    with pytest.raises(HostError, match="can't be read"):
        parse(answer)


def test_the_other_backend_is_refused_by_name():
    with pytest.raises(HostError, match="composefs"):
        status_of(booted=entry(ONE, ostree=None, composefs={"verity": TWO}))
