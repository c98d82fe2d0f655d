"""Plain artifacts such as ExplainFlow leaves them, realistic and hostile, for the tests of its card."""

import base64
import math
import re
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import card_data
from card_data import LABELS, metric

TEXTS = (
    "digital kitchen scale multipurpose portable weighing machine with backlit display, measures up to 10 kg in grams "
    "and ounces; for baking, coffee and a healthy diet at home",
    "रसोई के लिए स्टील का डिब्बा, airtight steel container set of 3 with lid for kitchen storage",
    "Paper Plane Design Framed Wall Hanging Motivational Office Decor Art Prints (8.7 X 8.7 inch)",
    "USB rechargeable LED reading lamp with clip for books and bed head board, three brightness levels, flexible neck",
    "The Art of Slow Cooking: 120 recipes from small kitchens, hardcover, illustrated, with an introduction by the "
    "author and an index of ingredients",
    "Cotton oven gloves and pot holder set, quilted, machine washable, one size fits all; write to m•••@•••.com",
)
WORD = re.compile(r"\w+")


def words_of(text: str, *, seed: int = 0, most: int = 400) -> list[list[Any]]:
    """Spans of the words of a text with contributions of both signs, most of them small."""
    spans = list(WORD.finditer(text))[:most]
    return [[m.start(), m.end(), 1.9 * math.sin(1.7 * (i + seed) + len(m[0])) ** 5 + 0.02] for i, m in enumerate(spans)]


def local_row(kind: str, number: int, labels: Sequence[str] = LABELS, text: str | None = None) -> dict[str, Any]:
    """One explained row."""
    shown = TEXTS[number % len(TEXTS)] if text is None else text
    words = words_of(shown, seed=number)
    predicted, other = labels[number % len(labels)], labels[(number + 1) % len(labels)]
    base = -0.214 + 0.01 * (number % 7)
    total = base + sum(score for _, _, score in words)
    wrong = kind == "wrong" or (kind == "uncertain" and number % 2)
    return {
        "kind": kind,
        "row": 118 + 431 * number,
        "line": 120 + 431 * number,
        "text": shown,
        "more_characters": 1240 if number % 5 == 3 else 0,
        "truth": None if kind == "given" and number % 2 else other if wrong else predicted,
        "predicted": predicted,
        "probability": {"right": 0.997, "wrong": 0.962, "uncertain": 0.514, "given": 0.883}[kind]
        - 0.003 * (number % 9),
        "runner_up": {"label": other, "probability": 0.02 + 0.44 * (kind == "uncertain")},
        "target": predicted,
        "words": words,
        "unread": 37 if number % 5 == 3 else 0,
        "score": total + 0.004,
        "base": base,
        "delta": 0.004,
    }


def local(labels: Sequence[str] = LABELS, given: int = 2, text: str | None = None) -> dict[str, Any]:
    """Contributions of the words of single rows."""
    rows = [local_row("given", i, labels, text) for i in range(given)]
    for place in range(len(labels)):
        rows += [local_row(kind, place, labels, text) for kind in ("right", "wrong", "uncertain")]
    findings = [
        {"name": "empty_text", "count": 1, "rows": [3], "message": "1 row of --rows has no text and is not explained"},
        {"name": "unseen_label", "count": 2, "rows": [1, 2], "message": "2 rows of --rows have a label 'Toys' that the "
         "model does not know"},
    ]  # fmt: skip
    return {"method": "integrated_gradients", "unit": "logits", "rows": rows, "findings": findings}


def phrase(name: str, mean: float, n: int) -> dict[str, Any]:
    """A phrase and what it contributes."""
    return {
        "phrase": name,
        "words": len(name.split()),
        "mean": metric(mean, 0.05 + 1.4 / n, n),
        "spread": abs(mean) / 3 + 0.08,
        "same_sign": min(1.0, 0.86 + abs(mean) / 20),
    }


PHRASES = {
    "Books": (
        ("author", "paperback", "edition", "the story", "novel", "history of"),
        ("led", "steel", "cotton", "usb"),
    ),
    "Clothing & Accessories": (
        ("cotton", "women", "slim fit", "leather", "t shirt", "sleeve"),
        ("kitchen", "book", "usb", "author"),
    ),
    "Electronics": (("usb", "hdmi", "battery", "wireless", "mah", "power bank"), ("author", "fabric", "wall", "steel")),
    "Household": (
        ("kitchen", "stainless steel", "storage", "cushion", "wall", "piece set"),
        ("author", "men", "usb", "hdmi"),
    ),
}


def overall(labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """Words for and against each class."""
    classes = []
    for place, label in enumerate(labels):
        towards, against = PHRASES.get(label, PHRASES["Books"])
        classes.append(
            {
                "label": label,
                "rows": 462 - 13 * (place % 9),
                "for": [phrase(name, 1.62 - 0.19 * i, 181 - 22 * i) for i, name in enumerate(towards)],
                "against": [phrase(name, -0.97 + 0.16 * i, 88 - 15 * i) for i, name in enumerate(against)],
            }
        )
    return {"method": "integrated_gradients", "rows": 500, "of": 1804, "phrase_words": 2, "classes": classes}


def check(name: str, title: str, passed: bool, value: dict[str, Any], unit: str, limit: float, least: bool, *more: str):
    """One check of the explanations."""
    message, explanation = more
    return {
        "name": name, "title": title, "passed": passed, "value": value, "unit": unit, "limit": limit,
        "direction": "at_least" if least else "at_most", "message": message, "explanation": explanation,
    }  # fmt: skip


def curve(attributed: Sequence[float], random: Sequence[float]) -> dict[str, Any]:
    """Mean probability of the predicted class while words are taken out or put in."""
    gap = [a - r for a, r in zip(attributed, random, strict=True)]
    return {
        "share": [i / (len(attributed) - 1) for i in range(len(attributed))],
        "attributed": list(attributed),
        "random": list(random),
        "low": [g - 0.04 for g in gap],
        "high": [g + 0.04 for g in gap],
    }


def faithfulness() -> dict[str, Any]:
    """Whether the explanations can be believed; one control fails."""
    falling = [0.963, 0.71, 0.482, 0.351, 0.29, 0.262, 0.25, 0.247, 0.246, 0.245, 0.244]
    slowly = [0.963, 0.938, 0.905, 0.862, 0.806, 0.733, 0.64, 0.541, 0.432, 0.331, 0.244]
    return {
        "level": "careful",
        "sentence": "The explanations are faithful to the model, with one reservation: two methods agree less on their "
        "order of the words than is asked for.",
        "rows": 100,
        "method": "integrated_gradients",
        "checks": [
            check("completeness", "The contributions sum to the score", True, metric(0.0041, 0.0013, 100), "share",
                  0.05, False, "In 95 of 100 texts at most 0.4 % of the score is missing from the contributions.",
                  "Adds up the contributions of all words and compares the sum with the model's score."),
            check("deletion", "Taking out the marked words hurts", True, metric(0.312, 0.034, 100), "points", 0.0, True,
                  "Without the words marked strongest the probability falls 31 points faster than with random words.",
                  "Takes out words, strongest first, and looks how fast the probability of the class falls."),
            check("insertion", "The marked words alone suffice", True, metric(0.287, 0.036, 100), "points", 0.0, True,
                  "With the words marked strongest the probability rises 29 points faster than with random words.",
                  "Puts words into an empty text, strongest first, and looks how fast the probability rises."),
            check("random_weights", "A model with random weights is explained differently", True,
                  metric(0.083, 0.061, 100), "correlation", 0.5, False,
                  "Explanations of a model with random weights are others: rank correlation 0.08.",
                  "The control: explains a model that has learnt nothing; its explanation must be another one."),
            check("agreement", "A second method agrees", False, metric(0.413, 0.052, 100), "correlation", 0.5, True,
                  "Occlusion and integrated gradients agree on the order of the words at a rank correlation of 0.41; "
                  "0.5 is asked for.",
                  "Explains the same rows with another method and compares the order of the words."),
        ],
        "curves": {
            "deletion": curve(falling, slowly),
            "insertion": curve([1.2 - v for v in falling], [1.2 - v for v in slowly]),
        },
        "agreement": [
            {"method": "occlusion", "rank_correlation": metric(0.413, 0.052, 100),
             "top_overlap": metric(0.61, 0.04, 100), "rows": 100},
            {"method": "gradient_x_input", "rank_correlation": metric(0.722, 0.041, 100),
             "top_overlap": metric(0.79, 0.03, 100), "rows": 100},
        ],
    }  # fmt: skip


def mistake(number: int, text: str | None = None) -> dict[str, Any]:
    """A wrongly decided row."""
    return {
        "row": 91 + 377 * number,
        "text": TEXTS[number % len(TEXTS)] if text is None else text,
        "truth": LABELS[(number + 2) % 4],
        "predicted": LABELS[(number + 3) % 4],
        "probability": 0.995 - 0.041 * number,
    }


def part(kind: str, column: str | None, value: str, rows: int, accuracy: float, p: float, words: Sequence[str] = ()):
    """One slice of the test part."""
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / rows)
    adjusted = min(1.0, 14 * p)
    return {
        "kind": kind, "column": column, "value": value, "rows": rows, "metric": metric(accuracy, half, rows),
        "rest": metric(0.9651, 0.0086, 1804 - rows), "difference": accuracy - 0.9651, "p_value": p,
        "adjusted": adjusted, "worse": adjusted < 0.05 and accuracy < 0.9651, "words": list(words),
        "examples": [mistake(i) for i in range(min(3, rows // 20))],
    }  # fmt: skip


def slices() -> dict[str, Any]:
    """Where the model fails."""
    found = [
        part("language", None, "Hindi", 61, 0.803, 0.00002),
        part("cluster", None, "set, piece, gift, wall", 74, 0.878, 0.0011, ("set", "piece", "gift", "wall")),
        part("length", None, "up to 8 words", 120, 0.917, 0.0041),
        part("label", None, "Electronics", 427, 0.944, 0.021),
        part("group", "seller", "marketplace", 1233, 0.9591, 0.11),
        part("origin", "source", "supplier feed B", 208, 0.961, 0.66),
        part("language", None, "English", 1712, 0.9703, 0.99),
    ]
    return {
        "metric": "accuracy",
        "overall": metric(0.9642),
        "tried": 14,
        "slices": found,
        "skipped": [
            {"kind": "language", "column": None, "reason": "Latin: 7 rows, 20 are needed"},
            {"kind": "group", "column": "region", "reason": "the column has one value only"},
        ],
        "clusters": {"mistakes": 65, "found": 1, "reason": None},
        "mislabelled": {
            "n": 23,
            "share": metric(0.0127, 0.005, 1804),
            "rows": [
                {"row": 44 + 90 * i, "line": 46 + 90 * i, "text": TEXTS[i % 6], "label": LABELS[i % 4],
                 "suggested": LABELS[(i + 1) % 4], "probability": 0.991 - 0.013 * i}
                for i in range(8)
            ],
            "by_class": [{"label": "Household", "suggested": "Books", "rows": 9}],
            "judged": 1804,
            "not_judged": [],
        },
        "listed": 23,
    }  # fmt: skip


WORK_LIST = "row,line,label,suggested,probability,text\r\n" + "".join(
    f'{44 + 90 * i},{46 + 90 * i},Household,Books,{0.991 - 0.013 * i:.3f},"{TEXTS[i % 6]}"\r\n' for i in range(23)
)


def before(change: float, half: float = 0.006) -> dict[str, Any]:
    """The run compared with."""
    return {
        "run": "TrainFlow/1763001",
        "why": "the latest earlier successful run on the same data",
        "differs": {"train.reweight": [None, "seller"], "train.augment": [[], ["typos", "case"]]},
        "accuracy": metric(0.9642 - change),
        "change": metric(change, half),
    }


def gap(name: str, label: str | None, value: float, chance: float, adjusted: float) -> dict[str, Any]:
    """The largest difference between two groups."""
    unequal = adjusted < 0.05
    return {
        "name": name, "label": label, "value": metric(value, 0.021, 1804),
        "between": ["own stock", "marketplace"], "chance": chance, "p_value": adjusted / 9, "adjusted": adjusted,
        "unequal": unequal, "message": f"{'Unequal' if unequal else 'Not proven unequal'}: chance alone reaches "
        f"{100 * chance:.1f} points.", "before": metric(value + 0.031, 0.02), "change": metric(-0.031, 0.018),
    }  # fmt: skip


def fairness(labels: Sequence[str] = LABELS) -> dict[str, Any]:
    """Whether groups are treated alike."""
    groups = [
        {"value": value, "rows": rows, "accuracy": metric(accuracy, 0.012, rows),
         "rates": {label: {"selected": metric(0.24 + 0.01 * i, 0.02, rows),
                           "true_positive": metric(0.95 - 0.01 * i, 0.02, rows // 4),
                           "false_positive": metric(0.011 + 0.002 * i, 0.006, rows)} for i, label in enumerate(labels)}}
        for value, rows, accuracy in (("marketplace", 1233, 0.9591), ("own stock", 571, 0.9752))
    ]  # fmt: skip
    gaps = [
        gap("equalised_odds", label, 0.072 - 0.011 * (i % 5), 0.041, 0.013 if not i else 0.31 + 0.05 * (i % 9))
        for i, label in enumerate(labels)
    ]
    gaps += [
        gap("demographic_parity", label, 0.051 - 0.006 * (i % 5), 0.047, 0.22 + 0.07 * (i % 9))
        for i, label in enumerate(labels)
    ]
    return {
        "columns": [
            {"column": "seller", "groups": groups, "gaps": [gap("accuracy", None, 0.0161, 0.019, 0.41), *gaps],
             "findings": ["12 rows without a seller are left out."]}
        ],
        "skipped": [{"column": "region", "reason": "one value only: there is nothing to compare"}],
        "before": before(0.0021),
        "explanations": {
            "demographic_parity": "Demographic parity: each class is predicted equally often in every group.",
            "equalised_odds": "Equalised odds: members of a class are found, and others spared, alike in every group.",
            "accuracy": "Equal accuracy: the model is right equally often in every group.",
        },
    }  # fmt: skip


CHANGED = {"typos": "kitchne", "white_space": "kit  chen", "dropped_words": "", "word_swaps": "dining"}
"""What each test makes of a word."""


def robustness() -> dict[str, Any]:
    """How decisions bear small changes of the text."""
    told = (
        ("typos", "Typing errors", "Swaps, drops or doubles a letter in one word in ten.", 0.9413, None),
        ("case", "Upper and lower case", "Writes the text in capitals, in small letters or mixed.", 0.9642, None),
        ("white_space", "White space", "Doubles, removes and changes spaces.", 0.9592, None),
        ("dropped_words", "Words left out", "Drops one word in ten.", 0.9505, None),
        ("word_swaps", "Words swapped on purpose", "Looks for up to 2 words whose replacement changes the decision.",
         0.7950, 2),
    )  # fmt: skip
    swaps = [{"from": "kitchen", "to": "dining", "count": 12}, {"from": "author", "to": "writer", "count": 9}]
    tests = []
    for name, title, explanation, accuracy, budget in told:
        rows = 200 if budget else 1804
        tests.append(
            {
                "name": name, "title": title, "accuracy": metric(accuracy, 0.056 if budget else 0.0105, rows),
                "drop": metric(0.9642 - accuracy, 0.048 if budget else 0.006, rows),
                "flipped": metric(1.2 * (0.9642 - accuracy) + 0.006, 0.05 if budget else 0.005, rows), "rows": rows,
                "explanation": explanation, "budget": budget, "swaps": swaps if budget else [],
                "examples": [
                    {"row": 91 + i, "before": TEXTS[i], "after": TEXTS[i].replace("kitchen", CHANGED[name], 1),
                     "truth": "Household", "predicted": "Household", "predicted_after": "Electronics"}
                    for i in range(2)
                ] if name != "case" else [],
                "before": metric(accuracy - 0.013, 0.011, rows), "change": metric(0.013, 0.007, rows),
            }
        )  # fmt: skip
    return {
        "rows": 1804,
        "clean": metric(0.9642),
        "tests": tests,
        "received": "The model gets each changed text as cleaning hands texts on: Unicode NFC, nothing inside mended.",
        "findings": [{"name": "few_neutral_words", "count": 0, "rows": [], "message": "18 words nearest to equally "
                      "frequent in every class joined the word-swap attack"}],
    }  # fmt: skip


def business() -> dict[str, Any]:
    """What each way to use the model costs."""
    told = (
        ("alone", "The model decides every row", 71.4, 13.2, 1.0, None, "Each row gets its most probable class."),
        ("cost_aware", "The model decides every row and weighs what mistakes cost", 66.8, 12.4, 1.0, None,
         "Each row gets the class whose mistakes are expected to cost least."),
        ("required_precision", "The model decides the rows it is sure of, people the rest", 118.0, 9.0, 0.881, 0.986,
         "Rows of a probability of 0.986 or more get their most probable class; people decide the others."),
        ("best", "The model decides the rows that are cheap to risk, people the rest", 52.1, 9.8, 0.957, 0.49,
         "Each row gets the class whose mistakes are expected to cost least; rows expected to cost more than 0.49 EUR "
         "go to people."),
        ("people", "People decide every row", 900.0, 0.0, 0.0, None, "A person decides each row, rightly."),
    )  # fmt: skip
    shares = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.957, 0.98, 1.0]
    costs = [900.0, 721.0, 541.5, 362.0, 184.0, 98.0, 52.1, 57.0, 71.4]
    return {
        "currency": "EUR",
        "rows": 1804,
        "policies": [
            {"name": name, "title": title, "cost": metric(cost, half),
             "automated": metric(share, 0.009) if 0 < share < 1 else share, "threshold": threshold,
             "explanation": explanation}
            for name, title, cost, half, share, threshold, explanation in told
        ],
        "best": "best",
        "saving": metric(19.3, 6.1),
        "capacity": None,
        "manual": 0.9,
        "curve": [
            {"share": s, "cost": c, "low": c - 4 - 10 * s, "high": c + 4 + 10 * s}
            for s, c in zip(shares, costs, strict=True)
        ],
        "sentence": "Let the model decide 96 % of the rows and people the rest: 52 EUR per 1,000 rows (42 to 62), 19 "
        "EUR less than the model alone (95 % interval 13 to 25).",
    }  # fmt: skip


def gates() -> dict[str, Any]:
    """The criteria that this flow judges."""
    item = {"label": None, "goal": 0.93, "direction": "at_least", "judge": "interval", **metric(0.9413, 0.0105)}
    del item["n"]
    item |= {"metric": "accuracy_typos", "title": "accuracy with typing errors", "met": True, "sentence": "Met."}
    return {"passed": True, "criteria": [item], "later": [], "sentence": "The success criterion of the plan is met."}


def lineage() -> dict[str, Any]:
    """Where a run came from."""
    told = card_data.lineage() | {"run": "ExplainFlow/1763755", "data_fingerprint": "1e2dfd18a8c4"}
    told |= {key: str(told[key]).replace("train_flow", "explain_flow") for key in ("logs", "card", "resume")}
    return told


def run() -> dict[str, Any]:
    """All artifacts of the step that judges the model."""
    return {
        "project": card_data.run()["project"],
        "local_attributions": local(),
        "global_attributions": overall(),
        "faithfulness": faithfulness(),
        "slices": slices(),
        "work_list": WORK_LIST,
        "fairness": fairness(),
        "robustness": robustness(),
        "business": business(),
        "gates": gates(),
        "answer": {
            "level": "careful",
            "badge": "Fit for use, with people for Hindi texts",
            "sentence": "The model decides for reasons that make sense and saves € 19 per 1,000 rows with people for "
            "the least sure 4 %, but it is proven worse on Hindi texts: 80 % right (95 % interval 70 to 90).",
            "details": [
                "It is right in 96.4 % of 1,804 rows that no step of training saw (95 % interval 95.6 to 97.3).",
                "Typing errors cost 2.3 points; words swapped on purpose cost 17 points.",
            ],
        },
        "todo": [
            {"level": "fix", "title": "Collect more Hindi texts.", "reason": "12 of 61 are decided wrongly; adjusted p "
             "< 0.001.", "action": "python flows/label_flow.py run --language hi"},
            {"level": "decide", "title": "23 labels of the test part look wrong.", "reason": "They count as its "
             "mistakes; the work list names them.", "action": "[data] corrections = \"corrected.csv\""},
            {"level": "consider", "title": "Train on texts with typing errors.", "reason": "They cost 2.3 points of "
             "accuracy.", "action": "[train] augment = [\"typos\"]"},
        ],
        "explained": {
            "run": "TrainFlow/1763681", "experiment_id": "5c1f0f3a9b7d2e44", "model_sha256": "9c41d0a7f2e3b8",
            "why": "the latest successful run of TrainFlow of the project 'ecommerce' in the namespace user:mira",
            "candidate": {"name": "bag", "seed": 3, "architecture": "bag"},
        },
        "compared": {key: before(0.0021)[key] for key in ("run", "why", "differs")},
        "findings": [{"name": "slow_language", "count": 0, "rows": [], "message": "The language of 3 rows was not "
                      "detected"}],
        "data_fingerprint": "1e2dfd18a8c4",
        "lineage": lineage(),
    }  # fmt: skip


def state(status: str = "running") -> dict[str, Any]:
    """What a task reports while it runs."""
    told = {
        "status": status, "title": "Product category from description", "project": "ecommerce",
        "stage": "contributions of the words", "done": 212, "total": 500, "unit": "rows", "seconds": 41.0,
        "seconds_left": 55.0, "updated": "2026-11-21T02:10:48+00:00",
        "resume": "python flows/explain_flow.py resume --origin-run-id 1763755",
        "logs": "python flows/explain_flow.py logs 1763755/attribute",
    }  # fmt: skip
    wrong = {"type": "ModelFileError", "message": "TrainFlow/1763681 holds no model; name another with --train-run."}
    return told | ({"error": wrong} if status == "failed" else {})


FIXED = {"level", "kind", "name", "unit", "direction", "started", "finished", "updated", "best"}
"""Values that choose how something is drawn; all other strings come from data or from people."""
FREE = ("rates", "explanations", "differs", "libraries", "settings")
"""Dicts whose keys come from data or from people."""


def _spoilt(value: Any, bad: Iterator[str], key: str = "") -> Any:
    if isinstance(value, dict):
        return {next(bad) if key in FREE else name: _spoilt(item, bad, str(name)) for name, item in value.items()}
    if isinstance(value, list):
        return [_spoilt(item, bad, key) for item in value]
    return next(bad) if isinstance(value, str) and key not in FIXED else value


def hostile_run(host: str) -> dict[str, Any]:
    """A run whose every string from outside is an attack or odd, keys included; all attacks stand in the texts."""
    bad = [*card_data.attacks(host), *card_data.ODD]
    told = {name: _spoilt(value, cycle(bad), name) for name, value in run().items() if name != "project"}
    told["project"] = card_data.hostile_run(host)["project"]
    rows = [local_row("given", i, bad, text[:2000]) for i, text in enumerate(bad)]
    # Whole texts, unbroken by marks, and marks that begin and end in the middle of an attack.
    for i, item in enumerate(rows):
        item["words"] = [] if i % 2 else [[i % 5, 9 + i % 7, 1.0], [30, 31, -1.0]]
    told["local_attributions"]["rows"] += rows
    told["slices"]["mislabelled"]["rows"] = [
        {"row": i, "line": i, "text": text, "label": text, "suggested": text, "probability": 0.9}
        for i, text in enumerate(bad[:20])
    ]
    told["work_list"] = "text\r\n" + "\r\n".join(bad)
    return told


def downloaded(page: str) -> bytes:
    """The table that a page carries along."""
    found = re.search(r'<a download="work_list\.csv" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page)
    return base64.b64decode(found[1]) if found else b""
