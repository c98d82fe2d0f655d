"""Numbers for people: rounded to what their interval supports, thousands separated, with units, never "nan"."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

SPACE = "\u00a0"
MINUS = "\u2212"
LARGEST = 1e100
"""Numbers from here on are taken for the overflow that they are; NaN and infinity go with them."""
NOT_MEASURED = "not measured"
NOT_RECORDED = "not recorded by this run"
_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}


@dataclass(frozen=True)
class Unit:
    """How a quantity is written."""

    scale: float = 1.0
    before: str = ""
    after: str = ""
    digits: int = 3
    """Decimals where no interval says better."""
    least: int = 0
    """Decimals even where the interval supports fewer."""


PERCENT = Unit(100.0, after=SPACE + "%", digits=1)
POINTS = Unit(100.0, after=SPACE + "points", digits=1, least=1)
PLAIN = Unit()


def currency_unit(currency: object) -> Unit:
    """The unit of an amount of money; `currency` is an ISO code."""
    code = currency if isinstance(currency, str) and currency else "EUR"
    return Unit(before=_SYMBOLS.get(code, code) + SPACE, digits=2)


def finite(value: object) -> float | None:
    """The value as a float, or None when it is not a number that can be shown or drawn."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < LARGEST else None


def decimals(unit: Unit, interval: tuple[object, object] | None) -> int:
    """Decimals that give half of the interval one significant digit, or two when that digit is a 1 below 1.5.

    Example:
        >>> decimals(PERCENT, (0.955, 0.972)), decimals(PERCENT, (0.86, 0.90)), decimals(PLAIN, (0.945, 0.967))
        (1, 0, 3)
    """
    low, high = (finite(end) for end in interval) if interval else (None, None)
    if low is None or high is None or not high > low:
        return unit.digits
    half = (high - low) / 2 * unit.scale
    if not (math.isfinite(half) and half > 0):
        return unit.digits
    size = math.floor(math.log10(half))
    return min(6, max(unit.least, (half / 10**size < 1.5) - size))


def show(
    value: object,
    unit: Unit = PLAIN,
    interval: tuple[object, object] | None = None,
    *,
    bare: bool = False,
    sign: bool = False,
) -> str:
    r"""A quantity with its unit, rounded to what `interval` supports.

    Args:
        value: a number in the artifact's scale (shares from 0 to 1); anything else is "not measured".
        unit: how it is written.
        interval: low and high end, in the same scale.
        bare: leave the unit out, for ranges and marks beside a number that has it.
        sign: write the plus sign of a difference.

    Example:
        >>> show(0.9642, PERCENT, (0.955, 0.972)), show(0.011, POINTS, (0.004, 0.018), sign=True, bare=True)
        ('96.4\xa0%', '+1.1')
    """
    number = finite(value)
    if number is None:
        return NOT_MEASURED
    scaled = number * unit.scale
    text = f"{scaled:.3g}" if abs(scaled) >= 1e15 else f"{scaled:,.{decimals(unit, interval)}f}"
    text = text.lstrip("-") if float(text.replace(",", "")) == 0 else text
    text = text.replace("-", MINUS) if text.startswith("-") else "+" + text if sign else text
    return text if bare else unit.before + text + unit.after


def percent(value: object, interval: tuple[object, object] | None = None) -> str:
    """A share from 0 to 1 as a percentage."""
    return show(value, PERCENT, interval)


def exact(value: object, unit: Unit = PLAIN, *, bare: bool = False) -> str:
    r"""A number that was chosen, not measured, such as a goal: not rounded.

    Example:
        >>> exact(0.995, PERCENT), exact(80, bare=True)
        ('99.5\xa0%', '80')
    """
    chosen = finite(value)
    if chosen is None:
        return NOT_MEASURED
    text = f"{chosen * unit.scale:,.10g}".replace("-", MINUS)
    return text if bare else unit.before + text + unit.after


def small_share(value: object) -> str:
    r"""A share that is not rounded away to nothing.

    Example:
        >>> small_share(0.0001), small_share(0.0)
        ('< 0.1\xa0%', '0.0\xa0%')
    """
    share = finite(value)
    return f"< 0.1{SPACE}%" if share is not None and 0 < share < 0.0005 else show(value, PERCENT)


def p_value(value: object) -> str:
    """The probability of chance alone.

    Example:
        >>> p_value(0.0004), p_value(0.0312), p_value(None)
        ('< 0.001', '0.031', 'not measured')
    """
    chance = finite(value)
    return NOT_MEASURED if chance is None else "< 0.001" if 0 <= chance < 0.001 else f"{chance:.3f}"


def number(value: object, interval: tuple[object, object] | None = None) -> str:
    """A number without a unit."""
    return show(value, PLAIN, interval)


def money(value: object, currency: object, interval: tuple[object, object] | None = None) -> str:
    """An amount of money."""
    return show(value, currency_unit(currency), interval)


def count(value: object) -> str:
    """A whole number with thousands separated.

    Example:
        >>> count(10361), count(None)
        ('10,361', 'not measured')
    """
    number = finite(value)
    return NOT_MEASURED if number is None else f"{number:,.0f}".replace("-", MINUS)


def several(value: object, one: str, many: str = "") -> str:
    r"""A count with its noun.

    Example:
        >>> several(1, "row"), several(2310, "class", "classes")
        ('1\xa0row', '2,310\xa0classes')
    """
    return f"{count(value)}{SPACE}{one if finite(value) == 1 else many or one + 's'}"


def duration(seconds: object) -> str:
    r"""A length of time in its two largest units.

    Example:
        >>> duration(252), duration(0.42), duration(7325)
        ('4\xa0min 12\xa0s', '0.4\xa0s', '2\xa0h 2\xa0min')
    """
    value = finite(seconds)
    if value is None or value < 0:
        return NOT_MEASURED
    if value < 9.95:
        return f"{value:.1f}{SPACE}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60}{SPACE}s"
    return f"{whole // 3600:,}{SPACE}h {whole % 3600 // 60}{SPACE}min"


def moment(value: object) -> str:
    """An ISO date and time, or seconds since 1970, in UTC.

    Example:
        >>> moment("2026-11-21T01:40:07+00:00")
        '21 Nov 2026, 01:40 UTC'
    """
    seconds = finite(value)
    try:
        if seconds is not None:
            when = datetime.fromtimestamp(seconds, UTC)
        else:
            when = datetime.fromisoformat(str(value))
            when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return "time not recorded"
    month = "JanFebMarAprMayJunJulAugSepOctNovDec"[3 * when.month - 3 : 3 * when.month]
    return f"{when.day} {month} {when.year}, {when:%H:%M} UTC"


def ends(metric: object) -> tuple[object, object] | None:
    """Low and high end of a measured metric, or None when it has no interval."""
    if not isinstance(metric, Mapping):
        return None
    low, high = metric.get("low"), metric.get("high")
    return None if finite(low) is None or finite(high) is None else (low, high)


def value_of(metric: object) -> float | None:
    """The value of a measured metric, which may also be a bare number."""
    return finite(metric.get("value") if isinstance(metric, Mapping) else metric)


def measured(metric: object, unit: Unit, *, sign: bool = False) -> str:
    """The value of a measured metric in words."""
    return show(value_of(metric), unit, ends(metric), sign=sign)


def interval_text(metric: object, unit: Unit, *, sign: bool = False) -> str:
    r"""The 95 % interval of a measured metric in words, without its unit.

    Example:
        >>> interval_text({"value": 0.96, "low": 0.955, "high": 0.972}, PERCENT)
        '95.5\xa0–\xa097.2'
    """
    interval = ends(metric)
    if interval is None:
        return "no interval"
    between = " to " if sign else f"{SPACE}–{SPACE}"
    return between.join(show(end, unit, interval, bare=True, sign=sign) for end in interval)


def reason_of(metric: object) -> str:
    """Why a metric was not measured."""
    if isinstance(metric, Mapping):
        reason = metric.get("reason")
        return str(reason) if reason else "the value was not a finite number" if "value" in metric else NOT_RECORDED
    return NOT_RECORDED
