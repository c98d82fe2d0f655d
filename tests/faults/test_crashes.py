"""A run whose scheduler or worker is killed at any rename is resumed to the right result, or says to start it again."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
from faults.crash_kit import FLOWS, KINDS, Crashes, Outcome, Point, plan, prepare
from flow_runner import Finished, Workspace

CHOSEN = {
    "TrainFlow": [
        ("scheduler@launch", 0.0),
        ("start", 0.5),
        ("scheduler@fit_baseline", 1.0),
        ("train", 0.4),
        ("parent@train", 0.1),
        ("select", 0.9),
        ("scheduler@evaluate", 0.5),
        ("end", 0.9),
    ],
    "EdaFlow": [
        ("scheduler@_parameters", 0.5),
        ("start", 0.0),
        ("survey", 0.5),
        ("scheduler@merge", 0.0),
        ("version", 0.4),
        ("parent@version", 0.2),
        ("judge", 0.6),
        ("scheduler@end", 0.8),
    ],
    "ExplainFlow": [
        ("scheduler@_parameters", 1.0),
        ("start", 0.9),
        ("attribute", 0.3),
        ("inspect", 0.95),
        ("parent@stress", 0.6),
        ("scheduler@judge", 0.3),
        ("judge", 0.8),
        ("end", 0.1),
    ],
}
"""Process, and which of its renames: 0 the first, 1 the last."""
EARLY = {"scheduler@launch", "scheduler@_parameters"}
"""Where so little is recorded that there is nothing to resume."""


def crashes_of(folder: pathlib.Path, template: pathlib.Path, flow: str, options: tuple[str, ...]) -> Crashes:
    shutil.copytree(template, folder)
    return Crashes(Workspace(folder), flow, options)


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS)
def test_a_run_that_is_killed_again_and_again_arrives(tmp_path: pathlib.Path, flow: str) -> None:
    options = prepare(tmp_path / "template", flow)
    expected, counts = crashes_of(tmp_path / "untouched", tmp_path / "template", flow, options).untouched()
    shares = {Point(process, 1): share for process, share in CHOSEN[flow]}
    points = [Point(first.process, 1 + round(share * (counts[first.counted] - 1))) for first, share in shares.items()]
    outcome = crashes_of(tmp_path / "crashes", tmp_path / "template", flow, options).survive(points, expected)
    assert outcome.wrong == []
    assert outcome.not_reached == []
    assert sorted(outcome.right + outcome.clear) == sorted(points)
    assert {point.process for point in outcome.clear} <= EARLY


@pytest.mark.slow
@pytest.mark.skipif("CRASH_CHAINS" not in os.environ, reason="takes hours; `make test-faults` runs it")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", FLOWS)
def test_a_run_that_is_killed_anywhere_arrives(tmp_path: pathlib.Path, flow: str, kind: str) -> None:
    options = prepare(tmp_path / "template", flow)
    expected, counts = crashes_of(tmp_path / "untouched", tmp_path / "template", flow, options).untouched()
    total = Outcome()
    for points in plan(counts, kind, int(os.environ["CRASH_CHAINS"])):
        total.add(crashes_of(tmp_path / "crashes", tmp_path / "template", flow, options).survive(points, expected))
        shutil.rmtree(tmp_path / "crashes")
    assert total.wrong == []
    assert {point.process for point in total.clear} <= EARLY
    # How often the scheduler renames varies a little.
    assert len(total.not_reached) <= len(total.right) // 10


RENAMES = """
import os, pathlib
for name in "abc":
    pathlib.Path(name).touch()
    os.replace(name, name + name)
"""


@pytest.mark.parametrize(("number", "left"), [(1, ["a"]), (3, ["aa", "bb", "c"]), (9, ["aa", "bb", "cc"])])
def test_a_process_is_killed_before_its_rename(tmp_path: pathlib.Path, number: int, left: list[str]) -> None:
    hook, work = tmp_path / "hook", tmp_path / "work"
    hook.mkdir()
    work.mkdir()
    shutil.copy(pathlib.Path(__file__).with_name("crash_hook.py"), hook / "sitecustomize.py")
    environment = os.environ | {"PYTHONPATH": str(hook), "CRASH_AT": f"work:{number}:{tmp_path / 'killed'}"}
    for code in (-signal.SIGKILL, 0):
        # The words are those of a worker's command line.
        done = subprocess.run([sys.executable, "-c", RENAMES, "step", "work"], cwd=work, env=environment)
        assert done.returncode == code
        if code:
            assert sorted(path.name for path in work.iterdir()) == left
    assert sorted(path.name for path in work.iterdir()) == ["aa", "bb", "cc"]


class Scripted(Crashes):
    """A flow that says what it is told to say; each line is an exit code, whether it was killed, and its output."""

    def __init__(self, folder: pathlib.Path, lines: list[tuple[int, bool, str]], found: str = "right") -> None:
        super().__init__(Workspace(folder), "TrainFlow")
        for mark in folder.iterdir():
            mark.unlink()
        self.lines, self.found, self.commands = lines, found, []

    def start(self, *arguments: str, at: Point | None = None, log: pathlib.Path | None = None) -> Finished:
        self.commands.append("resume" if "resume" in arguments else "run")
        code, killed, output = self.lines.pop(0)
        self.started += 1
        if killed:
            self.mark.touch()
        return Finished(code, output)

    def digests(self, run_id: str) -> dict[str, str]:
        return {"model": self.found}

    def damage(self, run_id: str) -> str:
        return ""


STARTED = "Workflow starting (run-id 1700000000000000)"


def test_what_became_of_crashes_is_judged(tmp_path: pathlib.Path) -> None:
    worker, early = Point("train", 3), Point("scheduler@launch", 1)
    expected = {"model": "right"}
    killed, ended = (1, True, STARTED), (0, False, STARTED)

    survived = Scripted(tmp_path, [killed, ended])
    assert survived.survive([worker], expected) == Outcome(right=[worker])
    assert survived.commands == ["run", "resume"]

    refused = Scripted(tmp_path, [(-9, True, ""), (1, False, "Nothing is recorded. Start it again"), killed, ended])
    assert refused.survive([early, worker], expected) == Outcome(right=[worker], clear=[early])
    assert refused.commands == ["run", "resume", "run", "resume"]

    assert Scripted(tmp_path, [ended]).survive([worker, early], expected).not_reached == [worker, early]
    other = Scripted(tmp_path, [killed, ended], found="wrong").survive([worker], expected)
    assert other.right == []
    assert other.wrong == [f"{[worker]}: model differs"]
    for last in [(1, False, STARTED), (0, False, STARTED + "Traceback")]:
        assert Scripted(tmp_path, [killed, last]).survive([worker], expected).wrong
    # A worker was killed, and the run ended green.
    assert Scripted(tmp_path, [(0, True, STARTED), ended]).survive([worker], expected).wrong
