"""dlcycle: the deep-learning life cycle as reusable Metaflow flows over one component package.

The stages are `dlcycle.plan`, `dlcycle.data`, `dlcycle.model`, `dlcycle.train` and `dlcycle.insight`; the flows are in
`dlcycle.flows`. Importing this package imports none of them.
"""

import os as _os

from dlcycle._version import __version__

__all__ = ["METAFLOW_PACKAGE_POLICY", "__version__"]

_here = _os.path.dirname(_os.path.abspath(__file__))

# Metaflow ships a package to remote tasks when its top module says "include". It then compares the unresolved path of
# the distribution with the resolved path of the module, and stops the run when they differ: under a symbolic link,
# and inside a task that itself runs from a shipped package. `dlcycle.flowkit.packaging` ships the files there.
METAFLOW_PACKAGE_POLICY = "include" if _os.path.realpath(_here) == _here and "/.mf_code/" not in _here else None
