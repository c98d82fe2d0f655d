"""Model development: tokenizers, text networks, the saved model and the baseline."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from dlcycle.model.artifact import TextClassifier
    from dlcycle.model.text import NetworkSpec


def load_model(
    artifact: "Mapping[str, Any] | str | PathLike[str]", *, build: "Callable[[NetworkSpec], nn.Module] | None" = None
) -> "TextClassifier":
    """Restore a saved model: `dlcycle.model.artifact.load_model`, imported with torch only when it is called."""
    from dlcycle.model import artifact as saved

    return saved.load_model(artifact, build=build)
