"""The sections `model` and `train`: the candidates, and how they are trained."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dlcycle.config.base import Perturbation, Section, Share

Architecture = Literal["bag", "cnn", "gru", "lstm", "transformer"]


class ModelSpec(Section):
    """One candidate: an architecture, its tokenizer and its sizes."""

    architecture: Architecture = "bag"
    name: str = Field("", pattern=r"^[A-Za-z0-9 ._-]{0,40}$")
    """Shown on the card; the architecture when empty."""
    tokenizer: Literal["words", "bpe"] = "words"
    """`words`: words of the training part plus hashed n-grams of words; `bpe`: sub-words by byte-pair encoding."""
    vocabulary: int = Field(30_000, ge=10, le=1_000_000)
    """Most entries that the tokenizer learns."""
    min_count: int = Field(2, ge=1)
    """Rows a word must appear in to be learnt (`words` only)."""
    ngrams: int = Field(2, ge=1, le=5)
    """Longest hashed n-gram of words, for `bag` with `words`; 1 switches n-grams off."""
    buckets: int = Field(50_000, ge=1, le=10_000_000)
    """Hash buckets that n-grams share."""
    max_tokens: int = Field(256, ge=1, le=100_000)
    """Tokens of a text that are read; the rest is cut and counted."""
    embedding: int = Field(64, ge=1, le=8192)
    hidden: int = Field(64, ge=1, le=8192)
    layers: int = Field(1, ge=1, le=48)
    heads: int = Field(4, ge=1, le=64)
    """Attention heads (`transformer` only); divides `embedding`."""
    kernels: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (2, 3, 4)
    """Widths of the convolutions, in tokens (`cnn` only)."""
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.architecture == "transformer" and self.embedding % self.heads:
            raise ValueError(f"embedding = {self.embedding} is not divisible by heads = {self.heads}")
        if any(width < 1 for width in self.kernels):
            raise ValueError("kernels must be at least 1")
        return self


class ModelSection(Section):
    """The candidates that compete on the validation part."""

    candidates: Annotated[tuple[ModelSpec, ...], Field(strict=False, min_length=1)] = Field(
        default=("bag",), validate_default=True
    )
    """Architecture names, or tables with the keys of ModelSpec."""

    @field_validator("candidates", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return tuple({"architecture": item} if isinstance(item, str) else item for item in value)
        return value

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [spec.name or spec.architecture for spec in self.candidates]
        if len(set(names)) < len(names):
            raise ValueError(f"candidates need different names, got {', '.join(names)}")
        return self


class TrainSection(Section):
    """How each candidate is trained, and on what machine."""

    epochs: int = Field(12, ge=1, le=10_000)
    batch_size: int = Field(64, ge=1, le=100_000)
    """Rows of an optimiser step."""
    micro_batch: int | None = Field(None, ge=1, le=100_000)
    """Rows of a batch that are computed at once, for batches that do not fit into memory; all of them when not given.
    The gradients of the pieces add up to that of the batch, so results differ by rounding and by what dropout draws."""
    shrink_micro_batch: bool = False
    """Where memory runs out, go on by itself with half as many rows at once. Results then depend on the machine's
    memory; the report says how many rows it came to. With several workers, a batch that failed cannot be repeated."""
    learning_rate: float = Field(2e-3, gt=0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(0.01, ge=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.05
    """Share of all steps over which the learning rate rises to its peak."""
    gradient_clip: float = Field(1.0, ge=0)
    """Largest norm of the gradient; 0 switches clipping off."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] = "none"
    reweight: str | None = None
    """One of `data.group_columns`: its groups and the classes are weighted as if they were independent of each other,
    so that the model learns less of how the groups differ."""
    augment: Annotated[tuple[Perturbation, ...], Field(strict=False)] = ()
    """Ways in which training texts are changed, so that the model learns to bear such changes."""
    augment_share: Share = 0.5
    """Share of the training texts that are read changed, drawn anew in each epoch."""
    patience: int = Field(3, ge=1)
    """Epochs without a better validation metric after which training stops."""
    workers: int = Field(1, ge=1, le=1024)
    """Workers that train together, each on its share of every batch: `batch_size` stays that of all together. More
    than one need GangFlow; `cpu`, `gpu`, `memory` and `threads` are those of each."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """With more than one worker. `ddp`: each has a copy of the network; `fsdp`: each has a part of the weights, of the
    gradients and of the moments of AdamW, for a network that does not fit on one GPU. Slower than `ddp`."""
    precision: Literal["auto", "32", "16", "bf16"] = "auto"
    """`auto`: bf16 or 16-bit mixed precision on a GPU, 32-bit on a CPU."""
    bucket_batches: bool = True
    """Put texts of similar length into the same batch, so that little is padding."""
    deterministic: bool = True
    threads: int = Field(2, ge=1, le=256)
    """Torch threads. Results depend on this number, so it is fixed here and recorded."""
    seeds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (0,)
    cpu: int = Field(2, ge=1)
    gpu: int = Field(0, ge=0)
    memory: int = Field(4096, ge=256)
    """MB for a training task."""
    shared_memory: int | None = Field(None, ge=1)
    """MB of shared memory for a training task in a container, which has 64 otherwise; NCCL wants more."""
    retries: int = Field(1, ge=0, le=10)
    time_limit: int = Field(360, ge=1)
    """Minutes that a training task may take."""
    checkpoints: bool = True
    """Save the state of a training as it goes, so that one that is cut off goes on where it was, to the same result."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Shortest time between two checkpoints. Ends of epochs are saved too; all writing together takes 1 % of the time
    at most."""
    checkpoint_steps: int | None = Field(None, ge=1)
    """Save after every so many steps and each epoch instead, whatever it costs."""
    price_per_hour: float | None = Field(None, ge=0)
    """What the machine of a task costs an hour, in `plan.costs.currency` (EUR without it)."""

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value) or any(not 0 <= seed < 2**32 for seed in value):
            raise ValueError("seeds must be different numbers from 0 to 4294967295")
        return value
