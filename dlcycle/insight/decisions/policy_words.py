"""Ways of sharing decisions between a model and people, told in words: what each is, and which to take."""

from collections.abc import Mapping
from typing import Any, Literal

from dlcycle.config import Costs

Policy = Literal["people", "alone", "cost_aware", "required_precision", "best"]

TITLES: dict[Policy, str] = {
    "alone": "The model decides every row",
    "cost_aware": "The model decides every row and weighs what mistakes cost",
    "required_precision": "The model decides the rows it is sure of, people the rest",
    "best": "The model decides the rows that are cheap to risk, people the rest",
    "people": "People decide every row",
}
_EXPLANATIONS: dict[Policy, str] = {
    "alone": "Each row gets its most probable class.",
    "cost_aware": "Each row gets the class whose mistakes are expected to cost least.",
    "required_precision": "Rows of a probability of {threshold} or more get their most probable class; people decide "
    "the others.",
    "best": "Each row gets the class whose mistakes are expected to cost least; rows expected to cost more than "
    "{threshold} {currency} go to people.",
    "people": "A person decides each row, rightly.",
}


def explained(name: Policy, threshold: float | None, costs: Costs, *, fits: bool) -> str:
    """What a policy does, in a sentence or two.

    Args:
        name: the policy.
        threshold: the probability, or the expected cost, from which on it hands rows over; None if it has none.
        costs: `plan.costs`.
        fits: whether people have time for what it hands over.
    """
    if name == "required_precision" and threshold is None:
        text = "No probability reaches the required precision, so people decide every row."
    else:
        shown = "" if threshold is None else f"{threshold:.4g}"
        text = _EXPLANATIONS[name].format(threshold=shown, currency=costs.currency)
    if name == "best" and costs.capacity is not None:
        text += f" They decide {100 * costs.capacity:.0f} % of the rows at most, those expected to cost most first."
    if not fits and costs.capacity is not None:
        text += f" People have time for {100 * costs.capacity:.0f} % of the rows, which is not enough for this."
    return text


def advice(result: Mapping[str, Any], *, reference: Policy) -> str:
    """What to do, what it costs and what it saves, for a manager.

    Args:
        result: what `dlcycle.insight.decisions.policies.price_policies` returns, but for this sentence.
        reference: the cheaper of "alone" and "people".
    """
    chosen = next(policy for policy in result["policies"] if policy["name"] == result["best"])
    cost, currency = chosen["cost"], result["currency"]
    automated = chosen["automated"]["value"] if isinstance(chosen["automated"], dict) else chosen["automated"]
    price = f"{_money(cost['value'])} {currency} per 1,000 rows"
    if automated > 0:
        price += f" ({_money(cost['low'])} to {_money(cost['high'])})"
    action = f"{action_of(chosen['name'], automated)}: {price}"
    if chosen["name"] == reference:
        possible = "" if result["capacity"] is None or result["capacity"] >= 1 else " that people have time for"
        return f"{action}; no other way{possible} was cheaper on the validation part."
    if automated == 0 and reference == "people":
        return f"{action}; the model is sure enough of no test row."
    if automated == 1 and reference == "alone" and chosen["name"] == "required_precision":
        return f"{action}; it is sure enough of every test row."
    other = {"alone": "the model alone", "people": "people alone"}[reference]
    return f"{action}, {told_difference(result['saving'], other, currency)}."


def action_of(name: Policy, automated: float) -> str:
    """Who should decide which rows, given the share of them that the model decides."""
    if automated == 0:
        return "Let people decide every row"
    if automated < 1:
        percent = f"{100 * automated:.0f} %"
        percent = {"0 %": "less than 1 %", "100 %": "all but a few"}.get(percent, percent)
        return f"Let the model decide {percent} of the rows and people the rest"
    weighed = "" if name in ("alone", "required_precision") else " and weigh what mistakes cost"
    return f"Let the model decide every row{weighed}"


def told_difference(saving: Mapping[str, Any], other: str, currency: str) -> str:
    """What is saved against another way, and whether that is proven."""
    less = saving["value"] >= 0
    value, *ends = (_money(saving[key] if less else -saving[key]) for key in ("value", "low", "high"))
    if not less:
        ends.reverse()
    if {value, *ends} == {"0.00"}:
        return f"as much as {other}"
    interval = f"95 % interval {ends[0]} to {ends[1]}"
    if value == "0.00":
        return f"as much as {other} ({interval} of the difference), so a saving is not proven"
    proven = "" if saving["low"] > 0 or saving["high"] < 0 else ", so a saving is not proven"
    return f"{value} {currency} {'less' if less else 'more'} than {other} ({interval}){proven}"


def _money(value: float) -> str:
    """An amount without needless decimals.

    >>> _money(1234.4), _money(0.256), _money(-0.001)
    ('1,234', '0.26', '0.00')
    """
    text = f"{value:,.0f}" if abs(value) >= 10 else f"{value:,.2f}"
    return "0.00" if text == "-0.00" else text
