"""Imports point one way: flows, flowkit and cards at the top, then the stages in their order, then the shared base."""

import ast
import pathlib
import subprocess
import sys

import pytest

STAGES = ["plan", "data", "model", "train", "insight", "deploy", "govern"]
BASE = {"dlcycle.errors", "dlcycle.config", "dlcycle._version"}
HEAVY = {"torch", "pandas", "numpy", "pytorch_lightning", "captum", "matplotlib", "seaborn", "sklearn", "scipy"}
HEAVY |= {"pyarrow", "lingua", "fairlearn", "cleanlab", "datasketches", "datasketch", "pydantic"}


def imports(tree: ast.AST) -> set[str]:
    """Absolute names of all modules that the code imports, in functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if node.module == "dlcycle" else {node.module}
    return found


def violations(name: str, imported: set[str]) -> set[str]:
    """The imports that module `name`, such as dlcycle.data.clean, must not make."""
    own = {module for module in imported if module.split(".")[0] in ("dlcycle", "metaflow", "metaflow_extensions")}
    parts = name.split(".")
    if parts[0] == "metaflow_extensions":
        return {module for module in own if not module.startswith("metaflow.")}
    if parts[1] == "__main__":
        return {module for module in own - BASE if not module.startswith("dlcycle.flowkit")}
    if parts[1] in ("flows", "flowkit"):
        return {module for module in own if parts[1] == "flowkit" and module.startswith("dlcycle.flows.")}
    allowed = set(BASE)
    if parts[1] == "config":
        allowed |= {module for module in own if module.startswith("dlcycle.config.")}
    if parts[1] in STAGES:
        earlier = STAGES[: STAGES.index(parts[1]) + 1]
        allowed |= {module for module in own if module.split(".")[1:2] and module.split(".")[1] in earlier}
    return own - allowed


def module_name(path: pathlib.Path, root: pathlib.Path) -> str:
    """Where an installation puts a file of the checkout."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    parts = ["dlcycle", *parts] if parts[0] == "flows" else parts[1:] if parts[0] == "cards" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Every module of the project."""
    files = [path for folder in ("dlcycle", "flows", "cards") for path in (root / folder).rglob("*.py")]
    return {module_name(path, root): path for path in files}


def test_no_module_imports_against_the_direction(root: pathlib.Path) -> None:
    wrong = {}
    for name, path in modules(root).items():
        if len(name.split(".")) > 1 and (found := violations(name, imports(ast.parse(path.read_text())))):
            wrong[name] = sorted(found)
    assert not wrong


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("dlcycle.data.clean", "dlcycle.model.text"),
        ("dlcycle.train.fit", "metaflow"),
        ("dlcycle.plan.criteria", "dlcycle.flowkit.base"),
        ("dlcycle.config", "dlcycle.data.read"),
        ("dlcycle.__main__", "metaflow"),
        ("metaflow_extensions.dlcycle.plugins.cards.dlcycle_cards.page", "dlcycle.errors"),
    ],
)
def test_the_check_sees_a_violation(name: str, imported: str) -> None:
    assert violations(name, {imported}) == {imported}


def test_modules_that_metaflow_loads_in_every_process_are_light(root: pathlib.Path) -> None:
    """Metaflow imports flows and cards in the scheduler, in every task and in every card render."""
    for name, path in modules(root).items():
        if name.startswith(("dlcycle.flows", "dlcycle.flowkit", "metaflow_extensions")) or name in (
            "dlcycle",
            "dlcycle.__main__",
        ):
            tree = ast.parse(path.read_text())
            at_top = {
                m.split(".")[0]
                for node in tree.body
                for m in imports(node)
                if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)
            }
            assert not at_top & HEAVY, name


@pytest.mark.parametrize("flow", ["train_flow", "eda_flow", "explain_flow"])
def test_importing_a_flow_loads_nothing_heavy(flow: str) -> None:
    code = f"import sys, dlcycle.flows.{flow}; print(sorted({HEAVY!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(("flow", "step"), [("eda", "judge"), ("explain", "judge")])
def test_a_step_that_only_judges_waits_for_no_torch(root: pathlib.Path, flow: str, step: str) -> None:
    tree = ast.parse((root / f"flows/{flow}_flow.py").read_text())
    [body] = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == step]
    lines = [ast.unparse(node) for node in ast.walk(body) if isinstance(node, ast.Import | ast.ImportFrom)]
    code = "\n".join(["import sys", *lines, "print(sorted({'torch', 'captum', 'sklearn'} & set(sys.modules)))"])
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
