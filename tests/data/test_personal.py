import itertools
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data.personal import KINDS, MASK, find_personal, mask_personal

# Published test numbers of the networks, of ISO 13616 and of Verhoeff's scheme; the Aadhaar numbers are nobody's.
CARDS = [
    "4111111111111111",
    "4012888888881881",
    "4222222222222",
    "5555555555554444",
    "2223003122003222",
    "378282246310005",
    "30569309025904",
    "3530111333300000",
    "6011111111111117",
    "6304000000000000",
]
IBANS = [
    "GB29 NWBK 6016 1331 9268 19",
    "DE89 3704 0044 0532 0130 00",
    "FR14 2004 1010 0505 0001 3M02 606",
    "NL91 ABNA 0417 1643 00",
    "NO93 8601 1117 947",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
]
PHONES = [
    "+91 98765 43210",
    "+ 91 9876543210",
    "(+91) 98765-43210",
    "+919876543210",
    "+49 30 1234567",
    "+44 (0)20 7946 0958",
    "+33 1 23 45 67 89",
    "+1 (212) 555-0123",
    "+1-212-555-0123",
    "0049 30 123456",
    "(212) 555-0123",
    "212-555-0123",
    "1-800-555-0199",
    "1800-103-5555",
    "98765 43210",
    "98765-43210",
    "022-23456789",
    "(022) 2345 6789",
    "020 7946 0958",
    "0161 496 0000",
    "030/1234567",
    "01 23 45 67 89",
    "01.23.45.67.89",
]
NOT_PERSONAL = [
    "30 x 40 x 120 cm, 1200 1600 2400 rpm",
    "1920 1080 30fps 720p 1280 720",
    "for mobile 1920 1080 and phone 2018-2019 models",
    "ISBN 978-0-13-110362-7",
    "ISBN-10: 0-13-110362-8",
    "paperback 9788120350489",
    "ISBN 812-555-0965",
    "model no. 212-555-0123",
    "Part 98765-43210",
    "windows 7 8 10 xp 2000 2003 2008",
    "from 1999-2018 and 01-02-2015 to 2015-02-01 12:34:56",
    "10.0.17763.1234 and 192.168.100.200",
    "60000-75000 rpm",
    "-20 -30 -40 to +65 -20 -30 -40",
    "131246518276 c457_8",
    "9876543210",
    "1,234,567,890.12 and 12345678.90",
    "sizes 30 32 34 36 38 40 42 44 46",
    "inspiron 3520 3420 5520 7520 series",
    "logo@2x.png @home a@b user@localhost 50Hz@2.4GHz",
    "https://shop.example/dp/212-555-0123?id=4111111111111111",
    "+1 112 555 0123",
    "3/4 1 1/2 1 3/4 1 1/2",
]


def kinds(text):
    return [kind for kind, _, _ in find_personal(text)]


def check_digit_by_luhn(body):
    """Independent of the module: the digit for which the table-driven sum is a multiple of ten."""
    table = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    total = sum(table[int(c)] if i % 2 == 0 else int(c) for i, c in enumerate(reversed(body)))
    return str(-total % 10)


def check_digit_by_verhoeff(body):
    """Verhoeff's scheme from its published tables, written out."""
    product = [
        "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
        "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
    ]  # fmt: skip
    permuted = [
        "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
    ]  # fmt: skip
    state = 0
    for position, digit in enumerate(reversed(body), start=1):
        state = int(product[state][int(permuted[position % 8][int(digit)])])
    return "0432156789"[state]


def test_reference_of_verhoeff_gives_published_digits():
    assert [check_digit_by_verhoeff(body) for body in ("236", "12345", "142857")] == ["3", "1", "0"]


@pytest.mark.parametrize("number", CARDS)
def test_cards(number):
    assert find_personal(f"Paid with {number}.") == [("card number", 10, 10 + len(number))]
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert kinds(f"Paid with {wrong}.") == []


@pytest.mark.parametrize(
    "text", ["4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "3056 930902 5904"]
)
def test_cards_with_separators(text):
    assert find_personal(f"card: {text} 12/27") == [("card number", 6, 6 + len(text))]


def test_card_among_other_groups():
    assert find_personal("no 1234 4111 1111 1111 1111 1227") == [("card number", 8, 27)]


def test_number_of_no_issuer_is_no_card():
    body = "9" * 15
    assert kinds(body + check_digit_by_luhn(body)) == []


@given(st.from_regex(r"4\d{14}", fullmatch=True), st.integers(1, 9))
def test_only_the_right_check_digit_makes_a_card(body, off):
    body = "".join(str(int(c)) for c in body)
    right = int(check_digit_by_luhn(body))
    assert kinds(f"{body}{right}") == ["card number"]
    assert kinds(f"{body}{(right + off) % 10}") == []


@given(st.from_regex(r"[2-9][0-9]{10}", fullmatch=True), st.integers(0, 11), st.integers(1, 9))
def test_aadhaar_is_checked_by_verhoeff(body, position, off):
    number = body + check_digit_by_verhoeff(body)
    grouped = f"{number[:4]} {number[4:8]} {number[8:]}"
    assert kinds(f"id {number} given") == kinds(f"id {grouped} given") == ["Aadhaar"]
    # the scheme detects every change of one digit
    changed = number[:position] + str((int(number[position]) + off) % 10) + number[position + 1 :]
    assert "Aadhaar" not in kinds(f"id {changed} given")


def test_aadhaar_does_not_begin_with_0_or_1():
    for first in "01":
        body = first + "2345678901"
        assert "Aadhaar" not in kinds(body + check_digit_by_verhoeff(body))


def test_aadhaar_in_devanagari_digits():
    number = "23456789012"
    number += check_digit_by_verhoeff(number)
    assert kinds("आधार " + number.translate(str.maketrans("0123456789", "०१२३४५६७८९"))) == ["Aadhaar"]


@pytest.mark.parametrize("iban", IBANS)
def test_ibans(iban):
    compact = iban.replace(" ", "")
    assert find_personal(f"to {iban}, please") == [("IBAN", 3, 3 + len(iban))]
    assert find_personal(f"to {compact}, please") == [("IBAN", 3, 3 + len(compact))]
    assert kinds(f"to {compact.lower()}, please") == ["IBAN"]
    swapped = compact[:-2] + ("7" if compact[-2] != "7" else "1") + compact[-1]
    assert "IBAN" not in kinds(f"to {swapped}, please")
    assert "IBAN" not in kinds(f"to {compact}9, please")


@pytest.mark.parametrize("address", ["ann@example.org", "a.b+c_d@mail.example.co.in", "x@y.de", "संपर्क@उदाहरण.भारत"])
def test_addresses(address):
    text = f"mailto:{address}. Thanks"
    (item,) = find_personal(text)
    assert item == ("e-mail", 7, 7 + len(address))


@pytest.mark.parametrize("phone", PHONES)
def test_phones(phone):
    text = f"Reach us: {phone}, daily"
    assert find_personal(text) == [("phone", 10, 10 + len(phone))]


@pytest.mark.parametrize(
    "text",
    [
        "call 9876543210",
        "contact brand at 1800 419 0505 9 am to 7 pm",
        "contact_us on 18001217377",
        "Tel.: 23456789",
        "WhatsApp no. 6355150044",
        "फोन नंबर 9876543210",
        "电话13812345678",
    ],
)
def test_announced_numbers_are_phones(text):
    assert kinds(text) == ["phone"]


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_texts_about_goods_hold_no_personal_data(text):
    assert find_personal(text) == []


def test_digits_after_a_phone_are_not_part_of_it():
    assert find_personal("+91 98765 43210 2 pcs") == [("phone", 0, 15)]
    assert find_personal("+91 98765 43210 1800 rupees") == [("phone", 0, 15)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ann@example.org", "a••@•••••••.org"),
        ("x@y.de", "•@•.de"),
        ("4111 1111 1111 1111", "4••• •••• •••• ••11"),
        ("DE89 3704 0044 0532 0130 00", "D••• •••• •••• •••• •••• 00"),
        ("+91 98765 43210", "+9• ••••• •••10"),
        ("nothing here", "nothing here"),
    ],
)
def test_masks(text, masked):
    assert mask_personal(text) == masked


ITEMS = [*CARDS, *IBANS, *PHONES, *NOT_PERSONAL, "ann@example.org", "234567890124", "2345 6789 0124"]
PIECES = st.one_of(st.sampled_from(ITEMS), st.text("0123456789 +-./()@a.", max_size=12), st.text(max_size=5))


@given(st.lists(PIECES, max_size=6), st.sampled_from(["", " ", ", ", "-", "\n"]))
def test_masking_leaves_nothing_to_find(pieces, separator):
    text = separator.join(pieces)
    found = find_personal(text)
    assert all(kind in KINDS and 0 <= start < end <= len(text) for kind, start, end in found)
    assert all(left[2] <= right[1] for left, right in itertools.pairwise(found))
    masked = mask_personal(text)
    assert len(masked) == len(text)
    assert find_personal(masked) == []
    assert (masked == text) == (not found)
    for _, start, end in found:
        assert MASK in masked[start:end]
    # outside of what the mask covers nothing changes
    assert all(after in (before, MASK) for before, after in zip(text, masked, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000 + "@",
        "a@" * 100_000,
        "a." * 100_000 + "@" + "a." * 100_000,
        "1 " * 100_000,
        "12-" * 70_000,
        "1" * 200_000,
        "+1 " * 70_000,
        "call " * 40_000,
        "call " + "11 " * 70_000,
        "DE89 " * 40_000,
        "https://" * 25_000,
        "ann@example.org " * 10_000,
    ],
    ids=lambda text: text[:9],
)
def test_time_grows_with_the_length_only(text):
    """A quadratic pattern needs minutes here; these take well under a second each."""
    start = time.perf_counter()
    mask_personal(text)
    assert time.perf_counter() - start < 10


def test_product_numbers_by_chance():
    """Runs of 13 digits from 978 are ISBNs; of 12 from 0 UPCs; dimensions are anything. None of them is personal."""
    random.seed(0)
    texts = [f"paperback 978{random.randrange(10**10):010} {random.randrange(10**4)} pages" for _ in range(2000)]
    texts += [f"upc 0{random.randrange(10**11):011}" for _ in range(2000)]
    texts += [" ".join(f"{random.randrange(10, 1000)}" for _ in range(3)) + " mm" for _ in range(2000)]
    assert [text for text in texts if find_personal(text)] == []


def test_three_numbers_of_four_digits_pass_for_aadhaar_one_time_in_ten():
    """What a check digit leaves to chance: a tenth, and not more."""
    random.seed(0)
    texts = [" ".join(f"{random.randrange(2000, 9999)}" for _ in range(3)) for _ in range(5000)]
    share = sum(kinds(text) == ["Aadhaar"] for text in texts) / len(texts)
    # four standard errors of a share of 0.1 in 5,000
    assert abs(share - 0.1) < 0.017


def test_real_descriptions(ecommerce_csv):
    """Of 10,361 descriptions about a hundred announce a phone number; most other numbers are sizes and models."""
    import pandas as pd

    texts = pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)["description"]
    found = [kinds(text) for text in texts]
    assert 90 <= sum("phone" in row for row in found) <= 115
    assert sum(kind != "phone" for row in found for kind in row) <= 1


@pytest.mark.parametrize("between", [" ", ", ", " or ", "/", " & "])
def test_every_number_after_an_announcing_word_is_masked(between: str) -> None:
    masked = mask_personal(f"please call 1800 180 3366{between}98765 43210 for 12 months")
    assert masked.endswith("10 for 12 months")
    assert "3366" not in masked
    assert "98765" not in masked
    # A width and height after a number are none.
    assert mask_personal("call 1800 180 3366, 1920 1080").endswith(", 1920 1080")
