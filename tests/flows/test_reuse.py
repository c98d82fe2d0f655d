"""A project elsewhere builds on the flows, and all of it travels to machines that have no dlcycle."""

import pathlib
import re

import pytest
from flow_runner import FLOW, Workspace, copy_checkout, install, make_interpreter, unpack

SUBCLASS = """
from metaflow import Config
from dlcycle.flowkit.base import read_project
from dlcycle.flows.train_flow import TrainFlow

class ShopFlow(TrainFlow):
    project = Config("project", default="shop.toml", parser=read_project)

    def build_model(self, spec):
        from shop_network import Network
        return Network(spec)

if __name__ == "__main__":
    ShopFlow()
"""

EDA_SUBCLASS = """
from metaflow import Config
from dlcycle.flowkit.base import read_project
from dlcycle.flows.eda_flow import EdaFlow

class ShopEdaFlow(EdaFlow):
    project = Config("project", default="shop.toml", parser=read_project)

    def probe(self, dataset, settings):
        return {"learning_curve": {"reason": f"the shop has no more than {len(dataset.frame)} rows"}}

if __name__ == "__main__":
    ShopEdaFlow()
"""

EXPLAIN_SUBCLASS = """
from metaflow import Config
from dlcycle.flowkit.base import read_project
from dlcycle.flows.explain_flow import ExplainFlow

class ShopExplainFlow(ExplainFlow):
    project = Config("project", default="shop.toml", parser=read_project)

    def trained_by(self):
        return "ShopFlow"

    def build_model(self, spec):
        from shop_network import Network
        return Network(spec)

if __name__ == "__main__":
    ShopExplainFlow()
"""

NETWORK = """
import torch

class Network(torch.nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.embedding = torch.nn.EmbeddingBag(spec.tokens, 8, padding_idx=0)
        self.head = torch.nn.Linear(8, spec.classes)

    def forward(self, tokens, lengths):
        return self.head(self.embedding(tokens))
"""

PROJECT = """
[project]
name = "shop"
[data]
sample_rows = 200
merge_label_variants = true
[train]
epochs = 1
[eda]
detect_languages = false
[explain]
method = "occlusion"
overall_rows = 20
check_rows = 10
swap_rows = 10
detect_languages = false
"""

SHIPPED = [
    "dlcycle/__init__.py",
    "dlcycle/config/train.py",
    "dlcycle/data/read.py",
    "dlcycle/data/survey.py",
    "dlcycle/flowkit/base.py",
    "dlcycle/flowkit/eda.py",
    "dlcycle/flowkit/explain.py",
    "dlcycle/flowkit/gang.py",
    "dlcycle/flows/eda_flow.py",
    "dlcycle/flows/explain_flow.py",
    "dlcycle/flows/gang_flow.py",
    "dlcycle/flows/train_flow.py",
    "dlcycle/insight/advice/answer.py",
    "dlcycle/insight/attribution/attribute.py",
    "dlcycle/insight/decisions/policies.py",
    "dlcycle/insight/evaluate.py",
    "dlcycle/model/probe.py",
    "dlcycle/model/text.py",
    "dlcycle/plan/criteria.py",
    "dlcycle/train/fit.py",
    "dlcycle/train/gang.py",
    "metaflow_extensions/dlcycle/plugins/cards/dlcycle_cards/__init__.py",
    "metaflow_extensions/dlcycle/plugins/cards/dlcycle_cards/eda.py",
    "metaflow_extensions/dlcycle/plugins/cards/dlcycle_cards/explain.py",
    "metaflow_extensions/dlcycle/plugins/cards/dlcycle_cards/page.py",
    "metaflow_extensions/dlcycle/plugins/cards/dlcycle_cards/style.css",
]


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with every dependency and no dlcycle."""
    return make_interpreter(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def regular_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with dlcycle installed by `pip install .`."""
    python = make_interpreter(tmp_path_factory.mktemp("regular"))
    install(python, str(copy_checkout(tmp_path_factory.mktemp("checkout"))))
    return python


@pytest.fixture(scope="module", params=["editable", "regular"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in its own folder, with dlcycle installed in one of two ways."""
    folder = tmp_path_factory.mktemp("project")
    files = {"shop_flow.py": SUBCLASS, "shop_eda_flow.py": EDA_SUBCLASS, "shop_explain_flow.py": EXPLAIN_SUBCLASS}
    for name, content in (files | {"shop_network.py": NETWORK, "shop.toml": PROJECT}).items():
        (folder / name).write_text(content)
    if request.param == "editable":
        return Workspace(folder)
    return Workspace(folder, python=request.getfixturevalue("regular_python"))


@pytest.fixture(scope="module")
def trained(project: Workspace) -> str:
    """The run of a subclass in that project."""
    return project.call("shop_flow.py", "run").expect().run_id


def test_the_bare_interpreter_has_no_dlcycle(bare_python: str, tmp_path: pathlib.Path) -> None:
    done = Workspace(tmp_path, python=bare_python).call("-c", "import metaflow, torch, dlcycle")
    assert "No module named 'dlcycle'" in done.output


INSTALLED = pytest.mark.parametrize("project", ["regular"], indirect=True)
"""For runs, which the other tests of flows do with an editable installation."""


@pytest.mark.slow
@INSTALLED
def test_a_subclass_runs_with_its_own_project_and_network(project: Workspace, trained: str) -> None:
    code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("ShopFlow/{trained}")
model, lineage = run.data.model, run.data.lineage
print(model["description"]["architecture"], lineage["settings"]["project"]["name"], "project:shop" in run.system_tags)
print(len(get_cards(run["evaluate"].task, type="dlcycle_train")[0].get()) > 50_000)
"""
    assert project.client(code).splitlines() == ["custom shop True", "True"]


@pytest.mark.slow
@INSTALLED
def test_a_subclass_explains_a_network_of_its_own_and_names_the_method_that_can(
    project: Workspace, trained: str
) -> None:
    done = project.call("shop_explain_flow.py", "run").expect()
    code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("ShopExplainFlow/{done.run_id}")
faithfulness = run.data.faithfulness
print(run.data.explained["run"], run.data.local_attributions["method"], faithfulness["level"] in ("careful", "bad"))
print([line["method"] for line in faithfulness["agreement"] if line["rows"]])
print(run.data.answer["badge"] in get_cards(run["judge"].task, type="dlcycle_explain")[0].get())
"""
    assert project.client(code).splitlines() == [f"ShopFlow/{trained} occlusion True", "['shapley']", "True"]
    gradients = PROJECT.replace('method = "occlusion"', "")
    refused = project.run(project=gradients, flow=project.folder / "shop_explain_flow.py").expect(code=1)
    assert 'explain.method = "occlusion"' in refused.output


@pytest.mark.slow
@INSTALLED
def test_a_subclass_looks_at_data_with_its_own_project_and_hook(project: Workspace) -> None:
    done = project.call("shop_eda_flow.py", "run").expect()
    code = f"""
from metaflow import Run, namespace
from metaflow.cards import get_cards
namespace(None)
run = Run("ShopEdaFlow/{done.run_id}")
rows = run.data.profile["rows"] - run.data.removed["total"]
print(run.data.quality["evidence"]["learning_curve"] == {{"reason": f"the shop has no more than {{rows}} rows"}})
print(run.data.lineage["settings"]["project"]["name"], "project:shop" in run.system_tags)
print(f"the shop has no more than {{rows}} rows" in get_cards(run["judge"].task, type="dlcycle_eda")[0].get())
"""
    assert project.client(code).splitlines() == ["True", "shop True", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["shipped", "subclass"])
def test_the_code_package_runs_where_dlcycle_is_not_installed(
    project: Workspace, bare_python: str, tmp_path: pathlib.Path, flow: str
) -> None:
    shipped = project.python != Workspace(tmp_path).python
    path = "shop_flow.py" if flow == "subclass" else "-m dlcycle.flows.train_flow" if shipped else str(FLOW)
    archive = tmp_path / "code.tgz"
    project.call(*path.split(), "--no-pylint", "package", "save", str(archive)).expect()
    pod = unpack(archive.read_bytes(), tmp_path / "pod")
    missing = [name for name in SHIPPED if not (pod / ".mf_code" / name).is_file()]
    assert not missing

    main = "shop_flow.py" if flow == "subclass" else "train_flow.py"
    variables = {"PYTHONPATH": str(pod / ".mf_code"), "METAFLOW_EXTRACTED_ROOT": str(pod)}
    remote = Workspace(tmp_path, python=bare_python, variables=variables)
    where = remote.call(
        "-c", "import dlcycle, metaflow.plugins as p; print(dlcycle.__file__, [c.type for c in p.CARDS])"
    )
    assert str(pod) in where.output
    assert {"dlcycle_train", "dlcycle_eda", "dlcycle_explain"} <= set(re.findall(r"\w+", where.output))
    # What a pod does: take the Config's value from the package, then run one step of a run that was begun elsewhere.
    config = ["--config-value", "project", "kv.project"]
    remote.call(main, "--quiet", *config, "init", "--run-id", "7", "--task-id", "1", cwd=pod).expect()
    step = ["step", "start", "--run-id", "7", "--task-id", "2", "--input-paths", "7/_parameters/1"]
    remote.call(main, "--quiet", *config, *step, cwd=pod).expect()
    stored = remote.call(main, "--quiet", *config, "dump", "7/start/2", "--private", cwd=pod).expect()
    assert "data_fingerprint" in stored.output
