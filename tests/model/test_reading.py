import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlcycle.config import ModelSpec
from dlcycle.errors import ModelFileError
from dlcycle.model.reading import ReadText, read_texts
from dlcycle.model.tokenizer import fit_tokenizer, split_words

TEXTS = ["red shoe red", "blue shoe", "red hat", "नमस्ते दुनिया hello", "ﬁsh CAFÉ cafe\u0301", "", "a \ud800 b"]
SPECS = {
    "words": ModelSpec(ngrams=1, min_count=1, max_tokens=6),
    "ngrams": ModelSpec(ngrams=3, buckets=50, min_count=1, max_tokens=6),
    "bpe": ModelSpec(tokenizer="bpe", vocabulary=300, max_tokens=6),
    "long bpe": ModelSpec(tokenizer="bpe", vocabulary=300, max_tokens=500),
}
TOKENIZERS = {name: fit_tokenizer(TEXTS, spec=spec) for name, spec in SPECS.items()}
# Characters that normalisation, lower-casing or the encoder treat specially, beside any other.
STRANGE = (
    "aA b\n\t.,'1½ﷺİΣσßﬁ…😀👩\u200d\ufe0f\u0301\u0323\u0307\u0338é한ᄒ\u1161हिन्ｶﾞ"
    "\u3000\u00a0\u0085\x1c\x00\ud800\U000110ba\U00011099"
)
texts = st.text(alphabet=st.one_of(st.sampled_from(STRANGE), st.characters()), max_size=60)


def read(name: str, text: str) -> ReadText:
    [reading] = read_texts(TOKENIZERS[name], [text])
    return reading


@pytest.mark.parametrize("name", SPECS)
@given(rows=st.lists(texts, max_size=5))
@settings(deadline=None, max_examples=150)
def test_ids_are_those_of_the_tokenizer_and_every_id_has_owners(name: str, rows: list[str]) -> None:
    tokenizer = TOKENIZERS[name]
    for reading, ids in zip(read_texts(tokenizer, rows), tokenizer.encode(rows), strict=True):
        assert reading.ids.dtype == np.int64
        np.testing.assert_array_equal(reading.ids, ids)
        words = len(reading.spans)
        assert reading.owners.shape == (len(ids), words)
        shares = reading.owners.toarray()
        assert (shares >= 0).all()
        # Thirds do not add up exactly.
        np.testing.assert_allclose(shares.sum(1), 1.0 if words else 0.0, atol=1e-12)
        assert (shares.sum(0) > 0).all(), "every word that is read has an id"


@pytest.mark.parametrize("name", SPECS)
@given(text=texts)
@example("İ\u0323İx")
@example("ﷺ½")
@example("a\u0307\u0323b")
@settings(deadline=None, max_examples=300)
def test_spans_are_ascending_places_in_what_is_shown(name: str, text: str) -> None:
    reading = read(name, text)
    places = reading.spans.ravel().tolist()
    assert places == sorted(places)
    assert all(start < end for start, end in reading.spans.tolist())
    assert not places or places[-1] <= len(reading.shown)
    assert all(word == word.strip() and word for word in reading.words)
    if reading.unread:
        assert len(reading.shown) == (places[-1] if places else 0), "nothing is shown that is not read"
    else:
        assert not reading.rest or name == "bpe"
    assert len(reading.masked) == len(reading.shown)


@pytest.mark.parametrize("name", ["words", "ngrams"])
@given(text=texts)
@settings(deadline=None, max_examples=300)
def test_words_shown_are_the_words_read(name: str, text: str) -> None:
    reading = read(name, text)
    words = split_words(text)
    assert reading.forms == tuple(words[:6])
    assert reading.unread == max(0, len(words) - 6)
    assert "".join(word.lower() for word in reading.words).replace("ς", "σ") == "".join(words[:6]).replace("ς", "σ")


@pytest.mark.parametrize("name", ["words", "ngrams"])
@given(text=texts, data=st.data())
@settings(deadline=None, max_examples=400)
def test_a_text_without_words_is_read_as_the_words_that_are_left(name: str, text: str, data: st.DataObject) -> None:
    reading = read(name, text)
    gone = np.array(data.draw(st.lists(st.booleans(), min_size=len(reading.spans), max_size=len(reading.spans))), bool)
    again = read(name, reading.without(gone))
    kept = np.flatnonzero(~gone)
    assert reading.forms is not None
    assert again.forms == tuple(reading.forms[number] for number in kept)
    assert again.unread == 0, "words beyond the limit do not come in"
    expected = reading.ids[kept] if len(kept) else [1]
    np.testing.assert_array_equal(again.ids[: max(1, len(kept))], expected)


@pytest.mark.parametrize("name", ["bpe", "long bpe"])
@given(text=texts, data=st.data())
@settings(deadline=None, max_examples=300)
def test_taking_words_out_leaves_the_other_characters(name: str, text: str, data: st.DataObject) -> None:
    reading = read(name, text)
    gone = data.draw(st.lists(st.booleans(), min_size=len(reading.spans), max_size=len(reading.spans)))
    left = np.ones(len(reading.shown), dtype=bool)
    for start, end in reading.spans[np.array(gone, dtype=bool)].tolist():
        left[start:end] = False
    expected = "".join(character for character, stays in zip(reading.shown, left, strict=True) if stays)
    assert _no_space(reading.without(gone)) == _no_space(expected)


def _no_space(text: str) -> str:
    return "".join(text.split())


def test_case_and_other_characters_are_shown_as_they_are() -> None:
    reading = read("words", "The RED shoe, (new)!")
    assert reading.shown == "The RED shoe, (new)!"
    assert reading.words == ["The", "RED", "shoe", "new"]
    assert reading.without([True, False, False, True]) == " RED shoe, ()!"
    assert read("words", "İstanbul is far").words == ["İstanbul", "is", "far"]


def test_what_follows_a_sigma_is_kept_in_mind_when_it_is_taken_out() -> None:
    """The small letter of Σ depends on the letters behind the stop, so that cutting them out changes the word."""
    reading = read("words", "ΑΣ.Β")
    assert reading.forms == ("ασ", "β")
    assert split_words("ΑΣ.") == ["ας"], "control: cutting alone would change it"
    assert split_words(reading.without([False, True])) == ["ασ"]


def test_ngrams_belong_to_their_words_in_equal_parts() -> None:
    shares = read("ngrams", "red shoe hat").owners.toarray()
    third, half = [1 / 3] * 3, 1 / 2
    assert shares.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [half, half, 0], [0, half, half], third]


def test_a_text_is_shown_up_to_the_last_word_that_is_read() -> None:
    long = read("words", "a b c d e f, g h!")
    assert (long.shown, long.rest, long.unread) == ("a b c d e f", ", g h!", 2)
    assert read("words", "a b c d e f!").shown == "a b c d e f!"
    cut = read("bpe", "red shoe handkerchief")
    assert cut.shown + cut.rest == "red shoe handkerchief"
    assert cut.rest
    assert cut.words[:2] == ["red", "shoe"]
    assert cut.unread == 0, "a word that is read in part counts as read"


def test_personal_data_at_the_edge_is_masked_though_its_rest_is_not_shown() -> None:
    reading = read("words", "one two three four ann@mail.example.org")
    assert reading.shown == "one two three four ann@mail"
    assert "ann" not in reading.masked
    assert reading.masked[: reading.spans[3, 1]] == "one two three four"


def test_subwords_are_put_together_to_words() -> None:
    rows = ["Red  shoe,\nnew!", "हिन्दी में", "İstanbul", "e\u0301t ½ ﷺ", "😀a", "\ud800x", ""]
    words = [reading.words for reading in read_texts(TOKENIZERS["long bpe"], rows)]
    assert words == [
        ["Red", "shoe", ",", "new", "!"],
        ["हिन्दी", "में"],
        ["İstanbul"],
        ["e\u0301t", "½", "ﷺ"],
        ["😀", "a"],
        ["\ufffd", "x"],
        [],
    ]
    white = read("long bpe", " \n ")
    assert (white.words, white.unread) == ([], 0)
    assert len(white.ids) > 0


def test_subwords_that_would_run_together_are_kept_apart() -> None:
    reading = read("long bpe", "one,two three")
    assert reading.without([False, True, False, False]) == "one two three"
    assert reading.without([False, False, False, True]) == "one,two "
    assert reading.without([False] * 4) == reading.shown


def test_another_kind_of_tokenizer_is_refused() -> None:
    class Own:
        pass

    with pytest.raises(ModelFileError, match="got Own"):
        read_texts(Own(), ["a"])  # type: ignore[arg-type]
