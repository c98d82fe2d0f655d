import json
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import ModelSpec
from dlcycle.errors import ModelFileError, TrainingError
from dlcycle.model.tokenizer import SubwordTokenizer, WordTokenizer, fit_tokenizer, split_words, tokenizer_from_json

TEXTS = ["red shoe red", "blue shoe", "red hat", "नमस्ते दुनिया hello", "ﬁsh CAFÉ cafe\u0301", "", "a \ud800 b"]
SPECS = {
    "words": ModelSpec(ngrams=1, min_count=1, max_tokens=6),
    "ngrams": ModelSpec(ngrams=3, buckets=50, min_count=1, max_tokens=6),
    "bpe": ModelSpec(tokenizer="bpe", vocabulary=300, max_tokens=6),
}
texts = st.lists(st.text(alphabet=st.characters(), max_size=60), max_size=8)


def test_words_are_ranked_by_rows_then_alphabet_and_cut_to_the_vocabulary() -> None:
    tokenizer = fit_tokenizer(["b b b a", "b c", "c a d"], spec=ModelSpec(ngrams=1, min_count=2, vocabulary=10))
    assert isinstance(tokenizer, WordTokenizer)
    assert tokenizer.words == ("a", "b", "c")
    many = [f"w{number}" for number in range(20)]
    small = fit_tokenizer([" ".join(many), *many[5:15]], spec=ModelSpec(ngrams=1, min_count=1, vocabulary=10))
    assert isinstance(small, WordTokenizer)
    assert sorted(small.words) == sorted(many[5:15])


@pytest.mark.parametrize("name", SPECS)
def test_fit_depends_on_the_rows_but_not_on_their_order(name: str) -> None:
    first = fit_tokenizer(TEXTS, spec=SPECS[name]).to_json()
    assert first == fit_tokenizer(TEXTS[::-1], spec=SPECS[name]).to_json()
    assert first != fit_tokenizer([*TEXTS, "zebra zebra", "zebra"], spec=SPECS[name]).to_json()


@pytest.mark.parametrize("name", SPECS)
def test_ids_are_the_same_in_processes_with_other_hash_seeds(name: str) -> None:
    code = (
        "import sys, json; from dlcycle.config import ModelSpec; from dlcycle.model.tokenizer import fit_tokenizer\n"
        "texts, spec = json.loads(sys.argv[1])\n"
        "tokenizer = fit_tokenizer(texts, spec=ModelSpec.model_validate(spec))\n"
        "print(tokenizer.to_json(), [row.tolist() for row in tokenizer.encode(texts)])"
    )
    arguments = [sys.executable, "-c", code, json.dumps([TEXTS, SPECS[name].model_dump(mode="json")])]
    outputs = {subprocess.run(arguments, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, text=True,
                              capture_output=True, check=True).stdout for seed in "12"}  # fmt: skip
    assert len(outputs) == 1


@pytest.mark.parametrize("name", SPECS)
@given(texts=texts)
@settings(deadline=None, max_examples=60)
def test_every_text_gets_ids_in_range_and_survives_json(name: str, texts: list[str]) -> None:
    tokenizer = fit_tokenizer(TEXTS, spec=SPECS[name])
    rows = tokenizer.encode(texts)
    assert len(rows) == len(texts)
    for row in rows:
        assert row.dtype == np.int64
        assert len(row) >= 1
        assert row.min() >= 1
        assert row.max() < tokenizer.size
    again = tokenizer_from_json(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert all(np.array_equal(a, b) for a, b in zip(rows, again.encode(texts), strict=True))


def test_ngram_ids_follow_words_and_depend_on_their_order() -> None:
    tokenizer = fit_tokenizer(["a b c"], spec=ModelSpec(ngrams=2, buckets=10**6, min_count=1))
    forward, backward = tokenizer.encode(["a b c", "c b a"])
    assert forward[:3].tolist() == [2, 3, 4]
    assert len(forward) == 5
    assert (forward[3:] >= 5).all()
    assert not set(forward[3:].tolist()) & set(backward[3:].tolist())
    assert tokenizer.encode(["x a b"])[0][-1] == forward[3]


def test_ngrams_fill_their_buckets_evenly() -> None:
    buckets = 64
    tokenizer = fit_tokenizer(["x"], spec=ModelSpec(ngrams=2, buckets=buckets, min_count=1, max_tokens=10**5))
    words = " ".join(f"w{number}" for number in range(20_000))
    counts = np.bincount(tokenizer.encode([words])[0][20_000:] - 3, minlength=buckets)
    expected = counts.sum() / buckets
    # Chi-square with 63 degrees of freedom: 99.99 % lie below 120.
    assert ((counts - expected) ** 2 / expected).sum() < 120


def test_words_split_like_the_regular_expression_of_the_field_where_there_are_no_marks() -> None:
    assert split_words("It's 3.5 GHz, ok_1 ＡＢＣ") == ["it", "s", "3", "5", "ghz", "ok_1", "abc"]
    assert split_words("हिन्दी में") == ["हिन्दी", "में"]
    decomposed = unicodedata.normalize("NFD", "CAFÉ")
    assert split_words(decomposed) == ["café"]


@pytest.mark.parametrize("name", SPECS)
def test_texts_are_cut_and_the_cut_ones_counted(name: str) -> None:
    tokenizer = fit_tokenizer(TEXTS, spec=SPECS[name])
    long = "red " * 50
    assert tokenizer.truncated_share([long, "red", "", long]) == 0.5
    assert tokenizer.truncated_share([]) == 0.0
    assert np.array_equal(tokenizer.encode([long])[0], tokenizer.encode([long + "tail"])[0])


def test_special_names_in_a_text_are_ordinary_text_to_bpe() -> None:
    tokenizer = fit_tokenizer(TEXTS, spec=SPECS["bpe"])
    assert isinstance(tokenizer, SubwordTokenizer)
    row = tokenizer.encode(["<pad><unk>"])[0]
    assert (row >= 2).all()


def test_no_texts_to_fit_on_is_an_error() -> None:
    with pytest.raises(TrainingError, match="training part"):
        fit_tokenizer([], spec=ModelSpec())


GOOD = json.loads(fit_tokenizer(TEXTS, spec=SPECS["ngrams"]).to_json())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 100_000,
        "{}",
        json.dumps(GOOD | {"format": 2}),
        json.dumps(GOOD | {"kind": "chars"}),
        json.dumps(GOOD | {"words": ["a", "a"]}),
        json.dumps(GOOD | {"words": [1]}),
        json.dumps(GOOD | {"words": None}),
        json.dumps(GOOD | {"max_tokens": 0}),
        json.dumps(GOOD | {"max_tokens": True}),
        json.dumps(GOOD | {"ngrams": "2"}),
        json.dumps(GOOD | {"buckets": 0}),
        json.dumps({"format": 1, "kind": "bpe", "max_tokens": 5}),
        json.dumps({"format": 1, "kind": "bpe", "max_tokens": 5, "bpe": {"model": 1}}),
    ],
)
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError):
        tokenizer_from_json(text)
