"""Counts the renames of a process and kills it at a chosen one; Python imports it at start as `sitecustomize`.

Everything that Metaflow's local datastore and metadata keep is written beside its place and renamed, so that the states
in which a crash can leave them are those before each rename. The environment variables:

    CRASH_AT   PROCESS:NUMBER:FILE, the rename before which a process is killed with SIGKILL; FILE is made then, and
               while it exists nothing is killed, so that this happens once
    CRASH_LOG  file that gets a line for each rename: the process and the number

PROCESS is the name of a step for its worker; scheduler@STEP for the scheduler while it writes what belongs to a step,
scheduler@launch before the first one; parent@STEP kills the scheduler at a rename of the worker, which lives on. A
worker that renames less often is killed when it ends.
"""

import atexit
import os
import re
import signal
import sys


def watched(arguments: list[str]) -> str:
    """Name of the process that these arguments started; empty for others, such as those that make cards."""
    if "card" in arguments:
        return ""
    if "step" in arguments:
        return arguments[arguments.index("step") + 1]
    return "scheduler" if {"run", "resume"} & set(arguments) else ""


def arm(name: str) -> None:
    """Count from here on."""
    process, pid, parent = name, os.getpid(), os.getppid()
    at, number, file = os.environ.get("CRASH_AT", "::").split(":", 2)
    counts: dict[str, int] = {}
    if name == "scheduler":
        process = "scheduler@launch"

    def kill() -> None:
        if os.getpid() != pid:
            return  # a child that was forked
        try:
            os.close(os.open(file, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        if at == process:
            os.kill(pid, signal.SIGKILL)
        elif os.getppid() == parent:
            os.kill(parent, signal.SIGKILL)

    def counted(place: str) -> None:
        nonlocal process
        if name == "scheduler" and (found := re.search(r"Flow/(?:[^/]*\d{6}[^/]*)/([a-z]\w*|_parameters)/", place)):
            process = f"scheduler@{found[1]}"
        counts[process] = counts.get(process, 0) + 1
        if log := os.environ.get("CRASH_LOG"):
            with open(log, "a") as lines:
                lines.write(f"{process} {counts[process]}\n")
        if str(counts[process]) == number and at in (process, f"parent@{process}"):
            kill()

    if name != "scheduler" and at in (name, f"parent@{name}"):
        # How often a worker renames varies by a few.
        atexit.register(kill)
    for function in (os.rename, os.replace):

        def before(source, target, *rest, _function=function, **options):
            if os.getpid() == pid:
                counted(os.fspath(target))
            return _function(source, target, *rest, **options)

        setattr(os, function.__name__, before)


if ("CRASH_AT" in os.environ or "CRASH_LOG" in os.environ) and (started := watched(sys.orig_argv)):
    arm(started)
