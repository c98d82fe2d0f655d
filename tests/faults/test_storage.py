"""Stores that fail: S3 that refuses or is gone, a full disk, a file system that is not to be written to."""

import ast
import os
import pathlib
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from ending_runs import call, call_and, goes_on, last_lines
from flow_runner import EDA_FLOW, Workspace
from s3_server import Bucket, s3_server

from dlcycle.data.files import write_file
from dlcycle.flowkit import room, storage_watch
from dlcycle.flowkit.storage_watch import Silence

MIB = 2**20
ALL = pytest.mark.skipif("ALL_FAULTS" not in os.environ, reason="takes minutes; `make test-faults` runs it")
Mount = Callable[[str], pathlib.Path]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with s3_server() as served:
        yield served


@pytest.fixture
def mount(tmp_path: pathlib.Path) -> Iterator[Mount]:
    """Mount, or mount again, a file system in memory with some options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> pathlib.Path:
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "none", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this user may not mount: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", folder], check=True)


def answer(share: float, status: int = 503) -> str | None:
    """What a look at a bucket says that refuses a share of the requests."""
    with s3_server() as served, pytest.MonkeyPatch.context() as patch:
        served.refused_share, served.refused_status = share, status
        return _look(served, patch)


def _look(served: Bucket, patch: pytest.MonkeyPatch) -> str | None:
    for name, value in served.variables().items():
        patch.setenv(name, value)
    patch.setattr("metaflow.metaflow_config.DATATOOLS_CLIENT_PARAMS", {"endpoint_url": served.url})
    return storage_watch._Bucket("s3://bucket/metaflow")()


def test_a_look_tells_a_store_that_answers_from_one_that_refuses_or_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [answer(share) for share in (0.0, 0.3, 1.0)] == [None, None, "answers 503"]
    # Who may not look at a bucket is told so by one that is there.
    assert answer(1.0, 403) is None
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    problem = _look(Bucket(url), monkeypatch)
    assert problem is not None
    assert problem.startswith("cannot be connected to (")
    assert url in problem


def test_silence_is_told_within_half_a_minute_then_each_minute_then_its_end() -> None:
    now = 1000.0
    said: list[tuple[float, str]] = []
    silence = Silence("s3://b/m", say=lambda line: said.append((now, line)), clock=lambda: now)
    longest = storage_watch.PROBE_SECONDS + 2 * storage_watch.TIMEOUT_SECONDS
    # It goes away just after it has answered; each look then takes as long as one can.
    silence.note(None)
    for _ in range(12):
        now += longest
        silence.note("answers 503")
    now += longest
    silence.note(None)
    times = [when - 1000.0 for when, _ in said]
    assert times[0] <= 30
    assert all(60 <= after - before <= 60 + longest for before, after in pairwise(times[:-1]))
    assert len(times) == 4
    assert re.fullmatch(r"waiting for s3://b/m, which answers 503, since \d\d:\d\d:\d\d; still trying", said[0][1])
    assert re.fullmatch(r"s3://b/m answers again; it had not since \d\d:\d\d:\d\d", said[-1][1])


def test_a_look_or_two_that_fail_are_not_told() -> None:
    now = 1000.0
    said: list[str] = []
    silence = Silence("s3://b/m", say=said.append, clock=lambda: now)
    for problem in ["answers 503", None, "answers 503", None]:
        now += storage_watch.PROBE_SECONDS
        silence.note(problem)
    assert said == []


@pytest.mark.slow
def test_task_and_scheduler_say_that_s3_is_gone_and_go_on_when_it_is_back(workspace: Workspace, bucket: Bucket) -> None:
    own = Workspace(workspace.folder, variables=bucket.variables())
    told: list[str] = []

    def go(process: object) -> None:
        bucket.served = 0

    def come_back(process: object) -> None:
        told.append("told")
        if len(told) == 2:
            bucket.served = float("inf")
            (own.folder / "mended").touch()

    said = "dlcycle: waiting for s3://bucket/metaflow, which answers 503, since"
    reactions = [("It waits", go), (f"^{said}", come_back), (rf"/act/2 \(pid \d+\)\] {said}", come_back)]
    done = call_and(own, "run", "--how", "pause", reactions=reactions).expect()
    assert "The number is 7" in done.output
    assert "s3://bucket/metaflow answers again" in done.output


@pytest.mark.slow
@ALL
def test_a_run_ends_right_though_s3_refuses_every_third_request(workspace: Workspace, bucket: Bucket) -> None:
    bucket.refused_share = 0.3
    done = call(Workspace(workspace.folder, variables=bucket.variables()), "run").expect()
    assert "The number is 7" in done.output
    assert bucket.refused > 10
    assert "waiting for" not in done.output


@pytest.mark.parametrize("options", ["size=1m", "size=40m,ro"])
def test_a_folder_that_takes_nothing_is_told_before_anything_is_done(mount: Mount, options: str) -> None:
    folder = mount(options)
    with pytest.raises(room.StorageFailure) as raised:
        room.prove_room(str(folder / "store" / ".metaflow"))
    message = str(raised.value)
    assert message.startswith(f"cannot write to {folder}/store/.metaflow: ")
    wanted = (
        "Read-only file system; make it writable" if "ro" in options else "1.0 MB are free, 20 MB or more are needed"
    )
    assert wanted in message
    assert "METAFLOW_DATASTORE_SYSROOT_LOCAL" in message


def test_an_error_behind_another_is_explained_and_one_of_another_kind_is_not(mount: Mount) -> None:
    folder = mount("size=1m")
    try:
        try:
            write_file(folder / "large", bytes(2 * MIB))
        except OSError as full:
            raise ValueError("could not be stored") from full
    except ValueError as failure:
        assert "No space left on device" in str(room.explain_cause(failure))
    assert list(folder.iterdir()) == []
    assert room.explain_cause(FileNotFoundError(2, "No such file", "absent")) is None
    # One that exists, may be written and not be read.
    assert room.explain_cause(PermissionError(13, "Permission denied", str(folder))) is None


@pytest.mark.slow
def test_a_run_that_fills_the_datastore_says_so_and_resume_works_once_there_is_room(
    workspace: Workspace, mount: Mount
) -> None:
    folder = mount("size=30m")
    own = Workspace(workspace.folder, variables={"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder)})
    done = call(own, "run", "--how", "large").expect(code=1)
    assert f"cannot write to {folder}/.metaflow: No space left on device" in done.output
    assert "more are needed; free some" in done.output
    _, _, command = last_lines(done)
    assert not [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size > MIB]
    mount("size=100m")
    again = goes_on(own, command).expect()
    assert "The number is 7" in again.output
    mount("size=100m,ro")
    refused = call(own, "run").expect(code=1)
    assert f"cannot write to {folder}/.metaflow: Read-only file system; make it writable" in refused.output


def test_a_file_that_many_write_is_one_of_theirs_at_any_time(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "schema.toml"
    contents = [bytes([number]) * MIB for number in range(4)]
    write_file(path, contents[0])

    def write(content: bytes) -> None:
        for _ in range(20):
            write_file(path, content)

    with ThreadPoolExecutor(5) as pool:
        writers = [pool.submit(write, content) for content in contents]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in contents
    assert [writer.result() for writer in writers] == [None] * 4
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_runs_at_once_on_one_datastore_keep_what_is_theirs(workspace: Workspace) -> None:
    numbers = [11, 12, 13]
    (workspace.folder / ".metaflow").mkdir()
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda number: call(workspace, "run", "--number", str(number)).expect(), numbers))
    runs = [run.run_id for run in done]
    assert len(set(runs)) == 3
    code = f"from metaflow import Flow, Run; print([Run(f'EndFlow/{{run}}').data.number for run in {runs}])"
    assert workspace.client(code) == str(numbers)
    assert workspace.client(f"{code}; print(len(list(Flow('EndFlow'))))") == f"{numbers}\n3"


@pytest.mark.slow
@ALL
def test_looks_at_data_at_once_write_one_schema_or_the_other(workspace: Workspace) -> None:
    project = "[data]\nsample_rows = {}\nmerge_label_variants = true\n[eda]\ndetect_languages = false\nfolds = 2"
    sizes = [100, 120, 140]
    (workspace.folder / ".metaflow").mkdir()

    def look(rows: int) -> str:
        arguments = ["--write-schema", "schema.toml"]
        return workspace.run(*arguments, project=project.format(rows), flow=EDA_FLOW).expect().run_id

    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(look, sizes))
    code = f"from metaflow import Run; data = [Run(f'EdaFlow/{{run}}').data for run in {runs}]; "
    assert workspace.client(f"{code}print([each.profile['rows'] for each in data])") == str(sizes)
    least = workspace.client(f"{code}print([each.schema['rows_at_least'] for each in data])")
    written = re.search(r"rows_at_least = (\d+)", (workspace.folder / "schema.toml").read_text())
    assert written is not None
    assert int(written[1]) in ast.literal_eval(least)
