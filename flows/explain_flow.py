"""Explain a trained model: why it decides so, whether to believe that, where it fails, for whom, and what it costs.

python flows/explain_flow.py run
python flows/explain_flow.py --config project configs/ecommerce.toml run --train-run TrainFlow/ID --rows PATH_OR_URL
python flows/explain_flow.py card view judge
"""

import time
from typing import TYPE_CHECKING, Any

from metaflow import Parameter, card, step

from dlcycle.flowkit import explain, inputs, lineage, live, output, summary, triggers
from dlcycle.flowkit.base import BaseFlow
from dlcycle.flowkit.machine import on_machine

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from dlcycle.config import Project
    from dlcycle.insight.explanation import Explanation
    from dlcycle.insight.inspection import Inspection
    from dlcycle.model import TextClassifier
    from dlcycle.model.text import NetworkSpec


class ExplainFlow(BaseFlow):
    """From a finished run of TrainFlow to what people need before they trust its model.

    In:  the project file (Config `project`), --train-run, --rows, --before, --write-work-list.
    Out: local_attributions, global_attributions, faithfulness, slices, fairness, robustness, business, gates, answer,
         explained, compared, lineage (dicts); todo, findings (lists of dicts); work_list (CSV text). All are plain
         data, which the Client reads without dlcycle.

    The test part is only looked at: thresholds and clusters of mistakes are chosen on the validation part.

    Hooks to override in a subclass: trained_by, settings, read_given, build_model, explain_model, inspect_model,
    stress_model.
    """

    train_run = Parameter(
        "train-run",
        help="Run whose model is explained, as TrainFlow/ID. Default: the run that triggered this one, or the latest.",
    )
    given_rows = inputs.InputFile("rows", help="Rows of yours to explain too: a path, https:// or s3://.")
    before = Parameter("before", help="Run to compare with, as TrainFlow/ID: what did weighting or augmenting change?")
    write_work_list = inputs.OutputFile(
        "write-work-list",
        printed="print(data.work_list)",
        help="File, on the machine of the last step, that gets the rows that look mislabelled.",
    )

    @step
    def start(self):
        """Find the trained model and the one before it, and read the rows that the user gives."""
        from dlcycle.data.dataset import table_to_bytes

        self.started = time.time()
        if self.write_work_list:
            output.check_output(self.write_work_list, option="--write-work-list")
        settings = self.settings()
        triggered_by = triggers.triggering_run(artifacts=explain.ARTIFACTS)
        trained = explain.choose_trained(
            self.train_run, triggered_by=triggered_by, settings=settings, flow=self.trained_by()
        )
        before = explain.choose_before(self.before, trained=trained, flow=self.trained_by())
        print(f"Explaining the model of {trained.pathspec}: {trained.why}.")
        self.explained = explain.describe_trained(trained)
        self.model, self.rows, self.metrics = trained.data.model, trained.data.rows, trained.data.metrics
        self.data_fingerprint, self.code_state = trained.data.data_fingerprint, lineage.code_state(self.launch)
        self.model_before = before.data.model if before else None
        self.compared = explain.describe_before(before, trained=trained) if before else None
        given, self.findings = self.read_given(settings)
        self.given = None if given is None else table_to_bytes(given)
        self.next(self.attribute, self.inspect, self.stress)

    @on_machine("explain")
    @step
    def attribute(self):
        """Find the words that decide, in single rows and overall, and check whether that can be believed."""
        found = self.explain_model(self.settings())
        self.local_attributions, self.global_attributions = found.local_attributions, found.global_attributions
        self.faithfulness = found.faithfulness
        self.next(self.judge)

    @on_machine("explain")
    @step
    def inspect(self):
        """Find where the model fails and for whom, which labels look wrong, and what its decisions cost."""
        found = self.inspect_model(self.settings())
        self.slices, self.work_list = found.slices, found.work_list
        self.fairness, self.business = found.fairness, found.business
        self.next(self.judge)

    @on_machine("explain")
    @step
    def stress(self):
        """Change the test texts, by accident and on purpose, and see which decisions stay."""
        self.robustness = self.stress_model(self.settings())
        self.next(self.judge)

    @card(type="dlcycle_explain", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)
    @step
    def judge(self, inputs):
        """Judge the criteria of this stage, answer in a paragraph, and say what to do next."""
        from dlcycle.insight.advice.after_explaining import next_actions
        from dlcycle.insight.advice.answer import answer
        from dlcycle.insight.robustness.metrics import robustness_metrics
        from dlcycle.plan.criteria import judge_criteria

        self.merge_artifacts(inputs)
        settings = self.settings()
        self.gates = judge_criteria(
            settings.plan.criteria, metrics=robustness_metrics(self.robustness), comparison=None, stage="explain"
        )
        names = ("metrics", "gates", "faithfulness", "slices", "fairness", "robustness", "business")
        found = {name: getattr(self, name) for name in names}
        self.answer = answer(training_gates=self.explained["gates"], **found)
        self.todo = next_actions(settings=settings, trained=self.explained["settings"]["train"], **found)
        self.lineage = self.describe_lineage(settings)
        self.next(self.end)

    @step
    def end(self):
        """Say what came out; fail the run if a success criterion was missed and the project asks for that."""
        lineage.tag_run(data=self.data_fingerprint, explains=self.explained["run"])
        if self.write_work_list:
            said = output.write_output(
                self.write_work_list, self.work_list, option="--write-work-list", encoding="utf-8-sig"
            )
            print(said)
        print(summary.describe_explanation(self))
        summary.enforce_gates(self.gates, fail_run=self.settings().gates.fail_run, card_step="judge")

    # Hooks

    def trained_by(self) -> str:
        """Name of the flow whose latest run is explained when --train-run names none and none triggered this one."""
        return "TrainFlow"

    def read_given(self, settings: "Project") -> "tuple[pd.DataFrame | None, list[dict[str, Any]]]":
        """Read the rows of --rows; return them with the columns row, line, text and label, and what was noticed."""
        from dlcycle.data.given import read_given

        if not self.given_rows:
            return None, []
        return read_given(inputs.stored_at(self.given_rows, self.launch), settings=settings.data)

    def build_model(self, spec: "NetworkSpec") -> "nn.Module":
        """Build the untrained network, for projects with their own; the same as in the flow that trained it."""
        from dlcycle.model.text import build_text_model

        return build_text_model(spec)

    def explain_model(self, settings: "Project") -> "Explanation":
        """Attribute decisions to words, and check the attributions."""
        from dlcycle.data.dataset import table_from_bytes
        from dlcycle.insight.explanation import explain_model

        given = None if self.given is None else table_from_bytes(self.given)
        return explain_model(self.load_classifier(settings), self.load_rows(), given=given, settings=settings.explain)

    def inspect_model(self, settings: "Project") -> "Inspection":
        """Compare kinds of rows and groups of people, doubt labels, and price the decisions."""
        from dlcycle.insight.inspection import inspect_model

        before = self.load_classifier(settings, before=True) if self.compared else None
        return inspect_model(
            self.load_classifier(settings), self.load_rows(), before=before, compared=self.compared, settings=settings
        )

    def stress_model(self, settings: "Project") -> dict[str, Any]:
        """Measure the accuracy on changed texts."""
        from dlcycle.insight.robustness.stress import measure_robustness

        before = self.load_classifier(settings, before=True) if self.compared else None
        return measure_robustness(self.load_classifier(settings), self.load_rows(), settings=settings, before=before)

    def load_classifier(self, settings: "Project", *, before: bool = False) -> "TextClassifier":
        """Restore the model, or the one that it is compared with."""
        import torch

        from dlcycle.model import load_model

        # Results depend on the number of threads.
        torch.set_num_threads(settings.explain.threads)
        return load_model(self.model_before if before else self.model, build=self.build_model)

    def load_rows(self) -> "pd.DataFrame":
        """Return the rows of the dataset version, with the columns row, line, text, label and part."""
        from dlcycle.data.dataset import table_from_bytes

        return table_from_bytes(self.rows)

    def describe_lineage(self, settings: "Project") -> dict[str, Any]:
        """Return where the result came from: model, data, code, settings, machine, time and cost."""
        return lineage.describe_run(settings, started=self.started, log_step="attribute", card_step="judge") | {
            "train_run": self.explained,
            "compared": self.compared,
            "data_fingerprint": self.data_fingerprint,
            "rows": inputs.describe(self.given_rows, self.launch),
            "git": self.code_state,
            "machine": lineage.machine(),
        }


if __name__ == "__main__":
    ExplainFlow()
