"""How answers, errors and questions come out of the command line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from atomicstate import errors
from atomicstate.cli.commands.apply import apply
from atomicstate.cli.main import main
from atomicstate.cli.root import root
from atomicstate.machine import diagram
from tests.support.program import PROGRAM, atomicstate

ALL_ERRORS = [
    item
    for item in vars(errors).values()
    if isinstance(item, type) and issubclass(item, errors.AtomicstateError)
]

EMPTY = [
    ["--sandbox", "", "status"],
    ["--state-dir", "", "status"],
    ["apply", "--onto", "", "-y"],
    ["rollback", "--to", "", "-y"],
    ["sandbox", "create", ""],
    ["sandbox", "reboot", ""],
    ["sandbox", "destroy", "", "-y"],
]
"""What a script gives whose variable is not set: it must not stand for "this very place"."""

ASKING = [
    ["package", "add", "jq"],
    ["package", "remove", "jq"],
    ["apply"],
    ["switch", "localhost/x:1"],
    ["base", "set", "localhost/x:1"],
    ["base", "update"],
    ["leave"],
    ["prune"],
    ["undo", "2"],
    ["redo", "2"],
    ["replay", "--to", "2", "--restore"],
    ["replay", "--to", "2", "--apply"],
    ["sandbox", "destroy", "nowhere"],
]


@pytest.mark.parametrize(
    ("argv", "selected", "excepted"),
    [
        (["12", "--except", "13", "14-15"], ("12",), ("13", "14-15")),
        (["--except", "13", "14", "-y"], (), ("13", "14")),
        (["--except", "13", "--simulate", "12"], ("12",), ("13",)),
        (["--except=13", "12"], ("12",), ("13",)),
        (["--except", "13", "--", "12"], ("12",), ("13",)),
    ],
)
def test_except_takes_each_word_up_to_the_next_option(argv, selected, excepted):
    context = apply.make_context("apply", argv)
    assert context.params["selected"] == selected
    assert context.params["excepted"] == excepted


@pytest.fixture(autouse=True)
def _no_host(tmp_path, monkeypatch):
    """Neither this machine's log nor its folders are touched."""
    monkeypatch.setenv("ATOMICSTATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("ATOMICSTATE_SANDBOX", raising=False)
    monkeypatch.chdir(tmp_path)


def answer_of(capsys, *argv):
    status = main(argv)
    return status, json.loads(capsys.readouterr().out)


def test_an_answer_is_data_without_an_error(capsys):
    status, answer = answer_of(capsys, "machine", "-f", "json")
    assert (status, answer["error"]) == (0, None)
    assert answer["data"]["mermaid"].startswith("stateDiagram-v2\n")


@pytest.mark.parametrize("argv", EMPTY, ids=" ".join)
def test_a_name_that_is_empty_is_refused(argv, capsys):
    status, answer = answer_of(capsys, *argv, "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (2, "VALIDATION")
    assert "empty" in answer["error"]["message"]


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda item: item.__name__)
def test_each_error_has_its_code_and_exit_status_in_json(error, capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(error("it broke", hint="mend it")))
    status, answer = answer_of(capsys, "machine", "-f", "json")
    assert status == error.exit_status
    assert answer == {
        "data": None,
        "error": {"errorCode": error.code, "message": "it broke", "hint": "mend it"},
    }


@pytest.mark.parametrize("error", ALL_ERRORS, ids=lambda item: item.__name__)
def test_each_error_is_two_lines_on_standard_error_in_text(error, capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(error("it broke", hint="mend it")))
    assert main(["machine"]) == error.exit_status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: it broke\nhint: mend it\n"


def test_what_nobody_foresaw_is_internal_and_without_a_traceback(capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(ZeroDivisionError("by zero")))
    status, answer = answer_of(capsys, "machine", "-f", "json")
    assert status == 1
    assert answer["error"]["errorCode"] == "INTERNAL"
    assert "ZeroDivisionError: by zero" in answer["error"]["message"]


def test_v_shows_the_traceback_of_what_nobody_foresaw(capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(ZeroDivisionError("by zero")))
    assert main(["machine", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_canceled(capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(KeyboardInterrupt()))
    status, answer = answer_of(capsys, "machine", "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (130, "CANCELED")


def test_a_failing_system_call_names_its_file(capsys, monkeypatch):
    monkeypatch.setattr(diagram, "mermaid", _raising(PermissionError(13, "No", "/some/file")))
    status, answer = answer_of(capsys, "machine", "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (5, "PERMISSION")
    assert "/some/file" in answer["error"]["message"]


@pytest.mark.parametrize(
    "argv",
    [
        ["nonsense", "-f", "json"],
        ["status", "--nonsense", "-fjson"],
        ["--format=json"],
        ["package", "--format", "json"],
        ["package", "add", "--format=json"],
        ["log", "-n", "many", "-f", "json"],
        ["log", "-n", "0", "-f", "jsonl"],
        ["config", "shw", "-f", "json"],
    ],
)
def test_a_usage_error_is_json_where_json_is_asked_for(argv, capsys):
    status, answer = answer_of(capsys, *argv)
    assert (status, answer["data"], answer["error"]["errorCode"]) == (2, None, "VALIDATION")


def test_what_follows_two_dashes_does_not_ask_for_json(capsys):
    assert main(["sandbox", "exec", "nowhere", "--", "tool", "-f", "json"]) != 0
    assert capsys.readouterr().out == ""


def test_an_unknown_command_gets_a_near_match(capsys):
    assert main(["stauts"]) == 2
    assert "did you mean 'status'?" in capsys.readouterr().err


def test_no_command_shows_the_help_and_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("argv", ASKING, ids=" ".join)
def test_what_asks_needs_y_without_a_terminal(argv, capsys):
    status, answer = answer_of(capsys, *argv, "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (2, "VALIDATION")
    assert "-y" in answer["error"]["hint"]


@pytest.mark.parametrize("argv", [[*argv, "-y"] for argv in ASKING], ids=" ".join)
def test_with_y_it_goes_on(argv, capsys):
    status, answer = answer_of(capsys, *argv, "-f", "json")
    assert answer["error"]["errorCode"] != "VALIDATION"
    assert status > 2


@pytest.mark.parametrize("argv", [["machine"], ["log"], ["status"], ["verify"], ["init"]])
def test_y_is_no_usage_error_where_nothing_is_asked(argv, capsys):
    assert main([*argv, "-y"]) != 2


@pytest.mark.parametrize(
    "argv",
    [
        ["undo", "2", "-y", "-m", ""],
        ["package", "add", "jq", "-y", "-m", "bell\a"],
        ["base", "set", "localhost/x:1", "-y", "-m", " "],
        ["apply", "-y", "-m", "x" * 3000],
        ["replay", "--to", "2", "-m", "about nothing that is recorded"],
        ["replay", "-y"],
        ["undo", "-y"],
    ],
)
def test_what_cant_be_kept_is_refused_before_anything_is_done(argv, capsys):
    status, answer = answer_of(capsys, *argv, "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (2, "VALIDATION")


def test_without_a_log_the_hint_is_init(capsys):
    status, answer = answer_of(capsys, "log", "-f", "json")
    assert (status, answer["error"]["errorCode"]) == (3, "NOT_FOUND")
    assert "atomicstate init" in answer["error"]["hint"]


def test_the_answer_to_a_question_decides(tmp_path):
    refused = _on_a_terminal(tmp_path, "n\n")
    assert refused.returncode == 130
    assert b"CANCELED" in refused.stdout
    agreed = _on_a_terminal(tmp_path, "y\n")
    assert agreed.returncode == 3  # there is no such sandbox


def test_cli_py_does_the_same(tmp_path):
    root = PROGRAM.parent.parent.parent
    done = subprocess.run(
        [PROGRAM.with_name("python"), root / "cli.py", "machine"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == atomicstate("machine").stdout


def told_nowhere(*words: str) -> subprocess.CompletedProcess[bytes]:
    with Path("/dev/full").open("wb") as full:
        return subprocess.run(
            [PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_answer_that_cant_be_written_is_an_error(form):
    done = told_nowhere("machine", "-f", form)
    assert done.returncode == 11
    assert done.stderr.startswith(b"error: can't write to standard output")
    assert b"try again" not in done.stderr


def test_a_help_that_cant_be_written_is_an_error():
    done = told_nowhere("--help")
    assert done.returncode == 11
    assert b"Traceback" not in done.stderr


def test_closed_streams_are_no_bug():
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" machine <&- >&- 2>&-', PROGRAM], timeout=60, check=False
    )
    assert done.returncode == 0


def test_a_name_that_is_no_text_is_shown_escaped(tmp_path):
    ran = atomicstate("log", "--kind", b"\xff\x1b[31m".decode("utf-8", "surrogateescape"))
    assert ran.status != 0
    assert "\x1b" not in ran.stderr


def _raising(error):
    def raise_it():
        raise error

    return raise_it


def _on_a_terminal(directory, typed):
    """Run `sandbox destroy` with a terminal as standard input and error."""
    controller, terminal = os.openpty()
    try:
        os.write(controller, typed.encode())
        return subprocess.run(
            [PROGRAM, "sandbox", "destroy", str(directory / "nowhere"), "-f", "json"],
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            timeout=60,
            check=False,
        )
    finally:
        os.close(controller)
        os.close(terminal)


@pytest.mark.parametrize(
    "verb",
    [
        "package add",
        "package remove",
        "base set",
        "base update",
        "adopt",
        "leave",
        "switch",
        "apply",
        "rollback",
        "undo",
        "redo",
        "replay",
    ],
)
def test_whatever_changes_the_system_takes_a_remark(verb):
    command = root
    for word in verb.split():
        command = command.get_command(None, word)
    assert "-m" in [name for parameter in command.params for name in parameter.opts]
