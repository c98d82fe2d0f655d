"""Makes the helpers beside the tests importable, and lends a browser tab."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # Metaflow's own copy of PyYAML names a module that PyYAML has moved.
    warnings.simplefilter("ignore", DeprecationWarning)
    # First, as in every real process: Metaflow imports the card package while it is being imported itself.
    import metaflow  # noqa: F401

sys.path.insert(0, str(Path(__file__).parent))

import browser


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A tab of a browser that the tests of one file share."""
    with browser.tab(tmp_path_factory.mktemp("browser")) as page:
        yield page
