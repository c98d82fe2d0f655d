import os
import pathlib

import pytest

# Threads that spin while they wait slow tests tenfold when several share the cores; flows set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = pathlib.Path(__file__).resolve().parent.parent


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
