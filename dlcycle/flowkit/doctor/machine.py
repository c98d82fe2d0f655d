"""Checks of the machine: Python and the libraries, free space, memory and cores, the GPU."""

import configparser
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dlcycle._version import __version__
from dlcycle.flowkit.doctor.check import Check, Level

if TYPE_CHECKING:
    from dlcycle.config import Project

INSTALL = "python -m pip install -c constraints.txt -e . (in a checkout), or without -c and -e"
WARN_GB, BAD_GB = 5.0, 0.5
"""Free space below which a run may not, and will not, fit."""


def check_python() -> Check:
    """Is this Python one that dlcycle is made for?"""
    from packaging.specifiers import SpecifierSet

    wanted = importlib.metadata.metadata("dlcycle")["Requires-Python"]
    found = f"Python {platform.python_version()} at {sys.executable}"
    if platform.python_version() in SpecifierSet(wanted, prereleases=True):
        return Check("python", "ok", found)
    return Check("python", "bad", f"{found}, dlcycle needs {wanted}", "make a virtual environment with a newer Python")


def check_libraries() -> Check:
    """Is every library there, in a version that setup.cfg allows?"""
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in _requirements()]
    if not needed:
        found = "dlcycle is not installed, so the versions it needs are not known"
        return Check("libraries", "bad", found, INSTALL)
    needed = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = []
    for each in needed:
        try:
            version = importlib.metadata.version(each.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
        else:
            if not each.specifier.contains(version, prereleases=True):
                wrong.append(f"{each.name} is {version}, needs {each.specifier}")
    if wrong:
        return Check("libraries", "bad", "; ".join(wrong), INSTALL)
    return Check("libraries", "ok", f"{len(needed)} libraries, all in versions that dlcycle {__version__} allows")


def _requirements() -> list[str]:
    """What dlcycle needs: from setup.cfg in a checkout, since an installation of one keeps what was true back then."""
    import dlcycle

    beside = Path(dlcycle.__path__[0]).resolve().parent / "setup.cfg"
    settings = configparser.ConfigParser()
    settings.read(beside, encoding="utf-8")
    if settings.get("metadata", "name", fallback="") == "dlcycle":
        return settings["options"]["install_requires"].split("\n")[1:]
    try:
        return importlib.metadata.requires("dlcycle") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def check_gpu(project: "Project | None") -> Check:
    """Does torch see a GPU, and does the project ask for one?"""
    # A driver that is too old is a warning of torch's.
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        import torch

        seen = torch.cuda.is_available()
    build = f"torch {torch.__version__}, {f'CUDA {torch.version.cuda}' if torch.version.cuda else 'CPU'} build"
    driver = _driver()
    wanted = project.train.gpu if project else 0
    if seen:
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        found = f"{build}; {', '.join(names)}, driver {driver or 'unknown'}"
        if len(names) < wanted:
            return Check("gpu", "bad", f"{found}; train.gpu asks for {wanted}", "lower train.gpu")
        return Check("gpu", "ok", found)
    found = f"{build}; torch sees no GPU, driver {driver or 'not found'}"
    found += "".join(f"; {str(warning.message).partition(chr(10))[0]}" for warning in told)
    if torch.version.cuda is None:
        cure = "install a CUDA build of torch (pytorch.org/get-started)"
    else:
        cure = "install the NVIDIA driver, or let the container see the GPU"
    if wanted:
        return Check("gpu", "bad", f"{found}; train.gpu asks for {wanted}", f"{cure}, or set train.gpu = 0")
    if driver:
        return Check("gpu", "warn", found, f"to use it: {cure}")
    return Check("gpu", "ok", f"{found}; none is asked for")


def _driver() -> str | None:
    """Version of the NVIDIA driver, from its own tool."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition("\n")[0].strip() or None


def check_memory(project: "Project | None") -> Check:
    """Are there the memory and the cores that the tasks of a project ask for?"""
    from dlcycle.config import Project
    from dlcycle.train.lineage import machine

    settings = project or Project()
    train, eda, explain = settings.train, settings.eda, settings.explain
    asked_memory = {"train": train.memory, "eda": eda.memory, "explain": explain.memory}
    asked_cores = {"train": train.cpu, "eda": eda.cpu, "explain": explain.cpu}
    here = machine()
    cores, memory = here["cores"], here["memory_gb"]
    found = f"{'unknown' if memory is None else f'{memory:g} GB'} of memory, {cores} cores"
    short = [
        f"{name}.memory asks for {asked:,} MB"
        for name, asked in asked_memory.items()
        if memory is not None and asked > memory * 1024
    ]
    short += [f"{name}.cpu asks for {asked}" for name, asked in asked_cores.items() if asked > cores]
    if short:
        cure = "lower these keys in the project file, or run with --max-workers 1, or elsewhere"
        return Check("memory", "warn", f"{found}; {'; '.join(short)}", cure)
    return Check("memory", "ok", found)


def check_space(name: str, folder: str) -> Check:
    """Is there room in a folder, or in the nearest one above it that exists?"""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    found = f"{free:,.1f} GB free in {folder}"
    if not os.access(place, os.W_OK):
        return Check(name, "bad", f"{found}, but {place} cannot be written to", _CURES[name])
    if free < WARN_GB:
        level: Level = "bad" if free < BAD_GB else "warn"
        return Check(name, level, f"{found}, below {BAD_GB if level == 'bad' else WARN_GB:g} GB", _CURES[name])
    return Check(name, "ok", found)


_CURES = {
    "space of datastore": "free space there, or set METAFLOW_DATASTORE_SYSROOT_LOCAL to a folder with room",
    "space of TMPDIR": "free space there, or set TMPDIR to a folder with room",
    "space of folder": "free space there, or start the flows from a folder with room",
}


def temporary_folder() -> str:
    """The folder for temporary files."""
    return tempfile.gettempdir()
