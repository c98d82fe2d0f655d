"""The work list: rows whose label is probably wrong, as a table that people can go through in a spreadsheet."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.data.label_errors import EXAMPLE_ROWS, suspected_label_errors
from dlcycle.data.personal import mask_personal
from dlcycle.data.spreadsheet import to_csv
from dlcycle.insight.bootstrap import wilson

COLUMNS = ("row", "line", "label", "suggested", "probability", "text")
TEXT_CHARACTERS = 500
"""Characters of a text that the work list shows."""


def mislabelled_rows(
    frame: pd.DataFrame, probabilities: npt.NDArray[np.float64], labels: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Find the rows of the validation and test parts whose label is probably wrong.

    The training part is left out on purpose: the model has learnt its labels, the wrong ones too, and would confirm
    them. EdaFlow judges those rows by models that have not seen them. The validation part chose the epoch, which is
    too little to learn a single label from.

    Args:
        frame: N rows of the validation and test parts with the columns row, line, text and label.
        probabilities: (N, C) of the model, in the order of the rows.
        labels: (C,) class names in the order of the probabilities.

    Returns:
        What `dlcycle.data.label_errors.suspected_label_errors` says, with its 20 most doubtful rows, with "weak" (a
        sentence) if the model is right too seldom for its doubts to say anything: the lower end of its accuracy on
        these rows is no higher than the share of their most frequent class; and a CSV table of all suspected rows for
        `dlcycle.data.spreadsheet`'s readers: row, line, label, suggested, probability and text, most doubtful first,
        texts masked and then cut to 500 characters. Where no label can be judged, {"reason"} and a table without rows.

    Raises:
        DataError: The probabilities do not fit the rows, or a label is not among the names.
    """
    texts, rows = frame["text"].tolist(), frame["row"].tolist()
    evidence = suspected_label_errors(
        np.asarray(probabilities, dtype=np.float64),
        frame["label"].tolist(),
        names=labels,
        rows=rows,
        lines=frame["line"].tolist(),
        texts=texts,
        limit=None,
    )
    suspects = evidence.get("rows", [])
    if "reason" not in evidence and (weak := _weakness(frame["label"].tolist(), probabilities, labels)):
        evidence["weak"] = weak
    whole = dict(zip(rows, texts, strict=True))
    # Masked before it is cut: half a number would no longer be known as one.
    cells = (
        [round(suspect[name], 4) if name == "probability" else suspect[name] for name in COLUMNS[:-1]]
        + [mask_personal(whole[suspect["row"]])[:TEXT_CHARACTERS]]
        for suspect in suspects
    )
    table = to_csv(COLUMNS, cells)
    return (evidence | {"rows": suspects[:EXAMPLE_ROWS]} if suspects else evidence), table


def _weakness(stated: Sequence[str], probabilities: npt.NDArray[np.float64], labels: Sequence[str]) -> str:
    """Why the model's doubts say nothing, as a sentence; empty if it is surely better than always guessing one class.

    Such a model contradicts many labels, right ones and wrong ones alike. Of labels drawn by lot half would be listed.
    """
    rows, most = len(stated), max(Counter(stated).values())
    right = sum(labels[best] == label for best, label in zip(probabilities.argmax(axis=1), stated, strict=True))
    low, high = wilson(right, rows)
    if low > most / rows:
        return ""
    return (
        f"The model is right too seldom to doubt labels: on these rows it is right in {100 * right / rows:.1f} % (95 % "
        f"interval {100 * low:.1f} to {100 * high:.1f}), and always naming their most frequent class would be in "
        f"{100 * most / rows:.1f} %."
    )
