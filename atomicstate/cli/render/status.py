"""`status` as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atomicstate.cli.render.moments import age_of, short_time, short_time_of
from atomicstate.cli.terminal import Look, clean, counted
from atomicstate.events.asked import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from atomicstate.engine.results import (
        DeploymentResult,
        OverlayResult,
        PendingResult,
        StatusResult,
        UnfinishedResult,
    )

_STATES = {
    "idle": "nothing is under way, nothing is pending",
    "overlay": "the overlay is on, nothing is pending",
    "recorded": "changes are pending: `atomicstate apply` makes an image of them",
    "configured": "an apply is at its recipe",
    "containerfile": "an apply is about to build",
    "built": "an apply has its image and is about to switch",
    "switched": "the next boot starts another deployment",
    "rolling_back": "a transaction is being taken back",
}
_ROLLING_BACK = "rolling_back"
_CHECKSUM = 12


def status_text(result: StatusResult, look: Look, moment: int | None = None) -> str:
    """The whole page; of the past with the time of its last event (nanoseconds) as `moment`."""
    at = f"event {result.head.seq}, {short_time(moment)}" if moment is not None else ""
    lines = [
        *([_field(look, "at", at)] if at else []),
        _field(look, "state", f"{look.paint(result.state, 'bold')}: {_state(result)}"),
        _field(look, "base", _base(result, moment)),
        _field(look, "overlay", overlay_text(result.overlay)),
        _field(look, "log", counted(result.head.seq, "event")),
        _field(look, "head", result.head.hash),
        "",
        look.paint(f"deployments ({clean(result.host.driver)})", "heading"),
        *_deployments(result, look),
        *_pending(result.pending, look),
        *_held(result.held, look),
        *_dropped(result, look),
        *_broken(result.broken, look),
        *_drift(result.drift, look),
        *_unfinished(result.unfinished, look),
        *_residue(result.residue, look),
        *_warnings(result.warnings, look),
    ]
    return "\n".join(lines)


def _state(result: StatusResult) -> str:
    if any(not item.running for item in result.unfinished):
        return "there a run was cut short, or its end was: see below"
    return _STATES[result.state]


def overlay_text(overlay: OverlayResult) -> str:
    """The overlay in words."""
    if not overlay.active:
        return "off: /usr is read-only"
    return "on: /usr takes changes until the next boot" if overlay.writable else "on, read-only"


def action_text(kind: str, data: dict[str, object]) -> str:
    """An action as what is asked for: `add jq curl`."""
    return clean(" ".join(in_words(kind, data).split()))


def pending_lines(actions: list[PendingResult], look: Look) -> list[str]:
    """A line for each action, with a sign for to add and to drop."""
    lines = []
    for action in actions:
        sign, style = ("+", "green") if action.change == "add" else ("-", "red")
        about = f"{short_time_of(action.time)}, {clean(action.user)}"
        text = look.fit(f"{action.seq:>4}  {action_text(action.kind, action.data)}", 30)
        lines.append(f"  {look.paint(sign, style)} {text}  {look.paint(about, 'dim')}")
    return lines


def _field(look: Look, name: str, value: str) -> str:
    return look.paint(f"{name:<9}", "dim") + value


def _base(result: StatusResult, moment: int | None) -> str:
    said = [clean(result.base)]
    if result.base_created:
        said.append(f"made {short_time_of(result.base_created)}")
        said.append(age_of(result.base_created, moment))
    return ", ".join(filter(None, said))


def _deployments(result: StatusResult, look: Look) -> list[str]:
    shown = (
        ("staged", result.host.staged, "green"),
        ("booted", result.host.booted, "bold"),
        ("rollback", result.host.rollback, "dim"),
    )
    first = result.host.boots_next
    lines = [
        _deployment(name, item, style, look, first=name != "booted" and item.checksum == first)
        for name, item, style in shown
        if item
    ]
    return lines or ["  none"]


def _deployment(name: str, item: DeploymentResult, style: str, look: Look, *, first: bool) -> str:
    # The image of a transaction bears its id: saying it twice helps nobody.
    made = f"transaction {item.transaction}" if item.transaction else clean(item.image)
    rest = f"{item.checksum[:_CHECKSUM]}  {made}{' (boots next)' if first else ''}"
    return f"  {look.paint(f'{name:<9}', style)} {look.fit(rest, 12)}"


def _pending(pending: list[PendingResult], look: Look) -> list[str]:
    if not pending:
        return []
    return ["", look.paint("pending", "heading"), *pending_lines(pending, look)]


def _held(held: list[PendingResult], look: Look) -> list[str]:
    if not held:
        return []
    heading = look.paint("held back since a rollback", "heading")
    advice = "  `atomicstate apply` leaves these out until it names them"
    return ["", heading, *pending_lines(held, look), advice]


def _dropped(result: StatusResult, look: Look) -> list[str]:
    if not result.dropped:
        return []
    heading = look.paint("did not come up", "heading")
    said = [f"  OSTree: {clean(result.dropped_failure)}"] if result.dropped_failure else []
    if result.dropped_why:
        return ["", heading, f"  {clean(result.dropped_why)}", *said]
    instead = "" if result.unfinished else ", `atomicstate apply` what is pending now"
    return [
        "",
        heading,
        f"  the deployment of {result.dropped} was staged, and the boot went without it",
        *said,
        f"  `atomicstate resume` stages it again{instead}",
    ]


def _broken(broken: str | None, look: Look) -> list[str]:
    if not broken:
        return []
    return [
        "",
        look.paint("/usr is not to be relied on", "red"),
        f"  {look.fit(clean(broken), 2)}",
        "  the next boot takes the overlay away; until then only `--no-live` records",
    ]


def _drift(drift: str | None, look: Look) -> list[str]:
    if not drift:
        return []
    return [
        "",
        look.paint("edited by hand", "heading"),
        f"  {look.fit(clean(drift), 2)}",
        "  `atomicstate config import` takes it in, `atomicstate config restore` takes it back",
    ]


def _unfinished(unfinished: list[UnfinishedResult], look: Look) -> list[str]:
    lines = []
    for item in unfinished:
        where = f"at the step {item.step}" if item.step else "at its begin"
        lines.append(
            f"  {look.paint(item.verb or item.mode, 'yellow')} of {clean(item.user)},"
            f" {short_time_of(item.since)}, {_where_it_is(item)} {where}"
        )
        lines.append(look.paint(f"    transaction {item.transaction}", "dim"))
    if not lines:
        return []
    stopped = [item for item in unfinished if not item.running]
    if any(item.state != _ROLLING_BACK for item in stopped):
        lines.append("  `atomicstate resume` goes on with it, `atomicstate abort` takes it back")
    elif stopped:
        lines.append("  `atomicstate abort` goes on with that")
    return ["", look.paint("unfinished", "heading"), *lines]


def _where_it_is(item: UnfinishedResult) -> str:
    if item.running:
        return "is running"
    if item.state == _ROLLING_BACK:
        return "was being taken back, and that stopped"
    return "was cut short"


def _residue(residue: list[str], look: Look) -> list[str]:
    if not residue:
        return []
    heading = look.paint("left behind outside /usr", "heading")
    return ["", heading, *(f"  {clean(item)}" for item in residue)]


def _warnings(warnings: Sequence[str], look: Look) -> list[str]:
    if not warnings:
        return []
    heading = look.paint("in the way", "heading")
    return ["", heading, *(f"  {look.paint(clean(item), 'yellow')}" for item in warnings)]
