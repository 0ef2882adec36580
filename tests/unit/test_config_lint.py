"""`config lint`: advice on a document, or on what the log gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fakehost import fake_host
from tests.support.program import atomicstate
from tests.support.sessions import adopted

if TYPE_CHECKING:
    from pathlib import Path

FINE = "modules:\n  - {type: shell, body: {command: 'true'}}\n"
POOR = "modules:\n  - {type: shell, body: {command: reboot}}\n"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "resources").mkdir()
    return tmp_path / "image.yml"


def lint(document: Path, text: str, *words: str):
    document.write_text(text)
    return atomicstate("config", "lint", document, *words)


def test_nothing_found_is_told_so(document):
    ran = lint(document, FINE, "--strict")
    assert (ran.status, ran.stdout, ran.stderr) == (0, "Nothing was found.\n", "")


def test_a_finding_has_its_place_its_reason_and_what_to_do(document):
    ran = lint(document, POOR)
    assert ran.status == 0
    head, reason, instead, blank, last = ran.stdout.splitlines()
    assert head == "modules[0].body.command: warning running-system"
    assert reason.startswith("  line 1 calls 'reboot': nothing of the system runs")
    assert instead.startswith("  Instead: ")
    assert (blank, last) == ("", "One thing was found.")


def test_it_is_told_to_a_program(document):
    (finding,) = lint(document, POOR, "-f", "json").data["findings"]
    assert finding["rule"] == "running-system"
    assert (finding["module"], finding["path"]) == ("modules[0]", "body.command")
    assert (finding["severity"], finding["event"]) == ("warning", 0)


@pytest.mark.parametrize("form", ["text", "json"])
def test_it_is_an_error_where_that_was_asked_for(document, form):
    assert lint(document, POOR, "--strict", "-f", form).status == 2


def test_the_files_of_the_resources_count(document):
    (document.parent / "resources/var").mkdir()
    (document.parent / "resources/var/x").touch()
    text = "modules:\n  - {type: copy, body: {source: var, destination: /var}}\n"
    assert "/var/x will not be there" in lint(document, text).stdout


def test_what_can_not_be_looked_at_is_said(document):
    text = FINE + "  - {type: include, body: {targets: [/usr/share/x.yml]}}\n"
    ran = lint(document, text)
    assert ran.status == 0
    assert "not looked at: modules[1].body.targets[0]: there is no" in ran.stdout


def test_a_document_with_problems_is_refused_with_each(document):
    ran = lint(document, "modules:\n  - {type: shell, body: {comand: reboot}}\n")
    assert ran.status == 2
    assert "is no key of a module of the type shell" in ran.stderr


def test_a_value_of_env_can_be_given(document):
    text = "modules:\n  - {type: shell, if: Env.A == 'b', body: {command: reboot}}\n"
    assert "One thing was found" in lint(document, text, "--env", "A=b").stdout
    assert "Nothing was found" in lint(document, text, "--env", "A=c").stdout


def test_a_document_needs_no_state_directory_and_makes_none(document, tmp_path):
    document.write_text(FINE)
    state = tmp_path / "state"
    assert atomicstate("--state-dir", state, "config", "lint", document).status == 0
    assert not state.exists()


def test_without_a_document_it_is_the_recipe_of_the_log(tmp_path):
    host = fake_host()
    recipe = tmp_path / "state/recipe/image.yml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(f"image: {host.deployments['booted'].image}\n{POOR}")
    machine = adopted(tmp_path / "state", host)
    ran = atomicstate("--state-dir", machine.directory, "config", "lint", "-f", "json")
    (finding,) = ran.data["findings"]
    assert (finding["rule"], ran.data["file"]) == ("running-system", "")


def test_without_a_document_it_needs_a_log(tmp_path):
    assert atomicstate("--state-dir", tmp_path / "none", "config", "lint").status == 3


def test_options_for_a_document_need_one(tmp_path):
    ran = atomicstate("--state-dir", tmp_path, "config", "lint", "--env", "A=b")
    assert ran.status == 2
    assert "go with a FILE" in ran.stderr
