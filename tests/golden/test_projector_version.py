"""A snapshot of other code is not read: what the projector makes of a log is told by its version.

Where a test fails here, the projector gives another view of the same events than it did: raise
VERSION in projectors/system.py, so that snapshots of before are made anew, and add its digest.
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import islice
from pathlib import Path

from atomicstate.events import codec
from atomicstate.events.event import Event
from atomicstate.projectors.fold import fold
from atomicstate.projectors.system import VERSION, System
from atomicstate.store.state import State
from atomicstate.store.transfer import import_file
from benchmarks import mix

OF_THE_GOLDEN_LOG = {
    2: "0947d0688655e6f4ffeb4fa82489fb83",
    4: "a4ed71d167defb7afa1499547eeb6f03",
    5: "d90502e164e0a72b2e35f137870f2d92",
    6: "49fb1b7db24b4386def8d52ad5ba1a4d",
}
OF_A_LONG_LIFE = {
    2: "221467b435bceca607cd2f28e19e0663",
    4: "c67e66911a82a707f9a791b5a77668a6",
    5: "719c0d83d6761f662211576e0ea8c533",
    6: "5b4033a979cd8750941fb51c4c99652c",
}


def digest(system: System) -> str:
    return blake2b(system.to_bytes(), digest_size=16).hexdigest()


def test_the_view_of_the_golden_log_is_that_of_its_version(tmp_path: Path) -> None:
    exported = Path(__file__).parent / "format-1" / "expected" / "export.jsonl"
    state = State(tmp_path / "state")
    import_file(state, exported)
    system = System()
    with state.open_log(write=False) as log:
        fold(system, log.records())
    assert digest(system) == OF_THE_GOLDEN_LOG[VERSION]


def test_the_view_of_a_long_life_is_that_of_its_version() -> None:
    """Long enough to let go of what has no bearing."""
    system = System()
    for seq, draft in enumerate(islice(mix.drafts(), 20_000), 1):
        event = Event(
            seq,
            draft.body,
            draft.transaction,
            mix.BEGIN + seq,
            seq,
            draft.actor,
            draft.boot,
            draft.cause,
            draft.request,
            bytes(16),
        )
        fold(system, [codec.encode(event) + bytes(codec.HASH_SIZE)])
    assert len(system.actions) < 2_000
    assert digest(system) == OF_A_LONG_LIFE[VERSION]
