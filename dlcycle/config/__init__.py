"""The sections of the project file: one validated, frozen description of a project that every flow reads.

`dlcycle.project_file` turns the text of a file into these objects and names what is wrong with it.
"""

from typing import Self

from pydantic import Field, model_validator

from dlcycle.config.base import Names, Perturbation, Section, Share
from dlcycle.config.data import ColumnSchema, DataSection, EdaSection, SchemaSection, SplitSection
from dlcycle.config.deploy import DeploySection
from dlcycle.config.explain import AttributionMethod, ExplainSection
from dlcycle.config.plan import Costs, Criterion, GatesSection, PlanSection
from dlcycle.config.train import Architecture, ModelSection, ModelSpec, TrainSection

__all__ = [
    "Architecture",
    "AttributionMethod",
    "ColumnSchema",
    "Costs",
    "Criterion",
    "DataSection",
    "DeploySection",
    "EdaSection",
    "ExplainSection",
    "GatesSection",
    "ModelSection",
    "ModelSpec",
    "Names",
    "Perturbation",
    "PlanSection",
    "Project",
    "ProjectSection",
    "SchemaSection",
    "Section",
    "Share",
    "SplitSection",
    "TrainSection",
]


class ProjectSection(Section):
    """Who this is."""

    name: str = Field("sample", pattern=r"^[a-z][a-z0-9_]{0,49}$")
    """Short name: it becomes the Metaflow project of every run. Lower-case letters, digits and underscores."""
    title: str = Field("", max_length=200)
    """Heading of the cards; the name when empty."""
    owner: str = Field("", max_length=200)
    """Who answers for the project; shown on the cards."""


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
