"""Can the explanations be believed? Controlled checks on test rows that wrong explanations fail."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from dlcycle.config import ExplainSection
from dlcycle.insight.attribution.agreement import compare_methods
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.checks import (
    check_agreement,
    check_completeness,
    check_deletion,
    check_insertion,
    check_random_weights,
    verdict,
)
from dlcycle.insight.attribution.choose import choose_readable, content_order
from dlcycle.insight.attribution.curves import drawn_curves, follow_words
from dlcycle.insight.attribution.explainer import Explainer, explain_texts
from dlcycle.insight.attribution.ranks import rank_correlation
from dlcycle.insight.attribution.redraw import shuffled_weights
from dlcycle.model.artifact import TextClassifier

LEAST_WORDS = 3
"""Words of a text that can be checked: of fewer there is no order to speak of."""
NETWORKS = 3
"""Shuffled networks; each explains its share of the rows, so that one odd network does not decide."""


def check_faithfulness(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    settings: ExplainSection,
    seed: int,
    explain: Explainer = attribute,
) -> dict[str, Any]:
    """Check whether explanations of the model's decisions say what moves the model.

    Taken out or put in, the words that are said to speak for a decision must change it more than random words do, and
    the explanations must change when the model's weights do: else the level is "bad". If contributions do not add up,
    other methods disagree or something could not be judged, it is "careful". A check passes if its whole 95 % interval
    keeps its limit.

    Args:
        classifier: the model; its network is not changed.
        frame: test rows with the column text; `settings.check_rows` of them are chosen by their content.
        settings: rows, and how contributions are found.
        seed: of the choice, random orders, shuffled weights and resamples.
        explain: gives the contributions of the words.

    Returns:
        {"level", "sentence", "rows" (texts checked), "method", "checks": [{"name", "title", "passed" (None: could not
        be judged), "value" (metric), "unit", "limit", "direction", "message", "explanation"}], "curves": {"deletion",
        "insertion"} (see `drawn_curves`; {} without texts), "agreement": what `compare_methods` gives}.

    Raises:
        DataError: an explanation is not finite.

    Source: Sundararajan, Taly and Yan (2017) for completeness; Petsiuk, Das and Saenko (2018) for deletion and
        insertion; Adebayo et al. (2018) for shuffled weights; Krishna et al. (2022) for agreement.
    """
    texts = frame["text"].tolist()
    order = content_order(texts, seed=seed)
    places, readings = choose_readable(
        texts, tokenizer=classifier.tokenizer, order=order, most=settings.check_rows, least_words=LEAST_WORDS
    )
    sample = [texts[place] for place in places]
    targets = classifier.predict(sample).probabilities.argmax(1)
    attributions = explain_texts(explain, classifier, sample, targets, settings=settings, seed=seed)
    followed = follow_words(classifier, attributions, seed=seed)
    similar = _similarity_when_shuffled(classifier, sample, attributions, settings=settings, seed=seed, explain=explain)
    agreement, agreeing = compare_methods(classifier, readings, settings=settings, seed=seed, explain=explain)
    checks = [
        check_completeness(attributions, method=settings.method),
        check_deletion(followed.deletion_gain, seed=seed),
        check_insertion(followed.insertion_gain, seed=seed),
        check_random_weights(similar, seed=seed),
        check_agreement(agreeing, seed=seed),
    ]
    level, sentence = verdict(checks)
    return {
        "level": level,
        "sentence": sentence,
        "rows": len(sample),
        "method": settings.method,
        "checks": checks,
        "curves": drawn_curves(followed, seed=seed) if sample else {},
        "agreement": agreement,
    }


def _similarity_when_shuffled(
    classifier: TextClassifier,
    texts: Sequence[str],
    attributions: Sequence[Attribution],
    *,
    settings: ExplainSection,
    seed: int,
    explain: Explainer,
) -> list[float]:
    """Rank correlation of each text's contributions with those of a network whose weights are shuffled."""
    similar = []
    for number in range(min(NETWORKS, len(texts))):
        shuffled = replace(classifier, network=shuffled_weights(classifier.network, seed=seed + number))
        own = attributions[number::NETWORKS]
        targets = [attribution.target for attribution in own]
        others = explain_texts(explain, shuffled, texts[number::NETWORKS], targets, settings=settings, seed=seed)
        for mine, other in zip(own, others, strict=True):
            if rank_correlation(mine.scores, mine.scores) is not None:  # else it names no word to compare
                similar.append(rank_correlation(mine.scores, other.scores) or 0.0)
    return similar
