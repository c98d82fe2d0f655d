"""Ends a task that stays past its time limit; run as a process of its own, beside the task.

A thread, or Metaflow's @timeout, waits for C code to return. This is started as a file, with the standard library
alone, so that it takes little time and memory:

    python -I -S watchdog.py PID SECONDS STAYS WHY

PID is the task's process; SECONDS the time after which it is ended; STAYS the seconds between SIGTERM and SIGKILL; WHY
is written to standard error. It ends when its standard input is closed or its parent is gone.
"""

import contextlib
import os
import select
import signal
import sys
import time

POLL_SECONDS = 5.0
"""Time between two looks whether the task is there: processes that it forked may hold standard input open."""


def main() -> None:
    """Wait for the end of the task or of its time, whichever comes first."""
    task, seconds, stays, why = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    if ended(task, seconds):
        return
    sys.stderr.write(f"{why}\n")
    sys.stderr.flush()
    others = descendants(task)
    send(task, signal.SIGTERM)
    if not ended(task, stays):
        others |= descendants(task)
        send(task, signal.SIGKILL)
    for process in others - {os.getpid()}:
        send(process, signal.SIGKILL)


def ended(task: int, seconds: float) -> bool:
    """Wait so long for the task; return whether it has ended."""
    until = time.monotonic() + seconds
    while os.getppid() == task:
        left = until - time.monotonic()
        if left <= 0:
            return False
        if select.select([sys.stdin], [], [], min(left, POLL_SECONDS))[0]:
            return True
    return True


def descendants(task: int) -> set[int]:
    """Processes that the task started, and those that these started."""
    parents = parents_of_all()
    found, before = {task}, 0
    while len(found) > before:
        before = len(found)
        found |= {process for process, parent in parents.items() if parent in found}
    return found - {task}


def parents_of_all() -> dict[int, int]:
    """The parent of each process of the machine; empty where the system has no /proc."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as about:
            # The name of a program may hold blanks and parentheses.
            parents[int(name)] = int(about.read().rpartition(")")[2].split()[1])
    return parents


def send(process: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


if __name__ == "__main__":
    main()
