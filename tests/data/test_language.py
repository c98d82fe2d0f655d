import random

import lingua
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.data import language
from dlcycle.data.language import (
    UNKNOWN,
    describe_languages,
    detect_languages,
    language_codes,
    language_name,
    language_state,
    merge_languages,
)
from dlcycle.errors import ConfigError, DataError

FEW = ["en", "de", "fr", "hi"]
ENGLISH = "the weather was cold and nobody wanted to leave the warm kitchen before the evening came "
GERMAN = "das Wetter war kalt und niemand wollte vor dem Abend die warme Küche verlassen "
FRENCH = "il faisait froid et personne ne voulait quitter la cuisine chaude avant le soir "
HINDI = "मौसम ठंडा था और शाम से पहले कोई भी गर्म रसोई छोड़ना नहीं चाहता था "


def one_by_one(codes, texts):
    """Lingua on each full text, the reference."""
    known = {item.iso_code_639_1.name.lower(): item for item in lingua.Language.all()}
    detector = lingua.LanguageDetectorBuilder.from_languages(*(known[code] for code in codes)).build()
    found = [detector.detect_language_of(text) for text in texts]
    return np.array([UNKNOWN if item is None else item.iso_code_639_1.name.lower() for item in found], dtype=object)


@pytest.mark.parametrize("times", [1, 20])
def test_names_short_and_long_texts(times):
    found = detect_languages([text * times for text in (ENGLISH, GERMAN, FRENCH, HINDI)], candidates=FEW)
    assert found.codes.tolist() == ["en", "de", "fr", "hi"]
    assert (found.probability > 0.9).all() and found.probability.dtype == np.float32


@pytest.mark.parametrize("text", ["", "  ", "42 000", "😀👍", "\ud800", "世界", "1" * 5_000])
def test_unknown_where_there_is_nothing_to_read(text):
    found = detect_languages([ENGLISH, text], candidates=FEW)
    assert found.codes.tolist() == ["en", UNKNOWN]
    assert found.probability[1] == 0


def test_no_texts():
    assert detect_languages([], candidates=FEW).codes.tolist() == []


def test_unknown_below_the_least_probability(monkeypatch):
    text = "national international"
    found = detect_languages([text, ENGLISH], candidates=FEW)
    assert UNKNOWN not in found.codes and 0 < found.probability[0] < found.probability[1]
    monkeypatch.setattr(language, "LEAST_PROBABILITY", float(found.probability.mean()))
    cut = detect_languages([text, ENGLISH], candidates=FEW)
    assert cut.codes.tolist() == [UNKNOWN, "en"] and cut.probability[0] == 0


def test_lone_surrogates_do_not_stop_it():
    assert detect_languages([ENGLISH + "\udcff", GERMAN * 9 + "\ud83d"], candidates=FEW).codes.tolist() == ["en", "de"]


def test_result_depends_on_the_text_alone():
    texts = [(a + b) * n for a in (ENGLISH, GERMAN, HINDI) for b in ("", FRENCH, "red 5 kg ") for n in (1, 3, 15)]
    alone = [detect_languages([text], candidates=FEW) for text in texts]
    order = random.Random(0).sample(range(len(texts)), len(texts)) * 2
    found = detect_languages([texts[i] for i in order], candidates=["HI", "French", "german", "English"])
    assert found.codes.tolist() == [alone[i].codes[0] for i in order]
    assert found.probability.tolist() == [alone[i].probability[0] for i in order]


def test_a_title_does_not_decide_over_a_long_text():
    """Of the first 240 characters alone the language is another: the control."""
    text = ENGLISH * 3 + HINDI * 40
    assert detect_languages([text[:240], text], candidates=FEW).codes.tolist() == ["en", "hi"]


def test_scripts_mixed_in_a_long_text_get_more_of_it_read(monkeypatch):
    """The parts, words of both scripts, are surely Hindi to lingua; the text's beginning is English."""
    text = ENGLISH * 8 + (HINDI + "the cold evening ") * 15
    assert detect_languages([text], candidates=FEW).codes.tolist() == ["en"]
    monkeypatch.setattr(language, "_mixes_scripts", lambda text: False)
    assert detect_languages([text], candidates=FEW).codes.tolist() == ["hi"]


@pytest.mark.slow
def test_agrees_with_lingua_on_full_texts(ecommerce_csv):
    texts = sorted(set(pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)["description"]))[::12]
    codes = ["de", "en", "fr", "hi", "la", "tl"]
    reference = one_by_one(codes, texts)
    found = detect_languages(texts, candidates=codes)
    both = (found.codes != UNKNOWN) & (reference != UNKNOWN)
    assert both.mean() > 0.99
    assert (found.codes == reference)[both].mean() >= 0.995
    # control: a beginning of 40 characters misses the same bound
    assert (detect_languages([text[:40] for text in texts], candidates=codes).codes == reference)[both].mean() < 0.98


def test_codes_of_names_and_names_of_codes():
    assert language_codes(["EN", " German ", "hi"]) == ["en", "de", "hi"]
    assert language_name("de") == "German" and language_name("xx") == "xx"
    assert len(language._names()) == 75


def test_errors_name_every_wrong_language():
    with pytest.raises(ConfigError, match=r"'Germn' \(did you mean 'german'\?\), 'q9'"):
        detect_languages([], candidates=["en", "Germn", "q9"])
    with pytest.raises(ConfigError, match="at least two candidates, got 'en'"):
        detect_languages([], candidates=["en", "English"])
    with pytest.raises(DataError, match="characters of at least 1, got 0"):
        detect_languages([], candidates=FEW, characters=0)


ROW = st.tuples(
    st.sampled_from(["en", "de", "hi", UNKNOWN]),
    st.integers(0, 64).map(lambda n: n / 64),
    st.sampled_from(["Books", "Toys", None]),
    st.integers(0, 3),
)


def state_of(rows, positions):
    part = [rows[i] for i in positions]
    return language_state(
        [code for code, *_ in part],
        [0.0 if code == UNKNOWN else value for code, value, *_ in part],
        rows=[i + 1 for i in positions],
        lines=[i + 2 for i in positions],
        labels=[label for *_, label, _ in part],
        texts=[f"text {i}" for i in positions],
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, max_size=30), st.randoms(use_true_random=False))
def test_any_sharding_gives_the_same_artifact(rows, rng):
    order = list(range(len(rows)))
    rng.shuffle(order)
    shards = [[i for i in order if rows[i][3] == shard] for shard in range(4)]
    states = [state_of(rows, shard) for shard in shards]
    whole = describe_languages(state_of(rows, range(len(rows))), expected=[], seconds=2.0)
    assert describe_languages(merge_languages(states), expected=[], seconds=2.0) == whole
    nested = merge_languages([states[3], merge_languages([states[1], merge_languages(states[::2])])])
    assert describe_languages(nested, expected=[], seconds=2.0) == whole


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=30))
def test_artifact_against_pandas(rows):
    found = describe_languages(state_of(rows, range(len(rows))), expected=[], seconds=2.0)
    frame = pd.DataFrame(rows, columns=["code", "value", "label", "shard"])
    frame.loc[frame["code"] == UNKNOWN, "value"] = 0
    assert {item["code"]: item["rows"] for item in found["counts"]} == frame["code"].value_counts().to_dict()
    assert sum(item["share"] for item in found["counts"]) == pytest.approx(1)
    assert found["rows"] == found["detected"] + found["unknown"] == len(rows)
    assert sum(item["rows"] for item in found["by_class"]) == frame["label"].notna().sum()
    for item in found["counts"]:
        values = frame.loc[frame["code"] == item["code"], "value"]
        assert item["probability"] == pytest.approx(values.quantile(interpolation="lower"), abs=0.005 + 1e-9)
        assert item["expected"] == (item["code"] != UNKNOWN and item["share"] >= 0.1)
    assert {item["code"] for item in found["unexpected"]} == {
        item["code"] for item in found["counts"] if item["share"] < 0.1 and item["code"] != UNKNOWN
    }


def test_unexpected_languages_with_their_surest_rows():
    codes, values = ["en"] * 20 + ["de"] * 7 + [UNKNOWN], [1.0] * 20 + [0.5, 0.9, 0.9, 0.7, 0.8, 0.6, 0.4] + [0.0]
    texts = ["t"] * 21 + ["write to jane.roe@example.org " + "x" * 300] + ["t"] * 6
    state = language_state(codes, values, rows=range(1, 29), lines=range(2, 30), labels=["A"] * 28, texts=texts)
    found = describe_languages(state, expected=["English", "Hindi"], seconds=0.0)
    [german] = found["unexpected"]
    assert (german["language"], german["code"], german["rows"]) == ("German", "de", 7)
    assert [(item["row"], item["probability"]) for item in german["examples"]] == [
        (22, 0.9),
        (23, 0.9),
        (25, 0.8),
        (24, 0.7),
        (26, 0.6),
    ]
    assert german["examples"][0]["line"] == 23 and german["examples"][0]["label"] == "A"
    assert "jane.roe" not in german["examples"][0]["text"] and len(german["examples"][0]["text"]) == 200
    assert [item["row"] for item in found["unknown_examples"]] == [28]
    assert found["rows_per_second"] == 0.0 and "75 languages" in found["method"]
    assert describe_languages(state, expected=[], seconds=1.0)["unexpected"] == []
