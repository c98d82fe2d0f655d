"""What a user reads: bad files end in one clear message, and what is noticed and mended is told in full sentences."""

import json

import pytest
from bad_files import BAD, GOOD, HEADER, QUARANTINE, TEXTS

from dlcycle.config import Project
from dlcycle.data.dataset import build_dataset, removed_summary, table_from_bytes
from dlcycle.errors import DataError, SourceError


def build(folder, content, sections=None, name="data.csv"):
    path = folder / name
    path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
    return build_dataset(Project.model_validate(sections or {}), uri=str(path))


def findings(data):
    return {
        item["name"]: item for item in [*data.source["findings"], *data.cleaning["findings"], *data.split["findings"]]
    }


@pytest.mark.parametrize("case", BAD)
def test_errors_name_the_file_and_read_alike(tmp_path, case):
    content, sections, said = BAD[case]
    with pytest.raises((DataError, SourceError)) as error:
        build(tmp_path, content, sections)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/data.csv: ") and said in message
    assert not message.endswith(".") and message.count("\n") <= 8
    assert all(len(line) < 600 and line.isprintable() for line in message.split("\n"))


@pytest.mark.parametrize(
    ("content", "sections", "name"),
    [
        (GOOD + "a,caf\xe9\0", {}, "control_characters"),
        (GOOD + "a,\ud800 half\n", {}, "lone_surrogates"),
        ((GOOD + "a,\ud800 half\n").encode("utf-16", "surrogatepass"), {}, "lone_surrogates"),
        (GOOD + "a,caf\xc3\xa9\n", {}, "mojibake"),
        ((GOOD + "a,caf\xe9\n").encode("cp1252"), {}, "encoding_assumed"),
        (GOOD + "\n\n", {}, "blank_lines"),
        (GOOD.replace("\n", ",\n"), {}, "unnamed_columns"),
        (GOOD + 'a,"' + "many lines in a long cell\n" * 50 + '"\n', {}, "many_line_breaks"),
        (GOOD, {"data": {"label_map": {"zebra": "a"}}}, "unused_label_map"),
        (GOOD + "solo,alone\n", {"data": {"rare_labels": "drop"}}, "rare_labels"),
        (GOOD + "".join(f"s{i},alone {i}\n" for i in range(4)), {"data": {"rare_labels": "merge"}}, "rare_labels"),
    ],
)
def test_findings_are_sentences_about_rows(tmp_path, content, sections, name):
    found = findings(build(tmp_path, content, sections))
    assert list(found) == [name]
    message, rows, count = (found[name][key] for key in ("message", "rows", "count"))
    assert message[0].isupper() and message[-1] != "." and message.isprintable()
    assert rows == sorted(rows) and len(rows) <= min(count, 5)


def test_halves_of_characters_are_replaced_whole_ones_kept(tmp_path):
    data = build(tmp_path, GOOD + "a,\ud83d lost \U0001f600 kept\n")
    assert data.frame["text"].iloc[-1] == "\ufffd lost \U0001f600 kept" and data.source["encoding"] == "utf-8"
    assert findings(data)["lone_surrogates"]["rows"] == [61]


def test_labels_in_any_script_stay_what_they_are(tmp_path):
    labels = [
        "ספרים",
        "كتب",
        "😀",
        "👩\u200d👩\u200d👧",
        "किताब",
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "NaN",
        "inf",
    ]
    rows = [{"category": labels[i % 9], "description": f"{text} مرحبا \u202eשלום 😀"} for i, text in enumerate(TEXTS)]
    data = build(tmp_path, "\n".join(json.dumps(row) for row in rows))
    assert set(data.cleaning["labels"]) == set(labels) and set(data.frame["text"]) == {
        row["description"] for row in rows
    }


def test_label_variants_are_recorded_and_merged_only_on_request(tmp_path):
    labels = ["Books", "books", "Bo\u200boks", "Toys"]
    content = HEADER + "".join(f"{labels[i % 4]},{text}\n" for i, text in enumerate(TEXTS))
    for merge, counts in ((False, dict.fromkeys(labels, 15)), (True, {"Books": 45, "Toys": 15})):
        data = build(tmp_path, content, {"data": {"merge_label_variants": merge}})
        assert data.cleaning["labels"] == counts
        (group,) = data.cleaning["label_variants"]
        assert group == {"canonical": "Books", "spellings": dict.fromkeys(labels[:3], 15), "merged": merge}


def test_the_length_of_the_joined_inputs_counts_and_of_other_columns_does_not(tmp_path):
    rows = "".join(f"a,{text},{text},{'x' * 3000}\n" for text in TEXTS[:20])
    rows += "".join(f"b,{text},,\n" for text in TEXTS[20:]) + f"b,{'y' * 600},{'z' * 600},\n"
    sections = {"data": {"inputs": ["title", "body"], "max_characters": 1000, "on_bad_rows": "quarantine"}}
    data = build(tmp_path, "category,title,body,page\n" + rows, sections)
    assert data.removed[["row", "reason"]].values.tolist() == [[61, "too_long"]] and len(data.frame) == 60
    assert data.removed["detail"][0] == "1,201 characters, data.max_characters is 1,000"


def test_nothing_is_lost_when_rows_are_set_aside(tmp_path):
    bad = 'a\nb,1,2\na,"closed" more\n,no label\nb,\n'
    data = build(tmp_path, GOOD + bad, QUARANTINE)
    removed = table_from_bytes(removed_summary(data.removed)["parquet"])
    assert removed["text"].tolist() == ["a", "b,1,2", 'a,"closed" more', "no label", ""]
    assert removed["row"].tolist() == [61, 62, 63, 64, 65] and removed["line"].tolist() == [62, 63, 64, 65, 66]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("dta.csv", "no such file in {0}; nearest: 'data.csv'"),
        ("none/data.csv", "the folder {0}/none does not exist"),
        ("", "this is a folder, expected one file; data files there: data.csv"),
    ],
)
def test_sources_that_are_no_file(tmp_path, uri, said):
    (tmp_path / "data.csv").write_text(GOOD)
    with pytest.raises(SourceError) as error:
        build_dataset(Project(), uri=f"{tmp_path}/{uri}")
    assert said.format(tmp_path) in str(error.value)
