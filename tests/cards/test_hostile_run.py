"""A whole run on a hostile file: what it holds reaches the card as text, and does nothing there."""

import csv
import json
from pathlib import Path

import browser
import card_data
import pytest
from flow_runner import Workspace
from test_hostile_cards import look, ran

LABELS = ["<script>label('ran')</script>", "[x](javascript:alert(1))", "$x^2$ \u202eevil", "nan"]


@pytest.mark.slow
def test_a_hostile_file_trains_and_its_card_is_safe(tab: browser.Page, tmp_path: Path) -> None:
    with browser.listener() as (address, knocks):
        attacks = card_data.attacks(address)
        text, target = '<img src=x onerror="alert(1)">', "NaN"
        with (tmp_path / "hostile.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([text, target])
            for number in range(240):
                attack = attacks[number % len(attacks)].replace("\x00", "")
                writer.writerow([f"{attack} word{number % 4} inf {number}", LABELS[number % 4]])
        project = {
            "project": {"name": "hostile", "title": attacks[0], "owner": attacks[1]},
            "plan": {"problem": attacks[2], "criteria": [{"metric": "f1", "label": LABELS[0], "at_least": 1.0}]},
            "data": {"inputs": [text], "target": target},
            "split": {"near_duplicates": None},
            "train": {"epochs": 1},
        }
        workspace = Workspace(tmp_path)
        done = workspace.run("--data", "hostile.csv", project=json.dumps(project)).expect()
        code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
for step in ("train", "evaluate"):
    card = get_cards(Run("TrainFlow/{done.run_id}")[step].task)[0].get()
    open(step + ".html", "w", encoding="utf-8").write(card)
"""
        workspace.client(code)
        for step in ("train", "evaluate"):
            look(tab, (tmp_path / f"{step}.html").read_text(encoding="utf-8"), tmp_path)
            assert not ran(tab)
            assert not tab.happened("Page.javascriptDialogOpening")
            assert not tab.requests()
            shown = tab.evaluate("document.querySelector('main').innerText")
            assert "could not be drawn" not in shown
            assert attacks[0][:40] in shown
        assert not knocks
        assert LABELS[0] in shown
        assert len(shown) > 3_000
