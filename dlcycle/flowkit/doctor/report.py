"""All checks in their order, and what is printed of them."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dlcycle.errors import ConfigError
from dlcycle.flowkit.doctor import cluster, machine, platform
from dlcycle.flowkit.doctor.check import Check, attempt

if TYPE_CHECKING:
    from dlcycle.config import Project


def main(*, config: str | None, kubernetes: bool, as_json: bool) -> int:
    """Run the checks and print a line for each as it is known, or JSON at the end; return 1 if any is bad.

    Raises:
        ConfigError: the project file cannot be read.
    """
    found = []
    for check in run_checks(read_project(config), kubernetes=kubernetes):
        found.append(check)
        if not as_json:
            sys.stdout.write(f"{describe(check)}\n")
            sys.stdout.flush()
    if as_json:
        sys.stdout.write(json.dumps([asdict(check) for check in found], indent=1) + "\n")
    return 1 if any(check.level == "bad" for check in found) else 0


def read_project(config: str | None) -> "Project | None":
    """Return the project of a file, None without one.

    Raises:
        ConfigError: the file cannot be read or is wrong.
    """
    from dlcycle.project_file import parse_project, validate_project

    if config is None:
        return None
    try:
        text = Path(config).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise ConfigError(f"--config: {config!r} cannot be read: {failure}; name a project file") from None
    return validate_project(parse_project(text))


def run_checks(project: "Project | None", *, kubernetes: bool) -> Iterator[Check]:
    """Run every check; one that fails stops no other."""
    for name, check in _checks(project, kubernetes=kubernetes):
        yield attempt(name, check)


def describe(check: Check) -> str:
    """One line for the terminal.

    >>> describe(Check("user", "bad", "is root", "export METAFLOW_USER=you"))
    'bad   user: is root. Do: export METAFLOW_USER=you'
    """
    cure = f". Do: {check.cure}" if check.cure else ""
    return f"{check.level:<4}  {check.name}: {check.found}{cure}"


def _checks(project: "Project | None", *, kubernetes: bool) -> Iterator[tuple[str, Callable[[], Check]]]:
    yield "python", machine.check_python
    yield "libraries", machine.check_libraries
    yield "user", platform.check_user
    yield "metaflow", platform.check_configuration
    yield "datastore", platform.check_store
    yield "cards", platform.check_cards
    yield "code package", platform.check_package
    yield "space of datastore", _check_store_space
    yield "space of TMPDIR", lambda: machine.check_space("space of TMPDIR", machine.temporary_folder())
    yield "space of folder", lambda: machine.check_space("space of folder", os.getcwd())
    yield "memory", partial(machine.check_memory, project)
    yield "gpu", partial(machine.check_gpu, project)
    if kubernetes:
        yield "kubernetes package", cluster.check_client
        yield "api server", cluster.check_server
        yield "remote datastore", cluster.check_remote_store
        yield "metadata service", cluster.check_service
        yield "image", cluster.check_image
        yield "boto3", cluster.check_boto3


def _check_store_space() -> Check:
    root = platform.store_root()
    if root is None or "://" in root:
        return Check("space of datastore", "ok", f"{root or 'none'} is not on this machine")
    return machine.check_space("space of datastore", root)
