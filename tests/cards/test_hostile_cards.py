"""Nothing that a data file can hold runs, loads or hides anything in a card, with the page's policy and without it."""

import html
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import browser
import card_data
import explain_data
import pytest
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import ExplainCard, TrainCard
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import safe_text

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
CARDS = {card_data: TrainCard, explain_data: ExplainCard}
"""The card of each module with artifacts."""
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[str]]]:
    with browser.listener() as found:
        yield found


@pytest.fixture(params=CARDS, ids=lambda module: module.__name__)
def about(request: pytest.FixtureRequest) -> ModuleType:
    """Artifacts of one card."""
    found: ModuleType = request.param
    return found


def render(artifacts: dict[str, object], about: ModuleType = card_data) -> str:
    return CARDS[about]().render(card_data.Task(artifacts))


def look(tab: browser.Page, text: str, folder: Path) -> None:
    file = folder / "card.html"
    file.write_text(text, encoding="utf-8")
    tab.events.clear()
    tab.open(file)
    tab.evaluate(OPEN_ALL)
    # Focus and click what can be: some forms wait for it.
    tab.evaluate("document.querySelectorAll('a,[tabindex],summary').forEach(e => { e.focus(); e.click() })")
    tab.evaluate("new Promise(done => setTimeout(done, 300))")
    tab.evaluate(OPEN_ALL)


def ran(tab: browser.Page) -> bool:
    return bool(tab.evaluate("document.documentElement.hasAttribute('data-ran')"))


def test_the_detector_sees_scripts_and_requests(
    tab: browser.Page, listener: tuple[str, list[str]], tmp_path: Path
) -> None:
    """The control: the same strings, unescaped and without a policy, run and load."""
    address, knocks = listener
    seen = 0
    for form in card_data.attacks(address)[:40:8]:
        knocks.clear()
        look(tab, f"<!doctype html><body>{form}", tmp_path)
        seen += ran(tab) or bool(tab.requests()) or bool(knocks)
    assert seen >= 3


@pytest.mark.parametrize("policy", [True, False], ids=["with policy", "escaping alone"])
def test_nothing_runs_and_nothing_is_fetched(
    tab: browser.Page, listener: tuple[str, list[str]], tmp_path: Path, policy: bool, about: ModuleType
) -> None:
    address, knocks = listener
    assert len(card_data.FORMS) >= 60
    knocks.clear()
    text = render(about.hostile_run(address), about)
    assert POLICY.search(text)
    look(tab, text if policy else POLICY.sub("", text), tmp_path)
    assert not ran(tab)
    assert not tab.happened("Page.javascriptDialogOpening")
    assert not tab.requests()
    assert not knocks
    # A policy that had something to stop would say so here.
    assert [event["entry"]["text"] for event in tab.happened("Log.entryAdded")] == []
    shown = tab.evaluate("document.querySelector('main').innerText")
    assert len(shown) > 20_000
    assert "could not be drawn" not in shown
    for form in [*card_data.attacks(address), *card_data.ODD]:
        visible = " ".join(html.unescape(safe_text(form[:60])).split())
        assert visible in " ".join(shown.split()), form
    assert tab.evaluate("document.querySelectorAll('script,iframe,object,embed,form,link,base,template').length") == 0


def test_hostile_strings_make_no_elements_or_attributes(tab: browser.Page, tmp_path: Path, about: ModuleType) -> None:
    """The elements and attributes of a hostile page are of the same kinds as those of a good one."""
    kinds = """[...new Set([...document.querySelectorAll('body, body *')].flatMap(
        e => [e.localName, ...[...e.attributes].map(a => e.localName + '.' + a.name)]))].sort()"""
    look(tab, render(about.run(), about), tmp_path)
    good = set(tab.evaluate(kinds))
    look(tab, render(about.hostile_run("http://127.0.0.1:9"), about), tmp_path)
    # Where numbers of classes are large a heat map drops its counts: fewer kinds are fine, other kinds are not.
    assert set(tab.evaluate(kinds)) - good <= {"p.class", "h3", "tr", "details.open", "ol"}


@pytest.mark.parametrize("status", ["running", "failed"])
def test_live_pages_run_only_their_own_script(
    tab: browser.Page, listener: tuple[str, list[str]], tmp_path: Path, status: str
) -> None:
    address, knocks = listener
    bad = card_data.attacks(address)
    knocks.clear()
    state = card_data.state(status) | {"title": bad[12], "project": bad[0], "candidate": bad[13], "seed": bad[14]}
    state |= {"resume": bad[15], "logs": bad[16], "metric": bad[17], "error": {"type": bad[18], "message": bad[19]}}
    data = {"user": {"dlcycle": state}, "render_seq": 1}
    text = TrainCard().render_runtime(card_data.Task({}), data)
    look(tab, text.replace("[METAFLOW_RELOAD_TOKEN]", "never"), tmp_path)
    assert tab.evaluate("typeof window.metaflow_card_update") == ("function" if status == "running" else "undefined")
    if status == "running":
        assert tab.evaluate("window.METAFLOW_RELOAD_TOKEN") == "never"
        update = TrainCard().refresh(card_data.Task({}), data)
        update["html"] = update["html"].replace("epoch 5", "epoch 6") + f'<p id="injected">{bad[12]}</p>'
        assert tab.evaluate(f"metaflow_card_update({{html: {ascii_json(update['html'])}}})") is True
        assert "epoch 6" in tab.evaluate("document.body.innerText")
        assert tab.evaluate("document.getElementById('injected') !== null")
        tab.evaluate("new Promise(done => setTimeout(done, 300))")
    assert not ran(tab)
    assert not knocks
    assert not tab.happened("Page.javascriptDialogOpening")


def ascii_json(text: str) -> str:
    import json

    return json.dumps(text)


@pytest.mark.parametrize("number", [None, math.nan, math.inf, -math.inf, 1e308, -0.0, "text", []], ids=repr)
def test_odd_numbers_never_blank_the_card(number: object, about: ModuleType) -> None:
    text = render(card_data.odd_numbers(about.run(), number), about)
    assert "could not be drawn" not in text
    words = re.sub(r"<pre>.*?</pre>|<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", words)
    if number is None or number is math.nan:
        assert "not measured" in words
    assert len(words) > 3000


def test_many_classes_stay_within_their_box(tab: browser.Page, tmp_path: Path) -> None:
    labels = [f"class number {i} with a name of some length" for i in range(35)] + ["L" * 500]
    artifacts = card_data.run()
    artifacts["metrics"] = card_data.metrics(labels)
    text = render(artifacts)
    assert len(text.encode()) < 3_000_000
    look(tab, text, tmp_path)
    for width in (400, 1400):
        tab.resize(width)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("document.querySelectorAll('table.heat tbody tr').length") == 36


def test_a_thousand_classes_are_cut_and_counted() -> None:
    artifacts = card_data.run()
    artifacts["metrics"] = card_data.metrics([f"c{i}" for i in range(1000)])
    text = render(artifacts)
    assert len(text.encode()) < 3_000_000
    assert "960\u00a0less confused classes not shown" in text
    assert "940\u00a0better classes not listed" in text
