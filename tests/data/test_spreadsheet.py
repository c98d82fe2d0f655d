import csv
import io
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dlcycle.data.spreadsheet import to_csv
from dlcycle.errors import DataError

DANGEROUS = "=+-@\t\r\n＝＋－＠"
HOSTILE = st.text(st.one_of(st.sampled_from(DANGEROUS + " ;,\"'\u00a0\u200b\ufeff\x00\u2028\u3164"), st.characters()))


def parsed(table: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(table, newline=""), delimiter=delimiter, strict=True))


def trimmed(cell: str) -> str:
    """The cell as a spreadsheet that trims generously sees it; written without the code under test."""
    while cell and (cell[0].isspace() or unicodedata.category(cell[0]) in ("Cc", "Cf") or cell[0] in "\u3164\u2800"):
        cell = cell[1:]
    return cell


def is_dangerous(cell: str) -> bool:
    return cell[:1] in tuple(DANGEROUS) or trimmed(cell)[:1] in tuple(DANGEROUS)


@pytest.mark.parametrize(
    "text",
    [
        *(sign + "1+1" for sign in DANGEROUS),
        "=cmd|' /C calc'!A0",
        "  =1",
        "\u00a0\u200b=1",
        "\ufeff=1",
        "\x00=1",
        "\u3164=1",
        '"=1',
        " '=1",
        "\u200b\t1",
        "'=1",
    ],
)
def test_a_text_that_could_be_a_formula_gets_an_apostrophe(text: str) -> None:
    (_, (cell,)) = parsed(to_csv(["text"], [[text]]))
    assert cell.startswith("'")
    assert len(cell) > len(text)


@settings(deadline=None)
@given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=4))
@example([("=1", "\r=1"), ("\u2028=", "\u200b\n-")])
def test_no_cell_of_any_text_starts_like_a_formula(rows: list[tuple[str, str]]) -> None:
    table = parsed(to_csv(["=first", "second"], rows))
    assert len(table) == len(rows) + 1
    assert not [cell for line in table for cell in line if is_dangerous(cell)]


@settings(deadline=None)
@given(HOSTILE, HOSTILE)
def test_reading_by_semicolons_or_tabs_finds_no_formula_either(first: str, second: str) -> None:
    table = to_csv(["a", "b"], [[first, second]])
    for separator in (";", "\t"):
        # every place where a careless reader could begin a cell inside a text
        pieces = [piece for line in table.splitlines() for piece in line.split(separator)[1:]]
        assert not [piece for piece in pieces if trimmed(piece)[:1] in tuple("=+-@＝＋－＠")]


@settings(deadline=None)
@given(st.lists(st.text(st.sampled_from('abc ,"é€😀\u0939\u093f'), max_size=12), min_size=2, max_size=2))
def test_harmless_texts_come_back_as_they_were(cells: list[str]) -> None:
    assert parsed(to_csv(["a", "b"], [cells]))[1] == cells


def test_what_was_guarded_is_otherwise_unchanged() -> None:
    texts = ["=1,2", '-"x"', "@a\nb", "it's - fine", "a=b", "5; -3", "x\n- y", "\t"]
    cells = [line[0] for line in parsed(to_csv(["text"], [[text] for text in texts]))[1:]]
    assert cells == ["'=1,2", '\'-"x"', "'@a\nb", "it's - fine", "a=b", "5;' -3", "x\n'- y", "'\t"]


def test_numbers_stay_numbers() -> None:
    row = [-1, -0.5, 10**400, np.int64(-7), np.float32(-0.25), True, None, float("-inf"), "-1"]
    cells = parsed(to_csv([*"abcdefghi"], [row]))[1]
    assert cells == ["-1", "-0.5", str(10**400), "-7", "-0.25", "True", "", "'-inf", "'-1"]


def test_the_form_is_that_of_rfc_4180() -> None:
    assert to_csv(["a", "b"], [["x", 'say "hi", now'], ["", "two\nlines"]]) == (
        'a,b\r\nx,"say ""hi"", now"\r\n,"two\nlines"\r\n'
    )
    assert to_csv(["a"], []) == "a\r\n"
    assert parsed(to_csv(["a"], [[None], ["x"]])) == [["a"], [""], ["x"]]


def test_half_characters_do_not_stop_the_file_from_being_written() -> None:
    assert "\ufffd" in to_csv(["a"], [["\ud800"]]).encode().decode()


def test_a_line_of_the_wrong_width_is_refused() -> None:
    with pytest.raises(DataError, match="expected 2 cells for 'a', 'b' in line 2 of a table, got 1"):
        to_csv(["a", "b"], [[1, 2], [3]])
