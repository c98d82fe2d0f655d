import unicodedata

import pytest
from confusable_homoglyphs.confusables import confusables_data
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data import labels
from dlcycle.data.labels import LabelGroup, group_labels, is_blank, label_key, strip_invisible

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
INVISIBLE = st.sampled_from(
    ["\u200b", "\u200d", "\ufeff", "\u2060", "\ufe0f", "\u00ad", "\u034f", "\U000e0101", "\x07"]
)
SPACE = st.sampled_from([" ", "\t", "\u00a0", "\u3000", "\n", "\u2003"])


@given(TEXT, st.sampled_from([str.upper, str.lower, str.title, str.swapcase, str.casefold]))
def test_case_does_not_change_the_key(label, change):
    assert label_key(change(label)) == label_key(label)


@given(TEXT, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_normal_form_does_not_change_the_key(label, form):
    assert label_key(unicodedata.normalize(form, label)) == label_key(label)


@given(TEXT, st.lists(st.tuples(st.integers(0, 12), INVISIBLE), max_size=4))
def test_invisible_characters_do_not_change_the_key(label, inserts):
    changed = label
    for position, character in inserts:
        changed = changed[:position] + character + changed[position:]
    assert label_key(changed) == label_key(label)


@given(st.lists(TEXT, min_size=1, max_size=4), SPACE, SPACE, SPACE)
def test_white_space_does_not_change_the_key(words, outer, inner, more):
    assert label_key(outer + (inner + more).join(words) + more) == label_key(" ".join(words))


@given(TEXT)
def test_key_is_its_own_key(label):
    assert label_key(label_key(label)) == label_key(label)


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789 -&/", max_size=10), st.data())
def test_different_letters_keep_different_keys(label, data):
    other = data.draw(st.text("abcdefghijklmnopqrstuvwxyz0123456789 -&/", max_size=10))
    assert (label_key(label) == label_key(other)) == (label.split() == other.split())


@pytest.mark.parametrize("alphabet", ["абвгдежзийклмнопрстуфхцчшщъыьэюяіјѕ", "αβγδεζηθικλμνξοπρστυφχψω", "अआइईउकखगघचछ"])
def test_letters_of_one_script_stay_apart(alphabet):
    assert len({label_key(letter) for letter in alphabet}) == len(alphabet)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("01", "1"),
        ("NA", "N/A"),
        ("NA", "nan"),
        ("O", "0"),
        ("l", "1"),
        ("μm", "mm"),
        ("résumé", "resume"),
        ("c++", "c"),
    ],
)
def test_pairs_that_must_stay_apart(left, right):
    assert label_key(left) != label_key(right)


@pytest.mark.parametrize(
    "variant",
    [
        "BOOKS",
        "books",
        " Books ",
        "Bo\u200boks",
        "B\u043eoks",
        "\u0412\u041e\u041eks",
        "Ｂｏｏｋｓ",
        "Boo\ufe0fks",
        "𝐁ooks",
    ],
)
def test_variants_collide(variant):
    assert label_key(variant) == label_key("Books")


def test_na_stays():
    assert label_key("NA") == "na"
    assert not is_blank("NA")


def test_twins_are_confusable_by_unicode():
    """Each entry is a look-alike of Unicode TS 39, in lower or in upper case."""
    for code, twin in labels._TWINS.items():
        letter = chr(code)
        forms = (letter, letter.upper())
        alike = {item["c"].casefold() for form in forms for item in confusables_data.get(form, [])}
        assert chr(twin) in alike, letter


@given(TEXT)
def test_strip_invisible_keeps_the_rest(text):
    stripped = strip_invisible(text)
    assert not any(unicodedata.category(c) == "Cf" for c in stripped)
    assert is_blank(text) == (not stripped.strip())


def test_groups_name_the_most_frequent_spelling():
    counts = {"Books": 5, "books ": 7, "B\u043eoks": 1, "Toys": 3, "TOYS": 3, "01": 2, "1": 2}
    assert group_labels(counts) == [
        LabelGroup("books ", {"books ": 7, "Books": 5, "B\u043eoks": 1}),
        LabelGroup("TOYS", {"TOYS": 3, "Toys": 3}),
    ]


def test_tie_prefers_visible_spelling():
    assert group_labels({"\u200bBooks": 2, "books": 2})[0].canonical == "books"


@given(st.dictionaries(TEXT, st.integers(1, 9), max_size=8))
def test_groups_are_exactly_the_collisions(counts):
    grouped = {spelling for group in group_labels(counts) for spelling in group.spellings}
    keys = [label_key(label) for label in counts]
    assert grouped == {label for label in counts if keys.count(label_key(label)) > 1}
    for group in group_labels(counts):
        assert counts[group.canonical] == max(group.spellings.values())
