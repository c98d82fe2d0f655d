"""What a run stored and where: its tasks, their artifacts and the objects behind them, read without trusting them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from metaflow import Run
from metaflow.datastore.exceptions import DataException
from metaflow.datastore.flow_datastore import FlowDataStore
from metaflow.exception import MetaflowException, MetaflowInternalError, MetaflowNotFound
from metaflow.metaflow_config import DEFAULT_DATASTORE
from metaflow.plugins import DATASTORES

from dlcycle.errors import ConfigError

DAMAGED = (DataException, ValueError, AttributeError, TypeError, OSError, EOFError)
"""What reading a damaged object, or the damaged `_meta` file beside it, raises."""
MISSING = "the file is missing"
WHERE = "start from the folder that the run was started from, or set what METAFLOW_PROFILE or METAFLOW_* it had"


class Place(NamedTuple):
    """Where a run refers to a stored object."""

    artifact: str
    step: str
    task: str
    attempt: int


@dataclass
class Record:
    """What the run's metadata know about a task."""

    about: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    """SHA-1 by artifact, of the latest attempt; Metaflow's own artifacts are left out."""
    code: str | None = None
    """SHA-1 of the code package; a local run has none."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt of a task stored."""

    step: str
    task: str
    number: int
    latest: bool
    file: str
    """Where its list of artifacts is."""
    keys: Mapping[str, str] | None
    """SHA-1 of the content by artifact; None if the list could not be read."""
    problem: str = ""
    """Why not; empty for an attempt that still runs or has died."""


def read_records(pathspec: str) -> tuple[dict[tuple[str, str], Record], str]:
    """What the metadata know about each task of a run, by step and task, and why no more could be read.

    An unknown run has no records.

    Raises:
        ConfigError: the metadata cannot be asked.
    """
    records: dict[tuple[str, str], Record] = {}
    try:
        for step in Run(pathspec, _namespace_check=False):
            for task in step:
                record = records[step.id, task.id] = Record()
                record.about = task.metadata_dict
                if package := record.about.get("code-package"):
                    record.code = json.loads(package)["sha"]
                record.keys = {artifact.id: artifact.sha for artifact in task}
    except MetaflowNotFound:
        return {}, ""
    except (MetaflowInternalError, ValueError, KeyError, TypeError, AttributeError) as failure:
        return records, f"{type(failure).__name__}: {failure}"
    except MetaflowException as failure:
        raise ConfigError(f"Metaflow cannot say what {pathspec} stored: {failure}; {WHERE}") from None
    return records, ""


def open_store(flow: str, records: Mapping[tuple[str, str], Record]) -> FlowDataStore:
    """The datastore that a run was stored in.

    A local one that was moved since then is looked for where Metaflow is configured to.

    Raises:
        ConfigError: there is none.
    """
    written = (record.about for record in records.values() if {"ds-type", "ds-root"} <= record.about.keys())
    about = next(written, {})
    kind, root = about.get("ds-type", DEFAULT_DATASTORE), about.get("ds-root")
    storage = next((each for each in DATASTORES if kind == each.TYPE), None)
    if storage is None:
        known = ", ".join(each.TYPE for each in DATASTORES)
        raise ConfigError(f"the run is in a datastore of kind {kind!r}; this Metaflow knows {known}: install it")
    if root is None or (kind == "local" and not Path(root).is_dir()):
        root = storage.get_datastore_root_from_config(lambda *_: None, create_on_absent=False)
    if root is None:
        raise ConfigError(f"there is no {kind} datastore here, so no run of {flow}: {WHERE}")
    return FlowDataStore(flow, storage_impl=storage, ds_root=root)


def read_attempts(store: FlowDataStore, identity: str) -> Iterator[Attempt]:
    """Every attempt of every task of a run that the datastore holds, with what it stored."""
    storage = store._storage_impl
    for (step, task), paths in files_of_tasks(store, f"{store.flow_name}/{identity}").items():
        folder, names = paths[0].rpartition("/")[0], {path.rpartition("/")[2] for path in paths}
        numbers = sorted({int(name.partition(".")[0]) for name in names if re.match(r"\d+\.", name)})
        for number in numbers:
            path = f"{folder}/{number}.data.json"
            keys, problem = None, ""
            if names & {f"{number}.data.json", f"{number}.DONE.lock"}:
                try:
                    keys = _read_keys(store, path)
                except DAMAGED as failure:
                    problem = f"cannot be read: {failure}"
            yield Attempt(step, task, number, number == numbers[-1], storage.full_uri(path), keys, problem)


def files_of_tasks(store: FlowDataStore, run: str) -> dict[tuple[str, str], list[str]]:
    """Paths of the files in the folder of each task, by step and task.

    Args:
        store: the datastore.
        run: the folder with those of the steps.
    """
    # Each list of a level is one question: on S3 Metaflow starts a process for it.
    folders = [run]
    for _ in ("step", "task"):
        found = store._storage_impl.list_content(folders) if folders else []
        folders = [each.path.rstrip("/") for each in found if not each.is_file]
    tasks: dict[tuple[str, str], list[str]] = {}
    for each in store._storage_impl.list_content(sorted(folders)) if folders else []:
        if each.is_file:
            _, step, task, _ = each.path.rsplit("/", 3)
            tasks.setdefault((step, task), []).append(each.path)
    return tasks


def _read_keys(store: FlowDataStore, path: str) -> dict[str, str]:
    with store._storage_impl.load_bytes([path]) as loaded:
        file = next(iter(loaded))[1]
        if file is None:
            raise ValueError(MISSING)
        keys = json.loads(Path(file).read_bytes()).get("objects")
    if not isinstance(keys, dict) or not all(re.fullmatch("[0-9a-f]{40}", str(key)) for key in keys.values()):
        raise ValueError("expected a SHA-1 for each artifact")
    return keys


def steps_in_order(graph: Mapping[str, Any]) -> list[str]:
    """The steps of a flow, each after those that lead to it.

    >>> steps = {"a": {"next": ["b", "c"]}, "b": {"next": ["c"]}, "c": {"next": []}}
    >>> steps_in_order({"start_step": "a", "steps": steps})
    ['a', 'b', 'c']
    """
    done: list[str] = []
    seen: set[str] = set()

    def visit(step: str) -> None:
        if step not in seen:
            seen.add(step)
            for following in graph["steps"][step]["next"]:
                visit(following)
            done.append(step)

    visit(graph["start_step"])
    return done[::-1]


def object_file(store: FlowDataStore, key: str) -> str:
    """Where the datastore keeps a stored object."""
    return store._storage_impl.full_uri(_path(store, key))


def read_object(store: FlowDataStore, key: str) -> bytes:
    """Return the content of a stored object, unpacked.

    Raises:
        One of `DAMAGED`: it is missing or cannot be unpacked. Failures of the network are other exceptions.
    """
    # For a missing object Metaflow goes on to open a file called None.
    if not store._storage_impl.is_file([_path(store, key)])[0]:
        raise ValueError(MISSING)
    return next(iter(store.ca_store.load_blobs([key])))[1]


def _path(store: FlowDataStore, key: str) -> str:
    # The layout of Metaflow's ContentAddressedStore.
    return store._storage_impl.path_join(store.flow_name, "data", key[:2], key)
