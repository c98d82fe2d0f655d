"""The README's commands, project file and code run as they are written."""

import pathlib
import re
import subprocess
import sys

import pytest
from flow_runner import ROOT, Finished, Workspace

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Fenced blocks of the README in a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    """Every `python` command of the README, comments taken off."""
    lines = [line.split("  #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("python ")]


@pytest.mark.slow
def test_the_commands_work_in_their_order(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(tmp_path)
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    (tmp_path / "tickets.toml").write_text(blocks("toml")[0] + "[plan.costs]\nerror = 1.0\n[train]\nepochs = 1\n")
    rows = [
        f'"{kind} {i}","the {kind} number {i} fails when used {i * 7} times",{kind}\n'
        for i in range(40)
        for kind in ("printer", "phone")
    ]
    (tmp_path / "tickets.csv").write_text("subject,body,queue\n" + "".join(rows))
    run_id = ""
    for command in commands():
        arguments = command.replace("RUN_ID", run_id).split()[1:]
        extra = ["--epochs", "1"] if arguments[-1] == "run" else []
        done: Finished = workspace.call(*arguments, *extra).expect()
        run_id = done.run_id if "run-id" in done.output else run_id
    assert len(commands()) == 5


@pytest.mark.slow
def test_make_demo_ends_with_the_result_and_the_commands_to_go_on(tmp_path: pathlib.Path) -> None:
    if not (ROOT / ".venv").is_dir():
        pytest.skip("make has set up no .venv in this checkout")
    # The installation that runs these tests stands for the one that make would check.
    binaries = pathlib.Path(sys.executable).parent
    command = ["make", "--no-print-directory", "--old-file", ".venv/.ready", f"BIN={binaries}", "demo"]
    # Under `make test`, make hands its own flags and level down to every make below it.
    environment = {k: v for k, v in Workspace(tmp_path).environment().items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    end = done.stdout.rstrip().splitlines()[-8:]
    assert "deep learning" in " ".join(end).lower() or "no measurable gain" in " ".join(end).lower()
    assert any(line.startswith("  baseline") and re.search(r"0\.\d{4} \[0\.\d{4}, [01]\.\d{4}\]", line) for line in end)
    assert "card view" in end[-2]
    assert "resume evaluate --origin-run-id" in end[-1]


@pytest.mark.slow
def test_reading_results(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(tmp_path)
    done = workspace.run("--epochs", "1").expect()
    code = blocks("python")[0].replace("RUN_ID", done.run_id)
    found = workspace.call(
        "-c", "from metaflow import namespace; namespace(None)\n" + code + "\nprint(model.labels)"
    ).expect()
    assert "Household" in found.output


def test_the_file_map_names_files_that_exist() -> None:
    named = re.findall(r"^\| (`.*?) \|", README, flags=re.MULTILINE)
    assert len(named) >= 10
    for cell in named:
        folder = ROOT
        for path in re.findall(r"`(.*?)`", cell):
            folder = ROOT / path if "/" in path else folder.parent / path
            assert folder.exists(), path


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", README)) <= targets
