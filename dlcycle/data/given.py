"""Rows that a user gives to a trained model: read and normalised as training read its own, labelled or not."""

from typing import Any

import pandas as pd

from dlcycle.config import DataSection
from dlcycle.data.clean import joined_texts, normalise
from dlcycle.data.messages import finding, shown
from dlcycle.data.read import read_table
from dlcycle.data.source import open_source
from dlcycle.data.texts import text_series


def read_given(uri: str, *, settings: DataSection) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Read rows that have the input columns of the project; the target column may be missing or blank.

    Nothing is removed: duplicates, texts that show nothing and labels that the project does not know all stay.

    Args:
        uri: A path, https:// or s3://.
        settings: How to read it, which columns are the inputs, which labels are renamed.

    Returns:
        Columns row, line, text and label (None where there is none), and what was noticed, as findings.

    Raises:
        SourceError: The source cannot be opened or must not be.
        DataError: It cannot be read, lacks an input column, or has no row.
    """
    # Digest and the columns for splitting belong to the training data; without a target of its own any column will do.
    alone = {"sha256": None, "time": None, "group": None, "target": settings.inputs[0]}
    opened = open_source(uri, sha256=None, allowed_hosts=settings.allowed_hosts, max_megabytes=settings.max_megabytes)
    with opened as file:
        table = read_table(file, settings=settings.model_copy(update=alone))
    findings = list(table.report["findings"])
    labels: list[str | None] = [None] * len(table)
    if settings.target in table.names:
        renamed = {normalise(old): normalise(new) for old, new in settings.label_map.items()}
        blank = (normalise(value or "") for value in table.values(settings.target))
        labels = [renamed.get(label, label) or None for label in blank]
    else:
        message = f"The rows have no column {shown(settings.target)}, so whether a decision is right cannot be said"
        findings.append(finding("no_labels", message, count=len(table)))
    return pd.DataFrame(
        {
            "row": table.positions + 1,
            "line": table.lines,
            "text": text_series(joined_texts(table, settings.inputs)),
            "label": pd.Series(labels, dtype=object),
        }
    ), findings
