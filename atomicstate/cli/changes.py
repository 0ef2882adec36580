"""What the verbs that change the recipe have in common: `-m`, `--allow-secret`, the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from atomicstate.cli.remarks import add_remark, check_remark
from atomicstate.cli.terminal import Look, clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from atomicstate.cli.app import App
    from atomicstate.engine.results import ChangeResult, Reporter
    from atomicstate.engine.session import Session


def secrets(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--allow-secret`; its function gets it as `allow_secret`."""
    return click.option(
        "--allow-secret", is_flag=True, help="Record it, though it looks like a secret."
    )(function)


def change(app: App, note: str | None, record: Callable[[Session, Reporter], ChangeResult]) -> None:
    """Record what `record` does, with the note on its last action, and answer."""
    from atomicstate.events.asjson import fields_of

    check_remark(note)
    with app.session() as session:
        with app.reporting() as reporter:
            result = record(session, reporter)
        add_remark(session, result.seq, note)
    app.answer(lambda: fields_of(result), lambda look: _text(result, look))


def _text(result: ChangeResult, look: Look) -> str:
    lines = [
        f"{look.paint(clean(item.what), 'bold')} (event {item.seq})" for item in result.actions
    ]
    if result.skipped:
        lines.append(f"{clean(', '.join(result.skipped))}: so already.")
    rest = "recorded, and pending: `atomicstate apply` makes it real."
    if len(lines) == 1:
        return f"{lines[0]}: {rest}"
    return "\n".join([*lines, f"{rest[:1].upper()}{rest[1:]}"])
