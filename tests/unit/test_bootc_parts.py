"""Parts of the bootc driver that need no host: progress, image policies, package databases."""

from __future__ import annotations

import json

import pytest

from atomicstate.errors import HostError
from atomicstate.host.adoption import check_deployment, check_image_policy, check_package_database
from atomicstate.host.bootc import progress_of
from atomicstate.host.bootc_status import Entry, Status
from atomicstate.host.podman import PodmanBuilder
from atomicstate.host.ports import LABEL_LOG
from atomicstate.host.storage import Storage
from atomicstate.process import SideChannel, stream

ACCEPT = [{"type": "insecureAcceptAnything"}]
REJECT = [{"type": "reject"}]
SIGNED = [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/key"}]


def steps(task: str, done: int, total: int, **more: object) -> str:
    told = {"type": "ProgressSteps", "task": task, "description": "At it"}
    return json.dumps({**told, "steps": done, "stepsTotal": total, **more})


def test_the_tasks_of_a_switch_follow_each_other():
    told = [("pulling", 0), ("pulling", 2), ("importing", 1), ("staging", 0), ("staging", 2)]
    found = [progress_of(steps(task, done, 2))[0] for task, done in told]
    assert found == [0, 60, 70, 80, 100]


def test_bytes_tell_more_than_steps():
    line = steps("pulling", 0, 4, type="ProgressBytes", bytes=30, bytesTotal=60)
    assert progress_of(line) == (30, "At it")


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"Start","version":"0.1.0"}',
        "not JSON",
        "",
        "[]",
        '{"type":"Later","task":"pulling","steps":1,"stepsTotal":2}',
        steps("pulling", 0, 0),
    ],
)
def test_a_line_that_tells_no_progress_is_passed_over(line):
    assert progress_of(line) is None


def test_progress_stays_within_its_bounds():
    assert progress_of(steps("staging", 9, 3))[0] == 100
    assert progress_of(steps("a new task", 1, 2))[0] == 50


@pytest.mark.parametrize(
    "policy",
    [
        {"default": ACCEPT},
        {"default": REJECT, "transports": {"containers-storage": {"": ACCEPT}}},
        {"default": ACCEPT, "transports": {"docker": {"": REJECT}}},
    ],
)
def test_a_policy_that_lets_local_images_in_is_no_hindrance(policy, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))
    check_image_policy(path)


def test_no_policy_is_no_hindrance(tmp_path):
    check_image_policy(tmp_path / "none.json")


@pytest.mark.parametrize(
    "policy",
    [
        {"default": REJECT},
        {"default": SIGNED},
        {"default": ACCEPT, "transports": {"containers-storage": {"": REJECT}}},
        {"default": [*ACCEPT, *SIGNED]},
    ],
)
def test_a_policy_that_keeps_local_images_out_is_told(policy, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))
    with pytest.raises(HostError, match="rejects images that are built on this machine"):
        check_image_policy(path)


def test_a_policy_that_can_not_be_read_is_told(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text("{")
    with pytest.raises(HostError, match="can't be read"):
        check_image_policy(path)


def test_a_package_database_that_lies_in_usr_follows_it(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/dpkg").symlink_to("../../usr/lib/sysimage/dpkg")
    check_package_database(tmp_path)


@pytest.mark.parametrize("target", ["/srv/dpkg", "../spool/dpkg", "/usr/../var/spool/dpkg"])
def test_a_link_to_a_package_database_elsewhere_is_refused(target, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/dpkg").symlink_to(target)
    with pytest.raises(HostError, match="outside of /usr"):
        check_package_database(tmp_path)


def test_a_host_without_dpkg_is_refused(tmp_path):
    with pytest.raises(HostError, match="no dpkg"):
        check_package_database(tmp_path)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status(booted=Entry("1" * 64, 0, "image", incompatible=True)), "incompatible"),
        (Status(booted=Entry("1" * 64, 0)), "not made from a container image"),
        (Status(booted=Entry("1" * 64, 0, "image"), read_only=True), "read-only medium"),
    ],
)
def test_a_deployment_that_can_not_be_replaced_is_refused(status, why):
    with pytest.raises(HostError, match=why):
        check_deployment(status)


def test_the_machines_own_storage_is_named_by_no_option():
    assert Storage().argv("images") == ["podman", "images"]


def test_in_the_machines_own_storage_other_peoples_things_stay(tmp_path, monkeypatch):
    for name in ("podman", "buildah"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/calls"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    PodmanBuilder(Storage()).remove("localhost/x:1")

    # No working container, and of the images without a name only those that we labelled.
    assert (tmp_path / "calls").read_text().splitlines() == [
        "podman rmi --force --ignore -- localhost/x:1",
        f"podman image prune --force --filter=label={LABEL_LOG}",
    ]


def test_a_tools_second_stream_of_lines_is_handed_over_as_it_comes():
    told: list[str] = []
    said: list[str] = []
    with SideChannel(told.append) as side:
        script = f"echo a >&{side.number}; echo said; printf b >&{side.number}"
        finished = stream(["bash", "-c", script], said.append, side=side)
    assert (finished.status, told, said) == (0, ["a", "b"], ["said"])
