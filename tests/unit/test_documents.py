"""What the documents tell people to type is a command, with options that it has."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from atomicstate.cli.root import root

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("recipe.md", "from-apm.md")


def typed(page: str) -> list[str]:
    """What stands in code quotes, or behind a prompt, and begins with the program's name."""
    text = (DOCS / page).read_text(encoding="utf-8")
    quoted = re.findall(r"`atomicstate ([^`]+)`", text)
    return [*quoted, *re.findall(r"^# atomicstate (.+)$", text, re.M)]


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in typed(page)])
def test_a_command_in_the_text_is_there(page: str, line: str):
    words = re.sub(r"[\[\]]", "", line.partition(" >")[0]).split()
    command: click.Command = root
    context = click.Context(root, info_name="atomicstate")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options, line


@pytest.mark.parametrize("page", PAGES)
def test_there_is_something_to_type(page: str):
    assert len(typed(page)) > 3


@pytest.mark.parametrize("page", PAGES)
def test_a_link_leads_somewhere(page: str):
    text = (DOCS / page).read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line[1:].strip("# ").lower()).replace(" ", "-")
        for line in re.findall(r"^#+ .*$", text, re.M)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        assert not path or (DOCS / path).exists(), target
        assert path or heading in headings, target
