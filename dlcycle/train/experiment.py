"""The identity of an experiment: everything that decides its result, as one short hash."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]

_LIBRARIES = {
    "torch": "torch",
    "pytorch-lightning": "pytorch_lightning",
    "pandas": "pandas",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "tokenizers": "tokenizers",
    "safetensors": "safetensors",
    "pyarrow": "pyarrow",
    "metaflow": "metaflow",
}
"""Distributions that take part in a result, and the module that each installs."""

WITHOUT_EFFECT = {
    "project": ("title", "owner"),
    "plan": ("problem",),
    "data": (
        *("source", "sha256", "allowed_hosts", "max_megabytes"),
        *("group_columns", "origin_column", "languages", "licence", "origin"),
    ),
    "train": (
        *("price_per_hour", "retries", "time_limit", "cpu", "memory", "shared_memory"),
        *("checkpoints", "checkpoint_seconds", "checkpoint_steps"),
    ),
    "gates": ("fail_run",),
}
"""Settings that do not change a result: names and prose, where the same rows came from (their fingerprint takes part
itself), and the machine that a task asks for. Everything else of the project file takes part."""

SECTIONS_WITHOUT_EFFECT = ("eda", "explain", "schema", "given", "deploy")
"""Sections that look at the data or at the model and change nothing in them, or say when flows run."""


def code_digest() -> str:
    """Sha256 of dlcycle's own source: every .py file of the package and of the flows, by relative path.

    The digest is the same for an editable and a regular installation of the same source.
    """
    digest = hashlib.sha256()
    for name, path in sorted(_source_files()):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part in a result; those not installed are left out.

    >>> "numpy" in library_versions()
    True
    """
    found = {name: _version(name, module) for name, module in _LIBRARIES.items()}
    return {"python": platform.python_version(), **{name: version for name, version in found.items() if version}}


def experiment_id(
    *,
    data_fingerprint: str,
    settings: Mapping[str, Any],
    libraries: Mapping[str, str],
    code: str,
) -> str:
    """Sixteen hexadecimal digits that two experiments share only if nothing that decides their result differs.

    Args:
        data_fingerprint: Fingerprint of the rows, their cleaning and their split.
        settings: The whole project file as plain data; those in `WITHOUT_EFFECT` are left out.
        libraries: What `library_versions` returned.
        code: What `code_digest` returned.

    Raises:
        ValueError: Something is not plain data, or not a finite number.
    """
    parts = {
        "data": data_fingerprint,
        "settings": _effective(settings),
        "libraries": dict(libraries),
        "code": code,
    }
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def differing_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The settings that decide a result and differ between two projects, by key path: `[then, now]`.

    >>> differing_settings({"train": {"epochs": 2, "memory": 1}}, {"train": {"epochs": 3, "memory": 2}})
    {'train.epochs': [2, 3]}
    """
    before, after = _effective(then), _effective(now)
    keys = {(name, key) for part in (before, after) for name, section in part.items() for key in section}
    pairs = {f"{name}.{key}": [part.get(name, {}).get(key) for part in (before, after)] for name, key in sorted(keys)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _effective(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a project without the settings that have no effect on a result."""
    return {
        name: {key: value for key, value in section.items() if key not in WITHOUT_EFFECT.get(name, ())}
        if isinstance(section, Mapping)
        else section
        for name, section in settings.items()
        if name not in SECTIONS_WITHOUT_EFFECT
    }


def _source_files() -> Iterator[tuple[str, Path]]:
    folders = {"": _PACKAGE}
    # A regular installation has the flows inside the package, an editable one beside it.
    spec = importlib.util.find_spec("dlcycle.flows")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folders["flows/"] = Path(place).resolve()
    for prefix, folder in folders.items():
        for path in folder.rglob("*.py"):
            name = path.relative_to(folder).as_posix()
            if prefix or not name.startswith("flows/"):
                yield prefix + name, path


def _version(distribution: str, module: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # A code package or a trimmed image can hold a library without its metadata.
        if importlib.util.find_spec(module) is None:
            return None
        return getattr(importlib.import_module(module), "__version__", None)
