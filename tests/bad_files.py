"""Files that training refuses: content, settings, and what the message must say."""

import gzip

import numpy as np

HEADER = "category,description\n"
RNG = np.random.default_rng(0)
TEXTS = [" ".join(f"w{word}" for word in RNG.integers(0, 300, 12)) for _ in range(60)]
ROWS = "".join(f"{'ab'[i % 2]},{text}\n" for i, text in enumerate(TEXTS))
GOOD = HEADER + ROWS
QUARANTINE = {"data": {"on_bad_rows": "quarantine"}}

BAD = {
    "empty": (b"", {}, "0 bytes"),
    "header only": (HEADER, {}, "0 rows"),
    "nothing in a gzip": (gzip.compress(b""), {}, "0 rows"),
    "binary": (RNG.bytes(4000), {}, "looks like a binary file"),
    "web page": ("<!DOCTYPE html><p>log in", {}, "expected CSV, JSON Lines or Parquet"),
    "wrong delimiter": (GOOD.replace(",", "^"), {}, "the header holds '^'"),
    "misspelt": (GOOD.replace("description", "descripton"), {}, "(data.inputs) is missing; nearest: 'descripton'"),
    "misspelt split": (GOOD, {"split": {"method": "column", "column": "categry"}}, "nearest: 'category'"),
    "control in header": (GOOD.replace("category", "cat\x1b[31megory"), {}, r"cat\x1b[31megory"),
    "shifted": (HEADER + ROWS.replace("\n", ",x\n"), {}, "line 2 (row 1): 3 fields, expected 2"),
    "shifted, set aside": (HEADER + ROWS.replace("\n", ",x\n"), QUARANTINE, "60 of 60 rows cannot be used"),
    "ragged": (GOOD + "a\nb,1,2\n", {}, "line 63 (row 62): 3 fields, expected 2: 'b,1,2'"),
    "open quote": (HEADER + 'a,"open\n' + ROWS, {}, "line 2: the quote that opens here is never closed"),
    "merging quotes": (HEADER + 'a,"open\n' + ROWS[:-1] + '"\n' + ROWS, {}, "quotes merge 61 records, lines 2 to 62"),
    "long text": (GOOD + "a," + "x" * 2000, {"data": {"max_characters": 1000}}, "2,000 characters"),
    "mixed encodings": (GOOD.encode() + "a,é è ü\n".encode() + "b,é\n".encode("cp1252"), {}, "line 63"),
    "one class": (GOOD.replace("\nb,", "\na,"), {}, "at least two classes"),
    "class with one row": (GOOD + "solo,alone\n", {}, "'solo' (1)"),
    "most set aside": (HEADER + "a\n" * 50 + ROWS[:300], QUARANTINE, "(removed: bad row 50)"),
    "times": (GOOD, {"split": {"method": "time"}, "data": {"time": "category"}}, "'a' in row 1 (line 2)"),
    "parts": (GOOD, {"split": {"method": "column", "column": "category"}}, "'a' in row 1 (line 2)"),
    "no JSON": (GOOD, {"data": {"format": "jsonl"}}, "No line is JSON: expected one object a line"),
}
