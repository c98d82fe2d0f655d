import itertools
import random
import re
import unicodedata
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import Perturbation
from dlcycle.data.perturb import NEIGHBOURS, perturb_texts

KINDS = get_args(Perturbation)
SENTENCE = "The quick brown fox jumps over the lazy dog while nobody in this quiet village watches it"
PIECES = st.one_of(
    st.sampled_from(["shoe", "don't", "ß", "Cafe\u0301", "A\u0323\u0302b", "हिन्दी", "क्ष", "می\u200cخواهم", "สวัสดี"]),
    st.sampled_from(
        ["手机很好用", "가나다", "\u1112\u1161\u11ab\u1100\u1173\u11af", "가\u11a8", " ", " ", "\n", "-", "'"]
    ),
    st.sampled_from(["👩\u200d👧", "🇩🇪", "\ud83d\ude00", "\ud83d", "3️⃣", " \u0301", "\u0301"]),
    st.text(max_size=4),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


def only(text: str, **options: object) -> str:
    return perturb_texts([text], **{"seed": 0, **options})[0]  # type: ignore[arg-type]


def marked(text: str) -> Counter[tuple[str, str]]:
    """Each mark with the character that it stands on, white space being one character."""
    pairs: Counter[tuple[str, str]] = Counter()
    base = ""
    for character in text:
        if unicodedata.category(character)[0] == "M":
            pairs[base, character] += 1
        else:
            base = " " if character.isspace() else character
    return pairs


@given(texts=st.lists(TEXTS, max_size=6), kind=st.sampled_from(KINDS), share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(deadline=None)
def test_a_change_depends_on_the_text_alone(texts: list[str], kind: Perturbation, share: float, seed: int) -> None:
    changed = perturb_texts(texts, kind=kind, share=share, seed=seed)
    state = random.getstate()
    order = list(range(len(texts)))[::-1]
    again = perturb_texts([texts[place] for place in order], kind=kind, share=share, seed=seed)
    assert again == [changed[place] for place in order]
    assert random.getstate() == state


@given(text=TEXTS, share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=300)
def test_marks_stay_on_their_letters_and_surrogates_together(text: str, share: float, seed: int) -> None:
    for kind in ("typos", "white_space", "dropped_words"):
        changed = only(text, kind=kind, share=share, seed=seed)
        strange = {pair for pair in marked(changed) if pair not in marked(text)}
        assert not strange, (kind, text, changed)
        assert re.sub("[^\ud800-\udfff]", "", changed) == re.sub("[^\ud800-\udfff]", "", text)
        assert changed.count("\ud83d\ude00") >= text.count("\ud83d\ude00")


@given(text=TEXTS, share=st.floats(0, 1), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=300)
def test_each_kind_changes_what_it_says_and_changes_what_it_can(text: str, share: float, seed: int) -> None:
    spaced = only(text, kind="white_space", share=share, seed=seed)
    assert re.sub(r"\s", "", spaced) == re.sub(r"\s", "", text)
    assert spaced != text or not re.search(r"[a-z]\s+[a-z]|[a-z]{2}", text)

    case = only(text, kind="case", share=share, seed=seed)
    assert case in (text.upper(), text.lower(), text.swapcase())
    assert (case == text) == (text.upper() == text == text.lower() == text.swapcase())

    dropped = only(text, kind="dropped_words", share=share, seed=seed)
    assert not Counter(dropped) - Counter(text)
    rest = iter(text)
    assert all(character in rest for character in dropped), "the rest keeps its order"
    words = re.findall(r"\w+", re.sub(r"[\W_]", " ", text) if text.isascii() else "")
    if len(words) > 1 and not re.search(r"['_-]", text):
        assert dropped != text
        assert re.search(r"\w", dropped)

    typos = only(text, kind="typos", share=share, seed=seed)
    if re.search("[a-z]{3}", text):
        assert typos != text
    if not re.search(r"\w{3}", unicodedata.normalize("NFC", text)) and not re.search(r"\w\W*\w\W*\w", text):
        assert typos == text


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1.0])
def test_the_share_of_the_words_is_kept(share: float) -> None:
    words = SENTENCE.split()
    for seed in range(50):
        left = only(SENTENCE, kind="dropped_words", share=share, seed=seed).split()
        assert len(words) - len(left) == min(max(1, round(share * len(words))), len(words) - 1)
        typed = only(SENTENCE, kind="typos", share=share, seed=seed).split()
        long = [word for word in words if len(word) >= 3]
        assert len(typed) == len(words)
        assert sum(a != b for a, b in zip(words, typed, strict=True)) == max(1, round(share * len(long)))
        assert all(a == b for a, b in zip(words, typed, strict=True) if len(a) < 3)
        spaced = only(SENTENCE, kind="white_space", share=share, seed=seed)
        kept = sum(f"{a} {b}" in spaced for a, b in itertools.pairwise(words))
        # A cut word changes its two gaps for this count, so a change may take away two.
        assert len(words) - 1 - kept <= 2 * max(1, round(share * (len(words) - 1)))


def distance(first: str, second: str) -> int:
    """Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment; Damerau, 1964)."""
    rows = [list(range(len(second) + 1))]
    for i, a in enumerate(first, start=1):
        row = [i]
        for j, b in enumerate(second, start=1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def test_a_typo_is_one_slip_and_all_four_occur() -> None:
    word, seen = "Table", Counter[str]()
    for seed in range(200):
        typo = only(word, kind="typos", seed=seed)
        assert distance(word, typo) == 1
        if sorted(typo) == sorted(word):
            seen["swap"] += 1
        elif len(typo) != len(word):
            seen["double" if len(typo) > len(word) else "drop"] += 1
            assert set(typo) <= set(word)
        else:
            seen["replace"] += 1
            ((old, new),) = [(a, b) for a, b in zip(word, typo, strict=True) if a != b]
            assert new.lower() in NEIGHBOURS[old.lower()]
            assert new.isupper() == old.isupper()
    assert set(seen) == {"swap", "double", "drop", "replace"}
    assert min(seen.values()) > 20
    assert all("q" not in NEIGHBOURS[key] for key in "sdplm"), "control: far keys are not neighbours"
    assert set(NEIGHBOURS["g"]) == set("tyfhvb")
    assert all(key in NEIGHBOURS[other] for key, others in NEIGHBOURS.items() for other in others)


def test_white_space_is_widened_closed_broken_and_put_into_words() -> None:
    found = {only("red shoes", kind="white_space", seed=seed) for seed in range(200)}
    assert {"red  shoes", "redshoes", "red\nshoes", "re d shoes", "red sho es"} <= found
    assert len(found) == 3 + 2 + 4


def test_all_three_cases_occur_and_text_without_case_stays() -> None:
    ways = Counter(
        next(way for way in ("upper", "lower", "swapcase") if getattr(text, way)() == only(text, kind="case"))
        for text in (f"Red shoe {n}" for n in range(300))
    )
    assert min(ways[way] for way in ("upper", "lower", "swapcase")) > 60
    assert only("12 手机 !", kind="case") == "12 手机 !"


def test_seeds_shares_and_texts_give_different_changes() -> None:
    assert len({only(SENTENCE, kind="typos", seed=seed) for seed in range(20)}) == 20
    assert only(SENTENCE, kind="typos", share=0.1) != only(SENTENCE, kind="typos", share=0.2)
    assert only("", kind="typos") == "" == only("", kind="dropped_words")
    assert perturb_texts([], kind="case", seed=0) == []


def test_scripts_without_spaces_have_words() -> None:
    chinese = "这款手机的屏幕非常清晰电池也很耐用值得购买"
    assert distance(chinese, only(chinese, kind="typos")) == 1
    assert len(chinese) - len(only(chinese, kind="dropped_words")) == 3
    repeated = "哈" * 12
    assert all(only(repeated, kind="typos", share=1.0, seed=seed) != repeated for seed in range(100)), "none undone"


def test_real_texts_are_all_changed(ecommerce_csv: object) -> None:
    import pandas as pd

    texts = pd.read_csv(ecommerce_csv, dtype=str, nrows=500)["description"].dropna().tolist()
    for kind in KINDS:
        changed = perturb_texts(texts, kind=kind, seed=0)
        assert all(a != b for a, b in zip(texts, changed, strict=True) if len(a.split()) > 1)
