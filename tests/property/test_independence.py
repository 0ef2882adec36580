"""A part first and then the rest comes to the same as all at once, or the part is refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atomicstate.events.plan import PackageChange, Plan
from atomicstate.projectors import independence
from atomicstate.projectors.independence import Keys, keys_of
from atomicstate.projectors.state import ADDED, REMOVED, Action

NAMES = ("jq", "libjq", "onig", "vim", "nano", "less")
Planned = tuple[Action, Plan]


def _change(kind: str, name: str) -> PackageChange:
    return PackageChange(kind, name, "1", "all")


def added(seq: int, name: str, *along: str, goes: tuple[str, ...] = ()) -> Planned:
    comes = [_change("install", other) for other in (name, *along)]
    plan = Plan((*comes, *(_change("remove", other) for other in goes)))
    return Action(seq, ADDED, (name,)), plan


def removed(seq: int, name: str, *along: str) -> Planned:
    plan = Plan(tuple(_change("remove", other) for other in (name, *along)))
    return Action(seq, REMOVED, (name,)), plan


def based(seq: int, reference: str) -> Planned:
    return Action(seq, "base.set", reference=reference, image_id=reference), Plan()


def keys(*planned: Planned) -> dict[int, Keys]:
    return {action.seq: keys_of(action, plan) for action, plan in planned}


@st.composite
def logs(draw: st.DrawFn) -> list[Planned]:
    """Actions with plans, which need not make sense: the rule looks at their keys alone."""
    some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
    log: list[Planned] = []
    for seq in range(1, draw(st.integers(2, 8))):
        name, along = draw(st.sampled_from(NAMES)), tuple(draw(some))
        kind = draw(st.sampled_from(["add", "add", "remove", "base"]))
        if kind == "add":
            goes = tuple(other for other in draw(some) if other not in (name, *along))
            log.append(added(seq, name, *along, goes=goes))
        elif kind == "remove":
            log.append(removed(seq, name, *along))
        else:
            log.append(based(seq, f"localhost/base:{draw(st.integers(1, 2))}"))
    return log


def system(log: list[Planned]) -> dict[str, str]:
    """What a machine comes to by these plans, one after the other: packages, and its base."""
    found: dict[str, str] = {}
    for action, plan in log:
        if action.reference:
            found[independence.BASE] = action.reference
        found.update({change.name: "there" for change in plan.comes})
        found.update({change.name: "gone" for change in plan.goes})
    return found


@given(logs(), st.integers(0, 255))
def test_a_part_that_is_accepted_and_then_the_rest_is_all_at_once(
    log: list[Planned], bits: int
) -> None:
    part = {seq for seq in range(1, len(log) + 1) if bits >> seq & 1}
    if independence.missing(part, keys(*log)):
        return
    first = [item for item in log if item[0].seq in part]
    rest = [item for item in log if item[0].seq not in part]
    assert system(first + rest) == system(log)


@given(logs(), st.integers(0, 255))
def test_what_is_taken_along_makes_a_part_that_is_accepted(log: list[Planned], bits: int) -> None:
    part = {seq for seq in range(1, len(log) + 1) if bits >> seq & 1}
    whole = independence.closure(part, keys(*log))
    assert part <= whole
    assert not independence.missing(whole, keys(*log))


@given(logs(), st.integers(0, 255))
def test_nothing_is_taken_along_that_need_not_be(log: list[Planned], bits: int) -> None:
    part = {seq for seq in range(1, len(log) + 1) if bits >> seq & 1}
    whole = independence.closure(part, keys(*log))
    for seq in whole - part:
        assert independence.missing(whole - {seq}, keys(*log))


def test_a_common_dependency_does_not_tie_two_additions() -> None:
    assert not independence.missing({2}, keys(added(1, "jq", "onig"), added(2, "vim", "onig")))


def test_two_actions_on_one_package_are_tied() -> None:
    assert independence.missing({2}, keys(added(1, "jq"), removed(2, "jq"))) == {2: [1]}


def test_a_later_action_may_be_left_out() -> None:
    assert not independence.missing({1}, keys(added(1, "jq"), removed(2, "jq")))


def test_what_needs_what_an_earlier_one_took_out_is_tied_to_it() -> None:
    assert independence.missing({2}, keys(removed(1, "vim", "onig"), added(2, "jq", "onig")))


def test_what_takes_out_what_an_earlier_one_brought_is_tied_to_it() -> None:
    assert independence.missing({2}, keys(added(1, "jq", "onig"), added(2, "vim", goes=("onig",))))


def test_the_base_is_tied_to_the_base_alone() -> None:
    log = keys(based(1, "a"), added(2, "jq"), based(3, "b"))
    assert not independence.missing({2}, log)
    assert independence.missing({3}, log) == {3: [1]}


def test_dependencies_of_dependencies_are_taken_along() -> None:
    log = keys(added(1, "jq", "onig"), removed(2, "onig"), added(3, "vim", "onig"))
    assert independence.closure({3}, log) == {1, 2, 3}
