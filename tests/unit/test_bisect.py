"""Finding the action that broke something, over a host in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate.cli.commands.bisect import _text
from atomicstate.cli.commands.bisect import run as run_command
from atomicstate.cli.terminal import Look
from atomicstate.engine import bisect, leftovers, packages
from atomicstate.engine.results import Silent
from atomicstate.errors import ConflictError, NotFoundError, ValidationError
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()
NAMES = ("jq", "tree", "nano", "vim", "hello")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = adopted(tmp_path / "state", fake_host())
    for name in NAMES:
        machine.command(lambda session, name=name: add(session, name))
    return machine


def add(session, name):
    proposal = packages.propose(session, "add", (name,), live=False)
    return packages.carry_out(session, proposal, SILENT)


def lacks(name: str) -> tuple[str, ...]:
    """Good while the package is not there."""
    return ("lacks", name)


def run(machine: Machine, *argv: str):
    return machine.command(lambda session: bisect.run(session, argv, SILENT))


def started(machine: Machine, bad: str = "HEAD", good: str = "1"):
    return machine.command(lambda session: bisect.start(session, bad, good))


@pytest.fixture
def breaking(machine: Machine) -> Machine:
    """`lacks NAME` is good without the package."""
    has = machine.host.builder.run
    machine.host.builder.run = lambda image, argv, on_line: int(not has(image, argv, on_line))
    return machine


@pytest.mark.parametrize("name", NAMES)
def test_the_action_that_broke_it_is_named(breaking: Machine, name: str) -> None:
    started(breaking)
    found = run(breaking, *lacks(name))
    assert found.event is not None
    body = next(event.body for event in breaking.events() if event.seq == found.event)
    assert body.names == (name,)
    assert len(found.verdicts) <= 3


def test_a_kill_loses_one_answer_at_most(breaking: Machine) -> None:
    started(breaking)
    breaking.host.after["build"] = Crash()
    breaking.killed(lambda session: bisect.run(session, lacks("nano"), SILENT))
    breaking.host.after.clear()
    built = breaking.host.calls.count("build")
    found = run(breaking, *lacks("nano"))
    assert found.event is not None
    # What was built before the kill is found again.
    assert breaking.host.calls.count("build") - built < 3


def test_what_can_not_be_told_leaves_several_suspects(machine: Machine) -> None:
    started(machine)
    found = run(machine, "exit", "125")
    assert found.event is None
    assert len(found.suspects) == len(NAMES)


def test_an_exit_status_of_neither_is_no_verdict(machine: Machine) -> None:
    started(machine)
    with pytest.raises(ValidationError, match="neither"):
        run(machine, "exit", "137")
    assert machine.command(bisect.status).verdicts == {}


def test_points_in_the_wrong_order_are_refused(machine: Machine) -> None:
    with pytest.raises(ValidationError):
        started(machine, bad="1", good="HEAD")
    with pytest.raises(NotFoundError):
        machine.command(bisect.status)


def test_only_one_at_a_time(machine: Machine) -> None:
    started(machine)
    with pytest.raises(ConflictError):
        started(machine)


def test_its_end_drops_what_it_built_and_nothing_else(breaking: Machine) -> None:
    before = set(breaking.host.images)
    started(breaking)
    run(breaking, *lacks("nano"))
    assert set(breaking.host.images) > before
    breaking.command(bisect.reset)
    assert set(breaking.host.images) == before
    with pytest.raises(NotFoundError):
        breaking.command(bisect.status)


def test_nothing_is_recorded_by_looking(breaking: Machine) -> None:
    before = len(breaking.events())
    started(breaking)
    run(breaking, *lacks("nano"))
    assert len(breaking.events()) == before


def test_tidying_by_another_command_leaves_a_running_build_its_files(breaking: Machine) -> None:
    started(breaking)
    build = breaking.host.builder.build

    def bisected(session):
        def meanwhile(context, containerfile, *rest):
            leftovers.clean(session)
            build(context, containerfile, *rest)

        breaking.host.builder.build = meanwhile
        return bisect.run(session, lacks("nano"), SILENT)

    assert breaking.command(bisected).event is not None


def test_its_end_leaves_no_file_even_of_a_killed_build(breaking: Machine) -> None:
    started(breaking)
    (breaking.directory / "bisect").mkdir()
    (breaking.directory / "bisect/Containerfile").touch()
    breaking.command(bisect.reset)
    assert not list(breaking.directory.glob("bisect*"))


def test_the_options_of_the_command_that_is_run_are_its_own() -> None:
    context = run_command.make_context("run", ["-y", "sh", "-c", "test -e /x", "-f", "--", "-v"])
    assert context.params["argv"] == ("sh", "-c", "test -e /x", "-f", "--", "-v")
    assert context.params["format_"] == "text"


def test_what_broke_it_is_told_with_who_and_when(breaking: Machine) -> None:
    started(breaking)
    text = _text(run(breaking, *lacks("nano")), Look())
    seq = 2 + NAMES.index("nano")
    assert f"Event {seq} broke it: add nano (root, " in text
    assert f"atomicstate undo {seq}" in text
