import json
from collections.abc import Sequence
from typing import Any

import fairlearn.metrics
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from dlcycle.insight.fairness.groups import compare_groups
from dlcycle.insight.fairness.rates import rates_of
from dlcycle.insight.metrics import Decisions

LABELS = ["Books", "Toys", "Tools"]
Ints = npt.NDArray[np.int64]


def decided(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Decisions:
    classes = np.asarray(truth, dtype=np.int64)
    sure = np.full(len(classes), 0.9)
    return Decisions(classes, np.asarray(predicted, dtype=np.int64), sure, sure)


def table(**columns: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame({f"about.{name}": np.array(values, dtype=object) for name, values in columns.items()})


def compare(
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    labels: Sequence[str] = LABELS,
    least_rows: int = 20,
    before: npt.ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 300,
    **columns: Sequence[object],
) -> dict[str, Any]:
    return compare_groups(
        table(**columns),
        decided(truth, predicted),
        labels=labels,
        columns=list(columns),
        least_rows=least_rows,
        before=None if before is None else decided(truth, before),
        seed=seed,
        resamples=resamples,
    )


def gap(result: dict[str, Any], name: str, label: str | None = None, column: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in result["columns"][column]["gaps"] if (each["name"], each["label"]) == (name, label)
    )
    return found


def made(
    rows: int, seed: int, *, groups: int = 3, error: float = 0.15, worse: float = 0.0
) -> tuple[Ints, Ints, list[str]]:
    """Rows of groups that are alike, but for the error rate of the first, which is higher by `worse`."""
    generator = np.random.default_rng(seed)
    truth, owner = generator.integers(3, size=rows), generator.integers(groups, size=rows)
    wrong = generator.random(rows) < error + worse * (owner == 0)
    predicted = np.where(wrong, (truth + generator.integers(1, 3, size=rows)) % 3, truth)
    return truth, predicted, [f"group {number}" for number in owner]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gaps_are_those_of_fairlearn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, predicted, groups = (generator.integers(size, size=300) for size in (2, 2, 4))
    result = compare(truth, predicted, labels=["no", "yes"], region=[f"r{group}" for group in groups])
    assert gap(result, "demographic_parity", "yes")["value"]["value"] == pytest.approx(
        fairlearn.metrics.demographic_parity_difference(truth, predicted, sensitive_features=groups)
    )
    assert gap(result, "equalised_odds", "yes")["value"]["value"] == pytest.approx(
        fairlearn.metrics.equalized_odds_difference(truth, predicted, sensitive_features=groups)
    )
    accuracy = pd.Series(truth == predicted).groupby(groups).mean()
    assert gap(result, "accuracy")["value"]["value"] == pytest.approx(accuracy.max() - accuracy.min())
    assert gap(result, "accuracy")["between"] == [f"r{accuracy.idxmin()}", f"r{accuracy.idxmax()}"]


def test_rates_of_a_group_are_one_class_against_the_rest() -> None:
    truth, predicted, groups = made(900, seed=0)
    result = compare(truth, predicted, shop=groups)
    entries = result["columns"][0]["groups"]
    assert sorted(entry["rows"] for entry in entries) == sorted(pd.Series(groups).value_counts())
    for entry in entries:
        own = np.array(groups) == entry["value"]
        assert entry["accuracy"]["value"] == pytest.approx((truth == predicted)[own].mean())
        for place, label in enumerate(LABELS):
            rates = entry["rates"][label]
            assert rates["selected"]["value"] == pytest.approx((predicted[own] == place).mean())
            assert rates["true_positive"]["value"] == pytest.approx(
                recall_score(truth[own] == place, predicted[own] == place)
            )
            assert rates["false_positive"]["value"] == pytest.approx(
                1 - recall_score(truth[own] != place, predicted[own] != place)
            )
            assert rates["true_positive"]["n"] == (truth[own] == place).sum()
            assert all(rate["low"] <= rate["value"] <= rate["high"] for rate in rates.values())
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_planted_gap_is_found_and_told_in_words() -> None:
    """Of the north's toys 30 % are taken for books, of the south's 5 %."""
    generator = np.random.default_rng(1)
    truth, north = generator.integers(3, size=1500), generator.random(1500) < 0.5
    missed = generator.random(1500) < np.where(north, 0.3, 0.05)
    predicted = np.where((truth == 1) & missed, 0, truth)
    region = np.where(north, "north", "south").tolist()
    result = compare(truth, predicted, region=region, coin=generator.integers(2, size=1500).astype(str).tolist())
    found = gap(result, "equalised_odds", "Toys")
    assert found["unequal"]
    assert found["between"] == ["north", "south"]
    assert found["value"]["low"] < 0.25 < found["value"]["high"]
    assert found["value"]["low"] > 0.1 > found["chance"]
    assert found["message"].startswith("Of the rows of 'south' that are 'Toys', 9")
    assert " % are recognised, of those of 'north' " in found["message"]
    assert "That is more than chance explains (p = " in found["message"]
    assert " among 14 differences)" in found["message"]
    books = gap(result, "equalised_odds", "Books")
    assert books["unequal"]
    assert "'north' that are not 'Books'" in books["message"]
    assert "wrongly taken for it" in books["message"]
    assert not any(each["unequal"] for each in result["columns"][1]["gaps"])  # groups drawn by lot


def test_groups_of_different_mix_differ_in_what_they_get_but_not_in_odds() -> None:
    generator = np.random.default_rng(2)
    east = generator.random(3000) < 0.5
    truth = np.where(generator.random(3000) < np.where(east, 0.7, 0.2), 0, 1 + generator.integers(2, size=3000))
    predicted = np.where(generator.random(3000) < 0.1, generator.integers(3, size=3000), truth)
    result = compare(truth, predicted, side=np.where(east, "east", "west").tolist())
    assert gap(result, "demographic_parity", "Books")["unequal"]
    assert "are given the class 'Books'" in gap(result, "demographic_parity", "Books")["message"]
    assert not any(gap(result, "equalised_odds", label)["unequal"] for label in LABELS)


def alarms(seeds: int, worse: float) -> float:
    """How often any gap of two columns is called unequal."""
    called = 0
    for seed in range(seeds):
        truth, predicted, groups = made(400, seed, worse=worse)
        other = np.random.default_rng(seed + 999).integers(2, size=400).astype(str).tolist()
        result = compare(truth, predicted, first=groups, second=other, seed=seed, resamples=20)
        called += any(each["unequal"] for column in result["columns"] for each in column["gaps"])
    return called / seeds


@pytest.fixture
def quick_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates without fairlearn's frames, which take most of a comparison's time; `test_rates` shows that they agree."""
    quick = lambda cells, counts: rates_of(cells.sums(counts[None, :]))  # noqa: E731
    monkeypatch.setattr("dlcycle.insight.fairness.groups.fairlearn_rates", quick)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_rates")
def test_groups_that_are_alike_are_seldom_called_unequal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcycle.insight.fairness.groups._SHUFFLES", 799)
    monkeypatch.setattr("dlcycle.insight.fairness.groups._SHUFFLES_PER_GAP", 1)
    # 5 % of 80 simulations have a standard deviation of 2.4 points.
    assert alarms(80, worse=0.0) <= 0.125
    assert alarms(10, worse=0.25) >= 0.9  # the control


@pytest.mark.usefixtures("quick_rates")
@pytest.mark.parametrize(("groups", "worse"), [(2, 0.12), (4, 0.2)])
def test_the_interval_of_a_gap_holds_the_true_gap(groups: int, worse: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcycle.insight.fairness.groups._SHUFFLES", 199)
    monkeypatch.setattr("dlcycle.insight.fairness.groups._SHUFFLES_PER_GAP", 1)
    hits = 0
    for seed in range(1000, 1100):
        truth, predicted, names = made(600, seed, groups=groups, worse=worse)
        metric = gap(compare(truth, predicted, seed=seed, group=names), "accuracy")["value"]
        hits += metric["low"] <= worse <= metric["high"]
    assert hits / 100 >= 0.885  # 100 simulations of 95 % have a standard deviation of 2.2 points


def test_a_gap_that_shuffled_groups_reach_has_0_in_its_interval() -> None:
    truth, predicted, groups = made(600, seed=4, groups=6)
    for each in compare(truth, predicted, group=groups)["columns"][0]["gaps"]:
        assert each["p_value"] < 0.05 or each["value"]["low"] == 0.0
        assert each["value"]["value"] > 0


def test_groups_without_a_mistake_are_not_certain_to_be_treated_alike() -> None:
    truth = [0, 1, 2] * 20
    result = compare(truth, truth, group=["a"] * 30 + ["b"] * 30)
    metric = gap(result, "accuracy")["value"]
    assert (metric["value"], metric["low"]) == (0.0, 0.0)
    assert metric["high"] == pytest.approx(0.114, abs=0.001)  # Wilson's end of 0 mistakes in 30 rows
    assert gap(result, "accuracy")["p_value"] == 1.0


def test_what_changed_against_another_model_is_paired() -> None:
    truth, worse, groups = made(1500, seed=5, error=0.1, worse=0.25)
    generator = np.random.default_rng(0)
    repaired = np.where((np.array(groups) == "group 0") & (generator.random(1500) < 0.7), truth, worse)
    result = compare(truth, repaired, before=worse, group=groups)
    found = gap(result, "accuracy")
    alone = gap(compare(truth, worse, group=groups), "accuracy")
    assert found["before"]["value"] == pytest.approx(alone["value"]["value"])
    assert found["change"]["value"] == pytest.approx(found["value"]["value"] - found["before"]["value"])
    assert found["change"]["high"] < 0
    assert "(before 2" in found["message"]
    # Most decisions are the same in both, so the change is surer than two gaps measured apart.
    width = found["change"]["high"] - found["change"]["low"]
    apart = np.hypot(*(found[each]["high"] - found[each]["low"] for each in ("value", "before")))
    assert width < 0.9 * apart
    same = gap(compare(truth, worse, before=worse, group=groups), "equalised_odds", "Toys")
    assert (same["change"]["value"], same["change"]["low"], same["change"]["high"]) == (0.0, 0.0, 0.0)
    assert gap(compare(truth, worse, group=groups), "accuracy")["before"] is None


def test_columns_that_cannot_be_compared_are_skipped_with_what_to_do() -> None:
    truth, predicted, groups = made(100, seed=6)
    result = compare_groups(
        table(same=["x"] * 100, rare=["y"] * 90 + ["z"] * 10, group=groups),
        decided(truth, predicted),
        labels=LABELS,
        columns=["same", "rare", "gone", "group", "group"],
        least_rows=20,
        seed=0,
        resamples=50,
    )
    assert [each["column"] for each in result["skipped"]] == ["same", "rare", "gone"]
    same, rare, gone = (each["reason"] for each in result["skipped"])
    assert same.startswith("every test row has the same value, 'x': ")
    assert rare.startswith("1 of 2 groups has the 20 test rows that a comparison needs: ")
    assert "explain.slice_rows" in rare
    assert gone == "the rows have no column 'gone': correct data.group_columns and train again"
    assert [each["column"] for each in result["columns"]] == ["group"]
    assert "reason" not in result


def test_without_columns_the_reason_says_what_to_do() -> None:
    result = compare_groups(
        table(group=["a", "b"]), decided([0, 1], [0, 1]), labels=LABELS, columns=[], least_rows=20, seed=0
    )
    assert (result["columns"], result["skipped"]) == ([], [])
    assert "data.group_columns" in result["reason"]
    assert {"accuracy", "demographic_parity", "equalised_odds"} <= set(result["explanations"])


def test_small_groups_are_named_and_only_the_largest_are_compared() -> None:
    sizes = [*range(30, 54), 3]
    groups = [f"g{number}" for number, size in enumerate(sizes) for _ in range(size)]
    truth = np.arange(len(groups)) % 3
    column = compare(truth, truth, group=groups, resamples=20)["columns"][0]
    assert [entry["value"] for entry in column["groups"]] == [f"g{number}" for number in range(23, 3, -1)]
    assert column["findings"][0] == "1 group of fewer than 20 rows left out: 'g24'"
    assert column["findings"][1] == "only the 20 largest of 24 groups are compared"


def test_a_group_with_few_rows_of_a_class_does_not_make_its_largest_difference() -> None:
    """The only toy of the third group is missed: a rate of 0 % that says nothing."""
    truth = np.array([0, 1, 2] * 40 + [0, 2] * 20 + [1])
    predicted = truth.copy()
    predicted[-1] = 0
    groups = ["a", "a", "a", "b", "b", "b"] * 20 + ["c"] * 41
    column = compare(truth, predicted, group=groups)["columns"][0]
    toys = next(each for each in column["gaps"] if (each["name"], each["label"]) == ("equalised_odds", "Toys"))
    assert toys["value"]["value"] == 0.0
    assert any("'Toys'" in finding and "'c'" in finding for finding in column["findings"])
    third = next(entry for entry in column["groups"] if entry["value"] == "c")["rates"]["Toys"]["true_positive"]
    assert (third["value"], third["n"]) == (0.0, 1)
    assert third["high"] > 0.75


def test_a_class_that_a_group_lacks_has_no_rate_there() -> None:
    truth = [0, 1] * 30 + [0, 2] * 30
    column = compare(truth, truth, group=["a"] * 60 + ["b"] * 60)["columns"][0]
    lacking = next(entry for entry in column["groups"] if entry["value"] == "b")["rates"]["Toys"]["true_positive"]
    assert (lacking["value"], lacking["n"]) == (None, 0)
    assert lacking["reason"] == "no row of the group is of this class"
    assert not any((each["name"], each["label"]) == ("equalised_odds", "Toys") for each in column["gaps"])
    assert "equalised odds of 'Toys' are not compared" in " ".join(column["findings"])


def test_of_many_classes_the_most_frequent_are_compared() -> None:
    truth = np.concatenate([np.full(60 - 4 * each, each) for each in range(12)])
    generator = np.random.default_rng(0)
    predicted = np.where(generator.random(len(truth)) < 0.2, generator.integers(12, size=len(truth)), truth)
    labels = [f"class {each}" for each in range(12)]
    result = compare(truth, predicted, labels=labels, group=generator.integers(2, size=len(truth)).astype(str).tolist())
    column = result["columns"][0]
    assert list(column["groups"][0]["rates"]) == labels[:10]
    assert "only the 10 most frequent classes are compared; 2 classes are left out" in column["findings"]
    # Rows and mistakes of the other classes still count.
    assert sum(entry["rows"] for entry in column["groups"]) == len(truth)
    hits = sum(entry["accuracy"]["value"] * entry["rows"] for entry in column["groups"])
    assert hits == pytest.approx((truth == predicted).sum())


def test_two_classes_mirror_each_other_and_count_once() -> None:
    truth, predicted, groups = made(300, seed=7)
    result = compare(truth.clip(max=1), predicted.clip(max=1), labels=["no", "yes"], group=groups)
    assert "among 3 differences" in gap(result, "accuracy")["message"]
    for name in ("demographic_parity", "equalised_odds"):
        assert gap(result, name, "no")["adjusted"] == gap(result, name, "yes")["adjusted"]
        assert gap(result, name, "no")["p_value"] == gap(result, name, "yes")["p_value"]


def test_values_are_masked_missing_ones_are_a_group_and_all_names_differ() -> None:
    values = [None, "ann@example.org", "bob@example.org", "(missing)", "\u202e\x00"] * 30
    truth, predicted, _ = made(150, seed=8)
    result = compare(truth, predicted, group=values)
    names = [entry["value"] for entry in result["columns"][0]["groups"]]
    assert len(set(names)) == 5
    assert {"(missing)", "(missing) (2)"} <= set(names)
    assert "example" not in json.dumps(result)
    messages = " ".join(each["message"] for each in result["columns"][0]["gaps"])
    assert "\u202e" not in messages
    assert "\x00" not in messages


def test_a_column_of_ten_thousand_addresses_is_told_of_by_a_few() -> None:
    """All of them look alike when masked."""
    addresses = [f"ann{number:05d}@example.org" for number in range(10_000)]
    truth = np.arange(10_000) % 3
    [skipped] = compare(truth, truth, mail=addresses)["skipped"]
    assert skipped["reason"].startswith("0 of 10,000 groups have the 20 test rows")
    few = [*addresses[:9_000], *["bob@example.org"] * 600, *["eve@example.org"] * 400]
    column = compare(truth, truth, mail=few, resamples=20)["columns"][0]
    assert [(entry["value"], entry["rows"]) for entry in column["groups"]] == [
        ("b••@•••••••.org", 600),
        ("e••@•••••••.org", 400),
    ]
    assert column["findings"][0].startswith("9,000 groups of fewer than 20 rows left out: 'a•••••••@•••••••.org', '")
    assert column["findings"][0].endswith("'a•••••••@•••••••.org (5)' and 8,995 more")
    [same] = compare(truth[:50], truth[:50], mail=addresses[:1] * 50)["skipped"]
    assert same["reason"].startswith("every test row has the same value, 'a•••••••@•••••••.org': ")


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    truth, predicted, groups = made(300, seed=9)
    order = np.random.default_rng(0).permutation(300)
    first = compare(truth, predicted, group=groups)
    assert compare(truth[order], predicted[order], group=[groups[index] for index in order]) == first
    assert compare(truth, predicted, group=groups, seed=1) != first


def test_decisions_on_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="expected decisions on 2 rows, got 3"):
        compare([0, 1, 2], [0, 1, 2], group=["a", "b"])
    with pytest.raises(ValueError, match="same rows"):
        compare_groups(
            table(group=["a", "b"]),
            decided([0, 1], [0, 1]),
            labels=LABELS,
            columns=["group"],
            least_rows=1,
            before=decided([1, 1], [0, 1]),
            seed=0,
        )
