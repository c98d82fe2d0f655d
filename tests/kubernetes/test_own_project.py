"""A team's own flow, in its own folder, on pods: shipped along, tried again when a pod dies, resumed when it failed."""

import pathlib
import re
import shlex
from dataclasses import dataclass

import pytest
from cluster_runner import Cluster
from flow_runner import Finished

pytestmark = pytest.mark.slow

FLOW = """
import os
import signal
import subprocess
import sys

from metaflow import Config, current
from dlcycle.errors import DataError
from dlcycle.flowkit.base import read_project
from dlcycle.flows.train_flow import TrainFlow

class ShopFlow(TrainFlow):
    project = Config("project", default="shop.toml", parser=read_project)

    def build_model(self, spec):
        from shop_network import Network
        return Network(spec)

    def train_candidate(self, spec, seed, settings):
        if current.retry_count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_candidate(spec, seed, settings)

    def assess_model(self, settings):
        if CLOSED:
            raise DataError("the shop is closed; open it")
        return super().assess_model(settings)

    def describe_lineage(self, settings):
        import dlcycle
        alone = subprocess.run([sys.executable, "-I", "-c", "import dlcycle"], capture_output=True, text=True)
        found = {"file": dlcycle.__file__, "alone": alone.stderr}
        return super().describe_lineage(settings) | {"shipped": found}

CLOSED = True

if __name__ == "__main__":
    ShopFlow()
"""

NETWORK = """
import torch

class Network(torch.nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(spec.tokens, 8, padding_idx=0)
        self.head = torch.nn.Linear(8, spec.classes)

    def forward(self, tokens, lengths):
        return self.head(self.embedding(tokens))
"""

PROJECT = """
[project]
name = "shop"
[data]
sample_rows = 300
merge_label_variants = true
[train]
epochs = 1
"""


@dataclass(frozen=True)
class Shop:
    """The project's folder and what its first run, which fails, printed."""

    cluster: Cluster
    folder: pathlib.Path
    failed: Finished


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A run whose training pod is killed once, and whose evaluation fails."""
    folder = tmp_path_factory.mktemp("shop")
    for name, content in {"shop_flow.py": FLOW, "shop_network.py": NETWORK, "shop.toml": PROJECT}.items():
        (folder / name).write_text(content)
    failed = cluster.call("shop_flow.py", "--no-pylint", "run", "--with", "kubernetes", cwd=folder)
    return Shop(cluster, folder, failed)


def test_a_killed_pod_is_followed_by_a_new_one_that_trains(shop: Shop) -> None:
    jobs = [job["about"] for job in shop.cluster.jobs("ShopFlow") if job["about"]["step_name"] == "train"]
    assert [job["attempt"] for job in jobs] == ["0", "1"]
    assert len({job["task_id"] for job in jobs}) == 1
    assert "bag, seed 0: epoch   1 of 1" in shop.failed.output


def test_a_failed_step_prints_its_message_and_leaves_its_card(shop: Shop) -> None:
    assert shop.failed.code == 1
    assert "the shop is closed; open it" in shop.failed.output
    assert "Traceback" not in shop.failed.output.split("the shop is closed")[1]
    shown = shop.cluster.client(f"""
from metaflow.cards import get_cards
task = Run("ShopFlow/{shop.failed.run_id}")["evaluate"].task
print(json.dumps("the shop is closed; open it" in get_cards(task, id="dlcycle")[0].get()))
""")
    assert shown


def test_the_printed_command_resumes_on_pods_and_repeats_nothing_that_was_done(shop: Shop) -> None:
    (shop.folder / "shop_flow.py").write_text(FLOW.replace("CLOSED = True", "CLOSED = False"))
    printed = re.search(r"To go on from this step with the same settings: (.*)", shop.failed.output)
    assert printed
    words = shlex.split(printed[1])
    command = words[words.index("shop_flow.py") :]
    assert command[1:4] == ["resume", "--with", "kubernetes"]
    done = shop.cluster.call(*command, cwd=shop.folder).expect()
    started = [job["about"] for job in shop.cluster.jobs("ShopFlow") if job["about"]["run_id"] == done.run_id]
    assert [job["step_name"] for job in started] == ["evaluate", "end"]
    about = shop.cluster.client(f"""
run = Run("ShopFlow/{done.run_id}")
lineage = run.data.lineage
print(json.dumps([
    run.successful, run.data.model["description"]["architecture"], lineage["origin_run"], lineage["shipped"],
    "project:shop" in run.system_tags, any(tag.startswith("experiment:") for tag in run.tags),
]))
""")
    shipped = about.pop(3)
    assert about == [True, "custom", shop.failed.run_id, True, True]
    # A pod has libraries and no dlcycle: what runs there came with the code package.
    assert "/.mf_code/dlcycle/" in shipped["file"]
    assert "No module named 'dlcycle'" in shipped["alone"]
