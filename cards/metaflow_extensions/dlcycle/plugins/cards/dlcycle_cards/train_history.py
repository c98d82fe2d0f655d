"""Candidates and training curves, for the cards of a run and of one training task."""

from collections.abc import Mapping, Sequence
from typing import Any

from . import figures
from .formats import PERCENT, PLAIN, count, duration, finite, percent, show, value_of
from .markup import Html, data, el, join
from .page import Column, chip, figure, folded, note, pair, section, table
from .train_data import at, primary, records
from .train_summary import best_epoch


def _validation(item: Mapping[str, Any], metric: str) -> object:
    for found in (
        item.get(f"validation_{metric}"),
        at(item, "validation", metric),
        at(item, "metrics", metric),
        item.get(metric),
    ):
        if value_of(found) is not None:
            return found
    return None


def training(run: Mapping[str, Any]) -> Html:
    """Candidates and the curves of the selected one."""
    found = records(run.get("candidates"))
    kept = best_epoch(run)
    return section(
        "Candidates and training",
        "The best candidate on the validation part was kept; only that one met the test part.",
        candidates_table(found, primary(run)),
        curves(records(run.get("history")), kept),
        anchor="training",
    )


def candidates_table(found: Sequence[Mapping[str, Any]], metric: str) -> Html:
    """One row per candidate and seed, the best first."""
    if not found:
        return note("No candidates: not recorded by this run.")
    named = any(item.get("name") != item.get("architecture") for item in found)
    order = sorted(found, key=lambda item: -(value_of(_validation(item, metric)) or 0.0))
    rows, strong = [], []
    for i, item in enumerate(order):
        if item.get("selected"):
            strong.append(i)
        epochs = count(item.get("epochs"))
        best = finite(item.get("best_epoch"))
        rows.append(
            [
                join(
                    data(item.get("name") or item.get("architecture"), 60),
                    " ",
                    chip("good", "selected") if item.get("selected") else None,
                ),
                *([data(item.get("architecture"), 60)] if named else []),
                data(item.get("seed"), 20),
                show(value_of(_validation(item, "accuracy")), PERCENT),
                show(value_of(_validation(item, "macro_f1")), PLAIN),
                epochs if best is None else f"{epochs}, best {best:.0f}",
                duration(item.get("seconds")),
                count(item.get("parameters")),
            ]
        )
    columns = [
        Column("Candidate", "name"),
        *([Column("Architecture")] if named else []),
        Column("Seed", "number"),
        Column("Validation accuracy", "number"),
        Column("Validation macro F1", "number"),
        Column("Epochs", "number"),
        Column("Time", "number"),
        Column("Parameters", "number"),
    ]
    return table(columns, rows, name="Candidates", head=True, strong=strong)


def curves(history: Sequence[Mapping[str, Any]], kept: object = None, why: str = "whose weights were kept") -> Html:
    """Loss and validation metrics by epoch, as drawings and folded numbers; `why` says what is special about `kept`."""
    # Without an epoch matplotlib, which takes half a second to import, is not needed.
    drawn = figures.training_curves(history, kept) if history else None
    if drawn is None:
        return note("No training curves yet: no epoch has ended with a number.")
    last = history[-1]
    best = finite(kept) or None
    marked = f" The dotted line marks epoch {best:.0f}, {why}." if best is not None else ""
    alt_loss = (
        f"Loss by epoch; after epoch {count(last.get('epoch'))}: train {show(last.get('train_loss'))}, "
        f"validation {show(last.get('validation_loss'))}."
    )
    alt_metric = (
        f"Validation metrics by epoch; after epoch {count(last.get('epoch'))}: accuracy "
        f"{percent(last.get('validation_accuracy'))}, macro F1 {show(last.get('validation_macro_f1'))}."
    )
    rows = [
        [
            count(row.get("epoch")),
            show(row.get("train_loss")),
            show(row.get("validation_loss")),
            percent(row.get("validation_accuracy")),
            show(row.get("validation_macro_f1")),
            duration(row.get("seconds")),
        ]
        for row in history
    ]
    columns = [
        Column(name, "number")
        for name in ("Epoch", "Train loss", "Validation loss", "Validation accuracy", "Validation macro F1", "Time")
    ]
    return join(
        el("h3", "Training curves"),
        pair(
            figure(drawn[0], alt_loss, f"Loss per row (lower is better).{marked}"),
            figure(drawn[1], alt_metric, "Validation metrics, share from 0 to 1 (higher is better)."),
        ),
        folded("The numbers behind the curves", table(columns, rows, name="History", shown=50)),
    )
