"""The commands of a shell script, word by word, as far as they can be told without running it.

It takes any text and never fails: what is no shell gives commands that nobody knows. What a
variable or another command would come to stays as it is written.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"})
_WRAPPERS = frozenset({"sudo", "env", "exec", "command", "nice", "nohup", "eatmydata", "xargs"})
# `command -v NAME` asks for a program, and runs none.
_ASKS = frozenset({"-v", "-V"})
_STREAM = re.compile(r"[0-9]*-?")
_ENDS = ";&|()\n"
_BLANKS = " \t\r"


class Command(NamedTuple):
    """A simple command: its words without quotes, and the files that its output goes to.

    `line` counts from 1. `words` begin with the program: what only sets variables or wraps
    another command is left out.
    """

    line: int
    words: tuple[str, ...]
    outputs: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The program's name without a path; empty where there is none."""
        return posixpath.basename(self.words[0]) if self.words else ""

    @property
    def operands(self) -> tuple[str, ...]:
        """The words after the program that are no options."""
        return tuple(word for word in self.words[1:] if not word.startswith("-"))


def commands(script: str) -> Iterator[Command]:
    """The simple commands of `script`, in order."""
    scanner = _Scanner(script)
    while not scanner.at_end:
        command = scanner.command()
        if command.words or command.outputs:
            yield command


class _Scanner:
    """Reads a script once, from left to right."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._position = 0
        self._line = 1
        self._documents: list[str] = []

    @property
    def at_end(self) -> bool:
        """Whether all of it was read."""
        return self._position >= len(self._script)

    def command(self) -> Command:
        """The next command, and what ends it."""
        words: list[str] = []
        outputs: list[str] = []
        line = self._line
        while not self.at_end:
            self._skip_blanks()
            character = self._peek()
            if not words and not outputs:
                line = self._line
            if character == "#":
                self._skip_comment()
            elif self._peek(2) == "&>":
                self._redirection(outputs)
            elif character in _ENDS:
                self._take()
                if character == "\n":
                    self._skip_documents()
                break
            elif character in "<>":
                self._redirection(outputs)
            elif character:
                word = self._word()
                # The number of a stream, as in 2>file.
                if not (word.isdecimal() and self._peek() in ("<", ">")):
                    words.append(word)
        return Command(line, _program_first(words), tuple(outputs))

    # -- parts -------------------------------------------------------------------------------

    def _redirection(self, outputs: list[str]) -> None:
        operator = ""
        while self._peek() in ("<", ">", "&", "|") and len(operator) < len("&>>") + 1:
            operator += self._take()
        if operator == "<<" and self._peek() == "-":
            self._take()
        self._skip_blanks()
        if self._peek() in ("", *_ENDS):
            return
        target = self._word()
        if operator == "<<":
            self._documents.append(target)
        elif ">" in operator and not (operator.endswith("&") and _STREAM.fullmatch(target)):
            outputs.append(target)

    def _word(self) -> str:
        """The word that begins here, without its quotes."""
        word = ""
        while (character := self._peek()) and character not in _BLANKS + _ENDS + "<>":
            match self._take():
                case "\\":
                    word += self._escaped()
                case "'":
                    word += self._until("'")
                case '"':
                    word += self._in_quotes()
                case "$" if self._peek() == "{":
                    word += f"${self._take()}{self._until('}')}}}"
                case "$" if self._peek() == "(":
                    # What stands inside is a command of its own.
                    return word
                case taken:
                    word += taken
        return word

    def _in_quotes(self) -> str:
        text = ""
        while not self.at_end and (character := self._take()) != '"':
            if character == "\\" and self._peek() in ('"', "\\", "$", "`", "\n"):
                text += self._escaped()
            else:
                text += character
        return text

    def _escaped(self) -> str:
        taken = self._take()
        return "" if taken == "\n" else taken

    def _until(self, end: str) -> str:
        text = ""
        while not self.at_end and (character := self._take()) != end:
            text += character
        return text

    def _skip_blanks(self) -> None:
        while True:
            if self._peek(2) == "\\\n":
                self._take()
                self._take()
            elif self._peek() and self._peek() in _BLANKS:
                self._take()
            else:
                return

    def _skip_comment(self) -> None:
        while not self.at_end and self._peek() != "\n":
            self._take()

    def _skip_documents(self) -> None:
        """Skip the here-documents that begin after this line."""
        for end in self._documents:
            while not self.at_end and self._until("\n").strip() != end:
                pass
        self._documents.clear()

    # -- characters --------------------------------------------------------------------------

    def _peek(self, count: int = 1) -> str:
        return self._script[self._position : self._position + count]

    def _take(self) -> str:
        character = self._peek()
        self._position += 1
        self._line += character == "\n"
        return character


def _program_first(words: list[str]) -> tuple[str, ...]:
    """`words` from the program on."""
    wrapped = False
    for place, word in enumerate(words):
        if word == "command" and words[place + 1 : place + 2] and words[place + 1] in _ASKS:
            return tuple(words[place:])
        if word in _WRAPPERS:
            wrapped = True
        elif not (word in _KEYWORDS or _sets_variable(word) or (wrapped and word.startswith("-"))):
            return tuple(words[place:])
    return ()


def _sets_variable(word: str) -> bool:
    name, equals, _value = word.partition("=")
    return bool(equals) and name.rstrip("+").isidentifier()
