"""Card types of dlcycle. Metaflow imports this package in every process, so its top needs the standard library only."""

from .eda import EdaCard
from .explain import ExplainCard
from .train import TrainCard

CARDS = [EdaCard, ExplainCard, TrainCard]
