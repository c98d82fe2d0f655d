"""Lends tests of cards a browser tab, and spares them the drawings."""

from collections.abc import Iterator

import browser

# First, as in every real process: Metaflow imports the card package while it is being imported itself.
import metaflow  # noqa: F401
import pytest
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import explain_figures


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A tab of a browser that the tests of one file share."""
    with browser.tab(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawings of the insights card, which have tests of their own and take most of the time."""
    for name in ("removal", "cost_curve"):
        monkeypatch.setattr(explain_figures, name, lambda *_, **__: None)
