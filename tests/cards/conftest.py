"""Lends a browser tab to the tests of cards."""

from collections.abc import Iterator

import browser

# First, as in every real process: Metaflow imports the card package while it is being imported itself.
import metaflow  # noqa: F401
import pytest


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A tab of a browser that the tests of one file share."""
    with browser.tab(tmp_path_factory.mktemp("browser")) as page:
        yield page
