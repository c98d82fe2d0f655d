"""ExplainFlow as its user meets it: the commands, what they print, what the Client reads, and what it refuses."""

import csv
import io
import json
import pathlib
import random

import pytest
from flow_runner import EXPLAIN_FLOW, Finished, Workspace

PUBLIC = ["local_attributions", "global_attributions", "faithfulness", "slices", "fairness", "robustness", "business"]
ALSO = ["gates", "answer", "todo", "findings", "lineage", "explained", "compared"]
READ = """
import json, math
from metaflow import Run, namespace
namespace(None)
run = Run("ExplainFlow/{run}")
def plain(value, path=""):
    if isinstance(value, dict):
        return {{str(key): plain(inner, f"{{path}}.{{key}}") for key, inner in value.items()}}
    if isinstance(value, (list, tuple)):
        return [plain(inner, path) for inner in value]
    assert value is None or isinstance(value, (str, int, float)), (path, type(value))
    assert not isinstance(value, float) or math.isfinite(value), path
    return value
print(json.dumps({{name: plain(getattr(run.data, name), name) for name in {names}}}))
"""
CARD = """
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
print(get_cards(Run("ExplainFlow/{run}")["judge"].task, type="dlcycle_explain")[0].get())
"""
SHOPS = {"books": ["novel", "chapter", "author", "pages"], "tools": ["hammer", "drill", "screw", "saw"]}
WORDS = ["the", "a", "new", "with", "for", "good", "large", "small", "blue", "old", "pack", "of", "two", "best"]


def project(**sections: object) -> str:
    base = {
        "project": {"name": "shop"},
        "data": {"source": "shop.csv", "inputs": ["text"], "target": "kind", "group_columns": ["region", "country"]},
        "train": {"epochs": 3, "learning_rate": 0.01},
        "plan": {
            "criteria": [{"metric": "accuracy_typos", "at_least": 0.3}, {"metric": "accuracy", "at_least": 0.3}],
            "costs": {"error": 2.0, "manual": 0.5, "capacity": 0.5},
        },
        "explain": {"detect_languages": False, "check_rows": 20, "steps": 20, "slice_rows": 10, "swap_rows": 20},
    }
    for name, section in sections.items():
        base[name] = base.get(name, {}) | section
    return json.dumps(base)


def write_shop(folder: pathlib.Path, rows: int = 400) -> None:
    """Texts whose kind is told by their words, in regions that buy different kinds."""
    chosen = random.Random(0)
    with (folder / "shop.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "kind", "region", "country"])
        for number in range(rows):
            kind = chosen.choice(list(SHOPS))
            region = chosen.choice(["north", "south"] if kind == "books" else ["south", "south", "north"])
            words = [*chosen.choices(WORDS, k=8), *chosen.choices(SHOPS[kind], k=chosen.choice([0, 1, 1, 2])), region]
            writer.writerow([f"{' '.join(chosen.sample(words, len(words)))} {number}", kind, region, "here"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Finished, Finished]:
    """A trained run, then one with reweighting."""
    workspace = Workspace(tmp_path_factory.mktemp("explain"))
    write_shop(workspace.folder)
    plain = workspace.run(project=project()).expect()
    weighted = workspace.run(project=project(train={"reweight": "region"})).expect()
    return workspace, plain, weighted


@pytest.fixture(scope="module")
def explained(shop: tuple[Workspace, Finished, Finished]) -> tuple[Workspace, Finished]:
    """The latest run explained where the data file is gone, with rows of the user's and a work list."""
    workspace, _, _ = shop
    (workspace.folder / "shop.csv").rename(workspace.folder / "gone.csv")
    given = workspace.folder / "given.csv"
    given.write_text(f"text,kind\nhammer and drill,tools\n,books\na novel,unknown\n{'long ' * 300},books\n")
    try:
        arguments = ["--rows", str(given), "--write-work-list", str(workspace.folder / "list.csv")]
        done = workspace.run(*arguments, project=project(), flow=EXPLAIN_FLOW).expect()
    finally:
        (workspace.folder / "gone.csv").rename(workspace.folder / "shop.csv")
    return workspace, done


def artifacts(workspace: Workspace, run: str, names: list[str]) -> dict:
    return json.loads(workspace.client(READ.format(run=run, names=names)))


@pytest.mark.slow
def test_the_latest_run_is_explained_and_compared_with_the_one_before(explained, shop) -> None:
    workspace, done = explained
    _, plain, weighted = shop
    found = artifacts(workspace, done.run_id, PUBLIC + ALSO)
    assert f"Explaining the model of TrainFlow/{weighted.run_id}: the latest successful run" in done.output
    assert found["explained"]["run"] == f"TrainFlow/{weighted.run_id}"
    assert found["compared"]["run"] == f"TrainFlow/{plain.run_id}"
    assert found["compared"]["differs"] == {"train.reweight": [None, "region"]}
    gaps = [gap for column in found["fairness"]["columns"] for gap in column["gaps"]]
    assert gaps
    assert all(gap["before"] is not None and gap["change"] is not None for gap in gaps)
    assert [entry["column"] for entry in found["fairness"]["skipped"]] == ["country"]
    assert "every test row has the same value" in found["fairness"]["skipped"][0]["reason"]
    assert found["fairness"]["before"]["run"] == f"TrainFlow/{plain.run_id}"
    assert {test["name"] for test in found["robustness"]["tests"]} == {
        *("typos", "case", "white_space", "dropped_words", "word_swaps")
    }
    assert [criterion["metric"] for criterion in found["gates"]["criteria"]] == ["accuracy_typos"]
    assert found["gates"]["passed"] is True
    assert found["business"]["policies"]
    assert found["slices"]["slices"]


@pytest.mark.slow
def test_given_rows_are_explained_and_what_is_odd_about_them_is_told(explained) -> None:
    workspace, done = explained
    found = artifacts(workspace, done.run_id, ["local_attributions"])["local_attributions"]
    given = [row for row in found["rows"] if row["kind"] == "given"]
    assert [row["row"] for row in given] == [1, 3, 4]
    assert given[0]["predicted"] == "tools"
    start, end, score = max(given[0]["words"], key=lambda word: word[2])
    assert given[0]["text"][start:end] in ("hammer", "drill")
    assert score > 0
    names = {finding["name"]: finding["rows"] for finding in found["findings"]}
    assert names == {"empty_text": [2], "unseen_label": [3], "cut_text": [4]}


@pytest.mark.slow
def test_the_words_that_decide_are_those_that_were_planted(explained) -> None:
    workspace, done = explained
    found = artifacts(workspace, done.run_id, ["global_attributions"])["global_attributions"]
    for entry in found["classes"]:
        top = [phrase["phrase"] for phrase in entry["for"] if phrase["words"] == 1][:3]
        assert set(top) <= {*SHOPS[entry["label"]], "north", "south"}, (entry["label"], top)


@pytest.mark.slow
def test_the_work_list_is_written_and_safe_to_open(explained) -> None:
    workspace, done = explained
    file = workspace.folder / "list.csv"
    assert f"wrote {file}" in done.output
    rows = list(csv.reader(io.StringIO(file.read_text(encoding="utf-8-sig"))))
    assert rows[0] == ["row", "line", "label", "suggested", "probability", "text"]
    assert len(rows) - 1 == artifacts(workspace, done.run_id, ["slices"])["slices"]["listed"]


@pytest.mark.slow
def test_the_card_and_the_end_answer(explained) -> None:
    workspace, done = explained
    answer = artifacts(workspace, done.run_id, ["answer"])["answer"]
    assert answer["sentence"] in done.output
    assert "card view" in done.output
    page = workspace.client(CARD.format(run=done.run_id))
    for words in (answer["badge"], "hammer", "region", "Typos"):
        assert words in page, words
    assert "nan" not in page.lower().split()


@pytest.mark.slow
def test_runs_that_cannot_be_explained_are_refused_with_what_to_do(shop) -> None:
    workspace, plain, _ = shop
    other = project(project={"name": "other"})
    cases = [
        (project(), ["--train-run", "TrainFlow/1"], "there is no run TrainFlow/1"),
        (project(), ["--train-run", "nonsense"], "expected FLOW/ID"),
        (other, ["--train-run", f"TrainFlow/{plain.run_id}"], "is of the project 'shop', expected 'other'"),
        (other, [], "there is no successful run of TrainFlow of the project 'other'"),
        (project(), ["--rows", "nowhere.csv"], "nowhere.csv"),
        (project(), ["--before", "TrainFlow/1"], "--before: there is no run TrainFlow/1"),
        (project(), ["--write-work-list", "no/folder/list.csv"], "--write-work-list: the folder"),
    ]
    for config, arguments, message in cases:
        refused = workspace.run(*arguments, project=config, flow=EXPLAIN_FLOW).expect(code=1)
        assert message in refused.output, (message, refused.output)


@pytest.mark.slow
def test_an_unfinished_run_and_rows_without_the_columns_are_refused(shop) -> None:
    workspace, _, _ = shop
    failed = workspace.run(project=project(data={"target": "missing"}))
    assert failed.code == 1
    refused = workspace.run("--train-run", f"TrainFlow/{failed.run_id}", project=project(), flow=EXPLAIN_FLOW)
    expected = "is not finished: it has failed or still runs; resume it or run train_flow.py again"
    assert expected in refused.expect(code=1).output
    (workspace.folder / "wrong.csv").write_text("txt,kind\nhammer,tools\n")
    refused = workspace.run("--rows", "wrong.csv", project=project(), flow=EXPLAIN_FLOW).expect(code=1)
    assert "column 'text' (data.inputs) is missing; nearest: 'txt'" in refused.output
