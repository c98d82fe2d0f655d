"""Run flows as a user of a cluster does: the one that KUBECONFIG and Metaflow's configuration name."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flow_runner import FLOW, Finished

SECONDS = 900
"""Longest that a run may take; a pod that waits for an image or a machine waits for ever."""

JOBS = """
import json, os, sys
from kubernetes import client, config
from metaflow.metaflow_config import KUBERNETES_NAMESPACE
config.load_kube_config()
for job in client.BatchV1Api().list_namespaced_job(KUBERNETES_NAMESPACE, _request_timeout=30).items:
    about = {key.removeprefix("metaflow/"): value for key, value in (job.metadata.annotations or {}).items()}
    spec = client.ApiClient().sanitize_for_serialization(job.spec.template.spec)
    print(json.dumps({"about": about, "spec": spec}))
"""


@dataclass(frozen=True)
class Cluster:
    """A user's folder, from which runs are sent to the cluster."""

    folder: pathlib.Path

    def call(self, *arguments: str | os.PathLike[str], cwd: pathlib.Path | None = None) -> Finished:
        """Call this interpreter in the user's folder, with the environment as it is."""
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(command, cwd=cwd or self.folder, capture_output=True, text=True, timeout=SECONDS)
        return Finished(done.returncode, done.stdout + done.stderr)

    def run(self, *arguments: str, project: str, flow: pathlib.Path = FLOW) -> Finished:
        """`python FLOW --config-value project TEXT run --with kubernetes ARGUMENTS`."""
        return self.call(flow, *_run(project), *arguments)

    def client(self, code: str) -> Any:
        """Return what code that uses Metaflow's Client, and cannot import dlcycle, prints as JSON."""
        head = "import json, sys; sys.modules['dlcycle'] = None\nfrom metaflow import Run, namespace\nnamespace(None)\n"
        done = self.call("-c", head + code)
        assert done.code == 0, done.output
        return json.loads(done.output.splitlines()[-1])

    def jobs(self, flow: str) -> list[dict[str, Any]]:
        """What the cluster was asked for: each Job of a flow, oldest first, as "about" (step, run ...) and "spec"."""
        done = self.call("-c", JOBS)
        assert done.code == 0, done.output
        found = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
        return [job for job in found if job["about"].get("flow_name") == flow]

    @contextmanager
    def running(self, *arguments: str, project: str) -> Iterator[None]:
        """Start a run of TrainFlow and stop it, with its pods, when the block ends."""
        command = [sys.executable, str(FLOW), *_run(project), *arguments]
        with (self.folder / "log").open("w") as log:
            flow = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            # The process that waits for a pod deletes it only if it is interrupted itself.
            os.killpg(flow.pid, signal.SIGINT)
            flow.wait(timeout=120)

    def wait_for_job(self, flow: str, *, step: str, project: str, seconds: float = 300) -> dict[str, Any]:
        """Return the spec of the newest Job of a step of a project, once there is one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            wanted = {"step_name": step, "project_name": project}
            if found := [job for job in self.jobs(flow) if wanted.items() <= job["about"].items()]:
                return found[-1]["spec"]
            time.sleep(1)
        raise AssertionError((self.folder / "log").read_text())


def _run(project: str) -> list[str]:
    return ["--no-pylint", "--config-value", "project", project, "run", "--with", "kubernetes", "--max-workers", "2"]
