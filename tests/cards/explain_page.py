"""The page of the insights card, and what stands on it."""

from typing import Any

import card_data
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.explain import SECTIONS, ExplainCard

TITLES = ["What to do next", "Success criteria", *(title for _, title, _ in SECTIONS), "Where this came from"]


def task(artifacts: dict[str, Any]) -> card_data.Task:
    return card_data.Task(artifacts, "ExplainFlow/1763755/judge/5")


def render(artifacts: dict[str, Any]) -> str:
    return ExplainCard().render(task(artifacts))
