"""Kill a flow's processes at chosen renames, resume, and compare with a run that was left alone.

A chain of crashes is one run that is killed, resumed, killed further on, resumed, and so on to its end: it costs about
one run for many crashes, and asks for more than each of them alone.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flow_runner import EDA_FLOW, EXPLAIN_FLOW, FLOW, Finished, Workspace

KINDS = ("worker", "scheduler", "parent")
FLOWS = {"TrainFlow": FLOW, "EdaFlow": EDA_FLOW, "ExplainFlow": EXPLAIN_FLOW}

PROJECT = """
[data]
sample_rows = 100
merge_label_variants = true
[eda]
detect_languages = false
folds = 2
retries = 0
[model]
candidates = [{architecture = "bag", embedding = 8}]
[train]
epochs = 2
batch_size = 32
seeds = [0]
threads = 1
retries = 0
checkpoint_steps = 2
[explain]
detect_languages = false
steps = 5
overall_rows = 10
check_rows = 10
swap_rows = 10
perturbations = ["typos"]
threads = 1
retries = 0
"""
"""A project whose runs take as little as they can; nothing is retried, so that each crash ends the run."""

ARTIFACTS = {
    "TrainFlow": "data_fingerprint experiment_id split removed metrics baseline_metrics comparison gates consistency "
    "model history candidates todo",
    "EdaFlow": "data_fingerprint profile quality languages recommended schema removed findings cleaning split",
    "ExplainFlow": "local_attributions global_attributions faithfulness slices fairness robustness business gates "
    "answer todo findings work_list",
}
"""What a run is for."""

DIGESTS = """
import hashlib, numpy
from metaflow import Run, namespace
namespace(None)
TIMES = {{"seconds", "rows_per_second", "resources", "machine", "resumed"}}

def plain(value):
    if isinstance(value, dict):
        kept = {{key: value[key] for key in sorted(value, key=str) if key not in TIMES}}
        # The digest of a text that holds times.
        return {{key: plain(value) for key, value in kept.items() if (key, type(value)) != ("description", str)}}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value.tobytes() if isinstance(value, numpy.ndarray) else value

run = Run("{run}")
assert run.successful, "not successful"
for name in "{names}".split():
    print(name, hashlib.sha256(repr(plain(run.end_task[name].data)).encode()).hexdigest()[:16])
"""


@dataclass(frozen=True, order=True)
class Point:
    """The rename before which a process is killed; processes are named in `crash_hook`."""

    process: str
    number: int

    @property
    def kind(self) -> str:
        """`worker`, `scheduler`, or `parent`: the scheduler of a worker that lives on."""
        return self.process.partition("@")[0] if "@" in self.process else "worker"

    @property
    def counted(self) -> str:
        """The process whose renames are counted."""
        return self.process.removeprefix("parent@")


@dataclass
class Outcome:
    """What became of the crashes of a chain."""

    right: list[Point] = field(default_factory=list)
    """Crashes after which `resume` went on, to the result of a run that was left alone."""
    clear: list[Point] = field(default_factory=list)
    """Crashes after which `resume` says that the run must be started again."""
    not_reached: list[Point] = field(default_factory=list)
    """Where the run had ended before; a chain goes no further."""
    wrong: list[str] = field(default_factory=list)
    """Point, and what was seen instead."""

    def add(self, other: "Outcome") -> None:
        """Count the crashes of another chain too."""
        self.right += other.right
        self.clear += other.clear
        self.not_reached += other.not_reached
        self.wrong += other.wrong


@dataclass
class Crashes:
    """A folder in which one flow is run, killed and resumed.

    Each chain needs a new one: content that is stored already is not written, and not renamed, a second time.
    """

    workspace: Workspace
    flow: str
    arguments: tuple[str, ...] = ()
    """Options of `run`."""
    started: int = field(default=0, init=False)
    """Commands so far."""
    groups: list[int] = field(default_factory=list, init=False)
    """Process groups of the commands since `survivors`."""

    def start(self, *arguments: str, at: Point | None = None, log: Path | None = None) -> Finished:
        """Call the flow as the leader of a process group of its own; all that it writes is returned."""
        folder = self.workspace.folder
        (folder / ".metaflow").mkdir(exist_ok=True)
        (folder / "hook").mkdir(exist_ok=True)
        shutil.copy(Path(__file__).with_name("crash_hook.py"), folder / "hook" / "sitecustomize.py")
        environment = self.workspace.environment() | {"PYTHONPATH": str(folder / "hook")}
        # Workers that outlive their scheduler have the one before.
        self.started += 1
        if at:
            environment["CRASH_AT"] = f"{at.process}:{at.number}:{self.mark}"
        if log:
            environment["CRASH_LOG"] = str(log)
        # A pipe would keep the caller waiting for workers that outlive the scheduler.
        with (folder / "output.txt").open("w+") as output:
            process = subprocess.Popen(
                [self.workspace.python, FLOWS[self.flow], "--no-pylint", *arguments],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = process.wait(timeout=600)
            self.groups.append(process.pid)
            output.seek(0)
            return Finished(code, output.read())

    @property
    def mark(self) -> Path:
        """The file that says that a process was killed."""
        return self.workspace.folder / f"killed-{self.started}"

    @property
    def first(self) -> tuple[str, ...]:
        """Arguments that start a new run."""
        return ("--config-value", "project", PROJECT, "run", "--max-workers", "1", *self.arguments)

    def resume(self, origin: str) -> tuple[str, ...]:
        """Arguments that go on with a run."""
        return ("resume", "--origin-run-id", origin, "--max-workers", "1")

    def digests(self, run_id: str) -> dict[str, str]:
        """A digest of each public artifact of a finished run, without times and speeds."""
        code = DIGESTS.format(run=f"{self.flow}/{run_id}", names=ARTIFACTS[self.flow])
        return dict(line.split() for line in self.workspace.client(code).splitlines())

    def damage(self, run_id: str) -> str:
        """What `verify` finds damaged of a run; empty for nothing."""
        done = self.workspace.call("-m", "dlcycle", "verify", f"{self.flow}/{run_id}")
        return done.output if done.code else ""

    def untouched(self) -> tuple[dict[str, str], dict[str, int]]:
        """Run without a crash; return the digests of the result, and how often each process renames."""
        log = self.workspace.folder / "renames.txt"
        log.unlink(missing_ok=True)
        run = self.start(*self.first, log=log).expect()
        return self.digests(run.run_id), dict(Counter(line.split()[0] for line in log.read_text().splitlines()))

    def survive(self, points: Iterable[Point], expected: dict[str, str]) -> Outcome:
        """Crash at one point after the other, resume each time, and judge the result at the end."""
        outcome, pending, left = Outcome(), [], [*points, None]
        command = killed_command = self.first
        while left:
            done = self.start(*command, at=left[0])
            if command[0] == "resume" and _clear(done):
                outcome.clear.append(pending.pop())
                command = killed_command
                done = self.start(*command, at=left[0])
            if left[0] is None or not self.mark.exists():
                break
            point = left.pop(0)
            pending.append(point)
            if problem := _unexpected(point, done):
                outcome.wrong.append(f"{point}: {problem}")
            found = re.search(r"\(run-id (\d+)", done.output)
            killed_command, command = command, self.resume(found[1] if found else str(time.time_ns() // 1000))
        outcome.not_reached += [point for point in left if point]
        outcome.wrong += self.survivors()
        if problem := self._problem(done, expected):
            outcome.wrong.append(f"{pending}: {problem}")
        else:
            outcome.right += pending
        return outcome

    def survivors(self, seconds: float = 60.0) -> list[str]:
        """Wait for workers that outlived their scheduler; name those that do not end, and end them."""
        limit, problems = time.monotonic() + seconds, []
        for group in self.groups:
            while _alive(group) and time.monotonic() < limit:
                time.sleep(0.2)
            if _alive(group):
                problems.append(f"a process of the group {group} still runs")
                os.killpg(group, signal.SIGKILL)
        self.groups.clear()
        return problems

    def _problem(self, done: Finished, expected: dict[str, str]) -> str:
        """What is wrong with the end of a chain; empty for nothing."""
        if done.code or "Traceback" in done.output:
            return f"exit code {done.code}: {done.output[-3000:]}"
        if damage := self.damage(done.run_id):
            return damage
        found = self.digests(done.run_id)
        return ", ".join(f"{name} differs" for name in expected if found.get(name) != expected[name])


def prepare(folder: Path, flow: str) -> tuple[str, ...]:
    """Make a folder for `flow`, with the run that it needs; return the options of `run` that name it."""
    (folder / ".metaflow").mkdir(parents=True)
    if flow != "ExplainFlow":
        return ()
    training = Crashes(Workspace(folder), "TrainFlow")
    return ("--train-run", f"TrainFlow/{training.start(*training.first).expect().run_id}")


def plan(counts: dict[str, int], kind: str, chains: int) -> Iterator[list[Point]]:
    """Yield chains of points, spread over the renames of each process, the first and the last included.

    Args:
        counts: how often each process renames.
        kind: of the points.
        chains: how many; 0 for as many as it takes to visit every rename.

    >>> list(plan({"start": 3, "scheduler@start": 2, "end": 1}, "worker", 2))
    [[Point(process='start', number=1), Point(process='end', number=1)], [Point(process='start', number=3)]]
    """
    counted, prefix = ("worker", "parent@") if kind == "parent" else (kind, "")
    own = {prefix + process: count for process, count in counts.items() if Point(process, 1).kind == counted}
    chains = chains or max(own.values())
    for chain in range(chains):
        points = []
        for process, count in own.items():
            number, before = (1 + round(place * (count - 1) / max(chains - 1, 1)) for place in (chain, chain - 1))
            if not chain or number > before:
                points.append(Point(process, number))
        yield points


def _clear(done: Finished) -> bool:
    return done.code != 0 and "Traceback" not in done.output and "start it again" in done.output.lower()


def _unexpected(point: Point, done: Finished) -> str:
    """What a killed process should have led to and did not."""
    if point.kind != "worker":
        return "" if done.code == -signal.SIGKILL else f"exit code {done.code}"
    if done.code == 0 or "Traceback" in done.output:
        return f"exit code {done.code}: {done.output[-3000:]}"
    return ""


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
