"""What recovery decides, per step: the host's answer in, what to do out. No I/O.

`answer` is what the probe of the step found:
done (the effect is there), absent (nothing of it), partial (some of it), gone (the boot instance
that it happened in is over, and its effect with it), other (something else stands in its place).
"""

from __future__ import annotations

from atomicstate.errors import UndecidedError

DONE = "done"
ABSENT = "absent"
PARTIAL = "partial"
GONE = "gone"
OTHER = "other"

ADOPT = "adopt"
"""It is done: append the outcome, go on."""
DO = "do"
"""Do it (again)."""
FINISH = "finish"
"""Do what is missing of it."""
SKIP = "skip"
"""It can't be done any more and need not be: append that, go on."""
ASK = "ask"
"""Stop: a person must decide. The intent stays open."""

RESUME: dict[str, dict[str, str]] = {
    "overlay": {DONE: ADOPT, ABSENT: DO, GONE: SKIP, OTHER: ASK},
    "live": {DONE: ADOPT, ABSENT: FINISH, PARTIAL: FINISH, GONE: SKIP},
    "config": {DONE: ADOPT, ABSENT: DO},
    "containerfile": {DONE: ADOPT, ABSENT: DO},
    "build": {DONE: ADOPT, ABSENT: DO},
    "unqueue": {DONE: ADOPT, ABSENT: DO, OTHER: ASK},
    "switch": {DONE: ADOPT, ABSENT: DO, OTHER: ASK},
    "promote": {DONE: ADOPT, ABSENT: DO, OTHER: SKIP},
    "rollback": {DONE: ADOPT, ABSENT: DO, OTHER: ASK},
    "unstage": {DONE: ADOPT, ABSENT: DO, GONE: SKIP},
    "withdraw": {DONE: ADOPT, ABSENT: DO, GONE: SKIP},
    "prune": {DONE: ADOPT, PARTIAL: FINISH, ABSENT: DO},
}
"""Step -> answer -> decision, for a step whose intent is in the log and whose outcome is not."""


def decide(step: str, answer: str) -> str:
    """The decision for `step` after `answer`. Raises UndecidedError where a person must decide."""
    decision = RESUME[step].get(answer, ASK)
    if decision == ASK:
        raise UndecidedError(
            f"the step {step} was interrupted, and the host shows neither its effect nor the"
            f" state before it ({answer}): nothing was changed"
        )
    return decision
