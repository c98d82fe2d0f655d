"""The sections `data`, `split`, `eda` and `schema`: the rows, and how they are looked at and divided."""

from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from dlcycle.config.base import Names, Section, Share


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
    label_map: dict[str, str] = Field(default={})
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
    columns: dict[str, ColumnSchema] = Field(default={})
