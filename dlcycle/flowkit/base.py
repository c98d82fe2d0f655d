"""The base of every flow: one project file, clear failures, and dlcycle shipped along."""

from typing import TYPE_CHECKING, Any

from metaflow import Config, FlowMutator, FlowSpec, JSONType, Parameter, config_expr
from metaflow import project as metaflow_project  # type: ignore[attr-defined]
from metaflow.exception import MetaflowException
from metaflow.user_decorators.mutable_flow import MutableFlow

from dlcycle.flowkit.endings import begin_command, run_command
from dlcycle.flowkit.failures import explain_failures
from dlcycle.flowkit.inputs import check_files
from dlcycle.flowkit.packaging import ship_dlcycle
from dlcycle.flowkit.triggers import run_by_itself

if TYPE_CHECKING:
    from dlcycle.config import Project


SAMPLE_PROJECT = """
[data]
merge_label_variants = true
licence = "none needed: invented"
origin = "the generator of dlcycle"
"""
"""The project when no file is given: the bundled sample, whose misspelt labels are merged."""


class ProjectFileFailure(MetaflowException):
    """A project file that cannot be used. Metaflow prints its message alone."""

    headline = "Nothing was started"


def read_project(text: str) -> dict[str, Any]:
    """Parse a project file for Metaflow's Config; its problems become a message instead of a traceback.

    Raises:
        ProjectFileFailure: with every problem of the file.
    """
    from dlcycle.errors import ConfigError
    from dlcycle.project_file import parse_project

    try:
        return parse_project(text)
    except ConfigError as failure:
        raise ProjectFileFailure(str(failure)) from None


class explain_every_step(FlowMutator):  # noqa: N801 - used as a decorator
    """Add `explain_failures` to every step, those of subclasses included, and see that a run can write."""

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Decorate the steps.

        Raises:
            StorageFailure: a folder that a run or a task writes to has no room, or is not to be written to.
        """
        begin_command()
        for _, step in mutable_flow.steps:
            step.add_decorator(explain_failures, duplicates=step.IGNORE)  # type: ignore[arg-type]


@explain_every_step
@run_by_itself
@check_files
@ship_dlcycle
@metaflow_project(name=config_expr("project.project.name"))
class BaseFlow(FlowSpec):
    """One project file, read by Metaflow's Config `project`, and what all flows of dlcycle share.

    A subclass in another project redefines the Config with its own default file and overrides hook methods, which are
    those that are no steps. An overridden step would lose its decorators.
    """

    project = Config("project", default_value=SAMPLE_PROJECT, parser=read_project)
    upload = Parameter(
        "upload",
        type=bool,
        is_flag=True,  # type: ignore[arg-type]
        default=False,
        help="Put files of this machine that the run reads into the datastore, for tasks on other machines.",
    )
    # `check_files` writes it when a run is started: a parameter is all that reaches every task from there.
    launch = Parameter("launch", type=JSONType, default="{}", hidden=True)  # type: ignore[arg-type]

    def __init__(self, use_cli: bool = True) -> None:
        """Make the flow; with `use_cli`, carry out the command line and end the process."""
        super().__init__(use_cli=False)
        if use_cli:
            run_command(self)

    def settings(self) -> "Project":
        """Return the typed project: the project file with what the command line overrides."""
        from dlcycle.project_file import validate_project

        return validate_project(self.project.to_dict())
