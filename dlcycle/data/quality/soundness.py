"""Validity: are the values what they should be?"""

from collections.abc import Iterator

from dlcycle.data.messages import quoted, several, shown
from dlcycle.data.quality.evidence import Evidence, percent
from dlcycle.data.quality.grades import Check, by_share

_LIMITS = {
    "missing": (0.01, 0.2),
    "blank": (0.001, 0.2),
    "control_characters": (0.001, 0.05),
    "mojibake": (0.001, 0.05),
    "markup": (0.01, 0.5),
    "links": (0.05, 2.0),
    "very_long": (0.001, 0.05),
    "very_short": (0.02, 0.3),
    "repeated": (0.001, 0.05),
}
"""Shares of the rows from which a flaw of the texts is to be watched, and from which it is bad."""
_WARNED_OF = {
    *("encoding_assumed", "undecodable_bytes", "repeated_columns", "mojibake", "many_line_breaks"),
    *("class_absent", "leaks"),
}
"""Findings of reading, cleaning and splitting that are more than a note."""
_TYPES = {
    "integer": ("integer",),
    "number": ("integer", "number"),
    "date": ("date",),
    "boolean": ("boolean",),
}
"""Types of a column that its values may fail, and the types that each takes."""
_SENSITIVE = ("card number", "Aadhaar", "IBAN")
_NAMES = {
    "e-mail": "e-mail addresses",
    "phone": "phone numbers",
    "card number": "payment card numbers",
    "Aadhaar": "Aadhaar numbers",
    "IBAN": "IBANs",
}
_REMOVED_BY = {
    "missing": "Rows without text are removed",
    "blank": "Rows without a visible character are removed",
    "very_long": "Texts above data.max_characters are removed; longer ones than model.max_tokens are cut",
}


def check_validity(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    if evidence.missing_columns:
        yield Check(
            "missing_columns",
            "Missing columns",
            "bad",
            f"{len(evidence.missing_columns)} missing",
            f"The source lacks {', '.join(evidence.missing_columns)}; it has {quoted(evidence.source['columns'])}",
            count=evidence.rows,
            decision="Which columns hold the text and the label?",
            config='[data]\ninputs = ["TEXT COLUMN"]\ntarget = "LABEL COLUMN"',
        )
    elif evidence.unusable:
        yield Check(
            "unusable",
            "Rows that cannot be split",
            "bad",
            "no",
            " ".join(evidence.unusable.split()),
            count=evidence.rows,
            decision="Add rows, or change the settings that the message names",
        )
    bad_rows = evidence.removed.get("bad_row", 0) + evidence.removed.get("too_long", 0)
    strict = evidence.settings.data.on_bad_rows == "fail"
    yield Check(
        "bad_rows",
        "Unreadable rows",
        by_share(evidence.share(bad_rows), careful=1 / max(evidence.rows, 1), bad=0.05),
        f"{bad_rows:,} set aside",
        f"Rows with the wrong number of fields, that are no record or too long: {bad_rows:,}"
        if bad_rows
        else "Every row could be read",
        bad_rows,
        tuple(dict(example) for example in evidence.examples if example["reason"] in ("bad_row", "too_long")),
        cleaning="They were set aside" if bad_rows else "",
        decision="Correct them, or have training set them aside too" if bad_rows and strict else "",
        config='[data]\non_bad_rows = "quarantine"' if bad_rows and strict else "",
    )
    for finding in [
        *evidence.source["findings"],
        *evidence.cleaning.get("findings", ()),
        *evidence.split.get("findings", ()),
    ]:
        warn = finding["name"] in _WARNED_OF
        yield Check(
            finding["name"],
            finding["name"].replace("_", " ").capitalize(),
            "careful" if warn else "good",
            f"{finding['count']:,}" if finding["count"] else "whole file",
            finding["message"],
            finding["count"],
            tuple({"row": row, "line": None, "text": "", "label": ""} for row in finding["rows"]),
            noted=True,
        )
    yield from _wrong_types(evidence)
    yield from _flaws(evidence)
    yield from _declared(evidence)


def _wrong_types(evidence: Evidence) -> Iterator[Check]:
    """Values that are not of the type that nearly all values of their column have."""
    typed = [column for column in evidence.profile["columns"] if column["type"] in _TYPES]
    wrong = {}
    for column in typed:
        fitting = sum(column["types"].get(kind, 0) for kind in _TYPES[column["type"]])
        if (count := column["rows"] - column["missing"] - fitting) > 0:
            wrong[f"{column['name']} ({several(count, 'value')} not {column['type']})"] = count
    total = sum(wrong.values())
    yield Check(
        "wrong_type",
        "Values of the wrong type",
        by_share(evidence.share(total), careful=1 / max(evidence.rows, 1)),
        several(total, "value"),
        f"Columns with values of another type: {quoted(wrong)}"
        if wrong
        else f"Every value fits its column ({several(len(typed), 'column')} of numbers, dates or truth values)",
        total,
        decision="Correct these values, or leave them out" if wrong else "",
    )


def _flaws(evidence: Evidence) -> Iterator[Check]:
    missing_label = evidence.removed.get("missing_label", 0)
    if evidence.cleaning:
        yield Check(
            "missing_label",
            "Missing labels",
            by_share(evidence.share(missing_label), careful=0.001, bad=0.2),
            f"{missing_label:,} missing",
            f"Rows without a label: {missing_label:,}" if missing_label else "Every row has a label",
            missing_label,
            cleaning="Rows without a label are removed" if missing_label else "",
        )
    noticed = {finding["name"] for finding in evidence.source["findings"]}
    for found in evidence.validity["checks"]:
        name = found["name"]
        if name in noticed:
            continue
        careful, bad = _LIMITS[name]
        yield Check(
            name,
            found["title"],
            by_share(found["share"], careful=careful, bad=bad),
            f"{percent(found['share'])} of the rows",
            f"{found['title']}: {several(found['count'], 'row')}",
            found["count"],
            tuple(found["examples"]),
            cleaning=_REMOVED_BY.get(name, "") if found["count"] else "",
        )
    for kind in evidence.validity["personal"]:
        sensitive = kind["kind"] in _SENSITIVE
        yield Check(
            f"personal_{kind['kind'].lower().replace('-', '_').replace(' ', '_')}",
            f"Personal data: {kind['kind']}",
            "bad" if sensitive else "careful",
            several(kind["rows"], "row"),
            f"What looks like {_NAMES[kind['kind']]}, in {several(kind['rows'], 'row')}; shown masked only",
            kind["rows"],
            tuple({"row": e["row"], "line": e["line"], "text": e["masked"], "label": ""} for e in kind["examples"]),
            decision="May these rows be used? Take the data out of the source, or have a reason for keeping it",
        )


def _declared(evidence: Evidence) -> Iterator[Check]:
    for key, title, question in (
        ("licence", "Licence", "May this data be used for this purpose, and who says so?"),
        ("origin", "Source of the data", "Who collected this data, from where, and when?"),
    ):
        value = getattr(evidence.settings.data, key)
        yield Check(
            f"{key}_unknown",
            title,
            "good" if value else "careful",
            shown(value) if value else "unknown",
            f"{title} as declared: {shown(value)}"
            if value
            else f"{title}: unknown, the project file does not declare it",
            decision="" if value else question,
            config="" if value else f'[data]\n{key} = "..."',
        )
