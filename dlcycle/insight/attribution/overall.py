"""The words and phrases that push for and against each class, over many texts."""

from typing import Any

import numpy as np
import pandas as pd

from dlcycle.config import ExplainSection
from dlcycle.data.messages import several
from dlcycle.insight.attribution.attribute import attribute
from dlcycle.insight.attribution.choose import choose_evenly, content_order
from dlcycle.insight.attribution.explainer import Explainer, explain_texts
from dlcycle.insight.attribution.phrases import LEAST_TEXTS, Phrases, rank_phrases
from dlcycle.model.artifact import TextClassifier

_TEXTS = 500  # texts whose attributions are held at once


def overall_words(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    settings: ExplainSection,
    seed: int,
    explain: Explainer = attribute,
) -> dict[str, Any]:
    """Find the words and phrases that speak for and against each class.

    Texts are explained for the class that the model predicts and for the runner-up, so that a class is also seen where
    it loses. About as many texts of each predicted class are taken, chosen by their content.

    Args:
        classifier: the model.
        frame: test rows with the column text.
        settings: texts to explain, words of the longest phrase, and how contributions are found.
        seed: of the choice, and of methods that draw.
        explain: gives the contributions of the words.

    Returns:
        {"method", "rows" (texts explained), "of" (test rows), "phrase_words", "classes": [{"label", "rows" (texts
        explained for it), "for", "against": what `rank_phrases` gives, "reason" (only if nothing can be said)}]}, the
        classes in the order of the model.

    Raises:
        DataError: an explanation is not finite.
    """
    texts = frame["text"].tolist()
    phrases = [Phrases(longest=settings.phrase_words) for _ in classifier.labels]
    chosen = np.zeros(0, dtype=np.int64)
    if texts:
        logits = classifier.logits(texts, batch_size=256)
        order = content_order(texts, seed=seed)
        chosen = choose_evenly(logits.argmax(1), order=order, most=settings.overall_rows)
        targets = np.argsort(-logits[chosen], axis=1, kind="stable")[:, :2]
        for start in range(0, len(chosen), _TEXTS):
            block = [texts[place] for place in chosen[start : start + _TEXTS]]
            for column in targets[start : start + _TEXTS].T:
                answers = explain_texts(explain, classifier, block, column, settings=settings, seed=seed)
                for answer in answers:
                    phrases[answer.target].add(answer.reading.masked, answer)
    return {
        "method": settings.method,
        "rows": len(chosen),
        "of": len(frame),
        "phrase_words": settings.phrase_words,
        "classes": [_described(label, own) for label, own in zip(classifier.labels, phrases, strict=True)],
    }


def _described(label: str, phrases: Phrases) -> dict[str, Any]:
    sides = rank_phrases(phrases)
    described = {"label": label, "rows": phrases.texts, **sides}
    if phrases.texts < LEAST_TEXTS:
        return described | {
            "reason": f"{several(phrases.texts, 'text')} explained for this class, {LEAST_TEXTS} needed"
        }
    if not any(sides.values()):
        return described | {"reason": f"no word of {LEAST_TEXTS} texts or more surely pushes one way"}
    return described
