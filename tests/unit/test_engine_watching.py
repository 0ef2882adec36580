"""What a watch does with an edit: recorded as its owner's, told where it can't be, built."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atomicstate.engine import apply, packages, undo, watching
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from atomicstate.engine.watching import Outcome, RecipeKeeper, Seen
from atomicstate.errors import ContainerError, NotFoundError
from atomicstate.events.asjson import kind
from tests.support.fakehost import fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

FIRST = """\
modules:
  - type: packages
    body: {install: [tree]}
"""
SECOND = """\
modules:
  - type: packages
    body: {install: [tree]}
  - type: shell
    body: {command: echo one}
"""
BROKEN = "modules:\n  - type: packages\n    body: {instal: [tree]}\n"
COPY = "modules:\n  - type: copy\n    body: {source: root, destination: /}\n"


class Watched:
    """A machine whose recipe a keeper looks at."""

    def __init__(self, machine: Machine, *, builds: bool = False) -> None:
        self.machine = machine
        self.folder = machine.directory / "recipe"
        self.told: list[Outcome] = []
        self.keeper = self.another(builds=builds)

    def another(self, *, builds: bool = False) -> RecipeKeeper:
        """A keeper of another process."""
        return RecipeKeeper(
            lambda: self.machine.session("watch"),
            lambda: contextlib.nullcontext(Silent()),
            self.told.append,
            builds=builds,
        )

    def edit(self, text: str, owner: int | None = None) -> Path:
        path = self.folder / "image.yml"
        path.write_text(text)
        if owner is not None:
            os.chown(path, owner, owner)
        return path

    def look(self) -> Seen:
        return self.keeper.look()

    def last(self, outcome: str) -> Outcome:
        """What was told last, which is of this kind."""
        assert self.told[-1].kind == outcome, self.told
        return self.told[-1]

    def new(self, start: int = 2) -> list[str]:
        return [kind(event) for event in self.machine.events()[start - 1 :]]

    def apply(self) -> None:
        self.machine.command(
            lambda session: apply.carry_out(session, apply.propose(session), Silent())
        )


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(adopted(tmp_path / "state", fake_host()))


@pytest.fixture
def building(tmp_path: Path) -> Watched:
    return Watched(adopted(tmp_path / "state", fake_host()), builds=True)


# -- recording ---------------------------------------------------------------------------------


def test_nothing_edited_is_nothing_done(watched):
    assert watched.look() == Seen()
    assert watched.told == []
    assert watched.new() == []


def test_an_edit_is_recorded_as_its_owners(watched):
    watched.edit(FIRST, owner=1)
    assert watched.look() == Seen()
    outcome = watched.last("recorded")
    events = {event.seq: event for event in watched.machine.events()}
    assert [kind(events[seq]) for seq in outcome.events] == ["module.added", "recipe.taken"]
    actors = {events[seq].actor for seq in outcome.events}
    (actor,) = actors
    assert (actor.uid, actor.user, actor.login_uid, actor.verb) == (1, "daemon", -1, "watch")
    assert outcome.user == "daemon"
    assert outcome.message.startswith("recorded of daemon: ")


def test_an_owner_without_a_name_is_known_by_number(watched):
    watched.edit(FIRST, owner=54321)
    watched.look()
    assert watched.last("recorded").user == "54321"


def test_what_the_host_shows_meanwhile_was_not_seen_by_the_owner(watched):
    watched.machine.host.reboot()
    watched.edit(FIRST, owner=1)
    watched.look()
    users = {kind(event): event.actor.user for event in watched.machine.events()[1:]}
    assert users == {"host.booted": "root", "module.added": "daemon", "recipe.taken": "daemon"}


def test_only_the_difference_is_recorded(watched):
    watched.edit(FIRST)
    watched.look()
    before = len(watched.machine.events())
    watched.edit(SECOND)
    watched.look()
    assert watched.new(before + 1) == ["module.added", "recipe.taken"]


def test_an_edit_is_recorded_once(watched):
    watched.edit(FIRST)
    watched.look()
    before = watched.new()
    assert watched.look() == watched.another().look() == Seen()
    assert watched.new() == before
    assert len(watched.told) == 1


def test_a_touched_or_replaced_file_of_the_same_content_is_no_edit(watched):
    path = watched.folder / "image.yml"
    fresh = watched.folder / "new"
    fresh.write_bytes(path.read_bytes())
    fresh.replace(path)
    path.touch()
    watched.look()
    assert watched.new() == []


def test_what_the_program_writes_itself_is_no_edit(watched):
    watched.machine.command(
        lambda session: packages.carry_out(
            session, packages.propose(session, "add", ["jq"], live=False), Silent()
        )
    )
    watched.apply()
    before = watched.new()
    assert "jq" in (watched.folder / "image.yml").read_text()
    watched.look()
    assert watched.new() == before
    assert watched.told == []


def test_an_edit_leaves_what_was_asked_for_since(watched):
    watched.machine.command(
        lambda session: packages.carry_out(
            session, packages.propose(session, "add", ["jq"], live=False), Silent()
        )
    )
    watched.edit((watched.folder / "image.yml").read_text().replace("modules: []", SECOND))
    watched.look()
    assert [name for name in watched.new() if name.startswith("package")] == ["package.added"]


def test_an_edit_is_undone_as_a_whole_and_is_not_recorded_again(watched):
    watched.edit(SECOND)
    watched.look()
    (request,) = {event.request for event in watched.machine.events()[1:]}
    watched.machine.command(
        lambda session: undo.carry_out(
            session, undo.propose(session, undo.UNDO, [request]), Silent()
        )
    )
    assert watched.new()[-1] == "wanted.changed"
    before = watched.new()
    watched.look()
    assert watched.new() == before


OURS = str(Path(watching.__file__).parents[1] / "*")


def test_it_holds_no_more_after_many_edits(watched):
    def edits(numbers: range) -> int:
        for number in numbers:
            watched.edit(SECOND.replace("one", f"{number}"))
            watched.look()
            watched.told.clear()
        gc.collect()
        # What this program holds: a module that is loaded meanwhile is no leak.
        ours = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, OURS)])
        return sum(of_file.size for of_file in ours.statistics("filename"))

    tracemalloc.start()
    try:
        first = edits(range(20))
        # A session that is kept has a tenth of this.
        assert edits(range(20, 60)) - first < 250_000
    finally:
        tracemalloc.stop()


# -- resources ---------------------------------------------------------------------------------


def test_a_changed_resource_is_recorded_as_its_owners(watched):
    (watched.folder / "resources/root").mkdir(parents=True)
    (watched.folder / "resources/root/a").write_text("1")
    watched.edit(COPY)
    watched.look()
    before = len(watched.machine.events())
    (watched.folder / "resources/root/a").write_text("2")
    os.chown(watched.folder / "resources/root", 2, 2)
    watched.look()
    assert watched.new(before + 1) == ["resource.set", "recipe.taken"]
    assert watched.last("recorded").user == "bin"


def test_a_resource_that_comes_after_the_module_that_names_it_is_recorded(watched):
    watched.edit(COPY)
    watched.look()
    assert "resource.set" not in watched.new()
    (watched.folder / "resources/root").mkdir(parents=True)
    (watched.folder / "resources/root/a").write_text("1")
    watched.look()
    assert "resource.set" in watched.new()


def test_a_file_that_nothing_names_is_no_edit(watched):
    (watched.folder / "resources").mkdir()
    (watched.folder / "resources/notes").write_text("1")
    watched.look()
    assert watched.new() == []


def test_a_link_out_of_the_resources_is_told(watched, tmp_path):
    (watched.folder / "resources").mkdir()
    (watched.folder / "resources/root").symlink_to(tmp_path)
    watched.edit(COPY)
    watched.look()
    assert "leads out" in watched.last("refused").message
    assert watched.new() == []


# -- what can't be taken -----------------------------------------------------------------------


def test_an_invalid_edit_is_told_once_and_changes_nothing(watched):
    watched.edit(BROKEN, owner=1)
    for _look in range(3):
        assert watched.look() == Seen()
    (outcome,) = watched.told
    assert (outcome.kind, outcome.user, outcome.error.code) == ("refused", "daemon", "VALIDATION")
    assert "instal" in outcome.message
    assert watched.new() == []


def test_a_mended_edit_is_recorded(watched):
    watched.edit(BROKEN)
    watched.look()
    watched.edit(FIRST)
    watched.look()
    assert [outcome.kind for outcome in watched.told] == ["refused", "recorded"]


def test_an_edit_that_is_taken_back_is_told(watched):
    before = (watched.folder / "image.yml").read_text()
    watched.edit(BROKEN)
    watched.look()
    watched.edit(before)
    watched.look()
    watched.look()
    assert [outcome.kind for outcome in watched.told] == ["refused", "settled"]
    assert watched.new() == []


def test_another_problem_is_told_too(watched):
    for text in (BROKEN, "modules: {", BROKEN):
        watched.edit(text)
        watched.look()
    assert len(watched.told) == 3


def test_a_file_that_is_gone_is_told_and_changes_nothing(watched):
    (watched.folder / "image.yml").unlink()
    assert watched.look() == Seen()
    assert watched.last("refused").error.code == "NOT_FOUND"
    assert watched.new() == []


def test_a_folder_that_is_gone_is_told_and_changes_nothing(watched):
    shutil.rmtree(watched.folder)
    assert watched.look() == Seen()
    assert watched.last("refused").error.code == "NOT_FOUND"
    assert watched.new() == []


def test_a_likely_secret_is_told_and_not_recorded(watched):
    watched.edit('modules: []\nenv: {API_TOKEN: "ghp_' + "a1B2" * 9 + '"}\n')
    watched.look()
    assert watched.last("refused").error.code == "VALIDATION"
    assert watched.new() == []


def test_a_pipe_in_its_place_is_not_waited_for(watched):
    (watched.folder / "image.yml").unlink()
    os.mkfifo(watched.folder / "image.yml")
    assert watched.look() == Seen()
    assert "is no file" in watched.last("refused").message


def test_a_huge_file_is_not_read(watched):
    with (watched.folder / "image.yml").open("wb") as file:
        file.truncate(1 << 40)
    assert watched.look() == Seen()
    assert "is larger than" in watched.last("refused").message


def test_what_can_not_be_read_now_is_tried_again_ever_more_rarely(watched, monkeypatch):
    def failing(*_arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    watched.edit(FIRST)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.read_bytes", failing)
        waits = [watched.look().again for _look in range(9)]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert [outcome.error.code for outcome in watched.told] == ["PERMISSION"]
    assert watched.look() == Seen()
    assert watched.last("recorded")


def test_a_log_that_is_not_there_is_raised(tmp_path):
    watched = Watched(Machine(tmp_path / "none", fake_host()))
    with pytest.raises(NotFoundError):
        watched.look()


# -- building ----------------------------------------------------------------------------------


def test_an_edit_is_to_be_built_where_that_was_asked_for(building):
    assert building.look() == Seen()
    building.edit(FIRST)
    assert building.look() == Seen(build=True)
    building.keeper.build()
    outcome = building.last("built")
    assert building.machine.command(status).state == "switched"
    assert outcome.transaction
    assert building.look() == Seen()


def test_without_being_asked_for_nothing_is_built(watched):
    watched.edit(FIRST)
    assert watched.look() == Seen()


def test_what_others_asked_for_is_not_built_by_itself(building):
    building.machine.command(
        lambda session: packages.carry_out(
            session, packages.propose(session, "add", ["jq"], live=False), Silent()
        )
    )
    assert building.look() == Seen()


def test_what_was_recorded_and_not_built_before_a_kill_is_built_afterwards(building):
    building.edit(FIRST)
    building.look()
    assert building.another(builds=True).look() == Seen(build=True)


def test_a_build_that_fails_is_told_and_not_tried_again_before_another_edit(building):
    building.edit(FIRST)
    building.look()
    building.machine.host.failing["build"] = ContainerError("no luck")
    building.keeper.build()
    assert building.last("failed").error.code == "CONTAINER"
    assert building.look() == Seen()
    building.machine.host.failing.clear()
    building.edit(SECOND)
    assert building.look() == Seen(build=True)
    building.keeper.build()
    assert building.last("built")


def test_a_build_waits_while_another_run_is_under_way(building):
    building.edit(FIRST)
    building.look()
    with building.machine.session("apply") as other, other.pipeline():
        building.keeper.build()
        assert building.last("failed").error.code == "LOCKED"
        seen = building.look()
        assert not seen.build
        assert 0 < seen.again <= 2
        building.keeper.build()
        assert len([o for o in building.told if o.kind == "failed"]) == 1
    building.keeper._not_before = 0.0
    assert building.look() == Seen(build=True)
    building.keeper.build()
    assert building.last("built")
