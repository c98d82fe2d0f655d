"""EdaFlow as its user meets it: the commands, what they print, what the Client reads, and training on what it saw."""

import json
import pathlib
import random
import tomllib

import pytest
from flow_runner import EDA_FLOW, Finished, Workspace

Run = tuple[Workspace, Finished]

PUBLIC = ["profile", "quality", "findings", "languages", "recommended", "schema", "data_fingerprint", "removed"]
FAST = '{"data": {"sample_rows": 300, "merge_label_variants": true}, "eda": {"detect_languages": false}}'
SAME = {"project": {"name": "small"}, "data": {"sample_rows": 300, "merge_label_variants": True}}
READ = """
import json, math
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("EdaFlow/{run}")
def plain(value, path=""):
    if isinstance(value, dict):
        return {{str(key): plain(inner, f"{{path}}.{{key}}") for key, inner in value.items()}}
    if isinstance(value, (list, tuple)):
        return [plain(inner, path) for inner in value]
    if isinstance(value, bytes):
        return len(value)
    assert value is None or isinstance(value, (str, int, float)), (path, type(value))
    assert not isinstance(value, float) or math.isfinite(value), path
    return value
print(json.dumps({{name: plain(getattr(run.data, name), name) for name in {names}}}))
"""
CARD = """
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
print(get_cards(Run("EdaFlow/{run}")["judge"].task)[0].get())
"""


def artifacts(workspace: Workspace, run: str, names: list[str]) -> dict:
    return json.loads(workspace.client(READ.format(run=run, names=names)))


def eda(workspace: Workspace, *arguments: str, project: str = FAST) -> Finished:
    return workspace.run("--max-workers", "1", *arguments, project=project, flow=EDA_FLOW)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run on the sample with every row's language, which wrote a schema."""
    workspace = Workspace(tmp_path_factory.mktemp("eda"))
    arguments = ["--shards", "2", "--write-schema", str(workspace.folder / "schema.toml")]
    return workspace, eda(workspace, *arguments, project=json.dumps(SAME)).expect()


@pytest.mark.slow
def test_the_public_artifacts_are_plain_data(run: Run) -> None:
    workspace, done = run
    found = artifacts(workspace, done.run_id, PUBLIC)
    assert list(found) == PUBLIC
    assert found["profile"]["rows"] == 300
    assert found["profile"]["shards"] == 2
    assert sum(item["rows"] for item in found["languages"]["counts"]) == 300
    assert {item["code"] for item in found["languages"]["counts"]} >= {"en", "hi", "unknown"}
    assert all(sample["language"] for sample in found["profile"]["samples"])
    assert len(found["data_fingerprint"]) == 64
    assert len(found["quality"]["pillars"]) == 6
    kept = 300 - found["removed"]["total"]
    assert f"{kept} of 300 rows remain" in found["quality"]["verdict"]["sentence"]


@pytest.mark.slow
def test_the_end_says_grade_pillars_decisions_and_commands(run: Run) -> None:
    _, done = run
    for words in ("Grade ", "Consistency", "Decisions to take", "card view", "--eda-run EdaFlow/", "--write-schema"):
        assert words in done.output, words


@pytest.mark.slow
def test_the_card_shows_the_verdict_and_every_pillar(run: Run) -> None:
    workspace, done = run
    page = workspace.client(CARD.format(run=done.run_id))
    assert "Fit to learn from" in page or "Not fit" in page
    for words in ("Representativeness", "Uniqueness", "Validity", "Hindi", "Decisions to take"):
        assert words in page, words


@pytest.mark.slow
def test_training_refuses_other_data_settings_projects_and_runs(run: Run, tmp_path: pathlib.Path) -> None:
    workspace, done = run
    pathspec = f"EdaFlow/{done.run_id}"
    rows = tmp_path / "other.csv"
    rows.write_text("description,category\n" + "".join(f"text number {i} here,{'AB'[i % 2]}\n" for i in range(60)))
    cases = [
        (SAME, ["--eda-run", pathspec, "--data", str(rows)], "expected the fingerprint"),
        (SAME | {"split": {"seed": 5}}, ["--eda-run", pathspec], "split.seed = 5, it had 0"),
        (SAME | {"project": {"name": "other"}}, ["--eda-run", pathspec], "is of the project 'small', expected 'other'"),
        (SAME, ["--eda-run", "EdaFlow/1"], "there is no run EdaFlow/1"),
        (SAME, ["--eda-run", "nonsense"], "expected FLOW/ID"),
    ]
    for project, arguments, message in cases:
        refused = workspace.run(*arguments, project=json.dumps(project)).expect(code=1)
        assert message in refused.output, (message, refused.output)


@pytest.fixture(scope="module")
def frozen(run: Run) -> tuple[str, Finished]:
    """The project with the schema of the first run, changed in one place, and a run that checks it."""
    workspace, done = run
    file = workspace.folder / "schema.toml"
    assert f"wrote {file}" in done.output
    assert tomllib.loads(file.read_text())["schema"]["columns"]["category"]["required"] is True
    changed = workspace.folder / "changed.toml"
    changed.write_text(file.read_text().replace('"Household"', '"Garden"'))
    project = json.dumps(SAME | {"schema": str(changed), "eda": {"detect_languages": False}, "train": {"epochs": 1}})
    return project, eda(workspace, project=project).expect()


@pytest.mark.slow
def test_a_schema_is_written_given_back_and_checked(run: Run, frozen: tuple[str, Finished]) -> None:
    workspace, _ = run
    found = artifacts(workspace, frozen[1].run_id, ["findings"])["findings"]
    assert any(f["name"] == "new_value" and "Household" in f["message"] for f in found)


@pytest.mark.slow
def test_training_uses_the_version_the_recommendations_and_the_schema(run: Run, frozen: tuple[str, Finished]) -> None:
    workspace, _ = run
    project, looked = frozen
    # With --data too, training cleans and splits the rows itself and refuses a version that differs.
    trained = workspace.run("--eda-run", f"EdaFlow/{looked.run_id}", "--data", "sample", project=project).expect()
    code = f"""
from metaflow import Run, namespace
namespace(None)
eda, train = Run("EdaFlow/{looked.run_id}").data, Run("TrainFlow/{trained.run_id}").data
print(train.data_fingerprint == eda.data_fingerprint)
print(train.lineage["recommended"]["model.max_tokens"] == eda.recommended["model.max_tokens"]["value"])
print(train.lineage["eda_run"], train.lineage["recommended"]["model.max_tokens"] != 256)
print([item["reason"] for item in train.todo if "schema" in item["title"]])
"""
    *facts, told = workspace.client(code).splitlines()
    assert facts == ["True", "True", f"EdaFlow/{looked.run_id} True"]
    assert "Household" in told


def sparse_messages(words: list[str], chosen: random.Random) -> str:
    rows = ["v1,v2,,,"]
    for number in range(43_175):
        full = number % 86 == 0 and number // 86 < 499
        text = f"{' '.join(chosen.choices(words, k=9))} é £ {number}"
        rows.append(f"{chosen.choice(['ham', 'ham', 'spam'])},{text},,," if full else ",,,,")
    return "\n".join(rows)


def one_column(words: list[str], chosen: random.Random) -> str:
    return "description\n" + "\n".join(f'"{" ".join(chosen.choices(words, k=9))}, {i}"' for i in range(200))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "data", "found"),
    [
        (sparse_messages, {"inputs": ["v2"], "target": "v1"}, ["missing", "encoding_assumed", "unnamed_columns"]),
        (one_column, {}, ["missing_columns"]),
    ],
)
def test_odd_files_give_a_sensible_card(workspace: Workspace, make, data: dict, found: list[str]) -> None:
    words = ["free", "win", "call", "now", "hello", "lunch", "meeting", "tomorrow", "prize", "text", "the", "cash"]
    file = workspace.folder / "rows.csv"
    file.write_bytes(make(words, random.Random(0)).encode("latin-1"))
    project = json.dumps({"data": data, "eda": {"detect_languages": False}})
    done = eda(workspace, "--data", str(file), project=project).expect()
    names = {finding["name"] for finding in artifacts(workspace, done.run_id, ["findings"])["findings"]}
    assert set(found) <= names
    page = workspace.client(CARD.format(run=done.run_id))
    assert "Scorecard" in page
    assert "nan" not in page.lower().split()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv"),
        (["--shards", "0"], "eda.shards"),
    ],
)
def test_bad_arguments_give_a_message_and_no_traceback(
    workspace: Workspace, arguments: list[str], expected: str
) -> None:
    done = eda(workspace, *arguments).expect(code=1)
    assert expected in done.output
    assert "resume --origin-run-id" in done.output
