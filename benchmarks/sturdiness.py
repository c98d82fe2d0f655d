"""What `train.augment` gains on changed texts, and what `train.reweight` takes from the gap between two groups.

    python benchmarks/sturdiness.py --data PATH/ecommerce.csv [--config FILE] [--seeds 0 1 2] [--shares 0.1 0.5]

The first candidate of the project file is trained as it is and with all four kinds of changes, once with its words and
once with sub-words; each is measured on the test part as it is and with some shares of its words or gaps changed, of
which training changes a tenth. Generated rows, in whose training and validation parts a word of the group tells the
label 19 times of 20 and in whose test part it tells nothing, are trained on with and without weights. Each seed decides
the split, the rows, the changes and the training. Values are means over the seeds; the last column holds the smallest
and the largest difference of a seed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from dlcycle.config import Perturbation, Project
from dlcycle.data.dataset import build_dataset
from dlcycle.data.perturb import perturb_texts
from dlcycle.model import load_model
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.text import build_text_model
from dlcycle.project_file import read_text, validate_project
from dlcycle.train.candidate import train_candidate

KINDS = get_args(Perturbation)
Pairs = dict[tuple[str, str], tuple[float, float]]
"""What was trained and what was measured, with the values without and with the setting."""


def changed_settings(settings: Project, *, train: dict[str, Any], model: dict[str, Any] | None = None) -> Project:
    """The project with other values in `[train]`, and of its first candidate only, with other values too."""
    spec = settings.model.candidates[0].model_copy(update=model or {})
    return settings.model_copy(
        update={
            "train": settings.train.model_copy(update=train),
            "model": settings.model.model_copy(update={"candidates": (spec,)}),
        }
    )


def trained(frame: pd.DataFrame, *, settings: Project, seed: int) -> tuple[TextClassifier, float]:
    """The first candidate and the seconds that it took."""
    candidate = train_candidate(
        frame,
        spec=settings.model.candidates[0],
        settings=settings,
        labels=sorted(set(frame["label"])),
        seed=seed,
        build_model=build_text_model,
    )
    return load_model(candidate.model), candidate.report["resources"]["seconds"]


def measure_augment(settings: Project, *, seed: int, shares: Sequence[float]) -> Pairs:
    """Accuracy on the test part and its changed versions, in percent, without and with `train.augment`."""
    split = settings.split.model_copy(update={"seed": seed})
    frame = build_dataset(settings.model_copy(update={"split": split})).frame
    test = frame[frame["part"] == "test"]
    own = test["text"].tolist()
    texts = {"as they are": own, "case": perturb_texts(own, kind="case", seed=1_000_000 + seed)}
    for kind in KINDS:
        for share in shares if kind != "case" else ():
            changed = perturb_texts(own, kind=kind, share=share, seed=1_000_000 + seed)
            texts[f"{kind} {share:.0%}"] = changed
    found: Pairs = {}
    for tokenizer in ("words", "bpe"):
        values, seconds = [], []
        for kinds in ((), KINDS):
            project = changed_settings(settings, train={"augment": kinds}, model={"tokenizer": tokenizer})
            model, spent = trained(frame, settings=project, seed=seed)
            seconds.append(spent)
            labels = {name: np.array(model.predict(version).labels) for name, version in texts.items()}
            values.append({name: 100 * float(np.mean(given == test["label"])) for name, given in labels.items()})
        for name in texts:
            found[f"augment, {tokenizer}", f"accuracy, {name} (%)"] = values[0][name], values[1][name]
        found[f"augment, {tokenizer}", "training (s)"] = seconds[0], seconds[1]
    return found


def biased_rows(seed: int, *, train: int = 3000, test: int = 1000, agreement: float = 0.95) -> pd.DataFrame:
    """Rows whose label hangs on three weak words and, but for the test part, on a word of the group."""
    generator = np.random.default_rng(seed)
    parts = np.repeat(["train", "validation", "test"], [train, test, test])
    labels = generator.integers(0, 2, len(parts))
    agree = generator.random(len(parts)) < np.where(parts == "test", 0.5, agreement)
    groups = np.where(agree, labels, 1 - labels)
    texts = []
    for label, group in zip(labels, groups, strict=True):
        signs = np.where(generator.random(3) < 0.7, label, 1 - label)
        noise = generator.integers(0, 50, 6)
        words = [f"group{group}", *(f"sign{sign}" for sign in signs), *(f"w{word}" for word in noise)]
        texts.append(" ".join(generator.permutation(words)))
    columns = {"text": texts, "label": np.array(["no", "yes"])[labels], "about.group": np.array(["a", "b"])[groups]}
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=object) for name, values in columns.items()})
    return frame.assign(row=np.arange(len(parts)), part=parts)


def measure_reweight(settings: Project, *, seed: int) -> Pairs:
    """Accuracy and gap of the true positive rates between two groups, in percent, without and with `train.reweight`."""
    frame = biased_rows(seed)
    test = frame[frame["part"] == "test"]
    groups, truth = test["about.group"].to_numpy(), test["label"].to_numpy()
    values = []
    for column in (None, "group"):
        model, _ = trained(frame, settings=changed_settings(settings, train={"reweight": column}), seed=seed)
        given = np.array(model.predict(test["text"].tolist()).labels)
        rates = [np.mean(given[(groups == group) & (truth == "yes")] == "yes") for group in ("a", "b")]
        values.append((100 * float(np.mean(given == truth)), 100 * float(np.ptp(rates))))
    names = ("accuracy (%)", "gap of true positive rates (%)")
    return {
        ("reweight, generated rows", name): (values[0][place], values[1][place]) for place, name in enumerate(names)
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "configs" / "ecommerce.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.5], help="of the words that are changed")
    arguments = parser.parse_args()
    raw = read_text(arguments.config.read_text(encoding="utf-8"))
    raw.setdefault("data", {})["source"] = arguments.data
    settings = validate_project(raw)

    runs = []
    for seed in arguments.seeds:
        runs.append(
            measure_augment(settings, seed=seed, shares=arguments.shares) | measure_reweight(settings, seed=seed)
        )
        print(f"seed {seed} done", file=sys.stderr)
    print(f"{arguments.config.name} on {Path(arguments.data).name}, seeds {', '.join(map(str, arguments.seeds))}")
    print(f"{'setting':<26}{'measured':<34}{'without':>9}{'with':>9}{'change':>9}  seeds")
    for setting, name in runs[0]:
        pairs = np.array([run[setting, name] for run in runs])
        without, given = pairs.mean(0)
        changes = pairs[:, 1] - pairs[:, 0]
        ends = f"{changes.min():+.2f} to {changes.max():+.2f}"
        print(f"{setting:<26}{name:<34}{without:>9.2f}{given:>9.2f}{given - without:>+9.2f}  {ends}")


if __name__ == "__main__":
    main()
