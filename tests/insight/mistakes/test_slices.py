import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from dlcycle.data.associations import holm
from dlcycle.errors import DataError
from dlcycle.insight.metrics import Decisions
from dlcycle.insight.mistakes.clusters import mistake_clusters
from dlcycle.insight.mistakes.slices import MOST_VALUES, find_slices
from dlcycle.project_file import validate_project

NAMES = ["Books", "Shoes", "Toys"]
NO_CLUSTERS = {"mistakes": 3, "reason": "too few mistakes"}
WORDS = [f"word{number}" for number in range(60)]
CAMERA = ["camera", "lens", "tripod", "shutter", "zoom", "flash", "battery", "focus"]


def project(*, groups: list[str] | None = None, origin: str | None = None, slice_rows: int = 20):
    data = {"group_columns": groups or []} | ({"origin_column": origin} if origin else {})
    return validate_project({"data": data, "explain": {"slice_rows": slice_rows}})


def make_test(rows: int = 400, *, seed: int = 0, **about: Any) -> pd.DataFrame:
    """Rows of the test part, their numbers in no order; three languages and five towns."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 60))) for _ in range(rows)]
    frame = {"row": rng.permutation(rows) + 1, "line": np.arange(rows), "text": texts}
    frame |= {"label": rng.choice(NAMES, rows), "about.town": rng.choice([*"abcde"], rows).astype(object)}
    return pd.DataFrame(frame | {f"about.{name}": pd.Series(values, dtype=object) for name, values in about.items()})


def decided(test: pd.DataFrame, wrong: np.ndarray, *, seed: int = 0) -> Decisions:
    truth = np.array([NAMES.index(label) for label in test["label"]])
    sure = np.random.default_rng(seed).uniform(0.4, 1, len(test)).round(2)
    return Decisions(truth, np.where(wrong, (truth + 1) % 3, truth), sure, np.where(wrong, 1 - sure, sure))


def find(test: pd.DataFrame, decisions: Decisions, *, settings=None, languages=None, clusters=None, lengths=None):
    return find_slices(
        test,
        decisions,
        validation_texts=make_test(200, seed=99)["text"].tolist() if lengths is None else lengths,
        labels=NAMES,
        settings=settings or project(groups=["town"]),
        languages=languages,
        clusters=clusters or NO_CLUSTERS,
        seed=0,
    )


def by_name(found: dict[str, Any], kind: str, column: str | None = None) -> dict[str, dict[str, Any]]:
    return {s["value"]: s for s in found["slices"] if (s["kind"], s["column"]) == (kind, column)}


def test_each_slice_is_measured_and_compared_with_all_other_rows() -> None:
    test = make_test()
    wrong = np.random.default_rng(1).random(400) < np.where(test["about.town"] == "c", 0.5, 0.1)
    found = find(test, decided(test, wrong))
    assert found["overall"]["value"] == pytest.approx(1 - wrong.mean())
    assert found["tried"] == len(found["slices"]) == 5 + 4 + 3
    towns = by_name(found, "group", "town")
    assert sorted(towns) == [*"abcde"]
    for town, entry in towns.items():
        inside = (test["about.town"] == town).to_numpy()
        assert entry["rows"] == entry["metric"]["n"] == inside.sum()
        assert entry["metric"]["value"] == pytest.approx(1 - wrong[inside].mean())
        assert entry["rest"]["value"] == pytest.approx(1 - wrong[~inside].mean())
        assert entry["rest"]["n"] == (~inside).sum()
        assert entry["difference"] == pytest.approx(entry["metric"]["value"] - entry["rest"]["value"])
        for metric in (entry["metric"], entry["rest"]):
            assert metric["low"] <= metric["value"] <= metric["high"]
    assert [town for town, entry in towns.items() if entry["worse"]] == ["c"] == [found["slices"][0]["value"]]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_p_value_is_that_of_the_hypergeometric_distribution() -> None:
    """Two-sided: all tables as unlikely as the one seen, or more so, summed one by one."""
    test = make_test(200)
    wrong = np.random.default_rng(2).random(200) < 0.2
    found = find(test, decided(test, wrong))
    for entry in found["slices"]:
        hits = round(entry["metric"]["value"] * entry["rows"])
        law = scipy.stats.hypergeom(200, int((~wrong).sum()), entry["rows"])
        chances = law.pmf(np.arange(entry["rows"] + 1))
        assert entry["p_value"] == pytest.approx(chances[chances <= chances[hits] * (1 + 1e-9)].sum())
    assert [entry["adjusted"] for entry in found["slices"]] == holm([entry["p_value"] for entry in found["slices"]])


def test_slices_proven_worse_come_first_and_better_ones_are_not_worse() -> None:
    test = make_test(1000)
    towns = test["about.town"].to_numpy()
    # b has no mistake: as unlikely as many, but no fault
    wrong = np.random.default_rng(3).random(1000) < np.select([towns == "a", towns == "b"], [0.8, 0.0], 0.4)
    slices = find(test, decided(test, wrong))["slices"]
    assert [(s["value"], s["worse"]) for s in slices if s["adjusted"] < 0.001] == [("a", True), ("b", False)]
    keys = [(not s["worse"], s["metric"]["value"]) for s in slices]
    assert keys == sorted(keys)


def test_the_order_of_the_rows_does_not_matter() -> None:
    test = make_test(origin=["x", "y"] * 200)
    decisions = decided(test, np.random.default_rng(4).random(400) < 0.3)
    languages = np.random.default_rng(5).choice(["en", "hi", ""], 400)
    members = np.random.default_rng(6).integers(-1, 2, 400)
    clusters = {"mistakes": 30, "clusters": [{"words": ["a", "b"]}, {"words": []}], "members": members}
    settings = project(groups=["town"], origin="origin")
    order = np.random.default_rng(7).permutation(400)
    parts = (decisions.truth, decisions.predicted, decisions.confidence, decisions.truth_probability)
    again = Decisions(*(part[order] for part in parts))
    assert find(test, decisions, settings=settings, languages=languages, clusters=clusters) == find(
        test.iloc[order],
        again,
        settings=settings,
        languages=languages[order],
        clusters=clusters | {"members": members[order]},
    )


def test_small_slices_are_counted_but_not_judged() -> None:
    town = ["big"] * 150 + ["middle"] * 30 + ["small"] * 12 + ["tiny"] * 8
    test = make_test(200, town=town)
    found = find(test, decided(test, np.arange(200) % 4 == 0))
    assert sorted(by_name(found, "group", "town")) == ["big", "middle"]
    assert {"kind": "group", "column": "town", "reason": "2 of 4 values have fewer than 20 test rows"} in found[
        "skipped"
    ]
    lower = find(test, decided(test, np.arange(200) % 4 == 0), settings=project(groups=["town"], slice_rows=5))
    assert sorted(by_name(lower, "group", "town")) == ["big", "middle", "small", "tiny"]


def test_many_values_are_cut_to_the_largest() -> None:
    values = [f"shop {number:05}" for number in range(10_000)] + [
        f"chain {n:03}" for n in range(100) for _ in range(25)
    ]
    values += ["chain 042"] * 5
    test = make_test(len(values), town=values)
    found = find(test, decided(test, np.arange(len(values)) % 5 == 0))
    towns = by_name(found, "group", "town")
    assert len(towns) == MOST_VALUES and towns["chain 042"]["rows"] == 30 and "chain 028" in towns
    reasons = [item["reason"] for item in found["skipped"] if item["column"] == "town"]
    assert reasons == [
        "10,000 of 10,100 values have fewer than 20 test rows",
        "70 smaller values left out; the 30 of the most rows are judged",
    ]


def test_missing_values_are_a_slice() -> None:
    test = make_test(200, town=["here"] * 100 + [None] * 60 + [float("nan")] * 40)
    towns = by_name(find(test, decided(test, np.arange(200) >= 150)), "group", "town")
    assert towns["(missing)"]["rows"] == 100 and towns["(missing)"]["worse"]


def test_columns_that_cannot_be_compared_say_what_to_do() -> None:
    test = make_test(200, origin=["x"] * 200).drop(columns="about.town")
    found = find(
        test, decided(test, np.arange(200) % 9 == 0), settings=project(groups=["town", "age"], origin="origin")
    )
    reasons = {(item["kind"], item["column"]): item["reason"] for item in found["skipped"]}
    assert reasons["origin", "origin"] == "all test rows have one value, 'x', so there is nothing to compare"
    assert 'train again with "town" in data.group_columns' in reasons["group", "town"]
    assert ("group", "age") in reasons
    assert "explain.detect_languages = true" in reasons["language", None]
    assert reasons["cluster", None] == "too few mistakes"
    assert found["clusters"] == {"mistakes": 3, "found": 0, "reason": "too few mistakes"}


def test_a_column_of_both_kinds_is_tried_once() -> None:
    test = make_test()
    found = find(test, decided(test, np.arange(400) % 9 == 0), settings=project(groups=["town"], origin="town"))
    assert {s["kind"] for s in found["slices"] if s["column"] == "town"} == {"origin"}
    assert found["tried"] == 5 + 4 + 3


def test_lengths_are_cut_at_the_quartiles_of_the_validation_part() -> None:
    test = make_test(400)
    lengths = [" ".join(["x"] * count) for count in (1, 10, 11, 20, 21, 30, 31, 300)]
    found = by_name(find(test, decided(test, np.arange(400) % 9 == 0), lengths=lengths), "length")
    counts = np.array([len(text.split()) for text in test["text"]])
    expected = {"1-10 words": (1, 10), "11-20 words": (11, 20), "21-30 words": (21, 30), "31 or more words": (31, 999)}
    assert {name: entry["rows"] for name, entry in found.items()} == {
        name: int(((low <= counts) & (counts <= high)).sum()) for name, (low, high) in expected.items()
    }


def test_equal_lengths_and_no_validation_texts_are_no_error() -> None:
    test = make_test(100)
    decisions = decided(test, np.arange(100) % 9 == 0)
    skipped = find(test, decisions, lengths=["one two"] * 9)["skipped"][1]
    assert skipped["reason"].startswith("all test rows have one value, '3 or more words'")
    skipped = find(test, decisions, lengths=[])["skipped"][1]
    assert (skipped["kind"], skipped["reason"]) == ("length", "the validation part, which sets the limits, has no rows")


def test_languages_and_clusters_are_slices() -> None:
    test = make_test(200)
    languages = ["en"] * 100 + [""] * 60 + ["unknown"] * 40
    members = np.repeat([0, 1, -1], [40, 10, 150])
    clusters = {"mistakes": 44, "clusters": [{"words": ["hat", "cap"]}, {"words": ["sea"]}], "members": members}
    found = find(test, decided(test, np.arange(200) < 40), languages=languages, clusters=clusters)
    assert {name: s["rows"] for name, s in by_name(found, "language").items()} == {"en": 100, "unknown": 100}
    assert by_name(found, "language")["en"]["worse"]
    (entry,) = by_name(found, "cluster").values()
    assert (entry["value"], entry["words"], entry["metric"]["value"], entry["worse"]) == (
        "hat, cap",
        ["hat", "cap"],
        0.0,
        True,
    )
    assert {"kind": "cluster", "column": None, "reason": "1 of 2 values has fewer than 20 test rows"} in found[
        "skipped"
    ]
    assert found["clusters"] == {"mistakes": 44, "found": 2, "reason": None}
    empty = find(test, decided(test, np.arange(200) < 40), clusters={**clusters, "members": np.full(200, -1)})
    assert {"kind": "cluster", "column": None, "reason": "no test row is in one of them"} in empty["skipped"]


def test_examples_are_the_surest_mistakes_masked() -> None:
    test = make_test(200, town=["jane.doe@example.com"] * 100 + ["b" * 300] * 100)
    test["text"] = [f"{'x' * 185} jane.doe@example.com {number}" for number in range(200)]
    decisions = decided(test, np.arange(200) % 7 == 0)
    found = find(test, decisions)
    towns = by_name(found, "group", "town")
    assert set(towns) == {"j•••••••@•••••••.com", "b" * 200}
    wrong = np.flatnonzero((np.arange(200) % 7 == 0) & (np.arange(200) < 100))
    surest = sorted(wrong, key=lambda k: (-decisions.confidence[k], test["row"][k]))[:3]
    assert [e["row"] for e in towns["j•••••••@•••••••.com"]["examples"]] == [test["row"][k] for k in surest]
    for entry in found["slices"]:
        for example in entry["examples"]:
            assert example["truth"] != example["predicted"]
            assert "jane" not in example["text"] and len(example["text"]) == 200


def test_a_perfect_and_a_useless_model_have_no_worse_slice() -> None:
    test = make_test(200)
    for wrong in (np.zeros(200, bool), np.ones(200, bool)):
        found = find(test, decided(test, wrong))
        assert all(s["p_value"] == s["adjusted"] == 1 and not s["worse"] for s in found["slices"])
        assert len({s["metric"]["value"] for s in found["slices"]}) == 1


def test_what_does_not_fit_is_refused_all_at_once() -> None:
    test = make_test(20)
    decisions = decided(test, np.zeros(20, bool))
    clusters = {"mistakes": 10, "clusters": [], "members": np.zeros(2)}
    message = "20 languages expected, got 1; 20 members of clusters expected, got 2"
    with pytest.raises(DataError, match=message):
        find(test, decisions, languages=["en"], clusters=clusters)
    with pytest.raises(DataError, match="the test part has no rows"):
        find(test.iloc[:0], decided(test.iloc[:0], np.zeros(0, bool)))


def texts_of_topics(rows: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts, a sixth of them about cameras."""
    rng = np.random.default_rng(seed)
    special = rng.random(rows) < 1 / 6
    pools = [WORDS[:20], WORDS[20:40], WORDS[40:]]
    texts = [
        " ".join([*rng.choice(CAMERA if camera else pools[rng.integers(3)], 6), *rng.choice(WORDS, 4)])
        for camera in special
    ]
    return texts, special


def whole_search(*, seed: int, rate: float, noise: float, rows: int = 400) -> dict[str, Any]:
    """Clusters of the mistakes on validation texts, then slices of test texts; cameras are wrong at `rate`."""
    rng = np.random.default_rng(seed)
    training, _ = texts_of_topics(rows, seed=10_000 + seed)
    validation, of_validation = texts_of_topics(rows, seed=20_000 + seed)
    test = make_test(rows, seed=30_000 + seed)
    test["text"], of_test = texts_of_topics(rows, seed=40_000 + seed)
    wrong_before, wrong = (rng.random(rows) < np.where(special, rate, noise) for special in (of_validation, of_test))
    clusters = mistake_clusters(validation, ~wrong_before, training_texts=training, test_texts=test["text"].tolist())
    languages = rng.choice(["en", "de", "hi"], rows).tolist()
    return find(test, decided(test, wrong), languages=languages, clusters=clusters, lengths=validation)


def test_a_planted_cluster_of_mistakes_is_found_and_proven_on_the_test_part() -> None:
    found = whole_search(seed=0, rate=0.7, noise=0.05)
    worst = found["slices"][0]
    assert worst["kind"] == "cluster" and worst["worse"]
    assert set(worst["words"]) <= set(CAMERA)
    assert worst["metric"]["high"] < 0.6 < 0.8 < worst["rest"]["low"]  # 0.3 and 0.95 are planted
    assert all(s["kind"] == "cluster" for s in found["slices"] if s["worse"])


@pytest.mark.slow
def test_random_mistakes_are_rarely_taken_for_a_cluster() -> None:
    """At 5 % over all slices of a run, half of it for worse ones, 20 runs raise more than 3 alarms once in 800 times.

    Without the adjustment of the p-values 7 of these runs raise one.
    """
    runs = [whole_search(seed=seed, rate=0.2, noise=0.2) for seed in range(20)]
    assert np.mean([run["clusters"]["found"] for run in runs]) >= 1  # there was something to be fooled by
    assert min(run["tried"] for run in runs) >= 3 + 5 + 3
    assert sum(any(s["worse"] for s in run["slices"]) for run in runs) <= 3
    planted = [whole_search(seed=seed, rate=0.7, noise=0.05) for seed in range(4)]
    assert sum(run["slices"][0]["worse"] and run["slices"][0]["kind"] == "cluster" for run in planted) >= 3
