"""The section `plan`: what counts as success."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dlcycle.config.base import Section, Share


class Criterion(Section):
    """One success criterion: a metric on the test part and the value it must reach."""

    metric: Literal[
        "accuracy",
        "macro_f1",
        "precision",
        "recall",
        "f1",
        "ece",
        "automated_share",
        "cost_per_1000",
        "gain",
        "accuracy_typos",
        "accuracy_case",
        "accuracy_white_space",
        "accuracy_dropped_words",
        "accuracy_word_swaps",
    ]
    """`precision`, `recall` and `f1` are of one class and need `label`; `gain` is the primary metric's gain over the
    baseline; `ece` the expected calibration error; `automated_share` the share of rows decided alone at
    `plan.required_precision`. Those that begin with `accuracy_` are the accuracy on texts changed in that way, which
    ExplainFlow measures and judges."""
    label: str | None = None
    """The class that `precision`, `recall` or `f1` is about."""
    at_least: float | None = None
    at_most: float | None = None
    judge: Literal["value", "interval"] = "value"
    """Whether the measured value must reach the goal, or the whole 95 % interval."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        if (self.metric in ("precision", "recall", "f1")) != (self.label is not None):
            raise ValueError("precision, recall and f1 need a label, and no other metric takes one")
        return self


class Costs(Section):
    """What decisions cost, in `currency` per row."""

    currency: str = Field("EUR", max_length=8)
    error: float = Field(1.0, ge=0)
    """A wrong decision that `matrix` does not price."""
    manual: float | None = Field(None, ge=0)
    """A row decided by a person."""
    capacity: Share | None = None
    """Share of the rows that people have time to decide; all of them when not given."""
    matrix: dict[str, dict[str, float]] = Field(default={})
    """`matrix.<true class>.<predicted class>`: the price of that mistake."""


class PlanSection(Section):
    """What counts as success. Every gate of every flow reads it here."""

    problem: str = Field("", max_length=2000)
    """The decision to be made, in one or two sentences."""
    metric: Literal["accuracy", "macro_f1"] = "accuracy"
    """Selects the model on the validation part and is compared with the baseline on the test part."""
    worthwhile_gain: Share = 0.0
    """The smallest gain over the baseline, as a share (0.005 = half a point), that pays for deep learning."""
    required_precision: Share = 0.99
    """Precision that rows decided without a person must reach."""
    criteria: Annotated[tuple[Criterion, ...], Field(strict=False)] = ()
    costs: Costs | None = None


class GatesSection(Section):
    """What a missed criterion does."""

    fail_run: bool = False
    """Fail the run, after everything is saved, when a success criterion is missed."""
