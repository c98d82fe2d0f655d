"""In money: what each way to use the model costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import explain_figures
from .charts import domain_of, range_bar
from .eda_reading import gap
from .formats import PERCENT, Unit, currency_unit, ends, exact, finite, measured, several, show, value_of
from .markup import Child, Html, data, el, join
from .page import Column, chip, figure, note, pair, section, table
from .train_data import at, mapping, records
from .train_evidence import with_interval

SCALE = 4.0
"""Times the cost of the dearest marked policy up to which the curve is drawn."""
CURRENCY = 8
"""Characters of a currency that are shown."""


def unit_of(business: object) -> Unit:
    """The unit of amounts of money. A longer currency than the plan allows must not widen the tables."""
    currency = at(business, "currency")
    return currency_unit(currency[:CURRENCY] if isinstance(currency, str) else None)


def best_policy(business: object) -> Mapping[str, Any]:
    """The policy that costs least, as the run chose it."""
    name = at(business, "best")
    return next((item for item in records(at(business, "policies")) if item.get("name") == name and name), {})


def _share(value: object) -> Html | str:
    return with_interval(value, PERCENT) if isinstance(value, Mapping) else show(value, PERCENT, (0, 0.04))


def _cost(cost: object, unit: Unit) -> Html:
    """A cost with its interval; the work of people alone is known exactly."""
    known = ends(cost)
    return with_interval(value_of(cost) if known and known[0] == known[1] else cost, unit)


def _cost_bar(cost: object, unit: Unit, domain: tuple[float, float]) -> Html | None:
    value = value_of(cost)
    if value is not None and value > domain[1]:
        return el("span", "beyond this scale", class_="soft")
    return range_bar(cost, unit, name="cost", domain=domain)


def _threshold(policy: Mapping[str, Any], unit: Unit) -> Html | str:
    """From where on people decide: a probability, or the cost that the model's decision is expected to have."""
    threshold = finite(policy.get("threshold"))
    if threshold is None:
        return "–"
    shown, name = float(f"{threshold:.4g}"), policy.get("name")
    if name == "best":
        return join(exact(shown, unit), el("span", " expected cost", class_="soft"))
    return join(exact(shown), el("span", " probability", class_="soft") if name == "required_precision" else None)


def _policies(found: Sequence[Mapping[str, Any]], best: Mapping[str, Any], unit: Unit) -> Html:
    # Work without the model can cost many times as much; on its scale the other intervals would be dots.
    shared = [item.get("cost") for item in found if item.get("name") != "people"] or [
        item.get("cost") for item in found
    ]
    domain = domain_of([end for one in shared for end in (value_of(one), *(ends(one) or ()))], floor=0)
    rows: list[Sequence[Child]] = []
    strong = []
    for i, item in enumerate(found[:20]):
        chosen = item is best
        strong += [i] if chosen else []
        rows.append(
            [
                join(
                    data(item.get("title") or item.get("name"), 80), " ", chip("good", "best") if chosen else None,
                    el("div", data(item["explanation"], 300), class_="soft") if item.get("explanation") else None,
                ),
                _cost(item.get("cost"), unit),
                _cost_bar(item.get("cost"), unit, domain),
                _share(item.get("automated")),
                _threshold(item, unit),
            ]
        )  # fmt: skip
    columns = [
        Column("Who decides", "long"),
        Column("Cost per 1,000 rows"),
        Column("95 % interval"),
        Column("Decided by the model"),
        Column("Threshold", "number"),
    ]
    return table(columns, rows, name="Ways to use the model", strong=strong)


def _curve(found: Mapping[str, Any], unit: Unit) -> Html:
    best = best_policy(found)
    marks = []
    for item in records(found.get("policies")):
        share, cost = value_of(item.get("automated")), value_of(item.get("cost"))
        name = "best" if item is best else "model alone" if item.get("name") == "alone" else ""
        if share is not None and cost is not None and name:
            marks.append((share, cost, name))
    costs = [cost for item in records(found.get("curve")) if (cost := finite(item.get("cost"))) is not None]
    # Work without the model can cost so much more that the part in which the choice lies would be a corner.
    dearest = SCALE * max((cost for _, cost, _ in marks), default=0.0)
    top = dearest if costs and 0 < dearest < max(costs) else None
    drawn = explain_figures.cost_curve(records(found.get("curve")), marks, top=top)
    if drawn is None:
        return note("Cost against the share that the model decides: no curve was recorded by this run.")
    at_best = next(((share, cost) for share, cost, name in marks if name == "best"), None)
    words = f" The diamond is the best: {show(at_best[0], PERCENT)} decided by the model." if at_best else ""
    currency = (unit.before + unit.after).strip()
    rest = f" Smaller shares cost up to {show(max(costs), unit, (0, 100))} and are left out." if top is not None else ""
    said = f", when the model decides the rows that it is surest of.{words}{rest}"
    caption = join("Cost per 1,000 rows, in ", data(currency, 20), said)
    return figure(drawn, f"Cost against share of rows that the model decides.{words}", caption)


def _facts(found: Mapping[str, Any], unit: Unit) -> Html:
    """What the sums rest on."""
    manual, capacity = finite(found.get("manual")), finite(found.get("capacity"))
    lines = [
        f"Measured on {several(found.get('rows'), 'test row')}; thresholds were chosen on the validation part."
        if finite(found.get("rows")) is not None
        else "Thresholds were chosen on the validation part.",
        f"A row decided by a person costs {show(manual, unit)}." if manual is not None else None,
        f"People have time for {exact(capacity, PERCENT)} of the rows." if capacity is not None else None,
    ]
    return join(
        el("h3", "What it rests on"),
        _saving(found.get("saving"), unit),
        el("ul", [el("li", line) for line in lines if line], class_="plain"),
    )


def _saving(saving: object, unit: Unit) -> Html | None:
    """What the best way saves or costs more, in a sentence with its interval."""
    value, other = value_of(saving), "the cheaper of the model alone and people alone"
    if value is None:
        return None
    if _nothing(saving):
        return el("p", f"The best way costs as much as {other}.")
    shown = _turned(saving) if value < 0 else saving
    between = ends(shown)
    inside = f" 95 % interval {' to '.join(show(end, unit, between) for end in between)}." if between else ""
    return el(
        "p",
        f"The best way {'costs' if value < 0 else 'saves'} ",
        el("b", measured(shown, unit) + (" more" if value < 0 else "")),
        f" per 1,000 rows {'than' if value < 0 else 'against'} {other}.",
        inside,
        None if _proven(saving) else " Not proven: chance alone may make such a difference.",
    )


def _turned(saving: object) -> dict[str, float | None]:
    """A saving as what is paid more."""
    low, high = (finite(end) for end in ends(saving) or (None, None))
    turned = {"value": value_of(saving), "low": high, "high": low}
    return {key: None if number is None else -number for key, number in turned.items()}


def _proven(saving: object) -> bool:
    low, high = (finite(end) for end in ends(saving) or (None, None))
    return low is not None and high is not None and (low > 0 or high < 0)


def _nothing(saving: object) -> bool:
    """Whether the best way is one of those that it is compared with, or always costs the same."""
    return value_of(saving) == 0 and all(finite(end) == 0 for end in ends(saving) or ())


def in_money(run: Mapping[str, Any]) -> Html:
    """Policies, the curve between people and model, and what it rests on."""
    title = "In money"
    found = run.get("business")
    policies = records(at(found, "policies"))
    if not policies:
        absent = gap(found, "Costs")
        config = at(found, "config")
        reason = at(found, "reason")
        why = note(join("Costs: ", data(reason, 400))) if reason else absent or note("Costs: no policy was priced.")
        line = el("p", "In the project file: ", el("code", data(config, 400))) if config else None
        return section(title, None, why, line, anchor="money")
    unit = unit_of(found)
    sentence = at(found, "sentence")
    lead = "What mistakes and the work of people cost together, for each way to share rows between model and people."
    return section(
        title,
        lead,
        el("p", el("b", data(sentence, 600))) if sentence else None,
        _policies(policies, best_policy(found), unit),
        pair(_curve(mapping(found), unit), _facts(mapping(found), unit)),
        anchor="money",
        long=True,
    )


def saving_words(business: object) -> str:
    """What the best way saves or costs more, for the tile."""
    saving, unit = at(business, "saving"), unit_of(business)
    value = value_of(saving)
    if value is None:
        return ""
    if _nothing(saving):
        return "no saving"
    words = f"costs {measured(_turned(saving), unit)} more" if value < 0 else f"saves {measured(saving, unit)}"
    return words if _proven(saving) else f"{words}, not proven"
