import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import DataSection
from dlcycle.data.clean import LEAST_ROWS, REMOVED_COLUMNS, clean_table
from dlcycle.data.rawtable import RawTable
from dlcycle.data.texts import text_key
from dlcycle.errors import DataError

GOOD = [(f"text number {i}", "ab"[i % 2]) for i in range(LEAST_ROWS)]


def raw(rows, *, bad=(), columns=("description", "category")):
    table = pa.table({name: pa.array([row[i] for row in rows], pa.large_string()) for i, name in enumerate(columns)})
    positions = np.array([i for i in range(len(rows) + len(bad)) if i + 1 not in bad], dtype=np.int64)
    quarantined = pd.DataFrame(
        {
            "row": np.array(list(bad), dtype=np.int64),
            "line": np.array([row + 1 for row in bad], dtype=np.int64),
            "reason": pd.Series(["bad_row"] * len(bad), dtype=object),
            "detail": pd.Series(["1 field, expected 2"] * len(bad), dtype=object),
            "text": pd.Series(["broken"] * len(bad), dtype=object),
        }
    )
    return RawTable(table, positions, positions + 2, quarantined, {})


def clean(rows, *, bad=(), columns=("description", "category"), part_column=None, **options):
    settings = DataSection.model_validate(options)
    return clean_table(raw(rows, bad=bad, columns=columns), name="data.csv", settings=settings, part_column=part_column)


def reasons(table):
    return dict(zip(table.removed["row"], table.removed["reason"], strict=True))


def test_clean_rows_stay_as_they_are():
    table = clean(GOOD)
    assert table.frame[["text", "label"]].values.tolist() == [list(row) for row in GOOD]
    assert table.frame["row"].tolist() == list(range(1, 11)) and table.frame["line"].tolist() == list(range(2, 12))
    assert [str(kind) for kind in table.frame.dtypes] == ["int64", "int64", "str", "object"]
    assert list(table.removed.columns) == REMOVED_COLUMNS and table.removed.empty
    assert table.report["removed"] == {} and table.report["findings"] == []


def test_missing_values_and_bad_rows_are_removed_with_reason():
    table = clean([*GOOD, (None, "a"), ("x", None), (" \u200b\u00a0", "a"), ("x", "\ufeff")], bad=(1, 5))
    assert reasons(table) == {
        1: "bad_row",
        5: "bad_row",
        13: "missing_text",
        14: "missing_label",
        15: "missing_text",
        16: "missing_label",
    }
    assert table.removed["detail"].tolist()[:2] == ["1 field, expected 2"] * 2
    assert table.frame["row"].tolist() == [2, 3, 4, 6, 7, 8, 9, 10, 11, 12]
    assert table.report["rows_read"] == 16 and table.report["rows_kept"] == 10


def test_na_and_leading_zeros_are_labels():
    rows = [(f"{label} {i}", label) for label in ("NA", "01", "1", "None", "nan") for i in range(3)]
    assert set(clean(rows).report["labels"]) == {"NA", "01", "1", "None", "nan"}


def test_text_and_label_are_normalised():
    table = clean([*GOOD, ("  cafe\u0301 \n", " cafe\u0301"), ("x y", "café"), ("x z", "café\u00a0")])
    assert table.frame["text"].tolist()[10] == "café"
    assert table.report["labels"]["café"] == 3 and table.report["label_variants"] == []


def test_inputs_are_joined_by_line_breaks():
    rows = [("title", "body", "a"), (None, "body 2", "b"), ("title 3", "", "a")] + [("t", t, x) for t, x in GOOD]
    table = clean(rows, columns=("title", "text", "category"), inputs=["title", "text"])
    assert table.frame["text"].tolist()[:3] == ["title\nbody", "body 2", "title 3"]


def test_label_map_renames_and_reports_unused_keys():
    table = clean([*GOOD, ("x", "A ")], label_map={"A": "a", "zebra": "b"})
    assert table.report["labels"] == {"a": 6, "b": 5}
    (finding,) = table.report["findings"]
    assert finding["name"] == "unused_label_map" and "'zebra'" in finding["message"]


@pytest.mark.parametrize("merge", [False, True])
def test_label_variants_are_merged_only_on_request(merge):
    rows = [(f"x{i}", label) for i, label in enumerate(["Books", "BOOKS", "B\u043eoks"] * 3)]
    table = clean([*GOOD, *rows, ("y", "Books")], merge_label_variants=merge)
    group = table.report["label_variants"][0]
    assert group == {"canonical": "Books", "spellings": {"Books": 4, "BOOKS": 3, "B\u043eoks": 3}, "merged": merge}
    assert len(table.report["labels"]) == (3 if merge else 5)
    assert table.report["labels"]["Books"] == (10 if merge else 4)


def test_exact_duplicates_name_the_row_that_stays():
    table = clean([("red  shirt", "a"), *GOOD, (" red\u00a0shirt", "a"), ("red shirt", "a"), ("Red shirt", "a")])
    assert reasons(table) == {12: "exact_duplicate", 13: "exact_duplicate"}
    assert set(table.removed["detail"]) == {"same as row 1"}


def test_conflicting_labels_are_dropped_or_kept_by_majority():
    conflict = [("same", "a"), ("same", "a"), ("same ", "b"), ("tie", "a"), ("tie", "b")]
    dropped = clean([*GOOD, *conflict])
    assert reasons(dropped) == {
        11: "conflicting_label",
        12: "exact_duplicate",
        13: "conflicting_label",
        14: "conflicting_label",
        15: "conflicting_label",
    }
    assert dropped.report["conflict_count"] == 2
    assert dropped.report["conflicts"][0] == {"text": "same", "labels": {"a": 2, "b": 1}, "rows": [11, 12, 13]}
    kept = clean([*GOOD, *conflict], conflicting_labels="keep")
    assert kept.frame.loc[kept.frame["text"] == "same", "label"].tolist() == ["a"]
    assert "tie" not in set(kept.frame["text"])


def test_equal_rows_in_different_parts_are_left_to_the_split():
    rows = [(text, label, "train") for text, label in GOOD]
    rows += [("x", "a", "train"), ("x", "a", "Train"), ("x", "a", "test")]
    table = clean(rows, columns=("description", "category", "fold"), part_column="fold")
    assert reasons(table) == {12: "exact_duplicate"}
    assert table.frame["part"].tolist()[-2:] == ["train", "test"]


RARE = [*GOOD, ("r1", "rare"), ("r2", "rare"), ("o1", "once")]


def test_rare_labels_stop_with_every_class_and_the_ways_out():
    with pytest.raises(DataError) as error:
        clean(RARE)
    for words in ("2 of 4 classes", "'rare' (2)", "'once' (1)", "label_map", '"drop"', '"merge"', "other"):
        assert words in str(error.value)


def test_rare_variants_point_to_the_merge():
    with pytest.raises(DataError, match=r"'A' \(1\)\ndata.merge_label_variants = true merges variants of 'a'"):
        clean([*GOOD, ("x", "A")])


def test_copies_do_not_make_a_class_frequent():
    with pytest.raises(DataError, match=r"'rare' \(1\)"):
        clean([*GOOD, *[("same text", "rare")] * 5])


def test_rare_labels_are_dropped_or_merged_on_request():
    assert set(reasons(clean(RARE, rare_labels="drop")).values()) == {"rare_label"}
    merged = clean(RARE, rare_labels="merge", other_label="rest")
    assert merged.report["labels"] == {"a": 5, "b": 5, "rest": 3} and merged.removed.empty
    with pytest.raises(DataError, match="together have 1, too few"):
        clean([*GOOD, ("o1", "once")], rare_labels="merge")


def test_one_class_and_few_rows_are_errors():
    with pytest.raises(DataError, match=r"3 of 4 rows are left .*exact duplicate 1\).*all 3 rows have the label 'a'"):
        clean([("1", "a"), ("2", "a"), ("3", "a"), ("3", "a")])
    with pytest.raises(DataError, match="0 of 2 rows are left"):
        clean([("", "a"), ("", "a")])


def test_ten_thousand_classes():
    rows = [(f"text {i} {label}", f"class {label}") for label in range(10_000) for i in range(3)]
    table = clean([*rows, *[(f"rare {i}", f"rare {i}") for i in range(10_000)]], rare_labels="drop")
    assert len(table.report["labels"]) == 10_000 and table.report["removed"] == {"rare_label": 10_000}
    with pytest.raises(DataError) as error:
        clean([(f"rare {i}", f"rare {i}") for i in range(10_000)])
    assert len(str(error.value)) < 1000 and "and 9,995 more" in str(error.value)


TEXTS = st.sampled_from(["red shirt", "red  shirt", "RED shirt", "", None, " \u200b", "e\u0301", "é", "x" * 30])
LABELS = st.sampled_from(["a", "A", "b", "b ", "", None, "NA", "a\u200b"])
OPTIONS = st.fixed_dictionaries(
    {
        "merge_label_variants": st.booleans(),
        "conflicting_labels": st.sampled_from(["keep", "drop"]),
        "rare_labels": st.sampled_from(["drop", "merge"]),
    }
)
BASE = [(f"base {i}", "abc"[i % 3]) for i in range(12)]


def pairs(table):
    return sorted(zip(table.frame["text"], table.frame["label"], strict=True))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(TEXTS, LABELS), max_size=25), OPTIONS, st.sets(st.integers(1, 12), max_size=3), st.randoms())
def test_rows_are_conserved_and_order_does_not_matter(rows, options, bad, random):
    rows = [*BASE, *rows, *[("filler 1", "other"), ("filler 2", "other"), ("filler 3", "other")]]
    table = clean(rows, bad=sorted(bad), **options)
    total = len(rows) + len(bad)
    assert sorted([*table.frame["row"], *table.removed["row"]]) == list(range(1, total + 1))
    assert sum(table.report["removed"].values()) + table.report["rows_kept"] == table.report["rows_read"] == total
    assert set(table.removed["reason"]) == set(table.report["removed"])
    assert table.frame["text"].map(text_key).is_unique
    assert all(unicodedata.is_normalized("NFC", text) and text.strip() == text for text in table.frame["text"])
    shuffled = random.sample(rows, len(rows))
    again = clean(shuffled, **options)
    assert pairs(again) == pairs(table)
    assert again.report["label_variants"] == table.report["label_variants"]
    counts = {key: value for key, value in table.report["removed"].items() if key != "bad_row"}
    assert again.report["removed"] == counts


def test_real_data(ecommerce_csv):
    frame = pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)
    table = clean(list(zip(frame["description"], frame["category"], strict=True)))
    assert table.report["rows_read"] == 10_361 and table.report["removed"] == {"exact_duplicate": 1_344}
    assert table.report["rows_kept"] == 9_017 == frame["description"].nunique()
    assert table.report["conflict_count"] == 0
