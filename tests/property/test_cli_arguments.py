"""No arguments, however odd, end in a traceback or in a bug."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atomicstate.cli.main import main
from atomicstate.cli.root import VERBS
from tests.support import sample_log

# What works on directories of the user's choice has tests of its own.
_VERBS = sorted(VERBS.keys() - {"sandbox", "backup", "import", "export", "init"})
_WORDS = [
    *("add", "remove", "update", "show", "status", "enable", "jq", "--", "-", ""),
    *("-n", "-1", "3", "99999999999999999999", "--kind", "package", "--since", "--until"),
    *("yesterday", "25:99", "--txn", "0190", "--actor", "root", "--package", "--grep", "(", "["),
    *("--reverse", "--applied", "--simulate", "--no-live", "-y", "-v", "-f", "json", "jsonl"),
    *("--from", "HEAD~2", "HEAD~", "--anchor", "ab", "--help", "--version", "--state-dir"),
]
_ODD = st.text(max_size=20).filter(lambda word: "/" not in word)
_ARGV = st.lists(st.sampled_from(_WORDS) | _ODD, max_size=5)
_STATUSES = {0, *range(2, 16), 130}


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATOMICSTATE_SANDBOX", raising=False)
    sample_log.make(tmp_path / "state")
    return tmp_path / "state"


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(verb=st.sampled_from(_VERBS), words=_ARGV)
def test_no_arguments_end_in_a_bug(state, verb, words):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    err = io.StringIO()
    # A watch without it has no end.
    words = ["--once", *words] if verb == "watch" else words
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["--state-dir", str(state), verb, *words])
    assert status in _STATUSES, (verb, words, err.getvalue())
    assert "this is a bug" not in err.getvalue()
