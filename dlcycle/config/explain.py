"""The section `explain`: how a trained model is explained and tested."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from dlcycle.config.base import Perturbation, Section, Share

AttributionMethod = Literal["integrated_gradients", "gradient_x_input", "occlusion", "shapley"]


class ExplainSection(Section):
    """How a trained model is explained and tested, and on what machine."""

    method: AttributionMethod = "integrated_gradients"
    """How the contribution of each word is found."""
    steps: int = Field(50, ge=2, le=10_000)
    """Points on the path of integrated gradients."""
    shapley_samples: int = Field(25, ge=1, le=10_000)
    """Orders in which Shapley sampling adds the words."""
    rows_per_class: int = Field(1, ge=1, le=20)
    """Rows of each class shown of each kind: surest right, surest wrong and least sure."""
    overall_rows: int = Field(500, ge=10, le=1_000_000)
    """Test rows that the words for and against each class are found on."""
    check_rows: int = Field(100, ge=10, le=100_000)
    """Test rows that the checks of faithfulness use."""
    given_rows: int = Field(100, ge=1, le=10_000)
    """Rows of --rows that are explained."""
    phrase_words: int = Field(2, ge=1, le=5)
    """Words of the longest phrase that is looked for."""
    slice_rows: int = Field(20, ge=5)
    """Test rows that a slice needs to be judged."""
    detect_languages: bool = True
    """Detect the language of the test rows, to compare languages; it needs 1.3 GB of memory."""
    perturbations: Annotated[tuple[Perturbation, ...], Field(strict=False)] = get_args(Perturbation)
    """Ways in which test texts are changed to see whether the decision stays."""
    perturbed_share: Share = 0.1
    """Share of the words that typos and dropping change; at least one."""
    swap_budget: int = Field(2, ge=1, le=100)
    """Words that the word-swap attack may replace in a text."""
    swap_rows: int = Field(200, ge=10)
    """Test rows that are attacked."""
    memory_limit: int = Field(512, ge=16)
    """MB that a batch of attributions may take."""
    threads: int = Field(2, ge=1, le=256)
    cpu: int = Field(2, ge=1)
    memory: int = Field(4096, ge=256)
    """MB for a task."""
    retries: int = Field(1, ge=0, le=10)
    time_limit: int = Field(240, ge=1)
    """Minutes that a task may take."""
