"""Drawings of the insights card, in the palette and size of `figures`. They hold numbers only."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import ACCENT, GOOD, SECOND, SIZE, drawing, percent_tick, svg_of
from .formats import finite

_BAND = "#c4d4ef"


def _columns(curve: Mapping[str, Any], *keys: str) -> list[tuple[float, ...]]:
    """The points of a curve that have a number in each of its lists."""
    lists = [curve.get(key) for key in keys]
    if not all(isinstance(values, (list, tuple)) for values in lists):
        return []
    points = []
    for values in zip(*lists, strict=False):
        known = [number for number in map(finite, values) if number is not None]
        if len(known) == len(keys):
            points.append(tuple(known))
    return sorted(points)


def removal(curve: Mapping[str, Any], kind: str) -> bytes | None:
    """The class's probability while words are taken out (`deletion`) or put in (`insertion`), against random words.

    The band is where the line of the strongest words may lie: the interval of the difference, above the random line.
    """
    points = _columns(curve, "share", "attributed", "random")
    if len(points) < 2:
        return None
    band = _columns(curve, "share", "attributed", "random", "low", "high")
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        shares, ours, theirs = (list(column) for column in zip(*points, strict=True))
        if band:
            at = [point[0] for point in band]
            low = [max(random + below, 0.0) for _, _, random, below, _ in band]
            high = [min(random + above, 1.0) for _, _, random, _, above in band]
            axes.fill_between(at, low, high, color=_BAND, linewidth=0, label="95 % interval")
        axes.plot(shares, ours, color=ACCENT, marker="o", markersize=4.5, label="strongest first")
        axes.plot(shares, theirs, color=SECOND, linestyle="--", marker="s", markersize=4, label="in random order")
        verb = "taken out" if kind == "deletion" else "put in"
        axes.set(xlabel=f"share of the words {verb}", ylabel="mean probability", ylim=(-0.03, 1.03))
        axes.xaxis.set_major_formatter(percent_tick)
        axes.yaxis.set_major_formatter(percent_tick)
        # Inside, it would cover a line of some model.
        above = {"loc": "lower center", "bbox_to_anchor": (0.45, 1.0), "ncols": 3, "frameon": False}
        axes.legend(handlelength=1.6, columnspacing=1.2, handletextpad=0.5, **above)
    return svg_of(output)


def cost_curve(
    curve: Sequence[Mapping[str, Any]], marks: Sequence[tuple[float, float, str]], *, top: float | None = None
) -> bytes | None:
    """Cost per 1,000 rows against the share that the model decides, with its interval.

    Args:
        curve: points with `share`, `cost`, `low` and `high`.
        marks: share, cost and name of the policies to mark; "best" is a diamond.
        top: cost above which the drawing ends.
    """
    found = [(finite(item.get("share")), finite(item.get("cost")), item) for item in curve]
    points = sorted((share, cost) for share, cost, _ in found if share is not None and cost is not None)
    if len(points) < 2:
        return None
    limits = [(share, finite(item.get("low")), finite(item.get("high"))) for share, _, item in found]
    band = sorted((x, low, high) for x, low, high in limits if x is not None and low is not None and high is not None)
    output = io.BytesIO()
    with drawing(output, SIZE) as axes:
        if band:
            axes.fill_between(*zip(*band, strict=True), color=_BAND, linewidth=0, label="95 % interval")
        axes.plot(*zip(*points, strict=True), color=ACCENT)
        for share, cost, name in marks:
            shape, colour = ("D", GOOD) if name == "best" else ("o", SECOND)
            axes.plot([share], [cost], shape, color=colour, markersize=9, markeredgecolor="white", zorder=5, label=name)
        dear = [share for share, cost in points if top is not None and cost > top]
        start = max(dear, default=0.0) if dear and max(dear) < points[-1][0] else 0.0
        lowest = min(0.0, *(low for _, low, _ in band), *(cost for _, cost in points))
        axes.set(xlabel="share of rows that the model decides", ylabel="cost per 1,000 rows", xlim=(start, 1.02))
        axes.set_ylim(lowest, top if dear else None)
        axes.xaxis.set_major_formatter(percent_tick)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right", frameon=False)
    return svg_of(output)
