"""`config import`, `edit` and `restore` on the command line, over a host in memory."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli import editor
from atomicstate.cli.dispatch import dispatch
from atomicstate.events.asjson import kind
from tests.support.fakehost import fake_host
from tests.support.sessions import Machine, adopted

MODULE = "modules:\n  - type: network\n    body: {hostname: kiosk}\n"


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    machine = adopted(tmp_path / "state", fake_host())
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    return machine


def kinds(machine: Machine) -> list[str]:
    return [kind(event) for event in machine.events()[1:]]


def write(folder: Path, text: str) -> str:
    (folder / "mine.yml").write_text(text)
    return str(folder / "mine.yml")


# -- import ------------------------------------------------------------------------------------


def test_import_answers_with_the_request_and_its_events(machine, tmp_path, capfd):
    assert dispatch(["config", "import", write(tmp_path, MODULE), "-y", "-f", "json"]) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert data["events"] == [
        {"seq": 2, "kind": "module.added", "what": "host name kiosk"},
        {"seq": 3, "kind": "recipe.taken", "what": "the document's layout"},
    ]
    assert data["request"] == machine.events()[1].request
    assert data["warnings"] == []
    assert data["commit"] is None


def test_import_shows_what_it_records_and_the_recipe_then(machine, tmp_path, capfd):
    assert dispatch(["config", "import", write(tmp_path, MODULE), "-y"]) == 0
    out = capfd.readouterr().out
    assert out.startswith("To record\n  host name kiosk\n")
    assert '+      hostname: "kiosk"' in out
    assert "atomicstate undo" in out


def test_import_asks_and_without_a_terminal_needs_y(machine, tmp_path, capfd):
    assert dispatch(["config", "import", write(tmp_path, MODULE)]) == 2
    assert "-y" in capfd.readouterr().err
    assert kinds(machine) == []


def test_import_reads_standard_input(machine, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MODULE.encode())))
    assert dispatch(["config", "import", "-", "-y"]) == 0
    assert kinds(machine) == ["module.added", "recipe.taken"]


def test_import_without_a_file_takes_the_edit_in(machine, capfd):
    path = machine.directory / "recipe/image.yml"
    path.write_text(path.read_text() + "# ours\n")
    assert dispatch(["config", "import", "-y"]) == 0
    assert kinds(machine) == ["recipe.taken"]
    assert "The recipe stays as it is." in capfd.readouterr().out


def test_problems_are_told_to_a_program_one_by_one(machine, tmp_path, capfd):
    words = ["config", "import", write(tmp_path, "modulez: []\nimages: x\n"), "-y", "-f", "json"]
    assert dispatch(words) == 2
    answer = json.loads(capfd.readouterr().out)
    assert answer["data"] is None
    assert [problem["line"] for problem in answer["error"]["problems"]] == [1, 2]
    assert "mine.yml:2:1" in answer["error"]["message"]


def test_a_note_and_given_values_are_recorded_with_it(machine, tmp_path):
    text = MODULE.replace("kiosk", "'${{ Env.HOST }}'")
    file = write(tmp_path, text)
    assert dispatch(["config", "import", file, "-y", "--env", "HOST=a", "-m", "for the hall"]) == 0
    assert kinds(machine) == ["env.set", "module.added", "recipe.taken", "note.added"]
    assert machine.events()[-1].body.text == "for the hall"


def test_nothing_differs_is_no_operation(machine, tmp_path):
    dispatch(["config", "import", write(tmp_path, MODULE), "-y"])
    assert dispatch(["config", "import", write(tmp_path, MODULE), "-y"]) == 8


# -- restore -----------------------------------------------------------------------------------


def test_restore_says_where_the_edit_is_now(machine, capfd):
    path = machine.directory / "recipe/image.yml"
    path.write_text("edited\n")
    assert dispatch(["config", "restore"]) == 0
    assert f"Put back image.yml in {path.parent}." in capfd.readouterr().out
    assert (path.parent / "edited-1/image.yml").read_text() == "edited\n"
    assert dispatch(["config", "restore", "-f", "json"]) == 8


def test_status_tells_of_the_edit(machine, capfd):
    (machine.directory / "recipe/image.yml").write_text("edited\n")
    assert dispatch(["status"]) == 0
    out = capfd.readouterr().out
    assert "edited by hand\n  image.yml was edited\n" in out
    assert "config restore" in out


# -- edit --------------------------------------------------------------------------------------


@pytest.fixture
def terminal(monkeypatch):
    """A terminal, on which the answers are typed that the test gives."""

    def typed(*answers: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))

    monkeypatch.setattr(editor, "can_ask", lambda: True)
    monkeypatch.setattr(cli_app, "can_ask", lambda: True)
    typed()
    return typed


class Desk(NamedTuple):
    """Where an editor works: on the machine, with a terminal on which `n` is typed."""

    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch


@pytest.fixture
def desk(machine, terminal, tmp_path, monkeypatch) -> Desk:
    terminal("n")
    return Desk(tmp_path, monkeypatch)


def an_editor(tmp_path: Path, monkeypatch, *texts: str) -> Path:
    """An editor that writes these texts, one each time it is opened; where it notes its words."""
    for number, text in enumerate(texts):
        (tmp_path / f"text-{number}").write_text(text)
    script = tmp_path / "an editor"
    script.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\necho "$@" >>opened\n'
        "n=$(($(wc -l <opened) - 1))\nfor last; do :; done\n"
        '[ ! -e text-$n ] || cp text-$n "$last"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{script}' --wait")
    return tmp_path / "opened"


def test_edit_records_what_was_written(machine, tmp_path, monkeypatch, terminal):
    opened = an_editor(tmp_path, monkeypatch, "# ours\n" + MODULE)
    terminal("y")
    assert dispatch(["config", "edit"]) == 0
    assert kinds(machine) == ["module.added", "recipe.taken"]
    [words] = opened.read_text().splitlines()
    assert words.startswith("--wait ")
    assert words.endswith("/image.yml")


def test_edit_begins_with_what_is_wanted_as_it_was_laid_out(
    machine, tmp_path, monkeypatch, terminal
):
    dispatch(["config", "import", write(tmp_path, "# ours\n" + MODULE), "-y"])
    monkeypatch.setenv("EDITOR", f"cp -t {tmp_path}")
    assert dispatch(["config", "edit"]) == 8
    text = (tmp_path / "image.yml").read_text()
    assert text.startswith("# ours\nimage: ")
    assert "body: {hostname: kiosk}" in text


def test_problems_are_shown_and_can_be_mended(machine, tmp_path, monkeypatch, terminal, capfd):
    opened = an_editor(tmp_path, monkeypatch, "modulez: []\n", MODULE)
    terminal("y", "y")
    assert dispatch(["config", "edit"]) == 0
    assert len(opened.read_text().splitlines()) == 2
    assert "image.yml:1:1: modulez" in capfd.readouterr().err
    assert kinds(machine) == ["module.added", "recipe.taken"]


@pytest.mark.parametrize(("text", "option"), [("modulez: []\n", "-y"), (MODULE, "-v")])
def test_what_was_written_is_not_lost(desk, capfd, text, option):
    an_editor(*desk, text)
    assert dispatch(["config", "edit", option]) in (2, 130)
    kept = capfd.readouterr().err.split("what you wrote is in ")[1].split()[0]
    assert Path(kept).read_text() == text


def test_edit_without_a_change_is_no_operation(machine, monkeypatch, terminal):
    monkeypatch.setenv("VISUAL", "true")
    assert dispatch(["config", "edit"]) == 8


def test_edit_without_a_terminal_is_refused(machine, monkeypatch, capfd):
    monkeypatch.setenv("EDITOR", "true")
    assert dispatch(["config", "edit", "-y"]) == 2
    assert "needs a terminal" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("false", 15, "false exited 1"),
        ("no-such-editor-here", 15, "is not on this machine"),
        ("'", 2, "is no command"),
        (" ", 2, "names no editor"),
    ],
)
def test_an_editor_that_can_t_be_used_is_told(desk, capfd, command, status, said):
    desk.monkeypatch.setenv("EDITOR", command)
    assert dispatch(["config", "edit"]) == status
    assert said in capfd.readouterr().err


def test_the_editor_is_no_shell(machine, tmp_path, monkeypatch, terminal):
    monkeypatch.setenv("EDITOR", f"true ; touch {tmp_path}/made")
    dispatch(["config", "edit"])
    assert not (tmp_path / "made").exists()
