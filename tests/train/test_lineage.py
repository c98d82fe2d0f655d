import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.train import lineage
from dlcycle.train.lineage import ResourceMeter, cost, git_state, machine, redact_url


def test_the_machine_is_plain_data() -> None:
    found = machine()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["cores"] >= 1
    assert found["cpu"]
    assert found["memory_gb"] is None or found["memory_gb"] > 0.1


def test_the_meter_tells_work_from_sleep() -> None:
    with ResourceMeter() as sleeping:
        time.sleep(0.2)
    with ResourceMeter() as working:
        begun = time.process_time()
        while time.process_time() - begun < 0.2:
            sum(range(1000))
    assert sleeping.usage["seconds"] >= 0.2
    assert sleeping.usage["cpu_seconds"] < 0.1
    assert working.usage["cpu_seconds"] >= 0.2
    assert working.usage["cpu_cores"] > 3 * sleeping.usage["cpu_cores"]
    assert json.loads(json.dumps(working.usage, allow_nan=False)) == working.usage


def test_the_meter_sees_memory_and_writes_after_an_error() -> None:
    code = (
        "import numpy as np; from dlcycle.train.lineage import ResourceMeter\n"
        "with ResourceMeter() as a: pass\n"
        "try:\n"
        "    with ResourceMeter() as b:\n"
        "        np.ones(25_000_000); raise KeyError\n"
        "except KeyError: print(b.usage['peak_memory_mb'] - a.usage['peak_memory_mb'])\n"
    )
    grown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 150 < float(grown) < 300  # 200 MB of ones


def test_the_meter_reads_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        resets: list[int] = []  # noqa: RUF012

        def is_available(self) -> bool:
            return True

        def is_initialized(self) -> bool:
            return True

        def device_count(self) -> int:
            return 2

        def reset_peak_memory_stats(self, index: int) -> None:
            self.resets.append(index)

        def max_memory_reserved(self, index: int) -> int:
            return (index + 1) * 1024 * 1024

    monkeypatch.setattr(lineage, "_cuda", lambda: Cuda())
    monkeypatch.setattr(lineage, "_gpu_utilisation", lambda: 0.5)
    with ResourceMeter() as meter:
        time.sleep(0.05)
    assert meter.usage["gpu_memory_mb"] == 3.0
    assert meter.usage["gpu_utilisation"] == 0.5
    assert Cuda.resets == [0, 1]


def test_without_a_gpu_its_figures_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage, "_cuda", lambda: None)
    with ResourceMeter() as meter:
        np.ones(10).sum()
    assert meter.usage["gpu_memory_mb"] is None
    assert meter.usage["gpu_utilisation"] is None


def git(folder: pathlib.Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    git(tmp_path, "init", "-b", "trunk")
    (tmp_path / "flow.py").write_text("x = 1\n")
    git(tmp_path, "add", "flow.py")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_git_state_of_a_clean_and_a_changed_repository(repository: pathlib.Path) -> None:
    git(repository, "remote", "add", "origin", "https://me:s3cret@example.org/team/code.git")
    clean = git_state(repository / "flow.py")
    assert len(clean.pop("commit")) == 40
    assert clean == {
        "branch": "trunk",
        "dirty": False,
        "untracked": 0,
        "repository": "https://example.org/team/code.git",
    }
    (repository / "new.py").write_text("")
    assert git_state(repository)["untracked"] == 1
    assert git_state(repository)["dirty"] is False
    (repository / "flow.py").write_text("x = 2\n")
    assert git_state(repository)["dirty"] is True
    git(repository, "checkout", "--detach")
    assert git_state(repository)["branch"] is None


def test_no_commit_no_repository_no_git_and_a_git_that_hangs(
    tmp_path: pathlib.Path, repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init")
    assert git_state(empty) == {"commit": None, "reason": "the repository has no commit yet"}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert git_state(tmp_path / "plain") == {"commit": None, "reason": "the code is not in a git repository"}

    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 10)

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", hang)
        assert "did not answer" in git_state(repository)["reason"]
    monkeypatch.setenv("PATH", str(tmp_path / "plain"))
    assert "git is not installed" in git_state(repository)["reason"]


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=12))
def test_a_password_never_stays_in_an_address(secret: str) -> None:
    assert redact_url(f"https://me:{secret}@host.example/a/b.git") == "https://host.example/a/b.git"


@pytest.mark.parametrize("url", ["git@host:team/code.git", "/srv/code.git", "ssh://host/code.git"])
def test_addresses_without_a_secret_stay(url: str) -> None:
    assert redact_url(url) == url


def test_cost() -> None:
    assert cost(7200, 0.3) == {"amount": 0.6, "price_per_hour": 0.3}
    assert cost(7200, None)["amount"] is None
    assert cost(7200, None)["reason"]
