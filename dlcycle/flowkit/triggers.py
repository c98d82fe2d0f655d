"""Flows that run by themselves: at set times, and when the flow before them has finished."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from metaflow import FlowMutator, current
from metaflow._vendor import click
from metaflow.user_configs.config_options import ConfigInput
from metaflow.user_decorators.mutable_flow import MutableFlow

logger = logging.getLogger(__name__)


class run_by_itself(FlowMutator):  # noqa: N801 - used as a decorator
    """Add what `deploy` in the project file says about a flow: its schedule, and the flow that triggers it.

    Both have an effect on Argo Workflows, the schedule on Airflow too, and none on runs that a person starts. A
    subclass goes by its own name; where it has @schedule, @trigger or @trigger_on_finish of its own, those win.
    """

    def pre_mutate(self, mutable_flow: MutableFlow) -> None:
        """Decorate the flow."""
        deploy, flow = _deploy_section(mutable_flow), mutable_flow._flow_cls.__name__
        if cron := deploy.get("schedule", {}).get(flow):
            mutable_flow.add_decorator("schedule", deco_kwargs={"cron": cron}, duplicates=mutable_flow.IGNORE)
        if (before := flow_before(flow, chain=deploy.get("chain", []))) and not mutable_flow.has_decorator("trigger"):
            if _deploys_to_airflow():
                logger.warning(
                    "Airflow cannot start %s when %s has finished, as deploy.chain says: schedule it with "
                    "deploy.schedule, or start its DAG from the other one.",
                    flow,
                    before,
                )
            else:
                mutable_flow.add_decorator(
                    "trigger_on_finish", deco_kwargs={"flow": before}, duplicates=mutable_flow.IGNORE
                )

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Give a DAG of Airflow what Argo Workflows has by itself: the project, and parameters without a default.

        Metaflow 2.19.39 does not tell the tasks of a DAG to read the project from the code package, so that they would
        run on the default one, and refuses such parameters.
        """
        if not _deploys_to_airflow():
            return
        for _, parameter in mutable_flow.parameters:
            if parameter.kwargs["type"] is str:
                parameter.kwargs.setdefault("default", "")  # type: ignore[arg-type]
        keys = {name: ConfigInput.make_key_name(name) for name, _ in mutable_flow.configs}
        for _, step in mutable_flow.steps:
            variables = {"METAFLOW_FLOW_CONFIG_VALUE": json.dumps(keys)}
            for _, _, _, options in step.get_decorator_specs("environment"):
                variables |= options.get("vars") or {}
            step.add_decorator("environment", deco_kwargs={"vars": variables}, duplicates=step.OVERRIDE)


def flow_before(flow: str, *, chain: Sequence[str]) -> str | None:
    """The flow before another in a chain; None for the first one and those outside.

    >>> flow_before("TrainFlow", chain=("EdaFlow", "TrainFlow"))
    'EdaFlow'
    """
    return dict(zip(chain[1:], chain, strict=False)).get(flow)


def triggering_run(*, artifacts: Sequence[str]) -> str | None:
    """The run whose end triggered this one, as FLOW/ID; None where a person, a schedule or another event did.

    Args:
        artifacts: what tells a run of the wanted kind from others, so that a subclass may have any name.
    """
    # Outside of Argo Workflows `current` has no such attribute.
    trigger = getattr(current, "trigger", None)
    for run in (trigger.runs or []) if trigger else []:
        if (task := run.end_task) is not None and all(name in task for name in artifacts):
            return str(run.pathspec)
    return None


def _deploy_section(mutable_flow: MutableFlow) -> dict[str, Any]:
    project = dict(mutable_flow.configs).get("project")
    # A run from before there was the section can be resumed.
    return project.to_dict().get("deploy", {}) if project is not None else {}


def _deploys_to_airflow() -> bool:
    # Metaflow keeps there what follows its own options, and tells from it what a process is for.
    arguments = getattr(click.get_current_context(silent=True), "saved_args", None) or [""]
    return arguments[0] == "airflow"
