"""What a check returns, and the ways to run one that may fail or never end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    level: Level
    """`warn`: flows run, but something will surprise; `bad`: a flow will fail."""
    found: str
    cure: str = ""
    """What to do; empty for `ok`."""


def attempt(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; one that fails itself is `bad` and does not keep the others from running."""
    try:
        return check()
    except Exception as failure:  # whatever is broken here, the checks after it must still be told
        found = f"the check stopped: {type(failure).__name__}: {_first_line(str(failure))}"
        return Check(name, "bad", found, "mend what the message names; if it names nothing, report it with --json")


@dataclass(frozen=True)
class Probed:
    """How far a probe came."""

    stage: str
    """What it did last."""
    failure: str
    """Why it stopped there; empty where it did all."""
    late: bool
    """It was stopped because its time was up."""


def run_probe(*arguments: str, seconds: float, variables: Mapping[str, str]) -> Probed:
    """Run `dlcycle.flowkit.doctor.probe` in a process of its own, which is stopped when its time is up.

    Args:
        arguments: what to probe, and with what.
        seconds: time limit.
        variables: environment variables it has beside those of this process.
    """
    command = [sys.executable, "-m", "dlcycle.flowkit.doctor.probe", *arguments]
    late = False
    with subprocess.Popen(
        command,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own: what the probe starts is stopped with it.
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
    stages = output.split("\n")[:-1]
    stage = stages[-1] if stages else "start"
    if late:
        return Probed(stage, f"no answer within {seconds:g} s", late)
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.strip()]
        return Probed(stage, lines[-1] if lines else f"it ended with code {process.returncode}", late)
    return Probed(stage, "", late)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:300]
