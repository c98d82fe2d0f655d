"""The section `deploy`: when the flows run by themselves."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from dlcycle.config.base import Section


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


class DeploySection(Section):
    """When the flows run by themselves, once they are deployed on Argo Workflows or Airflow."""

    schedule: dict[FlowName, Cron] = Field(default={})
    """`schedule.<flow>`: when that flow runs, as a cron expression of five fields, in UTC."""
    chain: Annotated[tuple[FlowName, ...], Field(strict=False)] = ()
    """Flows of which each starts when the one before it has finished, on Argo Workflows with Argo Events."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.chain) == 1 or len(set(self.chain)) < len(self.chain):
            raise ValueError(f"chain needs two or more different flows, got {', '.join(self.chain)}")
        return self
