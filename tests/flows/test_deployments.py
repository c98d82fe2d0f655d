"""What Argo Workflows and Airflow are given: every flow compiled for both, against a stand-in of S3 and no cluster."""

import ast
import io
import json
import pathlib
import pickle
import re
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from flow_runner import EDA_FLOW, EXPLAIN_FLOW, FLOW, ROOT, Workspace, unpack
from readme import CLUSTER
from s3_server import Bucket, s3_server

from dlcycle.errors import ConfigError
from dlcycle.project_file import parse_project

UNSCHEDULED = """
[project]
name = "small"
[data]
sample_rows = 200
merge_label_variants = true
[eda]
cpu = 3
memory = 5000
retries = 2
time_limit = 7
detect_languages = false
[train]
epochs = 1
cpu = 5
memory = 6000
retries = 3
time_limit = 11
[explain]
cpu = 4
memory = 7000
retries = 0
time_limit = 13
"""
PROJECT = f"""{UNSCHEDULED.replace("epochs = 1", "epochs = 1" + chr(10) + "gpu = 1")}
[deploy]
chain = ["EdaFlow", "TrainFlow", "ExplainFlow"]
[deploy.schedule]
EdaFlow = "30 3 * * 1"
"""
GANG_FLOW = FLOW.with_name("gang_flow.py")
FLOWS = {"EdaFlow": EDA_FLOW, "TrainFlow": FLOW, "ExplainFlow": EXPLAIN_FLOW}
DAYS = 5 * 24 * 3600
"""Seconds that Metaflow gives a step without @timeout."""
STEPS = {
    ("EdaFlow", "survey"): ("3.0", "5000.0M", None, 2, 420),
    ("EdaFlow", "version"): ("3.0", "5000.0M", None, 2, 420),
    ("EdaFlow", "judge"): ("1", "4096M", None, 0, DAYS),
    ("TrainFlow", "train"): ("5.0", "6000.0M", "1", 3, 660),
    ("TrainFlow", "evaluate"): ("1", "4096M", None, 0, DAYS),
    ("ExplainFlow", "attribute"): ("4.0", "7000.0M", None, 0, 780),
    ("ExplainFlow", "inspect"): ("4.0", "7000.0M", None, 0, 780),
    ("ExplainFlow", "stress"): ("4.0", "7000.0M", None, 0, 780),
}
"""By flow and step: CPUs, memory, GPUs, retries and seconds that the project above asks for."""
EVENTS = {
    f"METAFLOW_ARGO_EVENTS_{name}": "http://127.0.0.1:9/event"
    for name in ("EVENT", "EVENT_BUS", "EVENT_SOURCE", "SERVICE_ACCOUNT", "WEBHOOK_URL")
}

SUBCLASS = """
from metaflow import Config, trigger_on_finish
from dlcycle.flowkit.base import read_project
from dlcycle.flows.{module} import {flow}

{decorator}
class Shop{flow}({flow}):
    project = Config("project", default_value={project!r}, parser=read_project)

if __name__ == "__main__":
    Shop{flow}()
"""


def write_subclass(folder: pathlib.Path, flow: str, *, project: str, decorator: str = "") -> pathlib.Path:
    """A flow of another project that builds on one of ours."""
    path = folder / f"shop_{FLOWS[flow].name}"
    path.write_text(SUBCLASS.format(module=FLOWS[flow].stem, flow=flow, project=project, decorator=decorator))
    return path


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    with s3_server() as served:
        yield served


class Deployer:
    """Compiles flows for the two schedulers, each project once."""

    def __init__(self, folder: pathlib.Path, bucket: Bucket) -> None:
        self.bucket = bucket
        self.workspace = Workspace(folder, variables=bucket.variables() | EVENTS)
        self.known: dict[tuple[str, ...], dict[str, Any]] = {}
        self.said: dict[tuple[str, str], str] = {}

    def call(self, flow: pathlib.Path, project: str, *arguments: str) -> str:
        config = ["--config-value", "project", project] if project else []
        return self.workspace.call(flow, "--no-pylint", *config, "--branch", "b1", *arguments).expect().output

    def argo(self, flow: pathlib.Path, project: str) -> dict[str, Any]:
        """The WorkflowTemplate of a flow."""
        if (key := ("argo", flow.name, project)) not in self.known:
            output = self.call(flow, project, "argo-workflows", "create", "--only-json")
            self.known[key] = json.JSONDecoder().raw_decode(output[output.index("{") :])[0]
        return self.known[key]

    def airflow(self, flow: pathlib.Path, project: str) -> dict[str, Any]:
        """What the DAG file of a flow holds. Without Airflow it can be compiled, but not run."""
        if (key := ("airflow", flow.name, project)) not in self.known:
            path = self.workspace.folder / f"{flow.stem}_dag.py"
            self.said[flow.name, project] = self.call(flow, project, "airflow", "create", str(path))
            tree = ast.parse(path.read_text())
            compile(tree, path, "exec")
            assignment = next(node for node in tree.body if isinstance(node, ast.Assign))
            assert isinstance(assignment.targets[0], ast.Name)
            assert assignment.targets[0].id == "CONFIG"
            self.known[key] = ast.literal_eval(assignment.value)
        return self.known[key]

    def package(self, task: dict[str, Any]) -> bytes:
        """The code package of a task."""
        return self.bucket.objects[variables(task)["METAFLOW_CODE_URL"].split("/", 3)[3]]


@pytest.fixture(scope="session")
def deployer(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket) -> Deployer:
    pytest.importorskip("kubernetes", reason="deploying needs the extra kubernetes")
    return Deployer(tmp_path_factory.mktemp("deployments"), bucket)


@pytest.mark.slow
def test_the_commands_of_the_readme_deploy(deployer: Deployer) -> None:
    workspace = deployer.workspace
    (workspace.folder / "tickets.toml").write_text(UNSCHEDULED)
    (workspace.folder / "flows").symlink_to(ROOT / "flows")
    argo, airflow = (command.split()[1:] for command in CLUSTER[3:])
    assert '"kind": "WorkflowTemplate"' in workspace.call(*argo, "--only-json").expect().output
    workspace.call(*airflow).expect()
    assert "TrainFlow" in (workspace.folder / "train_dag.py").read_text()


def variables(step: dict[str, Any]) -> dict[str, str]:
    """Environment variables of a step of either scheduler."""
    found = step["container"]["env"] if "container" in step else step["operator_args"]["env_vars"]
    return {variable["name"]: variable["value"] for variable in found}


@pytest.mark.parametrize(("flow", "step"), list(STEPS))
def test_argo_gets_the_resources_retries_and_time_of_the_project(deployer: Deployer, flow: str, step: str) -> None:
    cpu, memory, gpu, retries, seconds = STEPS[flow, step]
    templates = {t["name"]: t for t in deployer.argo(FLOWS[flow], PROJECT)["spec"]["templates"]}
    asked = templates[step]["container"]["resources"]
    assert (asked["requests"]["cpu"], asked["requests"]["memory"]) == (cpu, memory)
    assert asked["limits"].get("nvidia.com/gpu") == gpu
    assert templates[step].get("retryStrategy", {"limit": 0})["limit"] == retries
    assert templates[step]["activeDeadlineSeconds"] == seconds


@pytest.mark.parametrize(("flow", "step"), list(STEPS))
def test_airflow_gets_the_resources_retries_and_time_of_the_project(deployer: Deployer, flow: str, step: str) -> None:
    cpu, memory, gpu, retries, seconds = STEPS[flow, step]
    asked = deployer.airflow(FLOWS[flow], PROJECT)["states"][step]["operator_args"]
    assert (asked["resources"]["requests"]["cpu"], asked["resources"]["requests"]["memory"]) == (cpu, memory)
    assert asked["resources"]["limits"].get("nvidia.com/gpu") == gpu
    assert (asked["retries"], asked["execution_timeout"]) == (retries, {"seconds": seconds})


def test_without_a_gpu_in_the_project_none_is_asked_for(deployer: Deployer) -> None:
    templates = {t["name"]: t for t in deployer.argo(FLOW, UNSCHEDULED)["spec"]["templates"]}
    assert templates["train"]["container"]["resources"]["limits"] == {"nvidia.com/gpu": "0"}


def test_argo_starts_a_gang_as_a_jobset(deployer: Deployer) -> None:
    project = PROJECT.replace("gpu = 1", "gpu = 1\nworkers = 3")
    templates = {t["name"]: t for t in deployer.argo(GANG_FLOW, project)["spec"]["templates"]}
    assert templates["work"]["retryStrategy"]["limit"] == 3
    # Argo replaces {{=...}} before it reads the manifest.
    written = re.sub(r"\{\{=(.*?)\}\}", r"'\1'", templates["work"]["resource"]["manifest"])
    manifest = pytest.importorskip("yaml").safe_load(written)
    assert manifest["kind"] == "JobSet"
    first, others = manifest["spec"]["replicatedJobs"]
    assert first["replicas"] == 1
    assert "worker" in others["replicas"]
    for job in (first, others):
        pod = job["template"]["spec"]["template"]["spec"]
        assert pod["activeDeadlineSeconds"] == 660
        (container,) = pod["containers"]
        assert (container["resources"]["requests"]["cpu"], container["resources"]["requests"]["memory"]) == (
            "5.0",
            "6000.0M",
        )
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert {"name": "OMP_WAIT_POLICY", "value": "PASSIVE"} in container["env"]


def test_airflow_refuses_a_gang_and_says_so(deployer: Deployer) -> None:
    config = ["--config-value", "project", UNSCHEDULED]
    path = deployer.workspace.folder / "gang_dag.py"
    refused = deployer.workspace.call(GANG_FLOW, "--no-pylint", *config, "airflow", "create", path).expect(code=1)
    assert "not supported with Airflow" in refused.output
    assert not path.exists()


def test_argo_runs_the_scheduled_flow_at_its_time_and_no_other(deployer: Deployer) -> None:
    found = {name: deployer.argo(path, PROJECT)["metadata"]["annotations"] for name, path in FLOWS.items()}
    assert json.loads(found["EdaFlow"]["metaflow/cron"])["schedule"] == "30 3 * * 1"
    assert "metaflow/cron" not in found["TrainFlow"]
    assert "metaflow/cron" not in found["ExplainFlow"]


@pytest.mark.parametrize(("flow", "before"), [("TrainFlow", "EdaFlow"), ("ExplainFlow", "TrainFlow")])
def test_argo_starts_a_flow_when_the_one_before_it_has_finished(deployer: Deployer, flow: str, before: str) -> None:
    template = deployer.argo(FLOWS[flow], PROJECT)
    event = f"metaflow.small.test.b1.{before}.end"
    assert json.loads(template["metadata"]["annotations"]["metaflow/triggers"]) == [{"name": event, "type": "run"}]
    start = next(step for step in template["spec"]["templates"] if step["name"] == "start")
    payload = [name for name in variables(start) if name.startswith("METAFLOW_ARGO_EVENT_PAYLOAD_run_")]
    assert len(payload) == 1
    assert payload[0].rpartition("_run_")[2] in [p["name"] for p in template["spec"]["arguments"]["parameters"]]


def test_the_first_of_the_chain_waits_for_no_flow(deployer: Deployer) -> None:
    assert "metaflow/triggers" not in deployer.argo(EDA_FLOW, PROJECT)["metadata"]["annotations"]


@pytest.mark.parametrize("flow", list(FLOWS))
def test_without_the_section_nothing_starts_by_itself_and_argo_events_are_not_needed(
    deployer: Deployer, flow: str
) -> None:
    plain = Deployer(deployer.workspace.folder, deployer.bucket)
    plain.workspace = Workspace(deployer.workspace.folder, variables=deployer.bucket.variables())
    assert not {"metaflow/cron", "metaflow/triggers"} & set(
        plain.argo(FLOWS[flow], UNSCHEDULED)["metadata"]["annotations"]
    )
    assert deployer.airflow(FLOWS[flow], UNSCHEDULED)["dag_instantiation_params"]["schedule_interval"] is None


def test_a_chain_without_argo_events_says_what_is_missing(deployer: Deployer) -> None:
    workspace = Workspace(deployer.workspace.folder, variables=deployer.bucket.variables())
    command = [FLOW, "--no-pylint", "--config-value", "project", PROJECT, "argo-workflows", "create", "--only-json"]
    assert "METAFLOW_ARGO_EVENTS_EVENT" in workspace.call(*command).expect(code=1).output


def test_airflow_runs_the_scheduled_flow_and_says_that_it_cannot_chain(deployer: Deployer) -> None:
    dags = {}
    for name, path in FLOWS.items():
        dags[name] = deployer.airflow(path, PROJECT)
        assert ("Airflow cannot start" in deployer.said[path.name, PROJECT]) == (name != "EdaFlow")
    times = {name: dag["dag_instantiation_params"]["schedule_interval"] for name, dag in dags.items()}
    assert times == {"EdaFlow": "30 3 * * 1", "TrainFlow": None, "ExplainFlow": None}


@pytest.mark.parametrize("flow", list(FLOWS))
def test_airflow_gets_a_default_for_every_parameter(deployer: Deployer, flow: str) -> None:
    found = {p["name"]: p["default"] for p in deployer.airflow(FLOWS[flow], UNSCHEDULED)["metaflow_params"]}
    assert len(found) >= 3
    assert None not in found.values()


def test_every_step_on_airflow_keeps_its_own_variables(deployer: Deployer) -> None:
    states = deployer.airflow(FLOW, UNSCHEDULED)["states"]
    assert variables(states["train"])["OMP_WAIT_POLICY"] == "PASSIVE"
    assert all("METAFLOW_FLOW_CONFIG_VALUE" in variables(state) for state in states.values())


@pytest.mark.parametrize("flow", list(FLOWS))
def test_the_uploaded_code_package_holds_dlcycle(deployer: Deployer, flow: str) -> None:
    step = deployer.argo(FLOWS[flow], UNSCHEDULED)["spec"]["templates"]
    start = next(template for template in step if template["name"] == "start")
    with tarfile.open(fileobj=io.BytesIO(deployer.package(start))) as package:
        names = {name.removeprefix("./") for name in package.getnames()}
    assert FLOWS[flow].name in names
    for name in ("config/train.py", "flowkit/triggers.py", "data/read.py", "train/fit.py", f"flows/{FLOWS[flow].name}"):
        assert f".mf_code/dlcycle/{name}" in names
    assert any(name.startswith(".mf_code/metaflow_extensions/dlcycle/plugins/cards/") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["argo", "airflow"])
def test_a_deployed_task_runs_the_project_that_was_deployed(
    deployer: Deployer, tmp_path: pathlib.Path, scheduler: str
) -> None:
    if scheduler == "argo":
        templates = deployer.argo(FLOW, UNSCHEDULED)["spec"]["templates"]
        start = next(template for template in templates if template["name"] == "start")
        given = ""
    else:
        dag = deployer.airflow(FLOW, UNSCHEDULED)
        start = dag["states"]["start"]
        workspace = Workspace(tmp_path, variables={"METAFLOW_PARAMETERS": json.dumps(defaults(dag))})
        workspace.call("-m", "metaflow.plugins.airflow.plumbing.set_parameters", "given.sh").expect()
        given = (tmp_path / "given.sh").read_text()
    folder = unpack(deployer.package(start), tmp_path / "pod")
    pod = {"PYTHONPATH": str(folder / ".mf_code"), "METAFLOW_EXTRACTED_ROOT": str(folder)}
    told = {name: variables(start)[name] for name in ("METAFLOW_FLOW_CONFIG_VALUE",)}
    assert project_of(tmp_path, "1", pod | told | exports(given)) == "small, 1 epochs"
    # The control: a task that is not told takes the default project.
    assert project_of(tmp_path, "2", pod) == "sample, 12 epochs"


def defaults(dag: dict[str, Any]) -> dict[str, Any]:
    return {parameter["name"]: parameter["default"] for parameter in dag["metaflow_params"]}


def exports(script: str) -> dict[str, str]:
    """What a shell has in its environment after the script."""
    done = subprocess.run(["bash", "-c", f"{script}\nenv -0"], capture_output=True, text=True, check=True)
    assert not done.stderr
    pairs = [pair.partition("=") for pair in done.stdout.split("\0")]
    return {name: value for name, _, value in pairs if name.startswith("METAFLOW_INIT_")}


def project_of(folder: pathlib.Path, run: str, told: dict[str, str]) -> str:
    """Begin a run as a pod does and do its first step; return the name and epochs of the project it read."""
    pod = Workspace(folder, variables=told)
    where = folder / "pod"
    pod.call("train_flow.py", "--quiet", "init", "--run-id", run, "--task-id", "1", cwd=where).expect()
    step = ["step", "start", "--run-id", run, "--task-id", "2", "--input-paths", f"{run}/_parameters/1"]
    pod.call("train_flow.py", "--quiet", *step, cwd=where).expect()
    pod.call("train_flow.py", "--quiet", "dump", f"{run}/start/2", "--file", folder / run, cwd=where).expect()
    ((_, stored),) = pickle.loads((folder / run).read_bytes()).items()  # noqa: S301 - written by this test
    return f"{stored['project']['project']['name']}, {stored['epochs']} epochs"


@pytest.mark.parametrize(
    ("decorator", "before"),
    [("", "ShopEdaFlow"), ('@trigger_on_finish(flow="OtherFlow")', "OtherFlow")],
)
def test_a_subclass_goes_by_its_own_name_and_may_name_its_own_trigger(
    deployer: Deployer, tmp_path: pathlib.Path, decorator: str, before: str
) -> None:
    project = """
    [project]
    name = "shop"
    [deploy]
    chain = ["ShopEdaFlow", "ShopTrainFlow"]
    schedule = {ShopTrainFlow = "0 0 1 * *", TrainFlow = "0 0 2 * *"}
    """
    path = write_subclass(tmp_path, "TrainFlow", project=project, decorator=decorator)
    fresh = Deployer(tmp_path, deployer.bucket)
    notes = fresh.argo(path, "")["metadata"]["annotations"]
    assert json.loads(notes["metaflow/triggers"])[0]["name"] == f"metaflow.shop.test.b1.{before}.end"
    assert json.loads(notes["metaflow/cron"])["schedule"] == "0 0 1 * *"


@pytest.mark.slow
def test_a_triggered_run_builds_on_the_run_that_triggered_it(tmp_path: pathlib.Path) -> None:
    workspace = Workspace(tmp_path)
    looked = f"EdaFlow/{workspace.run(project=UNSCHEDULED, flow=EDA_FLOW).expect().run_id}"
    # The command line knows --trigger where a flow has the decorator itself.
    decorator = '@trigger_on_finish(flow="AnyFlow")'
    train = write_subclass(tmp_path, "TrainFlow", project=UNSCHEDULED, decorator=decorator)
    explain = write_subclass(tmp_path, "ExplainFlow", project=UNSCHEDULED, decorator=decorator)
    done = workspace.call(train, "--no-pylint", "--trigger", looked, "run", "--max-workers", "1").expect()
    trained = f"ShopTrainFlow/{done.run_id}"
    code = f"""
from metaflow import Run, namespace
namespace(None)
train, looked = Run("{trained}").data, Run("{looked}").data
print(train.lineage["eda_run"], train.data_fingerprint == looked.data_fingerprint, train.recommended != {{}})
"""
    assert workspace.client(code) == f"{looked} True True"

    def start(run: str, flow: pathlib.Path, trigger: str, *parameters: str) -> str:
        """Output of the first step of a run that was triggered."""
        workspace.call(flow, "--quiet", "init", "--run-id", run, "--task-id", "1", *parameters).expect()
        step = ["step", "start", "--run-id", run, "--task-id", "2", "--input-paths", f"{run}/_parameters/1"]
        return workspace.call(flow, "--quiet", "--trigger", trigger, *step).output

    assert f"Explaining the model of {trained}: it triggered this run." in start("1", explain, trained)
    # What the user names wins, and a run of another kind is none to build on.
    assert "there is no run TrainFlow/7" in start("2", explain, trained, "--train-run", "TrainFlow/7")
    assert "there is no successful run of TrainFlow" in start("3", explain, looked)
    assert "there is no run EdaFlow/7" in start("4", train, looked, "--eda-run", "EdaFlow/7")
    assert "Training on" not in start("5", train, trained)


@pytest.mark.parametrize("cron", ["* * * * *", "*/15 3,4 1-7/2 * 0", "0 3 * * 1-5", "59 23 31 12 6"])
def test_cron_expressions_that_every_scheduler_reads_are_taken(cron: str) -> None:
    project = parse_project(f'[deploy.schedule]\nEdaFlow = "{cron}"')
    assert project["deploy"]["schedule"] == {"EdaFlow": cron}


@pytest.mark.parametrize(
    "cron",
    ["@daily", "0 3 * *", "0 3 * * 1 2026", "0 3 * * 7", "60 3 * * 1", "0 5-3 * * 1", "0 3 ? * MON", "0, 3 * * 1"],
)
def test_other_cron_expressions_are_refused_with_an_example(cron: str) -> None:
    with pytest.raises(ConfigError, match=r"deploy\.schedule\.EdaFlow: expected a cron expression .* such as 0 3"):
        parse_project(f'[deploy.schedule]\nEdaFlow = "{cron}"')


@pytest.mark.parametrize("chain", ['["EdaFlow"]', '["EdaFlow", "TrainFlow", "EdaFlow"]'])
def test_a_chain_of_one_flow_or_in_a_circle_is_refused(chain: str) -> None:
    with pytest.raises(ConfigError, match="two or more different flows, got EdaFlow"):
        parse_project(f"[deploy]\nchain = {chain}")
