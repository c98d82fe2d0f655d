"""Rows that a user gives: read as training reads, nothing removed, and clear words where that cannot be."""

import pathlib

import pytest

from dlcycle.config import DataSection
from dlcycle.data.given import read_given
from dlcycle.errors import DataError, SourceError

SETTINGS = DataSection(inputs=("title", "body"), target="kind", label_map={"tool": "tools"}, sha256="0" * 64, group="g")


def given(folder: pathlib.Path, content: str) -> str:
    path = folder / "rows.csv"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_rows_stay_and_texts_are_joined_and_normalised(tmp_path: pathlib.Path) -> None:
    path = given(tmp_path, "kind,body,title\ntool,drill,a\n,,\ntool,drill,a\nnew, cafe\u0301 ,b\n")
    frame, findings = read_given(path, settings=SETTINGS)
    assert frame["text"].tolist() == ["a\ndrill", "", "a\ndrill", "b\ncafé"]
    assert frame["label"].tolist() == ["tools", None, "tools", "new"]
    assert frame["row"].tolist() == [1, 2, 3, 4]
    assert frame["line"].tolist() == [2, 3, 4, 5]
    assert findings == []


def test_without_labels_they_are_read_and_it_is_told(tmp_path: pathlib.Path) -> None:
    frame, findings = read_given(given(tmp_path, "title,body\na,b\nc,d\n"), settings=SETTINGS)
    assert frame["label"].tolist() == [None, None]
    assert [finding["name"] for finding in findings] == ["no_labels"]
    assert "'kind'" in findings[0]["message"]


def test_a_missing_input_column_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match=r"column 'body' \(data.inputs\) is missing; nearest: 'bodi'"):
        read_given(given(tmp_path, "title,bodi\na,b\n"), settings=SETTINGS)


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        read_given(str(tmp_path / "nowhere.csv"), settings=SETTINGS)
