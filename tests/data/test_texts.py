"""Columns that Arrow holds: the same texts in, the same texts and identities out."""

import unicodedata

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data import texts as module
from dlcycle.data.texts import Texts, text_ids, text_key, text_series

WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=40)


@given(WORDS, st.integers(1, 7))
def test_texts_come_back_whatever_the_chunks(words: list[str], chunk: int) -> None:
    before, module.CHUNK = module.CHUNK, chunk
    try:
        texts = Texts(text_series(words))
        assert list(texts) == words == texts[:]
        assert [texts[place] for place in range(len(texts))] == words
        assert texts.at(range(len(words) - 1, -1, -1)) == words[::-1]
    finally:
        module.CHUNK = before


@given(WORDS)
def test_identities_are_those_of_the_keys(words: list[str]) -> None:
    expected = pd.factorize(pd.array([text_key(word) for word in words], dtype=object))[0].tolist()
    assert text_ids(words).tolist() == expected


def test_a_key_forgets_white_space_and_composition_only() -> None:
    assert text_key("cafe\u0301\u00a0 noir\n") == text_key("caf\u00e9 noir")
    assert text_key("a b") != text_key("ab") != text_key("Ab")
    assert text_key(unicodedata.normalize("NFD", "Å")) == "Å"
