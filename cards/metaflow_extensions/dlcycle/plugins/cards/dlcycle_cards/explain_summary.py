"""The head of the insights card: the answer for a manager, the figures that decide, and what to do next."""

from collections.abc import Mapping
from typing import Any

from .charts import range_bar
from .explain_groups import NAMES
from .explain_money import best_policy, saving_words, unit_of
from .explain_slices import slice_name
from .explain_trust import trust_words
from .formats import (
    NOT_MEASURED,
    NOT_RECORDED,
    PERCENT,
    POINTS,
    Unit,
    ends,
    interval_text,
    measured,
    several,
    value_of,
)
from .markup import Html, data, el, join
from .page import Level, tile, tiles, verdict
from .train_data import at, mapping, records


def answer(run: Mapping[str, Any]) -> Html:
    """The sentence to repeat and what it rests on."""
    told = mapping(run.get("answer"))
    sentence, level = told.get("sentence"), told.get("level")
    if not sentence:
        reason = told.get("reason")
        words = data(reason, 600) if reason else "This run recorded no answer."
        return verdict("careful", "Not judged", words, "The card draws the artifact “answer”.")
    shown: Level = level if level in ("good", "careful", "bad") else "careful"
    details = told.get("details")
    rest = details if isinstance(details, (list, tuple)) else [details] if isinstance(details, str) else []
    badge = told.get("badge")
    return verdict(
        shown,
        data(badge, 100) if badge else "Judged",
        data(sentence, 800),
        *(data(line, 400) for line in rest[:8] if line),
    )


def key_figures(run: Mapping[str, Any]) -> Html:
    """Faithfulness, the worst slice, the worst change, and money or the largest difference between groups."""
    money = best_policy(run.get("business"))
    each = (_faithful(run), _worst_slice(run), _worst_change(run), _money(run) if money else _largest_gap(run))
    key = "Bars: value and 95 % interval on the test part; the tick marks all test rows, unchanged."
    return tiles(*each, key=key if any('class="range"' in one for one in each) else "")


def _faithful(run: Mapping[str, Any]) -> Html:
    found = run.get("faithfulness")
    level, name = trust_words(found)
    if level == "info":
        return tile("Explanations", NOT_MEASURED, data(at(found, "reason") or NOT_RECORDED, 200))
    judged = [item for item in records(at(found, "checks")) if isinstance(item.get("passed"), bool)]
    failed = [item.get("title") or item.get("name") for item in judged if not item["passed"]]
    passed = f"{len(judged) - len(failed)} of {several(len(judged), 'check')} passed"
    small = passed if judged else "no check could be judged"
    more = f" and {len(failed) - 1} more" if failed[1:] else None
    named = join(" · not passed: ", data(failed[0], 60), more) if failed else None
    return tile("Explanations", name, join(small, named), words=True)


def _inside(metric: object, unit: Unit = PERCENT) -> Html | None:
    """The interval of a tile's value, kept on one line."""
    return join(" · ", el("span", interval_text(metric, unit), class_="iv")) if ends(metric) else None


def _worst_slice(run: Mapping[str, Any]) -> Html:
    found, overall = records(at(run, "slices", "slices")), at(run, "slices", "overall")
    worse = [item for item in found if item.get("worse") is True and value_of(item.get("metric")) is not None]
    tried = at(run, "slices", "tried")
    if not worse:
        if not found:
            return tile("Worst part", NOT_MEASURED, data(at(run, "slices", "reason") or NOT_RECORDED, 200))
        small = f"{several(tried, 'part')} compared" if value_of(tried) is not None else "none is proven worse"
        return tile("Part proven worse", "None", small, words=True)
    item = min(worse, key=lambda one: value_of(one.get("metric")) or 0.0)
    metric = item.get("metric")
    small = join(slice_name(item), f" · {several(item.get('rows'), 'row')}", _inside(metric))
    bar = range_bar(metric, PERCENT, name="Worst part", marks={"baseline": value_of(overall)})
    return tile("Accuracy, worst proven part", measured(metric, PERCENT), small, bar)


def _worst_change(run: Mapping[str, Any]) -> Html:
    found = [item for item in records(at(run, "robustness", "tests")) if value_of(item.get("accuracy")) is not None]
    if not found:
        return tile(
            "Worst change of the texts", NOT_MEASURED, data(at(run, "robustness", "reason") or NOT_RECORDED, 200)
        )
    item = min(found, key=lambda one: value_of(one.get("accuracy")) or 0.0)
    metric, clean = item.get("accuracy"), at(run, "robustness", "clean")
    small = join(data(item.get("title") or item.get("name"), 80), _inside(metric))
    bar = range_bar(metric, PERCENT, name="Worst change", marks={"baseline": value_of(clean)})
    return tile("Accuracy, worst change of texts", measured(metric, PERCENT), small, bar)


def _money(run: Mapping[str, Any]) -> Html:
    business = run.get("business")
    best, unit = best_policy(business), unit_of(business)
    cost = best.get("cost")
    saved = saving_words(business)
    words = join(data(best.get("title") or best.get("name"), 80), _inside(cost, unit), f" · {saved}" if saved else None)
    return tile("Cost per 1,000 rows, best way", measured(cost, unit), words, range_bar(cost, unit, name="Cost"))


def _largest_gap(run: Mapping[str, Any]) -> Html:
    name = "Largest difference of groups"
    columns = records(at(run, "fairness", "columns"))
    gaps = [(item, column) for column in columns for item in records(column.get("gaps"))]
    known = [pair for pair in gaps if value_of(pair[0].get("value")) is not None]
    if not known:
        reason = at(run, "fairness", "reason") or NOT_RECORDED
        return tile(name, NOT_MEASURED, data(reason, 200))
    item, column = max(known, key=lambda one: (one[0].get("unequal") is True, value_of(one[0].get("value")) or 0.0))
    label = item.get("label")
    what = NAMES.get(str(item.get("name"))) or data(item.get("name"), 60)
    proven = "unequal" if item.get("unequal") is True else "not proven"
    words = join(
        proven, " · ", data(column.get("column"), 40, label=True), " · ", what,
        join(", ", data(label, 40, label=True)) if label is not None else None,
    )  # fmt: skip
    return tile(name, measured(item.get("value"), POINTS), words, range_bar(item.get("value"), POINTS, name=name))
