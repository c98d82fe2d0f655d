"""Do other ways to explain a decision name the same words?"""

from typing import Any, get_args

import numpy as np

from dlcycle.config import AttributionMethod, ExplainSection
from dlcycle.errors import ModelFileError
from dlcycle.insight.attribution.attribute import attribute
from dlcycle.insight.attribution.explainer import Explainer, explain_texts
from dlcycle.insight.attribution.ranks import LEAST_ROWS, mean_of_rows, rank_correlation, top_overlap
from dlcycle.insight.bootstrap import Floats, undefined
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import ReadText

COMPARED_ROWS = 20
"""Rows on which methods are compared; the slowest takes some thousand predictions for each."""
COMPARED_WORDS = 60
"""Words of a text that are read for the comparison."""
NO_EMBEDDING = "the network has no embedding layer to take gradients of"
NO_ROWS = f"fewer than {LEAST_ROWS} texts have words that contribute differently"


def compare_methods(
    classifier: TextClassifier, readings: list[ReadText], *, settings: ExplainSection, seed: int, explain: Explainer
) -> tuple[list[dict[str, Any]], Floats]:
    """Compare the chosen method with each of the others, on the beginnings of a few texts.

    Args:
        classifier: the model.
        readings: texts; the first `COMPARED_ROWS` are used, `COMPARED_WORDS` words of each.
        settings: the chosen method, steps and samples.
        seed: of methods that draw, and of the resamples.
        explain: gives the contributions by the chosen method; the others are `attribute`'s.

    Returns:
        [{"method", "rank_correlation" and "top_overlap" (of the three words that contribute most): metrics over the
        texts, undefined for a method that does not fit the network; "rows"}], one for each other method; and the mean
        rank correlation of each text, (n,), n the texts where there is one.

    Source: Krishna et al. (2022), on explanations that disagree.
    """
    texts = [_beginning(reading) for reading in readings[:COMPARED_ROWS]]
    if not texts:
        return [], np.zeros(0)
    targets = classifier.predict(texts).probabilities.argmax(1)
    chosen = explain_texts(explain, classifier, texts, targets, settings=settings, seed=seed)
    lines, by_method = [], []
    for method in get_args(AttributionMethod):
        if method == settings.method:
            continue
        try:
            others = explain_texts(attribute, classifier, texts, targets, settings=settings, seed=seed, method=method)
        except ModelFileError:
            # Of the methods only those that use gradients ask something of the network.
            missing = undefined(NO_EMBEDDING, n=0)
            lines.append({"method": method, "rank_correlation": missing, "top_overlap": missing, "rows": 0})
            continue
        pairs = [(mine.scores, other.scores) for mine, other in zip(chosen, others, strict=True)]
        correlations = [rank_correlation(*pair) for pair in pairs]
        by_method.append([np.nan if value is None else value for value in correlations])
        known = [value for value in correlations if value is not None]
        overlaps = [top_overlap(*pair) for pair in pairs]
        lines.append(
            {
                "method": method,
                "rank_correlation": mean_of_rows(known, seed=seed, reason=NO_ROWS),
                "top_overlap": mean_of_rows(overlaps, seed=seed, reason=NO_ROWS, within=(0.0, 1.0)),
                "rows": len(texts),
            }
        )
    table = np.array(by_method)
    known_rows = ~np.isnan(table).all(0)
    return lines, np.nanmean(table[:, known_rows], axis=0)


def _beginning(reading: ReadText) -> str:
    spans = reading.spans[:COMPARED_WORDS]
    return reading.shown[: int(spans[-1, 1])] if len(spans) else reading.shown
