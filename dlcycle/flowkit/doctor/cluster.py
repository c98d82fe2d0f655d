"""Checks of what running `--with kubernetes` needs."""

import importlib.metadata
import importlib.util
import os
import urllib.request
from pathlib import Path

from dlcycle.flowkit.doctor.check import Check, run_probe

SERVER_SECONDS = 20.0
"""Time in which the API server must answer, a program that gives credentials included."""
SERVICE_SECONDS = 5.0
NEWEST = 37
"""The first version of the kubernetes package whose python-dateutil botocore refuses."""


def check_client() -> Check:
    """Is the kubernetes package there, in a version beside which boto3 can be installed?"""
    cure = f"python -m pip install 'kubernetes<{NEWEST}'"
    try:
        version = importlib.metadata.version("kubernetes")
    except importlib.metadata.PackageNotFoundError:
        return Check("kubernetes package", "bad", "not installed", cure)
    if int(version.partition(".")[0]) >= NEWEST:
        found = f"{version}, which needs a python-dateutil that boto3 refuses"
        return Check("kubernetes package", "bad", found, cure)
    return Check("kubernetes package", "ok", version)


def check_server() -> Check:
    """Can the configuration be read, and does the API server answer?"""
    if not os.getenv("KUBECONFIG") and os.getenv("KUBERNETES_SERVICE_HOST"):
        named = "the service account of this pod"
    else:
        paths = [path for path in os.environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep) if path]
        unreadable = [path for path in paths if not os.access(Path(path).expanduser(), os.R_OK)]
        named = os.pathsep.join(paths)
        if len(unreadable) == len(paths):
            found = f"no file that can be read at {named or 'the empty KUBECONFIG'}"
            cure = "set KUBECONFIG to the file that your cluster's administrator or tool gives"
            return Check("api server", "bad", found, cure)
    probed = run_probe("kubernetes", seconds=SERVER_SECONDS, variables={})
    if probed.failure:
        found = f"{named}: waited for: {probed.stage}: {probed.failure}"
        return Check("api server", "bad", found, "start or reach the cluster; `kubectl version` must answer")
    return Check("api server", "ok", f"{named}: {probed.stage}")


def check_remote_store() -> Check:
    """Is the datastore one that pods can reach?"""
    from metaflow.metaflow_config import DEFAULT_DATASTORE

    if DEFAULT_DATASTORE == "local":
        cure = "set METAFLOW_DEFAULT_DATASTORE=s3 and METAFLOW_DATASTORE_SYSROOT_S3=s3://BUCKET/PREFIX"
        return Check("remote datastore", "bad", "the datastore is local, which Metaflow refuses on Kubernetes", cure)
    return Check("remote datastore", "ok", DEFAULT_DATASTORE)


def check_service() -> Check:
    """Do pods report to a metadata service, and does it answer?"""
    from metaflow.metaflow_config import DEFAULT_METADATA, SERVICE_URL

    if DEFAULT_METADATA != "service" or not SERVICE_URL:
        found = f"metadata are {DEFAULT_METADATA}: cards made in pods fail, and early deaths of pods are not explained"
        return Check("metadata service", "warn", found, "set METAFLOW_DEFAULT_METADATA=service, METAFLOW_SERVICE_URL")
    try:
        with urllib.request.urlopen(f"{SERVICE_URL.rstrip('/')}/ping", timeout=SERVICE_SECONDS) as answer:
            answer.read(1000)
    except OSError as failure:
        cure = "start or reach the service, or correct METAFLOW_SERVICE_URL"
        return Check("metadata service", "bad", f"{SERVICE_URL} does not answer: {failure}", cure)
    return Check("metadata service", "ok", f"{SERVICE_URL} answers")


def check_image() -> Check:
    """Is an image named that holds the libraries?"""
    from metaflow.metaflow_config import KUBERNETES_CONTAINER_IMAGE

    hint = (
        "in an image that holds boto3 and requests set METAFLOW_SKIP_INSTALL_DEPENDENCIES=1, or each pod installs them"
    )
    if not KUBERNETES_CONTAINER_IMAGE:
        found = "no image is named: Metaflow takes plain Python, without torch and the other libraries"
        cure = f"set METAFLOW_KUBERNETES_CONTAINER_IMAGE to an image with the libraries of constraints.txt; {hint}"
        return Check("image", "warn", found, cure)
    return Check("image", "ok", f"{KUBERNETES_CONTAINER_IMAGE}; {hint}")


def check_boto3() -> Check:
    """Can this machine upload the code package to S3?"""
    if importlib.util.find_spec("boto3") is None:
        return Check("boto3", "bad", "not installed", "python -m pip install boto3")
    return Check("boto3", "ok", importlib.metadata.version("boto3"))
