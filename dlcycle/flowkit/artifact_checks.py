"""What artifacts tell of themselves: saved models restored, tables compared with what is said of them."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

from dlcycle.errors import ModelFileError

MODELS = ("model", "model_before")
"""Artifacts of the shipped flows that hold a saved model."""
TABLES = ("rows", "split", "removed", "source")
"""Artifacts of the shipped flows that must agree with each other."""


class UncheckedError(Exception):
    """Why something could not be checked, in words; it may be whole."""


def plain_value(name: str, content: bytes) -> Any:
    """Return the plain data that an artifact holds; no code in it is run.

    Args:
        name: of the artifact, for messages.
        content: its pickle.

    Raises:
        UncheckedError: it holds more than dict, list, tuple, str, bytes, numbers, bool and None.

    >>> plain_value("removed", pickle.dumps({"total": 3}))
    {'total': 3}
    >>> plain_value("removed", pickle.dumps(print))
    Traceback (most recent call last):
    dlcycle.flowkit.artifact_checks.UncheckedError: what removed holds: expected plain data, got builtins.print
    """
    try:
        return _Plain(io.BytesIO(content)).load()
    except Exception as failure:  # bytes that are no pickle raise nearly anything
        raise UncheckedError(f"what {name} holds: {failure}") from None


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"expected plain data, got {module}.{name}")


def check_model(model: Any) -> str:
    """Restore a saved model; return what is wrong with it, empty for nothing.

    Raises:
        UncheckedError: it is no saved model of dlcycle, or only the project can build its network; digests,
            description and tokenizer are right then.
    """
    from dlcycle.model.artifact import load_model

    if not isinstance(model, dict) or not {"weights", "tokenizer", "description"} <= model.keys():
        raise UncheckedError("a model that is not of the form of dlcycle's")
    description = model["description"]
    custom = isinstance(description, dict) and description.get("architecture") == "custom"
    try:
        load_model(model, build=_refuse_to_build if custom else None)
    except ModelFileError as failure:
        return str(failure)
    return ""


def _refuse_to_build(spec: Any) -> Any:
    # `load_model` builds the network after all other checks.
    raise UncheckedError("whether a model's weights fit its network, which only the project can build")


def table_facts(name: str, value: Any) -> Any:
    """What of one of `TABLES` is compared with the others; None if it has another form than the shipped flows give it.

    Raises:
        UncheckedError: it holds Parquet that cannot be read.
    """
    from dlcycle.data.dataset import table_from_bytes

    try:
        match name, value:
            case "rows", bytes():
                return table_from_bytes(value)["part"].value_counts().to_dict()
            case "removed", {"total": int(total), "parquet": bytes(parquet)}:
                return {"total": total, "listed": len(table_from_bytes(parquet))}
            case "split", {"counts": dict(counts)}:
                return {part: number for part, number in counts.items() if number}
            case "source", {"uri": str(uri), "records": int(records)}:
                return {"uri": uri, "records": records}
    except (OSError, ValueError, KeyError) as failure:
        raise UncheckedError(f"what {name} holds: {failure}") from None
    return None


def table_problems(held: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Compare the tables of one task; return the artifact and what is wrong, for each contradiction.

    Args:
        held: what `table_facts` returned, by artifact.

    >>> table_problems({"rows": {"train": 7, "test": 3}, "split": {"train": 8, "test": 3}})
    [('rows', "hold {'train': 7, 'test': 3}, split.counts says {'train': 8, 'test': 3}")]
    """
    rows, split, removed, source = map(held.get, TABLES)
    wrong = []
    if rows is not None and split is not None and rows != split:
        wrong.append(("rows", f"hold {rows}, split.counts says {split}"))
    if removed is not None and removed["listed"] != removed["total"]:
        wrong.append(("removed", f"lists {removed['listed']} rows, removed.total says {removed['total']}"))
    if rows is not None and removed is not None and source is not None:
        total = sum(rows.values()) + removed["total"]
        if total != source["records"]:
            wrong.append(("rows", f"are {total} with those removed, source.records says {source['records']}"))
    return wrong
