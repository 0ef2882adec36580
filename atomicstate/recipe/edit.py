"""A person's image.yml, changed to another recipe: comments and layout stay where they can.

What means the same stays as it is, byte for byte. Of the rest only the values, entries and items
that differ are written, each in its place.
"""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from atomicstate.errors import AtomicstateError
from atomicstate.recipe import layout, writer
from atomicstate.recipe.layout import end_of_line, start_of_line
from atomicstate.recipe.reader import look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.recipe.layout import Node
    from atomicstate.recipe.schema import Recipe


def edit(content: bytes, target: Recipe) -> bytes:
    """`content`, a document, with what differs from `target` changed: `read` gives `target`.

    Where that can't be done in place, or nobody laid `content` out, it is `write(target)`.
    """
    canonical = writer.write(target)
    try:
        now = look(content).recipe
        if now is None:
            return canonical
        if now == target:
            return content
        if content == writer.write(now):
            return canonical
        text = content.decode("utf-8-sig")
        edited = _Editor(text if text.endswith("\n") else text + "\n").edited(now, target).encode()
        return edited if look(edited).recipe == target else canonical
    except (_CannotError, AtomicstateError):
        return canonical


class _CannotError(Exception):
    """It can't be changed in place: what it is in has to be written anew."""


class _Editor:
    """Gathers changes of a text: what stands from one character to another becomes another text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._changes: list[tuple[int, int, str]] = []

    def edited(self, now: Recipe, target: Recipe) -> str:
        root = layout.read(self._text)
        if root is None:
            raise _CannotError
        self._mapping(root, _parts(now), _parts(target))
        text = self._text
        # From the end on: what stands before a change keeps its place.
        numbered = [(*change[:2], number) for number, change in enumerate(self._changes)]
        for start, end, number in sorted(numbered, reverse=True):
            text = text[:start] + self._changes[number][2] + text[end:]
        return text

    # -- values ------------------------------------------------------------------------------

    def _value(self, key: str, key_start: int, node: Node, now: Any, then: Any) -> None:  # noqa: ANN401
        """The value of an entry of a mapping by indentation."""
        if now == then:
            return
        mark = len(self._changes)
        try:
            self._inside(node, now, then)
        except _CannotError:
            del self._changes[mark:]
            self._replace_lines(key_start, node, lambda indent: writer.entry(key, then, indent))

    def _inside(self, node: Node, now: Any, then: Any) -> None:  # noqa: ANN401
        """Change a value where it stands. Raises _CannotError."""
        if node.block and node.entries is not None and isinstance(then, dict):
            self._mapping(node, now if isinstance(now, dict) else {}, then)
        elif node.block and node.items is not None and isinstance(then, list | tuple):
            self._list(node, now or (), then)
        elif node.block or node.is_block_scalar or (isinstance(then, str) and "\n" in then):
            raise _CannotError
        else:
            space = " " if node.start == node.end else ""
            self._changes.append((node.start, node.end, space + writer.inline(then)))

    def _mapping(self, node: Node, now: dict[str, Any], then: dict[str, Any]) -> None:
        entries = node.entries
        if not node.block or not entries or now.get("type") != then.get("type"):
            raise _CannotError
        gone = [key for key in entries if key in now and key not in then]
        self._remove_entries(entries, gone)
        for key, (start, value) in entries.items():
            if key in then:
                self._value(key, start, value, now.get(key), then[key])
        for key, new in then.items():
            if key not in entries:
                self._add_entry(node, key, new)

    def _list(self, node: Node, now: Sequence[Any], then: Sequence[Any]) -> None:
        items = node.items or []
        if len(items) != len(now):
            raise _CannotError
        matcher = SequenceMatcher(None, [*map(_form, now)], [*map(_form, then)], autojunk=False)
        for what, first, last, new_first, new_last in matcher.get_opcodes():
            if what == "equal":
                continue
            both = min(last - first, new_last - new_first)
            for place in range(both):
                self._item(node, first + place, now[first + place], then[new_first + place])
            for place in range(first + both, last):
                start, end = self._lines_of_item(node, items[place])
                self._changes.append((start, end, ""))
            if new := then[new_first + both : new_last]:
                self._add_items(node, first + both, new)

    def _item(self, node: Node, place: int, now: Any, then: Any) -> None:  # noqa: ANN401
        item = (node.items or [])[place]
        mark = len(self._changes)
        try:
            self._inside(item, now, then)
        except _CannotError:
            del self._changes[mark:]
            start, end = self._lines_of_item(node, item)
            self._changes.append((start, end, _joined(writer.item(then, " " * node.column))))

    # -- lines -------------------------------------------------------------------------------

    def _remove_entries(self, entries: dict[str, tuple[int, Node]], gone: Sequence[str]) -> None:
        covered = 0
        for key in gone:
            start, value = entries[key]
            if start < covered:
                continue
            line = start_of_line(self._text, start)
            if not self._text[line:start].strip():
                self._changes.append((line, end_of_line(self._text, value.end) + 1, ""))
                continue
            # It stands beside a dash: the next one that stays takes its place there.
            stay = [begin for other, (begin, _value) in entries.items() if other not in gone]
            covered = min((begin for begin in stay if begin > start), default=0)
            if not covered:
                raise _CannotError
            self._changes.append((start, covered, ""))

    def _add_entry(self, node: Node, key: str, value: Any) -> None:  # noqa: ANN401
        first = min(start for start, _value in (node.entries or {}).values())
        lines = _joined(writer.entry(key, value, " " * node.column))
        if node.column == 0 and key != "modules":
            # The image and the variables come before the modules.
            place = start_of_line(self._text, first)
        else:
            place = end_of_line(self._text, node.end) + 1
        self._changes.append((place, place, lines))

    def _add_items(self, node: Node, place: int, new: Sequence[Any]) -> None:
        """New items before the item `place` of the list, after what belongs to the one before."""
        items = node.items or []
        lines = "".join(_joined(writer.item(item, " " * node.column)) for item in new)
        start, end = self._lines_of_item(node, items[place - 1] if place else items[0])
        at = end if place else start
        self._changes.append((at, at, lines))

    def _replace_lines(self, start: int, node: Node, render: Any) -> None:  # noqa: ANN401
        """Write the lines from the key at `start` to its value's end anew."""
        column = start - start_of_line(self._text, start)
        end = end_of_line(self._text, node.end)
        lines = "\n".join(render(" " * column))
        self._changes.append((start, end, lines[column:]))

    def _lines_of_item(self, node: Node, item: Node) -> tuple[int, int]:
        """From the line with the item's dash to the end of its last line. Raises _CannotError."""
        line = start_of_line(self._text, item.start)
        while True:
            dash = line + node.column
            if self._text[dash : dash + 1] == "-" and not self._text[line:dash].strip():
                return line, end_of_line(self._text, item.end) + 1
            if line <= node.start:
                raise _CannotError
            line = start_of_line(self._text, line - 1)


def _parts(recipe: Recipe) -> dict[str, Any]:
    modules = [writer.as_builtins(module) for module in recipe.modules]
    parts = {"image": recipe.image, "env": recipe.env, "modules": modules}
    return {key: part for key, part in parts.items() if part}


def _form(value: Any) -> str:  # noqa: ANN401 - a text, or a mapping
    import json

    return json.dumps(value, sort_keys=True)


def _joined(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
