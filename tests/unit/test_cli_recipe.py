"""Changes of the recipe on the command line, and what every view says of them, over a host in
memory."""

from __future__ import annotations

import json

import pytest

from atomicstate.cli import app as cli_app
from atomicstate.cli.dispatch import dispatch
from atomicstate.cli.render.status import pending_lines
from atomicstate.cli.terminal import Look
from atomicstate.engine import edits, status
from atomicstate.engine.modules import read_modules
from atomicstate.engine.results import Silent
from tests.support.fakehost import fake_host
from tests.support.sessions import adopted


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = adopted(tmp_path / "state", fake_host())
    monkeypatch.setattr(cli_app.App, "session", lambda app: machine.session(app.verb))
    # What reads the log alone looks for it there.
    monkeypatch.setenv("ATOMICSTATE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return machine


def answered(capfd, *words):
    status = dispatch([*words, "-f", "json"])
    answer = json.loads(capfd.readouterr().out)
    return status, answer["data"] or answer["error"]


def data(capfd, *words):
    status, answer = answered(capfd, *words)
    assert status == 0, answer
    return answer


def text(capfd, *words):
    assert dispatch(list(words)) == 0
    return capfd.readouterr().out


# -- what is recorded ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (
            ["service", "enable", "sshd"],
            {"type": "systemd", "body": {"targets": ["sshd.service"], "enabled": True}},
        ),
        (
            ["service", "mask", "a.timer", "--global"],
            {"type": "systemd", "body": {"targets": ["a.timer"], "masked": True, "global": True}},
        ),
        (["service", "disable", "a"], {"type": "systemd", "body": {"targets": ["a.service"]}}),
        (["file", "remove", "/a", "/b"], {"type": "remove", "body": {"targets": ["/a", "/b"]}}),
        (
            ["repo", "set", "p11", "--date", "20260102"],
            {"type": "repos", "body": {"branch": "p11", "date": "20260102"}},
        ),
        (
            ["repo", "add", "deb", "http://a.example", "b", "c"],
            {"type": "repos", "body": {"custom": ["deb http://a.example b c"]}},
        ),
        (
            ["kernel", "set", "6.12", "--module", "drm", "--headers"],
            {
                "type": "kernel",
                "body": {
                    "kernel-info": {
                        "flavour": "6.12",
                        "modules": ["drm"],
                        "include-headers": True,
                    }
                },
            },
        ),
        (["hostname", "set", "node"], {"type": "network", "body": {"hostname": "node"}}),
        (["run", "ls -l"], {"type": "shell", "body": {"command": "ls -l"}}),
    ],
)
def test_each_verb_answers_with_the_module_that_it_recorded(machine, capfd, words, module):
    answer = data(capfd, *words)
    event = machine.events()[-1]
    assert (answer["seq"], answer["kind"], answer["module"]) == (event.seq, "module.added", module)
    assert answer["what"] == event.body.what
    assert (answer["request"], len(answer["actions"]), answer["skipped"]) == (None, 1, [])
    listed = data(capfd, "module", "list")["modules"]
    assert [(item["id"], item["module"]) for item in listed] == [(str(event.seq), module)]


def test_a_module_of_standard_input_is_taken(machine, capfd, monkeypatch):
    import io
    import sys

    content = b"{type: shell, body: {command: 'true'}}"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert data(capfd, "module", "add", "-")["what"] == "run true"


def test_a_file_and_its_module_share_a_request(machine, capfd, tmp_path):
    (tmp_path / "motd").write_text("hello")
    answer = data(capfd, "file", "add", "motd", "/etc/motd", "--replace")
    assert [item["kind"] for item in answer["actions"]] == ["resource.set", "module.added"]
    assert answer["request"] == machine.events()[-1].request
    assert answer["module"]["body"]["replace"] is True
    assert "undone" not in text(capfd, "undo", answer["request"], "-y", "--no-live")


def test_variables_are_set_and_removed(machine, capfd):
    answer = data(capfd, "env", "set", "A=1", "B=x=y", "C=")
    assert [item["what"] for item in answer["actions"]] == [
        "variable A=1",
        "variable B=x=y",
        "variable C=",
    ]
    assert data(capfd, "config", "show")["recipe"]["env"] == {"A": "1", "B": "x=y", "C": ""}
    assert data(capfd, "env", "remove", "A", "B", "Z")["skipped"] == ["Z"]


def test_why_is_noted_with_the_action(machine, capfd):
    seq = data(capfd, "run", "true", "-m", "it has to")["seq"]
    note = machine.events()[-1].body
    assert (note.point, note.text) == (seq, "it has to")


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        (["env", "set", "A"], "VALIDATION", 2),
        (["env", "set", "1=a"], "VALIDATION", 2),
        (["env", "remove", "A"], "NO_OPERATION", 8),
        (["run", ""], "VALIDATION", 2),
        (["run"], "VALIDATION", 2),
        (["hostname", "set", "-- -"], "VALIDATION", 2),
        (["module", "remove", "12"], "NOT_FOUND", 3),
        (["module", "add", "nope.yml"], "NOT_FOUND", 3),
        (["file", "add", "nope", "/x"], "NOT_FOUND", 3),
        (["repo", "remove", "deb x y"], "NO_OPERATION", 8),
        (["run", "curl https://a:b1c2d3@example.org"], "VALIDATION", 2),
        (["run", "true", "-m", " "], "VALIDATION", 2),
    ],
)
def test_what_can_not_be_recorded_has_its_code(machine, capfd, words, code, status):
    events = machine.events()
    found, error = answered(capfd, *words)
    assert (found, error["errorCode"]) == (status, code)
    assert machine.events() == events


@pytest.mark.parametrize(
    "words",
    [
        ["run", "{}"],
        ["env", "set", "A={}"],
        ["env", "set", "{}=1"],
        ["hostname", "set", "{}"],
        ["service", "enable", "{}"],
        ["repo", "set", "{}"],
        ["repo", "add", "{}"],
        ["kernel", "set", "{}"],
        ["kernel", "set", "a", "--module", "{}"],
        ["file", "add", "motd", "/{}"],
        ["file", "add", "{}", "/x"],
        ["file", "remove", "/{}"],
    ],
)
def test_bytes_that_are_no_text_are_refused(machine, capfd, tmp_path, words):
    bad = "a\udcffb"  # how Python hands on the byte ff of an argument
    for name in ("motd", bad):
        (tmp_path / name).write_text("x")
    events = machine.events()
    status, error = answered(capfd, *(word.format(bad) for word in words))
    assert (status, error["errorCode"]) == (2, "VALIDATION")
    assert machine.events() == events


def test_no_verb_asks(machine, capfd):
    # There is no terminal here: one that asks would refuse without -y.
    assert "pending" in text(capfd, "service", "enable", "a")
    said = text(capfd, "service", "enable", "a", "b")
    assert said.startswith("enable b.service (event ")
    assert "a.service: so already" in said


# -- what every view says of it --------------------------------------------------------------


@pytest.fixture
def told(machine, capfd, tmp_path):
    """A machine with an action of each kind about the recipe; their numbers by what they are."""
    (tmp_path / "motd").write_text("hello")
    placed = data(capfd, "file", "add", "motd", "/etc/motd")["actions"]
    units = data(capfd, "service", "enable", "a")["seq"]
    repo = data(capfd, "repo", "add", "deb x y z")["seq"]
    more = tmp_path / "more.yml"
    more.write_text("{type: repos, body: {custom: [deb x y z, deb k l m]}}")
    both = data(capfd, "module", "add", "more.yml")["seq"]
    left = [item["seq"] for item in data(capfd, "repo", "remove", "deb x y z")["actions"]]
    env = data(capfd, "env", "set", "A=1")["seq"]
    gone = data(capfd, "env", "remove", "A")["seq"]
    return {
        "resource": placed[0]["seq"],
        "copy": placed[1]["seq"],
        "units": units,
        "repo": repo,
        "both": both,
        "removed": left[0],
        "changed": left[1],
        "env": env,
        "gone": gone,
    }


def words_of(told):
    return {
        told["resource"]: "resource files/motd, 1 file",
        told["copy"]: "copy files/motd to /etc/motd",
        told["units"]: "enable a.service",
        told["repo"]: "repository deb x y z",
        told["both"]: "repository deb x y z, repository deb k l m",
        told["removed"]: f"take out #{told['repo']}: repository deb x y z",
        told["changed"]: f"change #{told['both']} to: repository deb k l m",
        told["env"]: "variable A=1",
        told["gone"]: "no variable A",
    }


def test_status_tells_what_is_pending_in_words(machine, told):
    lines = pending_lines(machine.command(status.status).pending, Look())
    assert len(lines) == len(told)
    for (seq, words), line in zip(words_of(told).items(), lines, strict=True):
        assert f"{seq}  {words}  " in line


def test_the_picker_offers_them_in_the_same_words(machine, told, capfd):
    shown = text(capfd, "apply", "--simulate", str(told["units"]))
    assert f"{told['units']}  enable a.service" in shown
    assert "+  - type: systemd" in shown


def test_the_log_tells_each_in_a_line(machine, told, capfd):
    lines = text(capfd, "log", "--kind", "module", "--kind", "env", "--kind", "resource")
    said = [" ".join(line.split()[3:]) for line in lines.splitlines()]
    assert said == [
        "resource.set root files/motd: 1 file",
        "module.added root copy files/motd to /etc/motd",
        "module.added root enable a.service",
        "module.added root repository deb x y z",
        "module.added root repository deb x y z, repository deb k l m",
        f"module.removed root #{told['repo']}: repository deb x y z",
        f"module.changed root #{told['both']}: repository deb k l m",
        "env.set root A=1",
        "env.removed root A",
    ]


def test_the_log_of_one_kind_shows_that_alone(machine, told, capfd):
    events = data(capfd, "log", "--kind", "module")["events"]
    assert {event["kind"] for event in events} == {
        "module.added",
        "module.changed",
        "module.removed",
    }


def test_the_log_of_a_package_shows_the_modules_that_name_it(machine, capfd, tmp_path):
    names = [f"p{number}" for number in range(9)]
    (tmp_path / "m.yml").write_text(f"{{type: packages, body: {{install: {names}}}}}")
    seq = data(capfd, "module", "add", "m.yml")["seq"]
    data(capfd, "module", "add", "m.yml")
    gone = data(capfd, "module", "remove", str(seq))["seq"]
    assert [event["seq"] for event in data(capfd, "log", "--package", "p8")["events"]] == [
        seq,
        seq + 1,
    ]
    assert data(capfd, "log", "--package", "p9")["events"] == []
    assert gone == seq + 2


def test_show_tells_what_an_action_changed_in_the_recipe(machine, told, capfd):
    shown = text(capfd, "show", str(told["units"]))
    assert "enable a.service" in shown
    assert "+  - type: systemd" in shown


def test_a_difference_counts_them(machine, told, capfd):
    found = data(capfd, "diff", "1", "HEAD")
    assert set(found["actions"]["added"]) == set(told.values())
    assert '+        - "a.service"' in text(capfd, "diff", "1")


def test_blame_names_who_wrote_each_line(machine, told, capfd):
    lines = data(capfd, "config", "show", "--blame")["lines"]
    owner = {line["text"].strip(): line["seq"] for line in lines}
    assert owner['- "a.service"'] == told["units"]
    # It was taken out of the middle: what stays is whose it was.
    assert owner['- "deb k l m"'] == told["both"]
    assert owner['source: "files/motd"'] == told["copy"]


def test_blame_names_who_changed_a_line_of_a_module(machine, told, capfd, tmp_path):
    first = data(capfd, "module", "list")["modules"][-1]["id"]
    module = tmp_path / "m.yml"
    module.write_text("{type: repos, name: ours, body: {custom: [deb k l m, deb n o p]}}")

    def change(session):
        return edits.record(
            session,
            lambda here: [edits.changed(here.find(first)[0], read_modules(str(module))[0])],
            Silent(),
        )

    changed = machine.command(change).seq
    lines = data(capfd, "config", "show", "--blame")["lines"]
    owner = {line["text"].strip(): line["seq"] for line in lines}
    assert owner['- "deb k l m"'] == told["both"]
    assert owner['- "deb n o p"'] == owner['name: "ours"'] == changed


def test_undoing_what_another_stands_on_says_so_in_words(machine, told, capfd):
    code, error = answered(capfd, "undo", str(told["resource"]), "-y", "--no-live")
    assert (code, error["errorCode"]) == (14, "CONFLICT")
    assert "(copy files/motd to /etc/motd) stands on" in error["message"]
    assert "(resource files/motd, 1 file)" in error["message"]


def test_what_a_module_did_ties_even_where_it_was_taken_out(machine, capfd):
    one = data(capfd, "file", "remove", "/etc/a")["seq"]
    out = data(capfd, "module", "remove", str(one))["seq"]
    later = data(capfd, "file", "remove", "/etc/a/b")["seq"]
    _code, error = answered(capfd, "apply", str(later), "-y")
    assert f"#{one} (remove /etc/a), #{out} (take out #{one}: remove /etc/a)" in error["message"]


def test_a_part_that_means_something_else_alone_is_refused_in_words(machine, told, capfd):
    code, error = answered(capfd, "apply", str(told["copy"]), "-y")
    assert (code, error["errorCode"]) == (14, "CONFLICT")
    assert "(copy files/motd to /etc/motd) builds on" in error["message"]
