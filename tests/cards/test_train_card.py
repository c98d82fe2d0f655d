"""The training card: what it says in each state, how it looks, and how Metaflow keeps it."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import browser
import card_data
import pytest
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards import TrainCard, figures, train_evidence
from metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.markup import Html
from page_text import words

HERE = Path(__file__).parent
SECTIONS = ["What to do next", *(title for _, title, _ in train_evidence.SECTIONS), "Where this came from"]


def render(artifacts: dict[str, Any]) -> str:
    return TrainCard().render(card_data.Task(artifacts))


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in card_data.run().items() if name not in names}


def test_the_final_card_says_it_all_in_order() -> None:
    page = render(card_data.run())
    text = words(page)
    told = [
        "Model development · ecommerce · TrainFlow/1763681 · 21 Nov 2026, 01:40 UTC · 4 min 12 s",
        "Product category from description",
        "Worth it, and the goals are met",
        "Deep learning is worth it here: +1.1 points",
        "9,017 distinct texts, 4 classes; tested once on 1,804 rows",
        "Accuracy 96.4 % 95.6 – 97.3 · baseline 95.3 · goal 94, met",
        "Decided alone at 99 % precision 88 %",
        "€ 71",
        *SECTIONS,
        "git 3fa21c9b7d2e on main (clean)",
        "resume --origin-run-id 1763681",
    ]
    places = [text.find(piece) for piece in told]
    assert -1 not in places, told[places.index(-1)]
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == SECTIONS
    assert "not recorded" not in text
    assert "<script" not in page
    assert len(page.encode()) < 3_000_000
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert len(re.findall(r"<img ", page)) == 4


def test_the_card_depends_on_its_artifacts_alone() -> None:
    assert render(card_data.run()) == render(card_data.run())
    changed = card_data.run()
    changed["metrics"]["accuracy"]["value"] = 0.91
    assert render(changed) != render(card_data.run())


@pytest.mark.parametrize(
    ("change", "level", "badge"),
    [
        ({}, "good", "Worth it, and the goals are met"),
        ({"gates": {"passed": None, "criteria": [], "sentence": ""}}, "good", "Worth it"),
        (
            {"comparison": {"verdict": "no_gain", "sentence": "No gain."}},
            "careful",
            "No proven gain over the simple baseline",
        ),
        ({"comparison": {"verdict": "worse", "sentence": "Worse."}}, "bad", "Worse than the simple baseline"),
        ({"comparison": None}, "careful", "No comparison with a baseline"),
        ({"gates": {"passed": False, "criteria": [{"metric": "ece", "met": False}]}}, "bad", "Success criteria missed"),
        ({"consistency": {"passed": False, "message": "differ"}}, "bad", "predictions depend on the batch size"),
        ({"split": {"leakage": {"passed": False, "message": "leak"}}}, "bad", "the test part leaks"),
    ],
)
def test_the_verdict_names_the_worst_finding(change: dict[str, Any], level: str, badge: str) -> None:
    page = render(card_data.run() | change)
    bar = re.search(r'<div class="verdict (\w+)">(.*?)</p>', page, re.DOTALL)
    assert bar
    assert bar[1] == level
    assert badge in bar[2]


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawings, which have tests of their own and take most of the time."""
    for name in ("training_curves", "reliability", "automation"):
        monkeypatch.setattr(figures, name, lambda *_: None)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", sorted(card_data.run().keys() - {"metrics"}))
@pytest.mark.parametrize("junk", ["absent", None, 5, "text", [], [1], {}, {"x": {"y": None}}], ids=repr)
def test_a_missing_or_wrong_artifact_costs_only_its_own_place(name: str, junk: object) -> None:
    page = render(without(name) if junk == "absent" else card_data.run() | {name: junk})
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert "96.4" in page


@pytest.mark.usefixtures("no_figures")
def test_metrics_of_the_wrong_shape_lose_no_other_section() -> None:
    """Each entry of the metrics is spoilt in turn; a remark takes its place, and the rest is drawn."""
    for key in card_data.metrics():
        for junk in (None, 5, "text", [3], {"labels": ["a"], "counts": [[1, 2], "x"]}):
            artifacts = card_data.run()
            artifacts["metrics"][key] = junk
            page = render(artifacts)
            assert re.findall(r"<h2>(.*?)</h2>", page).count("Candidates and training") == 1
            assert "Where this came from" in page


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("anchor", [anchor for anchor, _, _ in train_evidence.SECTIONS])
def test_a_section_that_breaks_costs_only_its_own_place(anchor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> Html:
        raise ZeroDivisionError("<b>division</b>")

    spoilt = tuple((a, title, broken if a == anchor else build) for a, title, build in train_evidence.SECTIONS)
    monkeypatch.setattr(train_evidence, "SECTIONS", spoilt)
    page = render(card_data.run())
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert page.count("This section could not be drawn") == 1
    assert "ZeroDivisionError: &lt;b&gt;division&lt;/b&gt;" in page


def test_unreadable_artifacts_are_named() -> None:
    class Broken(card_data.Artifact):
        def __init__(self) -> None:
            pass

        @property
        def data(self) -> Any:
            raise ModuleNotFoundError("No module named 'gone'")

        @data.setter
        def data(self, _: Any) -> None: ...

    task = card_data.Task(card_data.run())
    task["history"] = Broken()
    assert "history (ModuleNotFoundError: No module named &#x27;gone&#x27;)" in TrainCard().render(task)


def test_todo_of_the_run_is_drawn_as_given() -> None:
    items = [
        {"level": "fix", "title": "First", "reason": "because", "action": "do --this"},
        {"level": "fine", "title": "Second", "reason": "", "action": ""},
    ]
    text = words(render(card_data.run() | {"todo": items}))
    assert "fix First because do --this fine Second Evidence:" in text
    assert "Not recorded by this run." in words(render(card_data.run() | {"todo": []}))


def test_a_running_task_shows_progress_and_curves() -> None:
    data = {"user": {"dlcycle": card_data.state()}, "render_seq": 1}
    page = TrainCard().render_runtime(card_data.Task({}), data)
    text = words(page)
    assert "Running Epoch 5 of 12, batch 37 of 99. At most 48 s left" in text
    assert "Best validation accuracy 95.1 % at epoch 4" in text
    assert page.count("<img ") == 2
    assert TrainCard().refresh(card_data.Task({}), data)["html"] in page
    empty = words(TrainCard().render_runtime(card_data.Task({}), {"user": None}))
    assert "The task has started and has not reported yet." in empty
    json.dumps(TrainCard().refresh(card_data.Task({}), data), allow_nan=False)
    assert TrainCard().refresh(card_data.Task({}), data | {"render_seq": "final"}) == {}


def test_a_failed_task_shows_why_and_how_to_go_on() -> None:
    page = TrainCard().render_runtime(card_data.Task({}), {"user": {"dlcycle": card_data.state("failed")}})
    text = words(page)
    assert "Training stopped The loss is nan at epoch 5, batch 37, rows 91, 204 and 377." in text
    assert "TrainingError , at epoch 5 of 12, batch 37 of 99." in text
    assert "python flows/train_flow.py resume --origin-run-id 1763681" in text
    assert "State before it stopped" in text
    assert "Time left" not in text
    assert "<script" not in page


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("key", sorted(card_data.state()))
@pytest.mark.parametrize("junk", [None, 5, "text", [1], {"a": 1}], ids=repr)
def test_a_live_page_survives_any_state(key: str, junk: object) -> None:
    for status in ("running", "failed"):
        state = card_data.state(status) | {key: junk}
        page = TrainCard().render_runtime(card_data.Task({}), {"user": {"dlcycle": state}})
        assert "Where this came from" in page


def test_a_finished_training_task_has_a_small_card() -> None:
    report = {
        "name": "bag", "architecture": "bag", "seed": 1, "best_epoch": 6, "epochs": 9, "seconds": 57.9, "threads": 2,
        "device": "cpu", "parameters": 8312004, "validation": {"accuracy": 0.9655, "macro_f1": 0.963, "loss": 0.1},
    }  # fmt: skip
    artifacts = {"history": card_data.history(), "candidate_report": report, "project": card_data.run()["project"]}
    text = words(render(artifacts))
    assert "Candidate trained Validation accuracy 96.5 % at epoch 6 of 9 in 58 s." in text
    assert "Training curves" in text
    assert "This task recorded no training." in words(render({}))


@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_sticks_out_on_a_telephone_or_a_screen(tab: browser.Page, tmp_path: Path, width: int) -> None:
    card, task = TrainCard(), card_data.Task({}, "TrainFlow/1/train/3")
    pages = {
        "final": render(card_data.run()),
        "bare": render({"metrics": {}}),
        "hostile": render(card_data.hostile_run("http://127.0.0.1:9")),
        "running": card.render_runtime(task, {"user": {"dlcycle": card_data.state()}}),
        "failed": card.render_runtime(task, {"user": {"dlcycle": card_data.state("failed")}}),
    }
    for name, page in pages.items():
        file = tmp_path / f"{name}.html"
        file.write_text(page, encoding="utf-8")
        tab.open(file, width=width, settle=0.05)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, name
        assert tab.evaluate("document.body.innerText.length") > 500, name


def test_print_opens_what_is_folded(tab: browser.Page, tmp_path: Path) -> None:
    file = tmp_path / "final.html"
    file.write_text(render(card_data.run()), encoding="utf-8")
    tab.open(file, settle=0.05)
    folded = "document.querySelector('details table, details pre').getClientRects().length"
    visible = "document.querySelector('#provenance pre').checkVisibility({contentVisibilityAuto: true})"
    hidden = tab.evaluate(visible)
    tab._call("Emulation.setEmulatedMedia", media="print")
    # The browser lays the page out anew a moment after the medium has changed.
    deadline = time.monotonic() + 5
    while not (shown := tab.evaluate(visible)) and time.monotonic() < deadline:
        time.sleep(0.05)
    tab.resize(794)  # A4 at 96 pixels an inch
    assert tab.evaluate("document.documentElement.scrollWidth") <= 794
    assert tab.evaluate(folded) > 0
    tab._call("Emulation.setEmulatedMedia", media="")
    assert (hidden, shown) == (False, True)


def test_metaflow_finds_the_card_and_imports_little() -> None:
    """The card package is imported by every `import metaflow`, so it must load nothing heavy."""
    code = (
        "import sys, metaflow; from metaflow.plugins import CARDS;"
        "assert 'dlcycle_train' in {card.type for card in CARDS}, [card.type for card in CARDS];"
        "print(sorted({'matplotlib', 'numpy', 'pandas', 'torch', 'dlcycle'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


FLOW = """
import sys, time
sys.path.insert(0, {here!r})
from metaflow import FlowSpec, Parameter, card, current, step

class CardFlow(FlowSpec):
    fail = Parameter("fail", type=bool, default=False)

    @card(type="dlcycle_train", id="progress", refresh_interval=1)
    @step
    def start(self):
        import card_data
        manager = current.card["progress"]
        manager.refresh({{"dlcycle": card_data.state()}}, force=True)
        if self.fail:
            for _ in range(2):
                time.sleep(1.1)
                manager.refresh({{"dlcycle": card_data.state("failed")}}, force=True)
            raise ValueError("boom")
        self.next(self.end)

    @card(type="dlcycle_train")
    @step
    def end(self):
        import card_data
        for name, value in card_data.hostile_run("http://127.0.0.1:9").items():
            setattr(self, name, value)

if __name__ == "__main__":
    CardFlow()
"""


@pytest.mark.slow
@pytest.mark.parametrize("fail", [True, False], ids=["failing", "finishing"])
def test_metaflow_keeps_the_card(tmp_path: Path, fail: bool) -> None:
    flow = tmp_path / "card_flow.py"
    flow.write_text(FLOW.format(here=str(HERE)), encoding="utf-8")
    environment = os.environ | {
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path), "METAFLOW_CARD_LOCALROOT": str(tmp_path / "cards"),
        "METAFLOW_USER": "tester", "METAFLOW_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    command = [sys.executable, str(flow), "--no-pylint", "run", f"--fail={fail}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode != 0) == fail, done.stderr
    # .../steps/STEP/tasks/TASK/cards/FILE
    files = {file.parts[-5]: file for file in tmp_path.rglob("steps/*/tasks/*/cards/dlcycle_train-*.html")}
    stored = {step: file.read_text(encoding="utf-8") for step, file in files.items()}
    if fail:
        assert "Training stopped" in stored["start"]
        assert "The loss is nan at epoch 5" in stored["start"]
    else:
        assert "Candidate trained" in stored["start"] or "Nothing recorded" in stored["start"]
        assert 'data-token="final"' in stored["end"]
        # Text that looks like Metaflow's token is still there after Metaflow replaced the real one.
        assert "&#91;METAFLOW_RELOAD_TOKEN]" in stored["end"]
    assert all("Card Render Failed" not in text for text in stored.values())


def test_criteria_that_are_judged_later_are_named() -> None:
    artifacts = card_data.run()
    sentence = "The success criterion of training is met. 1 further criterion is judged by explain_flow.py: typos."
    artifacts["gates"] |= {"later": ["typos"], "sentence": sentence}
    text = words(render(artifacts))
    assert "Worth it, and the goals of training are met" in text
    assert sentence in text
    artifacts["gates"] |= {"criteria": [], "passed": None}
    text = words(render(artifacts))
    assert "sets no success criteria" not in text
    assert text.count(sentence) == 2
