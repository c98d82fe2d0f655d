import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dlcycle.data.representation import PERIOD_ROWS, PERIODS, over_time, split_tests
from dlcycle.errors import DataError


def plain(value):
    """The value as it comes back from strict JSON: fails on numpy scalars and on NaN."""
    return json.loads(json.dumps(value, allow_nan=False))


def drawn(seed, rows=600):
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "part": generator.choice(["train", "validation", "test"], rows, p=[0.7, 0.15, 0.15]),
            "label": generator.choice(["Books", "Toys", "Tools"], rows, p=[0.6, 0.3, 0.1]),
            "language": generator.choice(["en", "de", "hi", "unknown"], rows, p=[0.97, 0.01, 0.01, 0.01]),
            "words": np.rint(generator.lognormal(4, 1, rows)).astype(int),
        }
    )


def different(frame, **options):
    return {test["name"] for test in split_tests(frame, **options) if test["adjusted"] < 0.05}


def followed(times, labels, **options):
    numbers = range(1, len(times) + 1)
    return over_time(times, labels, column="day", rows=numbers, lines=numbers, name="a.csv", **options)


def days(start, count, per_day=40):
    return [str(day) for day in pd.date_range(start, periods=count).strftime("%Y-%m-%d") for _ in range(per_day)]


def test_alike_parts_rarely_raise_an_alarm():
    alarms = sum(bool(different(drawn(seed))) for seed in range(100))
    # at 5 % over all five tests together 100 splits alarm more than 11 times with a probability of 0.004
    assert alarms <= 11


@pytest.mark.parametrize(
    ("column", "change", "expected"),
    [
        ("label", "Tools", {"labels of the parts"}),
        ("language", "hi", {"languages of the parts"}),
        ("words", 900, {"lengths of train and test", "lengths of validation and test"}),
    ],
)
def test_a_test_part_that_differs_is_found_in_that_column_alone(column, change, expected):
    frame = drawn(5)
    assert not different(frame)
    test = frame.index[frame["part"] == "test"]
    frame.loc[test[: len(test) // 3], column] = change
    assert different(frame) == expected
    messages = [test["message"] for test in split_tests(frame) if test["adjusted"] < 0.05]
    assert all("differ" in message for message in messages)


def test_statistics_are_those_of_scipy():
    frame = drawn(1)
    tests = {test["name"]: test for test in split_tests(frame)}
    labels = stats.chi2_contingency(pd.crosstab(frame["part"], frame["label"]), correction=False)
    assert tests["labels of the parts"]["value"] == pytest.approx(labels.statistic)
    words = [frame.loc[frame["part"] == part, "words"] for part in ("train", "test")]
    assert tests["lengths of train and test"]["value"] == pytest.approx(stats.ks_2samp(*words).statistic)
    assert all(test["adjusted"] >= test["p_value"] for test in tests.values())


def test_row_order_does_not_count_and_results_are_plain():
    frame = drawn(2)
    found = split_tests(frame)
    assert split_tests(frame.sample(frac=1, random_state=0)) == found == plain(found)
    keys = {"name", "statistic", "value", "p_value", "adjusted", "effect", "message"}
    assert all(set(test) == keys for test in found)


def test_parts_and_columns_that_are_not_there():
    frame = drawn(3)
    assert "found 1" in split_tests(frame[frame["part"] == "train"])["reason"]
    two = split_tests(frame.loc[frame["part"] != "test", ["part", "words"]])
    assert [test["name"] for test in two] == ["lengths of train and validation"]
    assert len(split_tests(frame.assign(language=None))) == 4
    one = split_tests(frame.assign(language="en"))[1]
    assert one["p_value"] == 1 and one["message"].startswith("All rows have one language")


def test_steady_labels_stay_steady_and_a_change_is_found():
    generator = np.random.default_rng(0)
    times = days("2024-01-01", 10)
    labels = generator.choice(["a", "b"], 400, p=[0.7, 0.3])
    assert followed(times, labels)["p_value"] > 0.05
    labels[200:] = generator.choice(["a", "b"], 200, p=[0.4, 0.6])
    found = followed(times, labels)
    assert found["p_value"] < 0.001 and "change over 10 periods of one day" in found["message"]
    assert plain(found) == found


def test_periods_count_every_row_once():
    times = days("2023-01-30", 75, per_day=7)
    found = followed(times, ["a", "b", "c"] * (len(times) // 3))
    assert (found["unit"], len(found["periods"])) == ("week", 11)
    assert sum(period["rows"] for period in found["periods"]) == len(times)
    assert all(sum(period["shares"].values()) == pytest.approx(1) for period in found["periods"])
    # pandas counts weeks on its own
    weeks = pd.Series(pd.to_datetime(times)).dt.to_period("W").value_counts().sort_index()
    assert [period["start"] for period in found["periods"]] == weeks.index.start_time.strftime("%Y-%m-%d").tolist()
    assert [period["rows"] for period in found["periods"]] == weeks.tolist()


@pytest.mark.parametrize(
    ("first", "last", "unit", "start"),
    [
        ("2024-05-01T06:10", "2024-05-01T13:50", "hour", "2024-05-01T06:00"),
        ("2024-05-01", "2024-05-20", "day", "2024-05-01"),
        ("2024-05-01", "2024-07-20", "week", "2024-04-29"),
        ("2023-05-05", "2024-07-20", "month", "2023-05-01"),
        ("2019-05-05", "2024-07-20", "quarter", "2019-04-01"),
        ("1999-05-05", "2019-07-20", "year", "1999-01-01"),
        ("1889-05-05", "2019-07-20", "10 years", "1880-01-01"),
    ],
)
def test_periods_fit_the_span(first, last, unit, start):
    times = [first, last] * PERIODS * PERIOD_ROWS
    found = followed(times, ["a", "b"] * PERIODS * PERIOD_ROWS)
    assert (found["unit"], found["periods"][0]["start"]) == (unit, start)
    assert found["periods"][0]["shares"] == {"a": 1.0, "b": 0.0}


def test_few_rows_get_longer_periods():
    assert followed(days("2024-05-01", 20, per_day=40), ["a"] * 800)["unit"] == "day"
    assert followed(days("2024-05-01", 20, per_day=5), ["a"] * 100)["unit"] == "week"


def test_rows_without_a_time_are_left_out_and_counted():
    times = [None, " ", "2024-01-01", *days("2024-01-01", 4)]
    found = followed(times, ["a", "a", None, *["a"] * 160])
    assert sum(period["rows"] for period in found["periods"]) == 160
    assert "3 rows without a time or a label" in found["message"]


def test_times_that_cannot_be_followed_say_why():
    assert "no row has both" in followed([None, "", "2024-01-01"], ["a", "b", None])["reason"]
    assert "within one hour" in followed(["2024-01-01"] * 5, list("aabba"))["reason"]
    with pytest.raises(DataError, match="'yesterday' in row 2"):
        followed(["2024-01-01", "yesterday"], ["a", "b"])


def test_row_order_does_not_change_what_is_followed():
    generator = np.random.default_rng(4)
    times, labels = np.array(days("2024-01-01", 30, per_day=3)), generator.choice(list("abcd"), 90)
    order = generator.permutation(90)
    assert followed(times[order].tolist(), labels[order]) == followed(times.tolist(), labels)


def test_a_stratified_split_of_real_data_is_alike(ecommerce_csv):
    frame = pd.read_csv(ecommerce_csv).dropna().rename(columns={"category": "label"})
    # one in seven and one in seven of each class: the labels agree by construction
    part = frame.groupby("label").cumcount() % 7
    frame["part"] = np.select([part == 0, part == 1], ["test", "validation"], "train")
    frame["words"] = frame["description"].str.split().str.len()
    labels = split_tests(frame)[0]
    assert labels["p_value"] > 0.99 and labels["effect"] == 0
    # a file sorted by class and cut where it stands is the control
    frame = frame.sort_values("label")
    frame["part"] = np.repeat(["train", "test"], [len(frame) - 2000, 2000])
    assert split_tests(frame)[0]["adjusted"] < 0.001
