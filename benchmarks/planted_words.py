"""Do explanations name the words that decide? Texts in which it is known which words do.

    python benchmarks/planted_words.py [--rows 3000] [--seeds 0 1] [--method integrated_gradients]

Each text is a mix of invented neutral words, which are as frequent in every class, and one to three of its class's
three planted words, the only ones that its label depends on; planted words are about as frequent as neutral ones. Small
networks learn the labels, and learn shuffled labels as a control: there planted words are words like any other, and an
explanation that still named them would do so for other reasons than the model.

Top word: share of the test texts in which the word that contributes most to the predicted class is a planted one. All
words: share of planted words among as many of the top words as the text has planted words. Chance: their share among
all words of the text.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch

from dlcycle.config import Architecture, AttributionMethod, ModelSpec, Project
from dlcycle.insight.attribution.attribute import attribute
from dlcycle.model import load_model
from dlcycle.model.text import build_text_model
from dlcycle.project_file import validate_project
from dlcycle.train.candidate import train_candidate

CLASSES = ("ash", "birch", "cedar", "elm")
PLANTED = 3
NEUTRAL = 126
"""Neutral words: with 12 to 30 of them in a text, each is in one text of six, as a planted word is."""
ARCHITECTURES = get_args(Architecture)
TESTED = 300


def invented_words(count: int, rng: np.random.Generator) -> list[str]:
    """Different words of two to four syllables."""
    words: set[str] = set()
    while len(words) < count:
        syllables = rng.integers(2, 5)
        words.add("".join(rng.choice(list("bdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(syllables)))
    return rng.permutation(sorted(words)).tolist()


def planted_texts(rows: int, *, seed: int) -> tuple[pd.DataFrame, dict[str, set[str]]]:
    """Rows with row, text, label and part (a tenth validation, `TESTED` test), and the planted words of each class."""
    rng = np.random.default_rng(seed)
    words = invented_words(NEUTRAL + PLANTED * len(CLASSES), rng)
    neutral = words[:NEUTRAL]
    planted = {label: words[NEUTRAL + PLANTED * k :][:PLANTED] for k, label in enumerate(CLASSES)}
    labels = rng.choice(CLASSES, size=rows).tolist()
    texts = []
    for label in labels:
        mixed = rng.choice(neutral, size=rng.integers(12, 31), replace=False).tolist()
        mixed += rng.choice(planted[label], size=rng.integers(1, PLANTED + 1), replace=False).tolist()
        texts.append(" ".join(rng.permutation(mixed)))
    parts = ["test"] * TESTED + ["validation"] * (rows // 10)
    parts += ["train"] * (rows - len(parts))
    frame = pd.DataFrame({"row": range(rows), "text": texts, "label": labels, "part": parts})
    return frame, {label: set(own) for label, own in planted.items()}


def with_shuffled_labels(frame: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The same texts, the labels of the training and validation parts shuffled."""
    shuffled = frame.copy()
    learnt = (frame["part"] != "test").to_numpy()
    shuffled.loc[learnt, "label"] = np.random.default_rng(seed).permutation(frame["label"][learnt])
    return shuffled


def project(epochs: int) -> Project:
    """Settings under which the small networks learn these texts."""
    return validate_project({"train": {"epochs": epochs, "learning_rate": 4e-3, "patience": epochs, "threads": 1}})


def named_shares(
    frame: pd.DataFrame, planted: dict[str, set[str]], *, architecture: str, method: AttributionMethod, seed: int
) -> dict[str, float]:
    """Train a small network and explain the test part."""
    spec = ModelSpec.model_validate(
        {"architecture": architecture, "ngrams": 1, "embedding": 32, "hidden": 32, "max_tokens": 64, "kernels": (1, 2)}
    )
    candidate = train_candidate(
        frame, spec=spec, settings=project(10), labels=list(CLASSES), seed=seed, build_model=build_text_model
    )
    classifier = load_model(candidate.model)
    test = frame[frame["part"] == "test"]
    texts = test["text"].tolist()
    prediction = classifier.predict(texts)
    targets = prediction.probabilities.argmax(1)
    known = set().union(*planted.values())
    top, every, chance = [], [], []
    for explained in attribute(classifier, texts, targets, method=method, seed=seed):
        words = explained.reading.words
        is_planted = np.array([word in known for word in words])
        order = np.argsort(-explained.scores, kind="stable")
        top.append(is_planted[order[0]])
        every.append(is_planted[order[: is_planted.sum()]].mean())
        chance.append(is_planted.mean())
    right = np.array(prediction.labels) == test["label"].to_numpy()
    shares = {"accuracy": right, "top word": top, "all words": every, "chance": chance}
    return {name: 100 * float(np.mean(values)) for name, values in shares.items()}


def measure(rows: int, *, seeds: Sequence[int], architecture: str, method: AttributionMethod) -> dict[str, Any]:
    """Means over the seeds, in percent, for true and for shuffled labels."""
    started, lines = time.perf_counter(), []
    for seed in seeds:
        frame, planted = planted_texts(rows, seed=seed)
        options: dict[str, Any] = {"architecture": architecture, "method": method, "seed": seed}
        true = named_shares(frame, planted, **options)
        control = named_shares(with_shuffled_labels(frame, seed=seed), planted, **options)
        shuffled = {f"{name} shuffled": control[name] for name in ("accuracy", "top word", "all words")}
        lines.append(true | shuffled)
    means = {name: float(np.mean([line[name] for line in lines])) for name in lines[0]}
    return means | {"seconds": time.perf_counter() - started}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--method", default="integrated_gradients")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    columns = ("accuracy", "top word", "all words", "chance")
    shuffled = tuple(f"{name} shuffled" for name in columns[:3])
    print(f"{arguments.method}, {arguments.rows:,} texts, {TESTED} explained, seeds {arguments.seeds}; all in %")
    print(f"{'':<12}" + f"{'true labels':^44}" + f"{'shuffled labels':^33}")
    print(f"{'':<12}" + "".join(f"{name:>11}" for name in columns + columns[:3]) + f"{'seconds':>9}")
    for architecture in ARCHITECTURES:
        line = measure(arguments.rows, seeds=arguments.seeds, architecture=architecture, method=arguments.method)
        values = "".join(f"{line[name]:>11.1f}" for name in columns + shuffled)
        print(f"{architecture:<12}{values}{line['seconds']:>9.0f}")
        print(f"{architecture} done", file=sys.stderr)


if __name__ == "__main__":
    main()
