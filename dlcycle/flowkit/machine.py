"""The machine that a step runs on, as a section of the project file asks for it."""

from collections.abc import Callable
from typing import Any

from metaflow import config_expr, environment, resources, retry  # type: ignore[attr-defined]

from dlcycle.flowkit.time_limit import limited

Step = Callable[..., Any]

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that spin while they wait make a step many times slower as soon as another task wants their core."""


def on_machine(section: str, *, gpu: bool = False, **variables: str) -> Callable[[Step], Step]:
    """Decorate a step with @resources, a time limit, @retry and @environment.

    Args:
        section: of the project file, with the keys `cpu`, `memory`, `time_limit` and `retries`.
        gpu: the section has `gpu` and `shared_memory` too.
        variables: further environment variables.
    """
    kinds = ("cpu", "memory", *(("gpu", "shared_memory") if gpu else ()))

    def decorate(step_function: Step) -> Step:
        asked = {kind: config_expr(f"project.{section}.{kind}") for kind in kinds}
        decorated = environment(vars=PATIENT | variables)(step_function)
        decorated = retry(times=config_expr(f"project.{section}.retries"), minutes_between_retries=0)(decorated)
        result: Step = resources(**asked)(limited(f"{section}.time_limit")(decorated))
        return result

    return decorate
