"""Plain artifacts such as EdaFlow leaves them, invented but complete, realistic and hostile."""

import math
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import card_data
from card_data import LABELS, metric

TEXTS = (
    "digital kitchen scale multipurpose portable weighing machine with backlit display, 10 kg",
    "रसोई के लिए स्टील का डिब्बा, airtight steel container set of 3 with lid for kitchen storage",
    "Paper Plane Design Framed Wall Hanging Motivational Office Decor Art Prints (8.7 X 8.7 inch)",
    "USB rechargeable LED reading lamp with clip for books and bed head board",
    "Cotton oven gloves and pot holder set, quilted, machine washable",
)


def example(number: int, **more: Any) -> dict[str, Any]:
    """A row as findings and pillars quote it."""
    place = {"row": 118 + 431 * number, "line": 121 + 433 * number}
    return place | {"text": TEXTS[number % len(TEXTS)], "label": LABELS[number % 4]} | more


def lengths(scale: int, bins: int = 14) -> dict[str, Any]:
    """Figures of a length whose histogram doubles the width of its bins."""
    bounds = [0, *(scale * 2**i for i in range(bins))]
    counts = [round(4100 * math.exp(-((i - 6.2) ** 2) / 3.4)) for i in range(bins)]
    return {
        "n": sum(counts),
        "min": 1,
        "max": scale * 2900,
        "mean": 74.31 * scale,
        "quantiles": {
            name: float(scale * value)
            for name, value in zip(
                ("0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"), (6, 11, 28, 52, 91, 214, 398), strict=True
            )
        },
        "rank_error": 0.0066,
        "histogram": [
            {"low": low, "high": high, "count": n} for low, high, n in zip(bounds[:-1], bounds[1:], counts, strict=True)
        ],
    }


def column(name: str, role: str, kind: str, missing: int, **more: Any) -> dict[str, Any]:
    """The profile of one column."""
    return {
        "name": name,
        "role": role,
        "type": kind,
        "rows": 10361,
        "missing": missing,
        "distinct": {"value": 4, "low": 4, "high": 4, "exact": True},
        "top": [
            {"value": label, "count": 2600 - 90 * i, "high": 2600 - 90 * i, "share": 0.25 - 0.009 * i}
            for i, label in enumerate(LABELS)
        ],
        "types": {"integer": 0, "number": 0, "date": 0, "boolean": 0, "text": 10361 - missing},
        "smallest": None,
        "largest": None,
        "words": None,
        "characters": None,
    } | more


def profile() -> dict[str, Any]:
    """Columns, classes, lengths, associations and samples."""
    many = {"value": 9038, "low": 8951, "high": 9127, "exact": False}
    described = {"value": TEXTS[2], "count": 17, "high": 20, "share": 0.0016}
    return {
        "rows": 10361,
        "shards": 3,
        "columns": [
            column("description", "input", "text", 1, distinct=many, top=[described], words=lengths(1)),
            column("category", "target", "category", 0),
            column("price", "other", "number", 412, distinct={**many, "value": 811, "low": 806, "high": 816},
                   types={"integer": 7003, "number": 2931, "date": 0, "boolean": 0, "text": 15},
                   smallest="0.99", largest="12999.0", top=[]),
            column("listed", "time", "date", 37, smallest="2024-01-02", largest="2026-10-30", top=[]),
        ],
        "text": {"words": lengths(1), "characters": lengths(6)},
        "classes": [
            {"label": label, "rows": rows, "share": rows / 10360,
             "words": {"median": 49.0 + 5 * i, "p05": 9.0, "p95": 201.0}}
            for i, (label, rows) in enumerate(zip(("Household", "Books", "Electronics", "Clothing & Accessories"),
                                                  (4127, 2544, 2003, 1686), strict=True))
        ],
        "associations": [
            {"name": "length and class", "measure": "eta squared", "value": 0.041, "low": 0.034, "high": 0.049,
             "n": 9017, "message": "Books have longer texts; length alone tells little about the class."},
            {"name": "language and class", "measure": "Cramer's V", "value": 0.062, "low": 0.045, "high": 0.081,
             "n": 9017, "message": "Hindi is a little more frequent in Household."},
            {"name": "length and language", "measure": "eta squared", "value": None, "low": None, "high": None,
             "n": 9017, "reason": "only one language has 30 rows or more", "message": ""},
        ],
        "samples": [example(i, language="Hindi" if i % 5 == 1 else "English") for i in range(12)],
        "source": card_data.lineage()["source"],
    }  # fmt: skip


def languages() -> dict[str, Any]:
    """Languages found, one of them unexpected."""
    rows = (("English", "en", 9801, 0.994, True), ("Hindi", "hi", 312, 0.871, False),
            ("unknown", "unknown", 201, 0.0, True), ("Latin", "la", 47, 0.612, False))  # fmt: skip
    return {
        "rows": 10361,
        "detected": 10160,
        "unknown": 201,
        "method": "lingua 2.1, 75 languages, first 200 characters",
        "seconds": 12.4,
        "rows_per_second": 835.6,
        "counts": [
            {"language": name, "code": code, "rows": n, "share": n / 10361, "probability": p, "expected": expected}
            for name, code, n, p, expected in rows
        ],
        "unexpected": [
            {"language": "Hindi", "code": "hi", "rows": 312, "examples": [example(1, probability=0.871)]},
            {"language": "Latin", "code": "la", "rows": 47, "examples": [example(3, probability=0.612)]},
        ],
        "by_class": [
            {"label": label, "language": language, "rows": 900 - 200 * i}
            for label in LABELS
            for i, language in enumerate(("English", "Hindi"))
        ],
    }


def pillar(name: str, grade: str, summary: str, *checks: tuple[str, str, str, str], rows: int = 0) -> dict[str, Any]:
    """The judgement of one pillar."""
    return {
        "name": name,
        "grade": grade,
        "summary": summary,
        "checks": [
            {"name": check, "status": status, "value": value, "message": message}
            for check, status, value, message in checks
        ],
        "rows": [example(i, why="Its label is given a probability of 0.02.") for i in range(rows)],
    }


def pillars() -> list[dict[str, Any]]:
    """Six pillars."""
    return [
        pillar("Representativeness", "B", "The parts are alike; the classes drift a little over the months.",
               ("Parts alike", "good", "p = 0.31", "No label or length differs between the parts at an adjusted 5 %."),
               ("Stable over time", "careful", "p = 0.004", "Household rises from 35 % to 44 % in twelve months.")),
        pillar("Consistency", "C", "About 2 % of the labels look wrong; eight texts have more than one label.",
               ("Suspected wrong labels", "careful", "2.1 %", "189 of 9,017 labels are suspected; up to 1 % is good."),
               ("Conflicting labels", "careful", "8 texts", "8 texts carry more than one label."), rows=14),
        pillar("Comprehensiveness", "B", "More labels would still buy a little.",
               ("Rows per class", "good", "1,686 rows", "The smallest class has 1,686 rows; 100 are asked for.")),
        pillar("Uniqueness", "D", "One row in eight repeats another text.",
               ("Exact duplicates", "bad", "12.7 %", "1,321 rows repeat an earlier text; up to 5 % is good.")),
        pillar("Fairness", "B", "The sellers have the same mix of classes.",
               ("Groups alike", "good", "p = 0.44", "The rates of the labels do not differ between the sellers."),
               ("Smallest group", "unknown", "", "No target was set for the smallest group.")),
        pillar("Validity", "A", "Three texts hold an e-mail address.",
               ("Personal data", "good", "3 rows", "3 rows hold personal data, under 0.1 % of the rows.")),
    ]  # fmt: skip


def evidence() -> dict[str, Any]:
    """What the pillars rest on."""
    points = [(200, 0.861), (430, 0.894), (920, 0.917), (1970, 0.934), (4200, 0.945), (9017, 0.951)]
    ahead = [(9017, 0.951), (12000, 0.9545), (14017, 0.957)]
    tests = (
        ("label, train and test", "chi-square", 2.31, 0.51, 1.0),
        ("length, train and test", "KS", 0.031, 0.0009, 0.0054),
    )
    return {
        "learning_curve": {
            "points": [{"rows": n, "value": v, "low": v - 2 / n**0.75, "high": v + 2 / n**0.75} for n, v in points],
            "forecast": [{"rows": n, "value": v, "low": v - 0.004, "high": v + 0.004} for n, v in ahead],
            "metric": "accuracy",
            "sentence": "5,000 more labels buy 0.6 ± 0.3 points of accuracy.",
        },
        "duplicate_groups": {
            "exact_rows": 1321, "near_pairs": 812, "near_groups": 341, "near_rows": 904,
            "sizes": [{"size": size, "groups": round(260 / (size - 1) ** 1.7)} for size in range(2, 18)],
            "examples": [
                {"similarity": 0.91, "rows": [44, 812, 5110], "labels": ["Household", "Books"],
                 "texts": list(TEXTS[1:4])}
            ],
        },
        "label_errors": {
            "n": 189,
            "share": metric(0.021, 0.003, 9017),
            "rows": [example(i, suggested=LABELS[(i + 1) % 4], probability=0.98 - 0.01 * i) for i in range(12)],
            "by_class": [
                {"label": LABELS[i], "suggested": LABELS[(i + 1) % 4], "rows": 61 - 12 * i} for i in range(4)
            ],
        },
        "conflicts": {
            "texts": 8, "rows": 22, "near_groups": 3,
            "examples": [{"text": TEXTS[2], "labels": {"Household": 2, "Books": 1}, "rows": [44, 812, 5110]}],
        },
        "split_tests": [
            {"name": name, "statistic": kind, "value": value, "p_value": p, "adjusted": adjusted,
             "message": "The parts look alike." if adjusted > 0.05 else "Test texts are longer."}
            for name, kind, value, p, adjusted in tests
        ],
        "over_time": {
            "column": "listed",
            "periods": [
                {"start": f"2026-{month:02d}-01", "rows": 700 + 20 * month,
                 "shares": dict(zip(LABELS, (0.25, 0.19 - 0.004 * month, 0.21 - 0.004 * month, 0.35 + 0.008 * month),
                                    strict=True))}
                for month in range(1, 11)
            ],
            "p_value": 0.004,
            "message": "The shares of the labels differ between the months (p = 0.004).",
        },
        "groups": [
            {"column": "seller", "value": value, "rows": rows, "share": metric(rows / 9017, 0.01, 9017),
             "rates": {label: metric(0.25 + 0.03 * i, 0.02, rows) for i, label in enumerate(LABELS)}}
            for value, rows in (("marketplace", 6112), ("own stock", 2905))
        ],
        "personal": [
            {"kind": "e-mail", "rows": 3, "examples": [{"row": 77, "line": 79, "masked": "write to m•••@•••.com"}]},
            {"kind": "phone", "rows": 0, "examples": []},
        ],
    }  # fmt: skip


def quality() -> dict[str, Any]:
    """Grade, verdict, pillars and evidence."""
    return {
        "grade": "B",
        "verdict": {
            "status": "careful",
            "sentence": "This data is fit to learn from once its 1,321 duplicates are removed, which cleaning does.",
            "details": ["9,017 distinct texts in 4 classes; about 2 % of the labels look wrong (1.8 to 2.4 %)."],
        },
        "pillars": pillars(),
        "evidence": evidence(),
    }


def finding(severity: str, name: str, title: str, count: int, decision: str = "", config: str = "", **more: Any) -> Any:
    """One finding."""
    return {
        "severity": severity,
        "name": name,
        "pillar": "Validity",
        "title": title,
        "message": "The threshold is 1 % of the rows.",
        "count": count,
        "share": count / 10361,
        "examples": [example(i) for i in range(min(count, 3))],
        "cleaning": "",
        "decision": decision,
        "config": config,
    } | more


def findings() -> list[dict[str, Any]]:
    """Two decisions and three remarks."""
    return [
        finding("critical", "label_errors", "Labels that look wrong", 189,
                "Correct them, or train on them as they are.", '[data]\ncorrections = "corrected.csv"'),
        finding("warning", "label_variants", "One label in several spellings", 37, "Are these the same class?",
                "[data] merge_label_variants = true"),
        finding("warning", "duplicates", "Texts that occur more than once", 1321, cleaning="Keeps the first of each."),
        finding("note", "unexpected_language", "Rows in an unexpected language", 359),
        finding("note", "new_column", "A column that the schema does not know", 1, share=0.0, examples=[]),
    ]  # fmt: skip


def run() -> dict[str, Any]:
    """All artifacts of the step that judges the data."""
    told = card_data.run()
    lineage = card_data.lineage() | {"run": "EdaFlow/1763702"}
    lineage |= {key: str(lineage[key]).replace("train_flow", "eda_flow") for key in ("logs", "card", "resume")}
    cleaning = lineage.pop("cleaning")
    cleaning["labels"] = {"Household": 3500, "Books": 2300, "Electronics": 1750, "Clothing & Accessories": 1467}
    return {
        "project": told["project"],
        "profile": profile(),
        "quality": quality(),
        "findings": findings(),
        "languages": languages(),
        "recommended": {
            "model.max_tokens": {"value": 256, "reason": "96.8 % of the texts are no longer than this.",
                                 "config": "candidates = [{ architecture = \"bag\", max_tokens = 256 }]"},
            "model.vocabulary": {"value": 20000, "reason": "covers 98 % of the words", "config": "vocabulary = 20_000"},
            "train.class_weights": {"value": "none", "reason": "The classes are of similar size.", "config": ""},
        },
        "schema": {
            "version": 1,
            "columns": {
                "description": {"type": "text", "required": True, "missing_share_at_most": 0.01, "words_at_most": 5800},
                "category": {"type": "category", "required": True, "missing_share_at_most": 0.0, "domain": LABELS},
                "price": {"type": "number", "required": False, "missing_share_at_most": 0.08, "smallest": "0.99",
                          "largest": "12999.0"},
            },
            "languages": ["en", "hi"],
            "rows_at_least": 5180,
        },
        "data_fingerprint": "1e2dfd18a8c4",
        "removed": {"counts": {"exact_duplicate": 1321, "leaks_into_test": 2}, "rows": []},
        "split": card_data.split(),
        "cleaning": cleaning,
        "lineage": lineage,
    }  # fmt: skip


def state(status: str = "running") -> dict[str, Any]:
    """What a task reports while it runs."""
    told = {
        "status": status, "title": "Product category from description", "project": "ecommerce",
        "stage": "languages of the rows", "done": 4000, "total": 10361, "unit": "rows", "seconds": 41.0,
        "seconds_left": 66.0, "updated": "2026-11-21T01:40:48+00:00",
        "resume": "python flows/eda_flow.py resume --origin-run-id 1763702",
        "logs": "python flows/eda_flow.py logs 1763702/inspect",
    }  # fmt: skip
    wrong = {"type": "DataError", "message": "Column 'description' is missing; the file has 'category'."}
    return told | ({"error": wrong} if status == "failed" else {})


FIXED = {"grade", "status", "severity", "started", "finished", "updated", "code"}
"""Values that choose how something is drawn; all other strings come from data or from people."""


def _spoilt(value: Any, bad: Iterator[str], key: str = "") -> Any:
    if isinstance(value, dict):
        free = key in ("shares", "rates", "recommended", "labels", "spellings", "libraries", "settings", "counts") or (
            key == "columns"
        )
        return {next(bad) if free else name: _spoilt(item, bad, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_spoilt(item, bad, key) for item in value]
    return next(bad) if isinstance(value, str) and key not in FIXED else value


def hostile_run(host: str) -> dict[str, Any]:
    """A run whose every string from outside is an attack or odd, keys included; all attacks stand in the samples."""
    bad = [*card_data.attacks(host), *card_data.ODD]
    told = {name: _spoilt(value, cycle(bad), name) for name, value in run().items()}
    names = [item["name"] for item in pillars()]
    for name, item in zip(names, told["quality"]["pillars"], strict=True):
        item["name"] = name
        item["rows"] = [example(i, text=text, label=text, why=text) for i, text in enumerate(bad[60:80])]
    told["profile"]["samples"] = [example(i, text=text, label=text) for i, text in enumerate(bad[:60])]
    told["findings"] += [finding("note", text, text, 4, text, f"{text}\n{text}", message=text) for text in bad]
    return told
