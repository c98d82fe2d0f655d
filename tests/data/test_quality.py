"""Grades, findings and recommendations: made evidence in, expected judgement out."""

import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_files import BAD
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.config import Project
from dlcycle.data.dataset import read_rows, removed_summary, table_to_bytes, version_rows
from dlcycle.data.quality.evidence import Evidence
from dlcycle.data.quality.grades import PILLARS, SEVERITIES, Check, Grade, list_findings, overall_grade, pillar_grade
from dlcycle.data.quality.judge import Judgement, judge_data
from dlcycle.data.read import table_from_frame
from dlcycle.data.recommend import apply_recommended, recommend_settings, split_as_recommended
from dlcycle.data.sample import generate_sample
from dlcycle.data.survey import join_shards, merge_surveys, missing_columns, shard_table, survey_shard
from dlcycle.errors import DataError, SourceError
from dlcycle.model.probe import _training_words
from dlcycle.project_file import parse_project, validate_project

CALM = {
    "learning_curve": {"points": [], "forecast": [], "gain": {"low": 0.0}, "sentence": "No measurable gain."},
    "label_errors": {"n": 0, "judged": 300, "share": {"value": 0.0}, "rows": []},
    "split_tests": [{"name": "labels", "effect": 0.0, "p_value": 1.0, "adjusted": 1.0, "message": "alike"}],
    "over_time": {"reason": "There is no time column"},
    "training_words": {"n": 700, "mean": 40.0, "p99": 100.0},
}


def judge(source: Any, *, shards: int = 1, measured: dict[str, Any] | None = None, **project: Any) -> Judgement:
    """Judge rows of a frame or a file as EdaFlow does, without language detection and with given measurements."""
    project["eda"] = {"detect_languages": False} | project.get("eda", {})
    settings = Project.model_validate(project)
    if isinstance(source, pathlib.Path):
        table, _ = read_rows(settings, uri=str(source), lenient=True)
    else:
        table = table_from_frame(source, settings=settings.data, lenient=True)
    columns = table.names
    states = [survey_shard(s, columns=columns, settings=settings) for s in shard_table(table, shards=shards)]
    merged = merge_surveys(states, settings=settings)
    about = {key: table.report[key] for key in ("records", "findings")}
    source = {"uri": "rows", "columns": columns, "overlooked": [], **about}
    facts: dict[str, Any] = {"missing_columns": missing_columns(settings, columns)}
    try:
        dataset = (
            version_rows(lambda: table, settings=settings, source=source) if not facts["missing_columns"] else None
        )
    except DataError as failure:
        dataset, facts["unusable"] = None, str(failure)
    if dataset is None:
        facts.setdefault("unusable", "columns are missing")
        removed = table.quarantined.assign(label="")
    else:
        facts |= {"cleaning": dataset.cleaning, "split": dataset.split, "measured": measured or CALM}
        removed = dataset.removed
    summary = removed_summary(removed)
    facts |= {"removed": summary["counts"], "examples": summary["examples"]}
    described = {key: merged[key] for key in ("profile", "validity", "languages")}
    return judge_data(Evidence(settings=settings, source=source, **described, **facts))


def names(judgement: Judgement) -> set[str]:
    return {finding["name"] for finding in judgement.findings}


def grade(judgement: Judgement, pillar: str) -> str:
    return next(entry["grade"] for entry in judgement.quality["pillars"] if entry["name"] == pillar)


@given(st.lists(st.sampled_from(["good", "careful", "bad", "unknown"]), max_size=8))
def test_a_pillar_is_graded_by_its_worst_checks(statuses: list[Any]) -> None:
    found = pillar_grade([Check(str(i), "", status, "", "") for i, status in enumerate(statuses)])
    if "bad" in statuses:
        assert found in ("D", "F")
    elif "careful" in statuses:
        assert found in ("B", "C")
    else:
        assert found == ("A" if "good" in statuses else "-")


@given(st.lists(st.sampled_from(["A", "B", "C", "D", "F"]), min_size=1, max_size=6), st.integers(0, 5))
def test_a_better_pillar_never_makes_the_grade_worse(grades: list[Grade], place: int) -> None:
    place %= len(grades)
    better: list[Grade] = ["A" if number == place else old for number, old in enumerate(grades)]
    assert overall_grade(better, usable=True) <= overall_grade(grades, usable=True)
    assert overall_grade(grades, usable=False) == "F"


def test_the_sample_shows_its_faults_and_a_clean_table_shows_none() -> None:
    faulty = judge(generate_sample(600), data={"merge_label_variants": True})
    assert {"label_variants", "conflicting_labels", "exact_duplicates", "near_duplicates", "markup"} <= names(faulty)
    assert faulty.quality["grade"] in "CD"
    unmerged = judge(generate_sample(600))
    assert {"label_variants", "unusable"} <= names(unmerged)
    clean = generate_sample(600).dropna()
    clean = clean[clean["description"].str.fullmatch(r"[ -~]+") & ~clean["description"].str.contains("[<&@]|http")]
    clean = clean[clean["category"].isin(["Books", "Household", "Electronics", "Clothing & Accessories"])]
    clean = clean[clean["description"].str.split().str.len().between(8, 80)].drop_duplicates("description")
    declared = {"licence": "CC0-1.0", "origin": "generated"}
    calm = judge(
        clean.reset_index(drop=True), data=declared, eda={"rows_per_label": 20}, split={"near_duplicates": None}
    )
    assert calm.quality["verdict"]["status"] == "good", calm.findings
    assert not [finding for finding in calm.findings if finding["severity"] != "note"]


def test_shards_change_nothing_but_their_number() -> None:
    frame = generate_sample(400)
    whole, cut = judge(frame), judge(frame, shards=7)
    assert cut.profile["shards"] == 7
    assert {**cut.profile, "shards": 1} == whole.profile
    assert (cut.quality, cut.findings, cut.recommended, cut.schema) == (
        whole.quality, whole.findings, whole.recommended, whole.schema,
    )  # fmt: skip


def test_shards_come_back_as_they_were() -> None:
    frame = generate_sample(101).rename(columns={"category": "row", "description": "line"})
    settings = Project.model_validate({"data": {"inputs": ["line"], "target": "row"}})
    table = table_from_frame(frame, settings=settings.data)
    for shards in (1, 3, 500):
        cut = shard_table(table, shards=shards)
        assert len(cut) == min(shards, 101)
        joined = join_shards(cut, columns=list(table.frame), quarantined=table_to_bytes(table.quarantined))
        assert joined.frame.equals(table.frame)
        assert joined.lines.tolist() == table.lines.tolist()


def test_findings_are_ranked_and_tell_what_to_do() -> None:
    pillars = {
        "Validity": [
            Check("a", "A", "good", "", "", noted=True),
            Check("b", "B", "careful", "", "", 5),
            Check("c", "C", "careful", "", "", 1, decision="?"),
            Check("d", "D", "bad", "", "", 1),
            Check("e", "E", "good", "", ""),
        ]
    }
    found = list_findings(pillars, rows=10)
    assert [finding["name"] for finding in found] == ["d", "c", "b", "a"]
    assert [finding["severity"] for finding in found] == ["critical", "warning", "warning", "note"]
    assert found[2]["share"] == 0.5
    real = judge(generate_sample(300)).findings
    assert [SEVERITIES.index(f["severity"]) for f in real] == sorted(SEVERITIES.index(f["severity"]) for f in real)


def test_missing_columns_and_a_single_class_are_findings() -> None:
    frame = generate_sample(200)
    renamed = judge(frame.rename(columns={"category": "label"}))
    assert renamed.quality["grade"] == "F"
    assert "missing_columns" in names(renamed)
    assert renamed.findings[0]["severity"] == "critical"
    single = judge(frame.assign(category="Books"))
    assert single.quality["verdict"]["status"] == "bad"
    assert "unusable" in names(single)
    assert all(entry["summary"] for entry in single.quality["pillars"])


@pytest.mark.parametrize(("share", "status"), [(0.0, "A"), (0.02, "B"), (0.2, "D")])
def test_suspected_label_errors_grade_consistency(share: float, status: str) -> None:
    frame = generate_sample(300).dropna().drop_duplicates("description")
    frame = frame[frame["category"].isin(["Books", "Household", "Electronics", "Clothing & Accessories"])]
    found = {"n": round(300 * share), "judged": 300, "share": {"value": share}, "rows": []}
    judged = judge(frame, measured=CALM | {"label_errors": found}, split={"near_duplicates": None})
    assert grade(judged, "Consistency") == status


def test_an_undeclared_licence_is_a_finding_and_a_declared_one_is_not() -> None:
    assert {"licence_unknown", "origin_unknown"} <= names(judge(generate_sample(200)))
    declared = judge(generate_sample(200), data={"licence": "CC0-1.0", "origin": "made"})
    assert not {"licence_unknown", "origin_unknown"} & names(declared)


def test_a_frozen_schema_is_checked() -> None:
    frame = generate_sample(300)
    schema = judge(frame).schema
    same = judge(frame, schema=schema)
    assert not [finding for finding in same.findings if finding["name"] in ("new_value", "missing_column")]
    other = judge(frame.replace({"category": {"Books": "Toys"}}).assign(price="3"), schema=schema)
    assert {"new_value", "new_column"} <= names(other)
    assert "Toys" in next(finding for finding in other.findings if finding["name"] == "new_value")["message"]


def test_every_pillar_is_there_and_says_something() -> None:
    quality = judge(generate_sample(200)).quality
    assert [pillar["name"] for pillar in quality["pillars"]] == list(PILLARS)
    for pillar in quality["pillars"]:
        assert pillar["checks"]
        assert all(check["value"] and check["message"] for check in pillar["checks"])


def test_recommendations_fill_only_what_the_project_file_leaves_open() -> None:
    advice = {
        "model.max_tokens": {"value": 96},
        "model.vocabulary": {"value": 5000},
        "train.class_weights": {"value": "balanced"},
        "split.method": {"value": "time"},
    }
    silent = validate_project(parse_project('[model]\ncandidates = ["bag", "cnn"]'))
    followed, used = apply_recommended(silent, advice)
    assert [spec.max_tokens for spec in followed.model.candidates] == [96, 96]
    assert followed.train.class_weights == "balanced"
    assert followed.split.method == "time"
    assert set(used) == set(advice)
    sections = ['[split]\nmethod = "stratified"', '[train]\nclass_weights = "none"']
    sections.append('[[model.candidates]]\narchitecture = "bag"\nmax_tokens = 10\nvocabulary = 50')
    told = validate_project(parse_project("\n".join(sections)))
    assert apply_recommended(told, advice) == (told, {})


def test_the_recommended_length_covers_99_percent_of_the_training_texts_alone() -> None:
    words = np.random.default_rng(0).integers(5, 400, 1000)
    frame = pd.DataFrame({"words": words, "part": np.where(np.arange(1000) % 5, "train", "test")})
    length = recommend_settings(_training_words(frame), settings=Project(), imbalance=None)["model.max_tokens"]["value"]
    train = words[np.arange(1000) % 5 > 0]
    assert (train <= length).mean() >= 0.99
    assert (train <= length / 4).mean() < 0.99
    longer = frame.assign(words=np.where(frame["part"] == "test", 10_000, words))
    assert _training_words(longer) == _training_words(frame)


UNREADABLE = {"empty", "header only", "nothing in a gzip", "binary", "web page", "no JSON"}


@pytest.mark.parametrize("case", BAD)
def test_what_training_refuses_is_a_finding_here(tmp_path: pathlib.Path, case: str) -> None:
    content, sections, _ = BAD[case]
    file = tmp_path / "data.csv"
    file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    if case in UNREADABLE:
        with pytest.raises((DataError, SourceError), match=str(file)):
            judge(file, **sections)
        return
    judged = judge(file, **sections)
    serious = [finding for finding in judged.findings if finding["severity"] != "note"]
    assert {finding["name"] for finding in serious} - {"licence_unknown", "origin_unknown"}
    for finding in serious:
        if finding["name"] == "bad_rows":
            assert all(example["row"] and example["line"] for example in finding["examples"])
            assert finding["examples"]


def test_personal_data_is_masked_wherever_rows_are_shown(tmp_path: pathlib.Path) -> None:
    mail = "someone@example.org"
    lines = [f"write to {mail} about item number {i % 87} of the long list,{'ab'[i % 2]}" for i in range(90)]
    file = tmp_path / "data.csv"
    file.write_text("description,category\n" + "\n".join([*lines, f"broken {mail}"]))
    judged = judge(file)
    assert {"personal_e_mail", "bad_rows", "conflicting_labels"} <= names(judged)
    assert mail not in json.dumps([judged.quality, judged.findings, judged.profile, judged.schema])


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("", "stratified"),
        ('[data]\ntime = "sold"', "time"),
        ('[data]\ngroup = "shop"', "group"),
        ('[data]\ntime = "sold"\n[split]\nmethod = "stratified"', "stratified"),
        ('[split]\nmethod = "column"\ncolumn = "part"', "column"),
    ],
)
def test_the_split_follows_the_columns_unless_the_project_file_says_how(text: str, method: str) -> None:
    assert split_as_recommended(validate_project(parse_project(text))).split.method == method


def test_values_of_the_wrong_type_are_named_by_column() -> None:
    frame = generate_sample(300).assign(price=[str(i) if i % 60 else "unknown" for i in range(300)], code="A1")
    found = next(finding for finding in judge(frame).findings if finding["name"] == "wrong_type")
    assert found["count"] == 5
    assert "price (5 values not integer)" in found["message"]
    assert "code" not in found["message"]
    assert "wrong_type" not in names(judge(generate_sample(300).assign(price="3")))


def test_near_duplicates_are_shown_as_groups() -> None:
    frame = generate_sample(300).dropna()
    words = " ".join(f"word{i}" for i in range(40))
    copies = pd.DataFrame({"category": "Books", "description": [f"{words} copy{i}" for i in range(7)]})
    judged = judge(pd.concat([frame, copies], ignore_index=True), data={"merge_label_variants": True})
    groups = judged.quality["evidence"]["duplicate_groups"]
    largest = groups["examples"][0]
    assert largest["size"] == 7
    assert len(largest["rows"]) == len(largest["texts"]) == 5
    assert largest["similarity"] >= 0.8
    assert {"size": 7, "groups": 1} in groups["sizes"]


def test_a_quote_that_is_never_closed_is_a_serious_flaw(tmp_path: pathlib.Path) -> None:
    lines = [f"text number {i} of the list,{'ab'[i % 2]}" for i in range(100)]
    file = tmp_path / "data.csv"
    file.write_text("\n".join(["description,category", *lines[:60], '"open,a', *lines[60:]]))
    judged = judge(file)
    found = next(finding for finding in judged.findings if finding["name"] == "unclosed_quote")
    assert found["severity"] == "critical"
    assert "lines 62 to 102" in found["message"]
    settings = Project.model_validate({})
    _, source = read_rows(settings, uri=str(file), lenient=True)
    assert any("never closed" in refusal for refusal in source["overlooked"])
    assert any("1 of 61 rows cannot be used" in refusal for refusal in source["overlooked"])


@pytest.mark.parametrize("case", sorted(set(BAD) - UNREADABLE - {"one class", "class with one row", "times", "parts"}))
def test_what_reading_overlooked_is_kept_for_training_to_refuse(tmp_path: pathlib.Path, case: str) -> None:
    content, sections, _ = BAD[case]
    file = tmp_path / "data.csv"
    file.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    strict = Project.model_validate(sections)
    _, source = read_rows(strict, uri=str(file), lenient=True)
    try:
        read_rows(strict, uri=str(file))
    except DataError:
        assert source["overlooked"]
    else:
        assert not source["overlooked"]


def test_violations_of_the_schema_count_in_the_grade() -> None:
    frame = generate_sample(300).dropna()
    options: dict[str, Any] = {"data": {"merge_label_variants": True}}
    schema = {"version": 1, "columns": {"category": {"domain": ["Books"]}, "price": {"required": True}}}
    broken = judge(frame, schema=schema, **options)
    assert grade(broken, "Validity") == "F" != grade(judge(frame, **options), "Validity")
    decisions = sum(bool(finding["decision"]) for finding in broken.findings)
    assert f"{decisions} decisions are open" in broken.quality["verdict"]["sentence"]


def test_labels_and_cut_texts_are_masked_too(tmp_path: pathlib.Path) -> None:
    mail, pad = "jane.doe.private@example.org", "x" * 190
    rows = [f"{pad} {mail} number {i} of them,{'ab'[i % 2]}@shop.com" for i in range(40)]
    rows += [f"{pad} {mail} twice,a@shop.com", f"{pad} {mail} twice,b@shop.com", f"{pad} {mail}"]
    file = tmp_path / "data.csv"
    file.write_text("description,category\n" + "\n".join(rows))
    judged = judge(file, split={"near_duplicates": None})
    told = json.dumps([judged.quality, judged.findings, judged.profile, judged.schema])
    assert "conflicting_labels" in names(judged)
    assert "jane.d" not in told
    assert "a@shop.com" not in told


def test_a_label_map_closes_the_question_of_variants() -> None:
    frame = pd.DataFrame(
        {"category": ["Books", "books", "Toys"] * 30, "description": [f"a text {i}" for i in range(90)]}
    )
    assert "label_variants" in names(judge(frame))
    assert "label_variants" not in names(judge(frame, data={"label_map": {"books": "Books"}}))


def test_many_control_characters_are_a_serious_flaw() -> None:
    texts = [f"text {i}{chr(1) if i % 2 else ''} of the list" for i in range(80)]
    frame = pd.DataFrame({"category": ["a", "b", "b", "a"] * 20, "description": texts})
    found = next(finding for finding in judge(frame).findings if finding["name"] == "control_characters")
    assert found["severity"] == "critical"
    assert found["count"] == 40


def test_columns_that_are_not_there_are_named() -> None:
    found = judge(generate_sample(200), data={"group_columns": ["shop"], "merge_label_variants": True})
    assert "'shop' (data.group_columns)" in next(f for f in found.findings if f["name"] == "absent_columns")["message"]
    nothing = judge(generate_sample(200).assign(category=""))
    assert all("no label column" not in pillar["summary"].lower() for pillar in nothing.quality["pillars"])
