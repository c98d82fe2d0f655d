import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from dlcycle.errors import DataError
from dlcycle.insight.mistakes.work_list import COLUMNS, mislabelled_rows

NAMES = ["Books", "Shoes", "Toys"]


def make_rows(count: int = 300, *, wrong: int = 60, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, set[int]]:
    """Rows in no order, probabilities of a good model, and the row numbers of the wrong labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    logits = rng.normal(0, 0.7, (count, 3))
    logits[np.arange(count), truth] += 4
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    places = rng.choice(count, wrong, replace=False)
    stated = truth.copy()
    stated[places] = (truth[places] + rng.integers(1, 3, wrong)) % 3
    rows = rng.permutation(count) * 3 + 1
    labels = [NAMES[k] for k in stated]
    texts = [f"text {row}" for row in rows]
    frame = pd.DataFrame({"row": rows, "line": rows + 1, "text": texts, "label": labels}, index=rows)
    return frame, probabilities, set(rows[places].tolist())


def parsed(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table, newline=""), strict=True))


def test_the_table_has_every_suspected_row_and_the_evidence_the_first_twenty() -> None:
    frame, probabilities, wrong = make_rows()
    evidence, table = mislabelled_rows(frame, probabilities, NAMES)
    listed = parsed(table)
    assert tuple(listed[0]) == COLUMNS
    assert len(listed) == evidence["n"] > len(evidence["rows"]) == 20
    assert [int(line["row"]) for line in listed[:20]] == [row["row"] for row in evidence["rows"]]
    found = {int(line["row"]) for line in listed}
    # Nearly all suspects are wrong and most wrong labels are suspected; a random list would hold one in five.
    assert len(found & wrong) > 0.95 * len(found)
    assert len(found & wrong) > 0.8 * len(wrong)
    by_row = frame.set_index("row")
    for line in listed:
        row = by_row.loc[int(line["row"])]
        assert (int(line["line"]), line["label"], line["text"]) == (row["line"], row["label"], row["text"])
        expected = probabilities[frame["row"].tolist().index(int(line["row"]))]
        assert line["suggested"] == NAMES[expected.argmax()]
        assert float(line["probability"]) == pytest.approx(expected.max(), abs=5e-5)
    assert json.loads(json.dumps(evidence, allow_nan=False)) == evidence


def test_right_labels_are_not_listed() -> None:
    frame, probabilities, _ = make_rows(wrong=0)
    evidence, table = mislabelled_rows(frame, probabilities, NAMES)
    assert evidence["n"] == 0 and evidence["rows"] == []
    assert table == "row,line,label,suggested,probability,text\r\n"


def test_a_model_that_only_guesses_is_said_to_be_too_weak_to_doubt_labels() -> None:
    """Of labels drawn by lot about half are listed; the control is a model that is right more often than a guess."""
    frame, probabilities, _ = make_rows(wrong=0)
    drawn = np.random.default_rng(0).choice(NAMES, len(frame))
    evidence, table = mislabelled_rows(frame.assign(label=drawn), probabilities, NAMES)
    assert evidence["n"] == len(parsed(table)) > 0.3 * len(frame)
    most = 100 * np.unique(drawn, return_counts=True)[1].max() / len(frame)
    assert evidence["weak"].startswith("The model is right too seldom to doubt labels: on these rows it is right in ")
    assert evidence["weak"].endswith(f"always naming their most frequent class would be in {most:.1f} %.")
    assert json.loads(json.dumps(evidence, allow_nan=False)) == evidence
    half = np.where(np.arange(len(frame)) % 2 == 0, drawn, frame["label"])
    assert "weak" not in mislabelled_rows(frame.assign(label=half), probabilities, NAMES)[0]
    # Of 95 % of one class a model that always names it is right 95 times in 100, and yet knows nothing.
    one_class = np.where(np.arange(len(frame)) % 20 == 0, "Toys", "Books")
    guess = np.tile([0.9, 0.05, 0.05], (len(frame), 1))
    assert "weak" in mislabelled_rows(frame.assign(label=one_class), guess, NAMES)[0]


def test_texts_are_masked_before_they_are_cut_and_no_cell_is_a_formula() -> None:
    frame, probabilities, _ = make_rows()
    address = "jane.doe@example.com"
    frame["text"] = [f"=HYPERLINK(0) {'a' * 475} {address} {row}" for row in frame["row"]]
    frame["label"] = ["=Books" if label == "Books" else label for label in frame["label"]]
    _, table = mislabelled_rows(frame, probabilities, ["=Books", *NAMES[1:]])
    for line in parsed(table):
        assert line["text"].startswith("'=HYPERLINK(0)")
        assert len(line["text"]) == 1 + 500
        assert "jane" not in line["text"] and "•" in line["text"]
        assert not line["label"].startswith("=") and not line["suggested"].startswith("=")


def test_the_order_of_the_rows_does_not_matter() -> None:
    frame, probabilities, _ = make_rows()
    order = np.random.default_rng(1).permutation(len(frame))
    assert mislabelled_rows(frame.iloc[order], probabilities[order], NAMES) == mislabelled_rows(
        frame, probabilities, NAMES
    )


def test_too_few_rows_are_a_reason_and_an_empty_table() -> None:
    frame, probabilities, _ = make_rows(12, wrong=1)
    evidence, table = mislabelled_rows(frame, probabilities, NAMES)
    assert list(evidence) == ["reason"]
    assert parsed(table) == []


def test_probabilities_of_other_rows_are_refused() -> None:
    frame, probabilities, _ = make_rows()
    with pytest.raises(DataError, match=r"shape \(300, 3\) expected"):
        mislabelled_rows(frame, probabilities[:-1], NAMES)
