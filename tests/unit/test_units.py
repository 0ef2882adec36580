"""The systemd units call commands that exist, with options that exist."""

from __future__ import annotations

import shlex
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from atomicstate.cli.root import root

UNITS = sorted((Path(__file__).parents[2] / "systemd").iterdir())


def read(path: Path) -> ConfigParser:
    # A key may come twice: ConditionPathExists.
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_each_command_in_a_unit_is_one_that_can_be_called(path: Path) -> None:
    unit = read(path)
    assert unit["Unit"]["Description"]
    if path.suffix == ".timer":
        assert path.with_suffix(".service") in UNITS
        return
    lines = [unit["Service"][key] for key in ("ExecStart", "ExecStop") if key in unit["Service"]]
    assert lines
    for line in lines:
        program, name, *words = shlex.split(line)
        assert (program, name) == ("/usr/bin/env", "atomicstate")
        command: click.Command = root
        context = click.Context(root, info_name="atomicstate")
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None, line
            command = found
        command.make_context(command.name, list(words), parent=context)


def unit_of(name: str) -> ConfigParser:
    return read(next(path for path in UNITS if path.name == name))


def test_what_needs_the_network_or_a_build_does_not_hold_up_the_boot() -> None:
    early = unit_of("atomicstate-resume.service")
    assert "--boot" in early["Service"]["ExecStart"].split()
    assert early["Install"]["Also"] == "atomicstate-resume-online.service"
    online = unit_of("atomicstate-resume-online.service")
    assert "--boot" not in online["Service"]["ExecStart"].split()
    assert "Before" not in online["Unit"]
    # Else multi-user.target would wait until it has started, and the network with it.
    assert {"multi-user.target", "network-online.target", "atomicstate-resume.service"} <= set(
        online["Unit"]["After"].split()
    )
    assert online["Unit"]["Wants"] == "network-online.target"


def test_the_withdrawal_comes_before_the_merge_of_etc() -> None:
    unit = read(next(path for path in UNITS if path.name == "atomicstate-withdraw.service"))
    assert "ostree-finalize-staged.service" in unit["Unit"]["After"].split()
    assert "ExecStop" in unit["Service"]
