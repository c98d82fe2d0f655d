from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import SplitSection
from dlcycle.data.duplicates import NearPairs, near_duplicate_pairs
from dlcycle.data.split import PARTS, split_table
from dlcycle.data.stratify import apportion, stratify
from dlcycle.data.times import parse_times
from dlcycle.errors import DataError

WORDS = [f"word{i}" for i in range(400)]


def table(texts, labels, **columns):
    strings = {"text": texts, "label": labels, **columns}
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in strings.items()})
    frame.insert(0, "row", np.arange(1, len(frame) + 1))
    frame.insert(1, "line", np.arange(2, len(frame) + 2))
    return frame


def split(frame, **options):
    column = {"column": "part"} if options.get("method") == "column" else {}
    return split_table(frame, name="data.csv", settings=SplitSection.model_validate(options | column))


def distinct(n, *, seed=0, words=12):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=words)) for _ in range(n)]


def planted(n=60, *, twins=40, seed=0):
    """n distinct texts of 30 words, the first of them with a twin that differs in its last word."""
    texts = distinct(n, seed=seed, words=30)
    texts += [text.rpartition(" ")[0] + " changed" for text in texts[:twins]]
    return table(texts, ["abc"[i % 3] for i in range(n)] + ["abc"[i % 3] for i in range(twins)])


def part_of(result):
    return dict(zip(result.frame["text"], result.frame["part"], strict=True))


def straddling(frame, n=60, twins=40):
    part = dict(zip(frame["row"], frame["part"], strict=True))
    return sum(part[i] != part[n + i] for i in range(1, twins + 1))


def test_planted_near_duplicates_never_straddle():
    result = split(planted())
    near = result.report["near_duplicates"]
    assert straddling(result.frame) == 0
    assert (near["pairs"], near["groups"], near["rows_in_groups"]) == (40, 40, 80)
    assert len(near["examples"]) == 5 and all(0.8 <= pair["similarity"] < 1 for pair in near["examples"])
    assert result.report["leakage"]["passed"] and result.report["leakage"]["near"] == 0


def test_control_without_the_search_they_straddle():
    result = split(planted(), near_duplicates=None)
    assert straddling(result.frame) > 5
    assert result.report["leakage"]["near"] is None and "not searched" in result.report["leakage"]["message"]


def test_exact_duplicates_never_straddle_even_without_the_search():
    texts = distinct(60)
    result = split(table(texts + [f" {t} " for t in texts], list("abc") * 40), near_duplicates=None)
    parts = result.frame["part"].tolist()
    assert parts[:60] == parts[60:]


def test_sizes_match_the_shares_in_every_class():
    result = split(table(distinct(1000), ["a"] * 700 + ["b"] * 200 + ["c"] * 100))
    assert result.report["counts"] == {"train": 700, "validation": 100, "test": 200}
    assert result.report["labels"] == {
        "train": {"a": 490, "b": 140, "c": 70},
        "validation": {"a": 70, "b": 20, "c": 10},
        "test": {"a": 140, "b": 40, "c": 20},
    }


def test_near_duplicates_are_spread_like_other_rows():
    counts = Counter(split(planted(400, twins=200)).frame.query("row <= 200")["part"])
    assert 15 <= counts["validation"] <= 25 and 30 <= counts["test"] <= 50


GROUPS = st.sampled_from(["", "g1", "g2", "g3"])
TABLES = st.lists(st.tuples(st.integers(0, 60), st.sampled_from("abcd"), GROUPS), max_size=60)


@settings(deadline=None, max_examples=30)
@given(TABLES, st.sampled_from(["stratified", "group"]), st.integers(0, 3), st.randoms())
def test_split_does_not_depend_on_row_order(rows, method, seed, random):
    base = distinct(70, words=8)
    rows = [*rows, *[(61 + i, "abc"[i % 3], "") for i in range(9)]]
    texts = [f"{base[number]} {i % 2}" for i, (number, _, _) in enumerate(rows)]
    frame = table(texts, [row[1] for row in rows], group=[row[2] for row in rows])
    frame = frame.drop_duplicates(["text"]).reset_index(drop=True)
    shuffled = frame.sample(frac=1, random_state=random.randrange(2**32)).reset_index(drop=True)
    try:
        result = split(frame, method=method, seed=seed)
    except DataError as error:
        assert "train part has no row" in str(error)
        return
    assert part_of(result) == part_of(split(shuffled, method=method, seed=seed))
    assert sorted(result.frame["row"]) == sorted(frame["row"]) and result.removed.empty
    assert sum(result.report["counts"].values()) == len(frame) and result.report["leakage"]["passed"]
    by_base = result.frame.groupby(result.frame["text"].str.rpartition(" ")[0])["part"].nunique()
    assert method == "stratified" or result.frame.query("group != ''").groupby("group")["part"].nunique().le(1).all()
    assert by_base.max() <= 2  # texts of one base have similarity 0.75, below the threshold


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abc")), min_size=1, max_size=40),
    st.sampled_from([(0.1, 0.2), (0.4, 0.4), (0.02, 0.9), (0.01, 0.01)]),
)
def test_classes_of_three_units_reach_every_part(units, shares):
    numbers = np.repeat(np.arange(len(units)), [size for size, _ in units])
    labels = [units[number][1] for number in numbers]
    hashes = np.random.default_rng(0).integers(0, 2**63, len(numbers)).astype(np.uint64)
    parts = stratify(numbers, labels, hashes, validation=shares[0], test=shares[1])
    assert all(len(set(parts[numbers == number])) == 1 for number in range(len(units)))
    for name in "abc":
        count = sum(label == name for _, label in units)
        reached = {int(part) for part, label in zip(parts, labels, strict=True) if label == name}
        assert reached == set([[], [0], [0, 2], [0, 1, 2]][min(count, 3)])


@given(st.integers(0, 500), st.lists(st.floats(0.01, 1), min_size=3, max_size=3))
def test_apportion_adds_up_and_is_within_one(n, weights):
    counts = apportion(n, weights)
    assert sum(counts) == n
    assert all(abs(count - n * weight / sum(weights)) < 1 + 1e-9 for count, weight in zip(counts, weights, strict=True))
    if n >= 3:
        assert min(apportion(n, weights, required=[0, 2, 1])) >= 1


def test_seed_changes_the_split():
    frame = table(distinct(200), list("ab") * 100)
    parts = [part_of(split(frame, seed=seed)) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_class_in_one_unit_goes_to_train_and_is_reported():
    base = " ".join(WORDS[:40])
    frame = table([*distinct(30), *[f"{base} {i}" for i in range(4)]], [*(list("ab") * 15), *"cccc"])
    result = split(frame)
    assert set(result.frame.query("label == 'c'")["part"]) == {"train"}
    assert [finding["name"] for finding in result.report["findings"]] == ["class_absent", "class_absent"]
    assert "'c'" in result.report["findings"][0]["message"]


def test_group_unites_groups_and_near_duplicates():
    frame = planted()
    frame["group"] = pd.Series([f"g{i // 4}" if i < 60 else "" for i in range(100)], dtype=object)
    result = split(frame, method="group")
    joined = result.frame.assign(group=[f"g{((row - 1) % 60) // 4}" for row in result.frame["row"]])
    assert joined.groupby("group")["part"].nunique().max() == 1
    assert result.report["findings"][0] == {
        "name": "missing_group",
        "count": 40,
        "rows": [61, 62, 63, 64, 65],
        "message": "Rows without a group were assigned each on its own",
    }


def test_time_cuts_between_distinct_times():
    days = [f"2025-01-{1 + i // 10:02d}" for i in range(200)]
    result = split(table(distinct(200), list("ab") * 100, time=days), method="time")
    span = {part: sorted(result.frame.loc[result.frame["part"] == part, "time"]) for part in PARTS}
    assert span["train"][-1] < span["validation"][0] and span["validation"][-1] < span["test"][0]
    assert result.report["counts"] == {"train": 140, "validation": 20, "test": 40}
    assert "2025-01-15" in result.report["findings"][0]["message"]


def test_time_moves_near_duplicates_to_the_earlier_part():
    frame = planted()
    days = [*range(60), *range(25, 65)]  # each twin comes 25 days after its original
    frame["time"] = pd.Series(pd.Timestamp("2025-01-01") + pd.to_timedelta(days, "D")).astype(str).astype(object)
    result = split(frame, method="time")
    assert straddling(result.frame) == 0
    moved = next(finding for finding in result.report["findings"] if finding["name"] == "moved_duplicates")
    cut = min(range(1, 65), key=lambda day: abs(sum(other < day for other in days) - 70))
    assert moved["count"] == sum(day >= cut for day in days[60:]) and min(moved["rows"]) > 60


def test_times_that_cannot_be_read_are_listed():
    frame = table(distinct(20), list("ab") * 10, time=["2025-01-01"] * 18 + ["soon", ""])
    with pytest.raises(DataError, match=r"2 of 20 times.*'soon' in row 19 \(line 20\), '' in row 20"):
        split(frame, method="time")
    with pytest.raises(DataError, match="at least 3 distinct times, found 2"):
        split(frame.assign(time=["2025-01-01"] * 10 + ["2025-01-02"] * 10).astype({"time": object}), method="time")


@pytest.mark.parametrize(
    ("values", "days"),
    [
        (["2025-01-31", "2025-02-01T10:00:00+02:00"], ["2025-01-31T00:00", "2025-02-01T08:00"]),
        (["31.01.2025", "1.2.2025"], ["2025-01-31T00:00", "2025-02-01T00:00"]),
        (["01/31/2025 14:05", "02/01/2025 00:00"], ["2025-01-31T14:05", "2025-02-01T00:00"]),
        (["Fri, 31 Jan 2025 10:00:00 +0100"], ["2025-01-31T09:00"]),
    ],
)
def test_time_formats(values, days):
    times = parse_times(values, rows=[1, 2], lines=[2, 3], name="data.csv")
    assert times.tolist() == [pd.Timestamp(day, tz="UTC") for day in days]


def test_ambiguous_dates_are_refused():
    with pytest.raises(DataError, match=r"data.csv: .* day or the month first"):
        parse_times(["01/02/2025", "03/04/2025"], rows=[1, 2], lines=[2, 3], name="data.csv")


def test_given_parts_stay_and_leaking_rows_are_left_out():
    frame = planted()
    names = [" Train", "VAL", "test", "dev", "validation", "train", "Valid", "TEST", "train", "train"]
    frame["part"] = pd.Series([names[i % 7] for i in range(60)] + ["test"] * 20 + ["train"] * 20, dtype=object)
    result = split(frame, method="column")
    kept = set(result.frame["row"])
    given = dict(zip(frame["row"], frame["part"], strict=True))
    assert {row for row, part in given.items() if part == "test"} <= kept
    assert kept.isdisjoint(result.removed["row"]) and len(kept) + len(result.removed) == 100
    first = result.removed.set_index("row").loc[1]
    assert first["reason"] == "leaks_into_test" and first["detail"] == "duplicate of row 61"
    assert set(result.removed["reason"]) == {"leaks_into_test", "leaks_into_validation"}
    assert result.report["leakage"]["passed"]


def test_unknown_parts_are_listed():
    frame = table(distinct(20), list("ab") * 10, part=["train"] * 17 + ["holdout", "", "x"])
    with pytest.raises(
        DataError,
        match=r"'part' \(split.column\) .* 3 of 20 rows do not: 'holdout' in row 18 \(line 19\), '' in row 19",
    ):
        split(frame, method="column")


def test_empty_parts_and_unlearnt_classes_are_errors():
    frame = table(distinct(20), list("ab") * 10, part=["train"] * 10 + ["test"] * 10)
    with pytest.raises(DataError, match="train 10, validation 0, test 10"):
        split(frame, method="column")
    one = table([f"{' '.join(WORDS[:40])} {i}" for i in range(12)], list("ab") * 6)
    with pytest.raises(DataError, match="train 12, validation 0, test 0"):
        split(one)
    parts = ["train"] * 10 + ["validation"] * 5 + ["test"] * 5
    labels = ["a", "b"] * 5 + ["a", "c"] * 5
    with pytest.raises(DataError, match=r"train part has no row of 1 of the classes: 'c' \(5 rows\)"):
        split(table(distinct(20), labels, part=parts), method="column")


def test_pairs_missed_at_first_are_found_and_united(monkeypatch):
    """The leakage check is a search of its own: what the assignment did not know, it finds, and the split is mended."""

    def forgetful(texts, *, threshold):
        found = near_duplicate_pairs(texts, threshold=threshold)
        return NearPairs(found.rows[:10], found.similarity[:10])

    monkeypatch.setattr("dlcycle.data.split.near_duplicate_pairs", forgetful)
    result = split(planted())
    assert straddling(result.frame) == 0 and result.report["near_duplicates"]["pairs"] > 10


def test_leak_that_cannot_be_mended_is_an_error(monkeypatch):
    monkeypatch.setattr("dlcycle.data.split.duplicate_groups", lambda n, pairs: np.arange(n))
    with pytest.raises(DataError, match=r"the split leaks. The parts share 0 texts and \d+ near-duplicate pairs"):
        split(planted())
