"""Where each part of a YAML text begins and ends: for changing one and leaving the others alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """A value in the text: what is from the character `start` up to `end`, without that.

    A mapping has `entries`: where each key begins, and its value. A list has `items`. `column` is
    where its keys or dashes stand. `block`: it is written on lines of its own, by indentation.
    """

    def __init__(self, start: int, end: int, column: int) -> None:
        self.start, self.end, self.column = start, end, column
        self.block = False
        self.entries: dict[str, tuple[int, Node]] | None = None
        self.items: list[Node] | None = None
        self.is_block_scalar = False


def read(text: str) -> Node | None:
    """The value that `text` holds; None where it is empty. Raises YAMLError.

    The text is known to be a document (document.parse): it is bounded, and has no second one.
    """
    from ruamel.yaml import YAML

    events = YAML(typ="safe", pure=True).parse(text)
    for event in events:
        if type(event).__name__ not in ("StreamStartEvent", "DocumentStartEvent"):
            return None if type(event).__name__ == "StreamEndEvent" else _node(text, event, events)
    return None


def _node(text: str, event: Any, events: Iterator[Any]) -> Node:  # noqa: ANN401
    node = Node(event.start_mark.index, event.end_mark.index, event.start_mark.column)
    name = type(event).__name__
    if name == "ScalarEvent":
        node.is_block_scalar = event.style in ("|", ">")
        if node.is_block_scalar:
            node.end = _end_of_block(text, node.start)
    elif name == "MappingStartEvent":
        node.block, node.entries = not event.flow_style, {}
        while type(key := next(events)).__name__ != "MappingEndEvent":
            value = _node(text, next(events), events)
            node.entries[str(key.value)] = (key.start_mark.index, value)
            node.end = max(value.end, key.end_mark.index)
        node.end = node.end if node.block else key.end_mark.index
    elif name == "SequenceStartEvent":
        node.block, node.items = not event.flow_style, []
        while type(inner := next(events)).__name__ != "SequenceEndEvent":
            node.items.append(_node(text, inner, events))
            node.end = node.items[-1].end
        node.end = node.end if node.block else inner.end_mark.index
    return node


def _end_of_block(text: str, start: int) -> int:
    """Where the lines of the block scalar end whose `|` or `>` stands at `start`."""
    head = start_of_line(text, start)
    # Its lines are indented more than what it belongs to: the key, or the dash, of its first line.
    indent = len(text[head:start]) - len(text[head:start].lstrip(" "))
    end = at = end_of_line(text, start)
    while at < len(text):
        line = text[at + 1 : end_of_line(text, at + 1)]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= indent:
                break
            end = at + 1 + len(line)
        at = end_of_line(text, at + 1) if at + 1 <= len(text) else len(text)
    return end


def start_of_line(text: str, index: int) -> int:
    """Where the line of the character `index` begins."""
    return text.rfind("\n", 0, index) + 1


def end_of_line(text: str, index: int) -> int:
    """Where it ends: at the newline, or at the text's end."""
    end = text.find("\n", index)
    return len(text) if end < 0 else end
