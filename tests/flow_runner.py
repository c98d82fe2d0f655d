"""Run flows as a user does, in a process of their own, with everything they store under one folder."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOW = ROOT / "flows" / "train_flow.py"
EDA_FLOW = ROOT / "flows" / "eda_flow.py"
EXPLAIN_FLOW = ROOT / "flows" / "explain_flow.py"

SMALL = """
[project]
name = "small"
title = "Small sample"
[plan]
worthwhile_gain = 0.005
[[plan.criteria]]
metric = "accuracy"
at_least = 0.2
[plan.costs]
error = 2.0
manual = 0.5
[data]
sample_rows = 300
merge_label_variants = true
[model]
candidates = ["bag", {architecture = "cnn", name = "small cnn", embedding = 16, hidden = 8}]
[train]
epochs = 2
seeds = [0, 1]
price_per_hour = 0.4
"""
"""A project with two candidates and two seeds that runs in half a minute."""


@dataclass(frozen=True)
class Workspace:
    """A folder for a user's runs, and the interpreter that makes them."""

    folder: pathlib.Path
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Environment variables that keep runs, cards and Metaflow's configuration in the folder."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("METAFLOW_", "PYTHON"))}
        return kept | {
            "METAFLOW_USER": "tester",
            "METAFLOW_HOME": str(self.folder / "home"),
            "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(self.folder),
            **self.variables,
        }

    def call(self, *arguments: str | os.PathLike[str], cwd: pathlib.Path | None = None) -> "Finished":
        """Call the interpreter with arguments and wait."""
        # Metaflow keeps cards in the nearest .metaflow of the working directory and those above it.
        (self.folder / ".metaflow").mkdir(exist_ok=True)
        command = [self.python, *map(str, arguments)]
        where = cwd or self.folder
        done = subprocess.run(command, cwd=where, env=self.environment(), capture_output=True, text=True, timeout=600)
        return Finished(done.returncode, done.stdout + done.stderr)

    def run(self, *arguments: str, project: str = "", flow: pathlib.Path = FLOW) -> "Finished":
        """`python FLOW [--config-value project TEXT] run ARGUMENTS`."""
        config = ["--config-value", "project", project] if project else []
        return self.call(flow, "--no-pylint", *config, "run", *arguments)

    def client(self, code: str) -> str:
        """Run code that uses Metaflow's Client, in a process that cannot import dlcycle, and return what it prints."""
        done = self.call("-c", f"import sys; sys.modules['dlcycle'] = None\n{code}")
        assert done.code == 0, done.output
        return done.output.strip()


@dataclass(frozen=True)
class Finished:
    """What a command left."""

    code: int
    output: str

    @property
    def run_id(self) -> str:
        """Identity of the run that the command made."""
        found = re.search(r"run-id (\d+)", self.output)
        assert found, self.output
        return found[1]

    def expect(self, *, code: int = 0) -> "Finished":
        """Check the exit code, and that no message is a traceback."""
        assert self.code == code, self.output
        assert "Traceback" not in self.output, self.output
        return self


def unpack(package: bytes, folder: pathlib.Path) -> pathlib.Path:
    """Unpack a code package into a new folder, as a pod does, and return the folder."""
    folder.mkdir()
    subprocess.run(["tar", "-xz", "-C", folder], input=package, check=True)
    return folder


def make_interpreter(folder: pathlib.Path) -> str:
    """Make a virtual environment with every installed package except dlcycle, by links; return its python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # A folder of its own: an installation of dlcycle would write its cards through a link.
    (site / "metaflow_extensions").mkdir()
    packages = pathlib.Path(sysconfig.get_path("purelib"))
    for entry in [*packages.iterdir(), *(packages / "metaflow_extensions").iterdir()]:
        link = site / entry.relative_to(packages)
        if "dlcycle" not in entry.name and not link.exists():
            link.symlink_to(entry)
    return str(folder / "bin" / "python")


def copy_checkout(folder: pathlib.Path) -> pathlib.Path:
    """Copy what an installation needs, so that building it leaves nothing in the checkout."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in ("dlcycle", "flows", "cards"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def install(python: str, *arguments: str) -> None:
    """Install dlcycle, and nothing else, for an interpreter that `make_interpreter` made."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([python, "-m", "pip", "install", *options, *arguments], check=True)
