"""Ship dlcycle, its flows and its errors with the code package of every flow that builds on it."""

import os
from collections.abc import Iterator
from types import ModuleType

from metaflow import FlowMutator
from metaflow.packaging_sys import ContentType


class ship_dlcycle(FlowMutator):  # noqa: N801 - used as a decorator
    """Add the files of `dlcycle` and `dlcycle.flows` that Metaflow's own package policy leaves out.

    The policy marker in `dlcycle/__init__` covers the usual installations. It is off under a symbolic link and inside
    a shipped package, and it never covers `dlcycle.flows` of an editable installation, which lies outside `dlcycle/`.
    """

    def add_to_package(self) -> Iterator[tuple[str, str, ContentType]]:
        """Yield (file on disk, path in the package, kind) for every file still missing."""
        import dlcycle
        import dlcycle.flows

        root = os.path.realpath(os.path.dirname(dlcycle.__file__)) + os.sep
        shipped = dlcycle.METAFLOW_PACKAGE_POLICY == "include"
        seen: set[str] = set()
        for module in (dlcycle, dlcycle.flows):
            for path, name in _files(module):
                if (shipped and os.path.realpath(path).startswith(root)) or name in seen:
                    continue
                seen.add(name)
                yield path, name, ContentType.CODE_CONTENT


def _files(module: ModuleType) -> Iterator[tuple[str, str]]:
    for base in module.__path__:
        for folder, folders, names in os.walk(base):
            folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
            for name in sorted(names):
                if not name.endswith(".pyc"):
                    path = os.path.join(folder, name)
                    yield path, os.path.join(*module.__name__.split("."), os.path.relpath(path, base))
