"""The main job on a bootc host, from `sandbox create` to a rollback, by the installed command."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests.support.program import LIMIT, atomicstate

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.usefixtures("standins")]


def bootc(directory: Path, *words: str) -> None:
    """What a person types beside us."""
    environment = {**os.environ, "ATOMICSTATE_SANDBOX": str(directory)}
    subprocess.run(
        ["bootc", *words], env=environment, check=True, capture_output=True, timeout=LIMIT
    )


def test_the_main_job_on_a_bootc_host(tmp_path: Path) -> None:
    directory = tmp_path / "sandbox"

    def run(*words: str, **env: str):
        return atomicstate(*words, "-f", "json", sandbox=directory, env=env)

    def reboot() -> None:
        assert atomicstate("sandbox", "reboot", directory).status == 0

    def has_jq() -> bool:
        return atomicstate("sandbox", "exec", directory, "--", "which", "jq").status == 0

    driver = {"ATOMICSTATE_SANDBOX_DRIVER": "bootc"}
    try:
        assert atomicstate("sandbox", "create", directory, env=driver).status == 0
        adopted = run("init").data
        assert (adopted["driver"], adopted["warnings"]) == ("bootc", [])

        assert run("package", "add", "-y", "jq").status == 0
        assert has_jq()
        assert run("status").data["overlay"]["writable"]

        # bootc stages it and exits 1 nevertheless: the host is asked.
        applied = run("apply", "-y", STANDIN="exit-1-after-staging").data
        status = run("status").data
        assert status["state"] == "switched"
        assert status["host"]["staged"]["transaction"] == applied["transaction"]
        assert status["pending"] == []

        reboot()
        status = run("status").data
        assert (status["state"], status["host"]["driver"]) == ("idle", "bootc")
        assert status["host"]["booted"]["transaction"] == applied["transaction"]
        assert not status["overlay"]["active"]
        assert has_jq()

        bootc(directory, "rollback")
        assert run("status").data["state"] == "switched"
        reboot()
        status = run("status").data
        assert status["host"]["booted"]["checksum"] == adopted["booted"]
        assert status["host"]["rollback"]["transaction"] == applied["transaction"]
        assert not has_jq()
        assert run("verify").status == 0
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)
