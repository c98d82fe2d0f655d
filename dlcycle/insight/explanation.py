"""Why a model decides as it does: single rows, the words behind each class, and whether that can be believed."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dlcycle.config import ExplainSection
from dlcycle.insight.attribution.faithfulness import check_faithfulness
from dlcycle.insight.attribution.local import explain_rows
from dlcycle.insight.attribution.overall import overall_words
from dlcycle.model.artifact import TextClassifier


@dataclass(frozen=True, eq=False)
class Explanation:
    """Attributions of a model, as plain data; each field is a public artifact of ExplainFlow."""

    local_attributions: dict[str, Any]
    global_attributions: dict[str, Any]
    faithfulness: dict[str, Any]


def explain_model(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    given: pd.DataFrame | None,
    settings: ExplainSection,
    seed: int = 0,
) -> Explanation:
    """Attribute the decisions on test rows, and on the rows that a user gives, to words.

    Args:
        classifier: the trained model.
        frame: rows of the dataset version; those of the test part are explained.
        given: rows with the columns row, line, text and label (None where unknown), or None.
        settings: method and sizes.
        seed: of samples and random orders.

    Raises:
        DataError: the method does not fit the network.
    """
    test = frame[frame["part"] == "test"]
    return Explanation(
        local_attributions=explain_rows(classifier, test, settings=settings, given=given, seed=seed),
        global_attributions=overall_words(classifier, test, settings=settings, seed=seed),
        faithfulness=check_faithfulness(classifier, test, settings=settings, seed=seed),
    )
