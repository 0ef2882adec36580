"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from atomicstate.cli.root import VERBS
from tools.cli_reference import TARGET, reference


def test_the_reference_is_up_to_date():
    assert TARGET.read_text(encoding="utf-8") == reference(), "run `./dev docs`"


def test_every_command_is_in_it():
    text = reference()
    assert all(f"### atomicstate {verb}\n" in text for verb in VERBS)
