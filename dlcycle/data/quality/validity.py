"""Validity: are the values what they should be?"""

from collections.abc import Iterator

from dlcycle.data.messages import quoted, several, shown
from dlcycle.data.quality.evidence import Evidence, percent, reason_of
from dlcycle.data.quality.grades import Check, Status, by_share
from dlcycle.data.schema import check_schema

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
    yield from _noticed(evidence)
    yield from _absent_columns(evidence)
    yield from _wrong_types(evidence)
    yield from _flaws(evidence)
    yield from _declared(evidence)
    yield from _anomalies(evidence)


def _noticed(evidence: Evidence) -> Iterator[Check]:
    """What reading, cleaning and splitting noticed, save what is graded by its share of the rows."""
    cleaning, split = evidence.cleaning.get("findings", ()), evidence.split.get("findings", ())
    for finding in (*evidence.source["findings"], *cleaning, *split):
        if finding["name"] in _LIMITS:
            continue
        name = finding["name"]
        yield Check(
            name,
            name.replace("_", " ").capitalize(),
            "bad" if name == "unclosed_quote" else "careful" if name in _WARNED_OF else "good",
            f"{finding['count']:,}" if finding["count"] else "whole file",
            finding["message"],
            finding["count"],
            tuple({"row": row, "line": None, "text": "", "label": ""} for row in finding["rows"]),
            decision="Close the quote, or double it, and look again" if name == "unclosed_quote" else "",
            noted=True,
        )


def _absent_columns(evidence: Evidence) -> Iterator[Check]:
    """Columns that are to be compared, and that the source lacks."""
    data = evidence.settings.data
    wanted = [("group_columns", name) for name in data.group_columns]
    wanted += [("origin_column", data.origin_column)] if data.origin_column else []
    absent = [f"{shown(name)} (data.{key})" for key, name in wanted if name not in evidence.source["columns"]]
    if absent:
        message = f"The source lacks {', '.join(absent)}; it has {quoted(evidence.source['columns'])}"
        yield Check("absent_columns", "Columns to compare", "careful", f"{len(absent)} missing", message, noted=True)


def _anomalies(evidence: Evidence) -> Iterator[Check]:
    """What the data do against the frozen schema."""
    if evidence.settings.data_schema is None:
        return
    languages = None if reason_of(evidence.languages) else evidence.languages
    statuses: dict[str, Status] = {"critical": "bad", "warning": "careful", "note": "good"}
    for anomaly in check_schema(evidence.settings.data_schema.model_dump(), evidence.profile, languages=languages):
        yield Check(
            anomaly["name"],
            anomaly["title"],
            statuses[anomaly["severity"]],
            several(anomaly["count"], "row") if anomaly["count"] else "whole file",
            anomaly["message"],
            anomaly["count"],
            tuple(anomaly["examples"]),
            anomaly["cleaning"],
            anomaly["decision"],
            anomaly["config"],
            noted=True,
        )


def _wrong_types(evidence: Evidence) -> Iterator[Check]:
    """Values that are not of the type that nearly all values of their column have."""
    typed = [column for column in evidence.profile["columns"] if column["type"] in _TYPES]
    wrong = {}
    for column in typed:
        fitting = sum(column["types"].get(kind, 0) for kind in _TYPES[column["type"]])
        if (count := column["rows"] - column["missing"] - fitting) > 0:
            wrong[f"{column['name']} ({several(count, 'value')} not {column['type']})"] = count
    most = max(wrong.values(), default=0)
    yield Check(
        "wrong_type",
        "Values of the wrong type",
        by_share(evidence.share(most), careful=1 / max(evidence.rows, 1)),
        several(sum(wrong.values()), "value"),
        f"Columns with values of another type: {quoted(wrong)}"
        if wrong
        else f"Every value fits its column ({several(len(typed), 'column')} of numbers, dates or truth values)",
        most,
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
    noticed = {finding["name"]: finding["message"] for finding in evidence.source["findings"]}
    for found in evidence.validity["checks"]:
        name = found["name"]
        careful, bad = _LIMITS[name]
        yield Check(
            name,
            found["title"],
            by_share(found["share"], careful=careful, bad=bad),
            f"{percent(found['share'])} of the rows",
            noticed.get(name, found["title"]) + f": {several(found['count'], 'row')}",
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
