"""`python -m dlcycle doctor`: what is wrong is named with its cure, what is well is not, and nothing stays behind."""

import http.server
import importlib.metadata
import json
import pathlib
import socket
import threading
from collections.abc import Iterator

import pytest
import s3_server
from flow_runner import Workspace

from dlcycle.config import Project
from dlcycle.flowkit.doctor import machine
from dlcycle.flowkit.doctor.check import Check, attempt, run_probe

NAMES = [
    "python", "libraries", "user", "metaflow", "datastore", "cards", "code package", "space of datastore",
    "space of TMPDIR", "space of folder", "memory", "gpu",
]  # fmt: skip
KUBERNETES = ["kubernetes package", "api server", "remote datastore", "metadata service", "image", "boto3"]

Checks = dict[str, dict[str, str]]


def doctor(workspace: Workspace, *options: str, code: int | None = None) -> Checks:
    """`python -m dlcycle doctor --json`, by name of check."""
    done = workspace.call("-m", "dlcycle", "doctor", "--json", *options)
    assert code is None or done.code == code, done.output
    return {check["name"]: check for check in json.loads(done.output)}


def files(folder: pathlib.Path) -> set[str]:
    """Every file and folder below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.slow
def test_a_machine_that_is_ready(tmp_path: pathlib.Path) -> None:
    # A datastore that no run has made yet.
    workspace = Workspace(tmp_path, variables={"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path / "later" / "store")})
    workspace.call("-c", "")
    before = files(tmp_path)
    done = workspace.call("-m", "dlcycle", "doctor").expect()
    assert [line[6:].partition(": ")[0] for line in done.output.splitlines()] == NAMES
    assert {line[:4] for line in done.output.splitlines()} <= {"ok  ", "warn"}
    assert "wrote, read back, compared and deleted" in done.output
    assert files(tmp_path) == before


@pytest.mark.slow
def test_what_is_wrong_is_named_with_its_cure(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    project = tmp_path / "large.toml"
    project.write_text("[train]\ngpu = 64\nmemory = 90_000_000\ncpu = 5000\n")
    nobody = dict.fromkeys(("METAFLOW_USER", "USER", "USERNAME", "SUDO_USER"), "root")
    variables = nobody | {"METAFLOW_DATASTORE_SYSROOT_LOCAL": str(tmp_path / "file")}
    found = doctor(Workspace(tmp_path, variables=variables), "--config", str(project), code=1)
    levels = {name: check["level"] for name, check in found.items() if check["level"] != "ok"}
    assert levels == {"user": "bad", "datastore": "bad", "memory": "warn", "gpu": "bad"}
    assert found["user"]["cure"] == "export METAFLOW_USER=you"
    assert "waited for: write: NotADirectoryError" in found["datastore"]["found"]
    assert "train.memory asks for 90,000,000 MB; train.cpu asks for 5000" in found["memory"]["found"]
    assert "train.gpu asks for 64" in found["gpu"]["found"]
    assert all(bool(check["cure"]) == (check["level"] != "ok") for check in found.values())


@pytest.mark.slow
def test_a_setting_that_metaflow_cannot_use_stops_no_other_check(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(tmp_path, variables={"METAFLOW_S3_CLIENT_RETRY_CONFIG": "{", "METAFLOW_PROFILE": ""})
    found = doctor(workspace, code=1)
    assert list(found) == NAMES
    assert "METAFLOW_S3_CLIENT_RETRY_CONFIG" in found["user"]["found"]
    assert {found[name]["level"] for name in ("python", "libraries", "space of TMPDIR", "gpu")} <= {"ok", "warn"}
    other = doctor(Workspace(tmp_path, variables={"METAFLOW_DEFAULT_METADATA": "service"}))
    assert "METAFLOW_SERVICE_URL" in other["metaflow"]["cure"]


@pytest.mark.slow
def test_s3_is_written_read_and_left_as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(handler: s3_server._Requests) -> None:
        handler.server.bucket.objects.pop(handler._key, None)  # type: ignore[attr-defined]
        handler._answer(204)

    monkeypatch.setattr(s3_server._Requests, "do_DELETE", delete, raising=False)
    with s3_server.s3_server() as bucket:
        workspace = Workspace(tmp_path, variables=bucket.variables())
        found = doctor(workspace, code=0)
        assert found["datastore"]["level"] == "ok"
        assert bucket.url in found["datastore"]["found"]
        assert bucket.objects == {}
        put = s3_server._Requests.do_PUT

        def put_other(handler: s3_server._Requests) -> None:
            put(handler)
            handler.server.bucket.objects[handler._key] = b"other bytes"  # type: ignore[attr-defined]

        monkeypatch.setattr(s3_server._Requests, "do_PUT", put_other)
        probe = ("-m", "dlcycle.flowkit.doctor.probe", "store", "s3", "s3://bucket/metaflow", "dlcycle_doctor_test")
        failed = workspace.call(*probe)
        assert failed.code == 1
        assert failed.output.startswith("start\nreach the server\nwrite\nread back\nDataException")
        assert bucket.objects == {}
    assert "waited for: reach the server: EndpointConnectionError" in doctor(workspace, code=1)["datastore"]["found"]


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
def test_a_server_that_never_answers_is_named_in_time(
    tmp_path: pathlib.Path, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.Bucket(silent_server).variables().items():
        monkeypatch.setenv(name, value)
    probed = run_probe("store", "s3", "s3://bucket/metaflow", "dlcycle_doctor", seconds=4, variables={})
    assert (probed.stage, probed.failure, probed.late) == ("reach the server", "no answer within 4 s", True)
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "k", "cluster": {"server": silent_server}}],
                "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    pytest.importorskip("kubernetes")
    probed = run_probe("kubernetes", seconds=4, variables={"KUBECONFIG": str(config)})
    assert (probed.stage, probed.late) == (f"ask {silent_server}", True)


class Answers(http.server.BaseHTTPRequestHandler):
    """Stands for an API server and a metadata service."""

    def do_GET(self) -> None:
        version = dict.fromkeys(
            ("buildDate", "compiler", "gitCommit", "gitTreeState", "goVersion", "major", "minor", "platform"), "x"
        )
        body = json.dumps(version | {"gitVersion": "v1.33.7"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_what_kubernetes_needs(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("kubernetes")
    bare = doctor(Workspace(tmp_path, variables={"KUBECONFIG": "nowhere"}), "--with", "kubernetes", code=1)
    assert list(bare) == NAMES + KUBERNETES
    levels = [bare[name]["level"] for name in KUBERNETES]
    assert levels == ["ok", "bad", "bad", "warn", "warn", "ok"]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "config").write_text(
        f"""
apiVersion: v1
kind: Config
current-context: c
clusters: [{{name: k, cluster: {{server: "{url}"}}}}]
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
users: [{{name: u, user: {{}}}}]
"""
    )
    with s3_server.s3_server() as bucket:
        variables = bucket.variables() | {
            "KUBECONFIG": "config",
            "METAFLOW_DEFAULT_METADATA": "service",
            "METAFLOW_SERVICE_URL": url,
            "METAFLOW_KUBERNETES_CONTAINER_IMAGE": "registry/team/torch:3",
        }
        found = doctor(Workspace(tmp_path, variables=variables), "--with", "kubernetes")
    assert {found[name]["level"] for name in KUBERNETES} == {"ok"}
    assert "v1.33.7" in found["api server"]["found"]
    assert "METAFLOW_SKIP_INSTALL_DEPENDENCIES" in found["image"]["found"]
    server.shutdown()
    server.server_close()


def test_versions_out_of_bounds_and_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.check_libraries().level == "ok"
    true_version = importlib.metadata.version

    def version(name: str) -> str:
        if name == "captum":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.9.1" if name == "pandas" else true_version(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    check = machine.check_libraries()
    assert check.level == "bad"
    assert check.found == "pandas is 2.9.1, needs >=3; captum is missing"


@pytest.mark.parametrize(("free", "level"), [(6e9, "ok"), (4.9e9, "warn"), (0.49e9, "bad")])
def test_little_room_is_told_with_its_place(
    free: float, level: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage if place == tmp_path else None)
    check = machine.check_space("space of TMPDIR", str(tmp_path / "not" / "there"))
    assert check.level == level
    assert str(tmp_path / "not" / "there") in check.found
    assert ("TMPDIR" in check.cure) == (level != "ok")


def test_a_gpu_is_missed_only_where_one_is_asked_for() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert machine.check_gpu(None).level in ("ok", "warn")
    asked = machine.check_gpu(Project.model_validate({"train": {"gpu": 1}}))
    assert asked.level == "bad"
    assert "train.gpu = 0" in asked.cure


def test_a_check_that_fails_itself_is_bad() -> None:
    def broken() -> Check:
        raise OSError("no such\nthing")

    check = attempt("space", broken)
    assert (check.name, check.level) == ("space", "bad")
    assert check.found == "the check stopped: OSError: no such"
    assert attempt("space", lambda: Check("space", "ok", "room")).level == "ok"


@pytest.mark.slow
def test_a_project_file_that_is_wrong_is_a_message(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "wrong.toml").write_text("[train]\ngpus = 1\n")
    assert "train.gpus" in workspace.call("-m", "dlcycle", "doctor", "--config", "wrong.toml").expect(code=2).output
    assert "--config" in workspace.call("-m", "dlcycle", "doctor", "--config", "absent.toml").expect(code=2).output
