"""Tables for people's spreadsheets: CSV in which no text is taken for a formula.

A spreadsheet computes a cell that begins with `=`, `+`, `-` or `@`, and a formula can send the sheet's content to a
stranger or start a program (CWE-1236). Quotes do not help, because they are taken off before the cell is looked at.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np

from dlcycle.data.labels import strip_invisible
from dlcycle.data.messages import several, shown
from dlcycle.errors import DataError

GUARD = "'"
"""Put before a text that a spreadsheet could take for a formula."""
SIGNS = frozenset("=+-@＝＋－＠﹦﹢﹣﹫")
"""First characters of a formula; spreadsheets of East Asia also take the full-width and the small ones."""
_BREAKS = "\t\r\n"
_QUOTES = "\"'＂＇"
# Where a new cell may begin inside a text: a spreadsheet of a country whose decimal sign is the comma separates cells
# by semicolons, and pasted text is separated by tabs; either ends the quotes that hold a line break together.
_SEPARATORS = re.compile(f"([;{_BREAKS}])")
_SURROGATES = re.compile("[\ud800-\udfff]")


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Write a table as CSV that a person can open in a spreadsheet without running what a text says.

    A text gets a leading apostrophe when it begins with a sign of `SIGNS`, a tab or a line break, also after white
    space, invisible characters and quotes, which some spreadsheets trim. Inside a text the same is done after
    semicolons, tabs and line breaks. Numbers stay numbers, negative ones too.

    For Excel, save the result in the encoding "utf-8-sig" and with newline="".

    Args:
        columns: k names.
        rows: Lines of k cells: int, float, str or None, which becomes an empty cell; anything else as its text.

    Returns:
        CSV by RFC 4180: commas, CRLF, fields quoted where needed. It can be encoded in UTF-8: half characters (lone
        surrogates) become U+FFFD.

    Raises:
        DataError: A line has another number of cells than there are columns.

    Source: OWASP, CSV Injection.

    Example:
        >>> to_csv(["row", "text"], [[-1, "=1+1"], [2, "red, new"]])
        'row,text\r\n-1,\'=1+1\r\n2,"red, new"\r\n'
    """
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([_guarded(name) for name in columns])
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            cells = f"{several(len(columns), 'cell')} for {', '.join(map(shown, columns))}"
            raise DataError(f"expected {cells} in line {number:,} of a table, got {len(row):,}")
        writer.writerow([_cell(value) for value in row])
    return file.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    # nan and -inf are no numbers to a spreadsheet
    if isinstance(value, (int, np.integer)) or (isinstance(value, (float, np.floating)) and math.isfinite(value)):
        return value
    return _guarded(str(value))


def _guarded(text: str) -> str:
    """Return a text with apostrophes where a spreadsheet could see the start of a formula."""
    pieces = _SEPARATORS.split(_SURROGATES.sub("\ufffd", text))
    guarded = "".join(GUARD + piece if _first_visible(piece) in SIGNS else piece for piece in pieces)
    return GUARD + guarded if _first_visible(pieces[0]) == "" and pieces[1:2] and pieces[1] in _BREAKS else guarded


def _first_visible(piece: str) -> str:
    """Return the first character that is neither white space, invisible nor a quote; "" without any."""
    for character in piece:
        if not (character.isspace() or character in _QUOTES or not strip_invisible(character)):
            return character
    return ""
