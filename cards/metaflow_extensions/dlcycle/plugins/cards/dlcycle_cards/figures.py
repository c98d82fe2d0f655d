"""Drawings by matplotlib, all in one palette and size, as SVG bytes. They hold numbers only: labels from data are HTML.

Each function returns None when it has nothing to draw; the caller says why. Titles stand in the caption, not inside.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .formats import finite

INK, SOFT, LINE = "#1b2430", "#566070", "#c9d0d8"
ACCENT, SECOND, GOOD, FILL = "#2f5aa8", "#b26a00", "#17693f", "#dbe5f6"
SIZE = (5.0, 3.3)

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "dlcycle",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "axes.grid": True,
    "grid.color": "#edf0f3",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 2.0,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 7,
    "ytick.major.pad": 5,
    "axes.labelsize": 10.5,
}


@contextmanager
def drawing(output: io.BytesIO, size: tuple[float, float], **grid: Any) -> Iterator[Any]:
    """A figure and its axes, written to `output` at the end. No global state of pyplot is touched."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.subplots(**grid)
        nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(output, format="svg", metadata=nothing, transparent=True)


def svg_of(output: io.BytesIO) -> bytes:
    """The drawing without what stands before its first tag."""
    written = output.getvalue()
    return written[written.index(b"<svg") :]


def _series(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> tuple[list[float], list[float]]:
    points = [(finite(row.get(x)), finite(row.get(y))) for row in rows]
    known = [(a, b) for a, b in points if a is not None and b is not None]
    return [a for a, _ in known], [b for _, b in known]


def _lines(axes: Any, rows: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str, str, str, str]]) -> bool:
    """Draw one line per (key, name, colour, dash, marker), named at its end; say whether there was anything."""
    drawn: list[tuple[float, float, str, str]] = []
    for key, name, colour, dash, marker in lines:
        xs, ys = _series(rows, "epoch", key)
        if xs:
            every = max(1, len(xs) // 12)
            axes.plot(xs, ys, color=colour, linestyle=dash, marker=marker, markersize=4.5, markevery=every)
            drawn.append((xs[-1], ys[-1], name, colour))
    axes.margins(x=0.02, y=0.14)
    bottom, top = axes.get_ylim()
    apart, last = (top - bottom) * 0.09, None
    for x, y, name, colour in sorted(drawn, key=lambda line: line[1]):
        last = y if last is None else max(y, last + apart)
        axes.annotate(
            name, (x, last), xytext=(7, 0), textcoords="offset points", color=colour, va="center", annotation_clip=False
        )
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return bool(drawn)


def training_curves(history: Sequence[Mapping[str, Any]], best_epoch: object = None) -> tuple[bytes, bytes] | None:
    """Loss and validation metrics by epoch, the best epoch marked: two drawings."""
    best = finite(best_epoch) or None
    loss = [("train_loss", "train", SECOND, "--", "s"), ("validation_loss", "validation", ACCENT, "-", "o")]
    metrics = [
        ("validation_accuracy", "accuracy", ACCENT, "-", "o"),
        ("validation_macro_f1", "macro F1", GOOD, "--", "^"),
    ]
    drawings = []
    for lines, title in ((loss, "loss"), (metrics, "validation")):
        output = io.BytesIO()
        with drawing(output, SIZE) as axes:
            some = _lines(axes, history, lines)
            axes.set_ylabel(title)
            if best is not None:
                left = best > sum(axes.get_xlim()) / 2
                axes.axvline(best, color=INK, linewidth=1, linestyle=":")
                axes.annotate(
                    f"best: {best:.0f}",
                    (best, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(-4 if left else 4, -2),
                    textcoords="offset points",
                    ha="right" if left else "left",
                    va="top",
                    color=INK,
                )
        if not some:
            return None
        drawings.append(svg_of(output))
    return drawings[0], drawings[1]


def reliability(bins: Sequence[Mapping[str, Any]]) -> bytes | None:
    """How often the model is right when it states a probability, with intervals, above the number of rows per bin."""
    rows = [row for row in bins if finite(row.get("stated")) is not None and finite(row.get("observed")) is not None]
    if not rows:
        return None
    stated, observed = _series(rows, "stated", "observed")
    low = [max(0.0, o - _or(finite(row.get("low")), o)) for o, row in zip(observed, rows, strict=True)]
    high = [max(0.0, _or(finite(row.get("high")), o) - o) for o, row in zip(observed, rows, strict=True)]
    numbers = [_or(finite(row.get("n")), 0.0) for row in rows]
    start = max(0.0, min([*stated, *(o - d for o, d in zip(observed, low, strict=True))]) - 0.04)
    output = io.BytesIO()
    with drawing(output, (5.0, 3.9), nrows=2, sharex=True, height_ratios=[3.4, 1]) as (upper, lower):
        upper.plot([start, 1], [start, 1], color=SOFT, linewidth=1.2, linestyle="--")
        upper.errorbar(
            stated,
            observed,
            yerr=[low, high],
            color=ACCENT,
            marker="o",
            markersize=5.5,
            capsize=0,
            elinewidth=4,
            ecolor="#a9bfe6",
            linewidth=1.6,
        )
        upper.set(ylabel="share right", ylim=(start, 1.02))
        width = (1 - start) * 0.035
        lower.bar(stated, numbers, width=width, color=FILL, edgecolor=ACCENT, linewidth=0.8)
        lower.set(xlabel="stated probability", ylabel="rows", xlim=(start, 1.02))
        lower.xaxis.get_major_locator().set_params(nbins=6, steps=[1, 2, 5, 10])
        lower.yaxis.get_major_locator().set_params(nbins=2, integer=True)
        lower.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        for axis in (upper.xaxis, upper.yaxis):
            axis.set_major_formatter(percent_tick)
    return svg_of(output)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def percent_tick(value: float, _position: int | None = None) -> str:
    """A share as the label of an axis."""
    return f"{100 * value:.4g}\u00a0%"


def automation(curve: Sequence[Mapping[str, Any]], required: object, share: object, precision: object) -> bytes | None:
    """Precision of the rows decided alone against their share; the required precision and the chosen point marked."""
    shares, precisions = _series(curve, "share", "precision")
    if not shares:
        return None
    goal, at, reached = finite(required), finite(share), finite(precision)
    output = io.BytesIO()
    with drawing(output, (5.0, 3.9)) as axes:
        axes.plot(shares, precisions, color=ACCENT, drawstyle="default")
        shown = [*precisions, *(value for value in (goal, reached) if value is not None)]
        span = max(shown) - min(shown) or 0.02
        axes.set(
            xlabel="share of rows decided alone",
            ylabel="precision of those rows",
            xlim=(0, 1.02),
            ylim=(max(0.0, min(shown) - 0.12 * span), min(1 + 0.08 * span, max(shown) + 0.14 * span)),
        )
        if goal is not None:
            axes.axhline(goal, color=GOOD, linewidth=1.4, linestyle="--", label=f"required: {percent_tick(goal)}")
        if at is not None and reached is not None:
            chosen = f"chosen: {100 * at:.0f}\u00a0% of rows"
            axes.plot([at], [reached], "D", color=SECOND, markersize=9, markeredgecolor="white", zorder=5, label=chosen)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="lower left", frameon=False)
        axes.xaxis.set_major_formatter(percent_tick)
        axes.yaxis.set_major_formatter(percent_tick)
    return svg_of(output)
