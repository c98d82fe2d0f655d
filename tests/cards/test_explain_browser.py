"""The insights card in a browser: what it saves, and whether it fits."""

import re
import time
from pathlib import Path

import browser
import explain_data
import pytest
from explain_page import render, task
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import (
    page,
)
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.explain import ExplainCard
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import el
from page_text import part

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


def test_links_save_tables_of_the_page_only() -> None:
    good = "data:text/csv;charset=utf-8;base64,eA=="
    assert el("a", "x", download="a.csv", href=good) == f'<a download="a.csv" href="{good}">x</a>'
    for attributes in (
        {"download": "a.csv", "href": "data:text/html;charset=utf-8;base64,eA=="},
        {"download": "a.csv", "href": "data:text/csv,<script>"},
        {"download": "a.csv", "href": "https://example.org/a.csv"},
        {"download": "a.csv", "href": "#top"},
        {"download": "a.csv"},
        {"download": "a.exe", "href": good},
        {"download": '../a".csv', "href": good},
        {"download": None, "href": good},
        {"href": good},
    ):
        with pytest.raises(ValueError, match="only"):
            el("a", "x", **attributes)
    with pytest.raises(ValueError, match="only"):
        el("img", download="a.csv", src="data:image/png;base64,eA==")


def test_a_work_list_that_is_too_large_is_not_carried_along() -> None:
    most = page.LARGEST_DOWNLOAD - len(BYTE_ORDER_MARK)
    text = render(explain_data.run() | {"work_list": "x" * most})
    assert explain_data.downloaded(text) == BYTE_ORDER_MARK + b"x" * most
    text = render(explain_data.run() | {"work_list": "ü" * (most // 2) + "xx"})
    assert "download=" not in text
    told = "The work list with 23 rows is too large for this page; in Python it is run.data.work_list ."
    assert told in part(text, "slices")


def test_the_work_list_is_saved_by_a_click(tab: browser.Page, tmp_path: Path) -> None:
    """The page's policy, which forbids nearly everything, does not hinder it."""
    file = tmp_path / "card.html"
    text = render(explain_data.run())
    file.write_text(text, encoding="utf-8")
    tab._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    tab.events.clear()
    tab.open(file)
    tab.evaluate("document.querySelector('a[download]').click()")
    saved = tmp_path / "work_list.csv"
    deadline = time.monotonic() + 10
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    tab._call("Browser.setDownloadBehavior", behavior="deny")
    assert saved.read_bytes() == BYTE_ORDER_MARK + explain_data.WORK_LIST.encode()
    assert explain_data.downloaded(text) == saved.read_bytes()
    assert not tab.happened("Log.entryAdded")
    assert not tab.requests()


@pytest.mark.slow
def test_many_classes_and_rows_stay_small(tab: browser.Page, tmp_path: Path) -> None:
    """30 classes, 100 given rows of 2,000 characters and the largest work list that is carried along."""
    labels = [f"class number {i} of some length" for i in range(30)]
    artifacts = explain_data.run() | {"global_attributions": explain_data.overall(labels)}
    artifacts["local_attributions"] = explain_data.local(labels, 100, (explain_data.TEXTS[0] * 20)[:2000])
    artifacts["fairness"] = explain_data.fairness(labels)
    artifacts["work_list"] = "x" * (page.LARGEST_DOWNLOAD - len(BYTE_ORDER_MARK))
    text = render(artifacts)
    assert len(text.encode()) < 3_000_000
    assert text.count('<details class="row"') == 190
    assert text.count('<details class="class"') == 30
    artifacts["local_attributions"] = explain_data.local(labels, 300, "लम्बा पाठ " * 199)
    text = render(artifacts)
    assert len(text.encode()) < 3_000_000
    assert re.search("further rows not drawn, to keep the page small: run.data.local_attributions has them", text)
    assert {">given<", "✓ right", "✕ wrong", "! unsure"} <= set(re.findall(">given<|✓ right|✕ wrong|! unsure", text))
    file = tmp_path / "many.html"
    file.write_text(text, encoding="utf-8")
    tab.open(file, width=400)
    tab.evaluate(OPEN_ALL)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out_on_a_telephone_or_a_screen(tab: browser.Page, tmp_path: Path, width: int) -> None:
    card = ExplainCard()
    pages = {
        "final": render(explain_data.run()),
        "bare": render({"business": {"reason": "no costs"}}),
        "hostile": render(explain_data.hostile_run("http://127.0.0.1:9")),
        "running": card.render_runtime(task({}), {"user": {"dlcycle": explain_data.state()}}),
        "failed": card.render_runtime(task({}), {"user": {"dlcycle": explain_data.state("failed")}}),
    }
    for name, text in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(text, encoding="utf-8")
        tab.open(file, width=width, settle=0.05)
        for open_ in (False, True):
            if open_:
                tab.evaluate(OPEN_ALL)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, (name, open_)
        tab._call("Emulation.setEmulatedMedia", media="print")
        tab.resize(794)  # A4 at 96 pixels an inch
        assert tab.evaluate("document.documentElement.scrollWidth") <= 794, name
        tab._call("Emulation.setEmulatedMedia", media="")
        assert tab.evaluate("document.body.innerText.length") > 250, name
