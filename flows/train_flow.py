"""Train candidates on labelled text, compare the best with a simple baseline, and show the result on a card.

python flows/train_flow.py run
python flows/train_flow.py --config project configs/ecommerce.toml run --data PATH_OR_URL
python flows/train_flow.py card view evaluate
"""

import time
from typing import TYPE_CHECKING, Any

from metaflow import Parameter, card, config_expr, current, step

from dlcycle.flowkit import checkpoints, eda, gang, inputs, lineage, live, memory, summary, triggers
from dlcycle.flowkit.base import BaseFlow
from dlcycle.flowkit.machine import on_machine

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from dlcycle.config import ModelSpec, Project
    from dlcycle.data.dataset import Dataset
    from dlcycle.insight.assess import Assessment
    from dlcycle.model.text import NetworkSpec
    from dlcycle.train.candidate import Candidate
    from dlcycle.train.checkpoint import CheckpointStore


class TrainFlow(BaseFlow):
    """From a source of labelled text to a tested model with its verdict.

    In:  the project file (Config `project`), --data, --epochs, --seed, --eda-run.
    Out: data_fingerprint, experiment_id (text); split, removed, metrics, baseline_metrics, comparison, gates,
         consistency, model, lineage (dicts); history, candidates, todo (lists of dicts). All are plain data, which the
         Client reads without dlcycle. A metric is {"value", "low", "high", "n"}; `model` is what
         `dlcycle.model.load_model` takes.

    Hooks to override in a subclass: settings, build_dataset, fit_baseline_model, build_model, train_candidate,
    checkpoint_store, assess_model.
    """

    data = inputs.InputFile(
        "data",
        replaces="data.source",
        unless="eda-run",
        help="Where the rows come from: sample, a path, https:// or s3://. Default: data.source.",
    )
    epochs = Parameter("epochs", type=int, default=config_expr("project.train.epochs"), help="Most epochs to train.")
    seed = Parameter("seed", type=int, default=-1, help="The only training seed; -1 takes those of train.seeds.")
    eda_run = Parameter(
        "eda-run",
        help="Run of EdaFlow, as EdaFlow/ID: train on its dataset version as it recommends. Default: the run of "
        "EdaFlow that triggered this one, if one did.",
    )

    @step
    def start(self):
        """Turn the source into a dataset version: read, validate, clean, split."""
        from dlcycle.data.dataset import removed_summary, table_to_bytes
        from dlcycle.plan.criteria import check_plan

        self.check_workers()
        self.started = time.time()
        self.looked_at = self.eda_run or triggers.triggering_run(artifacts=eda.ARTIFACTS)
        self.recommended = eda.read_recommended(self.looked_at) if self.looked_at else {}
        settings = self.settings()
        dataset = self.build_dataset(settings)
        check_plan(settings.plan, dataset.cleaning["labels"])
        self.rows, self.removed = table_to_bytes(dataset.frame), removed_summary(dataset.removed)
        self.labels = sorted(set(dataset.frame["label"]))
        self.source = inputs.as_given(dataset.source, self.launch)
        self.cleaning, self.split = dataset.cleaning, dataset.split
        self.data_fingerprint, self.code_state = dataset.fingerprint, lineage.code_state(self.launch)
        self.experiment_id = lineage.identify_experiment(settings, dataset)
        lineage.tag_run(experiment=self.experiment_id, data=self.data_fingerprint)
        self.next(self.fit_baseline)

    @step
    def fit_baseline(self):
        """Fit the simple model that deep learning must beat, on the same split."""
        settings = self.settings()
        self.baseline = self.fit_baseline_model(self.load_rows())
        self.jobs = [(spec, seed) for spec in range(len(settings.model.candidates)) for seed in settings.train.seeds]
        self.next(self.train, foreach="jobs")

    @card(type="dlcycle_train", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)
    @on_machine("train", gpu=True)
    @checkpoints.checkpointed
    @step
    def train(self):
        """Train one candidate with one seed on the training part; the validation part chooses the epoch."""
        number, seed = self.input
        settings = self.settings()
        candidate = self.train_candidate(settings.model.candidates[number], seed, settings)
        self.model, self.history = candidate.model, candidate.history
        self.validation_logits, self.candidate_report = candidate.validation_logits, candidate.report
        self.next(self.select)

    @step
    def select(self, inputs):
        """Choose the candidate with the best validation metric; the test part plays no role."""
        metric = self.project["plan"]["metric"]
        best = max(inputs, key=lambda task: task.candidate_report["validation"][metric])
        self.candidates = [task.candidate_report | {"selected": task.index == best.index} for task in inputs]
        checkpoints.remove_checkpoints(inputs)
        self.model, self.history = best.model, best.history
        self.validation_logits, self.candidate_report = best.validation_logits, best.candidate_report
        self.merge_artifacts(inputs)
        self.next(self.evaluate)

    @card(type="dlcycle_train", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)
    @step
    def evaluate(self):
        """Measure the selected model and the baseline on the test part, once, and judge the plan's criteria."""
        settings = self.settings()
        result = self.assess_model(settings)
        self.metrics, self.baseline_metrics = result.metrics, result.baseline_metrics
        self.comparison, self.gates = result.comparison, result.gates
        self.consistency, self.model = result.consistency, result.model
        self.lineage = self.describe_lineage(settings)
        self.todo = self.next_steps(settings)
        self.next(self.end)

    @step
    def end(self):
        """Say what came out; fail the run if a success criterion was missed and the project asks for that."""
        # Again, because a resumed run has not gone through the first step.
        lineage.tag_run(experiment=self.experiment_id, data=self.data_fingerprint)
        print(summary.describe_result(self))
        summary.enforce_gates(self.gates, fail_run=self.settings().gates.fail_run, card_step="evaluate")

    def check_workers(self) -> None:
        """Refuse a project that wants several workers, which this flow does not start."""
        gang.refuse_workers(self.project["train"]["workers"])

    # Hooks

    def settings(self) -> "Project":
        """Return the typed project: the project file with --data, --epochs and --seed in their places."""
        from dlcycle.data.recommend import apply_recommended
        from dlcycle.project_file import validate_project

        raw = self.project.to_dict()
        if self.data:
            raw["data"]["source"] = self.data
        raw["train"]["epochs"] = self.epochs
        if self.seed != -1:
            raw["train"]["seeds"] = [self.seed]
        settings, self.followed = apply_recommended(validate_project(raw), self.recommended)
        return settings

    def build_dataset(self, settings: "Project") -> "Dataset":
        """Read, validate, clean and split the rows, or take those that EdaFlow looked at."""
        from dlcycle.data.dataset import build_dataset

        uri = inputs.stored_at(settings.data.source, self.launch)
        if not self.looked_at:
            return build_dataset(settings, uri=uri)
        print(f"Training on the dataset version of {self.looked_at}.")
        dataset = eda.read_version(self.looked_at, settings)
        if self.data:
            given = build_dataset(settings, uri=uri)
            eda.refuse_other_data(given.fingerprint, dataset, pathspec=self.looked_at, uri=self.data)
        return dataset

    def fit_baseline_model(self, rows: "pd.DataFrame") -> dict[str, Any]:
        """Fit the baseline on the training part; return "name", "validation_scores" and "test_scores"."""
        from dlcycle.model.baseline import score_baseline

        return score_baseline(rows, labels=self.labels)

    def build_model(self, spec: "NetworkSpec") -> "nn.Module":
        """Build the untrained network of a candidate, for `spec.tokens` token ids and `spec.classes` classes."""
        from dlcycle.model.text import build_text_model

        return build_text_model(spec)

    def train_candidate(self, spec: "ModelSpec", seed: int, settings: "Project") -> "Candidate":
        """Train one candidate with one seed."""
        from dlcycle.train.candidate import candidate_name, train_candidate
        from dlcycle.train.context import TrainingContext

        with gang.join() as workers:
            follow = live.follow_training(settings, candidate=candidate_name(spec), seed=seed, say=print)
            return train_candidate(
                self.load_rows(),
                spec=spec,
                seed=seed,
                settings=settings,
                labels=self.labels,
                build_model=self.build_model,
                context=TrainingContext(
                    on_epoch=follow,
                    on_step=follow,
                    keep=self.keep_last_finite,
                    checkpoints=self.checkpoint_store(spec, seed),
                    memory_notes=memory.TaskMemory(self, say=print),
                    gang=workers,
                ),
            )

    def checkpoint_store(self, spec: "ModelSpec", seed: int) -> "CheckpointStore | None":
        """Return where a training that is cut off is kept, for the next attempt and for `resume`; None for nowhere."""
        from dlcycle.train.candidate import candidate_name

        identity = {"data": self.data_fingerprint, "candidate": spec.model_dump_json()}
        return checkpoints.task_store(candidate=candidate_name(spec), seed=seed, identity=identity, say=print)

    def keep_last_finite(self, weights: bytes) -> str:
        """Keep the safetensors of a training that fails where every machine can read them; say where."""
        # Metaflow stores the artifacts of a failed attempt too; the attempt that @retry makes has none of them.
        self.last_finite = weights
        return f'Task("{current.pathspec}", attempt={current.retry_count}).data.last_finite'

    def assess_model(self, settings: "Project") -> "Assessment":
        """Measure the selected model and the baseline on the test part."""
        from dlcycle.insight.assess import assess_model

        return assess_model(
            self.model,
            frame=self.load_rows(),
            validation_logits=self.validation_logits,
            baseline=self.baseline,
            plan=settings.plan,
            build_model=self.build_model,
        )

    def load_rows(self) -> "pd.DataFrame":
        """Return the rows that entered the dataset version, with the columns row, line, text, label and part."""
        from dlcycle.data.dataset import table_from_bytes

        return table_from_bytes(self.rows)

    def log_step(self) -> str:
        """Return the name of the step whose log tells of the training."""
        return "train"

    def describe_lineage(self, settings: "Project") -> dict[str, Any]:
        """Return where the result came from: data, code, settings, machine, time and cost."""
        return lineage.describe_run(settings, started=self.started, log_step=self.log_step(), card_step="evaluate") | {
            "source": self.source,
            "cleaning": self.cleaning,
            "data_fingerprint": self.data_fingerprint,
            "experiment_id": self.experiment_id,
            "eda_run": self.looked_at,
            "recommended": self.followed,
            "git": self.code_state,
            "machine": self.candidate_report["machine"],
            "resources": self.candidate_report["resources"],
        }

    def next_steps(self, settings: "Project") -> list[dict[str, str]]:
        """Return what to do next, most important first."""
        from dlcycle.insight.advice.after_training import next_steps

        return next_steps(
            gates=self.gates,
            comparison=self.comparison,
            consistency=self.consistency,
            cleaning=self.cleaning,
            split=self.split,
            source=self.source,
            selected=self.candidate_report,
            epochs=settings.train.epochs,
        )


if __name__ == "__main__":
    TrainFlow()
