"""The evidence of the training card, one function per section, each drawn on its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import figures
from .charts import MANY, MOST, domain_of, heat_map, range_bar
from .formats import (
    PERCENT,
    PLAIN,
    POINTS,
    Unit,
    count,
    ends,
    exact,
    finite,
    interval_text,
    measured,
    percent,
    reason_of,
    several,
    show,
    value_of,
)
from .markup import Child, Html, data, el, join
from .page import Column, chip, figure, folded, note, pair, section, table
from .train_data import at, mapping, primary, records
from .train_dataset import CLASSES, source_to_test
from .train_history import training
from .train_summary import unit_of

MISTAKES = 50
LOWER = ("ece", "log_loss", "cost_per_1000")
"""Metrics of which less is better."""


def with_interval(metric: object, unit: Unit, *, sign: bool = False) -> Html:
    """A value with its interval in small, or why there is none."""
    if value_of(metric) is None:
        return join(measured(metric, unit), " ", el("span", data(reason_of(metric), 120), class_="soft"))
    inside = interval_text(metric, unit, sign=sign) if ends(metric) else ""
    return join(measured(metric, unit, sign=sign), " ", el("span", inside, class_="soft iv") if inside else None)


def criteria(run: Mapping[str, Any]) -> Html:
    """Every success criterion, met or missed."""
    rows = []
    for item in records(at(run, "gates", "criteria")):
        unit = unit_of(str(item.get("metric")), run)[1] if item.get("metric") != "gain" else POINTS
        met, most = item.get("met"), item.get("direction") == "at_most"
        goal = f"{'at most' if most else 'at least'} {exact(item.get('goal'), unit)}"
        judge = "whole interval" if item.get("judge") == "interval" else "value"
        shown = range_bar(item, unit, name=str(item.get("metric")), marks={"goal": item.get("goal")})
        words = chip("good", "met") if met else chip("bad", "missed") if met is False else chip("careful", "not judged")
        name = item.get("title") or item.get("label") or item.get("metric")
        rows.append([data(name, label=True), goal, with_interval(item, unit), shown, judge, words])
    if not rows:
        nothing = "The project file sets no success criteria. Add [[plan.criteria]] and every run is judged by them."
        later = data(at(run, "gates", "sentence"), 600) if at(run, "gates", "later") else None
        return section("Success criteria", None, note(later or nothing), anchor="criteria")
    columns = [
        Column("Criterion", "name"),
        Column("Goal", "chip"),
        Column("Measured, 95 % interval"),
        Column("Interval and goal"),
        Column("Judged by", "chip"),
        Column("", "chip"),
    ]
    sentence = at(run, "gates", "sentence")
    return section(
        "Success criteria",
        data(sentence, 600) if sentence else None,
        table(columns, rows, name="Success criteria", head=True),
        anchor="criteria",
    )


def baseline(run: Mapping[str, Any]) -> Html:
    """Model and simple baseline on the same rows, metric by metric."""
    ours, theirs = mapping(run.get("metrics")), mapping(run.get("baseline_metrics"))
    title = "Against the simple baseline"
    if not theirs:
        return section(title, None, note("This run recorded no baseline."), anchor="baseline")
    rows: list[Sequence[Child]] = []
    strong = []
    for metric in ("accuracy", "macro_f1", "ece", "log_loss", "automated_share", "cost_per_1000"):
        if value_of(ours.get(metric)) is None and value_of(theirs.get(metric)) is None:
            continue
        name, unit = unit_of(metric, run)
        pairs = [ours.get(metric), theirs.get(metric)]
        shared = domain_of([end for one in pairs for end in (value_of(one), *(ends(one) or ()))], floor=0)
        if metric == primary(run):
            strong.append(len(rows))
        better = el("span", "lower is better", class_="soft") if metric in LOWER else None
        rows.append(
            [
                join(name, " ", better),
                with_interval(pairs[0], unit),
                with_interval(pairs[1], unit),
                join(
                    range_bar(pairs[0], unit, name=f"Model, {name}", domain=shared),
                    range_bar(pairs[1], unit, name=f"Baseline, {name}", domain=shared, plain=True),
                ),
            ]
        )
    difference = at(run, "comparison", "difference")
    metric = str(at(run, "comparison", "metric") or primary(run))
    unit = POINTS if unit_of(metric, run)[1] is PERCENT else unit_of(metric, run)[1]
    gain = join(
        "Difference in ",
        unit_of(metric, run)[0].lower(),
        ", both judged on the same rows: ",
        el("b", measured(difference, unit, sign=True)),
        f" (95 % interval {interval_text(difference, unit, sign=True)})." if ends(difference) else ".",
    )
    columns = [
        Column("On the test part", "name"),
        Column("Model"),
        Column(str(theirs.get("name") or "Baseline")),
        Column("Model above, baseline below"),
    ]
    return section(title, gain, table(columns, rows, name=title, head=True, strong=strong), anchor="baseline")


def _per_class(run: Mapping[str, Any]) -> Html:
    classes = mapping(at(run, "metrics", "per_class"))
    if not classes:
        return note("No figures by class: not recorded by this run.")

    def worst_first(item: tuple[Any, Any]) -> float:
        value = value_of(at(item[1], "f1"))
        return 2.0 if value is None else value

    order = sorted(classes.items(), key=worst_first)
    ours = [at(item, "f1") for _, item in order[:CLASSES]]
    shared = domain_of([end for one in ours for end in (value_of(one), *(ends(one) or ()))], floor=0, ceiling=1)
    rows = [
        [
            data(label, 80, label=True),
            count(at(item, "support")),
            join(with_interval(at(item, "f1"), PLAIN), range_bar(at(item, "f1"), PLAIN, name="F1", domain=shared)),
            _brief(at(item, "precision")),
            _brief(at(item, "recall")),
        ]
        for label, item in order[:CLASSES]
    ]
    hidden = len(order) - len(rows)
    columns = [
        Column("Class", "name"),
        Column("Test rows", "number"),
        Column("F1, 95 % interval"),
        Column("Precision", "number"),
        Column("Recall", "number"),
    ]
    words = ["Weakest class first."]
    if any(value_of(at(item, key)) is None for _, item in order[:CLASSES] for key in ("precision", "recall")):
        words.append("A dash: not measured, because no test row is predicted as this class or none belongs to it.")
    if hidden:
        words.append(f"{several(hidden, 'better class', 'better classes')} not listed.")
    return table(columns, rows, name="Figures by class", head=True, caption=" ".join(words))


def _brief(metric: object) -> Html:
    value = value_of(metric)
    return (
        el("span", "–", title=f"not measured: {reason_of(metric)}")
        if value is None
        else join(show(value, PLAIN, ends(metric)))
    )


def right_and_wrong(run: Mapping[str, Any]) -> Html:
    """Confusion matrix and figures by class."""
    title = "Where it is right and wrong"
    labels, counts = at(run, "metrics", "confusion", "labels"), at(run, "metrics", "confusion", "counts")
    if not labels or not counts:
        matrix: Html = note("No confusion matrix: not recorded by this run.")
        return section(title, None, matrix, _per_class(run), anchor="classes")
    hidden = at(run, "metrics", "confusion", "hidden_classes")
    unseen = (len(hidden) if isinstance(hidden, (list, tuple)) else int(finite(hidden) or 0)) + max(
        0, len(labels) - MOST
    )
    missed = finite(at(run, "metrics", "confusion", "hidden_mistakes"))
    beside = f", with {several(missed, 'mistake')}" if missed else ""
    more = f" {several(unseen, 'less confused class', 'less confused classes')} not shown{beside}." if unseen else ""
    classes = mapping(at(run, "metrics", "per_class"))
    totals = {label: at(item, "support") for label, item in classes.items()}
    many = len(labels) > MANY
    what = "Share of each true class in %." if many else "Share of each true class in %, and rows."
    numbered = " Columns are numbered like the rows." if many else ""
    key = join(
        " ",
        el("span", el("span", class_="key h5"), "right", class_="iv"),
        " ",
        el("span", el("span", class_="key e3"), "wrong", class_="iv"),
    )
    map_ = el("figure", heat_map(labels, counts, totals), el("figcaption", what, numbered, more, key))
    lead = "Rows are the truth, columns the prediction."
    body = join(map_, el("h3", "By class"), _per_class(run)) if many else pair(map_, _per_class(run))
    return section(title, lead, body, anchor="classes", long=many)


def confidence(run: Mapping[str, Any]) -> Html:
    """Calibration, and how much can be decided without a person."""
    metrics = mapping(run.get("metrics"))
    bins = records(metrics.get("reliability"))
    numbers = folded("The numbers behind the reliability diagram", _bins_table(bins)) if bins else None
    return section(
        "How far its confidence can be trusted",
        None,
        pair(_calibration(metrics, bins), _automation(mapping(metrics.get("automation")))),
        numbers,
        anchor="confidence",
    )


def _calibration(metrics: Mapping[str, Any], bins: Sequence[Mapping[str, Any]]) -> Html:
    drawn = figures.reliability(bins)
    if drawn is None:
        return note("No reliability diagram: this run recorded no calibration bins.")
    before, after = metrics.get("ece_before"), metrics.get("ece")
    temperature = value_of(metrics.get("temperature"))
    words = [
        "How often it is right when it says so, with 95 % intervals; on the dashed line it is right that often.",
        f"Calibration error (ECE) {measured(after, PERCENT)}.",
    ]
    if value_of(before) is not None and temperature is not None:
        was = show(value_of(before), PERCENT, ends(after))
        divisor = show(temperature, PLAIN, (0, 0.04))
        words.append(f"It was {was} before the scores were divided by temperature {divisor}.")
    return figure(drawn, _alt_reliability(bins), " ".join(words))


def _automation(auto: Mapping[str, Any]) -> Html:
    share, precision, threshold = auto.get("share"), auto.get("precision"), finite(auto.get("threshold"))
    required, message = auto.get("required_precision"), auto.get("message")
    drawn = figures.automation(records(auto.get("curve")), required, value_of(share), value_of(precision))
    if drawn is None:
        return note(join("No automation curve: ", data(message or "not recorded by this run", 300)))
    chosen = "No threshold reaches the required precision."
    if threshold is not None and value_of(share) is not None:
        chosen = (
            f"At probability {show(threshold)} and above, {measured(share, PERCENT)} of rows are decided alone, "
            f"{measured(precision, PERCENT)} of them right."
        )
    rest = " The rest go to a person." if threshold is not None else ""
    alt = f"Precision against share of rows decided alone. {chosen}"
    return figure(drawn, alt, join(data(message, 400) if message else chosen, rest))


def _alt_reliability(bins: Sequence[Mapping[str, Any]]) -> str:
    points = [f"stated {percent(row.get('stated'))}, right {percent(row.get('observed'))}" for row in bins[:20]]
    return "Reliability diagram: " + "; ".join(points)


def _bins_table(bins: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        [
            percent(row.get("stated")),
            with_interval({"value": row.get("observed"), "low": row.get("low"), "high": row.get("high")}, PERCENT),
            count(row.get("n")),
        ]
        for row in bins
    ]
    columns = [Column("Stated probability", "number"), Column("Right, 95 % interval"), Column("Rows", "number")]
    return table(columns, rows, name="Reliability", shown=20)


def mistakes(run: Mapping[str, Any]) -> Html:
    """The wrong answers it was surest of: often wrong labels."""
    title = "Most confident mistakes"
    found = records(at(run, "metrics", "mistakes"))
    if not found:
        why = (
            "No mistakes on the test part."
            if "mistakes" in mapping(run.get("metrics"))
            else "Not recorded by this run."
        )
        return section(title, None, note(why), anchor="mistakes")
    rows = [
        [
            count(item.get("row")),
            data(item.get("text")),
            data(item.get("truth"), 60, label=True),
            data(item.get("predicted"), 60, label=True),
            show(item.get("probability"), PLAIN, (0, 0.04)),
        ]
        for item in found[:MISTAKES]
    ]
    columns = [
        Column("Row", "number"),
        Column("Text", "long"),
        Column("Label in the data", "name"),
        Column("Predicted", "name"),
        Column("Probability", "number"),
    ]
    lead = "Check these labels first: a sure mistake is often a wrong label. Row numbers are those of the source."
    return section(title, lead, table(columns, rows, name=title, shown=5), anchor="mistakes", long=True)


SECTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Html]], ...] = (
    ("criteria", "Success criteria", criteria),
    ("baseline", "Against the simple baseline", baseline),
    ("classes", "Where it is right and wrong", right_and_wrong),
    ("confidence", "How far its confidence can be trusted", confidence),
    ("mistakes", "Most confident mistakes", mistakes),
    ("training", "Candidates and training", training),
    ("data", "From source to test part", source_to_test),
)
