import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data.fairness import GROUPS, MISSING, group_rates, group_tests, imbalance
from dlcycle.errors import DataError

COUNTS = st.dictionaries(st.text(max_size=5), st.integers(1, 10_000), min_size=1, max_size=12)


def plain(value):
    """The value as it comes back from strict JSON: fails on numpy scalars and on NaN."""
    return json.loads(json.dumps(value, allow_nan=False))


def sample(seed, rows=500, gap=0.0):
    """A group column and labels whose rate of "yes" differs by `gap` between the groups."""
    generator = np.random.default_rng(seed)
    groups = generator.choice(["f", "m"], rows, p=[0.3, 0.7])
    labels = np.where(generator.random(rows) < np.where(groups == "f", 0.3 + gap, 0.3), "yes", "no")
    return groups.tolist(), labels.tolist()


def wilson(successes, total):
    """The two shares whose score statistic is the normal quantile, solved as a quadratic (Wilson 1927)."""
    z = 1.959963984540054
    a, b, c = 1 + z**2 / total, -(2 * successes / total + z**2 / total), (successes / total) ** 2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_rates_are_shares_with_wilson_intervals():
    groups, labels = sample(0)
    found = group_rates({"sex": groups}, labels)
    assert [entry["value"] for entry in found] == ["m", "f"]
    for entry in found:
        rows = [label for group, label in zip(groups, labels, strict=True) if group == entry["value"]]
        assert (entry["rows"], entry["share"]["value"]) == (len(rows), len(rows) / 500)
        assert (entry["share"]["low"], entry["share"]["high"]) == pytest.approx(wilson(len(rows), 500))
        for label, rate in entry["rates"].items():
            hits = rows.count(label)
            expected = wilson(hits, len(rows))
            assert (rate["value"], rate["n"]) == (hits / len(rows), len(rows))
            assert (rate["low"], rate["high"]) == pytest.approx(expected)
    assert plain(found) == found


def test_a_group_of_one_row_is_uncertain():
    rates = group_rates({"sex": ["f", "m", "m"]}, ["yes", "no", "no"])[1]["rates"]
    assert rates["yes"]["value"] == rates["yes"]["high"] == 1 and rates["yes"]["low"] < 0.25
    assert rates["no"]["value"] == rates["no"]["low"] == 0 and rates["no"]["high"] > 0.75


def test_intervals_cover_the_true_rate():
    covered = 0
    for seed in range(200):
        entry = group_rates({"sex": sample(seed, rows=100)[0]}, sample(seed, rows=100)[1])[1]
        covered += entry["rates"]["yes"]["low"] <= 0.3 <= entry["rates"]["yes"]["high"]
    # at 95 % coverage 200 intervals miss more than 19 times with a probability of 0.003
    assert covered >= 181


def test_equal_groups_rarely_raise_an_alarm_and_different_ones_do():
    def alarms(gap):
        found = 0
        for seed in range(200):
            groups, labels = sample(seed, gap=gap)
            columns = {"sex": groups, **{f"noise {i}": sample(1000 + 10 * seed + i)[0] for i in range(2)}}
            found += any(test["adjusted"] < 0.05 for test in group_tests(columns, labels))
        return found

    # at 5 % over all three columns 200 samples alarm more than 19 times with a probability of 0.003
    assert alarms(0.0) <= 19
    assert alarms(0.25) >= 190


def test_only_the_column_that_differs_is_named():
    groups, labels = sample(3, gap=0.3)
    different, alike = group_tests({"sex": groups, "town": sample(4)[0]}, labels)
    assert different["adjusted"] < 0.001 < 0.05 < alike["adjusted"]
    assert "'sex' are labelled differently" in different["message"] and "No difference" in alike["message"]
    assert different["p_value"] <= different["adjusted"] and plain(different) == different


def test_rows_without_a_group_are_a_group():
    assert [e["value"] for e in group_rates({"sex": ["f", None, None]}, ["a", "b", "a"])] == [MISSING, "f"]


def test_rows_without_a_label_are_left_out():
    found = group_rates({"sex": ["f", "m", "m", "x"]}, ["a", "b", "a", None])
    assert found == group_rates({"sex": ["f", "m", "m"]}, ["a", "b", "a"])
    assert group_rates({"sex": [None]}, [None]) == group_rates({"sex": []}, []) == []
    assert group_tests({"sex": [None]}, [None])[0]["p_value"] == 1


def test_hostile_values_are_kept_as_they_are():
    hostile = ["<script>", "\ud800", "a\x00b", "x" * 5000, "50 %"]
    found = group_rates({"town": hostile * 20}, [label for label in hostile for _ in range(20)])
    assert {entry["value"] for entry in found} == {value[:200] for value in hostile}
    assert set(found[0]["rates"]) == set(hostile)
    assert group_tests({"town": hostile * 20}, hostile * 20)[0]["adjusted"] < 0.001


def test_many_groups_are_cut_to_the_largest():
    values = [f"g{number:03}" for number in range(100) for _ in range(100 - number)]
    labels = ["a", "b"] * (len(values) // 2)
    found = group_rates({"town": values}, labels)
    assert [entry["value"] for entry in found] == [f"g{number:03}" for number in range(GROUPS)]
    assert found[0]["share"]["value"] == 100 / len(values)
    assert "20 largest of its 100 groups" in group_tests({"town": values}, labels)[0]["message"]


def test_one_group_has_nothing_to_compare():
    test = group_tests({"sex": ["f"] * 4}, ["a", "b"] * 2)[0]
    assert test["p_value"] == 1 and "no groups to compare" in test["message"]
    assert group_tests({}, ["a"]) == group_rates({}, ["a"]) == []


def test_row_order_does_not_count():
    groups, labels = sample(5, gap=0.1)
    order = np.random.default_rng(0).permutation(len(labels))
    mixed = {"sex": [groups[i] for i in order]}, [labels[i] for i in order]
    assert group_rates(*mixed) == group_rates({"sex": groups}, labels)
    assert group_tests(*mixed) == group_tests({"sex": groups}, labels)


def test_columns_of_another_length_are_named():
    with pytest.raises(DataError, match=r"expected 2 values in each group column.*'sex'"):
        group_rates({"sex": ["f"]}, ["a", "b"])


@given(COUNTS)
def test_effective_classes_lie_between_one_and_all(counts):
    found = imbalance(counts)
    assert 1 - 1e-9 <= found["effective"] <= found["classes"] + 1e-9
    assert found["ratio"] >= 1
    assert imbalance(dict(reversed(counts.items()))) == found == plain(found)


@given(st.integers(1, 50), st.integers(1, 1000))
def test_equal_classes_are_all_effective(classes, rows):
    found = imbalance({str(number): rows for number in range(classes)})
    assert found["effective"] == pytest.approx(classes) and found["ratio"] == 1


def test_a_rare_class_hardly_counts():
    found = imbalance({"a": 9990, "b": 10})
    assert found["effective"] < 1.01 and found["ratio"] == 999
    assert found["smallest"] == {"label": "b", "rows": 10}


def test_a_class_without_rows_has_no_ratio():
    found = imbalance({"a": 5, "b": 0})
    assert found["ratio"] is None and "'b' has no rows" in found["reason"] and found["classes"] == 2
    with pytest.raises(DataError, match="got none"):
        imbalance({"a": 0})
    with pytest.raises(DataError, match="fewer in 'b'"):
        imbalance({"a": 3, "b": -1})
