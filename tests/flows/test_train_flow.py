"""TrainFlow as its user meets it: the commands, what they print, what the Client reads, and the card."""

import json
import pathlib
import re

import pytest
from flow_runner import FLOW, ROOT, SMALL, Finished, Workspace

Run = tuple[Workspace, Finished]

PUBLIC = [
    "data_fingerprint", "split", "removed", "history", "metrics", "baseline_metrics", "comparison", "gates",
    "consistency", "model", "lineage", "experiment_id",
]  # fmt: skip

READ_CONTRACT = """
import json, math
from metaflow import Run, namespace
namespace(None)
run = Run("TrainFlow/{run}")

def check(value, path):
    assert type(value) in (dict, list, str, int, float, bool, bytes, type(None)), (path, type(value))
    assert not isinstance(value, float) or math.isfinite(value), path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        check(item, path + [key])

found = {{name: getattr(run.data, name) for name in {names}}}
check(found, [])
del found["model"]["weights"], found["removed"]["parquet"]
print(json.dumps(found | {{"tags": sorted(run.tags), "success": run.successful}}))
"""


@pytest.fixture(scope="session")
def artifacts(small_run: Run) -> dict:
    """The public artifacts of the small run, read where dlcycle cannot be imported."""
    workspace, done = small_run
    return json.loads(workspace.client(READ_CONTRACT.format(run=done.run_id, names=PUBLIC)))


@pytest.mark.slow
def test_artifacts_are_plain_data_that_the_client_reads_without_dlcycle(artifacts: dict) -> None:
    assert artifacts["success"]
    for metrics in (artifacts["metrics"], artifacts["baseline_metrics"]):
        for name in ("accuracy", "macro_f1", "ece", "automated_share", "cost_per_1000"):
            metric = metrics[name]
            assert {"value", "low", "high", "n"} <= metric.keys(), name
            assert metric["value"] is None or metric["low"] <= metric["value"] <= metric["high"], name
            assert metric["n"] == artifacts["split"]["counts"]["test"]


@pytest.mark.slow
def test_the_run_carries_its_experiment_as_a_tag(artifacts: dict) -> None:
    assert f"experiment:{artifacts['experiment_id']}" in artifacts["tags"]
    assert f"data:{artifacts['data_fingerprint'][:16]}" in artifacts["tags"]


@pytest.mark.slow
def test_every_row_is_used_or_accounted_for(artifacts: dict) -> None:
    cleaning, counts = artifacts["lineage"]["cleaning"], artifacts["split"]["counts"]
    assert cleaning["rows_read"] == 300
    assert sum(counts.values()) + artifacts["removed"]["total"] == cleaning["rows_read"]
    assert sum(artifacts["removed"]["counts"].values()) == artifacts["removed"]["total"]
    assert artifacts["split"]["leakage"]["passed"]


@pytest.mark.slow
def test_predictions_agree_at_all_batch_sizes(artifacts: dict) -> None:
    consistency = artifacts["consistency"]
    assert consistency["sizes"] == [1, 7, 256]
    assert consistency["largest_difference"] <= 1e-5


@pytest.mark.slow
def test_lineage_tells_how_to_repeat_the_run(artifacts: dict) -> None:
    lineage = artifacts["lineage"]
    assert lineage["settings"]["train"]["seeds"] == [0, 1]
    assert lineage["cost"]["amount"] == pytest.approx(lineage["task_seconds"] / 3600 * 0.4)
    assert lineage["machine"]["cores"] >= 1
    assert lineage["resources"]["peak_memory_mb"] > 0
    assert {"python", "torch", "pytorch-lightning"} <= lineage["libraries"].keys()
    assert lineage["git"]["commit"] or lineage["git"]["reason"]


@pytest.mark.slow
def test_the_terminal_shows_a_line_an_epoch_and_the_result(small_run: Run) -> None:
    _, done = small_run
    lines = [line for line in done.output.splitlines() if "epoch" in line]
    assert sum("small cnn, seed 1: epoch   2 of 2" in line for line in lines) == 1
    for word in ("accuracy", "baseline, TF-IDF", "deep learning", "card view", "resume evaluate --origin-run-id"):
        assert word.lower() in done.output.lower(), word
    assert "\r" not in done.output
    assert "it/s" not in done.output


@pytest.mark.slow
def test_cards_of_training_and_evaluation_hold_the_result(small_run: Run, artifacts: dict) -> None:
    workspace, done = small_run
    code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
import metaflow.plugins
namespace(None)
assert "dlcycle_train" in {{card.type for card in metaflow.plugins.CARDS}}
for step in ("train", "evaluate"):
    for task in Run("TrainFlow/{done.run_id}")[step]:
        card, = get_cards(task, type="dlcycle_train")
        print(card.get())
"""
    pages = workspace.client(code)
    assert pages.count("</html>") == 5
    assert "Small sample" in pages
    assert artifacts["comparison"]["sentence"].split(":")[0] in pages
    assert artifacts["experiment_id"] in pages
    assert "could not be drawn" not in pages
    assert "not recorded" not in pages


@pytest.mark.slow
def test_a_saved_model_predicts_in_plain_python(small_run: Run) -> None:
    workspace, done = small_run
    code = f"""
import pickle, sys
from metaflow import Run, namespace
namespace(None)
model = Run("TrainFlow/{done.run_id}").data.model
names = [name for name in sys.modules if name.startswith("metaflow")]
for name in names: sys.modules[name] = None
def refuse(*a, **k): raise AssertionError("unpickled")
pickle.load = pickle.loads = pickle.Unpickler = refuse
from dlcycle.model import load_model
prediction = load_model(model).predict(["a hardcover novel by a famous author", "steel kitchen rack", ""])
print(prediction.labels, prediction.probabilities.shape, prediction.probabilities.sum(1).round(9).tolist())
"""
    done = workspace.call("-c", code).expect()
    assert "(3, 4) [1.0, 1.0, 1.0]" in done.output


@pytest.fixture(scope="module")
def missing(small_run: Run) -> Finished:
    """The small run once more, with one of its seeds, and judged by a criterion that it misses."""
    workspace, _ = small_run
    project = SMALL.replace("at_least = 0.2", "at_least = 1.0") + "[gates]\nfail_run = true\n"
    return workspace.run("--seed", "1", "--max-workers", "1", project=project).expect(code=1)


@pytest.mark.slow
def test_the_same_settings_give_bit_identical_weights_in_another_run(small_run: Run, missing: Finished) -> None:
    workspace, first = small_run
    weights = """
from metaflow import Run, namespace
namespace(None)
for run in ("{}", "{}"):
    for task in Run("TrainFlow/" + run)["train"]:
        model, report = task.data.model, task.data.candidate_report
        print(run, report["name"], report["seed"], model["description"]["sha256"]["weights"], sep="|")
"""
    lines = workspace.client(weights.format(first.run_id, missing.run_id)).splitlines()
    known, again = ({line.partition("|")[2] for line in lines if line.startswith(r.run_id)} for r in (first, missing))
    assert len(again) == 2
    assert again < known


@pytest.mark.slow
def test_a_step_can_be_resumed_and_gives_the_same_result(small_run: Run, artifacts: dict) -> None:
    workspace, first = small_run
    again = workspace.call(FLOW, "--no-pylint", "resume", "evaluate", "--origin-run-id", first.run_id).expect()
    read = READ_CONTRACT.format(run=again.run_id, names=["metrics", "experiment_id", "lineage", "model", "removed"])
    resumed = json.loads(workspace.client(read))
    assert resumed["metrics"] == artifacts["metrics"]
    assert f"experiment:{artifacts['experiment_id']}" in resumed["tags"]
    assert resumed["lineage"]["origin_run"] == first.run_id
    assert resumed["lineage"]["started"] >= artifacts["lineage"]["finished"]


@pytest.mark.slow
def test_a_missed_criterion_fails_the_run_after_everything_is_saved(small_run: Run, missing: Finished) -> None:
    workspace, _ = small_run
    assert "1 of 1 success criteria missed" in missing.output
    code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("TrainFlow/{missing.run_id}")
task = run["evaluate"].task
print(run.successful, task.data.gates["passed"], len(task.data.model["weights"]) > 1000)
print("missed" in get_cards(task)[0].get())
"""
    assert workspace.client(code).splitlines() == ["False False True", "True"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[project]\nname = "in_toml"', "in_toml"),
        ('{"project": {"name": "in_json"}}', "in_json"),
        ("project:\n  name: in_yaml\n", "in_yaml"),
    ],
)
def test_the_project_can_be_toml_json_or_yaml(workspace: Workspace, text: str, name: str) -> None:
    done = workspace.call(FLOW, "--config-value", "project", text, "show").expect()
    assert f"Project: {name}" in done.output


def test_the_project_file_can_be_a_path(workspace: Workspace) -> None:
    done = workspace.call(FLOW, "--config", "project", ROOT / "configs" / "ecommerce.toml", "show").expect()
    assert "Project: ecommerce" in done.output


def test_a_wrong_project_file_starts_nothing_and_names_every_problem(workspace: Workspace) -> None:
    project = '[data]\ntargt = "x"\n[train]\nepochs = "ten"'
    done = workspace.run(project=project).expect(code=1)
    assert "data.targt: unknown key; did you mean data.target?" in done.output
    assert "train.epochs: expected a valid integer, got 'ten'" in done.output
    assert not list(workspace.folder.glob(".metaflow/TrainFlow/*/start"))


@pytest.mark.parametrize("place", ["root", "flows", "elsewhere"])
def test_commands_work_from_any_folder(workspace: Workspace, place: str) -> None:
    done = {
        "root": lambda: workspace.call("flows/train_flow.py", "show", cwd=ROOT),
        "flows": lambda: workspace.call("train_flow.py", "show", cwd=ROOT / "flows"),
        "elsewhere": lambda: workspace.call("-m", "dlcycle.flows.train_flow", "show"),
    }[place]().expect()
    assert "Step train" in done.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--data", "http://example.org/rows.csv"], "https://"),
        (["--epochs", "0"], "train.epochs"),
    ],
)
def test_bad_arguments_give_a_message_and_no_traceback(
    workspace: Workspace, arguments: list[str], expected: str
) -> None:
    done = workspace.run(*arguments).expect(code=1)
    assert expected in done.output
    assert "resume --origin-run-id" in done.output


POISONED = """
from dlcycle.flows.train_flow import TrainFlow

class PoisonedFlow(TrainFlow):
    def build_model(self, spec):
        network, batches = super().build_model(spec), []

        def poison(module, inputs, scores):
            batches.extend([1] * module.training)
            return scores * float("nan") if len(batches) > 5 else None

        network.register_forward_hook(poison)
        return network

if __name__ == "__main__":
    PoisonedFlow()
"""


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_which_keeps_finite_weights_and_a_card(workspace: Workspace) -> None:
    flow = workspace.folder / "poisoned_flow.py"
    flow.write_text(POISONED)
    project = '{"data": {"sample_rows": 200, "merge_label_variants": true}, "train": {"epochs": 3}}'
    done = workspace.run(project=project, flow=flow).expect(code=1)
    for words in ("epoch 3, batch 2", "rows", "learning_rate"):
        assert words in done.output, words
    place = r'kept as (Task\("PoisonedFlow/.+?", attempt=0\)\.data\.last_finite)'
    first, second = (re.findall(f"end of epoch 2, {place}", output) for output in done.output.split("(retry)"))
    assert first
    assert set(first) == set(second)
    code = f"""
import safetensors.torch
from metaflow import Run, Task, namespace
from metaflow.cards import get_cards
namespace(None)
weights = safetensors.torch.load({first[0]})
print(len(weights) > 2, all(value.isfinite().all() for value in weights.values()))
print(get_cards(Run("PoisonedFlow/{done.run_id}")["train"].task)[0].get())
"""
    finite, page = workspace.client(code).split("\n", 1)
    assert finite == "True True"
    assert "Training stopped" in page
    assert "resume --origin-run-id" in page


def test_the_bundled_project_files_are_valid(root: pathlib.Path) -> None:
    from dlcycle.project_file import parse_project

    files = sorted((root / "configs").glob("*.toml"))
    assert files
    for path in files:
        assert parse_project(path.read_text(encoding="utf-8"))["project"]["name"]
