"""Events of the log as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from atomicstate.cli.render.moments import long_time
from atomicstate.cli.terminal import Look, clean, pad
from atomicstate.events.asjson import fields_of, kind, plain
from atomicstate.events.asked import assignment, slot_label
from atomicstate.events.bodies import ACTIONS
from atomicstate.events.event import UnknownEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from atomicstate.events.event import Event
    from atomicstate.events.plan import PackageChange

_KIND = 18
_WIDE_KIND = 23
_WHO = 5
_SHORT = 12
_LABEL = 11
_TIMES = frozenset({"created"})
_WENT_BACK = "the clock went back"
_INTENT = frozenset({"transaction.begun", "step.started", "step.undoing"})
_BAD = frozenset({"step.failed", "transaction.rolled_back", "live.broken"})


class Form(NamedTuple):
    """How the lines of the log are set: digits of the numbers, and what shows a time."""

    digits: int
    when: Callable[[int], str]


def event_line(event: Event | UnknownEvent, look: Look, form: Form, *, went_back: bool) -> str:
    """One line that fits: number, time, kind, who, and what happened."""
    name = kind(event)
    what = (f"({_WENT_BACK}) " if went_back else "") + summary(event)
    return log_line(event, (name, _style(name, event)), what, look, form)


def log_line(
    event: Event | UnknownEvent, name: tuple[str, str], what: str, look: Look, form: Form
) -> str:
    """A line of the log: number, time and user of `event`, a name with its style, and `what`."""
    start = f"{event.seq:>{form.digits}}  {form.when(event.time)}  "
    who = pad(clean(event.actor.user), _WHO)
    column = pad(clean(name[0]), _KIND if look.width else _WIDE_KIND)
    text = look.fit(clean(" ".join(what.split())), len(start) + len(column) + len(who) + 2)
    shown = (look.paint(start, "dim"), look.paint(column, name[1]), look.paint(who, "dim"))
    return f"{shown[0]}{shown[1]} {shown[2]} {text}".rstrip()


def event_lines(
    event: Event | UnknownEvent, record_hash: bytes, look: Look, *, went_back: bool
) -> list[str]:
    """Everything an event says, over several lines."""
    name = clean(kind(event))
    login = f", logged in as uid {event.actor.login_uid}" if event.actor.login_uid >= 0 else ""
    called = " ".join((event.actor.verb, *event.actor.options))
    fields = {
        "time": long_time(event.time) + (f"  {_WENT_BACK}" if went_back else ""),
        "who": f"{event.actor.user} (uid {event.actor.uid}{login}), `{called}`",
        "transaction": event.transaction,
        "cause": str(event.cause or ""),
        "boot": event.boot.boot_id if event.boot else "",
        "hash": record_hash.hex(),
    }
    heading = look.paint(str(event.seq), "bold") + " " + look.paint(name, _style(name, event))
    lines = [heading]
    lines += [
        look.paint(f"  {label:<{_LABEL}} ", "dim") + clean(value)
        for label, value in fields.items()
        if value
    ]
    return [*lines, *_details(event, look), ""]


def summary(event: Event | UnknownEvent) -> str:
    """What happened, in a few words."""
    if isinstance(event, UnknownEvent):
        return "written by a newer version"
    describe = _SUMMARIES.get(kind(event))
    return describe(event.body) if describe else ""


def _details(event: Event | UnknownEvent, look: Look) -> list[str]:
    if isinstance(event, UnknownEvent):
        return [look.paint("  written by a newer version: its fields are not known", "dim")]
    lines = []
    for name, value in fields_of(event.body).items():
        if name == "plan" and value:
            value = [_change(change) for change in value["changes"]]  # noqa: PLW2901 - shown so
        lines += _field(name, value, look)
    return lines


def plan_lines(changes: Sequence[PackageChange], look: Look) -> list[str]:
    """The changes of a plan, as they stand among the fields of an event."""
    return _field("plan", [_change(plain(change)) for change in changes], look)


def _field(name: str, value: Any, look: Look) -> list[str]:  # noqa: ANN401 - of a body
    if value in (None, "", 0, [], {}) and value is not False:
        return []
    label = look.paint(f"  {name:<{_LABEL}} ", "dim")
    match value:
        case True | False:
            return [label + ("yes" if value else "no")]
        case int() if name in _TIMES:
            items = [long_time(value)]
        case [int(), *_]:
            items = [" ".join(map(str, value))]
        case list():
            items = [clean(str(item)) for item in value]
        case dict():
            items = [clean(f"{key}: {item}") for key, item in value.items() if item]
        case _:
            items = [clean(line) for line in str(value).splitlines()]
    return [(label if not index else " " * (_LABEL + 3)) + item for index, item in enumerate(items)]


def _change(change: dict[str, Any]) -> str:
    was = f"{change['was']} -> " if change["was"] else ""
    return f"{change['kind']} {change['name']} {was}{change['version']} {change['architecture']}"


def _style(name: str, event: Event | UnknownEvent) -> str:
    if isinstance(event, UnknownEvent):
        return "magenta"
    if name in ACTIONS:
        return "asked"
    if name in _BAD:
        return "red"
    return "blue" if name in _INTENT else "green"


# -- what happened, for each kind ------------------------------------------------------------


def _packages(body: Any) -> str:  # noqa: ANN401 - one of two Structs
    more = len(body.plan.changes) - len(body.names) if body.plan else 0
    with_it = f" and {more} more" if more > 0 else ""
    return " ".join(body.names) + with_it + ("" if body.live else ", not live")


def _of_slot(body: Any) -> str:  # noqa: ANN401 - one of two Structs
    return f"{slot_label(body.slot)}: {body.what or body.module_type}"


def _given(body: Any) -> str:  # noqa: ANN401 - one of two Structs
    return " (given, no part of the recipe)" if body.given else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _begun(body: Any) -> str:  # noqa: ANN401
    about = begun_words(body)
    return f"{body.mode}: {about}" if about else str(body.mode)


def begun_words(body: Any) -> str:  # noqa: ANN401 - a TransactionBegun
    """What a transaction is about, without its mode."""
    if body.mode == "apply":
        parts = [
            f"{len(part)} to {word}" for part, word in ((body.add, "add"), (body.drop, "drop"))
        ]
        return ", ".join(text for text in parts if not text.startswith("0 "))
    if body.mode == "live":
        verb = {"package.added": "add", "package.removed": "remove"}.get(body.action, body.action)
        return f"{verb} {' '.join(body.names)}"
    if body.target:
        return _short(body.target)
    return f"{len(body.objects)} objects" if body.objects else " ".join(body.names)


def _wanted_changed(body: Any) -> str:  # noqa: ANN401
    parts = [f"{_numbers(body.void)} void"] if body.void else []
    parts += [f"{_numbers(body.revive)} revived"] if body.revive else []
    return ", ".join(parts) + (f": {body.why}" if body.why else "")


def _numbers(seqs: tuple[int, ...]) -> str:
    return " ".join(f"#{seq}" for seq in seqs)


def _residue(body: Any) -> str:  # noqa: ANN401
    parts = [f"{_counted(body.files, 'file')} in /etc and /var"] if body.files else []
    parts += [f"user {name}" for name in body.users] + [f"group {name}" for name in body.groups]
    return "left " + ", ".join(parts)


def _step_done(body: Any) -> str:  # noqa: ANN401
    evidence = ", ".join(f"{key} {_short(value)}" for key, value in body.evidence.items() if value)
    return f"{body.step}: {evidence}" if evidence else str(body.step)


def _short(value: str) -> str:
    """A checksum by its first digits."""
    bare = value.removeprefix("sha256:")
    is_checksum = len(bare) == 64 and set(bare) <= set("0123456789abcdef")  # noqa: PLR2004
    return bare[:_SHORT] if is_checksum else value


def _hosts(body: Any) -> str:  # noqa: ANN401
    shown = (("booted", body.booted), ("staged", body.staged), ("rollback", body.rollback))
    return ", ".join(f"{name} {value[:_SHORT]}" for name, value in shown if value)


def _booted(body: Any) -> str:  # noqa: ANN401
    return _hosts(body) + (f"; OSTree: {body.failure}" if body.failure else "")


def _recipe_taken(body: Any) -> str:  # noqa: ANN401
    what = "image.yml, as it was edited" if body.placed else "a document, for its layout"
    return f"{what}, of {body.source} at {_short(body.commit)}" if body.source else what


_SUMMARIES: dict[str, Callable[[Any], str]] = {
    "package.added": _packages,
    "package.removed": _packages,
    "base.set": lambda body: body.reference,
    "base.updated": lambda body: f"{body.reference}, now {_short(body.image_id)}",
    "deployment.adopted": lambda body: f"{_short(body.checksum)}, {body.reference}",
    "wanted.changed": _wanted_changed,
    "module.added": lambda body: body.what or body.module_type,
    "module.changed": _of_slot,
    "module.removed": _of_slot,
    "env.set": lambda body: assignment(body.name, body.value) + _given(body),
    "env.removed": lambda body: body.name + _given(body),
    "resource.set": lambda body: f"{body.name}: {_counted(body.files, 'file')}",
    "resource.removed": lambda body: body.name,
    "wanted.held": lambda body: f"{_numbers(body.seqs)} held back" if body.seqs else "nothing held",
    "residue.found": _residue,
    "tag.set": lambda body: f"{body.name} -> #{body.point}" if body.point else f"{body.name} gone",
    "note.added": lambda body: f"#{body.point}: {body.text}",
    "live.broken": lambda body: body.reason,
    "transaction.begun": _begun,
    "step.started": lambda body: body.step,
    "step.undoing": lambda body: f"{body.step}: {body.reason}" if body.reason else body.step,
    "step.done": _step_done,
    "step.failed": lambda body: f"{body.step}: {body.reason}",
    "step.undone": lambda body: body.step,
    "step.skipped": lambda body: f"{body.step}: {body.reason}",
    "system.initialized": lambda body: f"{body.driver}, {body.base}",
    "recipe.taken": _recipe_taken,
    "transaction.staged": lambda body: f"{body.checksum[:_SHORT]} boots next",
    "transaction.rolled_back": lambda body: body.reason,
    "host.observed": _hosts,
    "host.booted": _booted,
}
