"""What lint finds, and the rules by which it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec import Struct

from atomicstate.recipe.document import path_text

if TYPE_CHECKING:
    from atomicstate.recipe.document import Path
    from atomicstate.recipe.expand import Step

Severity = Literal["error", "warning", "note"]
"""error: it will not do what it says. warning: it will not, somewhere. note: to be known."""


class Finding(Struct, frozen=True):
    """What `rule` found in the module at `module`, at `path` below it.

    `message` is the reason, `instead` what to do. `event` is the action that the module comes
    from; 0: the recipe found at `init`, or a document.
    """

    rule: str
    severity: Severity
    module: str
    path: str
    message: str
    instead: str
    event: int = 0

    @property
    def place(self) -> str:
        """Where, in one word: modules[3].body.destination."""
        return f"{self.module}.{self.path}" if self.path else self.module


class Found(NamedTuple):
    """What is found at `path` below a module; `instead`: better than what its rule says."""

    path: Path
    message: str
    instead: str = ""


class Rule(NamedTuple):
    """A rule: `about` is what it finds, `why` the reason, `instead` what to do."""

    name: str
    severity: Severity
    about: str
    why: str
    instead: str

    def finding(self, found: Found, step: Step) -> Finding:
        """What was found in `step`, with the rule's own words."""
        return Finding(
            self.name,
            self.severity,
            step.where,
            path_text(found.path),
            f"{found.message}: {self.why}",
            found.instead or self.instead,
            step.event,
        )
