"""What people ask of the recipe by a verb each, built, booted and taken back in a real sandbox."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from atomicstate.errors import NotFoundError
from atomicstate.host.sandbox import lifecycle
from tests.integration.test_main_job import Box
from tests.support.debs import build_deb, write_repository
from tests.support.sandboxes import LOCAL_BASE, REPOSITORY, add_repository, copy_of, inside

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

MODULES = """\
- type: packages
  body: {install: [tool]}
- type: link
  id: motto
  body: {target: "/usr/share/${{ Env.PLACE }}", to: /usr/share/motd}
- {type: mkdir, if: 'Env.PLACE != "elsewhere"', body: {targets: [/usr/share/here], perm: rwxr-x---}}
"""


@pytest.fixture
def box(sandbox_template: Path, tmp_path: Path) -> Iterator[Box]:
    """An adopted machine whose base knows one small package."""
    directory = tmp_path / "box"
    host = copy_of(sandbox_template, directory)
    try:
        debs = [build_deb(tmp_path / "debs", "tool", files={"/usr/share/tool/version": "1.0"})]
        line = write_repository(tmp_path / "debs", debs, seen_at=REPOSITORY)
        add_repository(host, tmp_path / "debs", line)
        box = Box(host)
        box.done("init")
        box.done("base", "set", LOCAL_BASE, "-y")
        yield box
    finally:
        with contextlib.suppress(NotFoundError):
            lifecycle.destroy(directory)


def seen(box: Box, *argv: str) -> str:
    return inside(box.host, *argv).stdout


def test_what_was_asked_for_is_built_and_booted_and_taken_back(box: Box, tmp_path: Path) -> None:
    motd = tmp_path / "motd"
    motd.write_text("it's $HOME; \\n `id`\n")
    motd.chmod(0o640)
    (tmp_path / "modules.yml").write_text(MODULES)

    box.done("env", "set", "PLACE=a place", 'WHO=$(id) "x"')
    placed = box.json("file", "add", str(motd), "/usr/share/motd")
    box.done("module", "add", str(tmp_path / "modules.yml"))
    run = box.json("run", 'printf %s "$WHO" >/usr/share/who; cat /usr/share/motd >>/usr/share/who')
    box.done("hostname", "set", "kiosk")
    units = box.json("service", "mask", "systemd-firstboot")["seq"]
    box.done("file", "remove", "/usr/share/common-licenses")
    motd.unlink()

    # A part that would mean something else alone is refused; what it needs is taken along.
    refused = box("apply", str(run["seq"]), "-y", "-f", "json")
    assert (refused.status, refused.code) == (14, "CONFLICT")
    # The base has no systemd: what was built before that step is no image, and nothing is staged.
    failed = box("apply", "-y", "-f", "json")
    assert (failed.status, failed.code) == (9, "CONTAINER")
    assert "this image has no systemctl" in failed.stdout
    assert box.json("status")["host"]["staged"] is None
    box.done("undo", str(units), "--no-live", "-y")
    box.done("apply", "-y")
    box.reboot()
    assert seen(box, "cat", "/usr/share/motd") == "it's $HOME; \\n `id`\n"
    assert seen(box, "stat", "-c", "%a %u", "/usr/share/motd") == "640 0\n"
    assert seen(box, "cat", "/usr/share/who") == '$(id) "x"it\'s $HOME; \\n `id`\n'
    assert seen(box, "readlink", "-f", "/usr/share/a place") == "/usr/share/motd\n"
    assert seen(box, "stat", "-c", "%a", "/usr/share/here") == "750\n"
    assert seen(box, "cat", "/usr/share/tool/version") == "1.0"
    assert seen(box, "cat", "/etc/hostname") == "kiosk\n"
    assert not box.has("/usr/share/common-licenses")

    # All that stands on it goes along. What a module brought is removed like any other package.
    box.done("undo", str(run["seq"]), "--cascade", "--no-live", "-y")
    box.done("undo", placed["request"], "--cascade", "--no-live", "-y")
    assert box("package", "add", "tool", "-y").status == 8
    box.done("package", "remove", "tool", "-y", "--no-live")
    recipe = box.json("config", "show")["recipe"]
    assert recipe["modules"] == []
    box.done("apply", "-y")
    box.reboot()
    for path in ("/usr/share/motd", "/usr/share/who", "/usr/share/tool/version"):
        assert not box.has(path)
    assert box.has("/usr/share/common-licenses")
    assert box.json("verify")["blobs_checked"] > 0
