"""Files that tasks on other machines cannot see: refused before anything starts, or uploaded."""

import hashlib
import json
import pathlib
import shlex

import pytest
from flow_runner import EDA_FLOW, EXPLAIN_FLOW, FLOW, Workspace
from s3_server import BUCKET, s3_server

from dlcycle.errors import SourceError
from dlcycle.flowkit.inputs import as_given, stored_at

TINY = """
[project]
name = "tiny"
[data]
inputs = ["text"]
target = "label"
[train]
epochs = 1
[eda]
detect_languages = false
"""
NOTHING = "Nothing was started"
MIXED = """
from metaflow import card, kubernetes, step
from dlcycle.flows.eda_flow import EdaFlow

class NearFlow(EdaFlow):
    @kubernetes
    @step
    def merge(self, inputs):
        self.next(self.version)

if __name__ == "__main__":
    NearFlow()
"""
FILE = {"uri": "a b.csv", "sha256": "0f", "stored": "s3://bucket/dlcycle-inputs/0f/a_b.csv"}


def rows() -> bytes:
    lines = [f"{label} is what this text number {i} speaks of,{label}" for i in range(60) for label in ("red", "blue")]
    return "\n".join(["text,label", *lines]).encode()


def remote(workspace: Workspace, *arguments: str, flow: pathlib.Path = FLOW, project: str = TINY) -> str:
    """What a run on pods says, which ends before a cluster is asked for: the datastore is a folder of this machine."""
    return workspace.run("--with", "kubernetes", *arguments, flow=flow, project=project).expect(code=1).output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flow", "option", "named"),
    [
        (FLOW, "--data", "--data = 'rows.csv'"),
        (EDA_FLOW, "--data", "--data = 'rows.csv'"),
        (EDA_FLOW, "", "data.source = 'rows.csv'"),
    ],
)
def test_a_file_of_this_machine_is_refused_with_the_cure(
    workspace: Workspace, flow: pathlib.Path, option: str, named: str
) -> None:
    (workspace.folder / "rows.csv").write_bytes(rows())
    project = TINY if option else TINY.replace("[data]", '[data]\nsource = "rows.csv"')
    said = remote(workspace, *([option, "rows.csv"] if option else []), flow=flow, project=project)
    assert NOTHING in said
    assert f"{named} is a file of this machine; add --upload" in said
    assert "run-id" not in said


@pytest.mark.slow
def test_what_needs_no_file_is_not_refused_for_one(workspace: Workspace) -> None:
    for source in ("sample", "s3://bucket/rows.csv", "https://example.org/rows.csv"):
        assert "a file of this machine" not in remote(workspace, "--data", source)


@pytest.mark.slow
def test_a_file_that_the_last_step_writes_is_refused_and_the_way_round_works(workspace: Workspace) -> None:
    said = remote(workspace, "--write-schema", "my schema.toml", flow=EDA_FLOW)
    assert "--write-schema 'my schema.toml' would be written on one of them" in said
    done = workspace.run(flow=EDA_FLOW, project="[data]\nsample_rows = 300\n[eda]\ndetect_languages = false").expect()
    command = said.split("when the run is done: ")[1].splitlines()[0].replace("RUN_ID", done.run_id)
    words = shlex.split(command)
    assert words[0] == "python"
    assert words[-2:] == [">", "my schema.toml"]
    code = words[2].replace("import Run;", "import Run, namespace; namespace(None);")
    written = workspace.call("-c", code).expect().output
    assert "[schema]" in written
    assert "[schema.columns" in written


@pytest.mark.slow
def test_metadata_of_this_machine_are_refused_where_a_step_runs_elsewhere(workspace: Workspace) -> None:
    for flow in (FLOW, EXPLAIN_FLOW):
        said = remote(workspace, flow=flow)
        assert NOTHING in said
        assert "METAFLOW_SERVICE_URL" in said
    assert NOTHING not in workspace.run("--epochs", "0", project=TINY).output


@pytest.mark.slow
def test_steps_that_stay_on_this_machine_see_its_files(workspace: Workspace) -> None:
    (workspace.folder / "near_flow.py").write_text(MIXED)
    (workspace.folder / "rows.csv").write_bytes(rows())
    flow = workspace.folder / "near_flow.py"
    said = workspace.run("--data", "rows.csv", "--write-schema", "schema.toml", flow=flow, project=TINY).expect(code=1)
    assert "METAFLOW_SERVICE_URL" in said.output
    assert "rows.csv" not in said.output
    assert "schema.toml" not in said.output


@pytest.mark.slow
def test_upload_wants_a_datastore_that_is_elsewhere_and_a_file_that_can_be_read(workspace: Workspace) -> None:
    said = workspace.run("--upload", "--data", "rows.csv", project=TINY).expect(code=1).output
    assert "this run's is 'local'; leave out --upload" in said
    with s3_server() as bucket:
        elsewhere = Workspace(workspace.folder, variables=bucket.variables())
        said = elsewhere.run("--upload", "--data", "rows.csv", project=TINY).expect(code=1).output
        assert "--data: rows.csv: no such file" in said
        (workspace.folder / "rows.csv").write_bytes(rows())
        promised = TINY.replace("[data]", f'[data]\nsha256 = "{"0" * 64}"')
        said = elsewhere.run("--upload", "--data", "rows.csv", project=promised).expect(code=1).output
        assert "the bytes are not those promised" in said
        assert not any("dlcycle-inputs" in key for key in bucket.objects)


@pytest.mark.slow
def test_an_uploaded_file_is_read_from_the_datastore_under_the_name_that_the_user_gave(workspace: Workspace) -> None:
    content = rows()
    digest = hashlib.sha256(content).hexdigest()
    (workspace.folder / "my rows.csv").write_bytes(content)
    with s3_server() as bucket:
        elsewhere = Workspace(workspace.folder, variables=bucket.variables())
        done = elsewhere.run("--upload", "--data", "my rows.csv", flow=EDA_FLOW, project=TINY).expect()
        stored = f"metaflow/dlcycle-inputs/{digest}/my_rows.csv"
        assert bucket.objects[stored] == content
        found = json.loads(
            elsewhere.client(f"""
import json
from metaflow import Run, namespace
namespace(None)
data = Run("EdaFlow/{done.run_id}").data
print(json.dumps([data.lineage["source"], data.launch["uploaded"], data.lineage["settings"]["data"]["source"]]))
""")
        )
        source, uploaded, configured = found
        assert {key: source[key] for key in ("uri", "name", "sha256", "stored")} == {
            "uri": "my rows.csv",
            "name": "my rows.csv",
            "sha256": digest,
            "stored": f"s3://{BUCKET}/{stored}",
        }
        assert uploaded[0]["bytes"] == len(content)
        assert configured == "my rows.csv"
        # Bytes that are not those which were uploaded are refused, in the user's words.
        bucket.objects[stored] = content + b"\nanother text,red"
        again = elsewhere.run("--upload", "--data", "my rows.csv", flow=EDA_FLOW, project=TINY).expect(code=1)
        assert "is no copy of my rows.csv: expected sha256" in again.output


def test_a_source_is_named_as_the_user_named_it() -> None:
    launch = {"uploaded": [FILE]}
    assert stored_at("a b.csv", launch) == FILE["stored"]
    assert stored_at("c.csv", launch) == "c.csv"
    read = {"uri": FILE["stored"], "name": "a_b.csv", "sha256": "0f", "records": 3}
    given = as_given(read, launch)
    assert given == read | {"uri": "a b.csv", "name": "a b.csv", "stored": FILE["stored"]}
    assert as_given(read, {}) == read
    with pytest.raises(SourceError, match=r"is no copy of a b.csv: expected sha256 0f, got 1e"):
        as_given(read | {"sha256": "1e"}, launch)
