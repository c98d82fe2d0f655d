"""Training on what a run of EdaFlow looked at: its dataset version and its recommendations."""

from typing import TYPE_CHECKING, Any, Literal

from dlcycle.errors import DataError
from dlcycle.flowkit.runs import finished_run, refuse_other_project

if TYPE_CHECKING:
    from dlcycle.config import Project
    from dlcycle.data.dataset import Dataset

ARTIFACTS = ("quality", "recommended")
"""What tells a run of EdaFlow from others."""
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
    from dlcycle.data.clean import ABOUT, looked_at
    from dlcycle.data.dataset import Dataset, anomaly_findings, same_rows, table_from_bytes
    from dlcycle.data.messages import quoted
    from dlcycle.data.schema import check_schema

    found = _finished_run(pathspec)
    described = found.lineage["settings"]
    refuse_other_project(described["project"]["name"], settings.project.name, option="--eda-run", pathspec=pathspec)
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
    columns = [name for name in looked_at(settings.data) if name in source["columns"] and ABOUT + name not in rows]
    if columns:
        raise DataError(
            f"--eda-run: the rows of {pathspec} lack the values of {quoted(columns)}, which data.group_columns or "
            "data.origin_column did not name then; run eda_flow.py again with this project file"
        )
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
    return finished_run(pathspec, option="--eda-run", flow="EdaFlow", script="eda_flow.py", artifacts=ARTIFACTS)
