"""Settings that the data recommend, and their use where the project file is silent."""

import math
from collections.abc import Mapping
from typing import Any

from dlcycle.config import Project
from dlcycle.data.messages import shown

TOKENS_PER_WORD = 1.3
"""Tokens of a word, with room for punctuation, which both tokenizers count."""
IMBALANCE = 3.0
"""Rows of the largest class for one of the smallest, from which classes are weighted."""
_STEP = 32


def recommend_settings(
    words: Mapping[str, Any] | None, *, settings: Project, imbalance: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Recommend settings from what the training part is; the other parts have no say in training.

    Args:
        words: n, mean and p99 of the words of its texts; None when the rows could not be split.
        settings: The project.
        imbalance: Of its classes, as `dlcycle.data.fairness.imbalance` returns it; None when there is no split.

    Returns:
        The `recommended` artifact: value, reason and config line of each key of the project file.
    """
    found: dict[str, Any] = {}
    if words and words["n"]:
        longest = words["p99"]
        tokens = max(_STEP, _STEP * math.ceil(TOKENS_PER_WORD * longest / _STEP))
        found["model.max_tokens"] = _advice(
            tokens,
            f"99 % of the training texts have at most {longest:,.0f} words; so many tokens hold them with punctuation",
            f"max_tokens = {tokens}",
        )
        distinct = _vocabulary(words)
        found["model.vocabulary"] = _advice(
            distinct,
            f"About {words['mean'] * words['n']:,.0f} words in all; so many entries hold those that return",
            f"vocabulary = {distinct}",
        )
    if imbalance and imbalance["ratio"]:
        weighted = "balanced" if imbalance["ratio"] >= IMBALANCE and settings.plan.metric == "macro_f1" else "none"
        largest = f"The largest class ({shown(imbalance['largest']['label'])})"
        counted = "each class" if settings.plan.metric == "macro_f1" else "each row"
        why = f"{largest} has {imbalance['ratio']:.1f} times the rows of the smallest"
        found["train.class_weights"] = _advice(
            weighted, f"{why}; {settings.plan.metric} counts {counted} alike", f'class_weights = "{weighted}"'
        )
    method, why = _split_method(settings)
    found["split.method"] = _advice(method, why, f'method = "{method}"')
    return found


def apply_recommended(settings: Project, recommended: Mapping[str, Any]) -> tuple[Project, dict[str, Any]]:
    """Use recommended settings for the keys that the project file does not give.

    Args:
        settings: The project; `given` names the keys that its file sets.
        recommended: As `recommend_settings` returns it.

    Returns:
        The project, and the settings that were used, by key.
    """
    used: dict[str, Any] = {}
    candidates = []
    for place, spec in enumerate(settings.model.candidates):
        changes = {}
        for key in ("max_tokens", "vocabulary"):
            advice = recommended.get(f"model.{key}")
            if advice and f"model.candidates[{place}].{key}" not in settings.given:
                changes[key] = used[f"model.{key}"] = advice["value"]
        candidates.append(spec.model_copy(update=changes))
    update: dict[str, Any] = {"model": settings.model.model_copy(update={"candidates": tuple(candidates)})}
    advice = recommended.get("train.class_weights")
    if advice and "train.class_weights" not in settings.given:
        used["train.class_weights"] = advice["value"]
        update["train"] = settings.train.model_copy(update={"class_weights": advice["value"]})
    advice = recommended.get("split.method")
    if advice and "split.method" not in settings.given:
        used["split.method"] = advice["value"]
        update["split"] = settings.split.model_copy(update={"method": advice["value"]})
    return settings.model_copy(update=update), used


def split_as_recommended(settings: Project) -> Project:
    """Split as the columns of the project ask for, where its file does not say how."""
    if "split.method" in settings.given:
        return settings
    return settings.model_copy(
        update={"split": settings.split.model_copy(update={"method": _split_method(settings)[0]})}
    )


def _advice(value: Any, reason: str, config: str) -> dict[str, Any]:
    return {"value": value, "reason": reason, "config": config}


def _vocabulary(words: Mapping[str, Any]) -> int:
    """Return a size by Heaps' law, V = 30 n ** 0.5 (Heaps, 1978), in thousands, within what networks use."""
    size = 30 * math.sqrt(words["mean"] * words["n"])
    return int(min(50_000, max(1_000, 1000 * round(size / 1000))))


def _split_method(settings: Project) -> tuple[str, str]:
    if "split.method" in settings.given or settings.split.column:
        return settings.split.method, "The project file asks for it"
    if settings.data.time:
        return "time", f"{shown(settings.data.time)} gives the time of each row, and a model is used on later rows"
    if settings.data.group:
        return "group", f"Rows of one {shown(settings.data.group)} belong together"
    return "stratified", "There is neither a time nor a group column; each part gets each class by its share"
