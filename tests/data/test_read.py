"""Reading: what the file holds comes back to the character, and each fault is an error or a finding with its place."""

import csv
import gzip
import io
import json
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import DataSection
from dlcycle.data.rawtable import RawTable
from dlcycle.data.read import read_table, table_from_frame
from dlcycle.data.source import open_source
from dlcycle.errors import DataError

HEADER = "category,description\n"
GOOD = HEADER + "Books,a novel\nToys,a ball\n"


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., RawTable]:
    def reader(content: str | bytes, name: str = "a.csv", columns: tuple[str, ...] = (), **options: object) -> RawTable:
        return read_bytes(tmp_path / name, content, columns, **options)

    return reader


@pytest.fixture
def refused(read: Callable[..., RawTable]) -> Callable[..., str]:
    def message(*args: object, **options: object) -> str:
        with pytest.raises(DataError) as caught:
            read(*args, **options)
        return str(caught.value)

    return message


def read_bytes(path: Path, content: str | bytes, columns: tuple[str, ...] = (), **options: object) -> RawTable:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with open_source(str(path)) as source:
        return read_table(source, settings=DataSection(**options), columns=columns)


def rows(table: RawTable) -> list[list[str | None]]:
    return table.frame.to_numpy().tolist()


def findings(table: RawTable) -> dict[str, tuple[int, list[int]]]:
    return {finding["name"]: (finding["count"], finding["rows"]) for finding in table.report["findings"]}


def parquet_bytes(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


# Round trips

# NUL, the other controls and surrogates are replaced on purpose; "\r" and "\n" within a cell must survive.
CELLS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32) if c not in (9, 10, 13)])
)
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)
NAMES = ("category", "description", 'extra, "name" ;|\t\'')


@settings(deadline=None, max_examples=150)
@given(
    table=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    zipped=st.booleans(),
    codec=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_csv_round_trip(tmp_path_factory, table, delimiter, zipped, codec):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerow(NAMES)
    writer.writerows(table)
    content = stream.getvalue().encode(codec)
    path = tmp_path_factory.getbasetemp() / "round_trip.csv"
    # Quarantine shows a cell taken for merged records as a difference, too.
    result = read_bytes(
        path, gzip.compress(content) if zipped else content, delimiter=delimiter, on_bad_rows="quarantine"
    )
    assert rows(result) == [[cell or None for cell in row] for row in table]
    assert result.frame.columns.tolist() == list(NAMES)
    assert result.report["compression"] == ("gzip" if zipped else None)


@settings(deadline=None, max_examples=100)
@given(table=TABLES, zipped=st.booleans(), escaped=st.booleans())
def test_jsonlines_round_trip(tmp_path_factory, table, zipped, escaped):
    lines = [json.dumps(dict(zip(NAMES, row, strict=True)), ensure_ascii=escaped) for row in table]
    content = "\n".join(lines).encode()
    path = tmp_path_factory.getbasetemp() / "round_trip.jsonl"
    result = read_bytes(path, gzip.compress(content) if zipped else content)
    assert rows(result) == [[cell or None for cell in row] for row in table]
    assert result.lines.tolist() == list(range(1, len(table) + 1))


@settings(deadline=None, max_examples=50)
@given(table=TABLES, zipped=st.booleans())
def test_parquet_round_trip(tmp_path_factory, table, zipped):
    columns = dict(zip(NAMES, map(list, zip(*table, strict=True)), strict=True))
    content = parquet_bytes(pa.table(columns))
    path = tmp_path_factory.getbasetemp() / "round_trip.parquet"
    result = read_bytes(path, gzip.compress(content) if zipped else content)
    assert rows(result) == [[cell or None for cell in row] for row in table]


@settings(deadline=None, max_examples=100)
@given(text=st.text(string.printable + "é\0\ud800", max_size=60))
def test_any_text_is_read_or_refused_with_a_message(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    try:
        table = read_bytes(path, (HEADER + text).encode("utf-8", "surrogatepass"), on_bad_rows="quarantine")
    except DataError as error:
        assert "any.csv" in str(error)
    else:
        assert len(table.frame) + len(table.quarantined) == table.report["records"]


def test_real_file(ecommerce_csv):
    with open_source(str(ecommerce_csv)) as source:
        table = read_table(source, settings=DataSection())
    expected = pd.read_csv(ecommerce_csv, dtype=str, keep_default_na=False)
    assert (table.frame.to_numpy() == expected.to_numpy()).all()
    assert table.report["records"] == 10_361 and table.report["findings"] == []


# Values


@pytest.mark.parametrize(
    "value", ["NA", "None", "null", "n/a", "nan", "01", "1", "1e5", "9007199254740993", "-0", "TRUE", " x "]
)
def test_values_stay_what_they_are(read, value):
    expected = [["Books", value], [value, "a ball"]]
    assert rows(read(f"{HEADER}Books,{value}\n{value},a ball\n")) == expected
    lines = [{"category": "Books", "description": value}, {"category": value, "description": "a ball"}]
    assert rows(read("\n".join(map(json.dumps, lines)), "a.jsonl")) == expected


def test_empty_fields_are_missing_and_blank_lines_skipped(read):
    table = read(HEADER + 'Books,\n\n,""\n   \n"",x\n')
    assert rows(table) == [["Books", None], [None, None], [None, "x"]]
    assert table.lines.tolist() == [2, 4, 6] and findings(table) == {"blank_lines": (2, [])}


def test_cells_may_span_lines(read):
    table = read(HEADER + 'Books,"first\r\nsecond, third\nfourth"\nToys,"say ""hi"""\n')
    assert rows(table) == [["Books", "first\r\nsecond, third\nfourth"], ["Toys", 'say "hi"']]
    assert table.lines.tolist() == [2, 5] and table.report["findings"] == []


def test_json_numbers_and_booleans_keep_their_text(read):
    line = '{"category": true, "description": 1.50, "n": 9007199254740993, "e": 1e400, "z": null, "d": %s}' % (
        "7" * 5000
    )
    assert rows(read(line, "a.jsonl")) == [["true", "1.50", "9007199254740993", "1e400", None, "7" * 5000]]


def test_parquet_values_are_exact(read):
    table = pa.table(
        {
            "category": pa.array([2**53 + 1, None], pa.int64()),
            "description": pa.array(["NA", "x"]).dictionary_encode(),
            "float": pa.array([0.1, 1e300]),
            "bool": pa.array([True, None]),
            "decimal": pa.array([Decimal("1.10"), Decimal("2.00")]),
            "date": pa.array([date(2024, 2, 29), None]),
            "naive": pa.array([datetime(2024, 2, 29, 12, 30), datetime(2024, 1, 1, 0, 0, 0, 5)], pa.timestamp("us")),
            "zoned": pa.array([datetime(2024, 2, 29, tzinfo=UTC), None], pa.timestamp("ns", "Asia/Kolkata")),
            "list": pa.array([[1], []]),
        }
    )
    result = read(parquet_bytes(table), "a.parquet")
    expected = [
        "9007199254740993",
        "NA",
        "0.1",
        "true",
        "1.10",
        "2024-02-29",
        "2024-02-29T12:30:00",
        "2024-02-29T00:00:00+00:00",
    ]
    assert rows(result)[0] == expected
    assert rows(result)[1][:4] == [None, "x", rows(result)[1][2], None] and float(rows(result)[1][2]) == 1e300
    assert rows(result)[1][6] == "2024-01-01T00:00:00.000005"
    assert findings(result) == {"nested_columns": (0, [])}
    assert result.lines.tolist() == [1, 2] and result.report["format"] == "parquet"


# Delimiters, header, columns


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_and_reported(read, delimiter):
    # Other delimiters within the texts must not win.
    text = "a; b | c, d\te".replace(delimiter, " ")
    table = read(f"category{delimiter}description\nBooks{delimiter}{text}\n")
    assert table.report["delimiter"] == delimiter and rows(table) == [["Books", text]]


def test_wrong_delimiter_is_named(refused):
    message = refused(GOOD.replace(",", ";"), delimiter=",")
    assert "the file has 'category;description'" in message and "a semicolon" in message
    message = refused(GOOD.replace(",", "^"))
    assert "expected the columns 'description', 'category'" in message and "'^'" in message


def test_all_header_problems_at_once(refused):
    content = "categry,Descripton,size,size\na,b,c,d\n"
    message = refused(content, group="seller", columns=("part",))
    for part in (
        "a.csv",
        "'category' (data.target)",
        "nearest: 'categry'",
        "nearest: 'Descripton'",
        "'size' appears 2 times",
    ):
        assert part in message
    assert "'seller' (data.group) is missing" in message and "'part' (split.column)" in message


def test_unnamed_columns_are_left_out_and_reported(read):
    table = read(",category,description,\n0,Books,a novel,\n1,Toys,a ball,\n")
    assert rows(table) == [["Books", "a novel"], ["Toys", "a ball"]] and findings(table) == {"unnamed_columns": (0, [])}


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_header_only(refused, content):
    assert "a.csv: 0 rows" in refused(content)


@pytest.mark.parametrize("content", ["\n\n", "\ufeff", " "])
def test_no_header(refused, content):
    assert "no header" in refused(content)


# Bad rows: one policy


def test_rows_with_a_wrong_number_of_fields(read, refused):
    content = HEADER + "Books,a novel\nBooks\nToys,a,ball\nToys,a ball\n"
    message = refused(content)
    assert "2 of 4 rows cannot be used" in message and "line 3 (row 2): 1 field, expected 2: 'Books'" in message
    assert (
        "line 4 (row 3): 3 fields, expected 2: 'Toys,a,ball'" in message
        and 'data.on_bad_rows = "quarantine"' in message
    )
    table = read(content, on_bad_rows="quarantine")
    assert rows(table) == [["Books", "a novel"], ["Toys", "a ball"]]
    assert table.frame.index.tolist() == [0, 3] and table.lines.tolist() == [2, 5]
    assert table.quarantined[["row", "line", "detail"]].to_numpy().tolist() == [
        [2, 3, "1 field, expected 2"],
        [3, 4, "3 fields, expected 2"],
    ]
    assert table.quarantined["text"].tolist() == ["Books", "Toys,a,ball"]


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_columns_never_shift_when_each_row_has_a_field_too_many(refused, policy):
    message = refused(HEADER + "0,Books,a novel\n1,Toys,a ball\n" * 10, on_bad_rows=policy)
    assert "line 2 (row 1): 3 fields, expected 2" in message and "and 15 more" in message
    assert "The header has 2 fields and every row 3" in message


def test_quote_that_is_never_closed(refused):
    for policy in ("fail", "quarantine"):
        content = HEADER + 'Books,a\n"two\nlines","open\n' + "Toys,b\n" * 1000
        assert "line 4: the quote that opens here is never closed" in refused(content, on_bad_rows=policy)
    assert "line 2: the quote" in refused(HEADER + '5" pipe,"open\n' + "Toys,b\n" * 9)


def test_quotes_that_merge_rows_are_found(read, refused):
    merged = HEADER + 'Books,a\nToys,"b\nBooks,c\nToys,d\nBooks,e"\nToys,f\n'
    assert "quotes merge 4 records, lines 3 to 6, into one cell" in refused(merged)
    table = read(merged, on_bad_rows="quarantine")
    assert rows(table) == [["Books", "a"], ["Toys", "f"]] and table.frame.index.tolist() == [0, 2]
    two = read(HEADER + 'Books,a\nToys,"b\nBooks,c"\nToys,f\n', on_bad_rows="quarantine")
    assert len(two.quarantined) == 1
    text_first = read('description,category\na,Books\n"b,Toys\nc",Books\nd,Toys\n', on_bad_rows="quarantine")
    assert text_first.quarantined["line"].tolist() == [3]


def test_text_after_a_closing_quote(read):
    table = read(HEADER + 'Books,"a" b\nToys,"c\nToys,"d"\nBooks,e\n', on_bad_rows="quarantine")
    assert rows(table) == [["Books", "e"]] and table.lines.tolist() == [5]
    assert table.quarantined[["row", "line"]].to_numpy().tolist() == [[1, 2], [2, 3]]
    assert "lines 3 to 4" in table.quarantined["detail"][1]


def test_long_cells_with_many_line_breaks_are_noted_only(read):
    poem = "\n".join(["a line, with a comma"] * 40)
    table = read(HEADER + f'Books,a\nBooks,"{poem}"\nToys,b\n')
    assert rows(table)[1] == ["Books", poem] and findings(table) == {"many_line_breaks": (1, [2])}


def test_bad_json_lines(read):
    bad = [
        '{"category": "a", "description": NaN}',
        '{"category": "a", "category": "b", "description": "c"}',
        '{"category": ["a"], "description": "c"}',
        "[1, 2]",
        '{"category": "a"',
        "[" * 100_000,
        '{"category": "a\x01", "description": "c"}',
    ]
    table = read(
        '{"category": "Books", "description": "a", "more": {"x": 1}}\n' + "\n".join(bad),
        "a.jsonl",
        on_bad_rows="quarantine",
    )
    assert rows(table) == [["Books", "a"]] and len(table.quarantined) == len(bad)
    said = [
        "NaN is not JSON",
        "appears twice",
        "holds a list",
        "not an object",
        "not JSON",
        "nested too deeply",
        "control character",
    ]
    assert all(part in detail for part, detail in zip(said, table.quarantined["detail"], strict=True))
    assert findings(table) == {"nested_columns": (0, [])}


def test_missing_json_keys(read, refused):
    table = read('{"category": "Books"}\n{"description": "a", "category": "Toys"}\n', "a.jsonl")
    assert rows(table) == [["Books", None], ["Toys", "a"]] and findings(table) == {"missing_keys": (1, [1])}
    assert "nearest: 'Description'" in refused('{"category": "Books", "Description": "a"}', "a.jsonl")
    assert "a JSON array" in refused('[{"category": "Books"}]', "a.json")


def test_a_cell_of_50_megabytes_is_a_bad_row_in_little_memory(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "Books,a\n" * 6 + "Books," + "x" * 50_000_000 + "\nToys,b\n")
    code = """
import sys
from dlcycle.config import DataSection
from dlcycle.data.read import read_table
from dlcycle.data.source import open_source
with open_source(sys.argv[1]) as source:
    table = read_table(source, settings=DataSection(on_bad_rows="quarantine"))
print(len(table.frame), *table.quarantined[["reason", "detail"]].values[0], len(table.quarantined["text"][0]))
# The process's own high-water mark: getrusage would count that of the process it was started from.
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    first, megabytes = done.stdout.splitlines()
    assert first == "7 too_long 50,000,000 characters, data.max_characters is 1,000,000 2000"
    assert int(megabytes) < 600


def test_the_field_limit_of_csv_is_put_back(read):
    before = csv.field_size_limit()
    assert rows(read(HEADER + "Books," + "x" * 200_000 + "\n", max_characters=200_000))[0][1] == "x" * 200_000
    assert csv.field_size_limit() == before


# Encodings and characters


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["café", "किताब बबब", "plain", "😀 🎈"])
def test_unicode_encodings(read, codec, text):
    table = read(f"{HEADER}Books,{text}\nToys,{text}\n".encode(codec))
    assert rows(table) == [["Books", text], ["Toys", text]] and table.report["findings"] == []
    assert table.report["encoding"].startswith("utf-16" if "16" in codec else "utf-8")


def test_cp1252_is_reported_with_its_first_byte(read):
    content = (HEADER + "Books,a\nBooks,caf\xe9 \x80\n").encode("latin-1")
    table = read(content)
    assert rows(table)[1][1] == "café €" and table.report["encoding"] == "cp1252"
    assert f"0xE9 at offset {content.index(0xE9)}, line 3" in table.report["findings"][0]["message"]


def test_bytes_of_no_encoding(refused):
    message = refused(HEADER.encode() + b"Books,a\nBooks,\x81\xff\n")
    assert "byte 0x81 at offset 35, line 3 is neither UTF-8 nor cp1252" in message
    message = refused(HEADER.encode() + "Books,é è à\n".encode() + b"Toys,\x81\n")
    assert "UTF-8 with damaged bytes (1)" in message
    assert "Shift-JIS" in refused((HEADER + "Books,日本語の本\n").encode("shift_jis") + b"Toys,\x81\x40\n")
    assert "line 2 is not utf-8" in refused((HEADER + "Books,é\n").encode("cp1252"), encoding="utf-8")
    assert "cut short" in refused((HEADER + "Books,é\n").encode("utf-16")[:-1])


def test_mixed_encodings_are_refused_unless_asked_for(read, refused):
    content = (HEADER + "Books,é è\n").encode() + "Toys,ü\n".encode("cp1252")
    message = refused(content)
    assert "mixes encodings" in message and "line 3" in message
    table = read(content, encoding="cp1252")
    assert rows(table) == [["Books", "Ã© Ã¨"], ["Toys", "ü"]] and findings(table) == {"mojibake": (1, [1])}


def test_mojibake_is_counted_and_kept_and_good_texts_are_not(read):
    bad = [text.encode().decode("cp1252", "ignore") for text in ("café", "it’s", "😀 ha")] + [
        "किताब".encode().decode("latin-1")
    ]
    good = ["CAFÉ", "São Paulo", "naïve à la carte", "Ångström", "Âge", "किताब", "日本語", "È»", "português Ã"]
    table = read(HEADER + "".join(f"Books,{text}\n" for text in bad + good))
    assert findings(table) == {"mojibake": (4, [1, 2, 3, 4])} and rows(table)[0][1] == "cafÃ©"


def test_controls_and_surrogates_are_replaced_and_counted(read):
    table = read(HEADER + "Books,a\0b\x1a\nToys,\tc\n\x07Toys,d\n")
    assert rows(table) == [["Books", "a\ufffdb\ufffd"], ["Toys", "\tc"], ["\ufffdToys", "d"]]
    assert findings(table) == {"control_characters": (2, [1, 3])}
    table = read('{"category": "Books", "description": "\\ud800 \\ud83d\\ude00"}', "a.jsonl")
    assert rows(table) == [["Books", "\ufffd 😀"]] and findings(table) == {"lone_surrogates": (1, [1])}


# Files that are something else


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"PK\x03\x04rest", "a.xlsx", "Excel"),
        (b"\xfd7zXZ\x00rest", "a.csv.xz", "compressed with xz"),
        (gzip.compress(gzip.compress(GOOD.encode(), mtime=0), mtime=0), "a.csv.gz", "gzipped twice"),
        (gzip.compress(GOOD.encode() * 100, mtime=0)[:-9], "a.csv.gz", "damaged or cut short"),
        (b"\x1f\x8b\x08rest", "a.csv.gz", "damaged"),
        (b"<!DOCTYPE html><p>log in", "a.csv", "a web page"),
        (GOOD.encode(), "a.parquet", "expected a Parquet file"),
        (b"PAR1" + b"\0" * 50, "a.parquet", "damaged"),
        (parquet_bytes(pa.table({"category": ["a"], "description": ["b"]}))[:-40], "a.parquet", "damaged"),
        (
            parquet_bytes(pa.table({"category": ["a"], "text": ["b"]})),
            "a.parquet",
            "'description' (data.inputs) is missing",
        ),
        (parquet_bytes(pa.table({"category": ["a"], "description": [["b"]]})), "a.parquet", "is list"),
    ],
)
def test_other_and_damaged_files(refused, content, name, said):
    message = refused(content, name)
    assert said in message and name in message


def test_formats_are_found_by_content(read):
    line = '{"category": "Books", "description": "a"}\n'
    assert read(line, "data").report["format"] == "jsonl"
    assert read(gzip.compress(line.encode()), "data.csv").report["format"] == "jsonl"
    table = pa.table({"category": ["Books"], "description": ["a"]})
    assert read(parquet_bytes(table), "data.csv").report["format"] == "parquet"


def test_a_decompression_bomb_is_refused(read, refused):
    bomb = gzip.compress(HEADER.encode() + b"Books,a\n" * 2_000_000)
    assert "decompression bomb" in refused(bomb, "a.csv.gz")
    assert "unpacks to more than 1 MB" in refused(
        gzip.compress(HEADER.encode() + b"Books,a\n" * 200_000), "a.csv.gz", max_megabytes=1
    )


# Tables in memory


def test_table_from_frame_equals_the_file(read):
    frame = pd.DataFrame(
        {"category": ["Books", None, "Toys"], "description": ["a\x07", "b", float("nan")]}, dtype=object
    )
    options = DataSection()
    table = table_from_frame(frame, settings=options)
    file = read(frame.to_csv(index=False))
    assert rows(table) == rows(file) and table.lines.tolist() == file.lines.tolist() == [2, 3, 4]
    assert table.report["findings"] == file.report["findings"] and table.report["format"] == "frame"
    with pytest.raises(DataError, match="sample: expected the columns"):
        table_from_frame(frame[["category"]], settings=options)
