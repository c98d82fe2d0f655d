import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.data.duplicates import duplicate_groups, near_duplicate_pairs

WORDS = ["red", "blue", "green", "shirt", "lamp", "novel", "chair", "phone", "cable", "large", "small", "soft"]
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


def triples(text):
    words = text.split()
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}


def brute_force(texts, threshold):
    sets = [triples(text) for text in texts]
    pairs = {}
    for i, left in enumerate(sets):
        for j, right in enumerate(sets[:i]):
            common = len(left & right)
            if common >= threshold * (len(left) + len(right) - common):
                pairs[j, i] = common / (len(left) + len(right) - common)
    return pairs


def as_dict(found):
    return {tuple(pair): value for pair, value in zip(found.rows.tolist(), found.similarity.tolist(), strict=True)}


@settings(deadline=None)
@given(st.lists(TEXT, max_size=20), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_pairs_are_true_and_exact(texts, threshold):
    true = brute_force(texts, threshold)
    found = as_dict(near_duplicate_pairs(texts, threshold=threshold))
    assert found == {pair: pytest.approx(true[pair], abs=1e-12) for pair in found}
    assert {pair for pair, value in true.items() if value == 1} <= set(found)


@pytest.mark.parametrize(("threshold", "replaced"), [(0.5, 22), (0.8, 7)])
def test_recall_on_planted_pairs(threshold, replaced):
    """Texts of 200 words, each with a copy of which so many words are replaced that they are just similar enough."""
    rng = np.random.default_rng(3)
    texts = []
    for k in range(300):
        words = [f"w{k}_{i}" for i in range(200)]
        texts.append(" ".join(words))
        for position in rng.choice(200, size=replaced, replace=False):
            words[position] = f"new{position}"
        texts.append(" ".join(words))
    sets = [triples(text) for text in texts]
    pairs = [(i, i + 1) for i in range(0, 600, 2)]
    true = {(i, j) for i, j in pairs if len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j])}
    found = set(as_dict(near_duplicate_pairs(texts, threshold=threshold)))
    assert len(true) >= 250 and found <= true
    assert len(true - found) <= 1


def test_case_punctuation_and_forms_do_not_count():
    texts = [
        "The Red-Shirt, size L!",
        "the red shirt size l",
        "ＴＨＥ red\u00a0shi\u200brt (size L)",
        "!!",
        "?",
        "!!",
    ]
    assert as_dict(near_duplicate_pairs(texts, threshold=0.9)) == {(0, 1): 1, (0, 2): 1, (1, 2): 1, (3, 5): 1}


def test_combining_vowel_signs_belong_to_their_word():
    assert not len(near_duplicate_pairs(["की किताब कम", "का कताब कम"], threshold=0.5).rows)


@pytest.mark.parametrize("texts", [[], ["one"]])
def test_fewer_than_two_texts(texts):
    assert near_duplicate_pairs(texts, threshold=0.8).rows.shape == (0, 2)


def test_order_of_texts_does_not_matter():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS[:5], size=8)) for _ in range(1000)]
    order = rng.permutation(len(texts))
    straight = as_dict(near_duplicate_pairs(texts, threshold=0.4))
    shuffled = as_dict(near_duplicate_pairs([texts[i] for i in order], threshold=0.4))
    assert {tuple(sorted(order[list(pair)].tolist())): value for pair, value in shuffled.items()} == straight
    assert len(straight) > 100


def test_mutual_near_duplicates_stay_linear():
    base = " ".join(f"w{i}" for i in range(100))
    texts = [f"{base} x{k} y{k}" for k in range(3000)] + [f"other text number {k}" for k in range(100)]
    found = near_duplicate_pairs(texts, threshold=0.8)
    groups = duplicate_groups(len(texts), found.rows)
    assert len(set(groups[:3000].tolist())) == 1 and len(set(groups.tolist())) == 101
    assert len(found.rows) < 50 * len(texts) < 3000 * 2999 / 2


def test_same_in_every_process():
    code = (
        "from dlcycle.data.duplicates import near_duplicate_pairs as f\n"
        "texts = [' '.join(str(i * j % 7) for j in range(9)) for i in range(60)]\n"
        "p = f(texts, threshold=0.5)\nprint(p.rows.tolist(), p.similarity.tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=20))
def test_groups_are_the_connected_components(edges):
    groups = duplicate_groups(15, np.array(edges, dtype=np.int64).reshape(-1, 2))
    reached = {node: {node} for node in range(15)}
    for _ in range(15):
        for left, right in edges:
            union = reached[left] | reached[right]
            for node in union:
                reached[node] = union
    assert all((groups[i] == groups[j]) == (j in reached[i]) for i in range(15) for j in range(15))
    first = {group: groups.tolist().index(group) for group in set(groups.tolist())}
    assert sorted(first, key=first.get) == sorted(first)


@pytest.mark.slow
def test_recall_on_real_data(ecommerce_csv):
    texts = pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)["description"].drop_duplicates()
    texts = [" ".join(text.replace("'", " ").split()) for text in texts[:2000]]
    found = near_duplicate_pairs(texts, threshold=0.8)
    true = brute_force(texts, 0.8)
    assert len(true) >= 80
    missed = set(true) - set(as_dict(found))
    assert len(missed) <= 0.01 * len(true)
