import json

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from dlcycle.data.duplicates import duplicate_groups, near_duplicate_pairs
from dlcycle.model.learning_curve import _describe, _Measured, fit_power_law, learning_curve

SIZES = np.array([100, 152, 230, 350, 530, 800])


def measured_from(error: np.ndarray, *, rows: int = 1000, seed: int = 0) -> _Measured:
    """Decisions of five folds that are wrong with the given probability at each size."""
    rng = np.random.default_rng(seed)
    right = [(rng.random((rows // 5, 1)) >= error).astype(float) for _ in range(5)]
    return _Measured(SIZES, right, [np.ones(rows // 5)] * 5)


def make_texts(rows: int, *, wrong: float = 0.0) -> tuple[list[str], list[str]]:
    """Two classes with words of their own, few of them frequent (Zipf), so that there is always more to learn."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    words = np.minimum(rng.zipf(1.15, (rows, 3)), 5000)
    texts = [
        " ".join(f"{'ab'[k]}{w}" for w in own) + f" both{rng.integers(0, 50)}"
        for k, own in zip(labels, words, strict=True)
    ]
    stated = np.where(rng.random(rows) < wrong, rng.integers(0, 2, rows), labels)
    return texts, ["red" if k else "blue" for k in stated]


@pytest.mark.parametrize("floor", [True, False])
def test_the_fit_is_the_one_that_scipy_finds(floor: bool) -> None:
    rng = np.random.default_rng(0)
    error = (0.05 if floor else 0.0) + SIZES**-0.6 + rng.normal(0, 0.0005, len(SIZES))
    law = fit_power_law(SIZES, error[None], weights=np.ones((1, 6)), floor=floor)
    if floor:
        found = scipy.optimize.curve_fit(lambda n, a, b, c: a + b * n**-c, SIZES, error, p0=[0.04, 1, 0.5])[0]
        expected = found[0] + found[1] * 1500 ** -found[2]
    else:
        slope, start = np.polyfit(np.log(SIZES), np.log(error), 1)
        expected = np.exp(start + slope * np.log(1500))
    # The exponent lies on a grid of 6 % steps.
    assert law.errors([1500])[0, 0] == pytest.approx(expected, abs=0.001)


def test_floors_stay_between_no_error_and_only_errors() -> None:
    errors = np.random.default_rng(1).random((200, 6))
    law = fit_power_law(SIZES, errors, weights=np.ones((1, 6)), floor=True)
    assert ((law.floor >= 0) & (law.floor <= 1)).all()
    assert np.isfinite(law.errors([1e6])).all()


def test_forecasts_hold_the_truth_of_known_laws() -> None:
    """Laws with and without a floor; 40 intervals of 95 %: fewer than 33 hits would be a chance of 1 in 500."""
    hits = 0
    for seed in range(20):
        for floor in (0.0, 0.04):
            law = lambda n, floor=floor: floor + 1.2 * np.asarray(n, float) ** -0.45  # noqa: E731
            found = _describe(measured_from(law(SIZES), rows=2000, seed=seed), total=1000, rows=1000, seed=seed)
            last = found["forecast"][-1]
            assert last["rows"] == 1500
            hits += last["low"] <= 1 - law(1500) <= last["high"]
    assert hits >= 33


def test_a_flat_curve_buys_nothing() -> None:
    found = _describe(measured_from(np.full(6, 0.2)), total=1000, rows=1000, seed=0)
    assert found["sentence"].startswith("No measurable gain from 500 more labels")
    assert found["gain"]["low"] <= 0 <= found["gain"]["high"]
    perfect = _describe(measured_from(np.zeros(6)), total=1000, rows=1000, seed=0)
    assert perfect["sentence"].startswith("No measurable gain")
    assert perfect["forecast"][-1]["value"] == pytest.approx(1, abs=0.001)


def test_a_steep_curve_buys_something_and_a_crooked_one_makes_no_forecast() -> None:
    steep = _describe(measured_from(3.0 * SIZES**-0.5, rows=5000), total=1000, rows=1000, seed=0)
    assert steep["sentence"].startswith("500 more labels buy ")
    assert 0 < steep["gain"]["low"] <= steep["gain"]["value"] <= steep["gain"]["high"]
    crooked = _describe(
        measured_from(np.array([0.1, 0.4, 0.1, 0.4, 0.1, 0.4]), rows=5000), total=1000, rows=1000, seed=0
    )
    assert crooked["sentence"].startswith("No forecast") and crooked["forecast"] == [] and len(crooked["points"]) == 6


def test_rows_far_beyond_the_sample_are_not_forecast() -> None:
    found = _describe(measured_from(3.0 * SIZES**-0.5), total=100_000, rows=1000, seed=0)
    assert max(point["rows"] for point in found["forecast"]) == 1500
    assert "on top of 1,000 (the table has 100,000 rows" in found["sentence"]


def test_the_curve_of_real_decisions() -> None:
    texts, labels = make_texts(600)
    found = learning_curve(texts, labels, groups=np.arange(600))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    points = found["points"]
    assert points[0]["rows"] == 60 and points[-1]["rows"] == 480 and len(points) == 6
    assert 1 - points[-1]["value"] < 0.6 * (1 - points[0]["value"])
    assert all(p["low"] <= p["value"] <= p["high"] for p in points + found["forecast"])
    assert found["more"] == 300 and found["forecast"][-1]["rows"] == 900
    order = np.random.default_rng(2).permutation(600)
    again = learning_curve([texts[k] for k in order], [labels[k] for k in order], groups=order)
    assert again == found


def test_labels_without_meaning_buy_nothing() -> None:
    texts, labels = make_texts(600, wrong=1.0)
    found = learning_curve(texts, labels, groups=np.arange(600))
    assert found["gain"] is None or found["gain"]["low"] <= 0.0005


def test_units_are_not_decided_by_a_model_that_learnt_from_them() -> None:
    """Each text is there four times under a label drawn at random: only a leak could foresee it."""
    rng = np.random.default_rng(0)
    texts = [f"name{k} name{k} {copy}" for k in range(200) for copy in ["one", "two", "three", "four"]]
    labels = np.repeat(rng.choice(["red", "blue"], 200), 4).tolist()
    united = learning_curve(texts, labels, groups=np.repeat(np.arange(200), 4))["points"][-1]["value"]
    leaked = learning_curve(texts, labels, groups=np.arange(800))["points"][-1]["value"]
    assert united < 0.6 < leaked


def test_a_large_table_is_sampled_and_a_small_one_refused() -> None:
    texts, labels = make_texts(600)
    found = learning_curve(texts, labels, groups=np.arange(600), limit=300)
    assert (found["rows"], found["measured"]) == (600, 300)
    assert found["points"][-1]["rows"] == 240
    assert "at least 200 rows" in learning_curve(texts[:150], labels[:150], groups=np.arange(150))["reason"]
    assert "1 classes" in learning_curve(texts, ["red"] * 600, groups=np.arange(600))["reason"]


@pytest.mark.slow
def test_a_forecast_from_half_of_real_data_holds_on_the_whole(ecommerce_csv) -> None:
    frame = pd.read_csv(ecommerce_csv).dropna().drop_duplicates("description")
    groups = duplicate_groups(len(frame), near_duplicate_pairs(frame["description"].tolist(), threshold=0.8).rows)
    half = np.random.default_rng(0).permutation(len(frame))[: len(frame) // 2]
    part = frame.iloc[half]
    early = learning_curve(part["description"].tolist(), part["category"].tolist(), groups=groups[half])
    whole = learning_curve(frame["description"].tolist(), frame["category"].tolist(), groups=groups)
    # The last forecast of the half is for 6,508 rows, and the largest measured size of the whole is 7,213.
    last, true = early["forecast"][-1], whole["points"][-1]
    assert last["low"] <= true["value"] <= last["high"]
    assert 0 < whole["gain"]["low"] < whole["gain"]["high"] < 0.01
