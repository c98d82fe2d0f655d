import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import contingency

from dlcycle.data.associations import CATEGORIES, associations, compare_shares, counted, holm, largest_gap

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def plain(value):
    """The value as it comes back from strict JSON: fails on numpy scalars and on NaN."""
    return json.loads(json.dumps(value, allow_nan=False))


def by_name(found):
    return {entry["name"]: entry for entry in found}


@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_is_the_step_down_rule_in_any_order(p_values, random):
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.3):
        rejected = set()
        for step, position in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
            if p_values[position] * (len(p_values) - step) >= alpha:
                break
            rejected.add(position)
        assert {i for i, p in enumerate(adjusted) if p < alpha} == rejected
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [adjusted[i] for i in order]


def test_large_tables_follow_the_chi_square_distribution():
    table = [[300, 200, 100], [280, 220, 140]]
    test = compare_shares(table)
    reference = stats.chi2_contingency(table, correction=False)
    assert (test.value, test.p_value) == (reference.statistic, reference.pvalue)
    raw = contingency.association(np.array(table), method="cramer")
    assert 0 < test.effect < raw


def test_sparse_tables_keep_the_rate_of_false_alarms():
    generator = np.random.default_rng(0)
    alarms = 0
    for seed in range(300):
        rows = generator.choice(3, 120, p=[0.8, 0.1, 0.1])
        columns = generator.choice(12, 120, p=[0.78, *[0.02] * 11])
        alarms += compare_shares(contingency.crosstab(rows, columns).count, seed=seed).p_value < 0.05
    # 300 draws at 5 % lie below 26 with a probability of 0.998
    assert alarms <= 26


def test_a_rare_language_in_one_part_only_is_found_in_a_sparse_table():
    assert compare_shares([[800, 0], [96, 4]]).p_value < 0.01
    assert compare_shares([[800, 4], [100, 0]]).p_value > 0.3


@pytest.mark.parametrize("table", [[[5, 3]], [[5], [3]], [[5, 0], [3, 0]], [[0, 0], [5, 3]]])
def test_tables_with_nothing_to_compare_differ_in_nothing(table):
    test = compare_shares(table)
    assert (test.value, test.p_value, test.effect) == (0.0, 1.0, 0.0)


def test_counted_keeps_all_rows_and_pools_the_rare():
    columns = pd.Series([f"c{i:02}" for i in range(40) for _ in range(50 - i)])
    table = counted(pd.Series(["a", "b"] * (len(columns) // 2)), columns)
    assert int(table.to_numpy().sum()) == len(columns)
    assert list(table.columns) == [f"c{i:02}" for i in range(CATEGORIES)] + [None]


def test_counts_are_those_of_pandas_and_hostile_values_count_too():
    generator = np.random.default_rng(0)
    rows, columns = pd.Series(generator.choice(list("abc"), 200)), pd.Series(generator.choice(list("xyz"), 200))
    expected = pd.crosstab(rows, columns)
    assert counted(rows, columns)[list("xyz")].to_numpy().tolist() == expected.to_numpy().tolist()
    hostile = pd.Series(["\ud800", "<b>", "nan", "", None], dtype=object)
    assert counted(hostile, hostile).sum().to_dict() == {"": 1, "<b>": 1, "nan": 1, "\ud800": 1}
    assert counted(pd.Series(["a", "b"]), pd.Series(["x", None], dtype=object)).index.tolist() == ["a"]
    found = associations(range(1, 101), ["\ud800", "<b>"] * 50, ["\x00", "b"] * 50)
    assert found[1]["value"] == pytest.approx(1)


def test_a_percent_sign_in_a_label_is_left_alone():
    assert "'50% off' has 0.0 % of the rows" in largest_gap(pd.DataFrame({"50% off": [0, 1], "b": [2, 1]}, ["x", "y"]))


def test_eta_squared_is_that_of_an_analysis_of_variance():
    generator = np.random.default_rng(1)
    classes = generator.integers(0, 4, 900)
    words = np.rint(np.exp2(5 + 0.4 * classes + generator.normal(0, 1, 900))).astype(int)
    entry = by_name(associations(words, classes, None))["length and class"]
    lengths = [np.log2(1 + words[classes == label]) for label in range(4)]
    f = stats.f_oneway(*lengths).statistic
    # epsilon squared from the F statistic (Okada 2013)
    assert entry["value"] == pytest.approx(3 * (f - 1) / (3 * f + 900 - 4))
    assert entry["low"] < entry["value"] < entry["high"]


def test_cramer_of_a_perfect_association_is_one_and_of_none_is_zero():
    languages, labels = np.array(["en", "de", "fr"] * 100), np.array(["a", "b", "c"] * 100)
    perfect = by_name(associations([3] * 300, labels, languages))["language and class"]
    none = by_name(associations([3] * 300, np.repeat(labels[:3], 100), languages))["language and class"]
    assert [perfect[end] for end in ("value", "low", "high")] == pytest.approx([1, 1, 1])
    assert none["value"] == none["low"] == 0
    assert "clear" in perfect["message"] and "hardly any" in none["message"]


@pytest.mark.parametrize("effect", [0.0, 0.4])
def test_intervals_cover_the_truth_and_chance_is_taken_off(effect):
    covered, values, raw = 0, [], []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        classes = generator.integers(0, 10, 300)
        other = np.where(generator.random(300) < effect, classes, generator.integers(0, 10, 300))
        entry = by_name(associations(np.full(300, 4), classes, other, seed=seed))["language and class"]
        covered += entry["low"] <= effect <= entry["high"]
        values.append(entry["value"])
        raw.append(contingency.association(contingency.crosstab(classes, other).count, method="cramer"))
    # at 95 % coverage 60 intervals miss more than 8 times with a probability of 0.003
    assert covered >= 52
    assert np.mean(values) == pytest.approx(effect, abs=0.04)
    assert np.mean(raw) > effect + (0.1 if effect == 0 else 0.005)


def test_associations_do_not_depend_on_row_order_or_on_names():
    generator = np.random.default_rng(2)
    words, labels, languages = generator.integers(1, 90, (3, 400)) // [[1], [30], [45]]
    order = generator.permutation(400)
    found = associations(words, labels, languages, seed=3)
    assert associations(words[order], labels[order], languages[order], seed=3) == found
    names = [f"label {label}" for label in labels]
    assert associations(words, names, languages, seed=3) == found
    assert associations(words, labels, languages, seed=4) != found
    assert plain(found) == found


def test_what_cannot_be_measured_says_why():
    found = by_name(associations([3, 4, 5, 6], ["a", "a", None, "b"], None))
    assert found["length and class"]["n"] == 3
    assert "not known" in found["language and class"]["reason"]
    one = by_name(associations([3, 4, 5, 6], [0, 0, -1, 0], ["en"] * 4))
    assert all(entry["value"] is None and entry["reason"] in entry["message"] for entry in one.values())
    assert plain(one) == one
    assert all("reason" in entry for entry in associations([], [], []))
