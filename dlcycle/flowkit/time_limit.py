"""The time limit of a step, also where the code that runs does not return to Python.

Metaflow's @timeout raises an exception in the step, which C code does not notice. A process beside the task ends it
`GRACE_SECONDS` later.
"""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaflow import config_expr, current, timeout  # type: ignore[attr-defined]

GRACE_SECONDS = 30.0
"""Time after the limit in which the step may still end by itself."""
STAY_SECONDS = 10.0
"""Time that a task is given between SIGTERM and SIGKILL."""

_watchdog: "subprocess.Popen[bytes] | None" = None


def limited(key: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a step: it may take as many minutes as a key of the project file says, such as `train.time_limit`."""

    def decorate(step_function: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = timeout(minutes=config_expr(f"project.{key}"))(step_function)
        decorated.limit_key = key  # type: ignore[attr-defined]
        return decorated

    return decorate


def start_watchdog(step_function: Any) -> None:
    """Start the process that ends this task when its @timeout has not; none is needed for a step without a limit."""
    global _watchdog
    seconds = next((decorator.secs for decorator in step_function.decorators if decorator.name == "timeout"), None)
    if seconds is None:
        return
    why = f"{_over(step_function)} and {GRACE_SECONDS:.0f} seconds more, and did not end by itself: it is ended. "
    why += _cure(step_function)
    script = Path(__file__).with_name("watchdog.py")
    arguments = [str(value) for value in (os.getpid(), seconds + GRACE_SECONDS, STAY_SECONDS, why)]
    _watchdog = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # Ctrl-C in a terminal is for the task.
        process_group=0,
    )


def stop_watchdog() -> None:
    """End the process that `start_watchdog` started, if it did."""
    global _watchdog
    if _watchdog is not None and _watchdog.stdin is not None:
        _watchdog.stdin.close()
        # A process that was forked may hold its input open.
        _watchdog.terminate()
        _watchdog.wait()
    _watchdog = None


def explain(failure: Exception, step_function: Any) -> str:
    """Say what the exception of @timeout means: the limit, where the step was, what follows."""
    frames = [
        frame for frame in traceback.extract_tb(failure.__traceback__) if "timeout_decorator" not in frame.filename
    ]
    where = f" It was at {frames[-1].filename}:{frames[-1].lineno}, {frames[-1].name}." if frames else ""
    return f"{_over(step_function)}.{where} {_cure(step_function)}"


def _process() -> int:
    import os

    return os.getpid()


def _over(step_function: Any) -> str:
    """The limit by its name, and who took longer."""
    limit = next(decorator for decorator in step_function.decorators if decorator.name == "timeout")
    key = getattr(step_function, "limit_key", "@timeout")
    amount = f"{limit.secs // 60} minutes" if limit.secs % 60 == 0 else f"{limit.secs} seconds"
    return f"{key} = {amount}: step {current.step_name} (task {current.task_id}) took longer"


def _cure(step_function: Any) -> str:
    key = getattr(step_function, "limit_key", None)
    raised = f"raise {key} in the project file" if key else "raise the limit of its @timeout"
    retries = next((decorator for decorator in step_function.decorators if decorator.name == "retry"), None)
    most = int(retries.attributes["times"]) if retries else 0
    attempt = f"This was attempt {current.retry_count + 1} of {most + 1}"
    follows = ", the next one starts with the same limit" if current.retry_count < most else ""
    return f"{attempt}{follows}. If the work needs longer, {raised} and start a new run: `resume` keeps the limit"
