"""The schema of a data set: what its columns held when it was frozen, and what later data do against it.

A schema is inferred from a profile, frozen as TOML that a person reviews and edits, and checked against the profile of
the next data. The anomalies have the names of a validation system for production learning (Breck et al., 2019, Data
Validation for Machine Learning). Limits get slack when they are inferred, so the data that made a schema pass it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from dlcycle.data.messages import EXAMPLES, EXCERPT_CHARACTERS, quoted, shown
from dlcycle.data.personal import find_personal
from dlcycle.errors import DataError

VERSION = 1
SLACK = 2
"""Factor between what was seen and what is allowed: texts twice as long, half of the rows, twice the missing share."""
LEAST_MISSING_SHARE = 0.01
"""Missing share that is always allowed, so that one empty cell in a column without any is no anomaly."""
DOMAIN_VALUES = 100
"""Most values that a domain lists; with more, new values are everyday events."""
LANGUAGE_WARNING, LANGUAGE_CRITICAL = 0.01, 0.10
"""Share of rows in other languages: below the first detection errors explain it, at the second it is a language of
the data set."""

_SEVERITIES = ("critical", "warning", "note")
_READ_AS = {"number": ("number", "integer"), "text": ("text", "category"), "category": ("category", "text")}
"""Types that a column may take besides its own: whole numbers are numbers, and few or many values are both text."""
_ORDERED = ("integer", "number", "date")
_HEAD = f"""\
# What the columns held when this schema was frozen. Every run compares its data with it and reports what differs.
# Paste it into the project file, or keep it in a file of its own and name that with schema = "FILE".
# Review and edit it; a key that is deleted is no longer checked.
#   required                the project reads the column, so it must be there
#   missing_share_at_most   {SLACK} times the share seen, at least {LEAST_MISSING_SHARE}; 1.0 allows any
#   domain                  every value that may occur
#   smallest, largest       as seen; dates have no largest, because time goes on
#   words_at_most           {SLACK} times the longest text seen
#   languages               ISO 639-1 codes; an empty list allows any
#   rows_at_least           the rows seen, divided by {SLACK}
"""


def infer_schema(profile: Mapping[str, Any], *, languages: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Derive a schema from a profile, to be reviewed by a person.

    Columns that the project reads are required. A domain is frozen for the target and for category columns whose
    listed values cover all rows; a range for numbers; the first date for dates; a length for texts.

    Args:
        profile: As `dlcycle.data.profile.describe_profile` returns it.
        languages: As `dlcycle.data.language.describe_languages` returns it; None, or with a `reason`, allows any.

    Returns:
        Plain data: version, rows_at_least, languages (codes), and columns by name, each with type, required,
        missing_share_at_most and, where they apply, domain, smallest, largest, words_at_most. No value is None.

    Example:
        >>> name = {"name": "price", "role": "other", "type": "integer", "rows": 4, "missing": 1, "top": [],
        ...         "smallest": "3", "largest": "9", "words": None}
        >>> infer_schema({"rows": 4, "columns": [name], "classes": []})["columns"]["price"]
        {'type': 'integer', 'required': False, 'missing_share_at_most': 0.5, 'smallest': '3', 'largest': '9'}
    """
    counts = (languages or {}).get("counts") or []
    return {
        "version": VERSION,
        "rows_at_least": profile["rows"] // SLACK,
        "languages": sorted(count["code"] for count in counts if count["expected"] and count["code"] != "unknown"),
        "columns": {_scalar(column["name"]): _inferred(column, profile) for column in profile["columns"]},
    }


def schema_to_toml(schema: Mapping[str, Any]) -> str:
    r"""Write a schema as commented TOML under the table [schema].

    Args:
        schema: As `infer_schema` returns it; keys whose value is None are left out.

    Returns:
        Text that TOML reads back as the same schema. Characters that an editor does not show are written as escapes.

    Example:
        >>> text = schema_to_toml({"version": 1, "columns": {"a b": {"type": "category", "domain": ["x\u200b"]}}})
        >>> print(text[text.index("[schema]") :].strip())
        [schema]
        version = 1
        <BLANKLINE>
        [schema.columns."a b"]
        type = "category"
        domain = ["x\u200b"]
    """
    top = {key: value for key, value in schema.items() if key != "columns"}
    tables = [_table("schema", top)]
    tables += [_table(_column_table(name), rule) for name, rule in schema["columns"].items()]
    return "\n".join([_HEAD + tables[0], *tables[1:]] if len(tables) > 1 else [_HEAD + tables[0] + "columns = {}\n"])


def check_schema(
    schema: Mapping[str, Any], profile: Mapping[str, Any], *, languages: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Report what the data do against a schema.

    Severity: critical when a column that the project reads is absent, empty or of another type, when the target holds
    a new label, and when 10 % of the rows are in other languages; a note for a new column, for less than 1 % of the
    rows in other languages and for what could not be compared; a warning for everything else.

    Args:
        schema: As `infer_schema` returns it or TOML reads it. Keys that are absent, None or empty are not checked.
        profile: Of the data to check.
        languages: Of the data to check.

    Returns:
        Findings, most important first. `name` is one of missing_column, new_column, type_changed, new_value,
        out_of_range, too_many_missing, unexpected_language, text_too_long, too_few_rows; `count` is the number of
        rows concerned, a lower bound where the profile does not tell; `config` holds the lines that accept what was
        seen.

    Raises:
        DataError: The schema has another version, or a limit that is no number or date.

    Example:
        >>> [finding["message"] for finding in check_schema({"version": 1, "columns": {}, "rows_at_least": 100},
        ...                                                 {"rows": 7, "columns": []})]
        ['There are 7 rows, and the schema asks for at least 100']
    """
    if schema.get("version", VERSION) != VERSION:
        raise DataError(
            f"schema.version is {schema['version']!r}, expected {VERSION}; infer and freeze the schema anew"
        )
    rules: Mapping[str, Any] = schema.get("columns") or {}
    columns = {_scalar(column["name"]): column for column in profile["columns"]}
    findings = [*_rows_and_languages(schema, profile["rows"], languages)]
    findings += [_missing_column(name) for name in rules if rules[name].get("required") and name not in columns]
    findings += [_new_column(name, columns[name]) for name in columns if name not in rules]
    for name in (name for name in rules if name in columns):
        findings += _column_findings(name, rules[name], columns[name], profile)
    for finding in findings:
        finding["share"] = min(1.0, finding["count"] / profile["rows"]) if profile["rows"] else 0.0
    return sorted(findings, key=lambda f: (_SEVERITIES.index(f["severity"]), -f["count"], f["name"], f["title"]))


def _inferred(column: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    rows, kind = column["rows"], column["type"]
    rule: dict[str, Any] = {
        "type": kind,
        "required": column["role"] != "other",
        "missing_share_at_most": max(LEAST_MISSING_SHARE, _share(SLACK * column["missing"], rows)),
    }
    values, unlisted = _listed_values(column, profile)
    target = column["role"] == "target"
    # The profile cuts the values that it lists: one of full length may stand for several.
    whole = not unlisted and (target or all(len(value) < EXCERPT_CHARACTERS for value in values))
    # A list of values that hold personal data belongs into no file.
    whole = whole and not any(find_personal(value) for value in values)
    if (target or kind == "category") and whole and 0 < len(values) <= DOMAIN_VALUES:
        return rule | {"domain": sorted(values)}
    if kind in _ORDERED and column["smallest"] is not None:
        rule["smallest"] = column["smallest"]
        if kind != "date":
            rule["largest"] = column["largest"]
    if kind == "text" and column["words"]:
        rule["words_at_most"] = SLACK * column["words"]["max"]
    return rule


def _share(part: int, rows: int) -> float:
    """Return a share as a limit: rounded up to four digits, so that what was seen is within it; 1 without rows."""
    return min(1.0, -(-part * 10_000 // rows) / 10_000) if rows else 1.0


def _listed_values(column: Mapping[str, Any], profile: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Return the rows of each value that the profile lists, and how many rows hold other values."""
    if column["role"] == "target" and profile.get("classes"):
        # The classes are all labels; a row whose label shows nothing has none.
        return {_scalar(item["label"]): item["rows"] for item in profile["classes"]}, 0
    values = {_scalar(item["value"]): item["count"] for item in column["top"]}
    return values, max(0, column["rows"] - column["missing"] - sum(values.values()))


def _finding(
    severity: str, name: str, message: str, decision: str, config: str, *, count: int = 0, **more: Any
) -> dict[str, Any]:
    title = name.replace("_", " ").capitalize()
    head = {"severity": severity, "name": name, "pillar": "Validity", "title": title, "message": message}
    tail = {"examples": [], "cleaning": "", "decision": decision, "config": config}
    return head | {"count": int(count), "share": 0.0} | tail | more


def _rows_and_languages(
    schema: Mapping[str, Any], rows: int, languages: Mapping[str, Any] | None
) -> Iterator[dict[str, Any]]:
    least, allowed = schema.get("rows_at_least") or 0, list(schema.get("languages") or [])
    if rows < least:
        message = f"There are {rows:,} rows, and the schema asks for at least {least:,}"
        decision = "Is the delivery complete? If so, lower the limit"
        config = _table("schema", {"rows_at_least": rows})
        yield _finding("warning", "too_few_rows", message, decision, config)
    if not allowed:
        return
    if not languages or languages.get("counts") is None:
        reason = (languages or {}).get("reason", "they were not detected")
        message = f"The languages were not compared with the schema: {reason}"
        yield _finding("note", "unexpected_language", message, "", "", title="Languages not checked")
        return
    others = [count for count in languages["counts"] if count["code"] not in (*allowed, "unknown") and count["rows"]]
    if others:
        yield _unexpected_language(others, allowed, languages)


def _unexpected_language(
    others: Sequence[Mapping[str, Any]], allowed: list[str], languages: Mapping[str, Any]
) -> dict[str, Any]:
    rows, codes = sum(count["rows"] for count in others), [count["code"] for count in others]
    share = rows / max(1, languages["rows"])
    severity = "critical" if share >= LANGUAGE_CRITICAL else "warning" if share >= LANGUAGE_WARNING else "note"
    named = ", ".join(f"{count['language']} ({count['rows']:,})" for count in others[:EXAMPLES])
    named += f" and {len(others) - EXAMPLES:,} more" if len(others) > EXAMPLES else ""
    message = f"{rows:,} rows are in languages that the schema does not allow ({', '.join(allowed)}): {named}"
    found = [e for item in languages.get("unexpected", []) if item["code"] in codes for e in item["examples"]]
    return _finding(
        severity,
        "unexpected_language",
        message,
        "Do these rows belong to the data set? If so, allow their languages",
        _table("schema", {"languages": sorted({*allowed, *codes})}),
        count=rows,
        examples=sorted(found, key=lambda example: example["row"])[:EXAMPLES],
    )


def _missing_column(name: str) -> dict[str, Any]:
    message = f"Column {shown(name)} is absent, and the schema requires it"
    decision = "Was it renamed? If it is no longer needed, do not require it"
    return _column_finding("critical", "missing_column", name, message, decision, {"required": False})


def _new_column(name: str, column: Mapping[str, Any]) -> dict[str, Any]:
    message = f"Column {shown(name)} ({column['type']}) is not in the schema"
    decision = "Does it belong to the data? If so, add it to the schema"
    return _column_finding("note", "new_column", name, message, decision, {"type": column["type"]})


def _column_finding(
    severity: str, name: str, column: str, message: str, decision: str, config: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    finding = _finding(severity, name, message, decision, _table(_column_table(column), config), **more)
    return finding | {"title": f"{finding['title']}: {shown(column)}"}


def _column_findings(
    name: str, rule: Mapping[str, Any], column: Mapping[str, Any], profile: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    yield from _missing_values(name, rule, column)
    held = column["rows"] - column["missing"]
    if not held:
        return
    domain = rule.get("domain")
    if domain:
        # A domain says more than a type: labels 0 and 1 may pass for truth values, integers or categories.
        yield from _new_values(name, domain, column, profile)
        return
    kind = column["type"]
    expected = rule.get("type") or kind
    accepted = _READ_AS.get(expected, (expected,))
    if kind not in (*accepted, "empty"):
        fits = 0 if expected in ("text", "category") else sum(column["types"].get(type_, 0) for type_ in accepted)
        message = f"Column {shown(name)} holds type {kind}, the schema says {expected}"
        severity = "critical" if rule.get("required") else "warning"
        decision, config = "Is the column still the same? If so, accept the new type", {"type": kind}
        yield _column_finding(severity, "type_changed", name, message, decision, config, count=max(1, held - fits))
        return
    yield from _out_of_range(name, rule, column)
    yield from _too_long(name, rule, column)


def _missing_values(name: str, rule: Mapping[str, Any], column: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    limit, rows, missing = rule.get("missing_share_at_most"), column["rows"], column["missing"]
    if limit is None or not rows or missing / rows <= limit:
        return
    message = f"{missing:,} of {rows:,} rows of column {shown(name)} are empty ({missing / rows:.1%})"
    yield _column_finding(
        "critical" if missing == rows and rule.get("required") else "warning",
        "too_many_missing",
        name,
        f"{message}, the schema allows {limit:.1%}",
        "Is the delivery complete? If so, raise the limit",
        {"missing_share_at_most": _share(missing, rows)},
        count=missing,
        cleaning="Rows without text or label are removed" if column["role"] in ("input", "target") else "",
    )


def _new_values(
    name: str, domain: Sequence[str], column: Mapping[str, Any], profile: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    target = column["role"] == "target"
    values, left = _listed_values(column, profile)
    known = {_scalar(value)[:EXCERPT_CHARACTERS] for value in domain}
    new = {value: rows for value, rows in values.items() if value[:EXCERPT_CHARACTERS] not in known}
    hidden = max(0, column["distinct"]["low"] - len(known) - len(new)) if left else 0
    if new or hidden:
        unlisted = f"{' and ' if new else ''}at least {hidden:,} more that the profile does not list" if hidden else ""
        config = {"domain": [] if hidden else sorted({*domain, *new})}
        yield _column_finding(
            "critical" if target else "warning",
            "new_value",
            name,
            f"Column {shown(name)} holds values that the schema does not list: {quoted(new)}{unlisted}",
            "Is it a spelling to be mended or a new kind? Accept it only in the second case",
            config,
            count=max(sum(new.values()), len(new) + hidden),
            examples=[s for s in profile.get("samples", []) if target and s["label"] in new][:EXAMPLES],
        )
    elif left:
        message = f"{left:,} rows of column {shown(name)} hold values that the profile does not list"
        message += ", they were not compared with the schema"
        yield _column_finding("note", "new_value", name, message, "", {"domain": []}, title="Values not checked")


def _out_of_range(name: str, rule: Mapping[str, Any], column: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kind, crossed = column["type"], {}
    if kind not in _ORDERED or column["smallest"] is None:
        return
    for key in ("smallest", "largest"):
        if rule.get(key) not in (None, ""):
            limit = _ordered(rule[key], kind, f"{_column_table(name)}.{key}")
            seen = _ordered(column[key], kind, f"the {key} value of column {shown(name)}")
            if seen < limit if key == "smallest" else seen > limit:
                crossed[key] = (column[key], rule[key])
    if crossed:
        found = " and ".join(f"the {key} is {seen}, limit {limit}" for key, (seen, limit) in crossed.items())
        message = f"Values of column {shown(name)} are out of range: {found}"
        config = {key: seen for key, (seen, _) in crossed.items()}
        decision = "Are these values right? If so, widen the range"
        yield _column_finding("warning", "out_of_range", name, message, decision, config, count=len(crossed))


def _ordered(value: Any, kind: str, place: str) -> Any:
    """Return a limit or value of a column as something that can be compared."""
    try:
        if kind == "date":
            time = datetime.fromisoformat(str(value))
            return time if time.tzinfo else time.replace(tzinfo=UTC)
        number = Decimal(str(value))
        if number.is_nan():
            raise ValueError(value)
        return number
    except (ValueError, InvalidOperation):
        expected = "an ISO 8601 date" if kind == "date" else "a number"
        raise DataError(f"{place}: expected {expected}, got {shown(str(value))}; mend it or delete the limit") from None


def _too_long(name: str, rule: Mapping[str, Any], column: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    limit, words = rule.get("words_at_most"), column["words"]
    if limit is None or not words or words["max"] <= limit:
        return
    count = sum(part["count"] for part in words["histogram"] if part["low"] > limit)
    message = f"Column {shown(name)} holds a text of {words['max']:,} words, the schema allows {limit:,}"
    decision, config = "Are texts run together? If they are right, raise the limit", {"words_at_most": words["max"]}
    yield _column_finding("warning", "text_too_long", name, message, decision, config, count=max(1, count))


def _scalar(text: str) -> str:
    """Replace lone surrogates, which TOML cannot write."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _column_table(name: str) -> str:
    return f"schema.columns.{_key(name)}"


def _table(name: str, values: Mapping[str, Any]) -> str:
    lines = [f"{_key(key)} = {_value(value)}\n" for key, value in values.items() if value is not None]
    return f"[{name}]\n" + "".join(lines)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            escaped = _scalar(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{"".join(c if c.isprintable() else _escape(c) for c in escaped)}"'
        case _:
            return f"[{', '.join(_value(item) for item in value)}]"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
