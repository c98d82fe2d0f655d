"""Drawings of the EDA card, in the palette and size of `figures`. They hold numbers only: names from data are HTML."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import ACCENT, FILL, GOOD, INK, SECOND, SIZE, SOFT, drawing, percent_tick, svg_of
from .formats import finite

LINES = 5
"""Classes drawn over time."""
_STYLES = ((ACCENT, "-", "o"), (SECOND, "--", "s"), (GOOD, "-.", "^"), (INK, ":", "D"), (SOFT, "-", "v"))


def _numbers(rows: Sequence[Mapping[str, Any]], *keys: str) -> list[tuple[float, ...]]:
    found = []
    for row in rows:
        values = tuple(value for value in (finite(row.get(key)) for key in keys) if value is not None)
        if len(values) == len(keys):
            found.append(values)
    return found


def _thousands(value: float, _position: int | None = None) -> str:
    return f"{value:,.0f}"


def learning_curve(points: Sequence[Mapping[str, Any]], forecast: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Measured quality against rows with intervals, and the forecast with its band."""
    known = sorted(_numbers(points, "rows", "value", "low", "high"))
    ahead = sorted(_numbers(forecast, "rows", "value", "low", "high"))
    if not known:
        return None
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        rows, values, low, high = (list(column) for column in zip(*known, strict=True))
        spread = [
            [max(0.0, v - a) for v, a in zip(values, low, strict=True)],
            [max(0.0, b - v) for v, b in zip(values, high, strict=True)],
        ]
        axes.errorbar(
            rows,
            values,
            yerr=spread,
            color=ACCENT,
            marker="o",
            markersize=5.5,
            capsize=0,
            elinewidth=4,
            ecolor="#a9bfe6",
            linewidth=1.6,
            label="measured",
        )
        if ahead:
            xs, middle, bottom, top = (list(column) for column in zip(*ahead, strict=True))
            axes.fill_between(xs, bottom, top, color="#f3d9ae", linewidth=0, label="forecast, 95 % band")
            axes.plot(xs, middle, color=SECOND, linestyle="--", marker="s", markersize=4)
        axes.set(xlabel="labelled rows to learn from", ylabel="accuracy")
        axes.xaxis.set_major_formatter(_thousands)
        axes.xaxis.get_major_locator().set_params(nbins=5)
        axes.yaxis.set_major_formatter(percent_tick)
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], names[::-1], loc="lower right", frameon=False)
    return svg_of(output)


def _place(value: float, bins: Sequence[tuple[float, ...]]) -> float | None:
    """Where a value stands on an axis on which every bin has the same width."""
    for i, (low, high, _) in enumerate(bins):
        if low <= value < high:
            return i + (value - low) / (high - low)
    return None


def lengths(histogram: Sequence[Mapping[str, Any]], cap: object = None, unit: str = "words") -> bytes | None:
    """Texts by length: bins as wide as each other, their lower bounds below; `cap` is marked."""
    bins = sorted(row for row in _numbers(histogram, "low", "high", "count") if row[1] > row[0])
    while bins and not bins[-1][2]:
        bins.pop()
    first = next((i for i, row in enumerate(bins) if row[2]), len(bins))
    bins = bins[first:]
    if not bins:
        return None
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        places = [i + 0.5 for i in range(len(bins))]
        axes.bar(places, [row[2] for row in bins], width=0.94, color=FILL, edgecolor=ACCENT, linewidth=0.9)
        every = max(1, math.ceil(len(bins) / 8))
        ticks = list(range(0, len(bins), every))
        axes.set_xticks(ticks, [_thousands(bins[i][0]) for i in ticks])
        axes.set(xlabel=f"{unit} in a text, from", ylabel="rows")
        axes.yaxis.set_major_formatter(_thousands)
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.14)
        limit = finite(cap)
        at = None if limit is None else _place(limit, bins)
        if at is not None:
            left = at > len(bins) / 2
            axes.axvline(at, color=INK, linewidth=1.2, linestyle=":")
            axes.annotate(
                f"cap: {limit:,.0f}",
                (at, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-5 if left else 5, -2),
                textcoords="offset points",
                ha="right" if left else "left",
                va="top",
                color=INK,
            )
    return svg_of(output)


def group_sizes(sizes: Sequence[Mapping[str, Any]], most: int = 12) -> bytes | None:
    """Groups of near duplicates by their number of rows; the sizes after `most` stand together in the last bar."""
    known = sorted(row for row in _numbers(sizes, "size", "groups") if row[1] > 0)
    if not known:
        return None
    names = [f"{size:,.0f}" for size, _ in known]
    heights = [groups for _, groups in known]
    if len(known) > most:
        names = [*names[: most - 1], f"{names[most - 1]}+"]
        heights = [*heights[: most - 1], sum(heights[most - 1 :])]
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        places = range(len(names))
        axes.bar(places, heights, width=0.7, color=FILL, edgecolor=ACCENT, linewidth=0.9)
        for place, height in zip(places, heights, strict=True):
            axes.annotate(
                _thousands(height),
                (place, height),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                color=SOFT,
                fontsize=9,
            )
        axes.set_xticks(list(places), names)
        if max(heights) > 50 * min(heights):
            # A bar has no foot on a logarithmic axis; just below one group is where nothing would stand.
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.7)
        axes.margins(y=0.14)
        axes.yaxis.set_major_formatter(_thousands)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="rows in a group", ylabel="groups")
    return svg_of(output)


def over_time(shares: Sequence[Sequence[float | None]]) -> bytes | None:
    """Share of each class in period after period; line 1 belongs to the first class, and so on.

    Args:
        shares: one list per class, of one share per period; None where a period has no rows.
    """
    drawn = [line for line in shares[:LINES] if any(value is not None for value in line)]
    if not drawn:
        return None
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        ends = []
        for number, (line, (colour, dash, marker)) in enumerate(zip(shares[:LINES], _STYLES, strict=False), 1):
            points = [(i, value) for i, value in enumerate(line, 1) if value is not None]
            if points:
                xs, ys = [x for x, _ in points], [y for _, y in points]
                axes.plot(xs, ys, color=colour, linestyle=dash, marker=marker, markersize=4.5)
                ends.append((ys[-1], xs[-1], number, colour))
        axes.margins(x=0.04, y=0.12)
        bottom, top = axes.get_ylim()
        last = -math.inf
        for y, x, number, colour in sorted(ends):
            last = max(y, last + 0.08 * (top - bottom))
            axes.annotate(
                str(number),
                (x, last),
                xytext=(9, 0),
                textcoords="offset points",
                color=colour,
                va="center",
                annotation_clip=False,
            )
        axes.set(xlabel="period, in order of time", ylabel="share of the period's rows")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.set_major_formatter(percent_tick)
    return svg_of(output)
