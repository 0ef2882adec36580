"""`config check`: every problem, each with its place; no host, no state directory."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.program import LIMIT, PROGRAM, atomicstate

if TYPE_CHECKING:
    from pathlib import Path

GOOD = 'modules:\n  - type: packages\n    body:\n      install: ["jq"]\n'


@pytest.fixture
def document(tmp_path: Path) -> Path:
    (tmp_path / "resources").mkdir()
    return tmp_path / "image.yml"


def check(document: Path, text: str, *words: str):
    document.write_text(text)
    return atomicstate("config", "check", document, *words)


def problems(document: Path, text: str, *words: str) -> list[dict[str, object]]:
    """The problems of a document that is refused, as JSON has them."""
    ran = check(document, text, "-f", "json", *words)
    assert ran.status == 2, ran
    answer = json.loads(ran.stdout)
    assert answer["data"] is None
    assert answer["error"]["errorCode"] == "VALIDATION"
    return answer["error"]["problems"]


def places(found: list[dict[str, object]], folder: Path) -> list[tuple[object, ...]]:
    return [
        (os.path.relpath(str(item["file"]), folder), item["line"], item["column"], item["path"])
        for item in found
    ]


def piped(content: bytes, *words: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, "config", "check", "-", *words],
        input=content,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def test_a_document_in_order_is_told_so(document):
    ran = check(document, GOOD)
    assert (ran.status, ran.stderr) == (0, "")
    assert ran.stdout == f"{document} is in order.\n"


def test_it_is_told_to_a_program(document):
    assert check(document, GOOD, "-f", "json").data == {
        "file": str(document),
        "ok": True,
        "problems": [],
    }


def test_it_needs_no_state_directory_and_makes_none(document, tmp_path):
    state = tmp_path / "state"
    document.write_text(GOOD)
    assert atomicstate("--state-dir", state, "config", "check", document).status == 0
    assert not state.exists()


def test_all_problems_come_at_once_with_their_places(document):
    text = """\
imagee: x
modules:
  - type: packagez
    body: {}
  - type: copy
    body: {source: ../x, destination: etc}
  - type: systemd
    body: {targets: [a.service], enabled: maybe, enable: true}
"""
    assert places(problems(document, text), document.parent) == [
        ("image.yml", 1, 1, "imagee"),
        ("image.yml", 3, 5, "modules[0].type"),
        ("image.yml", 6, 12, "modules[1].body.source"),
        ("image.yml", 6, 26, "modules[1].body.destination"),
        ("image.yml", 8, 34, "modules[2].body.enabled"),
        ("image.yml", 8, 50, "modules[2].body.enable"),
    ]


def test_a_problem_says_what_was_expected_and_the_nearest_key(document):
    [problem] = problems(document, "modulez: []\n")
    assert problem["expected"] == "one of image, env, modules"
    assert problem["nearest"] == "modules"
    assert "did you mean modules?" in check(document, "modulez: []\n").stdout


def test_the_text_has_a_line_for_each_problem_and_a_summary(document):
    ran = check(document, "modulez: []\nimages: x\n")
    first, second = ran.stdout.splitlines()
    assert first.startswith(f"{document}:1:1: modulez: ")
    assert second.startswith(f"{document}:2:1: images: ")
    assert ran.stderr == f"error: {document} has 2 problems\n"


def test_what_is_wrong_in_an_included_document_is_told_with_its_place(document):
    (document.parent / "resources/a.yml").write_text(
        "modules:\n  - type: include\n    body:\n      targets: [more/b.yml]\n"
    )
    (document.parent / "resources/more").mkdir()
    (document.parent / "resources/more/b.yml").write_text(
        "modules:\n  - type: shell\n    body:\n      comand: x\n"
    )
    text = "modules:\n  - type: include\n    body: {targets: [a.yml]}\n"
    assert places(problems(document, text), document.parent) == [
        ("resources/more/b.yml", 3, 5, "modules[0].body"),
        ("resources/more/b.yml", 4, 7, "modules[0].body.comand"),
    ]


def test_an_included_document_that_is_no_yaml_is_told_with_its_place(document):
    (document.parent / "resources/a.yml").write_text("modules:\n  - type: [\n")
    text = "modules:\n  - type: include\n    body: {targets: [a.yml]}\n"
    [problem] = problems(document, text)
    assert (problem["file"], problem["line"]) == (str(document.parent / "resources/a.yml"), 3)


def test_a_circle_of_includes_is_told_where_it_closes(document):
    for name, other in (("a", "b"), ("b", "a")):
        (document.parent / f"resources/{name}.yml").write_text(
            f"modules:\n  - type: include\n    body:\n      targets: [{other}.yml]\n"
        )
    text = "modules:\n  - type: include\n    body: {targets: [a.yml]}\n"
    [problem] = problems(document, text)
    assert problem["message"] == "a circle: a.yml includes b.yml includes a.yml"
    assert places([problem], document.parent) == [
        ("resources/b.yml", 4, 17, "modules[0].body.targets[0]")
    ]


def test_a_problem_elsewhere_does_not_hide_what_is_missing(document):
    text = """\
modules:
  - type: packagez
    body: {}
  - type: include
    body: {targets: [nowhere.yml]}
"""
    found = problems(document, text)
    assert [(item["line"], item["warning"]) for item in found] == [(2, False), (5, True)]


MISSING = """\
modules:
  - type: include
    body: {targets: [/usr/share/includes/a.yml, nowhere.yml]}
  - type: copy
    body: {source: root, destination: /}
"""


def test_what_is_not_to_be_had_is_a_warning(document):
    ran = check(document, MISSING, "-f", "json")
    assert ran.status == 0
    assert ran.data["ok"]
    assert [item["warning"] for item in ran.data["problems"]] == [True] * 3
    text = check(document, MISSING)
    assert text.stdout.count(": warning: ") == 3
    assert "can be used, with 3 warnings" in text.stdout


def test_with_strict_it_is_an_error(document):
    assert [item["warning"] for item in problems(document, MISSING, "--strict")] == [False] * 3


def test_the_resources_may_lie_elsewhere(document, tmp_path):
    (tmp_path / "other/root").mkdir(parents=True)
    text = "modules:\n  - type: copy\n    body: {source: root, destination: /}\n"
    assert check(document, text, "--strict").status == 2
    assert check(document, text, "--strict", "--resources", str(tmp_path / "other")).status == 0


def test_a_resource_that_can_t_be_taken_is_an_error_where_it_is_named(document):
    (document.parent / "resources/root").symlink_to("/etc")
    text = "modules:\n  - type: copy\n    body: {source: root, destination: /}\n"
    [problem] = problems(document, text)
    assert "leads out of the folder" in str(problem["message"])
    assert problem["line"] == 3


def test_a_script_that_a_command_names_and_can_t_be_taken_is_an_error(document):
    (document.parent / "resources/scripts").mkdir()
    (document.parent / "resources/scripts/boot.sh").symlink_to("/etc/passwd")
    text = "modules:\n  - type: shell\n    body: {command: sh scripts/boot.sh}\n"
    [problem] = problems(document, text)
    assert problem["path"] == "modules[0].body.command"
    assert "is a link to '/etc/passwd'" in str(problem["message"])


def test_standard_input_is_read_for_a_dash():
    done = piped(b"modulez: []\n")
    assert done.returncode == 2
    assert done.stdout.startswith("-:1:1: modulez")
    assert piped(GOOD.encode(), "-f", "json").returncode == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "no UTF-8"),
        (b"a: \0\n", "special characters"),
        (b"#" * (2 << 20), "larger than"),
        (b"[" * 100_000, "in one another"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\n" * 3, "twice"),
        (b"modules: !!python/object:os.system {}\n", "a tag"),
        (b"--- a\n--- b\n", "second document"),
        (b"a: &a {b: *a}\n", "stands for nothing"),
        (b'a: "\\U00110000"\n', "no YAML"),
    ],
)
def test_what_is_no_document_is_refused_in_a_sentence(content, said):
    done = piped(content)
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stderr


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    done = piped("\n".join(lines).encode())
    assert done.returncode == 2
    assert "aliases counted" in done.stdout


def test_an_endless_file_is_refused(document):
    ran = atomicstate("config", "check", "/dev/zero")
    assert ran.status == 2
    assert "larger than" in ran.stdout


def test_a_file_that_is_not_there_is_not_found(document):
    assert atomicstate("config", "check", document).status == 3


@pytest.mark.parametrize("what", ["a folder", "a pipe"])
def test_what_can_be_no_document_is_a_bad_request(document, what):
    path = document.parent / "other"
    path.mkdir() if what == "a folder" else os.mkfifo(path)
    ran = atomicstate("config", "check", path)
    assert ran.status == 2
    assert f"other is {what}" in ran.stderr


@pytest.mark.parametrize("word", ["X", "1X=a", "=a", "a b=c"])
def test_a_value_of_env_needs_a_name(document, word):
    assert check(document, GOOD, "--env", word).status == 2


# -- expressions -----------------------------------------------------------------------------

READS = """\
env: {KNOWN: "1"}
modules:
  - type: network
    body:
      hostname: ${{ Env.HOST }}
  - type: shell
    if: Env.KNOWN == "1" and Env.KIND == "x"
    body: {command: "true"}
"""


def test_a_value_that_nobody_gave_yet_is_a_warning_where_it_is_read(document):
    ran = check(document, READS, "-f", "json")
    assert ran.status == 0
    assert places(ran.data["problems"], document.parent) == [
        ("image.yml", 5, 7, "modules[0].body.hostname"),
        ("image.yml", 7, 5, "modules[1].if"),
    ]
    assert ran.data["problems"][0]["message"] == "Env.HOST is not set"
    assert ran.data["problems"][0]["expected"] == "in env:, or --env HOST=VALUE"


def test_a_value_can_be_given(document):
    assert check(document, READS, "--strict").status == 2
    assert check(document, READS, "--strict", "--env", "HOST=a", "--env", "KIND=x").status == 0


def test_a_given_value_that_can_t_stand_there_is_an_error_with_its_place(document):
    found = problems(document, READS, "--env", "HOST=not a name", "--env", "KIND=x")
    assert places(found, document.parent) == [("image.yml", 5, 7, "modules[0].body.hostname")]


def test_all_bad_placeholders_of_a_module_are_told(document):
    text = """\
modules:
  - type: copy
    body:
      source: ${{ Nothing.X }}
      destination: /${{ Arch + }}
  - type: shell
    body:
      command: echo ${{ Modules.none.key }}
"""
    assert places(problems(document, text), document.parent) == [
        ("image.yml", 4, 7, "modules[0].body.source"),
        ("image.yml", 5, 7, "modules[0].body.destination"),
        ("image.yml", 8, 7, "modules[1].body.command"),
    ]


def test_what_a_shell_will_have_put_out_can_t_decide_what_is_built(document):
    text = """\
modules:
  - type: shell
    id: first
    body: {command: "echo a=b"}
    output: {a: x}
  - type: shell
    if: Modules.first.a == "b"
    body: {command: "true"}
"""
    [problem] = problems(document, text)
    assert "known only while the image is built" in str(problem["message"])
    assert problem["line"] == 7


def test_all_values_that_a_text_lacks_are_told(document):
    text = (
        "modules:\n  - type: repos\n    body: {branch: a, date: '${{ Env.YEAR }}${{ Env.DAY }}'}\n"
    )
    [problem] = check(document, text, "-f", "json").data["problems"]
    assert problem["message"] == "Env.DAY, Env.YEAR are not set"
