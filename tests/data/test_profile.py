import itertools
import json
import math
import pickle
import random
import string
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.data import profile, sketches
from dlcycle.data.profile import describe_profile, merge_profiles, profile_shard
from dlcycle.errors import DataError

ROLES = {"text": "input", "title": "input", "class": "target"}


def frame_of(columns):
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def shard(frame, places=None, *, inputs=("text",), target="class", seed=0):
    places = np.arange(len(frame)) if places is None else np.asarray(places, np.int64)
    part = frame.iloc[places]
    return profile_shard(part, rows=places + 1, lines=places + 2, inputs=inputs, target=target, roles=ROLES, seed=seed)


def described(columns, **options):
    return describe_profile(shard(frame_of(columns), **options), shards=1)


def column_of(values, name="x"):
    (column,) = described({name: values})["columns"]
    return column


values = st.one_of(
    st.none(),
    st.sampled_from(["1", "2.5", "2024-01-31", "3.4.2021", "yes", "Books", "Toys", "red shirt", " ", "\u200b"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12).map(lambda text: text or None),
)
tables = st.lists(st.tuples(values, values, st.one_of(values, st.sampled_from(["a", "b"]))), max_size=40)


@settings(max_examples=60, deadline=None)
@given(tables, st.integers(1, 6), st.randoms(use_true_random=False))
def test_shards_in_any_order_give_the_profile_of_the_whole(table, n, rng):
    frame = frame_of({name: [row[i] for row in table] for i, name in enumerate(["text", "title", "class"])})
    whole = describe_profile(shard(frame, inputs=["title", "text"]), shards=n)
    places = list(range(len(frame)))
    rng.shuffle(places)
    parts = [places[i::n] for i in range(n)]
    rng.shuffle(parts)
    states = [shard(frame, part, inputs=["title", "text"]) for part in parts]
    before = pickle.dumps(states)
    assert describe_profile(merge_profiles(states), shards=n) == whole
    nested = merge_profiles([states[0], merge_profiles(states[1:])]) if n > 1 else states[0]
    assert describe_profile(nested, shards=n) == whole
    assert pickle.dumps(states) == before
    json.dumps(whole, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_counts_agree_with_plain_counting(table):
    texts, labels = [row[0] for row in table], [row[2] for row in table]
    result = described({"text": texts, "class": labels})
    column = result["columns"][0]
    present = Counter(text for text in texts if text is not None)
    assert result["rows"] == column["rows"] == len(table)
    assert column["missing"] == texts.count(None)
    assert column["distinct"] == dict.fromkeys(["value", "low", "high"], len(present)) | {"exact": True}
    assert sum(column["types"].values()) == present.total()
    ten = sorted(present.values(), reverse=True)[:10]
    assert [item["count"] for item in column["top"]] == [item["high"] for item in column["top"]] == ten
    classes = result["classes"]
    assert [item["rows"] for item in classes] == sorted((item["rows"] for item in classes), reverse=True)
    assert not classes or math.isclose(sum(item["share"] for item in classes), 1)


def test_lengths_agree_with_numpy():
    words = np.random.default_rng(0).lognormal(4, 1, 3000).astype(int) + 1
    result = described({"text": ["w " * n for n in words], "class": ["a"] * len(words)})
    lengths = result["text"]["words"]
    assert lengths["n"] == 3000 and (lengths["min"], lengths["max"]) == (words.min(), words.max())
    assert lengths["mean"] == pytest.approx(words.mean())
    for rank, value in lengths["quantiles"].items():
        assert value == np.quantile(words, float(rank), method="inverted_cdf")
    bounds = [item["low"] for item in lengths["histogram"]] + [lengths["histogram"][-1]["high"]]
    assert [item["high"] for item in lengths["histogram"]] == bounds[1:] and 10 <= len(bounds) <= 33
    assert [item["count"] for item in lengths["histogram"]] == [
        int(((words >= low) & (words < high)).sum()) for low, high in itertools.pairwise(bounds)
    ]
    (only,) = result["classes"]
    assert only["words"]["median"] == pytest.approx(np.median(words), rel=1 / 64)
    assert only["words"]["p95"] == pytest.approx(np.quantile(words, 0.95), rel=1 / 32)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=50))
def test_long_lengths_lose_little(lengths):
    state = sketches.count_lengths(np.array(lengths))
    result = sketches.describe_lengths(state)
    assert (state["n"], state["sum"]) == (len(lengths), sum(lengths))
    assert (result["min"], result["max"]) == (min(lengths), max(lengths))
    assert sum(item["count"] for item in result["histogram"]) == len(lengths)
    for rank in (0.05, 0.5, 0.95):
        exact = np.quantile(lengths, rank, method="inverted_cdf")
        assert exact * (1 - 1 / 2048) <= result["quantiles"][str(rank)] <= exact
        assert exact >= 4096 or result["quantiles"][str(rank)] == exact


@pytest.mark.parametrize("n", [sketches.EXACT_DISTINCT, sketches.EXACT_DISTINCT + 1, 20_000, 200_000])
def test_distinct_values_in_any_order(n):
    hashes = pd.util.hash_array(np.arange(n))
    result = sketches.describe_distinct(sketches.distinct_values(hashes))
    assert result["exact"] == (n <= sketches.EXACT_DISTINCT)
    assert result["low"] <= n <= result["high"] and abs(result["value"] - n) <= 0.02 * n
    shuffled = np.random.default_rng(1).permutation(np.tile(hashes, 2))
    parts = [sketches.distinct_values(part) for part in np.array_split(shuffled, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = sketches.merge_distinct(part, merged)
    assert sketches.describe_distinct(merged) == result
    # a control: other values change the result
    more = sketches.merge_distinct(merged, sketches.distinct_values(pd.util.hash_array(np.arange(n, 2 * n))))
    assert sketches.describe_distinct(more)["low"] > 1.8 * n


def test_frequent_values_are_bounded_among_many():
    rng = random.Random(0)
    stream = ["often"] * 9000 + ["common"] * 4000 + [f"v{i}" for i in range(20_000)]
    rng.shuffle(stream)
    counts = Counter(stream)
    states = [
        sketches.frequent_values(list(part), list(part.values())) for part in (Counter(stream[i::5]) for i in range(5))
    ]
    merged = states[0]
    for state in states[1:]:
        merged = sketches.merge_frequent(merged, state)
    top = sketches.top_values(merged)
    assert [value for value, _, _ in top[:2]] == ["often", "common"]
    for value, low, high in top:
        assert low <= counts[value] <= high and high - low <= len(stream) / 1170


def test_frequent_values_are_exact_up_to_the_room_of_the_sketch():
    stream = [f"v{i}" for i in range(sketches.EXACT_FREQUENT)]
    one = sketches.frequent_values(stream, [1] * len(stream))
    assert sketches.top_values(sketches.merge_frequent(one, one))[0] == ("v0", 2, 2)


@pytest.mark.parametrize(
    ("kind", "texts", "smallest", "largest"),
    [
        ("integer", ["3", "-12", "+7", " 5"], "-12", "7"),
        ("integer", ["9007199254740993", "9007199254740992"], "9007199254740992", "9007199254740993"),
        ("number", ["3", "1.5", "2e3", "-.5"], "-0.5", "2000.0"),
        ("date", ["2024-01-31", "2023-12-01", "2024-02-29T10:00:00Z"], "2023-12-01", "2024-02-29T10:00:00Z"),
        ("date", ["31.12.2024", "1.2.2025"], "2024-12-31", "2025-02-01"),
        ("date", ["12/31/2024", "1/2/2025"], "2024-12-31", "2025-01-02"),
        ("boolean", ["yes", "No", "TRUE", "f"], None, None),
        ("text", ["007", "1e999", "nan", "2024-13-01", "1,234", "٣", "inf"], None, None),
        ("text", ["red", "blue", "green"], None, None),
        ("category", ["red", "blue"] * 3, None, None),
        ("empty", [None, None], None, None),
    ],
)
def test_types(kind, texts, smallest, largest):
    column = column_of(texts)
    assert (column["type"], column["smallest"], column["largest"]) == (kind, smallest, largest)
    assert (column["words"] is not None) == (kind in ("text", "category"))


def test_a_few_slips_do_not_change_the_type_and_many_do():
    assert column_of([str(i) for i in range(97)] + ["n/a"] * 3)["type"] == "integer"
    assert column_of([str(i) for i in range(90)] + ["n/a"] * 10)["type"] == "text"
    assert column_of(["2024-01-31"] * 19 + ["soon"])["types"] == {
        "integer": 0,
        "number": 0,
        "date": 19,
        "boolean": 0,
        "text": 1,
    }


def test_ranges_of_shards_are_merged():
    dates = ["3.4.2021", "1.2.2021", "31.12.2020", "2.1.2022"]
    frame = frame_of({"when": dates, "zero": ["0.0", "-0.0", "0.5", "0.25"]})
    for order in itertools.permutations(range(4)):
        result = describe_profile(merge_profiles([shard(frame, [place]) for place in order]), shards=4)
        when, zero = result["columns"]
        assert (when["type"], when["smallest"], when["largest"]) == ("date", "2020-12-31", "2022-01-02")
        assert (zero["type"], zero["smallest"], zero["largest"]) == ("number", "0.0", "0.5")


def test_rows_without_a_label_are_in_no_class():
    result = described({"text": ["a", "b", "c"], "class": ["k", None, " "]})
    assert [(item["label"], item["rows"], item["share"]) for item in result["classes"]] == [("k", 1, 1.0)]
    assert [sample["text"] for sample in result["samples"]] == ["a"]
    assert result["text"]["words"]["n"] == 3


def test_long_values_that_repeat_are_texts_and_labels_are_categories():
    assert column_of(["one word after another " * 6] * 10)["type"] == "text"
    result = described({"class": ["1", "2", "3"], "text": ["a", "b", "c"]})
    assert [column["type"] for column in result["columns"]] == ["category", "text"]
    assert [column["role"] for column in result["columns"]] == ["target", "input"]


def test_text_is_what_the_model_reads():
    columns = {"text": ["a b", None, " \u200b", "c\u00a0d e"], "title": ["x", "y z", None, None]}
    result = described({**columns, "class": ["k", "k", "k", " k "]}, inputs=["title", "text", "absent"])
    words, characters = result["text"]["words"], result["text"]["characters"]
    # "x\na b", "y z" and "c d e"; the third row shows nothing
    assert (words["n"], words["min"], words["max"], words["mean"]) == (3, 2, 3, 8 / 3)
    assert (characters["min"], characters["max"]) == (3, 5)
    assert result["classes"] == [
        {"label": "k", "rows": 4, "share": 1.0, "words": {"median": 3.0, "p05": 2.0, "p95": 3.0}}
    ]
    assert sorted(sample["text"] for sample in result["samples"]) == ["c\u00a0d e", "x\na b", "y z"]


def test_without_inputs_or_target():
    result = described({"other": ["a", "b"]})
    assert result["text"] == {"words": None, "characters": None}
    assert result["classes"] == [] and result["samples"] == []
    result = described({"text": ["a", "b", "c", "d"]})
    assert result["classes"] == [] and [sample["label"] for sample in result["samples"]] == [""] * 3


def test_no_rows():
    result = described({"text": [], "class": []})
    assert result["rows"] == 0 and [column["type"] for column in result["columns"]] == ["empty"] * 2
    assert result["text"]["words"]["histogram"] == [] and result["text"]["words"]["mean"] == 0


def test_samples_are_chosen_by_content_and_seed():
    texts = [f"text {i // 2}" for i in range(100)]
    frame = frame_of({"text": texts, "class": ["a", "b"] * 50})
    chosen = describe_profile(shard(frame), shards=1)["samples"]
    assert [sample["label"] for sample in chosen] == ["a"] * 3 + ["b"] * 3
    for sample in chosen:
        assert sample["text"] == texts[sample["row"] - 1] and sample["line"] == sample["row"] + 1
    assert len({sample["text"] for sample in chosen[:3]}) == 3
    turned = describe_profile(shard(frame.iloc[::-1].reset_index(drop=True)), shards=1)["samples"]
    assert [sample["text"] for sample in turned] == [sample["text"] for sample in chosen]
    other = describe_profile(shard(frame, seed=1), shards=1)["samples"]
    assert [sample["text"] for sample in other] != [sample["text"] for sample in chosen]


def test_personal_data_is_masked_wherever_it_is_shown():
    texts = ["write to someone.private@example.com", "x" * 180 + " someone.private@example.com"]
    result = described({"text": texts, "card": ["4111111111111111", "5555555555554444"], "class": ["a", "a"]})
    assert "private" not in json.dumps(result) and "1111111" not in json.dumps(result)
    assert result["columns"][1]["type"] == "integer" and result["columns"][1]["smallest"] is None
    assert column_of(["41", "55"])["smallest"] == "41"


def test_too_many_classes_are_left_out(monkeypatch):
    monkeypatch.setattr(profile, "CLASSES", 3)
    frame = frame_of({"text": ["t"] * 4, "class": list("abcd")})
    halves = shard(frame, [0, 1]), shard(frame, [2, 3])
    assert len(describe_profile(halves[0], shards=1)["classes"]) == 2
    for state in (shard(frame), merge_profiles(halves)):
        result = describe_profile(state, shards=2)
        assert result["classes"] == [] and result["samples"] == []
        assert result["columns"][1]["distinct"]["value"] == 4


def test_refusals_say_what_to_do():
    with pytest.raises(DataError, match="at least one shard"):
        merge_profiles([])
    with pytest.raises(DataError, match="different columns: 'text', 'class' and 'text'"):
        merge_profiles([shard(frame_of({"text": [], "class": []})), shard(frame_of({"text": []}))])
    with pytest.raises(ValueError, match="2 rows, but 1 record numbers"):
        profile_shard(frame_of({"text": ["a", "b"]}), rows=[1], lines=[1, 2], inputs=[], target="x", roles={})


def test_chunks_change_nothing_and_the_state_stays_small(monkeypatch):
    rng = random.Random(0)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(500)]
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(6000)]
    frame = frame_of({"text": texts, "class": rng.choices("abc", k=6000)})
    start = time.perf_counter()
    state = shard(frame)
    seconds = time.perf_counter() - start
    monkeypatch.setattr(profile, "_CHUNK", 1000)
    cut = shard(frame)
    one, other = describe_profile(state, shards=1), describe_profile(cut, shards=1)
    for result in (one, other):
        assert all(item["count"] <= 1 <= item["high"] for item in result["columns"][0].pop("top"))
    assert one == other
    assert len(pickle.dumps(cut)) < 2_000_000
    assert seconds < 10


def test_real_data(ecommerce_csv):
    frame = pd.read_csv(ecommerce_csv, dtype=object, keep_default_na=False)
    roles = {"description": "input", "category": "target"}
    states = []
    for start in range(0, len(frame), 3000):
        part = frame.iloc[start : start + 3000]
        numbers = range(start + 1, start + 1 + len(part))
        options = {"inputs": ["description"], "target": "category", "roles": roles}
        states.append(profile_shard(part, rows=numbers, lines=numbers, **options))
    result = describe_profile(merge_profiles(states), shards=len(states))
    assert {item["label"]: item["rows"] for item in result["classes"]} == frame["category"].value_counts().to_dict()
    words = frame["description"].str.split().str.len()
    assert result["text"]["words"]["quantiles"]["0.5"] == words.quantile(0.5, interpolation="lower")
    column = next(column for column in result["columns"] if column["name"] == "description")
    assert column["type"] == "text"
    assert column["distinct"]["low"] <= frame["description"].nunique() <= column["distinct"]["high"]
    assert len(result["samples"]) == 3 * len(result["classes"])
