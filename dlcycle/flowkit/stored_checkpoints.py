"""The checkpoints that a run left in its datastore, each compared with the digest beside it."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaflow.datastore.flow_datastore import FlowDataStore

from dlcycle.flowkit.stored import DAMAGED, MISSING, files_of_tasks

_RECORDS = "mf.checkpoints/checkpoints/metadata"
"""Where metaflow-checkpoint records what it keeps, as FLOW/RUN/STEP/TASK/*.metadata under this."""


@dataclass(frozen=True)
class CheckedCheckpoint:
    """A checkpoint, and what is wrong with it."""

    name: str
    step: str
    task: str
    file: str
    problem: str
    """Empty for nothing."""
    checked: bool = True
    """False where nothing is known that it could be compared with."""


def check_checkpoints(store: FlowDataStore, identity: str) -> Iterator[CheckedCheckpoint]:
    """Read every checkpoint of a run; no code in one is run.

    Args:
        store: the datastore of the run.
        identity: of the run.
    """
    storage = store._storage_impl
    for (step, task), records in files_of_tasks(store, f"{_RECORDS}/{store.flow_name}/{identity}").items():
        for record in sorted(records):
            name = f"checkpoint {record.rpartition('/')[2].removesuffix('.metadata')}"
            try:
                about = json.loads(_content(storage, record))
                key = str(about["key"])
            except (*DAMAGED, KeyError) as failure:
                problem = f"its record cannot be read: {failure}"
                yield CheckedCheckpoint(name, step, task, storage.full_uri(record), problem)
                continue
            yield from _check_folder(storage, key, name=name, step=step, task=task)


def _check_folder(storage: Any, key: str, *, name: str, step: str, task: str) -> Iterator[CheckedCheckpoint]:
    files = sorted(each.path for each in storage.list_content([key]) if each.is_file)
    if not files:
        yield CheckedCheckpoint(name, step, task, storage.full_uri(key), MISSING)
        return
    # A digest whose checkpoint is gone names it still.
    paths = sorted({path.removesuffix(".sha256") for path in files if path.endswith((".ckpt", ".ckpt.sha256"))})
    if not paths:
        yield CheckedCheckpoint(name, step, task, storage.full_uri(key), "", checked=False)
    for path in paths:
        yield CheckedCheckpoint(name, step, task, storage.full_uri(path), _problem(storage, path))


def _problem(storage: Any, path: str) -> str:
    from dlcycle.train.checkpoint import DamagedCheckpointError, digest_path, read_checkpoint

    with (
        tempfile.TemporaryDirectory() as folder,
        storage.load_bytes([path]) as checkpoint,
        storage.load_bytes([digest_path(Path(path)).as_posix()]) as digest,
    ):
        local = Path(folder) / Path(path).name
        for target, loaded in ((local, checkpoint), (digest_path(local), digest)):
            found = next(iter(loaded))[1]
            if found is not None:
                target.symlink_to(Path(found).absolute())
        try:
            read_checkpoint(local)
        except DamagedCheckpointError as failure:
            return str(failure)
    return ""


def _content(storage: Any, path: str) -> bytes:
    with storage.load_bytes([path]) as loaded:
        file = next(iter(loaded))[1]
        if file is None:
            raise ValueError(MISSING)
        return Path(file).read_bytes()
