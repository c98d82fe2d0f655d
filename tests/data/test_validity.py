import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.data.messages import EXAMPLES, EXCERPT_CHARACTERS
from dlcycle.data.personal import find_personal
from dlcycle.data.validity import REPEATS, TITLES, describe_validity, merge_validity, scan_texts

GOOD = "A sturdy shelf of oak, 30 x 40 cm, <3 & more"


def scan(texts, **options):
    n = len(texts)
    return scan_texts(texts, rows=range(1, n + 1), lines=range(2, n + 2), labels=["Toys"] * n, **options)


def failed(text, **options):
    return [name for name, check in scan([text], **options)["checks"].items() if check["count"]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (GOOD, []),
        (None, ["missing"]),
        ("", ["missing"]),
        (" \u200b\u00a0", ["blank"]),
        (" " * 500, ["blank"]),
        (" " * 500 + GOOD, []),
        ("one \ufffd two three", ["control_characters"]),
        ("one \x00 two three", ["control_characters"]),
        ("one\ttwo\nthree", []),
        ("the cafÃ© is open", ["mojibake"]),
        ("the café is open", []),
        ("donâ€™t touch this", ["mojibake"]),
        ("a <b>bold</b> word", ["markup"]),
        ("one<br/>two three four", ["markup"]),
        ('a <a title="x">link</a> here', ["markup"]),
        ("salt &amp; pepper mill", ["markup"]),
        ("salt &#38; pepper mill", ["markup"]),
        ("if a < b and c > d", []),
        ("a <name> for you", []),
        ("R&D; and so on", []),
        ("see https://example.org for more", ["links"]),
        ("see WWW.example.org for more", ["links"]),
        ("see Www.example.org for more", ["links"]),
        ("see www for more", []),
        ("two words", ["very_short"]),
        ("三个字的书架很好", []),
        ("word " * 2001, ["very_long", "repeated"]),
        ("a good one " + "!" * (REPEATS + 1), ["repeated"]),
        ("a good one " + "!" * REPEATS, []),
        ("so " + "Buy buy " * 11, ["repeated"]),
        ("so " + "buy " * REPEATS, []),
        ("ab " * 15 + "ba " * 15, []),
        ("one two three" + " " * 50 + "four", []),
    ],
)
def test_checks(text, names):
    assert failed(text) == names


@given(st.integers(0, 40), st.integers(1, 60), st.integers(0, 40))
def test_repetition_is_found_wherever_it_stands(before, times, after):
    """The samples of every fifth must not miss a run, wherever it begins."""
    around = [f"w{i}" for i in range(before)], [f"v{i}" for i in range(after)]
    text = " ".join([*around[0], *["same"] * times, *around[1]])
    assert ("repeated" in failed(text)) == (times > REPEATS)
    text = " ".join(around[0]) + "#" * times + " ".join(around[1])
    assert ("repeated" in failed(text)) == (times > REPEATS) == bool(re.search(r"(\S)\1{20}", text))


def test_max_words_is_a_bound():
    text = " ".join(map(str, range(50)))
    assert failed(text, max_words=49) == ["very_long"]
    assert failed(text, max_words=50) == []


def test_examples_are_the_smallest_rows_and_show_the_place():
    texts = ["x" * 1000 + " and then <p>here</p>"] * 9
    rows = [9, 3, 5, 7, 1, 8, 2, 6, 4]
    state = scan_texts(texts, rows=rows, lines=[10 * row for row in rows], labels=[f"c{row}" for row in rows])
    examples = state["checks"]["markup"]["examples"]
    assert [(e["row"], e["line"], e["label"]) for e in examples] == [(i, 10 * i, f"c{i}") for i in range(1, 6)]
    assert all("<p>" in e["text"] and len(e["text"]) <= EXCERPT_CHARACTERS for e in examples)


def test_personal_data_is_counted_by_row_and_masked():
    text = "Write to ann@example.org, bob@example.org or call +91 98765 43210"
    described = describe_validity(scan([text, "nothing to see here", text]), 3)
    assert [(item["kind"], item["rows"]) for item in described["personal"]] == [("e-mail", 2), ("phone", 2)]
    example = described["personal"][0]["examples"][0]
    assert example == {
        "row": 1,
        "line": 2,
        "masked": "Write to a••@•••••••.org, b••@•••••••.org or call +9• ••••• •••10",
    }


SECRETS = ["ann@example.org", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "+91 98765 43210"]
TEXTS = st.one_of(
    st.none(),
    st.sampled_from([GOOD, "", " ", "short", "<p>x</p>", "a \ufffd b c", "cafÃ© x y", "z" * 30, "w " * 30]),
    st.sampled_from([f"{word} {secret} <b>" for secret in SECRETS for word in ("x " * 95, "mail", "x" * 195)]),
    st.text(max_size=20),
)


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_one_shard_equals_many_in_any_order(texts, rng):
    order = list(range(len(texts)))
    rng.shuffle(order)
    cuts = sorted(rng.choices(range(len(order) + 1), k=rng.randint(0, 4)))
    shards = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]
    states = [
        scan_texts(
            [texts[i] for i in shard],
            rows=[i + 1 for i in shard],
            lines=[i + 2 for i in shard],
            labels=["Toys"] * len(shard),
        )
        for shard in shards
    ]
    rng.shuffle(states)
    whole = scan(texts)
    assert merge_validity(states) == whole
    half = rng.randint(0, len(states))
    assert merge_validity([merge_validity(states[:half]), merge_validity(states[half:])]) == whole


@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=1, max_size=10), st.sampled_from([*SECRETS, "Toys", None]))
def test_state_is_plain_and_holds_no_personal_data(texts, label):
    n = len(texts)
    state = scan_texts(texts, rows=range(1, n + 1), lines=range(1, n + 1), labels=[label] * n)
    assert json.loads(json.dumps(state, allow_nan=False)) == state
    json.dumps(state, ensure_ascii=False).encode()
    for found in (*state["checks"].values(), *state["personal"].values()):
        assert len(found["examples"]) == min(EXAMPLES, found["count"])
        for example in found["examples"]:
            for value in (example.get("text", ""), example.get("label", ""), example.get("masked", "")):
                assert find_personal(value) == []
                assert len(value) <= EXCERPT_CHARACTERS
                assert not any(secret in value for secret in SECRETS)


def test_number_cut_by_the_excerpt_is_masked():
    text = "x" * 180 + " 4111 1111 1111 1111 <b>"
    (example,) = scan([text])["checks"]["repeated"]["examples"]
    assert "4111" not in example["text"] and "4•••" in example["text"]


def test_no_rows():
    assert merge_validity([]) == scan([])
    described = describe_validity(merge_validity([]), 0)
    assert [check["name"] for check in described["checks"]] == list(TITLES)
    assert all(check["share"] == 0 and check["count"] == 0 and check["examples"] == [] for check in described["checks"])
    assert described["personal"] == []


def test_shares_refer_to_the_rows_given():
    checks = {check["name"]: check for check in describe_validity(scan(["a", "b", GOOD]), 6)["checks"]}
    assert checks["very_short"]["count"] == 2
    assert checks["very_short"]["share"] == pytest.approx(1 / 3)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="zip"):
        scan_texts(["a", "b"], rows=[1], lines=[1], labels=["x"])


def test_injected_faults_are_all_found(ecommerce_csv):
    """Real descriptions are clean but for short ones; faults put into them are found, each, and no other appears."""
    import pandas as pd

    texts = pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)["description"].head(2000).tolist()
    before = {name: check["count"] for name, check in scan(texts)["checks"].items()}
    faults = {
        "control_characters": " \ufffd ",
        "mojibake": " cafÃ© ",
        "markup": " <br> ",
        "links": " https://example.org/ ",
        "repeated": "-" * 30,
    }
    rng = random.Random(0)
    chosen = rng.sample(range(len(texts)), 100)
    for position, index in enumerate(chosen):
        fault = list(faults.values())[position % 5]
        cut = texts[index].rfind(" ", 0, rng.randrange(1, len(texts[index]) + 1))
        texts[index] = texts[index][: max(cut, 0)] + fault + texts[index][max(cut, 0) :]
    after = {name: check["count"] for name, check in scan(texts)["checks"].items()}
    assert {name: after[name] - before[name] for name in faults} == dict.fromkeys(faults, 20)
    assert before["markup"] == before["mojibake"] == before["control_characters"] == 0
