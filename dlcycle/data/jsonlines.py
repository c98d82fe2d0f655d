"""Read JSON Lines strictly: one object a line, every value kept with the very digits the file has."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from dlcycle.data.encoding import TextEncoding
from dlcycle.data.messages import quoted
from dlcycle.data.rawtable import KEPT_CHARACTERS, TableBuilder
from dlcycle.errors import DataError

MAX_COLUMNS = 1000
MAX_LINE = 1 << 27
"""Characters of a line past which line breaks are taken to be missing."""


def read_jsonlines(
    opener: Callable[[], io.BufferedReader],
    *,
    encoding: TextEncoding,
    needed: Mapping[str, str],
    builder: TableBuilder,
) -> None:
    """Read all records of a JSON Lines file into the builder.

    Numbers keep their literal text, true and false become "true" and "false", null is a missing value. A line that is
    not one strict JSON object, has a key twice, or has a list or an object in a needed column is a bad row.

    Args:
        opener: Opens the unpacked bytes.
        encoding: How they are read as text.
        needed: Keys that must exist, with the keys of the project file that name them.
        builder: Takes the records, good and bad.

    Raises:
        DataError: A needed key is in no record, or there are too many different keys.
    """
    decoder = json.JSONDecoder(
        object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=str, parse_float=str, strict=True
    )
    nested: set[str] = set()
    seen: set[str] = set()
    broken = 0
    with encoding.open(opener, newline="\n") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(MAX_LINE), ""), start=1):
            if len(line) == MAX_LINE:
                raise DataError(
                    f"{builder.name}: line {number:,} has over {MAX_LINE:,} characters; expected an object a line"
                )
            text = line.strip(" \t\r\n")
            if not text:
                builder.note("blank_lines")
                continue
            try:
                record = _flat(decoder.decode(text), needed=needed, nested=nested)
            except (ValueError, RecursionError) as error:
                broken += isinstance(error, json.JSONDecodeError)
                builder.reject(number, _reason(error), text[:KEPT_CHARACTERS])
                continue
            seen |= record.keys()
            for key in record:
                if key not in builder.columns:
                    _add_column(key, builder)
            if not needed.keys() <= record.keys():
                builder.note("missing_keys", row=builder.records + 1)
            builder.add([record.get(column) for column in builder.columns], line=number, raw=text[:KEPT_CHARACTERS])
    if builder.lines:
        builder.checked([key for key in builder.columns if key in seen], needed)
    for column in sorted(nested):
        del builder.columns[column]
    if nested:
        builder.note("nested_columns", detail=quoted(sorted(nested)))
    if broken == builder.records:
        builder.hint = "No line is JSON: expected one object a line (jq -c . makes it), or another data.format"


def _add_column(key: str, builder: TableBuilder) -> None:
    if len(builder.columns) >= MAX_COLUMNS:
        raise DataError(
            f"{builder.name}: more than {MAX_COLUMNS:,} different keys; expected objects with the same few keys"
        )
    builder.add_column(key)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} appears twice")
    return record


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _flat(record: object, *, needed: Mapping[str, str], nested: set[str]) -> dict[str, str | None]:
    """Return an object with its values as text; keys of columns that are nested and not needed go into `nested`."""
    if not isinstance(record, dict):
        raise ValueError("not an object; expected one {...} a line")
    flat: dict[str, str | None] = {}
    for key, value in record.items():
        if isinstance(value, (dict, list)):
            if key in needed:
                kind = "an object" if isinstance(value, dict) else "a list"
                raise ValueError(f"column {key!r} holds {kind}, not a text")
            nested.add(key)
            value = None
        elif isinstance(value, bool):
            value = "true" if value else "false"
        flat[key] = value
    return flat


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} (column {error.pos + 1:,})"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)
