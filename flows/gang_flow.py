"""TrainFlow with several workers for each candidate: `[train] workers = N` and `strategy = "ddp"` or `"fsdp"`.

python flows/gang_flow.py --config project configs/ecommerce.toml run
python flows/gang_flow.py --config project configs/ecommerce.toml run --with kubernetes
python flows/gang_flow.py card view evaluate
"""

from dlcycle.flows.train_flow import TrainFlow
from metaflow import card, current, parallel, step

from dlcycle.flowkit import checkpoints, gang, live
from dlcycle.flowkit.machine import on_machine


class GangFlow(TrainFlow):
    """From a source of labelled text to a tested model, each candidate trained by a gang of workers.

    Each worker is a task of its own: a process on one machine, a pod of a JobSet on Kubernetes and Argo Workflows.
    Airflow and AWS Step Functions start no gangs. A worker that is lost ends the gang, and the next attempt goes on
    from the last checkpoint.

    In, out and hooks are those of TrainFlow.
    """

    @step
    def train(self):
        """Start the workers that train one candidate with one seed."""
        self.job = self.input
        self.next(self.work, num_parallel=self.settings().train.workers)

    @card(type="dlcycle_train", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)
    # Torch warns of each gang that it looks for unused parameters and finds none.
    @on_machine("train", gpu=True, TORCH_CPP_LOG_LEVEL="ERROR")
    @gang.started_by_this_python
    @checkpoints.checkpointed
    @parallel
    @step
    def work(self):
        """Train as one worker of the gang; the validation part chooses the epoch."""
        number, seed = self.job
        settings = self.settings()
        self.worker = current.parallel.node_index
        candidate = self.train_candidate(settings.model.candidates[number], seed, settings)
        self.model, self.history = candidate.model, candidate.history
        self.validation_logits, self.candidate_report = candidate.validation_logits, candidate.report
        self.next(self.gather)

    @step
    def gather(self, inputs):
        """Take what the first worker has: all have the same weights."""
        first = gang.first_worker(inputs)
        checkpoints.remove_checkpoints(inputs)
        self.model, self.history = first.model, first.history
        self.validation_logits, self.candidate_report = first.validation_logits, first.candidate_report
        self.merge_artifacts(inputs, exclude=["worker", "job"])
        self.next(self.select)

    def check_workers(self) -> None:
        """Take any number of workers."""

    def log_step(self) -> str:
        """Return the name of the step whose log tells of the training."""
        return "work"


if __name__ == "__main__":
    GangFlow()
