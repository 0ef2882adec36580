"""A whole transaction as one line of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.render.events import begun_words, event_line, log_line
from atomicstate.projectors.transactions import DONE, OPEN, ROLLED_BACK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.cli.folding import Entry
    from atomicstate.cli.render.events import Form
    from atomicstate.cli.terminal import Look
    from atomicstate.projectors.transactions import Transaction
    from atomicstate.store.search import Found

_STYLES = {DONE: "green", ROLLED_BACK: "red", OPEN: "yellow"}
_SECOND = 1_000_000_000
_CHECKSUM = 12


def entry_line(entry: Entry, look: Look, form: Form) -> str:
    """One line that fits: the event that a transaction was for, or what became of it."""
    event, _hash, went_back = _event_of(entry)
    if entry.story is None or event.seq == entry.story.action:
        return event_line(event, look, form, went_back=went_back)
    about = begun_words(entry.events[0].event.body)
    what = ": ".join(filter(None, (about, _end(entry.story))))
    return log_line(event, (entry.story.mode, _STYLES[entry.story.outcome]), what, look, form)


def tag_lines(tags: Sequence[tuple[str, Entry]], look: Look, form: Form) -> list[str]:
    """A line for each name: it, and the line of what bears it."""
    width = max((len(name) for name, _entry in tags), default=0)
    narrow = look._replace(width=max(look.width - width - 2, 1) if look.width else 0)
    return [
        f"{look.paint(f'{name:<{width}}', 'bold')}  {entry_line(entry, narrow, form)}"
        for name, entry in tags
    ]


def _event_of(entry: Entry) -> Found:
    """The action that a transaction ended with, else its newest event."""
    story = entry.story
    if story is None or story.outcome != DONE:
        return entry.last
    return next((item for item in entry.events if item.event.seq == story.action), entry.last)


def _end(story: Transaction) -> str:
    if story.outcome == ROLLED_BACK:
        return f"taken back: {story.reason}"
    if story.outcome == OPEN:
        step = story.steps[-1].name if story.steps else "begin"
        return f"not ended, at the step {step}" + (f": {story.reason}" if story.reason else "")
    if not story.checksum:
        return ""
    took = sum(step.duration or 0 for step in story.steps) / _SECOND
    return f"{story.checksum[:_CHECKSUM]} boots next, made in {took:.1f} s"
