"""The README's commands, project file and code run as they are written."""

import pathlib
import re
import subprocess
import sys

import pytest
from flow_runner import ROOT, Workspace
from readme import CLUSTER, GANG, README, blocks, commands, section

from dlcycle.config import Project

QUICK = """
[eda]
detect_languages = false
[explain]
detect_languages = false
overall_rows = 20
check_rows = 10
swap_rows = 10
"""


def rows(section_title: str) -> list[list[str]]:
    """What stands in backticks in the first cell of each row of a section's table."""
    cells = re.findall(r"^\| (`.*?) \|", section(section_title), flags=re.MULTILINE)
    return [re.findall(r"`(.*?)`", cell) for cell in cells]


def tickets(*queues: str) -> str:
    """Rows for the README's project file."""
    lines = [
        f'"{queue} {i}","the {queue} number {i} fails when used {i * 7} times",{queue}'
        for i in range(40)
        for queue in queues
    ]
    return "\n".join(["subject,body,queue", *lines])


PROJECT = f"{blocks('toml')[0]}[plan.costs]\nerror = 1.0\n[train]\nepochs = 1\n{QUICK}"
FIRST = commands(README.split("\n## ")[0])
LOOK = commands(section("Look at your data"))
OTHERS = [command for command in commands()[len(FIRST) + len(LOOK) :] if command not in [GANG, *CLUSTER]]


@pytest.fixture
def workspace(tmp_path: pathlib.Path) -> Workspace:
    """The folder of a user who has written the README's project file."""
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    (tmp_path / "tickets.toml").write_text(PROJECT)
    (tmp_path / "tickets.csv").write_text(tickets("printer", "phone"))
    (tmp_path / "questions.csv").write_text("subject,body\npaper jam,the printer is stuck\n")
    return Workspace(tmp_path)


def obey(workspace: Workspace, commands: list[str]) -> dict[str, str]:
    """Call commands in their order, each with the run before it where it names one, on less data or for less long.

    Returns the last run of each flow, by the path of the flow.
    """
    latest: dict[str, str] = {}
    for command in commands:
        flow = command.split()[1]
        command = re.sub(r"(Eda|Train)Flow/RUN_ID", lambda found: latest[f"flows/{found[1].lower()}_flow.py"], command)
        arguments = command.replace("RUN_ID", latest.get(flow, "").partition("/")[2]).split()[1:]
        if arguments[1:] == ["run"]:
            small = ["--config-value", "project", f"[data]\nsample_rows = 300\nmerge_label_variants = true\n{QUICK}"]
            arguments = [
                flow,
                *([] if "train" in flow else small),
                "run",
                *(["--epochs", "1"] if "train" in flow else []),
            ]
        done = workspace.call(*arguments).expect()
        if "run-id" in done.output:
            name = flow.removeprefix("flows/").removesuffix("_flow.py").title()
            latest[flow] = f"{name}Flow/{done.run_id}"
    return latest


def make_demo(workspace: Workspace) -> list[str]:
    """Call `make demo`, whose runs are kept in the workspace, and return its last lines."""
    if not (ROOT / ".venv").is_dir():
        pytest.skip("make has set up no .venv in this checkout")
    # The installation that runs these tests stands for the one that make would check.
    binaries = pathlib.Path(sys.executable).parent
    command = ["make", "--no-print-directory", "--old-file", ".venv/.ready", f"BIN={binaries}", "demo"]
    # Under `make test`, make hands its own flags and level down to every make below it.
    environment = {k: v for k, v in workspace.environment().items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    # It makes one of the first commands, which need not be called once more.
    assert f"{binaries}/{FIRST[1]} --run-id-file" in done.stdout
    return done.stdout.rstrip().splitlines()[-8:]


@pytest.mark.slow
def test_make_demo_and_the_first_commands_work_and_their_results_are_read(workspace: Workspace) -> None:
    end = make_demo(workspace)
    assert "deep learning" in " ".join(end).lower() or "no measurable gain" in " ".join(end).lower()
    assert any(line.startswith("  baseline") and re.search(r"0\.\d{4} \[0\.\d{4}, [01]\.\d{4}\]", line) for line in end)
    assert "card view" in end[-2]
    trained = re.search(r"resume evaluate --origin-run-id (\d+)", end[-1])
    assert trained

    latest = obey(workspace, [FIRST[0], FIRST[2]])
    eda, explained = (latest[f"flows/{name}_flow.py"].partition("/")[2] for name in ("eda", "explain"))
    runs = [trained[1], eda, explained]
    code = "".join(block.replace("RUN_ID", run) for block, run in zip(blocks("python")[:3], runs, strict=True))
    texts = re.split(r"Of (?:Train|Eda|Explain)Flow:", section("Read results").split("Metaflow itself")[0])[1:]
    names = [re.findall(r"`(\w+)`", text) for text in texts]
    assert {"metrics", "model"} <= set(names[0])
    assert {"quality", "findings", "schema"} <= set(names[1])
    assert {"faithfulness", "answer", "work_list"} <= set(names[2])
    code += f"\nprint(model.labels, [name for name in {names[0]} if name not in run.data])"
    code += f"\nprint([name for name in {names[1]} if name not in data])"
    code += f"\nprint([name for name in {names[2]} if name not in found])"
    found = workspace.call("-c", "from metaflow import namespace; namespace(None)\n" + code).expect()
    assert "Household" in found.output
    assert "Fit to learn from" in found.output
    assert "The model decides" in found.output
    assert found.output.splitlines()[-3].endswith("[]")
    assert found.output.splitlines()[-2:] == ["[]", "[]"]


@pytest.mark.slow
def test_the_commands_to_look_at_data_work(workspace: Workspace) -> None:
    obey(workspace, LOOK)
    # The schema goes back into the project file as the README says, and speaks up at what it does not know.
    line = next(text for text in re.findall(r"`(.*?)`", section("Look at your data")) if text.startswith("schema ="))
    (workspace.folder / "tickets.toml").write_text(f"{line}\n{PROJECT}")
    (workspace.folder / "tickets.csv").write_text(tickets("printer", "phone", "router"))
    again = workspace.call("flows/eda_flow.py", "--config", "project", "tickets.toml", "run").expect()
    code = f"""
from metaflow import Run, namespace
namespace(None)
print([finding["message"] for finding in Run("EdaFlow/{again.run_id}").data.findings if finding["name"] == "new_value"])
"""
    assert "router" in workspace.client(code)


@pytest.mark.slow
def test_the_other_commands_work_in_their_order(workspace: Workspace) -> None:
    obey(workspace, OTHERS)
    assert (workspace.folder / "work_list.csv").read_text(encoding="utf-8-sig").startswith("row,line,label,")


def test_every_command_is_called_here_or_where_its_result_is_looked_at() -> None:
    assert (len(FIRST), len(LOOK), len(OTHERS), len(CLUSTER)) == (3, 4, 9, 5)


def test_the_file_map_names_files_that_exist() -> None:
    named = rows("Where things are")
    assert len(named) >= 10
    for paths in named:
        folder = ROOT
        for path in paths:
            folder = ROOT / path if "/" in path else folder.parent / path
            assert folder.exists(), path


def test_the_keys_that_are_named_exist() -> None:
    known = Project().model_dump()
    named = rows("Look at your data")
    assert len(named) >= 6
    for keys in named:
        parts, _, key = keys[0].strip("[]").partition(".")
        assert parts in known
        for name in [key, *keys[1:]] if key else []:
            assert name in known[parts], name
    assert set(re.findall(r"`(\w+)`", section("Look at your data").split("| `[eda]` |")[1].split("|")[0])) <= set(
        known["eda"]
    )


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"\bmake (\w+)", README)) <= targets


def test_pictures_exist_and_nothing_is_left_to_fill_in() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(pictures) >= 3
    assert all((ROOT / picture).is_file() for picture in pictures)
    assert not re.findall(
        r"\b(?!METAFLOW_|RUN_|PATH_)[A-Z]+_[A-Z_]+\b", re.sub(r"`.*?`|```.*?```", "", README, flags=re.DOTALL)
    )
