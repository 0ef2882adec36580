"""What dpkg's database means for a plan."""

from __future__ import annotations

import pytest

from atomicstate.catalog.dpkg import PlanState, parse, plan_state
from atomicstate.errors import HostError
from atomicstate.events.plan import PackageChange, Plan

INSTALL = PackageChange("install", "jq", "1.6", "amd64")
UPGRADE = PackageChange("upgrade", "mc", "2", "amd64", was="1")
REMOVE = PackageChange("remove", "vim", "9", "amd64", was="9")
PLAN = Plan((INSTALL, UPGRADE, REMOVE))


def state(*lines: str) -> PlanState:
    return plan_state(PLAN, parse("".join(line.replace(" ", "\t", 2) + "\n" for line in lines)))


def line(name: str, status: str, version: str, architecture: str = "amd64") -> str:
    return f"{name} {architecture} {status:<3}\t{version}"


def test_all_at_their_new_version_is_done() -> None:
    assert state(line("jq", "ii", "1.6"), line("mc", "ii", "2")) is PlanState.DONE


def test_configuration_that_stays_is_done_too() -> None:
    done = (line("jq", "ii", "1.6"), line("mc", "ii", "2"), line("vim", "rc", "9"))
    assert state(*done) is PlanState.DONE


def test_a_held_package_is_installed() -> None:
    assert state(line("jq", "hi", "1.6"), line("mc", "ii", "2")) is PlanState.DONE


def test_all_at_their_old_version_is_absent() -> None:
    assert state(line("mc", "ii", "1"), line("vim", "ii", "9")) is PlanState.ABSENT


def test_some_at_their_new_version_is_partial() -> None:
    assert state(line("jq", "ii", "1.6"), line("mc", "ii", "1"), line("vim", "ii", "9")) is (
        PlanState.PARTIAL
    )


def test_a_version_that_is_neither_is_partial() -> None:
    assert state(line("jq", "ii", "1.7"), line("mc", "ii", "2")) is PlanState.PARTIAL


@pytest.mark.parametrize("status", ["iH", "iU", "iF", "iW", "it", "iiR", "rH", "pF"])
def test_a_package_in_the_middle_is_partial(status: str) -> None:
    assert state(line("jq", status, "1.6"), line("mc", "ii", "2")) is PlanState.PARTIAL


def test_a_neighbour_with_a_pending_trigger_is_partial() -> None:
    lines = (line("jq", "ii", "1.6"), line("mc", "ii", "2"), line("man-db", "it", "1"))
    assert state(*lines) is PlanState.PARTIAL


def test_a_foreign_architecture_is_another_package() -> None:
    assert state(
        line("jq", "ii", "1.6", "i386"), line("mc", "ii", "1"), line("vim", "ii", "9")
    ) is (PlanState.ABSENT)


def test_a_package_that_became_independent_of_the_architecture_is_the_same() -> None:
    assert state(line("jq", "ii", "1.6"), line("mc", "ii", "2", "all")) is PlanState.DONE


def test_an_empty_plan_is_done() -> None:
    assert plan_state(Plan(), parse("dpkg\tamd64\tii \t1\n")) is PlanState.DONE


@pytest.mark.parametrize(
    "said",
    [
        "",
        "\n",
        "jq\n",
        "\ufffd{\ufffd[\n",
        "jq\tamd64\tii \n",
        "jq\tamd64\t\t1\n",
        "a\tb\tii \t1\tc\n",
    ],
)
def test_what_dpkg_never_says_is_no_answer(said: str) -> None:
    """A database that names no package would have every plan be absent."""
    with pytest.raises(HostError, match="the package database can't be read: dpkg-query answered"):
        parse(said)
