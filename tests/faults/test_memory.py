"""A task that the machine killed, as one does whose memory is full: the next attempt knows what it used."""

import pathlib
import re
import shutil

import pytest
from flow_runner import Workspace

PROJECT = """
[data]
sample_rows = 300
merge_label_variants = true
[model]
candidates = [{architecture = "bag", embedding = 16}]
[train]
epochs = 1
batch_size = 16
threads = 1
retries = 1
checkpoint_steps = 2
shrink_micro_batch = true
"""

REPORT = """
from metaflow import Run, namespace
namespace(None)
task = Run("MemoryFlow/{}")["train"].task
print(task.data.candidate_report["micro_batch"], [entry["micro_batch"] for entry in task.data.history])
"""


@pytest.mark.slow
def test_the_attempt_after_a_killed_one_says_what_was_used_and_computes_less_at_once(workspace: Workspace) -> None:
    flow = pathlib.Path(shutil.copy(pathlib.Path(__file__).parent / "memory_flow.py", workspace.folder))
    done = workspace.run(project=PROJECT, flow=flow).expect()
    said = re.search(
        r"the attempt before was ended from outside \(SIGKILL\), as a machine does that runs out of memory: "
        r"it had used (\d+) of 600 MB, its largest batch had (\d+) rows of up to (\d+) tokens",
        done.output,
    )
    assert said is not None, done.output
    used, rows, tokens = map(int, said.groups())
    assert 200 < used < 2000 and 4 < rows <= 16 and tokens > 10
    half = (rows + 1) // 2
    assert f"this attempt computes {half} rows at once (train.shrink_micro_batch)" in done.output
    assert "training goes on from epoch 1, after batch 4" in done.output
    assert workspace.client(REPORT.format(done.run_id)) == f"{half} [{half}]"
