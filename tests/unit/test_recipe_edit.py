"""A person's document is changed where it differs, and left alone where it does not."""

from __future__ import annotations

from textwrap import dedent

import pytest
from msgspec.structs import replace

from atomicstate.recipe.edit import edit
from atomicstate.recipe.reader import read
from atomicstate.recipe.schema import (
    CopyBody,
    Module,
    NetworkBody,
    PackagesBody,
    Recipe,
    ShellBody,
    SystemdBody,
)
from atomicstate.recipe.writer import write

TEXT = """\
# What our kiosks run.
image: localhost/base:1   # pinned by CI

env:
  KIND: kiosk  # not a server

modules:
  # The basics
  - name: Packages
    type: packages
    body:
      install:
        # Shell
        - bash-completion   # people like it
        - jq

        # Network
        - curl
      remove: [nano, vim]

  # Units
  - type: systemd
    body:
      targets:
      - ssh.service
      enabled: yes

  - type: shell
    name: Last
    body:
      command: |
        echo one
        # a comment of the shell
        echo two

# The end.
"""
NOW = read(TEXT.encode())


def edited(target: Recipe, text: str = TEXT) -> str:
    result = edit(text.encode(), target)
    assert read(result) == target
    return result.decode()


def differs(before: str, after: str) -> list[str]:
    """The lines that went (-) and came (+)."""
    from difflib import ndiff

    return [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]


def with_module(place: int, module: Module) -> Recipe:
    modules = list(NOW.modules)
    modules[place] = module
    return replace(NOW, modules=tuple(modules))


def with_body(place: int, **parts: object) -> Recipe:
    module = NOW.modules[place]
    return with_module(place, replace(module, body=replace(module.body, **parts)))


def test_what_means_the_same_stays_as_it_is_byte_for_byte():
    assert edit(TEXT.encode(), NOW) == TEXT.encode()


def test_a_package_that_goes_takes_its_line_along():
    after = edited(with_body(0, install=("jq", "curl")))
    assert differs(TEXT, after) == ["-         - bash-completion   # people like it"]


def test_a_package_that_comes_is_a_line_in_its_place():
    after = edited(with_body(0, install=("bash-completion", "jq", "tree", "curl", "mc")))
    assert differs(TEXT, after) == ['+         - "tree"', '+         - "mc"']


def test_a_list_in_brackets_stays_one():
    after = edited(with_body(0, remove=("nano",)))
    assert differs(TEXT, after) == ["-       remove: [nano, vim]", '+       remove: ["nano"]']


def test_an_entry_that_goes_takes_its_lines_along():
    after = edited(with_body(0, remove=()))
    assert differs(TEXT, after) == ["-       remove: [nano, vim]"]


def test_an_entry_that_comes_is_put_at_the_end():
    after = edited(with_body(2, quiet=True))
    assert differs(TEXT, after) == ["+       quiet: true"]
    assert after.index("quiet") < after.index("# The end.")


def test_the_comment_behind_a_value_outlives_it():
    after = edited(replace(NOW, image="localhost/base:2", env={"KIND": "server"}))
    assert differs(TEXT, after) == [
        "- image: localhost/base:1   # pinned by CI",
        '+ image: "localhost/base:2"   # pinned by CI',
        "-   KIND: kiosk  # not a server",
        '+   KIND: "server"  # not a server',
    ]


def test_a_module_that_comes_stands_between_the_others():
    new = Module("network", NetworkBody("kiosk"))
    after = edited(replace(NOW, modules=(NOW.modules[0], new, *NOW.modules[1:])))
    assert differs(TEXT, after) == [
        "+   - type: network",
        "+     body:",
        '+       hostname: "kiosk"',
    ]


def test_a_module_that_comes_first_stands_behind_the_comment_of_the_list():
    new = Module("network", NetworkBody("kiosk"))
    after = edited(replace(NOW, modules=(new, *NOW.modules)))
    assert after.startswith(TEXT[: TEXT.index("  - name: Packages")] + "  - type: network\n")


def test_a_module_that_comes_last_stands_before_the_comment_at_the_end():
    new = Module("network", NetworkBody("kiosk"))
    after = edited(replace(NOW, modules=(*NOW.modules, new)))
    assert after.endswith(
        'echo two\n  - type: network\n    body:\n      hostname: "kiosk"\n\n# The end.\n'
    )


def test_a_module_that_goes_leaves_the_comments_of_the_others():
    after = edited(replace(NOW, modules=(NOW.modules[0], NOW.modules[2])))
    assert "ssh.service" not in after
    assert "# Shell" in after
    assert "# a comment of the shell" in after
    assert "# The end." in after


def test_a_name_beside_the_dash_can_go_and_come():
    after = edited(with_module(0, replace(NOW.modules[0], name="")))
    assert "  - type: packages\n    body:\n" in after
    assert "# people like it" in after
    after = edited(with_module(1, replace(NOW.modules[1], name="Units", id="units")))
    assert differs(TEXT, after) == ['+     name: "Units"', '+     id: "units"']


def test_a_command_of_many_lines_is_written_as_a_block():
    after = edited(with_body(2, command="echo one\necho three\n"))
    assert "      command: |\n        echo one\n        echo three\n\n# The end." in after


def test_a_module_of_another_type_is_written_anew_in_its_place():
    after = edited(with_module(1, Module("copy", CopyBody("root", "/"))))
    assert "# Units\n  - type: copy\n" in after
    assert "enabled: yes" not in after


def test_a_flag_that_was_said_to_be_off_is_turned_on_there():
    text = "modules:\n- type: shell\n  body:\n    quiet: no # loud\n    command: x\n"
    target = Recipe(modules=(Module("shell", ShellBody("x", quiet=True)),))
    assert edited(target, text) == text.replace("no #", "true #")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "{}\n",
        "image: a\n",
        "modules: []\n",
        "modules:\n",
        "modules: [{type: shell, body: {command: x}}]\n",
        "modules:\n- type: shell\n  body: {command: x}",
        "modules:\n-\n  type: shell\n  body:\n    command: x\n",
        "---\nmodules:\n  - type: shell\n    body:\n      command: >-\n        x\n...\n",
        "\ufeffimage: a\nmodules: []\n",
        "env: &e {A: b}\nmodules:\n  - type: shell\n    env: *e\n    body: {command: x}\n",
        "image: a\r\nmodules:\r\n  - type: shell\r\n    body:\r\n      command: x\r\n",
    ],
)
def test_whatever_the_text_the_result_reads_as_what_was_wanted(text):
    target = Recipe(
        "localhost/b:1",
        (
            Module("shell", ShellBody("y\nz\n"), env={"B": "c"}),
            Module("packages", PackagesBody(("jq",), ("vim",))),
            Module("systemd", SystemdBody(("a.service",), enabled=True)),
        ),
        {"A": "x: y", "C": ""},
    )
    edited(target, text)
    edited(Recipe(), text)


def test_what_is_no_recipe_is_written_anew():
    assert edit(b"\xff", NOW) == write(NOW)
    assert edit(b"modulez: []\n", NOW) == write(NOW)


def test_a_value_that_others_stand_for_is_written_anew_for_all():
    text = dedent("""\
        modules:
          - type: shell
            env: &e
              A: b
            body: {command: x}
          - type: shell
            env: *e
            body: {command: y}
        """)
    now = read(text.encode())
    first = replace(now.modules[0], env={"A": "c"})
    edited(Recipe(modules=(first, now.modules[1])), text)
    edited(Recipe(modules=(now.modules[1],)), text)
