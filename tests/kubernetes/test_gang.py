"""A gang on pods: a JobSet of one candidate's workers, which find each other by network."""

import re

import pytest
from cluster_runner import Cluster
from flow_runner import ROOT

pytestmark = pytest.mark.slow

PROJECT = """
[project]
name = "gang"
[data]
sample_rows = 200
merge_label_variants = true
[model]
candidates = [{architecture = "bag", embedding = 16}]
[train]
epochs = 1
workers = 2
"""


def test_two_pods_train_one_model(cluster: Cluster) -> None:
    done = cluster.run(project=PROJECT, flow=ROOT / "flows" / "gang_flow.py").expect()
    about = cluster.client(f"""
run = Run("GangFlow/{done.run_id}")
print(json.dumps([
    [task.data.worker for task in run["work"]],
    [task.data.history[0]["validation_loss"] for task in run["work"]],
    run.data.candidates[0]["workers"],
    run.data.candidates[0]["strategy"],
]))
""")
    workers, losses, size, strategy = about
    assert sorted(workers) == [0, 1]
    assert losses[0] == losses[1]
    assert (size, strategy) == (2, "ddp")
    # The first worker alone reports.
    assert len(re.findall("bag, seed 0: epoch   1 of 1", done.output)) == 1
