"""The shipped flows on pods by the README's commands, on a file of the user's machine, with nothing done by hand."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pytest
from cluster_runner import Cluster
from flow_runner import EDA_FLOW, ROOT, Finished
from readme import CLUSTER

pytestmark = pytest.mark.slow

PROJECT = """
[project]
name = "pods"
[data]
source = "ticket texts.csv"
inputs = ["text"]
target = "queue"
[train]
epochs = 1
shared_memory = 128
[eda]
shards = 2
detect_languages = false
[explain]
detect_languages = false
overall_rows = 20
check_rows = 10
swap_rows = 10
"""

ABOUT = """
from metaflow.cards import get_cards
run = Run("{run}")
lineage = run.data.lineage
print(json.dumps({{
    "tags": sorted(run.tags), "project": "project:pods" in run.system_tags, "source": lineage.get("source"),
    "rows": lineage.get("rows"), "git": lineage["git"], "resume": lineage["resume"], "card": lineage["card"],
    "cards": {{card.type: len(card.get()) for task in run["{step}"] for card in get_cards(task, id="dlcycle")}},
    "fingerprint": run.data.data_fingerprint,
}}))
"""


@dataclass(frozen=True)
class Told:
    """A finished run: its identity, what was printed, and what the Client tells of it."""

    run: str
    output: str
    about: dict[str, Any]


@pytest.fixture(scope="module")
def texts(cluster: Cluster) -> bytes:
    """The bytes of the user's file, whose name has a blank."""
    lines = [f"the {queue} number {i} fails when used {i * 7} times,{queue}" for i in range(60) for queue in ("a", "b")]
    content = "\n".join(["text,queue", *lines]).encode()
    (cluster.folder / "ticket texts.csv").write_bytes(content)
    (cluster.folder / "tickets.toml").write_text(PROJECT)
    (cluster.folder / "flows").symlink_to(ROOT / "flows")
    return content


def obey(cluster: Cluster, command: str, **names: str) -> Finished:
    """Call a command of the README, with a run in the place of `RUN_ID`."""
    for name, run in names.items():
        command = command.replace(f"{name}/RUN_ID", run)
    return cluster.call(*command.split()[1:]).expect()


@pytest.fixture(scope="module")
def looked(cluster: Cluster, texts: bytes) -> Told:
    """A look at the uploaded file."""
    done = obey(cluster, CLUSTER[0])
    run = f"EdaFlow/{done.run_id}"
    return Told(run, done.output, cluster.client(ABOUT.format(run=run, step="judge")))


@pytest.fixture(scope="module")
def trained(cluster: Cluster, looked: Told) -> Told:
    """Training on what was looked at: nothing is uploaded, because no file is read."""
    done = obey(cluster, CLUSTER[1], EdaFlow=looked.run)
    run = f"TrainFlow/{done.run_id}"
    return Told(run, done.output, cluster.client(ABOUT.format(run=run, step="train")))


def test_eda_reads_the_uploaded_file_and_keeps_its_name_and_hash(looked: Told, texts: bytes) -> None:
    source, digest = looked.about["source"], hashlib.sha256(texts).hexdigest()
    assert (source["uri"], source["name"]) == ("ticket texts.csv", "ticket texts.csv")
    assert source["sha256"] == digest
    assert source["stored"].startswith("s3://")
    assert source["stored"].endswith(f"/dlcycle-inputs/{digest}/ticket_texts.csv")
    assert source["records"] == 120
    assert any(tag.startswith("grade:") for tag in looked.about["tags"])
    assert looked.about["project"]
    assert looked.about["cards"]["dlcycle_eda"] > 50_000


def test_training_runs_on_what_was_looked_at_and_shows_its_cards(trained: Told, looked: Told) -> None:
    assert trained.about["fingerprint"] == looked.about["fingerprint"]
    assert f"data:{looked.about['fingerprint'][:16]}" in trained.about["tags"]
    assert trained.about["cards"]["dlcycle_train"] > 50_000
    assert "deep learning" in trained.output.lower() or "no measurable gain" in trained.output.lower()


def test_a_pod_names_the_commands_of_the_machine_that_started_the_run(trained: Told, looked: Told) -> None:
    flow, run = trained.run.split("/")
    for about in (trained.about, looked.about):
        assert about["git"] == trained.about["git"]
    assert "flows/train_flow.py card view" in trained.about["card"]
    assert "flows/train_flow.py resume --with kubernetes --origin-run-id" in trained.about["resume"]
    assert f"flows/train_flow.py card view {run}/evaluate" in trained.output, flow


def test_explaining_finds_the_run_through_the_metadata_service(cluster: Cluster, trained: Told, looked: Told) -> None:
    (cluster.folder / "questions.csv").write_text("text\nthe a number 3 is stuck\n")
    done = obey(cluster, CLUSTER[2])
    about = cluster.client(ABOUT.format(run=f"ExplainFlow/{done.run_id}", step="judge"))
    assert f"Explaining the model of {trained.run}: the latest successful run" in done.output
    assert about["rows"]["uri"] == "questions.csv"
    assert about["rows"]["sha256"] == hashlib.sha256((cluster.folder / "questions.csv").read_bytes()).hexdigest()
    assert about["cards"]["dlcycle_explain"] > 50_000
    shown = cluster.client(
        f'print(json.dumps("3 is stuck" in str(Run("ExplainFlow/{done.run_id}").data.local_attributions)))'
    )
    assert shown


def test_a_file_that_pods_cannot_see_starts_no_pod(cluster: Cluster, texts: bytes, looked: Told) -> None:
    before = len(cluster.jobs("EdaFlow"))
    refused = cluster.run(project=PROJECT, flow=EDA_FLOW).expect(code=1)
    assert "data.source = 'ticket texts.csv' is a file of this machine; add --upload" in refused.output
    assert "run-id" not in refused.output
    assert len(cluster.jobs("EdaFlow")) == before > 0


def test_the_machine_that_the_project_file_asks_for(cluster: Cluster) -> None:
    project = '[project]\nname = "gpu"\n[data]\nsample_rows = 300\nmerge_label_variants = true\n'
    project += "[train]\ncpu = 3\ngpu = 1\nmemory = 5000\nshared_memory = 256\n"
    with cluster.running(project=project):
        spec = cluster.wait_for_job("TrainFlow", step="train", project="gpu")
    asked = spec["containers"][0]["resources"]
    assert asked["limits"]["nvidia.com/gpu"] == "1"
    assert float(asked["requests"]["cpu"]) == 3
    assert float(asked["requests"]["memory"].removesuffix("M")) == 5000
    memory = [volume["emptyDir"] for volume in spec["volumes"] if volume.get("emptyDir", {}).get("medium") == "Memory"]
    assert [volume["sizeLimit"] for volume in memory] == ["256Mi"]
