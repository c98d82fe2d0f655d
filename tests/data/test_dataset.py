import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcycle.config import Project
from dlcycle.data.dataset import (
    build_dataset,
    removed_summary,
    table_from_bytes,
    table_to_bytes,
    values_digest,
)
from dlcycle.data.duplicates import duplicate_groups, near_duplicate_pairs

RNG = np.random.default_rng(0)
ROWS = [(" ".join(f"w{word}" for word in RNG.integers(0, 300, 15)), "ab"[i % 2]) for i in range(80)]
ROWS += [(ROWS[0][0], "a"), (f"{ROWS[1][0]} ", "b"), ("conflict", "a"), ("conflict", "b"), ("", "a")]
ROWS += [(f"{text} more", label) for text, label in ROWS[10:30]]


def project(**sections):
    return Project.model_validate(sections)


def write(folder, rows, name="data.csv"):
    path = folder / name
    pd.DataFrame(rows, columns=["description", "category"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def source(tmp_path):
    return write(tmp_path, ROWS)


def test_rows_are_conserved_and_reported(source):
    data = build_dataset(project(), uri=source)
    assert sorted([*data.frame["row"], *data.removed["row"]]) == list(range(1, len(ROWS) + 1))
    assert data.removed["reason"].value_counts().to_dict() == {
        "exact_duplicate": 2,
        "conflicting_label": 2,
        "missing_text": 1,
    }
    assert data.source["name"] == "data.csv" and data.source["records"] == len(ROWS)
    assert set(data.source) >= {"uri", "sha256", "bytes", "format", "encoding", "delimiter", "compression", "columns"}
    assert data.split["leakage"]["passed"] and len(data.fingerprint) == 64
    json.dumps([data.source, data.cleaning, data.split], allow_nan=False)


def test_quarantined_rows_are_removed_rows(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("description,category\n" + "".join(f"{t},{c}\n" for t, c in ROWS[:40]) + "one field\n")
    data = build_dataset(project(data={"on_bad_rows": "quarantine"}), uri=str(path))
    assert data.removed[["row", "line", "reason"]].values.tolist() == [[41, 42, "bad_row"]]
    assert len(data.frame) == 40


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms())
def test_fingerprint_ignores_row_order(tmp_path, random):
    straight = build_dataset(project(), uri=write(tmp_path, ROWS))
    shuffled = build_dataset(project(), uri=write(tmp_path, random.sample(ROWS, len(ROWS)), "other name.csv"))
    assert shuffled.fingerprint == straight.fingerprint
    parts = [dict(zip(data.frame["text"], data.frame["part"], strict=True)) for data in (straight, shuffled)]
    assert parts[0] == parts[1]


def test_fingerprint_ignores_the_format(tmp_path, source):
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps({"description": t, "category": c}) + "\n" for t, c in ROWS))
    assert build_dataset(project(), uri=str(path)).fingerprint == build_dataset(project(), uri=source).fingerprint


def test_fingerprint_changes_with_what_matters(tmp_path, source):
    def changed(index, row):
        return write(tmp_path, [*ROWS[:index], row, *ROWS[index + 1 :]], f"{index} {row[0][-20:]} {row[1]}.csv")

    text, label = ROWS[7]
    prints = [
        build_dataset(project(**sections), uri=uri).fingerprint
        for sections, uri in [
            ({}, source),
            ({}, changed(7, (f"{text}.", label))),
            ({}, changed(7, (text, "a" if label == "b" else "b"))),
            ({}, changed(84, ("conflict", "a"))),
            ({}, changed(81, (ROWS[1][0], "b"))),
            ({"split": {"seed": 1}}, source),
            ({"split": {"near_duplicates": 0.9}}, source),
            ({"split": {"test": 0.3}}, source),
            ({"data": {"merge_label_variants": True}}, source),
            ({"data": {"label_map": {"a": "c"}}}, source),
        ]
    ]
    assert len(set(prints)) == len(prints)


def test_fingerprint_is_the_same_in_every_process(source):
    code = (
        "import sys; from dlcycle.config import Project; from dlcycle.data.dataset import build_dataset\n"
        "print(build_dataset(Project(), uri=sys.argv[1]).fingerprint)"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code, source],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert prints == {build_dataset(project(), uri=source).fingerprint}


def test_sample_is_the_default_and_always_the_same():
    small = project(data={"sample_rows": 300, "merge_label_variants": True})
    data = build_dataset(small)
    assert data.source["uri"] == "sample" and data.source["records"] == 300
    assert data.fingerprint == build_dataset(small, uri="sample").fingerprint
    assert len(data.frame) + len(data.removed) == 300


def test_given_parts_and_groups(tmp_path):
    rows = [(text, label, ["train", "val", "test"][i % 3], f"g{i}") for i, (text, label) in enumerate(ROWS[:80])]
    rows += [(ROWS[0][0], "a", "test", "g0")]
    path = tmp_path / "parts.csv"
    pd.DataFrame(rows, columns=["description", "category", "fold", "shop"]).to_csv(path, index=False)
    data = build_dataset(project(split={"method": "column", "column": "fold"}, data={"group": "shop"}), uri=str(path))
    assert data.removed[["row", "reason"]].values.tolist() == [[1, "leaks_into_test"]]
    assert data.frame["group"].tolist()[0] == "g1" and data.split["counts"]["test"] == 27


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["NA", "", "nan", "01"])
VALUES = st.none() | TEXTS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), VALUES), max_size=12))
def test_tables_survive_parquet(rows):
    frame = pd.DataFrame(
        {
            "row": np.array([row[0] for row in rows], dtype=np.int64),
            "text": pd.Series([row[1] for row in rows], dtype=object),
        }
    )
    again = table_from_bytes(table_to_bytes(frame))
    assert again["text"].tolist() == frame["text"].tolist() and again["row"].tolist() == frame["row"].tolist()
    assert again.dtypes.tolist() == frame.dtypes.tolist()
    assert table_to_bytes(again) == table_to_bytes(frame)


def test_removed_summary_is_plain_and_complete(source):
    data = build_dataset(project(), uri=source)
    summary = removed_summary(data.removed)
    assert summary["total"] == 5
    assert summary["counts"] == {"conflicting_label": 2, "exact_duplicate": 2, "missing_text": 1}
    assert [example["row"] for example in summary["examples"]] == [83, 84, 81, 82, 85]
    pd.testing.assert_frame_equal(table_from_bytes(summary["parquet"]), data.removed)
    json.dumps({key: value for key, value in summary.items() if key != "parquet"}, allow_nan=False)
    empty = removed_summary(data.removed.iloc[:0])
    assert empty["total"] == 0 and len(table_from_bytes(empty["parquet"])) == 0


@pytest.mark.slow
def test_real_data(ecommerce_csv):
    data = build_dataset(project(), uri=str(ecommerce_csv))
    assert data.cleaning["rows_read"] == 10_361 and data.cleaning["removed"] == {"exact_duplicate": 1_344}
    assert len(data.frame) == 9_017 and data.split["leakage"]["passed"]
    assert data.split["counts"] == {"train": 6_312, "validation": 902, "test": 1_803}
    pairs = near_duplicate_pairs(data.frame["text"].tolist(), threshold=0.8, seed=99)
    groups = data.frame.groupby(duplicate_groups(len(data.frame), pairs.rows))["part"]
    assert groups.nunique().max() == 1 and (groups.size() > 1).sum() == 412


def test_columns_that_are_looked_at_stay_with_their_rows_and_have_an_identity(tmp_path):
    def build(turn):
        regions = ("north", "", " south ")
        rows = [f"text number {i} of a kind,{'ab'[i % 2]},{regions[(i + turn) % 3]}" for i in range(60)]
        path = tmp_path / "rows.csv"
        path.write_text("\n".join(["description,category,region", *rows]))
        return build_dataset(project(data={"group_columns": ("region",)}), uri=str(path))

    first, second = build(0), build(1)
    expected = ["north", None, "south"]
    numbers = first.frame["row"] - 1
    assert first.frame["about.region"].tolist() == [expected[number % 3] for number in numbers]
    assert first.fingerprint == second.fingerprint
    digests = [values_digest(dataset.frame, "region") for dataset in (first, build(0), second)]
    assert digests[0] == digests[1] != digests[2]
    assert values_digest(first.frame, None) == "" == values_digest(first.frame, "shop")
    again = table_from_bytes(table_to_bytes(first.frame))
    assert again["about.region"].tolist() == first.frame["about.region"].tolist()
