import pathlib

import pytest
from flow_runner import SMALL, Finished, Workspace


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> Workspace:
    """A new folder for runs."""
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Finished]:
    """One finished run on a small sample: two candidates, two seeds."""
    workspace = Workspace(tmp_path_factory.mktemp("small_run"))
    return workspace, workspace.run("--max-workers", "1", project=SMALL).expect()
