import hashlib
import itertools
import logging
import math
import os
import signal
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from dlcycle.config import ModelSpec, TrainSection
from dlcycle.errors import TrainingError
from dlcycle.model.text import NetworkSpec, build_text_model, network_logits
from dlcycle.model.tokenizer import fit_tokenizer
from dlcycle.train.batches import TextRows
from dlcycle.train.context import TrainingContext
from dlcycle.train.fit import FitResult, fit_classifier
from dlcycle.train.module import ClassifierModule, balanced_class_weights, learning_rate_factor

ARCHITECTURES = ["bag", "cnn", "gru", "lstm", "transformer"]


def make_texts(count: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of noise words and one word that gives the class away."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    texts = []
    for label in labels:
        words = [f"w{word}" for word in generator.integers(0, 30, generator.integers(1, 12))]
        words.insert(int(generator.integers(0, len(words) + 1)), f"sign{label}")
        texts.append(" ".join(words))
    return texts, labels


def fit(
    architecture: str = "bag", *, seed: int = 0, rows: int = 240, build: Any = build_text_model, **options: Any
) -> FitResult:
    settings = {"epochs": 6, "learning_rate": 2e-2, "batch_size": 16, "threads": 1, **options.pop("settings", {})}
    model = {"architecture": architecture, "min_count": 1, "buckets": 200, "max_tokens": 12, **options.pop("model", {})}
    spec = ModelSpec.model_validate(model)
    texts, labels = make_texts(rows, seed=1)
    unseen, truth = make_texts(60, seed=2)
    tokenizer = fit_tokenizer(texts, spec=spec)
    network = NetworkSpec(spec, tokens=tokenizer.size, classes=3)
    return fit_classifier(
        lambda: build(network),
        train=TextRows(tokenizer.encode(texts), labels, np.arange(rows) + 500),
        validation=TextRows(tokenizer.encode(unseen), truth, np.arange(60) + 9000),
        classes=3,
        settings=TrainSection.model_validate(settings),
        seed=seed,
        context=TrainingContext(**options),
    )


def weights_digest(network: nn.Module) -> str:
    return hashlib.sha256(safetensors.torch.save(network.state_dict())).hexdigest()


class Poisoned(nn.Module):
    """Gives NaN from its n-th training batch on, or in every validation."""

    def __init__(self, spec: NetworkSpec, *, batch: int = 10**9, validation: bool = False) -> None:
        super().__init__()
        self.network, self.left, self.validation = build_text_model(spec), batch, validation

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        logits = self.network(tokens, lengths)
        self.left -= self.training
        poison = self.left < 0 if self.training else self.validation
        return logits * math.nan if poison else logits


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns_a_planted_signal(architecture: str) -> None:
    result = fit(architecture)
    best = result.history[result.best_epoch - 1]
    assert best["validation_accuracy"] >= 0.95
    assert result.history[0]["train_loss"] > result.history[-1]["train_loss"]
    assert not result.network.training
    assert result.steps == 15 * len(result.history)
    assert (result.device, result.precision, result.threads, result.peak_cuda_bytes) == ("cpu", "32-true", 1, None)


def test_the_result_is_that_of_the_best_epoch() -> None:
    result = fit(settings={"patience": 2, "epochs": 30, "schedule": "constant"})
    losses = [(entry["validation_accuracy"], -entry["validation_loss"]) for entry in result.history]
    assert result.best_epoch == 1 + max(range(len(losses)), key=losses.__getitem__)
    unseen, truth = make_texts(60, seed=2)
    accuracy = (result.logits.argmax(1) == truth).mean()
    assert accuracy == pytest.approx(result.history[result.best_epoch - 1]["validation_accuracy"])
    tokenizer = fit_tokenizer(make_texts(240, seed=1)[0], spec=ModelSpec(min_count=1, buckets=200, max_tokens=12))
    again = network_logits(result.network, tokenizer.encode(unseen), classes=3)
    np.testing.assert_allclose(again, result.logits, atol=1e-5)
    assert result.stopped_early == (len(result.history) < 30)
    assert len(result.history) in (30, result.best_epoch + 2)


def test_training_stops_after_the_epochs_of_patience() -> None:
    result = fit(settings={"epochs": 20, "patience": 1, "learning_rate": 1e-12, "weight_decay": 0.0})
    assert result.stopped_early
    assert len(result.history) < 20


def test_progress_is_plain_data() -> None:
    epochs, steps = [], []
    result = fit(on_epoch=epochs.append, on_step=steps.append, settings={"epochs": 3, "patience": 9})
    assert [state["epoch"] for state in epochs] == [1, 2, 3]
    assert [len(state["history"]) for state in epochs] == [1, 2, 3]
    assert epochs[-1]["history"] == result.history
    assert epochs[-1]["seconds_left"] == pytest.approx(0.0, abs=1e-6)
    assert epochs[0]["seconds_left"] > 0
    assert all(type(value) in (int, float) for entry in result.history for value in entry.values())
    assert set(epochs[0]) == {"epoch", "epochs", "batch", "batches", "history", "best_epoch", "seconds", "seconds_left"}


def test_on_step_reports_inside_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcycle.train.watch.STEP_SECONDS", 0.0)
    steps: list[dict[str, Any]] = []
    fit(on_step=steps.append, settings={"epochs": 1})
    assert [(state["epoch"], state["batch"], state["batches"]) for state in steps] == [(1, n, 15) for n in range(1, 16)]


def test_a_loss_that_is_not_finite_names_epoch_batch_rows_and_checkpoint() -> None:
    seen: list[dict[str, Any]] = []
    kept: list[bytes] = []
    with pytest.raises(TrainingError) as caught:
        fit(
            build=lambda spec: Poisoned(spec, batch=33),
            keep=lambda data: kept.append(data) or "memory",
            on_epoch=seen.append,
        )
    message = str(caught.value)
    assert "got nan at epoch 3, batch 4, rows " in message
    named = message.split("rows ")[1].split(" and 11 more")[0]
    assert all(500 <= int(row) < 740 for row in named.split(", "))
    assert len(named.split(", ")) == 5
    (data,) = kept
    assert f"end of epoch 2, kept as memory (sha256 {hashlib.sha256(data).hexdigest()})" in message
    assert all(value.isfinite().all() for value in safetensors.torch.load(data).values())
    assert len(seen) == 2


def test_a_hopeless_learning_rate_is_stopped() -> None:
    with pytest.raises(TrainingError, match=r"(finite loss|finite logits).*train\.learning_rate.*finite checkpoint"):
        fit(settings={"learning_rate": 1e30, "gradient_clip": 0.0, "warmup": 0.0, "epochs": 50, "patience": 50})


def test_validation_logits_that_are_not_finite_are_stopped() -> None:
    message = r"validation of epoch 1, rows 9000, 9001, .* and 55 more.*no finite checkpoint"
    with pytest.raises(TrainingError, match=message):
        fit(build=lambda spec: Poisoned(spec, validation=True))


def test_sigterm_is_an_error_and_not_a_finished_training() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate(state: dict[str, Any]) -> None:
        if state["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(
        TrainingError, match=r"stopped by SIGTERM at epoch 3, after 3\d steps.*end of epoch 2, kept as memory"
    ):
        fit(on_epoch=terminate, keep=lambda data: "memory", settings={"patience": 9})
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(TrainingError, match="stopped by SIGTERM"):
        fit(on_epoch=terminate, settings={"epochs": 2})


def torch_state() -> tuple[Any, ...]:
    return (
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.utils.deterministic.fill_uninitialized_memory,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        [logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")],
        len(warnings.filters),
    )


@pytest.mark.parametrize("fails", [False, True])
def test_torch_is_as_before_afterwards(fails: bool) -> None:
    before = torch_state()
    threads = before[0] + 1
    inside = []

    def look(state: dict[str, Any]) -> None:
        inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        if fails:
            raise ZeroDivisionError

    if fails:
        with pytest.raises(ZeroDivisionError):
            fit(on_epoch=look, settings={"threads": threads})
    else:
        fit(on_epoch=look, settings={"threads": threads, "epochs": 1})
    assert inside == [(threads, True)]
    assert torch_state() == before


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    fit(settings={"epochs": 1})
    assert capfd.readouterr() == ("", "")


def test_a_machine_without_what_is_asked_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=r"train\.gpu = 1 .*set train\.gpu = 0"):
        fit(settings={"gpu": 1})
    with pytest.raises(TrainingError, match=r'precision = "16" needs a GPU'):
        fit(settings={"precision": "16"})


def test_bf16_trains_on_a_cpu() -> None:
    result = fit(settings={"precision": "bf16", "epochs": 1})
    assert result.precision == "bf16-mixed"
    assert np.isfinite(result.logits).all()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_learning_rate_rises_then_follows_its_schedule(schedule: str) -> None:
    settings = TrainSection.model_validate({"schedule": schedule, "warmup": 0.1})
    factors = [learning_rate_factor(step, steps=100, settings=settings) for step in range(101)]
    assert factors[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert factors[10] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert factors[-1] == pytest.approx(1.0 if schedule == "constant" else 0.0)
    reference = {"cosine": 0.5, "linear": 0.5, "constant": 1.0}
    assert factors[55] == pytest.approx(reference[schedule])


def test_loss_is_that_of_the_settings() -> None:
    weights = balanced_class_weights(np.array([0, 0, 0, 1, 2, 2]), classes=3)
    torch.testing.assert_close(weights, torch.tensor([6 / 9, 6 / 3, 6 / 6]))
    settings = TrainSection(label_smoothing=0.1)

    class Fixed(nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return logits

    from dlcycle.train.batches import Batch

    module = ClassifierModule(Fixed(), settings=settings, steps=1, class_weights=weights)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    loss = module.training_step(Batch((logits,), labels, torch.arange(5)), 0)
    log_p = logits.log_softmax(1)
    own = -(log_p[torch.arange(5), labels] * weights[labels]).sum() * 0.9 - (log_p * weights).sum() * 0.1 / 3
    torch.testing.assert_close(loss, own / weights[labels].sum())


def test_versions_and_weights_change_the_training_and_their_absence_does_not() -> None:
    def digest(share: float = 0.0, weights: np.ndarray | None = None, versions: int = 1) -> str:
        texts, labels = make_texts(64, seed=1)
        spec = ModelSpec(min_count=1, buckets=200)
        tokenizer = fit_tokenizer(texts, spec=spec)
        train = TextRows(
            tokenizer.encode(texts + [f"x {text}" for _ in range(versions - 1) for text in texts]),
            np.tile(labels, versions),
            np.tile(np.arange(64), versions),
            weights=None if weights is None else np.tile(weights, versions),
            versions=versions,
        )
        result = fit_classifier(
            lambda: build_text_model(NetworkSpec(spec, tokens=tokenizer.size, classes=3)),
            train=train,
            validation=TextRows(tokenizer.encode(texts), labels, np.arange(64)),
            classes=3,
            settings=TrainSection(epochs=2, threads=1, class_weights="balanced", augment_share=share),
            seed=0,
        )
        assert result.steps == 2
        return weights_digest(result.network)

    uneven = np.linspace(0.1, 1.9, 64, dtype=np.float32)
    plain = digest()
    assert plain == digest(0.5) == digest(0.0, versions=3)
    assert len({plain, digest(0.5, versions=3), digest(weights=uneven), digest(0.5, uneven, versions=3)}) == 4


def test_same_seed_same_weights_and_another_seed_others() -> None:
    first, second, other = fit(seed=3), fit(seed=3), fit(seed=4)
    assert weights_digest(first.network) == weights_digest(second.network)
    assert weights_digest(first.network) != weights_digest(other.network)
    assert np.array_equal(first.logits, second.logits)


CODE = """
import sys; sys.path[:0] = [{folder!r}]
import torch, random, numpy
torch.manual_seed({noise}); random.seed({noise}); numpy.random.seed({noise})
import test_fit
for seed in {seeds}:
    for architecture in test_fit.ARCHITECTURES:
        fitted = test_fit.fit(architecture, seed=seed, settings=dict(threads=2, epochs=2))
        print(architecture, test_fit.weights_digest(fitted.network))
"""


@pytest.mark.slow
def test_two_processes_give_the_same_bits() -> None:
    def digests(*seeds: int, noise: int) -> list[str]:
        folder = os.path.dirname(__file__)
        code = CODE.format(folder=folder, seeds=seeds, noise=noise)
        environment = {**os.environ, "PYTHONHASHSEED": str(noise), "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    told = digests(4, 3, noise=1)
    other, first = told[: len(ARCHITECTURES)], told[len(ARCHITECTURES) :]
    assert len(first) == len(ARCHITECTURES)
    assert digests(3, noise=2) == first
    assert not set(other) & set(first)


@pytest.mark.parametrize("largest", [0.0, 1e-3, 1e3])
def test_gradients_are_clipped_as_torch_does(largest: float) -> None:
    torch.manual_seed(0)
    mine, reference = nn.Linear(5, 3), nn.Linear(5, 3)
    for parameter, other in zip(mine.parameters(), reference.parameters(), strict=True):
        parameter.grad = torch.randn_like(parameter)
        other.grad = parameter.grad.clone()
    module = ClassifierModule(mine, settings=TrainSection(), steps=1)
    module.configure_gradient_clipping(torch.optim.AdamW(mine.parameters()), largest)
    if largest:
        nn.utils.clip_grad_norm_(reference.parameters(), largest)
    for parameter, other in zip(mine.parameters(), reference.parameters(), strict=True):
        assert torch.equal(parameter.grad, other.grad)
