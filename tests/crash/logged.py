"""What the log of a machine says, as the installed command shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.machines import Machine

Event = dict[str, Any]

ASKED = ("package.added", "package.removed", "module.added", "env.set", "resource.set")

LAST_STEPS = {
    "apply": "promote",
    "overlay": "overlay",
    "rollback": "rollback",
    "unstage": "unstage",
    "restore": "live",
    "undo": "live",
    "withdraw": "withdraw",
    "prune": "prune",
}
"""By mode, the step that ends a transaction."""


def events(machine: Machine) -> list[Event]:
    """The log, oldest first."""
    ran = machine("log", "-f", "jsonl")
    assert ran.status == 0, ran
    return [json.loads(line) for line in ran.stdout.splitlines()]


def of_kind(log: list[Event], kind: str) -> dict[str, Event]:
    """The events of `kind`, by transaction."""
    return {event["txn"]: event for event in log if event["kind"] == kind}


def begun_of(log: list[Event], *modes: str) -> dict[str, Event]:
    """The beginnings of the transactions of these modes, by transaction."""
    begun = of_kind(log, "transaction.begun")
    return {txn: event for txn, event in begun.items() if event["data"]["mode"] in modes}


def ended_of(log: list[Event], *modes: str) -> dict[str, Event]:
    """The beginnings of those of `begun_of` whose last step was done, by transaction."""
    begun = begun_of(log, *modes)
    return {
        e["txn"]: begun[e["txn"]]
        for e in log
        if e["kind"] == "step.done"
        and e["txn"] in begun
        and e["data"]["step"] == LAST_STEPS[begun[e["txn"]]["data"]["mode"]]
    }


def objects_of(begun: Event) -> set[str]:
    """What a prune, or a withdraw, was to take away."""
    return set(begun["data"]["objects"])


def asked_for(log: list[Event]) -> set[int]:
    """The actions that were asked for, without those that an undo took back."""
    asked: set[int] = set()
    for event in log:
        if event["kind"] in ASKED:
            asked.add(event["seq"])
        elif event["kind"] == "wanted.changed":
            asked -= set(event["data"]["void"])
            asked |= set(event["data"]["revive"])
    return asked


def running_boot(machine: Machine) -> str:
    """Of the boot that runs, which the log may not know yet."""
    boot: dict[str, str] = json.loads(machine.host.sandbox.boot_record.read_bytes())
    return boot["boot_id"]


def is_of_boot(boot_id: str, event: Event) -> bool:
    return event["boot"] is not None and event["boot"]["boot_id"] == boot_id
