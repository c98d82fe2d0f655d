"""Runs whose training is cut off from outside end with the weights of a run that was left alone."""

import pathlib
import re
import shutil
import signal
import subprocess
from types import SimpleNamespace

import pytest
from flow_runner import Finished, Workspace

from dlcycle.flowkit import checkpoints
from dlcycle.flowkit.checkpoints import TaskStore

PROJECT = """
[data]
sample_rows = 300
merge_label_variants = true
[model]
candidates = [{architecture = "bag", embedding = 16}]
[train]
epochs = 4
batch_size = 16
seeds = [0, 1]
threads = 1
retries = 1
checkpoint_steps = 5
"""
BATCH = 23

WEIGHTS = """
from metaflow import Run, namespace
namespace(None)
run = Run("CutFlow/{}")
for task in run["train"]:
    report, model = task.data.candidate_report, task.data.model
    entries = [[v for k, v in entry.items() if k not in ("seconds", "rows_per_second")] for entry in task.data.history]
    print(report["seed"], report["best_epoch"], model["description"]["sha256"]["weights"], entries)
"""


def start(workspace: Workspace, *arguments: str, cut: str = "") -> Finished:
    """Call the flow as the leader of a process group of its own."""
    flow = workspace.folder / "cut_flow.py"
    if not flow.exists():
        shutil.copy(pathlib.Path(__file__).parent / "cut_flow.py", flow)
        (workspace.folder / ".metaflow").mkdir()
    done = subprocess.run(
        [workspace.python, flow, "--no-pylint", *arguments],
        cwd=workspace.folder,
        env=workspace.environment() | ({"CUT": cut} if cut else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        start_new_session=True,
    )
    return Finished(done.returncode, done.stdout)


def run(workspace: Workspace, *, seeds: int = 2, cut: str = "") -> Finished:
    project = PROJECT if seeds == 2 else PROJECT.replace("[0, 1]", "[1]")
    return start(workspace, "--config-value", "project", project, "run", "--max-workers", "2", cut=cut)


def results(workspace: Workspace, run_id: str) -> list[str]:
    """A line for each trained seed: best epoch, digest of the weights and all of the history but times."""
    return sorted(workspace.client(WEIGHTS.format(run_id)).splitlines())


def resumed(output: str) -> list[str]:
    """What the tasks said of where they go on."""
    return sorted(re.findall(r"bag, seed \d: training goes on from .*", output))


def kept(workspace: Workspace) -> list[pathlib.Path]:
    """Checkpoints in the datastore."""
    return list((workspace.folder / ".metaflow" / "mf.checkpoints").rglob("*.ckpt"))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Results of a run that was left alone."""
    workspace = Workspace(tmp_path_factory.mktemp("untouched"))
    done = run(workspace).expect()
    assert not resumed(done.output)
    found = results(workspace, done.run_id)
    assert len(found) == 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "batch"), [("SIGTERM", BATCH), ("SIGKILL", BATCH - BATCH % 5)])
def test_a_stopped_task_is_continued_by_retry(
    workspace: Workspace, untouched: list[str], name: str, batch: int
) -> None:
    done = run(workspace, seeds=1, cut=f"{name}:{BATCH}:task").expect()
    assert (workspace.folder / "happened").exists()
    assert "(retry)" in done.output
    (line,) = resumed(done.output)
    assert f"({batch} steps)" in line
    if name == "SIGTERM":
        assert "stopped by SIGTERM at epoch 2" in done.output
        assert "the next attempt goes on from the checkpoint at epoch 2, after batch" in done.output
    assert results(workspace, done.run_id) == untouched[1:]
    assert kept(workspace) == []


@pytest.mark.slow
def test_a_killed_run_is_continued_by_resume_in_every_branch(workspace: Workspace, untouched: list[str]) -> None:
    killed = run(workspace, cut=f"SIGKILL:{BATCH}:run")
    assert killed.code == -signal.SIGKILL
    # Two of each task, whose models are not stored yet.
    assert len(kept(workspace)) == 4
    origin = re.search(r"run-id (\d+)", killed.output)
    assert origin is not None
    again = start(workspace, "resume", "--origin-run-id", origin[1]).expect()
    lines = resumed(again.output)
    assert [line[:11] for line in lines] == ["bag, seed 0", "bag, seed 1"]
    assert all(f"({BATCH - BATCH % 5} steps)" in line for line in lines)
    assert results(workspace, again.run_id) == untouched


class Stored:
    """What @checkpoint would give a task: references by attempt of each task."""

    def __init__(self, found: dict[tuple[str, int], list[dict]], folder: pathlib.Path) -> None:
        self.found, self.directory, self.loaded = found, str(folder), []

    def list(self, *, name: str, task: SimpleNamespace | None = None) -> list[dict]:
        return self.found.get(("own", 0) if task is None else (task.pathspec, task.attempt), [])

    def load(self, reference: dict) -> None:
        self.loaded.append(reference["key"])


@pytest.mark.parametrize(
    ("retry", "origin", "expected"),
    [
        (0, None, []),
        (1, None, ["own late", "own early"]),
        (0, "B", ["b", "a late", "a early"]),
        (1, "A", ["own late", "own early", "a late", "a early"]),
    ],
)
def test_a_task_sees_its_own_attempts_and_its_branch_of_the_resumed_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, retry: int, origin: str | None, expected: list[str]
) -> None:
    def reference(key: str, minute: int, branch: str = "bag, seed 0") -> dict:
        return {
            "key": key,
            "created_on": f"2026-01-01T00:{minute:02}:00",
            "metadata": {"branch": branch},
            "pathspec": key,
        }

    found = {
        ("own", 0): [reference("own early", 1), reference("own late", 2), reference("other", 3, "gru, seed 0")],
        ("A/1", 0): [reference("a late", 2), reference("a early", 1)],
        ("A/2", 0): [reference("other branch", 9, "bag, seed 1")],
        ("B/1", 1): [reference("b", 5)],
    }
    tasks = {"A": [("A/1", 0, "None"), ("A/2", 0, "None")], "B": [("B/1", 1, "A")]}
    runs = {
        f"CutFlow/{run}": {
            "train": [
                SimpleNamespace(pathspec=path, current_attempt=last, metadata_dict={"origin-run-id": before})
                for path, last, before in known
            ]
        }
        for run, known in tasks.items()
    }
    stored = Stored(found, tmp_path)
    now = SimpleNamespace(
        checkpoint=stored, retry_count=retry, origin_run_id=origin, flow_name="CutFlow", step_name="train"
    )
    monkeypatch.setenv("USERNAME", "tester")
    monkeypatch.setattr(checkpoints, "current", now)
    monkeypatch.setattr(checkpoints, "Run", runs.__getitem__)
    monkeypatch.setattr(
        checkpoints, "Task", lambda pathspec, attempt: SimpleNamespace(pathspec=pathspec, attempt=attempt)
    )
    assert list(TaskStore(branch="bag, seed 0", identity={}, say=print).earlier()) == []
    assert stored.loaded == expected
