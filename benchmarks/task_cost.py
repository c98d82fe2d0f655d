"""What the machinery of flows costs: a task whose body does nothing, against the same task of a plain Metaflow flow.

    python benchmarks/task_cost.py [--repeats 5] [--steps 8] [--demo]

Pairs of flows run in turns, each as a user runs it. A task's share is the difference between a flow with `--steps`
more steps and one without them, divided by `--steps`; CPU time is that of all processes, the scheduler's and those that
make cards included. The goal is a ratio of at most 1.3.

    steps        subclass of BaseFlow / plain flow
    train step   the decorators of TrainFlow's step `train` with a blank card / those of Metaflow among them
    its card     the same with the card of TrainFlow, which has nothing to draw
    show         the command `show` of train_flow.py / of a flow with two steps, a run of the command as one task

`--demo` also runs `make demo` in this checkout, after its installation, and prints its seconds and peak memory.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PLAIN = """
from metaflow import FlowSpec, card, environment, resources, retry, step, timeout

def decorated(function):
    return (
        card(type="blank", id="dlcycle", refresh_interval=5)(
        resources(cpu=1, memory=4096)(
        timeout(minutes=60)(
        retry(times=1, minutes_between_retries=0)(
        environment(vars={"OMP_WAIT_POLICY": "PASSIVE"})(function)))))
    )

Base = FlowSpec
"""
OURS = """
from metaflow import card, config_expr, environment, resources, retry, step
from dlcycle.flowkit import checkpoints, eda, inputs, lineage, live, summary, time_limit, triggers
from dlcycle.flowkit.base import BaseFlow as Base

def decorated(function):
    return (
        card(type="dlcycle_train", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)(
        resources(
            cpu=config_expr("project.train.cpu"),
            gpu=config_expr("project.train.gpu"),
            memory=config_expr("project.train.memory"),
            shared_memory=config_expr("project.train.shared_memory"),
        )(
        time_limit.limited("train.time_limit")(
        retry(times=config_expr("project.train.retries"), minutes_between_retries=0)(
        checkpoints.checkpointed(
        environment(vars={"OMP_WAIT_POLICY": "PASSIVE"})(function))))))
    )
"""


HEADS = {
    "steps": (OURS, PLAIN),
    "train step": (OURS.replace("dlcycle_train", "blank"), PLAIN),
    "its card": (OURS, PLAIN),
}


def flow_text(head: str, *, steps: int, decorated: bool) -> str:
    """A flow whose steps do nothing: start, `steps` more, end."""
    names = ["start", *(f"step_{number}" for number in range(steps)), "end"]
    lines = [head, "class CostFlow(Base):"]
    for number, name in enumerate(names):
        if decorated and 0 < number < len(names) - 1:
            lines.append("    @decorated")
        lines += ["    @step", f"    def {name}(self):"]
        lines.append("        pass" if name == "end" else f"        self.next(self.{names[number + 1]})")
    return "\n".join([*lines, "if __name__ == '__main__':", "    CostFlow()", ""])


@dataclass(frozen=True)
class Seconds:
    """Wall and CPU time."""

    wall: float
    cpu: float

    def __sub__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)

    def __truediv__(self, count: int) -> "Seconds":
        return Seconds(self.wall / count, self.cpu / count)


def seconds(folder: Path, *command: str) -> Seconds:
    """Time of a command, and of its children that it waited for."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {
        "METAFLOW_USER": "benchmark",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        "METAFLOW_HOME": str(folder / "home"),
    }
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Seconds(time.perf_counter() - began, cpu)


def task_seconds(folder: Path, head: str, *, steps: int, decorated: bool) -> Seconds:
    """Time of one of the steps between start and end."""
    both = []
    for count in (0, steps):
        file = folder / "cost_flow.py"
        file.write_text(flow_text(head, steps=count, decorated=decorated))
        both.append(seconds(folder, str(file), "--no-pylint", "run", "--max-workers", "1"))
    return (both[1] - both[0]) / steps


def show_seconds(folder: Path, *, ours: bool) -> Seconds:
    """Time of the command `show`."""
    file = ROOT / "flows" / "train_flow.py" if ours else folder / "empty_flow.py"
    if not ours:
        file.write_text(flow_text(PLAIN, steps=0, decorated=False))
    return seconds(folder, str(file), "show")


def compare(name: str, measure: Callable[[bool], Seconds], repeats: int) -> None:
    """Print the medians of both sides, measured in turns, and of their ratios."""
    pairs = []
    for repeat in range(repeats + 1):
        order = (True, False) if repeat % 2 else (False, True)
        taken = {ours: measure(ours) for ours in order}
        pairs.append((taken[True], taken[False]))
    # The first pair compiles and fills caches.
    for kind in ("cpu", "wall"):
        own, other = zip(*((getattr(ours, kind), getattr(plain, kind)) for ours, plain in pairs[1:]), strict=True)
        ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
        print(
            f"{name:<12} {kind:<5} {statistics.median(own):>9.3f} {statistics.median(other):>9.3f} {ratio:>7.2f}",
            flush=True,
        )


def memory_of_group(group: int) -> int:
    """Bytes that all processes of a group hold, shared pages counted once in parts (PSS)."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(process.name)) == group:
                lines = (process / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
        except (OSError, ValueError):
            continue  # the process ended while it was being read
    return total


def demo_cost() -> None:
    """Print wall time and peak memory of `make demo`."""
    started = time.perf_counter()
    process = subprocess.Popen(["make", "demo"], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory_of_group(process.pid))
        time.sleep(0.2)
    taken = time.perf_counter() - started
    print(f"make demo: {taken:.1f} s, peak {peak / 1e9:.2f} GB, exit {process.returncode}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", nargs="*", choices=[*HEADS, "show"])
    parser.add_argument("--demo", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".metaflow").mkdir()

        def steps_of(name: str) -> Callable[[bool], Seconds]:
            (own, plain), decorated = HEADS[name], name != "steps"
            return lambda ours: task_seconds(folder, own if ours else plain, steps=arguments.steps, decorated=decorated)

        measures = {name: steps_of(name) for name in HEADS} | {"show": lambda ours: show_seconds(folder, ours=ours)}
        print(f"{'a task of':<12} {'':<5} {'dlcycle s':>9} {'plain s':>9} {'ratio':>7}")
        for chosen in arguments.only or measures:
            compare(chosen, measures[chosen], arguments.repeats)
    if arguments.demo:
        demo_cost()


if __name__ == "__main__":
    main()
