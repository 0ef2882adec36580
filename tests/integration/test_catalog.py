"""libapt and dpkg, the real ones, on a small tree of their own."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from atomicstate.catalog.client import Catalog, PlanState, Progress
from atomicstate.errors import AptError, HostError, NoSpaceError, NotFoundError, ValidationError
from tests.support.debs import build_deb
from tests.support.package_tree import PackageTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atomicstate.events.plan import Plan

pytestmark = pytest.mark.sandbox
LIMIT = 60


def silent(_progress: Progress) -> None:
    pass


@pytest.fixture
def tree(tmp_path: Path) -> PackageTree:
    return PackageTree(tmp_path)


def names(changes: Sequence[object]) -> list[str]:
    return [change.name for change in changes]  # type: ignore[attr-defined]


def add(tree: PackageTree, *wanted: str) -> Plan:
    plan = tree.catalog.resolve(wanted, [])
    tree.catalog.carry_out(plan, silent)
    return plan


def sleeping(seconds: str) -> list[int]:
    """The processes on this machine that run `sleep` for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it becomes true within the limit."""
    end = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def killed_at(tree: PackageTree, plan: Plan, sign: str) -> None:
    """Carry `plan` out in another process; SIGKILL it once a script has made the file `sign`."""
    program = (
        "import json, sys, msgspec\n"
        "from pathlib import Path\n"
        "from atomicstate.catalog.client import Catalog\n"
        "from atomicstate.events.plan import Plan\n"
        "enter, root, plan = json.loads(sys.argv[1])\n"
        "plan = msgspec.convert(plan, Plan)\n"
        "Catalog(enter, Path(root)).carry_out(plan, lambda progress: None)\n"
    )
    argument = json.dumps([tree.enter, str(tree.root), msgspec.to_builtins(plan)])
    process = subprocess.Popen([sys.executable, "-c", program, argument])
    try:
        assert soon(lambda: tree.read(sign) is not None)
    finally:
        process.kill()
        process.wait(LIMIT)


# Resolving


def test_what_was_fetched_is_flushed_before_it_is_installed(tree, tmp_path):
    tree.offer(build_deb(tmp_path / "debs", "kept"))
    sources = tree.root / "etc/apt/sources.list"
    # libapt copies what it has to keep; of a `file:` it would take the one that lies there.
    sources.write_text(sources.read_text().replace("file:", "copy:"))
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-y", "-qq", "-o", str(trace), "-e", "trace=fsync,execve")
    tree.catalog = Catalog([*strace, *tree.enter], tree.root)
    tree.catalog.update(silent)
    add(tree, "kept")
    lines = trace.read_text().splitlines()
    [flushed] = [n for n, line in enumerate(lines) if re.search(r"fsync\(\d+<.*/kept_.*deb>", line)]
    unpacks = next(n for n, line in enumerate(lines) if '"--unpack"' in line)
    folder = str(tree.root / "var/cache/apt/archives")
    assert flushed < unpacks
    assert any("fsync(" in line and f"{folder}>" in line for line in lines[flushed:unpacks])


def test_a_plan_holds_what_was_asked_and_what_it_needs(tree: PackageTree) -> None:
    debs = [build_deb(tree.debs, "alpha", depends="beta (>= 1)"), build_deb(tree.debs, "beta")]
    tree.offer(*debs)
    plan = tree.catalog.resolve(["alpha"], [])
    assert [(c.kind, c.name, c.version, c.architecture, c.automatic) for c in plan.changes] == [
        ("install", "alpha", "1.0", "all", False),
        ("install", "beta", "1.0", "all", True),
    ]
    hashes = [hashlib.sha256(deb.read_bytes()).hexdigest() for deb in debs]
    assert [change.sha256 for change in plan.changes] == hashes
    assert plan.download_size == sum(deb.stat().st_size for deb in debs)
    assert plan.installed_size == 2 * 10 * 1024


def test_all_unknown_names_are_named_with_near_ones(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alphabet"))
    with pytest.raises(NotFoundError, match="'alphabte', 'omicron'") as caught:
        tree.catalog.resolve(["alphabte"], ["omicron"])
    assert "alphabet" in caught.value.hint


def test_a_version_is_preferred_where_it_is_offered_still(tree: PackageTree) -> None:
    debs = [build_deb(tree.debs / version, "alpha", version) for version in ("1.0", "2.0")]
    tree.offer(*debs)
    for wanted, found in {"1.0": "1.0", "2.0": "2.0", "1.5": "2.0"}.items():
        plan = tree.catalog.resolve(["alpha"], [], versions={"alpha": wanted, "omicron": "1"})
        assert [change.version for change in plan.changes] == [found]
    tree.catalog.carry_out(tree.catalog.resolve(["alpha"], [], versions={"alpha": "1.0"}), silent)
    assert tree.catalog.installed(["alpha"]) == {"alpha": "1.0"}


def test_packages_in_conflict_are_refused_with_the_reason(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", conflicts="beta"), build_deb(tree.debs, "beta"))
    with pytest.raises(AptError, match="alpha conflicts with beta"):
        tree.catalog.resolve(["alpha", "beta"], [])


@pytest.mark.parametrize(
    ("depends", "reason"),
    [
        ("beta (>= 2)", r"alpha needs beta \(>= 2\), but 1\.0 is what is offered"),
        ("nothing-such", "alpha needs nothing-such, which nobody offers"),
    ],
)
def test_a_need_that_nothing_meets_is_named(tree: PackageTree, depends: str, reason: str) -> None:
    tree.offer(build_deb(tree.debs, "alpha", depends=depends), build_deb(tree.debs, "beta"))
    with pytest.raises(AptError, match=reason):
        tree.catalog.resolve(["alpha"], [])


def test_a_virtual_package_is_refused_with_its_providers(tree: PackageTree) -> None:
    debs = [build_deb(tree.debs, name, provides="greek") for name in ("alpha", "beta")]
    tree.offer(*debs)
    with pytest.raises(AptError, match=r"'greek' is a virtual package.*alpha, beta"):
        tree.catalog.resolve(["greek"], [])


@pytest.mark.parametrize(("name", "word"), [("heart", "essential"), ("lung", "required")])
def test_what_the_system_needs_can_not_be_removed(tree: PackageTree, name: str, word: str) -> None:
    with pytest.raises(AptError, match=f"{name} is {word}"):
        tree.catalog.resolve([], [name])


def test_what_the_system_needs_can_not_be_pushed_out_either(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "knife", conflicts="heart"))
    with pytest.raises(AptError, match="heart"):
        tree.catalog.resolve(["knife"], [])


def test_removing_takes_along_what_depends_and_leaves_what_is_unused(tree: PackageTree) -> None:
    tree.offer(
        build_deb(tree.debs, "alpha", depends="beta"),
        build_deb(tree.debs, "beta", depends="gamma"),
        build_deb(tree.debs, "gamma"),
    )
    add(tree, "alpha")
    plan = tree.catalog.resolve([], ["beta"])
    found = [(change.kind, change.name, change.automatic) for change in plan.changes]
    assert found == [("remove", "alpha", True), ("remove", "beta", False)]
    assert plan.installed_size == -2 * 10 * 1024


def test_nothing_to_do_is_an_empty_plan(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    assert not tree.catalog.resolve(["neighbour"], ["alpha"]).changes


def test_a_plan_comes_on_top_of_what_is_given(tree: PackageTree) -> None:
    tree.offer(
        build_deb(tree.debs, "alpha", depends="common"),
        build_deb(tree.debs, "beta", depends="common"),
        build_deb(tree.debs, "common"),
    )
    plan = tree.catalog.resolve(["alpha"], [], given_install=["beta"], given_remove=["neighbour"])
    assert names(plan.changes) == ["alpha"]


def test_what_is_given_can_be_taken_back(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve([], ["alpha"], given_install=["alpha"])
    assert not plan.changes
    again = tree.catalog.resolve(["neighbour"], [], given_remove=["neighbour"])
    assert not again.changes


def test_what_is_given_is_in_the_way_of_what_conflicts(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", conflicts="beta"), build_deb(tree.debs, "beta"))
    with pytest.raises(AptError, match="alpha conflicts with beta"):
        tree.catalog.resolve(["alpha"], [], given_install=["beta"])


def test_what_is_given_and_known_no_more_is_named_as_such(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    with pytest.raises(NotFoundError, match=r"wanted already.*'beta'"):
        tree.catalog.resolve(["alpha"], [], given_install=["beta"])


def test_a_name_can_not_come_and_go_at_once(tree: PackageTree) -> None:
    with pytest.raises(ValidationError):
        tree.catalog.resolve(["alpha"], ["alpha"])


def test_a_lock_held_by_another_is_respected(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    # One mount of the overlay for both: a lock belongs to a file of one mount.
    program = (
        "import fcntl, sys\n"
        "from pathlib import Path\n"
        "from atomicstate.catalog.client import Catalog\n"
        "from atomicstate.errors import LockedError\n"
        "root = Path(sys.argv[1])\n"
        "lock = (root / 'usr/lib/sysimage/dpkg/lock-frontend').open('w')\n"
        "fcntl.lockf(lock, fcntl.LOCK_EX)\n"
        "try:\n"
        "    Catalog([], root).resolve(['alpha'], [])\n"
        "except LockedError as error:\n"
        "    print(error.message)\n"
    )
    done = subprocess.run(
        [*tree.enter, sys.executable, "-c", program, str(tree.root)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert "another program works on the packages" in done.stdout


# Carrying out


def test_a_plan_is_carried_out_with_progress(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", depends="beta"), build_deb(tree.debs, "beta"))
    plan = tree.catalog.resolve(["alpha"], [])
    assert tree.catalog.state(plan) is PlanState.ABSENT
    seen: list[Progress] = []
    tree.catalog.carry_out(plan, seen.append)
    assert tree.catalog.state(plan) is PlanState.DONE
    assert tree.read("/opt/alpha/version") == "1.0"
    assert tree.catalog.installed(["alpha", "beta", "gamma"]) == {"alpha": "1.0", "beta": "1.0"}
    assert {"alpha", "beta"} <= {progress.package for progress in seen}
    percents = [progress.percent for progress in seen]
    assert percents == sorted(percents)
    assert 0 <= percents[0] <= percents[-1] <= 100


def test_a_dependency_is_marked_as_automatic(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", depends="beta"), build_deb(tree.debs, "beta"))
    add(tree, "alpha")
    states = tree.read("/var/lib/apt/extended_states") or ""
    assert "Package: beta" in states
    assert "Package: alpha" not in states


def test_services_stay_down_meanwhile_and_the_policy_goes_afterwards(tree: PackageTree) -> None:
    ask = "code=0; /usr/sbin/policy-rc.d alpha start || code=$?; echo $code > /opt/code"
    tree.offer(build_deb(tree.debs, "alpha", postinst=ask))
    (tree.upper / "sbin").mkdir(exist_ok=True)
    # Whatever policy this machine has is none of the tree's: a whiteout hides it.
    subprocess.run(["mknod", tree.policy, "c", "0", "0"], check=True, timeout=LIMIT)
    add(tree, "alpha")
    assert tree.read("/opt/code") == "101\n"
    assert not tree.policy.is_file()


def test_a_policy_of_the_trees_own_is_there_again_afterwards(tree: PackageTree) -> None:
    ask = "code=0; /usr/sbin/policy-rc.d alpha start || code=$?; echo $code > /opt/code"
    tree.offer(build_deb(tree.debs, "alpha", postinst=ask))
    tree.policy.parent.mkdir(exist_ok=True)
    tree.policy.write_text("#!/bin/sh\nexit 7\n")
    tree.policy.chmod(0o755)
    add(tree, "alpha")
    assert tree.read("/opt/code") == "101\n"
    assert tree.policy.read_text() == "#!/bin/sh\nexit 7\n"


def test_a_failing_script_is_named_with_what_it_said(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", postinst="echo the oven is cold >&2; exit 3"))
    plan = tree.catalog.resolve(["alpha"], [])
    with pytest.raises(AptError) as caught:
        tree.catalog.carry_out(plan, silent)
    assert caught.value.message.startswith("alpha failed: installed alpha package post-inst")
    assert "the oven is cold" in caught.value.message
    assert tree.catalog.state(plan) is PlanState.PARTIAL


def test_an_archive_that_was_changed_since_is_refused(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve(["alpha"], [])
    tree.offer(build_deb(tree.debs / "other", "alpha", files={"/opt/alpha/evil": "!"}))
    with pytest.raises(AptError, match=r"alpha 1\.0 is offered with another archive"):
        tree.catalog.carry_out(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT


def test_an_archive_that_is_not_the_lists_is_refused(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve(["alpha"], [])
    with (tree.root / "repository/alpha_1.0_all.deb").open("ab") as file:
        file.write(b"more")
    with pytest.raises(AptError, match="nothing was changed"):
        tree.catalog.carry_out(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT


def test_a_version_that_is_gone_is_refused(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve(["alpha"], [])
    tree.offer(build_deb(tree.debs, "alpha", "2.0"))
    with pytest.raises(AptError, match=r"alpha 1\.0 is not offered any more"):
        tree.catalog.carry_out(plan, silent)


def test_a_tree_that_moved_on_is_refused(tree: PackageTree) -> None:
    one, two = build_deb(tree.debs, "alpha"), build_deb(tree.debs, "alpha", "2.0")
    tree.offer(one)
    add(tree, "alpha")
    tree.offer(one, two, build_deb(tree.debs, "alpha", "3.0"))
    plan = tree.catalog.resolve(["alpha"], [])
    tree.catalog.carry_out(plan, silent)
    stale = msgspec.structs.replace(
        plan, changes=(msgspec.structs.replace(plan.changes[0], version="2.0"),)
    )
    with pytest.raises(AptError, match=r"alpha is at 3\.0 now"):
        tree.catalog.carry_out(stale, silent)


def test_what_does_not_fit_is_refused_before_anything_is_changed(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve(["alpha"], [])
    with pytest.raises(NoSpaceError):
        tree.catalog.carry_out(msgspec.structs.replace(plan, installed_size=1 << 60), silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT


def test_a_plan_of_many_packages_reaches_the_worker_whole(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    plan = tree.catalog.resolve(["alpha"], [])
    more = tuple(
        msgspec.structs.replace(plan.changes[0], name=f"alpha-{number}") for number in range(2000)
    )
    with pytest.raises(AptError, match=r"alpha-0 1\.0 is not known any more"):
        tree.catalog.carry_out(msgspec.structs.replace(plan, changes=more), silent)


def test_configuration_that_a_person_changed_stays_in_an_upgrade(tree: PackageTree) -> None:
    def deb(version: str) -> Path:
        return build_deb(
            tree.debs,
            "alpha",
            version,
            files={"/etc/alpha.conf": f"as in {version}\n"},
            conffiles=["/etc/alpha.conf"],
        )

    tree.offer(deb("1.0"))
    add(tree, "alpha")
    (tree.root / "etc/alpha.conf").write_text("mine\n")
    tree.offer(deb("2.0"))
    plan = add(tree, "alpha")
    assert [(change.kind, change.was) for change in plan.changes] == [("upgrade", "1.0")]
    assert tree.read("/etc/alpha.conf") == "mine\n"


def test_a_daemon_that_a_script_leaves_behind_ends_with_the_call(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", postinst="setsid sleep 3331.25 &"))
    began = time.monotonic()
    add(tree, "alpha")
    assert time.monotonic() - began < 30
    assert soon(lambda: not sleeping("3331.25"))


def test_a_hanging_script_is_ended_at_the_limit(
    tree: PackageTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.offer(build_deb(tree.debs, "alpha", postinst="echo waiting for nobody; sleep 3332.25"))
    plan = tree.catalog.resolve(["alpha"], [])
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "2")
    with pytest.raises(AptError, match=r"longer than 2 seconds[^$]*waiting for nobody"):
        tree.catalog.carry_out(plan, silent)
    assert soon(lambda: not sleeping("3332.25"))
    monkeypatch.delenv("ATOMICSTATE_TOOL_TIMEOUT")
    assert tree.catalog.state(plan) is PlanState.PARTIAL
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT


def test_ctrl_c_ends_the_worker_and_takes_the_policy_away(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", postinst="sleep 3333.25"))
    plan = tree.catalog.resolve(["alpha"], [])

    def press(progress: Progress) -> None:
        if progress.message.startswith("Configuring"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tree.catalog.carry_out(plan, press)
    assert soon(lambda: not sleeping("3333.25"))
    assert not tree.policy.exists()
    assert tree.catalog.state(plan) is PlanState.PARTIAL


def test_no_state_of_the_outer_machine_is_touched(tree: PackageTree) -> None:
    def outer() -> list[tuple[str, str, int]]:
        return [
            (str(path), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in (
                Path("/var/lib/dpkg/status"),
                Path("/var/lib/apt/extended_states"),
                *sorted(Path("/var/lib/apt/lists").glob("*Release")),
            )
            if path.exists()
        ]

    before = outer()
    tree.offer(build_deb(tree.debs, "alpha"))
    tree.catalog.revert(add(tree, "alpha"), silent)
    assert outer() == before
    assert not Path("/opt/alpha").exists()


# Taking back


def test_an_install_is_taken_back_with_its_configuration(tree: PackageTree) -> None:
    files = {"/etc/alpha.conf": "x\n", "/opt/alpha/version": "1.0"}
    tree.offer(
        build_deb(tree.debs, "alpha", depends="beta", files=files, conffiles=["/etc/alpha.conf"]),
        build_deb(tree.debs, "beta"),
    )
    plan = add(tree, "alpha")
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/etc/alpha.conf") is None
    assert tree.read("/opt/beta/version") is None


def test_configuration_of_an_earlier_install_is_not_taken_away(tree: PackageTree) -> None:
    tree.offer(
        build_deb(
            tree.debs,
            "alpha",
            files={"/etc/alpha.conf": "x\n"},
            conffiles=["/etc/alpha.conf"],
        )
    )
    add(tree, "alpha")
    (tree.root / "etc/alpha.conf").write_text("mine\n")
    tree.catalog.carry_out(tree.catalog.resolve([], ["alpha"]), silent)
    tree.catalog.revert(add(tree, "alpha"), silent)
    assert tree.read("/etc/alpha.conf") == "mine\n"


def test_a_failed_install_is_taken_back(tree: PackageTree) -> None:
    tree.offer(
        build_deb(tree.debs, "alpha", depends="beta", postinst="exit 1"),
        build_deb(tree.debs, "beta"),
    )
    plan = tree.catalog.resolve(["alpha"], [])
    with pytest.raises(AptError):
        tree.catalog.carry_out(plan, silent)
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/opt/alpha/version") is None


@pytest.mark.parametrize("script", ["prerm", "postrm"])
def test_a_package_whose_scripts_fail_is_taken_back_all_the_same(
    tree: PackageTree, script: str
) -> None:
    tree.offer(build_deb(tree.debs, "alpha", **{script: "exit 1"}))
    plan = add(tree, "alpha")
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/opt/alpha/version") is None


def test_an_upgrade_is_taken_back(tree: PackageTree) -> None:
    one, two = build_deb(tree.debs, "alpha"), build_deb(tree.debs, "alpha", "2.0")
    tree.offer(one)
    add(tree, "alpha")
    tree.offer(one, two)
    plan = add(tree, "alpha")
    assert tree.read("/opt/alpha/version") == "2.0"
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/opt/alpha/version") == "1.0"


def test_an_upgrade_whose_script_fails_is_taken_back(tree: PackageTree) -> None:
    one = build_deb(tree.debs, "alpha")
    tree.offer(one)
    add(tree, "alpha")
    tree.offer(one, build_deb(tree.debs, "alpha", "2.0", postinst="exit 1", prerm="exit 1"))
    plan = tree.catalog.resolve(["alpha"], [])
    with pytest.raises(AptError):
        tree.catalog.carry_out(plan, silent)
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/opt/alpha/version") == "1.0"
    assert not list((tree.root / "var/cache/apt/archives").glob("*.deb"))


def test_taking_back_a_plan_of_which_nothing_is_there_is_no_error(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    tree.catalog.revert(tree.catalog.resolve(["alpha"], []), silent)
    tree.catalog.revert(tree.catalog.resolve(["neighbour"], []), silent)
    assert tree.catalog.installed(["alpha", "neighbour"]) == {"neighbour": "1.0"}


def test_where_the_folder_of_archives_is_gone_it_is_made(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", postrm="exit 1"))
    add(tree, "alpha")
    plan = tree.catalog.resolve([], ["alpha"])
    with pytest.raises(AptError):
        tree.catalog.carry_out(plan, silent)
    shutil.rmtree(tree.root / "var/cache/apt/archives")
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT


def test_an_old_version_that_is_offered_no_more_is_named(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    add(tree, "alpha")
    tree.offer(build_deb(tree.debs, "alpha", "2.0"))
    plan = add(tree, "alpha")
    with pytest.raises(AptError, match=r"alpha 1\.0 is not offered any more"):
        tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.DONE


def test_a_removal_is_taken_back(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha", depends="beta"), build_deb(tree.debs, "beta"))
    add(tree, "alpha")
    plan = tree.catalog.resolve([], ["beta"])
    tree.catalog.carry_out(plan, silent)
    assert tree.catalog.state(plan) is PlanState.DONE
    tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is PlanState.ABSENT
    assert tree.read("/opt/alpha/version") == "1.0"


def test_a_conflicting_package_that_was_replaced_comes_back(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"), build_deb(tree.debs, "rival", conflicts="alpha"))
    add(tree, "alpha")
    plan = add(tree, "rival")
    assert [(change.kind, change.name) for change in plan.changes] == [
        ("remove", "alpha"),
        ("install", "rival"),
    ]
    tree.catalog.revert(plan, silent)
    assert tree.catalog.installed(["alpha", "rival"]) == {"alpha": "1.0"}


# After a kill


@pytest.mark.parametrize("script", ["preinst", "postinst"])
@pytest.mark.parametrize("way", ["finish", "revert"])
def test_a_killed_install_is_finished_or_taken_back(
    tree: PackageTree, script: str, way: str
) -> None:
    sleep_once = "test -e /opt/going || { touch /opt/going; sleep 3334.25; }"
    tree.offer(
        build_deb(tree.debs, "alpha", depends="beta", **{script: sleep_once}),
        build_deb(tree.debs, "beta"),
        build_deb(tree.debs, "omega", depends="alpha"),
        build_deb(tree.debs, "sigma"),
    )
    plan = tree.catalog.resolve(["omega"], [])
    killed_at(tree, plan, "/opt/going")
    # Nothing goes on behind the back of the killed run.
    assert soon(lambda: not sleeping("3334.25"))
    assert tree.catalog.state(plan) is PlanState.PARTIAL
    with pytest.raises(AptError, match="cut short"):
        tree.catalog.resolve(["neighbour"], [])
    # For a plan that is only recorded the tree is good enough.
    recorded = tree.catalog.resolve(["sigma"], [], unclean=True)
    assert "sigma" in names(recorded.comes)
    if way == "finish":
        tree.catalog.finish(plan, silent)
        assert tree.catalog.state(plan) is PlanState.DONE
        assert tree.read("/opt/omega/version") == "1.0"
    else:
        tree.catalog.revert(plan, silent)
        assert tree.catalog.state(plan) is PlanState.ABSENT
        assert tree.read("/opt/alpha/version") is None
    assert not tree.policy.exists()
    assert not tree.catalog.resolve(["neighbour"], []).changes


# The old package's postrm runs when the new files are there: dpkg then wants it unpacked again.
@pytest.mark.parametrize("script", ["preinst", "postrm"])
@pytest.mark.parametrize("way", ["finish", "revert"])
def test_a_killed_upgrade_is_finished_or_taken_back(
    tree: PackageTree, script: str, way: str
) -> None:
    sleep_once = "test -e /opt/going || { touch /opt/going; sleep 3335.25; }"
    old, new = ("", sleep_once) if script == "preinst" else (sleep_once, "")
    one = build_deb(tree.debs, "alpha", postrm=old)
    tree.offer(one)
    add(tree, "alpha")
    tree.offer(one, build_deb(tree.debs, "alpha", "2.0", preinst=new))
    plan = tree.catalog.resolve(["alpha"], [])
    killed_at(tree, plan, "/opt/going")
    assert tree.catalog.state(plan) is PlanState.PARTIAL
    if way == "finish":
        tree.catalog.finish(plan, silent)
    else:
        tree.catalog.revert(plan, silent)
    assert tree.catalog.state(plan) is (PlanState.DONE if way == "finish" else PlanState.ABSENT)
    assert tree.read("/opt/alpha/version") == ("2.0" if way == "finish" else "1.0")


# Package lists


def test_old_lists_stay_where_new_ones_can_not_be_had(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    with (tree.root / "etc/apt/sources.list").open("a") as sources:
        sources.write("deb [trusted=yes] file:/nowhere ./\n")
    with pytest.raises(AptError, match="file:/nowhere"):
        tree.catalog.update(silent)
    assert names(tree.catalog.resolve(["alpha"], []).changes) == ["alpha"]


def test_a_source_without_signature_is_refused(tree: PackageTree) -> None:
    tree.offer(build_deb(tree.debs, "alpha"))
    sources = tree.root / "etc/apt/sources.list"
    sources.write_text(sources.read_text().replace("[trusted=yes] ", ""))
    with pytest.raises(AptError, match=r"/repository/\./Release"):
        tree.catalog.update(silent)


def test_missing_lists_are_the_hint_for_an_unknown_name(tree: PackageTree) -> None:
    with pytest.raises(NotFoundError) as caught:
        tree.catalog.resolve(["alpha"], [])
    assert "package update" in caught.value.hint


def test_a_tree_that_is_none_is_an_error_of_the_host(tmp_path: Path) -> None:
    nowhere = Catalog([], tmp_path / "nowhere")
    with pytest.raises(HostError, match="package database can't be read"):
        nowhere.installed(["alpha"])
    with pytest.raises(HostError, match="nowhere is not there"):
        nowhere.resolve(["alpha"], [])
