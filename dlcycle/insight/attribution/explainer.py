"""How contributions of words are asked for: one call for every use, and its answer checked."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dlcycle.config import AttributionMethod, ExplainSection
from dlcycle.data.messages import listed
from dlcycle.errors import DataError
from dlcycle.insight.attribution.attribute import Attribution
from dlcycle.model.artifact import TextClassifier


class Explainer(Protocol):
    """What gives the contributions of words: `dlcycle.insight.attribution.attribute.attribute`, or a project's own."""

    def __call__(
        self,
        classifier: TextClassifier,
        texts: Sequence[str],
        targets: npt.ArrayLike,
        *,
        method: AttributionMethod,
        steps: int,
        samples: int,
        memory_megabytes: int,
        seed: int,
    ) -> list[Attribution]:
        """Contributions of the words of each text to the class that `targets` names for it."""


def explain_texts(
    explain: Explainer,
    classifier: TextClassifier,
    texts: Sequence[str],
    targets: npt.ArrayLike,
    *,
    settings: ExplainSection,
    seed: int,
    method: AttributionMethod | None = None,
) -> list[Attribution]:
    """Ask for the contributions of the words with the settings of the project file.

    Args:
        explain: gives them.
        classifier: the model.
        texts: (N,) texts.
        targets: (N,) class indices.
        settings: method, steps, samples and memory.
        seed: of methods that draw.
        method: another method than that of the settings.

    Returns:
        One attribution for each text.

    Raises:
        DataError: there are more or fewer answers than texts, or an answer does not fit its text or is not finite.
    """
    answers = explain(
        classifier,
        texts,
        targets,
        method=method or settings.method,
        steps=settings.steps,
        samples=settings.shapley_samples,
        memory_megabytes=settings.memory_limit,
        seed=seed,
    )
    if len(answers) != len(texts):
        raise DataError(f"expected one explanation for each of {len(texts):,} texts, got {len(answers):,}")
    wrong = [f"{place} {problem}" for place, answer in enumerate(answers) if (problem := _problem(answer))]
    if wrong:
        raise DataError(f"explanations must be finite numbers, one for each word; of text {listed(wrong)}")
    return answers


def _problem(answer: Attribution) -> str:
    if answer.scores.shape != (len(answer.reading.spans),):
        return f"has {answer.scores.size} for {len(answer.reading.spans)} words"
    numbers = (answer.score, answer.base, answer.delta or 0.0)
    if not (np.isfinite(answer.scores).all() and all(map(math.isfinite, numbers))):
        return "has a number that is not finite"
    return ""
