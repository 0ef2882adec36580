"""The catalog in a sandbox: Debian's own packages, the real mirror, the running tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.catalog.client import PlanState
from atomicstate.errors import NotFoundError, NotPermittedError
from tests.support.sandboxes import inside

if TYPE_CHECKING:
    from atomicstate.host.sandbox.host import SandboxHost

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("sandbox")]


def test_a_tree_without_an_overlay_is_not_changed(debian_host: SandboxHost) -> None:
    plan = debian_host.catalog.resolve(["hello"], [])
    with pytest.raises(NotPermittedError, match="read-only; nothing was changed") as caught:
        debian_host.catalog.carry_out(plan, lambda _progress: None)
    assert "overlay enable" in caught.value.hint


def test_a_name_is_looked_for_among_all_of_debian(debian_host: SandboxHost) -> None:
    with pytest.raises(NotFoundError) as caught:
        debian_host.catalog.resolve(["rippgrep"], [])
    assert "ripgrep" in caught.value.hint


def test_a_package_is_installed_in_the_overlay_and_taken_back(sandbox_host: SandboxHost) -> None:
    catalog = sandbox_host.catalog
    sandbox_host.overlay.enable()
    plan = catalog.resolve(["jq"], [])
    assert {"jq", "libjq1", "libonig5"} <= {change.name for change in plan.changes}
    catalog.carry_out(plan, lambda _progress: None)
    assert catalog.state(plan) is PlanState.DONE
    assert inside(sandbox_host, "jq", "-n", "1+1").stdout == "2\n"
    # They stay: the next image takes them from there.
    assert "/jq_" in inside(sandbox_host, "sh", "-c", "ls /var/cache/apt/archives/*.deb").stdout
    catalog.revert(plan, lambda _progress: None)
    assert catalog.state(plan) is PlanState.ABSENT
    assert inside(sandbox_host, "test", "-e", "/usr/bin/jq").returncode == 1
