"""The head and foot of the training card: verdict, figures that decide, what to do next, and where it all came from."""

from collections.abc import Mapping
from typing import Any

from .charts import range_bar
from .formats import (
    PERCENT,
    PLAIN,
    Unit,
    count,
    currency_unit,
    ends,
    exact,
    finite,
    interval_text,
    measured,
    reason_of,
    several,
    show,
    value_of,
)
from .markup import Html, data
from .page import Level, note, section, tile, tiles, todo, verdict
from .train_data import at, primary, records

METRICS: dict[str, tuple[str, Unit]] = {
    "accuracy": ("Accuracy", PERCENT),
    "macro_f1": ("Macro F1", PLAIN),
    "automated_share": ("Decided alone", PERCENT),
    "automated_precision": ("Precision of those decided alone", PERCENT),
    "ece": ("Calibration error (ECE)", PERCENT),
    "log_loss": ("Log loss", PLAIN),
}


def unit_of(metric: str, run: Mapping[str, Any]) -> tuple[str, Unit]:
    """Name and unit of a metric; money takes the project's currency."""
    if metric == "cost_per_1000":
        currency = at(run, "metrics", "currency") or at(run, "project", "plan", "costs", "currency")
        return "Cost per 1,000 rows", currency_unit(currency)
    if metric.startswith("accuracy_"):
        return metric.replace("_", " ").capitalize(), PERCENT
    return METRICS.get(metric, (metric.replace("_", " "), PLAIN))


def judged(run: Mapping[str, Any]) -> tuple[Level, str]:
    """Level and badge of the verdict; the worst finding names it."""
    compared, gates = at(run, "comparison", "verdict"), at(run, "gates", "passed")
    has_criteria = bool(records(at(run, "gates", "criteria")))
    if at(run, "split", "leakage", "passed") is False:
        return "bad", "Do not rely on it: the test part leaks"
    if at(run, "consistency", "passed") is False:
        return "bad", "Do not rely on it: predictions depend on the batch size"
    if compared == "worse":
        return "bad", "Worse than the simple baseline"
    if has_criteria and gates is False:
        return "bad", "Success criteria missed"
    if compared == "no_gain":
        return "careful", "No proven gain over the simple baseline"
    if compared != "worth_it":
        return "careful", "No comparison with a baseline"
    if not has_criteria:
        return "good", "Worth it"
    return "good", f"Worth it, and the goals {'of training ' if at(run, 'gates', 'later') else ''}are met"


def verdict_bar(run: Mapping[str, Any]) -> Html:
    """The sentence to repeat, the criteria, and what the test rests on."""
    level, badge = judged(run)
    says = at(run, "comparison", "sentence") or "This run recorded no comparison with a simple baseline."
    rows = at(run, "metrics", primary(run), "n") or at(run, "metrics", "rows")
    kept, classes = at(run, "lineage", "cleaning", "rows_kept"), at(run, "metrics", "per_class")
    rests = []
    if finite(kept) is not None:
        rests.append(several(kept, "distinct text"))
    if isinstance(classes, Mapping):
        rests.append(several(len(classes), "class", "classes"))
    base = ", ".join(rests) + ("; " if rests else "")
    tested = (
        f"{base}tested once on {count(rows)} rows that no step of training saw." if finite(rows) is not None else ""
    )
    sentence = at(run, "gates", "sentence")
    return verdict(
        level, badge, data(says, 600), data(sentence, 600) if sentence else None, tested[:1].upper() + tested[1:]
    )


def goal_of(run: Mapping[str, Any], metric: str) -> Mapping[str, Any] | None:
    """The first success criterion about a metric of the whole test part."""
    criteria = records(at(run, "gates", "criteria"))
    return next((item for item in criteria if item.get("metric") == metric), None)


def _tile(run: Mapping[str, Any], metric: str, name: str = "", extra: str = "", *, bar: bool = True) -> Html:
    title, unit = unit_of(metric, run)
    value = at(run, "metrics", metric)
    if value_of(value) is None:
        return tile(name or title, measured(value, unit), data(reason_of(value), 300))
    interval = ends(value)
    small = [interval_text(value, unit)] if interval else []
    marks: dict[str, object] = {}
    baseline = value_of(at(run, "baseline_metrics", metric))
    if baseline is not None:
        marks["baseline"] = baseline
        small.append(f"baseline {show(baseline, unit, interval, bare=True)}")
    goal = goal_of(run, metric)
    if goal is not None and finite(goal.get("goal")) is not None:
        marks["goal"] = goal["goal"]
        bound = "≤ " if goal.get("direction") == "at_most" else ""
        small.append(f"goal {bound}{exact(goal['goal'], unit, bare=True)}, {'met' if goal.get('met') else 'missed'}")
    words = " · ".join([*small, extra] if extra else small)
    return tile(
        name or title, measured(value, unit), words, range_bar(value, unit, name=title, marks=marks) if bar else None
    )


def key_figures(run: Mapping[str, Any]) -> Html:
    """The primary metric, the other one, what can be decided alone, and what it costs or how honest it is."""
    first = primary(run)
    second = "macro_f1" if first == "accuracy" else "accuracy"
    required = at(run, "metrics", "automation", "required_precision")
    alone = f"Decided alone at {exact(required, PERCENT)} precision" if finite(required) is not None else ""
    unit = unit_of("cost_per_1000", run)[1]
    by_hand = at(run, "metrics", "costs", "people_alone")
    shared = at(run, "metrics", "costs", "with_people")
    others = [
        f"{words} {show(value_of(price), unit, ends(price) or (0, 100), bare=True)}"
        for words, price in (("with people for the rest", shared), ("by hand", by_hand))
        if value_of(price) is not None
    ]
    last = (
        _tile(run, "cost_per_1000", "Cost per 1,000 rows, model alone", " · ".join(others))
        if value_of(at(run, "metrics", "cost_per_1000")) is not None
        else _tile(run, "ece")
    )
    each = (_tile(run, first), _tile(run, second), _tile(run, "automated_share", alone), last)
    return tiles(*each, key="Bars: value and 95 % interval on the test part; solid tick baseline, dashed tick goal.")


def next_steps(run: Mapping[str, Any]) -> Html:
    """The run's list of what to do."""
    items = records(run.get("todo"))
    return todo(items) if items else section("What to do next", None, note("Not recorded by this run."))


def _best_epoch(run: Mapping[str, Any]) -> tuple[int | None, int]:
    epochs = [int(e) for e in (finite(row.get("epoch")) for row in records(run.get("history"))) if e is not None]
    chosen = next((item for item in records(run.get("candidates")) if item.get("selected")), {})
    best = finite(chosen.get("best_epoch"))
    return (None if best is None else int(best), max(epochs, default=0))


def best_epoch(run: Mapping[str, Any]) -> int | None:
    """The epoch whose weights were kept."""
    return _best_epoch(run)[0]
