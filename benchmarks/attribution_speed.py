"""Integrated gradients of many texts: the project's way against captum row by row, on the same texts and networks.

    python benchmarks/attribution_speed.py --data PATH/ecommerce.csv

A small network of each architecture is trained, then both explain the class it predicts for each test row with 50
points. Row by row, each call of captum's LayerIntegratedGradients holds the 50 points of one text, as in its tutorial
on texts. The project explains all rows by one call, as ExplainFlow does, and row by row one half of them is explained
before and the other after it, so that a change in the machine's load meets both.
`reading` is the part of the project's time that goes into finding words and their owners.

`difference` is the largest between the two ways' word scores. Where it is too large, rounding may be the reason: those
texts are explained both ways in double precision too, and a line below tells what is left of the difference there, and
how far each way in single precision is from the loop in double precision.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor

from dlcycle.config import Architecture, ModelSpec, TrainSection
from dlcycle.data.sample import generate_sample
from dlcycle.insight.attribution.attribute import attribute
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import read_texts
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import PAD, fit_tokenizer
from dlcycle.train.batches import TextRows
from dlcycle.train.fit import fit_classifier

SEED = 0
STEPS = 50
EPOCHS = 5
CLOSE = 1e-4


def trained(texts: list[str], labels: pd.Series, *, architecture: Architecture, threads: int) -> TextClassifier:
    """Train the default network of an architecture for a few epochs; an eighth of the texts is the validation part."""
    spec = ModelSpec(architecture=architecture)
    codes, names = pd.factorize(labels, sort=True)
    held_out = len(texts) // 8
    tokenizer = fit_tokenizer(texts[held_out:], spec=spec)
    tokens, numbers, codes = tokenizer.encode(texts), np.arange(len(texts)), codes.astype(np.int64)
    sizes = NetworkSpec(spec, tokens=tokenizer.size, classes=len(names))
    result = fit_classifier(
        lambda: build_text_model(sizes),
        train=TextRows(tokens[held_out:], codes[held_out:], numbers[held_out:]),
        validation=TextRows(tokens[:held_out], codes[:held_out], numbers[:held_out]),
        classes=len(names),
        settings=TrainSection(epochs=EPOCHS, threads=threads),
        seed=SEED,
    )
    return TextClassifier(result.network.eval(), tokenizer, names.tolist(), 1.0, {})


def row_by_row(classifier: TextClassifier, texts: list[str], targets: np.ndarray) -> list[np.ndarray]:
    """Word scores by a call for each text."""
    network: Any = classifier.network

    def centred(tokens: Tensor, lengths: Tensor) -> Tensor:
        logits = network(tokens, lengths)
        return logits - logits.mean(1, keepdim=True)

    explain = LayerIntegratedGradients(centred, network.embedding)
    scores = []
    for reading, target in zip(read_texts(classifier.tokenizer, texts), targets.tolist(), strict=True):
        tokens = torch.from_numpy(reading.ids)[None]
        found = explain.attribute(
            tokens,
            baselines=torch.full_like(tokens, PAD),
            target=target,
            additional_forward_args=torch.tensor([len(reading.ids)]),
            n_steps=STEPS,
        )
        scores.append(reading.owners.T @ found.sum(2)[0].detach().double().numpy())
    return scores


def batched(classifier: TextClassifier, texts: list[str], targets: np.ndarray) -> list[np.ndarray]:
    """Word scores by one call."""
    return [row.scores for row in attribute(classifier, texts, targets, steps=STEPS)]


def apart(left: list[np.ndarray], right: list[np.ndarray]) -> np.ndarray:
    """Largest difference of each text's scores."""
    return np.array([np.abs(one - other).max(initial=0.0) for one, other in zip(left, right, strict=True)])


def in_double(classifier: TextClassifier, texts: list[str], targets: np.ndarray) -> str:
    """Say what rounding has to do with a difference; the network is left in double precision."""
    single = [row_by_row(classifier, texts, targets), batched(classifier, texts, targets)]
    classifier.network.double()
    loop, project = row_by_row(classifier, texts, targets), batched(classifier, texts, targets)
    left = f"in double precision {apart(loop, project).max():.1e} is left of the difference"
    rounding = [f"{apart(loop, scores).max():.1e}" for scores in single]
    return f"{left}; rounding to single precision moves the loop by {rounding[0]}, the project by {rounding[1]}"


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return a function's result and the seconds it took."""
    started = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - started


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="CSV with the columns category and description; the bundled sample without it")
    parser.add_argument("--train-rows", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=200, help="test rows that are explained")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--architectures", nargs="+", default=get_args(Architecture), choices=get_args(Architecture))
    arguments = parser.parse_args()
    wanted = arguments.train_rows + arguments.rows
    frame = pd.read_csv(arguments.data, dtype=str) if arguments.data else generate_sample(2 * wanted, seed=SEED)
    frame = frame.dropna().drop_duplicates("description")
    frame = frame.sample(min(wanted, len(frame)), random_state=SEED)
    texts, labels = frame["description"].tolist(), frame["category"]
    test, train = texts[: arguments.rows], texts[arguments.rows :]

    print(f"{len(test)} test rows, {STEPS} points, threads: {arguments.threads}")
    columns = (
        "architecture",
        "ids a row",
        "row by row s",
        "project s",
        "reading s",
        "ratio",
        "goal",
        "difference",
        "goal",
    )
    print("{:<13}{:>10}{:>14}{:>11}{:>11}{:>8}{:>9}{:>13}{:>10}".format(*columns))
    for architecture in arguments.architectures:
        torch.set_num_threads(arguments.threads)
        classifier = trained(train, labels[arguments.rows :], architecture=architecture, threads=arguments.threads)
        torch.set_num_threads(arguments.threads)
        targets = classifier.logits(test).argmax(1)
        row_by_row(classifier, test[:3], targets[:3]), batched(classifier, test[:3], targets[:3])
        half = len(test) // 2
        before, first = timed(row_by_row, classifier, test[:half], targets[:half])
        found, project = timed(batched, classifier, test, targets)
        after, second = timed(row_by_row, classifier, test[half:], targets[half:])
        difference = apart([*before, *after], found)
        readings, reading = timed(read_texts, classifier.tokenizer, test)
        ids = np.mean([len(row.ids) for row in readings])
        loop = first + second
        times = f"{loop:>14.2f}{project:>11.2f}{reading:>11.2f}{loop / project:>8.1f}{'>= 3':>9}"
        print(f"{architecture:<13}{ids:>10.0f}{times}{difference.max():>13.1e}{'<= 1e-04':>10}", flush=True)
        [far] = np.nonzero(difference > CLOSE)
        if len(far):
            said = in_double(classifier, [test[number] for number in far], targets[far])
            print(f"  {len(far)} of these texts differ by more than {CLOSE:.0e}: {said}", flush=True)


if __name__ == "__main__":
    main()
