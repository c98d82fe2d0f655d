"""Arrow starts no threads: one that holds an object of Python's when the interpreter ends aborts the process."""

import os
import subprocess
import sys

import pytest

CODE = """
import os
import pandas as pd
from dlcycle.data import survey
from dlcycle.data.dataset import table_from_bytes, table_to_bytes
from dlcycle.data.read import read_table
from dlcycle.data.source import open_source
from dlcycle.project_file import parse_project, validate_project

frame = pd.DataFrame({"description": [f"text {row}" for row in range(500)], "category": ["a", "b"] * 250})
frame.to_csv("rows.csv", index=False)
before = len(os.listdir("/proc/self/task"))
settings = validate_project(parse_project("[eda]\\ndetect_languages = false"))
with open_source("rows.csv") as file:
    table = read_table(file, settings=settings.data)
shards = survey.shard_table(table, shards=2)
states = [survey.survey_shard(shard, columns=table.table.column_names, settings=settings) for shard in shards]
survey.merge_surveys(states, settings=settings)
survey.join_shards(shards, columns=table.table.column_names, quarantined=table_to_bytes(frame))
assert len(table_from_bytes(table_to_bytes(frame))) == 500
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in Linux' /proc")
def test_reading_and_surveying_start_no_thread(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 0
