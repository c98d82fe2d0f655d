"""Summaries of many values that fit in a few kilobytes and merge: lengths, distinct and frequent values, types.

Each is plain data and bytes, made from a chunk of values and merged two at a time; nothing depends on how the values
were cut into chunks, except which values a sketch of frequent ones holds once there are more than it has room for.

Lengths are counted, not sketched: there are few distinct ones, so counts are small, exact and the same in every run,
while the KLL sketch (Karnin, Lang and Liberty, 2016) of datasketches draws random bits that no seed controls.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import datasketches
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlcycle.data.times import FORMATS

EXACT_DISTINCT = 2_000
"""Distinct values up to which their number is exact."""
EXACT_FREQUENT = 3_072
"""Distinct values up to which each one's count is exact: 0.75 * 2**12, the room of the sketch."""
TOP = 10
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_LG_HLL = 14
_LG_FREQUENT = 12
_DEVIATIONS = 2
_LENGTH_BITS = 12
_LONGEST_TYPED = 40
_BINS = 30

_TYPES = ("integer", "number", "date", "boolean", "text")
# "007" is a name that consists of digits, not a number
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}[-/][0-9]{1,2}\b.*|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{4}\b.*|[A-Z][a-z]{2}, [0-9].*")
_BOOLEANS = frozenset({"true", "false", "yes", "no", "t", "f", "y", "n"})

State = dict[str, Any]
Integers = NDArray[np.int64]


def count_lengths(values: Integers, *, weights: Integers | None = None, bits: int = _LENGTH_BITS) -> State:
    """Count how often each length occurs.

    Args:
        values: (n,) lengths, from 0.
        weights: (n,) how often each of them counts; once if left out.
        bits: Significant bits kept: lengths below 2**bits are exact, longer ones are rounded down by less than one
            part in 2**(bits - 1). Number, sum, smallest and largest are always exact.

    Returns:
        The state: n, sum, min, max and counts by length.

    Example:
        >>> count_lengths(np.array([3, 1, 3]))
        {'n': 3, 'sum': 7, 'min': 1, 'max': 3, 'counts': {1: 1, 3: 2}}
    """
    weights = np.ones(len(values), np.int64) if weights is None else weights
    if not len(values):
        return {"n": 0, "sum": 0, "min": 0, "max": 0, "counts": {}}
    shift = np.maximum(np.frexp(values.astype(np.float64))[1].astype(np.int64) - bits, 0)
    rounded, inverse = np.unique((values >> shift) << shift, return_inverse=True)
    counts = np.zeros(len(rounded), np.int64)
    np.add.at(counts, inverse, weights)
    return {
        "n": int(weights.sum()),
        "sum": int(values @ weights),
        "min": int(values.min()),
        "max": int(values.max()),
        "counts": dict(zip(rounded.tolist(), counts.tolist(), strict=True)),
    }


def merge_lengths(one: State, other: State) -> State:
    """Return the counts of both."""
    if not one["n"] or not other["n"]:
        return other if not one["n"] else one
    return {
        "n": one["n"] + other["n"],
        "sum": one["sum"] + other["sum"],
        "min": min(one["min"], other["min"]),
        "max": max(one["max"], other["max"]),
        "counts": add_counts(one["counts"], other["counts"]),
    }


def add_counts(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    """Return the sums of counts by key."""
    total = dict(one)
    for key, count in other.items():
        total[key] = total.get(key, 0) + count
    return total


def length_quantiles(state: State, ranks: Sequence[float]) -> list[float]:
    """Return for each rank the smallest length that this share of the values does not exceed; 0 for no values.

    Example:
        >>> length_quantiles(count_lengths(np.array([1, 2, 3, 4])), [0.5, 1.0])
        [2.0, 4.0]
    """
    if not state["n"]:
        return [0.0] * len(ranks)
    lengths = sorted(state["counts"])
    reached = np.cumsum([state["counts"][length] for length in lengths])
    # the small amount lets 0.95 * 20, which is a little less than 19, mean 19
    places = np.searchsorted(reached, np.ceil(np.asarray(ranks) * state["n"] - 1e-9))
    return [float(np.clip(lengths[place], state["min"], state["max"])) for place in places]


def describe_lengths(state: State) -> State:
    """Describe lengths by their mean, quantiles and a histogram.

    Args:
        state: From `count_lengths`.

    Returns:
        n, min, max, mean, quantiles by rank, rank_error (0.0: all lengths are counted; those of 4,096 and more are
        rounded down by less than 0.05 %) and histogram, bins of low (inside), high (outside) and count, all of one
        width up to the 99th percentile, then one for the rest.
    """
    quantiles = dict(zip(map(str, QUANTILES), length_quantiles(state, QUANTILES), strict=True))
    return {
        "n": state["n"],
        "min": state["min"],
        "max": state["max"],
        "mean": state["sum"] / max(state["n"], 1),
        "quantiles": quantiles,
        "rank_error": 0.0,
        "histogram": _histogram(state, upper=int(quantiles["0.99"])) if state["n"] else [],
    }


def _histogram(state: State, *, upper: int) -> list[dict[str, int]]:
    width = _nice_width((upper + 1 - state["min"]) / _BINS)
    bounds = list(range(state["min"] // width * width, upper + width + 1, width))
    if bounds[-1] <= state["max"]:
        bounds.append(state["max"] + 1)
    lengths = np.fromiter(state["counts"], np.int64, len(state["counts"]))
    weights = np.fromiter(state["counts"].values(), np.int64, len(lengths))
    counts = np.zeros(len(bounds) - 1, np.int64)
    # a rounded length may fall below the smallest one, which is exact
    np.add.at(counts, np.clip(np.searchsorted(bounds, lengths, side="right") - 1, 0, len(counts) - 1), weights)
    pairs = zip(bounds, bounds[1:], counts.tolist(), strict=False)
    return [{"low": low, "high": high, "count": count} for low, high, count in pairs]


def _nice_width(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that is at least `least`."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= least:
                return step * power
        power *= 10


def distinct_values(hashes: NDArray[np.uint64]) -> State:
    """Return the state that counts distinct values: their hashes, or a HyperLogLog sketch of more than 2,000.

    Args:
        hashes: (n,) 64-bit hashes of the values, in any order, with or without repetition.

    Returns:
        The state, of at most 16 kB (Flajolet, Fusy, Gandouet and Meunier, 2007).

    Example:
        >>> describe_distinct(distinct_values(np.array([7, 7, 9], np.uint64)))
        {'value': 2, 'low': 2, 'high': 2, 'exact': True}
    """
    hashes = np.unique(hashes)
    if len(hashes) <= EXACT_DISTINCT:
        return {"hashes": hashes.tobytes(), "hll": b""}
    return {"hashes": b"", "hll": _hll(hashes).serialize_compact()}


def merge_distinct(one: State, other: State) -> State:
    """Return the state of the values of both."""
    if not one["hll"] and not other["hll"]:
        return distinct_values(np.frombuffer(one["hashes"] + other["hashes"], np.uint64))
    union = datasketches.hll_union(_LG_HLL)
    for state in (one, other):
        union.update(_hll_of(state))
    return {"hashes": b"", "hll": union.get_result(datasketches.HLL_8).serialize_compact()}


def describe_distinct(state: State) -> State:
    """Return the number of distinct values with the bounds of two standard deviations, and whether it is exact."""
    if not state["hll"]:
        count = len(state["hashes"]) // 8
        return {"value": count, "low": count, "high": count, "exact": True}
    # A sketch filled in one go estimates from the order of arrival. Merged with itself it estimates from its registers
    # alone, which are the same in any order.
    union, sketch = datasketches.hll_union(_LG_HLL), _hll_of(state)
    union.update(sketch)
    union.update(sketch)
    merged = union.get_result(datasketches.HLL_8)
    bounds = (merged.get_estimate(), merged.get_lower_bound(_DEVIATIONS), merged.get_upper_bound(_DEVIATIONS))
    value, low, high = (max(round(bound), EXACT_DISTINCT + 1) for bound in bounds)
    return {"value": value, "low": low, "high": high, "exact": False}


def _hll(hashes: NDArray[np.uint64]) -> Any:
    sketch = datasketches.hll_sketch(_LG_HLL, datasketches.HLL_8)
    for value in hashes.view(np.int64).tolist():
        sketch.update(value)
    return sketch


def _hll_of(state: State) -> Any:
    if state["hll"]:
        return datasketches.hll_sketch.deserialize(state["hll"])
    return _hll(np.frombuffer(state["hashes"], np.uint64))


def frequent_values(values: Sequence[str], counts: Sequence[int]) -> bytes:
    """Return a sketch of the most frequent values (Anderson et al., 2017).

    Args:
        values: Values; one may stand here more than once.
        counts: How often each occurs, at least 1.

    Returns:
        The serialised sketch: exact up to 3,072 distinct values, beyond with an error of at most n / 1,170.

    Example:
        >>> top_values(frequent_values(["a", "b"], [5, 1]))
        [('a', 5, 5), ('b', 1, 1)]
    """
    sketch = datasketches.frequent_strings_sketch(_LG_FREQUENT)
    # the frequent first, so that they are in before the sketch is full
    for count, value in sorted(zip(counts, values, strict=True), key=lambda pair: (-pair[0], pair[1])):
        sketch.update(value, count)
    return bytes(sketch.serialize())


def merge_frequent(one: bytes, other: bytes) -> bytes:
    """Return the sketch of the values of both."""
    sketch = datasketches.frequent_strings_sketch.deserialize(one)
    sketch.merge(datasketches.frequent_strings_sketch.deserialize(other))
    return bytes(sketch.serialize())


def top_values(sketch: bytes) -> list[tuple[str, int, int]]:
    """Return up to ten values with a lower and an upper bound of their counts, most frequent first.

    Only values that surely are more frequent than the error of the sketch; so it may be none of many distinct ones.
    """
    found = datasketches.frequent_strings_sketch.deserialize(sketch)
    items = found.get_frequent_items(datasketches.frequent_items_error_type.NO_FALSE_POSITIVES)
    bounds = [(value, int(low), int(high)) for value, _, low, high in items]
    return sorted(bounds, key=lambda item: (-item[1], -item[2], item[0]))[:TOP]


def count_types(texts: Sequence[str], counts: Sequence[int]) -> State:
    """Count the values that parse as each type: integer, number, date, boolean or, if none of them, text.

    Args:
        texts: Distinct values.
        counts: How often each occurs.

    Returns:
        The state: types, counts by type; numbers, [smallest, largest] by type; dates, [values, first, last] by format.

    Example:
        >>> count_types(["12", "007", "1e3", "2024-02-30", "2024-02-29", "no"], [5, 1, 1, 1, 2, 1])["types"]
        {'integer': 5, 'number': 1, 'date': 2, 'boolean': 1, 'text': 2}
    """
    types = dict.fromkeys(_TYPES, 0)
    numbers: dict[str, list[int | float]] = {"integer": [], "number": []}
    dates: dict[str, int] = {}
    for text, count in zip(texts, counts, strict=True):
        plain = text.strip() if len(text) <= _LONGEST_TYPED else ""
        kind = "text"
        if _INTEGER.fullmatch(plain):
            kind = "integer"
            numbers[kind].append(int(plain))
        elif _NUMBER.fullmatch(plain) and np.isfinite(value := float(plain)):
            kind = "number"
            numbers[kind].append(value + 0.0)
        elif _DATE.fullmatch(plain):
            dates[plain] = dates.get(plain, 0) + count
        elif plain.casefold() in _BOOLEANS:
            kind = "boolean"
        types[kind] += count
    read, formats = _dates(dates)
    types["date"] += read
    types["text"] -= read
    ranges = {kind: [min(found), max(found)] if found else [] for kind, found in numbers.items()}
    return {"types": types, "numbers": ranges, "dates": formats}


def _dates(counts: Mapping[str, int]) -> tuple[int, dict[str, list[Any]]]:
    """Return how many values are dates, and for each format that reads some [values, first, last] in ISO 8601."""
    if not counts:
        return 0, {}
    texts, weights = pd.Series(list(counts), dtype=object), np.fromiter(counts.values(), np.int64, len(counts))
    read = np.zeros(len(counts), bool)
    formats: dict[str, list[Any]] = {}
    for format_ in FORMATS:
        times = pd.to_datetime(texts, format=format_, utc=True, errors="coerce")
        good = times.notna().to_numpy()
        if good.any():
            formats[format_] = [int(weights[good].sum()), times.min().isoformat(), times.max().isoformat()]
            read |= good
    return int(weights[read].sum()), formats


def merge_types(one: State, other: State) -> State:
    """Return the counts and ranges of both."""

    def ranges(a: list[Any], b: list[Any]) -> list[Any]:
        return [min(a[0], b[0]), max(a[1], b[1])] if a and b else a or b

    dates = dict(one["dates"])
    for name, (count, *found) in other["dates"].items():
        before = dates.get(name, [0])
        dates[name] = [before[0] + count, *ranges(before[1:], found)]
    return {
        "types": add_counts(one["types"], other["types"]),
        "numbers": {kind: ranges(found, other["numbers"][kind]) for kind, found in one["numbers"].items()},
        "dates": dates,
    }


def extremes(state: State, kind: str) -> tuple[str | None, str | None]:
    """Return the smallest and largest value of a column of numbers or dates as text, else None twice.

    Dates are read in the format that reads most of them, the one with the day first if the month first does as well.

    Example:
        >>> extremes(count_types(["1.2.2024", "31.12.2023"], [1, 1]), "date")
        ('2023-12-31', '2024-02-01')
    """
    if kind in ("integer", "number"):
        found = [value for name in ("integer", "number") for value in state["numbers"][name]]
        return str(min(found)), str(max(found))
    if kind == "date":
        best = max(state["dates"], key=lambda name: (state["dates"][name][0], -FORMATS.index(name)))
        first, last = (time.removesuffix("T00:00:00+00:00") for time in state["dates"][best][1:])
        return first.replace("+00:00", "Z"), last.replace("+00:00", "Z")
    return None, None
