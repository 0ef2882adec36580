"""The last step of an apply puts image.yml and its resources in place: killed anywhere, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from atomicstate import failpoints
from atomicstate.engine import apply, base, importing, packages, rollback, unfinished
from atomicstate.engine.importing import Options, Source
from atomicstate.engine.results import Silent
from atomicstate.engine.status import status
from tests.support.fakehost import Crash, fake_host
from tests.support.sessions import Machine, adopted

if TYPE_CHECKING:
    from pathlib import Path

SILENT = Silent()
TEXT = """\
# ours
modules:
  - type: copy
    body: {source: motd, destination: /etc/motd}
"""
MORE = TEXT + "  - type: copy\n    body: {source: more, destination: /opt/more}\n"
POINTS = (
    "promote.started",
    "promote.containerfile",
    "recipe.staged",
    "recipe.moved-away",
    "recipe.placed",
    "promote.done",
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One whose image.yml and resource came of an apply, with a change of both pending."""
    made = adopted(tmp_path / "state", fake_host())
    folder = tmp_path / "resources"
    (folder / "more").mkdir(parents=True)
    (folder / "more/file").write_text("more")
    for text, motd in ((TEXT, "hello"), (MORE, "bye")):
        (folder / "motd").write_text(motd)
        source = Source(text.encode(), "image.yml", folder)
        made.command(lambda s, source=source: take(s, source))
        if text == TEXT:
            made.command(apply_all)
    return made


def take(session, source: Source) -> None:
    importing.carry_out(session, importing.propose(session, source, Options()), SILENT)


def apply_all(session):
    return apply.carry_out(session, apply.propose(session), SILENT)


def tree(machine: Machine) -> dict[str, str]:
    folder = machine.directory / "recipe"
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "Containerfile"
    }


def of(text: str, **resources: str) -> dict[str, str]:
    image = text.replace("modules:", 'image: "localhost/base:test"\nmodules:', 1)
    return {"image.yml": image, **{f"resources/{k}": v for k, v in resources.items()}}


BEFORE = of(TEXT, motd="hello")
AFTER = of(MORE, motd="bye", **{"more/file": "more"})


def test_an_apply_puts_all_in_place(machine):
    assert tree(machine) == BEFORE
    machine.command(apply_all)
    assert tree(machine) == AFTER
    assert machine.command(status).drift is None


def killed_at(machine: Machine, monkeypatch, point: str, work) -> None:
    def reach(name: str) -> None:
        if name == point:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "reach", reach)
        machine.killed(work)


@pytest.mark.parametrize("point", POINTS)
def test_killed_on_the_way_it_is_gone_on_with(machine, monkeypatch, point):
    killed_at(machine, monkeypatch, point, apply_all)
    assert machine.command(status).drift is None
    machine.command(lambda s: unfinished.resume(s, SILENT))
    assert tree(machine) == AFTER
    assert machine.command(status).drift is None


@pytest.mark.parametrize("point", POINTS)
def test_killed_on_the_way_it_is_taken_back(machine, monkeypatch, point):
    killed_at(machine, monkeypatch, point, apply_all)
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert tree(machine) == BEFORE
    assert machine.command(status).drift is None


@pytest.mark.parametrize("point", ["promote.taking-back", "recipe.staged", "recipe.placed"])
def test_killed_while_it_is_taken_back_it_is_taken_back_again(machine, monkeypatch, point):
    killed_at(machine, monkeypatch, "promote.done", apply_all)
    assert tree(machine) == AFTER
    killed_at(machine, monkeypatch, point, lambda s: unfinished.abort(s, SILENT))
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert tree(machine) == BEFORE


@pytest.mark.parametrize("again", [unfinished.abort, unfinished.resume])
@pytest.mark.parametrize(
    ("booted", "point"),
    [
        (True, "unstage.started"),
        (True, "unstage.done"),
        (True, "promote.taking-back"),
        # What was staged before is staged again, in its place.
        (False, "switch.started"),
        (False, "switch.done"),
        (False, "promote.taking-back"),
    ],
)
def test_the_power_goes_while_it_is_taken_back(machine, monkeypatch, booted, point, again):
    if booted:
        machine.host.reboot()
    killed_at(machine, monkeypatch, "promote.done", apply_all)
    killed_at(machine, monkeypatch, point, lambda s: unfinished.abort(s, SILENT))
    machine.host.reboot(power_cut=True)
    machine.command(lambda s: again(s, SILENT))
    assert tree(machine) == BEFORE
    assert machine.command(status).drift is None
    assert machine.command(status).unfinished == []


def test_the_containerfile_is_brought_up_to_date_where_the_recipe_stays(machine, monkeypatch):
    machine.command(apply_all)
    containerfile = machine.directory / "recipe/Containerfile"
    before = containerfile.read_bytes()
    machine.host.registry["localhost/base:test"] = frozenset({"bash", "dash"})
    machine.command(lambda s: base.update(s, SILENT))
    killed_at(machine, monkeypatch, "promote.started", apply_all)
    assert containerfile.read_bytes() == before
    machine.command(lambda s: unfinished.resume(s, SILENT))
    assert tree(machine) == AFTER
    assert containerfile.read_bytes() != before


@pytest.mark.parametrize("again", ["", "promote.taking-back"])
def test_the_containerfile_beside_the_recipe_is_taken_back_with_it(machine, monkeypatch, again):
    containerfile = machine.directory / "recipe/Containerfile"
    before = containerfile.read_bytes()
    killed_at(machine, monkeypatch, "promote.done", apply_all)
    assert containerfile.read_bytes() != before
    if again:
        killed_at(machine, monkeypatch, again, lambda s: unfinished.abort(s, SILENT))
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert containerfile.read_bytes() == before


def test_the_containerfile_of_what_was_unstaged_comes_back_as_the_recipe_does(machine, monkeypatch):
    machine.command(apply_all)
    machine.command(lambda s: rollback.carry_out(s, rollback.propose(s), SILENT))
    containerfile = machine.directory / "recipe/Containerfile"
    before = containerfile.read_bytes()
    proposal = packages.propose
    machine.command(
        lambda s: packages.carry_out(s, proposal(s, "add", ("jq",), live=False), SILENT)
    )
    killed_at(machine, monkeypatch, "promote.done", apply_all)
    assert containerfile.read_bytes() != before
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert containerfile.read_bytes() == before


def test_the_containerfile_of_a_first_apply_is_gone_after_its_abort(tmp_path, monkeypatch):
    machine = adopted(tmp_path / "state", fake_host())
    (tmp_path / "motd").write_text("hello")
    machine.command(lambda s: take(s, Source(TEXT.encode(), "image.yml", tmp_path)))
    killed_at(machine, monkeypatch, "promote.done", apply_all)
    assert (machine.directory / "recipe/Containerfile").exists()
    machine.command(lambda s: unfinished.abort(s, SILENT))
    assert not (machine.directory / "recipe/Containerfile").exists()


def test_the_containerfile_stays_where_the_recipe_was_edited_meanwhile(machine):
    containerfile = machine.directory / "recipe/Containerfile"
    before = containerfile.read_bytes()

    def edit(when, name):
        if (when, name) == ("after", "stage"):
            (machine.directory / "recipe/image.yml").write_text("modules: []\n")

    machine.host.on_effect = edit
    machine.command(apply_all)
    assert containerfile.read_bytes() == before


def test_what_a_person_edits_meanwhile_is_left_alone(machine, monkeypatch):
    killed_at(machine, monkeypatch, "promote.started", apply_all)
    edited = machine.directory / "recipe/resources/motd"
    edited.write_text("mine")
    machine.command(lambda s: unfinished.resume(s, SILENT))
    assert tree(machine) == {**BEFORE, "resources/motd": "mine"}
    assert machine.command(status).drift == "resources/motd was edited"
    assert "step.skipped" in machine.kinds()


def a_folder_for(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_itself_for(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def a_file_for_the_folder_of(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.write_text("")


@pytest.mark.parametrize("again", [unfinished.abort, unfinished.resume])
@pytest.mark.parametrize("name", ["image.yml", "Containerfile"])
@pytest.mark.parametrize("put", [a_folder_for, a_link_to_itself_for, a_file_for_the_folder_of])
def test_what_is_no_file_there_is_an_edit_like_any_other(machine, monkeypatch, put, name, again):
    killed_at(machine, monkeypatch, "switch.done", apply_all)
    put(machine.directory / "recipe" / name)
    machine.command(lambda s: again(s, SILENT))
    assert machine.command(status).unfinished == []
    if name == "image.yml":
        assert machine.command(status).drift is not None


def test_a_recipe_that_the_program_wrote_stays_canonical(tmp_path):
    made = adopted(tmp_path / "state", fake_host())
    source = Source(b"modules: []\nenv: {A: b}\n", "image.yml", tmp_path)
    made.command(lambda s: take(s, source))
    made.command(apply_all)
    begun = next(e.body for e in made.events() if hasattr(e.body, "promoted") and e.body.add)
    assert begun.promoted != ""
    other = adopted(tmp_path / "other", fake_host())
    other.command(
        lambda s: packages.carry_out(s, packages.propose(s, "add", ("jq",), live=False), SILENT)
    )
    other.command(apply_all)
    begun = next(e.body for e in other.events() if hasattr(e.body, "promoted") and e.body.add)
    assert begun.promoted == ""
