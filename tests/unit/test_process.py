"""Processes: how they end, what is told of them, and that nothing of them stays."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atomicstate import process
from atomicstate.errors import ValidationError
from atomicstate.process import ToolError, run, stream, time_limit


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def tool(folder: Path, script: str, name: str = "some-tool") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return name


def gone(number: int) -> bool:
    """Whether a process ends within some seconds. A zombie has ended."""
    stat = Path(f"/proc/{number}/stat")
    for _ in range(200):
        try:
            if stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def test_a_tool_that_fails_is_named_with_status_and_last_words(tools: Path) -> None:
    with pytest.raises(ToolError, match=r"^some-tool exited 7: its last words\n"):
        run([tool(tools, "echo its last words >&2; exit 7")])


def test_a_tool_that_a_signal_ended_is_told_by_the_signals_name(tools: Path) -> None:
    with pytest.raises(ToolError, match=r"^some-tool was killed by SIGSEGV\n"):
        run([tool(tools, "kill -SEGV $$")])


def test_a_signal_without_a_name_has_a_number(tools: Path) -> None:
    finished = run([tool(tools, f"kill -{signal.SIGRTMIN + 3} $$")], check=False)
    assert finished.outcome == f"was killed by signal {signal.SIGRTMIN + 3}"


def test_a_tool_that_is_not_there_is_named(tools: Path) -> None:
    with pytest.raises(ToolError, match="'no-such-tool' is not on this machine") as raised:
        run(["no-such-tool"])
    assert raised.value.hint == "install no-such-tool"


def test_it_is_the_tool_that_is_missing_not_what_runs_it(tools: Path) -> None:
    with pytest.raises(ToolError, match="'no-such-tool' is not on this machine"):
        run(["no-such-tool"], within=process.CONFINED)


def test_a_folder_that_is_not_there_is_not_taken_for_a_missing_tool(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"can't start 'true' in .*/none: it is not there"):
        run(["true"], cwd=tmp_path / "none")


def test_what_is_no_text_is_quoted_all_the_same(tools: Path) -> None:
    with pytest.raises(ToolError, match="exited 1: \N{REPLACEMENT CHARACTER}"):
        run([tool(tools, r"printf '\377\376\200' >&2; exit 1")])


def test_the_command_runs_again_in_a_shell(tools: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    name = tool(tools, 'printf "%s\\n" "$PWD" "$OPTION" "$@"; exit 3')
    words = [name, "two words", "$(id)", "a'b", ""]
    finished = run(words, within=("env", "OPTION=a b"), check=False, cwd=folder)
    again = subprocess.run(
        ["/bin/sh", "-c", finished.command], capture_output=True, check=False, timeout=60
    )
    assert (again.returncode, again.stdout) == (3, finished.stdout)
    assert shlex.split(finished.command)[-5:] == words


def test_a_failure_tells_the_command(tools: Path) -> None:
    with pytest.raises(ToolError) as raised:
        run([tool(tools, "echo no >&2; exit 1"), "two words"])
    # In the message: of a step that failed the log keeps that alone.
    assert raised.value.message == (
        "some-tool exited 1: no\nto run it again: some-tool 'two words'"
    )


@pytest.mark.parametrize(
    "ends",
    ["wait", "trap 'exit 0' TERM; wait", "trap '' TERM; wait; wait; wait"],
    ids=["on-request", "with-status-0", "by-force"],
)
def test_a_hanging_tool_is_ended_with_its_children(
    tools: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.5)
    name = tool(tools, f"(trap '' TERM; sleep 313.25) & echo $!; {ends}")
    finished = run([name], timeout=0.5, check=False)
    assert finished.outcome == "was ended after 0.5 seconds"
    assert finished.status != 0
    assert gone(int(finished.text))


def test_a_hanging_tool_is_an_error_that_says_what_it_said(tools: Path) -> None:
    name = tool(tools, "echo waiting for nobody; sleep 314.25")
    with pytest.raises(ToolError, match=r"^some-tool was ended after 0\.5 seconds: waiting for no"):
        run([name], timeout=0.5)


def test_an_error_in_what_takes_the_lines_ends_the_tool(tools: Path) -> None:
    def take(line: str) -> None:
        raise RuntimeError(line)

    with pytest.raises(RuntimeError) as raised:
        stream([tool(tools, "echo $$; sleep 315.25")], take)
    assert gone(int(str(raised.value)))


def test_a_confined_tools_children_end_with_a_killed_parent(tools: Path, tmp_path: Path) -> None:
    # Of a group and a session of its own, as a daemon is: no signal to the tool reaches it.
    started = tmp_path / "started"
    name = tool(tools, f"setsid sh -c 'touch {started}; exec sleep 316.25' & wait")
    program = f"from atomicstate import process; process.run([{name!r}], within=process.CONFINED)"
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        while not started.exists() and parent.poll() is None:
            time.sleep(0.02)
        parent.kill()

    def sleeping() -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if path.read_bytes() == b"sleep\x00316.25\x00":
                    return True
            except OSError:
                continue
        return False

    for _ in range(200):
        if not sleeping():
            break
        time.sleep(0.05)
    assert started.exists()
    assert not sleeping()


def test_the_user_sets_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATOMICSTATE_TOOL_TIMEOUT", raising=False)
    assert time_limit(600.0) == 600.0
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", "2.5")
    assert time_limit(600.0) == 2.5


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ATOMICSTATE_TOOL_TIMEOUT", text)
    with pytest.raises(ValidationError):
        time_limit(600.0)


def test_standard_input_may_be_longer_than_a_pipe_holds(tools: Path) -> None:
    content = b"x" * 300_000
    assert run([tool(tools, "cat")], stdin=content).stdout == content


def test_a_tool_that_reads_no_standard_input_is_ended_after_its_limit(tools: Path) -> None:
    finished = run([tool(tools, "exec sleep 30")], stdin=b"x" * 300_000, timeout=0.5, check=False)
    assert finished.limit == 0.5


def test_an_empty_standard_input_ends_at_once(tools: Path) -> None:
    assert run([tool(tools, "cat; echo end")], stdin=b"", timeout=20).text == "end\n"
