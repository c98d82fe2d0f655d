"""Whatever ends a run early, its last lines say what failed, where the log is and the command that goes on."""

import os
import signal

import pytest
from ending_runs import call, call_and, goes_on, last_lines
from flow_runner import Workspace


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("known", "row 3 has no label; give it one"),
        ("unknown", "ZeroDivisionError: a defect"),
        ("kill", "ended by SIGKILL. If no line above says why, its machine ran out of memory or someone ended it"),
        ("leave", "it ended with exit code 3; what it said is above and in its log"),
    ],
)
def test_the_last_lines_of_a_failed_run_say_what_to_do(workspace: Workspace, how: str, reason: str) -> None:
    done = call(workspace, "run", "--how", how)
    assert done.code == 1, done.output
    if how != "unknown":
        done.expect(code=1)
    failed, log, command = last_lines(done)
    assert failed == f"Run {done.run_id} failed in step act, task 2: {reason}"
    assert log is not None
    assert log.endswith(f"end_flow.py logs {done.run_id}/act/2")
    assert command.endswith(f"end_flow.py resume --origin-run-id {done.run_id}")
    if how == "kill":
        again = goes_on(workspace, command).expect()
        assert f"Cloning previously run task {done.run_id}/start/1" in again.output
        assert "The number is 7" in again.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_run_that_is_interrupted_ends_its_tasks_and_says_how_to_go_on(workspace: Workspace, name: str) -> None:
    # Ctrl-C reaches every process of the terminal, another signal the one that it is sent to.
    def interrupt(process: object) -> None:
        send = os.killpg if name == "SIGINT" else os.kill
        send(process.pid, getattr(signal, name))  # type: ignore[attr-defined]

    done = call_and(workspace, "run", "--how", "wait", reactions=[("It waits.", interrupt)]).expect(code=1)
    failed, _, command = last_lines(done)
    assert failed == f"Run {done.run_id} was interrupted."
    assert "Task failed." in done.output
    assert "The number is 7" in goes_on(workspace, command).expect().output


@pytest.mark.parametrize("options", [["--origin-run-id", "1"], []])
def test_a_run_of_which_nothing_is_recorded_is_to_be_started_again(workspace: Workspace, options: list[str]) -> None:
    if not options:
        (workspace.folder / ".metaflow" / "EndFlow").mkdir(parents=True)
        (workspace.folder / ".metaflow" / "EndFlow" / "latest_run").write_text("1")
    done = call(workspace, "resume", *options).expect(code=1)
    assert "Nothing is recorded of the run" in done.output
    assert "end_flow.py run, with the options that it had" in done.output
    assert "Internal error" not in done.output
