"""A step that passes its time limit is ended, with a message, also in C code that returns for nothing."""

import pathlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from ending_runs import call, last_lines
from flow_runner import Workspace

from dlcycle.flowkit import time_limit, watchdog

STUCK = """
import collections, itertools, signal, subprocess, sys
{before}
watchdog = subprocess.Popen([sys.executable, "-I", "-S", {script!r}, {pid}, "0.5", "0.5", "why"], stdin=subprocess.PIPE)
child = subprocess.Popen(["sleep", "60"])
print(watchdog.pid, child.pid, flush=True)
{then}
"""
HANG = "collections.deque(itertools.repeat(None), maxlen=0)"
FORK = "import os, time; os.fork() and os._exit(0); os.close(1); os.close(2); time.sleep(3)"
"""Leaves a process behind that holds the watchdog's input open."""
HEED = "signal.signal(signal.SIGTERM, lambda *_: None)"


def stuck(*, before: str = "", then: str = HANG) -> tuple[subprocess.CompletedProcess[str], list[int]]:
    """Run a process that starts its watchdog and a child; return how it ended and these two."""
    code = STUCK.format(before=before, then=then, script=watchdog.__file__, pid="str(__import__('os').getpid())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return done, [int(pid) for pid in done.stdout.split()]


def is_gone(pid: int) -> bool:
    """Wait a little for the end of a process."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="this system has no /proc")
@pytest.mark.parametrize(("before", "number"), [("", signal.SIGTERM), (HEED, signal.SIGKILL)])
def test_c_code_is_ended_with_what_it_started(before: str, number: int) -> None:
    done, pids = stuck(before=before)
    assert done.returncode == -number
    assert done.stderr.splitlines()[0] == "why"
    assert all(map(is_gone, pids))


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="this system has no /proc")
@pytest.mark.parametrize("then", ["", "watchdog.stdin.close(); watchdog.wait()", FORK])
def test_a_watchdog_ends_with_its_task_and_harms_nothing(then: str) -> None:
    done, (own, _) = stuck(then=f"child.kill(); {then}")
    assert (done.returncode, done.stderr) == (0, "")
    assert is_gone(own)


def test_a_step_without_a_limit_has_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    time_limit.start_watchdog(SimpleNamespace(decorators=[SimpleNamespace(name="retry")]))
    time_limit.stop_watchdog()


def test_a_limit_is_told_by_its_name_with_the_attempt_that_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    decorators = [
        SimpleNamespace(name="timeout", secs=360 * 60),
        SimpleNamespace(name="retry", attributes={"times": "1"}),
    ]
    step = SimpleNamespace(decorators=decorators, limit_key="train.time_limit")
    now = SimpleNamespace(step_name="train", task_id="4", retry_count=0)
    monkeypatch.setattr(time_limit, "current", now)
    told = time_limit.explain(ValueError(), step)
    assert told.startswith(
        "train.time_limit = 360 minutes: step train (task 4) took longer. This was attempt 1 of 2, the"
    )
    assert told.endswith("raise train.time_limit in the project file and start a new run: `resume` keeps the limit")
    now.retry_count = 1
    assert "This was attempt 2 of 2. If" in time_limit.explain(ValueError(), step)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "said", "reason"),
    [
        ("hang", "and did not end by itself: it is ended. This was attempt 1 of 1. If the work", "ended by SIGTERM."),
        ("wait", "end_flow.py:", "@timeout = 2 seconds: step act (task 2) took longer. It was at "),
    ],
)
def test_a_run_that_hits_a_limit_says_so_and_how_to_go_on(
    workspace: Workspace, how: str, said: str, reason: str
) -> None:
    done = call(workspace, "run", "--how", how, limit=2).expect(code=1)
    assert "@timeout = 2 seconds: step act (task 2) took longer" in done.output
    assert said in done.output
    failed, _, command = last_lines(done)
    assert failed.startswith(f"Run {done.run_id} failed in step act, task 2: {reason}")
    assert command.endswith(f"resume --origin-run-id {done.run_id}")
