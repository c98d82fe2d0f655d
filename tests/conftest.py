import os
import pathlib
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Threads that spin while they wait slow tests tenfold when several share the cores; flows set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = pathlib.Path(__file__).resolve().parent.parent


SHARED_RUNS = (
    "tests/flows/",
    "tests/kubernetes/",
    "tests/flowkit/test_verify.py",
    "tests/faults/test_interruptions.py",
)
"""Files of tests that share runs, which take longer than the tests."""


class Scheduler(LoadScopeScheduling):
    """Keeps tests that share runs on one worker; the others go one by one to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(SHARED_RUNS) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with the long tests, so that none is left alone with one at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def root() -> pathlib.Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def ecommerce_csv() -> pathlib.Path:
    """Real data beside the checkout, where there is any."""
    path = ROOT.parent / "shared" / "data" / "ecommerce.csv"
    if not path.exists():
        pytest.skip(f"no {path}")
    return path
