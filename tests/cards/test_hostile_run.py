"""Whole runs on a hostile file: what it holds reaches the cards as text, and does nothing there."""

import csv
import json
from pathlib import Path
from typing import Any

import browser
import card_data
import pytest
from flow_runner import EDA_FLOW, EXPLAIN_FLOW, FLOW, Workspace
from test_hostile_cards import look, ran

LABELS = ["<script>label('ran')</script>", "[x](javascript:alert(1))", "$x^2$ \u202eevil", "nan"]
NAMES = {FLOW: "TrainFlow", EDA_FLOW: "EdaFlow", EXPLAIN_FLOW: "ExplainFlow"}
CARDS = {FLOW: ["train", "evaluate"], EDA_FLOW: ["judge"], EXPLAIN_FLOW: ["judge"]}
TEXT, TARGET, GROUP, ORIGIN = (
    '<img src=x onerror="alert(1)">',
    "NaN",
    "</td><script>alert(2)</script>",
    "{{origin}} `x`",
)


def write_file(path: Path, attacks: list[str]) -> None:
    """Write a file whose texts, labels, other values and column names attack those who show them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([TEXT, TARGET, GROUP, ORIGIN])
        for number in range(240):
            attack = attacks[number % len(attacks)].replace("\x00", "")
            text = f"{attack} word{number % 4} inf {number}"
            writer.writerow([text, LABELS[number % 4], attacks[number % 3], LABELS[number % 2]])


def hostile_project(attacks: list[str]) -> dict[str, Any]:
    """Return a project whose every free text attacks too."""
    data = {"inputs": [TEXT], "target": TARGET, "group_columns": [GROUP], "origin_column": ORIGIN}
    return {
        "project": {"name": "hostile", "title": attacks[0], "owner": attacks[1]},
        "plan": {"problem": attacks[2], "criteria": [{"metric": "f1", "label": LABELS[0], "at_least": 1.0}]},
        "data": data | {"licence": attacks[3], "origin": attacks[4]},
        "split": {"near_duplicates": None},
        "train": {"epochs": 1},
        "explain": {"slice_rows": 5, "overall_rows": 20, "check_rows": 10, "swap_rows": 10, "detect_languages": False},
        "schema": {"columns": {attacks[5]: {"required": True}, TARGET: {"domain": [attacks[6]]}}},
    }


@pytest.mark.slow
@pytest.mark.parametrize("flows", [[EDA_FLOW], [FLOW, EXPLAIN_FLOW]], ids=["eda", "train and explain"])
def test_a_hostile_file_runs_and_its_cards_are_safe(flows: list[Path], tmp_path: Path) -> None:
    browser.chromium()
    with browser.listener() as (address, knocks):
        attacks = card_data.attacks(address)
        write_file(tmp_path / "hostile.csv", attacks)
        workspace = Workspace(tmp_path)
        project = json.dumps(hostile_project(attacks))
        for flow in flows:
            file = "--rows" if flow == EXPLAIN_FLOW else "--data"
            done = workspace.run(file, "hostile.csv", project=project, flow=flow).expect()
            code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
for step in {CARDS[flow]}:
    [card] = get_cards(Run("{NAMES[flow]}/{done.run_id}")[step].task)
    open("{NAMES[flow]}-" + step + ".html", "w", encoding="utf-8").write(card.get())
"""
            workspace.client(code)
        cards = [tmp_path / f"{NAMES[flow]}-{step}.html" for flow in flows for step in CARDS[flow]]
        with browser.tab(tmp_path) as tab:
            for card in cards:
                look(tab, card.read_text(encoding="utf-8"), tmp_path)
                assert not ran(tab)
                assert not tab.happened("Page.javascriptDialogOpening")
                assert not tab.requests()
                shown = tab.evaluate("document.querySelector('main').innerText")
                assert "could not be drawn" not in shown
                assert attacks[0][:40] in shown
        assert not knocks
        assert LABELS[0] in shown
        assert len(shown) > 3_000
        if flows == [EDA_FLOW]:
            for value in (TEXT, GROUP, ORIGIN, LABELS[1], attacks[3][:40], attacks[4][:40], attacks[5][:40]):
                assert value in shown
