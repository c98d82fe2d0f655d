"""GangFlow: several workers train what TrainFlow trains alone, and the loss of one costs no more than an attempt."""

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flow_runner import ROOT, Finished, Workspace
from readme import GANG

PROJECT = """
[data]
sample_rows = 200
merge_label_variants = true
[model]
candidates = [{architecture = "bag", embedding = 16, dropout = 0.0}]
[train]
epochs = 3
batch_size = 16
threads = 1
retries = 1
checkpoint_steps = 4
"""
WORKERS = f"{PROJECT}\nworkers = 2\n"
BATCH = 13
"""In the second epoch of eight batches."""

CUT_FLOW = f"""
import os
import signal

from dlcycle.flows.gang_flow import GangFlow
from metaflow import current


class CutFlow(GangFlow):
    def build_model(self, spec):
        network, batches = super().build_model(spec), []

        def cut(module, inputs):
            batches.extend([1] * module.training)
            if (len(batches), current.parallel.node_index, current.retry_count) == ({BATCH}, 1, 0):
                os.kill(os.getpid(), signal.SIGKILL)

        network.register_forward_pre_hook(cut)
        return network


if __name__ == "__main__":
    CutFlow()
"""

ABOUT = """
import json, safetensors.numpy
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("{flow}/{id}")
data = run["select"].task.data
entries = [[v for k, v in entry.items() if k not in ("seconds", "rows_per_second")] for entry in data.history]
print(json.dumps({{
    "weights": {{name: value.tolist() for name, value in safetensors.numpy.load(data.model["weights"]).items()}},
    "sha256": data.model["description"]["sha256"]["weights"],
    "history": entries,
    "report": {{key: data.candidate_report[key] for key in ("workers", "strategy", "resumed")}},
    "tasks": {{step.id: len(list(step)) for step in run}},
    "cards": len(get_cards(run["{step}"].task, type="dlcycle_train")[0].get()),
}}))
"""


@dataclass(frozen=True)
class Told:
    """A finished run: what it printed, and what the Client tells of it."""

    output: str
    about: dict[str, Any]


def told(workspace: Workspace, done: Finished, name: str, step: str) -> Told:
    done.expect()
    return Told(done.output, json.loads(workspace.client(ABOUT.format(flow=name, id=done.run_id, step=step))))


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A run with two workers by the README's command, with a Python that is not the one of the command `python`."""
    workspace = Workspace(tmp_path_factory.mktemp("together"), variables={"PATH": "/usr/bin:/bin"})
    (workspace.folder / "flows").symlink_to(ROOT / "flows")
    (workspace.folder / "tickets.toml").write_text(WORKERS)
    return told(workspace, workspace.call(*GANG.split()[1:]), "GangFlow", "work")


@pytest.mark.slow
def test_two_workers_train_what_one_does(together: Told, workspace: Workspace) -> None:
    one = told(workspace, workspace.run(project=PROJECT), "TrainFlow", "train").about
    two = together.about
    assert two["report"] == {"workers": 2, "strategy": "ddp", "resumed": None}
    assert one["report"] == {"workers": 1, "strategy": None, "resumed": None}
    assert two["tasks"]["work"] == 2
    assert two["cards"] > 50_000
    assert set(one["weights"]) == set(two["weights"])
    for name, weights in one["weights"].items():
        # Sums of 32-bit numbers in another order.
        np.testing.assert_allclose(two["weights"][name], weights, rtol=0, atol=2e-7, err_msg=name)
    for entry, other in zip(one["history"], two["history"], strict=True):
        assert entry == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
def test_the_loss_of_a_worker_ends_the_attempt_and_the_next_goes_on_to_the_same_bits(
    together: Told, workspace: Workspace
) -> None:
    flow = workspace.folder / "cut_flow.py"
    flow.write_text(CUT_FLOW)
    cut = told(workspace, workspace.run(project=WORKERS, flow=flow), "CutFlow", "work")
    assert "the worker of rank 1 (of 0 to 1) was lost" in cut.output
    assert (
        "at epoch 2, after 12 steps; the next attempt goes on from the checkpoint at epoch 2, after batch 4"
        in cut.output
    )
    assert len(re.findall(r"training goes on from epoch 2, after batch 4 \(12 steps\)", cut.output)) == 1
    assert (cut.about["report"]["resumed"], together.about["report"]["resumed"]) == ("epoch 2, after batch 4", None)
    assert (cut.about["sha256"], cut.about["history"]) == (together.about["sha256"], together.about["history"])


def test_the_flow_of_one_worker_names_the_one_of_several(workspace: Workspace) -> None:
    refused = workspace.run(project=WORKERS).expect(code=1)
    assert "train.workers = 2 needs" in refused.output
    assert "python flows/gang_flow.py" in refused.output
