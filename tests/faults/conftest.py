import pathlib

import pytest
from flow_runner import Workspace


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> Workspace:
    """A new folder for runs."""
    return Workspace(tmp_path)
