import subprocess
import sys

import pytest
from cluster_runner import JOBS, Cluster


@pytest.fixture(scope="session")
def reachable() -> None:
    """Skip where nothing is configured that a pod could run on and store its results in."""
    from metaflow.metaflow_config import DEFAULT_DATASTORE, DEFAULT_METADATA

    if DEFAULT_DATASTORE == "local" or DEFAULT_METADATA == "local":
        pytest.skip(
            f"Metaflow's configuration names no cluster: datastore {DEFAULT_DATASTORE}, metadata {DEFAULT_METADATA}; "
            "pods need both elsewhere"
        )
    done = subprocess.run([sys.executable, "-c", JOBS], capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.skip(f"no Kubernetes cluster answers: {done.stderr.strip().splitlines()[-1][:300]}")


@pytest.fixture(scope="session")
def cluster(reachable: None, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The folder of a user of the cluster."""
    return Cluster(tmp_path_factory.mktemp("user"))
