"""Training on what a run of EdaFlow looked at: its dataset version and its recommendations."""

from typing import TYPE_CHECKING, Any, Literal

from metaflow import Run
from metaflow.exception import MetaflowException

from dlcycle.errors import ConfigError, DataError

if TYPE_CHECKING:
    from dlcycle.config import Project
    from dlcycle.data.dataset import Dataset

_SECTIONS: tuple[Literal["data", "split"], ...] = ("data", "split")


def read_recommended(pathspec: str) -> dict[str, Any]:
    """Return the settings that a run of EdaFlow recommends.

    Raises:
        ConfigError: there is no such run, or it has not finished.
    """
    return dict(_finished_run(pathspec).recommended)


def read_version(pathspec: str, settings: "Project") -> "Dataset":
    """Return the dataset version that a run of EdaFlow made.

    Args:
        pathspec: the run, such as EdaFlow/1763681000.
        settings: the project that wants to train on it.

    Raises:
        ConfigError: there is no such run, it has not finished, or it is of another project.
        DataError: it found the data unusable, or the project now reads, cleans or splits in another way.
    """
    from dlcycle.data.dataset import Dataset, anomaly_findings, same_rows, table_from_bytes
    from dlcycle.data.schema import check_schema

    found = _finished_run(pathspec)
    described = found.lineage["settings"]
    if described["project"]["name"] != settings.project.name:
        raise ConfigError(
            f"--eda-run: {pathspec} is of the project {described['project']['name']!r}, expected "
            f"{settings.project.name!r}; look at this project's data with eda_flow.py first"
        )
    if not found.data_fingerprint:
        raise DataError(f"--eda-run: {pathspec} could not make a dataset version: {found.unusable}")
    differing = [
        f"{section}.{key} = {now[key]!r}, it had {described[section].get(key)!r}"
        for section in _SECTIONS
        for now in [settings.model_dump(mode="json")[section]]
        for key in same_rows(section, now)
        if now[key] != described[section].get(key)
    ]
    if differing:
        raise DataError(
            f"--eda-run: the project file would make other rows of the data than {pathspec} looked at: "
            f"{'; '.join(differing)}. Run eda_flow.py again with these settings, or take them back"
        )
    if found.source["overlooked"]:
        raise DataError(
            f"--eda-run: the data of {pathspec} cannot be trained on as they are: {found.source['overlooked'][0]}"
        )
    if settings.data.sha256 is not None and settings.data.sha256 != found.source["sha256"]:
        raise DataError(
            f"--eda-run: {pathspec} looked at other bytes than data.sha256 promises: expected {settings.data.sha256}, "
            f"got {found.source['sha256']}; run eda_flow.py on the right file"
        )
    source = dict(found.source)
    if settings.data_schema is not None:
        anomalies = check_schema(settings.data_schema.model_dump() | {"languages": []}, found.profile)
        source["findings"] = [*source["findings"], *anomaly_findings(anomalies)]
    removed = table_from_bytes(found.removed["parquet"])
    rows = table_from_bytes(found.rows)
    return Dataset(rows, removed, source, found.cleaning, found.split, found.data_fingerprint)


def refuse_other_data(fingerprint: str, dataset: "Dataset", *, pathspec: str, uri: str) -> None:
    """Refuse data that are not those which a run of EdaFlow looked at.

    Raises:
        DataError: the fingerprints differ.
    """
    if fingerprint != dataset.fingerprint:
        raise DataError(
            f"--data {uri}: these are not the data that {pathspec} looked at: expected the fingerprint "
            f"{dataset.fingerprint[:16]}, got {fingerprint[:16]}. Run eda_flow.py on them, or leave out --data"
        )


def _finished_run(pathspec: str) -> Any:
    """Return the artifacts of a finished run."""
    flow, _, identity = pathspec.partition("/")
    if not flow or not identity or "/" in identity:
        raise ConfigError(f"--eda-run: expected FLOW/ID, such as EdaFlow/1763681000, got {pathspec!r}")
    try:
        run = Run(pathspec, _namespace_check=False)
    except MetaflowException as failure:
        raise ConfigError(f"--eda-run: there is no run {pathspec} in this datastore: {failure}") from None
    if not run.successful:
        state = "has failed" if run.finished else "is still running"
        raise ConfigError(f"--eda-run: {pathspec} {state}; resume it or run eda_flow.py again")
    task = run.end_task
    if task is None or "quality" not in task or "recommended" not in task:
        raise ConfigError(f"--eda-run: {pathspec} is no run of EdaFlow; expected one that eda_flow.py made")
    return task.data
