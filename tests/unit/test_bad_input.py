"""What can't be meant on the history: a sentence and a status each, and nothing recorded."""

from __future__ import annotations

import json
import shlex

import pytest

from atomicstate.cli.main import main
from atomicstate.engine import apply, marks, packages, undo
from atomicstate.engine.results import Silent
from atomicstate.events.asjson import kind
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted

SILENT = Silent()
VALIDATION, NOT_FOUND, NO_OPERATION, CONFLICT = (
    (2, "VALIDATION"),
    (3, "NOT_FOUND"),
    (8, "NO_OPERATION"),
    (14, "CONFLICT"),
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Two actions are applied and run, one of them is undone, and three more are pending."""
    machine = adopted(tmp_path_factory.mktemp("bad") / "state", fake_host())
    numbers["applied"] = add(machine, "jq")
    numbers["undone"] = add(machine, "hello")
    numbers["txn"] = machine.command(
        lambda s: apply.carry_out(s, apply.propose(s), SILENT)
    ).transaction
    machine.host.reboot()
    numbers["first"] = add(machine, "tree")
    add(machine, "nano", live=True)
    numbers["last"] = add(machine, "vim")
    machine.command(
        lambda s: undo.carry_out(s, undo.propose(s, "undo", [str(numbers["undone"])]), SILENT)
    )
    machine.command(lambda s: marks.tag(s, "good", str(numbers["applied"])))
    kinds = machine.kinds()
    numbers["step"] = kinds.index("step.done") + 1
    numbers["booted"] = kinds.index("host.booted") + 1
    numbers["tagging"] = kinds.index("tag.set") + 1
    numbers["txn4"] = str(numbers["txn"])[:4]
    return machine


numbers: dict[str, object] = {}


def add(machine, name, *, live=False):
    def work(session):
        proposal = packages.propose(session, "add", [name], live=live)
        return packages.carry_out(session, proposal, SILENT).seq

    return machine.command(work)


UNKNOWN = ["999", "#999", "HEAD~999", "nonsense", "0123abcd", "@{nonsense}", "'@{in a while}'"]
AT = ["show", "diff", "config show --at", "containerfile --at", "status --at", "note", "tag x"]

CASES = [
    # Points that are not there.
    *((f"{verb} {point}", NOT_FOUND) for verb in AT for point in UNKNOWN),
    *((f"replay --to {point}", NOT_FOUND) for point in UNKNOWN),
    *((f"replay --to {point} --restore", NOT_FOUND) for point in UNKNOWN),
    *((f"replay --to {point} --apply", NOT_FOUND) for point in UNKNOWN),
    *((f"bisect start {point} 1", NOT_FOUND) for point in UNKNOWN),
    *((f"bisect start HEAD {point}", NOT_FOUND) for point in UNKNOWN),
    ("diff HEAD nonsense", NOT_FOUND),
    ("show <txn4>", NOT_FOUND),
    ("show rollback-ish", NOT_FOUND),
    ("status --at staged", NOT_FOUND),
    ("config show --at 0", NOT_FOUND),
    ("status --at 2001-01-01", NOT_FOUND),
    *((f"{verb} ''", VALIDATION) for verb in AT if verb != "note"),
    ("bisect start 1 HEAD", VALIDATION),
    ("bisect start HEAD HEAD", VALIDATION),
    ("bisect run true", NOT_FOUND),
    ("bisect status", NOT_FOUND),
    ("tag HEAD", VALIDATION),
    ("tag 12", VALIDATION),
    ("tag nothing --delete", NOT_FOUND),
    ("note HEAD ''", VALIDATION),
    # Selections that select nothing, or what is no action.
    ("apply ''", VALIDATION),
    ("apply --except ''", VALIDATION),
    ("apply nonsense", VALIDATION),
    ("apply 999", NOT_FOUND),
    ("apply --except 999", NOT_FOUND),
    ("apply 1-2", NO_OPERATION),
    ("apply <first>-<last> --except <first>-<last>", NO_OPERATION),
    ("apply 5-2", VALIDATION),
    ("apply <step>", NOT_FOUND),
    ("apply 0123abcd", NOT_FOUND),
    ("undo ''", VALIDATION),
    ("undo nonsense", VALIDATION),
    ("undo 999", NOT_FOUND),
    ("undo 990-999", NO_OPERATION),
    ("undo 5-2", VALIDATION),
    ("undo HEAD~999", NOT_FOUND),
    ("redo 999", NOT_FOUND),
    ("redo ''", VALIDATION),
    # Ranges that overlap.
    ("apply <first>-<last> <last>", VALIDATION),
    ("apply <first>-<last> 2-<first>", VALIDATION),
    ("apply --except <last> <first>-<last>", VALIDATION),
    ("undo <first>-<last> <last>-999", VALIDATION),
    ("undo <applied> good", VALIDATION),
    ("redo <undone> <undone>", VALIDATION),
    # What is applied already, or wanted no more.
    ("apply <applied>", NO_OPERATION),
    ("apply good", NO_OPERATION),
    ("undo <undone>", NO_OPERATION),
    ("redo <applied>", NO_OPERATION),
    # What nobody asked for.
    ("undo <step>", VALIDATION),
    ("redo <step>", VALIDATION),
    ("undo <booted>", VALIDATION),
    ("undo <tagging>", VALIDATION),
    ("undo HEAD", VALIDATION),
    ("undo 1", VALIDATION),
]


def _filled(words):
    """`words` with the numbers in their places."""
    for name, number in numbers.items():
        words = words.replace(f"<{name}>", str(number))
    return words


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[case[0] for case in CASES])
def test_it_is_refused_with_a_sentence_and_nothing_is_recorded(
    machine, words, expected, monkeypatch, capsys
):
    monkeypatch.setattr("atomicstate.host.detect.open_host", lambda _sandbox: machine.host)
    argv = shlex.split(_filled(words))
    if argv[0] == "note" and len(argv) == 2:
        argv.append("a remark")
    calls, before = machine.host.calls[:], len(machine.events())
    options = ["-y"] if argv[0] != "bisect" else []
    status = main(["--state-dir", str(machine.directory), *argv, *options, "-f", "json"])
    shown = capsys.readouterr()
    error = json.loads(shown.out)["error"]
    assert (status, error["errorCode"]) == expected, error
    assert error["message"].strip()
    assert not error["message"].endswith("."), "a hint follows"
    assert "Traceback" not in shown.err
    events = machine.events()
    assert len(events) == before, kind(events[-1])
    assert machine.host.calls == calls
    assert not (machine.directory / "bisect.json").exists()
