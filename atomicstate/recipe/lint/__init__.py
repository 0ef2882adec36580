"""What can be built, and yet will not do on an image-based system what it was meant to.

A pure function of a recipe's steps and resources. The rules are those that are right nearly
always; what they do not understand they are silent about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.recipe.lint import commands, files, order
from atomicstate.recipe.lint.effects import effects_of
from atomicstate.recipe.lint.findings import Finding, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.recipe.expand import Step
    from atomicstate.recipe.resources import Library

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint"]

_CHECKS = (*files.CHECKS, *commands.CHECKS, *order.CHECKS)

RULES: tuple[Rule, ...] = tuple(rule for rule, _check in _CHECKS)
"""All rules."""


def lint(steps: Sequence[Step], library: Library) -> tuple[Finding, ...]:
    """What the rules find in `steps`, whose resources `library` has, in the order of the steps."""
    effects = [effects_of(step, library) for step in steps]
    places = {step.where: place for place, step in enumerate(steps)}
    findings = [
        rule.finding(found, step) for rule, check in _CHECKS for step, found in check(effects)
    ]
    return tuple(sorted(findings, key=lambda finding: places[finding.module]))
