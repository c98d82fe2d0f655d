"""The sections of the project file: one validated, frozen description of a project that every flow reads.

`dlcycle.project_file` turns the text of a file into these objects and names what is wrong with it.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

Names = Annotated[tuple[str, ...], Field(strict=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Architecture = Literal["bag", "cnn", "gru", "lstm", "transformer"]
Perturbation = Literal["typos", "case", "white_space", "dropped_words"]
AttributionMethod = Literal["integrated_gradients", "gradient_x_input", "occlusion", "shapley"]


def _check_cron(expression: str) -> str:
    """Refuse what is not a cron expression of five fields that both Argo Workflows and Airflow read."""
    # The schedulers disagree on 7 for Sunday, L, W, #, ?, 5/10 and fields for seconds or years.
    limits = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}
    fields = expression.split()
    if len(fields) == 5 and all(map(_in_limits, fields, limits.values())):
        return expression
    wanted = ", ".join(f"{name} {low}-{high}" for name, (low, high) in limits.items())
    raise ValueError(f"expected a cron expression of five fields ({wanted}), such as 0 3 * * 1, got {expression!r}")


def _in_limits(field: str, limits: tuple[int, int]) -> bool:
    parts = [re.fullmatch(r"(\d{1,2})|(?:\*|(\d{1,2})-(\d{1,2}))(?:/[1-9]\d?)?", part) for part in field.split(",")]
    low, high = limits
    ascending = [[low, *(int(number) for number in part.groups() if number), high] for part in parts if part]
    return all(parts) and all(numbers == sorted(numbers) for numbers in ascending)


FlowName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Cron = Annotated[str, AfterValidator(_check_cron)]


class Section(BaseModel):
    """Base of every section: frozen, typed strictly, unknown keys refused."""

    # The flows read a project on each command, also on `show`: with deferred building and defaults given as data,
    # pydantic compiles the whole schema once instead of once a section, which halves the time.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True, serialize_by_alias=True
    )


class ProjectSection(Section):
    """Who this is."""

    name: str = Field("sample", pattern=r"^[a-z][a-z0-9_]{0,49}$")
    """Short name: it becomes the Metaflow project of every run. Lower-case letters, digits and underscores."""
    title: str = Field("", max_length=200)
    """Heading of the cards; the name when empty."""
    owner: str = Field("", max_length=200)
    """Who answers for the project; shown on the cards."""


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
    matrix: dict[str, dict[str, float]] = {}
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


class DataSection(Section):
    """Where the rows come from, which columns matter, and what cleaning may do."""

    source: str = "sample"
    """`sample` (the bundled generator), a local path, an https:// URL or an s3:// object; `--data` overrides it."""
    sample_rows: int = Field(2000, ge=50, le=10_000_000)
    """Rows that the bundled generator makes."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Digest that the source's bytes must have."""
    allowed_hosts: Names = ()
    """Hosts that an https:// source may name; empty allows any public host. Private addresses are always refused."""
    max_megabytes: int = Field(2048, ge=1)
    """Largest source read, after decompression."""
    modality: Literal["text"] = "text"
    inputs: Names = Field(("description",), min_length=1)
    """Text columns; several are joined with a line break, in this order."""
    target: str = "category"
    """Label column."""
    time: str | None = None
    """Column of dates or timestamps, for `split.method = "time"`."""
    group: str | None = None
    """Column whose equal values must stay in one part, for `split.method = "group"`."""
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    encoding: Literal["auto", "utf-8", "utf-16", "cp1252"] = "auto"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    on_bad_rows: Literal["fail", "quarantine"] = "fail"
    """Rows with the wrong number of fields or broken JSON: stop, or set them aside and report them."""
    max_characters: int = Field(1_000_000, ge=1)
    """Longest text that counts as one; longer ones are removed and reported."""
    label_map: dict[str, str] = {}
    """Labels to rename, old to new, before anything else."""
    merge_label_variants: bool = False
    """Merge labels that differ by case, white space, invisible or look-alike characters; the most frequent wins."""
    conflicting_labels: Literal["drop", "keep"] = "drop"
    """Equal texts with different labels: remove them all, or keep the most frequent label of each text."""
    min_rows_per_label: int = Field(3, ge=3)
    """Distinct texts that a class needs to be in all three parts."""
    rare_labels: Literal["stop", "drop", "merge"] = "stop"
    """Classes below that: stop, remove their rows, or merge them into the class `other_label`."""
    other_label: str = "other"
    group_columns: Names = ()
    """Columns whose values are compared for fairness: representation, label rates and errors of each group."""
    origin_column: str | None = None
    """Column that says where each row came from, such as a shop or an annotator."""
    languages: Names = ()
    """ISO 639-1 codes of the languages that the texts are meant to be in; empty takes those of a tenth of the rows."""
    licence: str = Field("", max_length=500)
    """Under which licence the data set may be used; empty is reported as unknown."""
    origin: str = Field("", max_length=500)
    """Where the data set comes from and who collected it; empty is reported as unknown."""


class SplitSection(Section):
    """How rows are assigned to the parts train, validation and test."""

    method: Literal["stratified", "group", "time", "column"] = "stratified"
    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    seed: int = Field(0, ge=0)
    column: str | None = None
    """For `column`: holds train, validation or test for every row."""
    near_duplicates: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity of word triples from which two texts count as near duplicates and stay in one part."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation + test is {self.validation + self.test:g}; it must leave rows to train on")
        if (self.method == "column") != (self.column is not None):
            raise ValueError('column belongs to method = "column", which needs it')
        return self


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
    """Shortest time between two checkpoints. Ends of epochs are saved too; all writing together takes 2 % of the time
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


class EdaSection(Section):
    """How the data are looked at, and on what machine."""

    shards: int = Field(1, ge=1, le=1000)
    """Tasks that the rows are divided among; `--shards` overrides it."""
    rows_per_label: int = Field(100, ge=1)
    """Rows that a class should have at least."""
    detect_languages: bool = True
    """Detect the language of every row; it needs 1.3 GB of memory."""
    folds: int = Field(5, ge=2, le=20)
    """Parts in which the baseline's probabilities are made, each by a model that has not seen it."""
    cpu: int = Field(2, ge=1)
    memory: int = Field(4096, ge=256)
    """MB for a task."""
    retries: int = Field(1, ge=0, le=10)
    time_limit: int = Field(240, ge=1)
    """Minutes that a task may take."""


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


class ColumnSchema(Section):
    """What a column may hold; a key that is left out is not checked."""

    type: Literal["text", "category", "integer", "number", "date", "boolean", "empty"] | None = None
    required: bool = False
    """The project reads the column."""
    missing_share_at_most: Share | None = None
    domain: Names = ()
    """Every value that may occur; empty allows any."""
    smallest: str | None = None
    largest: str | None = None
    words_at_most: int | None = Field(None, ge=0)

    @field_validator("smallest", "largest", mode="before")
    @classmethod
    def _limit(cls, value: Any) -> Any:
        # A person writes 900 or 2024-01-01 without quotes.
        return str(value) if isinstance(value, (int, float, date)) and not isinstance(value, bool) else value


class SchemaSection(Section):
    """What the data looked like when their schema was frozen with `eda_flow.py run --write-schema FILE`."""

    version: Literal[1] = 1
    rows_at_least: int = Field(0, ge=0)
    languages: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z]{2}$")], ...], Field(strict=False)] = ()
    """ISO 639-1 codes; empty allows any."""
    columns: dict[str, ColumnSchema] = {}


class DeploySection(Section):
    """When the flows run by themselves, once they are deployed on Argo Workflows or Airflow."""

    schedule: dict[FlowName, Cron] = {}
    """`schedule.<flow>`: when that flow runs, as a cron expression of five fields, in UTC."""
    chain: Annotated[tuple[FlowName, ...], Field(strict=False)] = ()
    """Flows of which each starts when the one before it has finished, on Argo Workflows with Argo Events."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.chain) == 1 or len(set(self.chain)) < len(self.chain):
            raise ValueError(f"chain needs two or more different flows, got {', '.join(self.chain)}")
        return self


class GatesSection(Section):
    """What a missed criterion does."""

    fail_run: bool = False
    """Fail the run, after everything is saved, when a success criterion is missed."""


class Project(Section):
    """The whole project file."""

    project: ProjectSection = Field(default={}, validate_default=True)
    plan: PlanSection = Field(default={}, validate_default=True)
    data: DataSection = Field(default={}, validate_default=True)
    split: SplitSection = Field(default={}, validate_default=True)
    model: ModelSection = Field(default={}, validate_default=True)
    train: TrainSection = Field(default={}, validate_default=True)
    eda: EdaSection = Field(default={}, validate_default=True)
    explain: ExplainSection = Field(default={}, validate_default=True)
    gates: GatesSection = Field(default={}, validate_default=True)
    deploy: DeploySection = Field(default={}, validate_default=True)
    data_schema: SchemaSection | None = Field(default=None, alias="schema")
    """Later data are compared with it. In the file the key is `schema`: a table, or the path of a file that has it."""
    given: Names = ()
    """Keys that the project file sets itself; written by the parser. Recommendations change none of them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.split.method == "time" and self.data.time is None:
            raise ValueError('split.method = "time" needs data.time, the column that holds the time')
        if self.split.method == "group" and self.data.group is None:
            raise ValueError('split.method = "group" needs data.group, the column that holds the group')
        if self.train.reweight is not None and self.train.reweight not in self.data.group_columns:
            columns = ", ".join(self.data.group_columns) or "none"
            raise ValueError(f"train.reweight must be one of data.group_columns, which names {columns}")
        return self
