"""What each check of explanations must keep."""

from typing import Literal

Name = Literal["completeness", "deletion", "insertion", "random_weights", "agreement"]
LIMITS: dict[Name, float] = {
    "completeness": 0.05,
    "deletion": 0.0,
    "insertion": 0.0,
    "random_weights": 0.5,
    "agreement": 0.5,
}
"""What each check's whole 95 % interval must keep: at most 5 % of a score missing, better than random orders, a rank
correlation of at most a half with the explanations of shuffled networks, and of at least a half with other methods."""
NEEDED: tuple[Name, ...] = ("deletion", "insertion", "random_weights")
"""Checks without which nothing may be read from the explanations; the others call for care."""
