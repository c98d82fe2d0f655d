"""Probes that may never end, run as a process of their own: `store KIND ROOT NAME`, `reach KIND ROOT`, `kubernetes`.

Each stage is a line on the standard output before it begins; a failure is the last line on the standard error.
"""

import contextlib
import os
import secrets
import sys
from collections.abc import Sequence
from typing import Any


def probe_store(kind: str, root: str, name: str) -> None:
    """Write, read back, compare and delete a few bytes with Metaflow's own classes for a datastore.

    Args:
        kind: local or s3.
        root: root of the datastore.
        name: name of a flow that does not exist; all that is written lies under it.

    Raises:
        RuntimeError: other bytes came back.
    """
    store = probe_reach(kind, root, name)
    content = secrets.token_bytes(64)
    _begin("write")
    key = store.ca_store.save_blobs([content])[0].key
    path = f"{name}/data/{key[:2]}/{key}"
    _begin("read back")
    try:
        found = next(iter(store.ca_store.load_blobs([key])))[1]
        if found != content:
            raise RuntimeError(f"wrote {len(content)} bytes, read {len(found)} other bytes back")
    except Exception:
        with contextlib.suppress(Exception):
            _delete(store, path)
        raise
    _begin("delete")
    _delete(store, path)


def probe_reach(kind: str, root: str, name: str = "dlcycle_doctor") -> Any:
    """Ask the server of a datastore whether it is there; return the datastore of a flow in it.

    Metaflow's own classes say nothing while they try again.
    """
    _begin("start")
    from metaflow.datastore.flow_datastore import FlowDataStore
    from metaflow.plugins import DATASTORES

    storage = next(each for each in DATASTORES if kind == each.TYPE)
    store = FlowDataStore(name, storage_impl=storage, ds_root=root)
    if kind == "s3":
        from botocore.exceptions import ClientError

        _begin("reach the server")
        bucket, _, prefix = root.removeprefix("s3://").partition("/")
        try:
            store._storage_impl.s3_client.client.head_object(Bucket=bucket, Key=f"{prefix}/{name}")
        except ClientError as failure:
            # That there is no such object, or no right to know it, is an answer too.
            if failure.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise
    return store


def _delete(store: Any, path: str) -> None:
    """Delete what was written; Metaflow's datastores cannot."""
    address = store._storage_impl.full_uri(path)
    if store.TYPE == "s3":
        bucket, _, key = address.removeprefix("s3://").partition("/")
        store._storage_impl.s3_client.client.delete_object(Bucket=bucket, Key=key)
    else:
        for file in (address, f"{address}_meta"):
            os.remove(file)


def probe_kubernetes() -> None:
    """Ask the API server for its version, with the configuration that Metaflow would take."""
    _begin("read the configuration")
    from kubernetes import client, config

    # The same choice as in Metaflow's KubernetesClient.
    if not os.getenv("KUBECONFIG") and os.getenv("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config()
    else:
        config.load_kube_config()
    settings = client.Configuration.get_default_copy()
    settings.retries = False
    _begin(f"ask {settings.host}")
    version = client.VersionApi(client.ApiClient(settings)).get_code(_request_timeout=(5, 10))
    _begin(f"{settings.host} answers, version {version.git_version}")


def main(arguments: Sequence[str]) -> int:
    """Run the probe that the arguments name."""
    probe, *rest = arguments
    try:
        match probe:
            case "store":
                probe_store(*rest)
            case "reach":
                probe_reach(*rest)
            case _:
                probe_kubernetes()
    except Exception as failure:  # the parent tells it, in one line
        sys.stderr.write(f"{type(failure).__name__}: {' '.join(str(failure).split())}\n")
        return 1
    return 0


def _begin(stage: str) -> None:
    sys.stdout.write(f"{stage}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
