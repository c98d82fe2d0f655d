import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


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
