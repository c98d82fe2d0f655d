"""Test accuracy and training time of a project file against TF-IDF and a linear SVM, on the same splits.

    python benchmarks/train_quality.py --data PATH/ecommerce.csv [--config configs/ecommerce.toml] [--seeds 0 1 2]

Each seed decides the split and the training. Both models learn from the training part and are measured on the test
part, from which exact and near duplicates of other parts are absent.
"""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from dlcycle.config import Project
from dlcycle.data.dataset import build_dataset
from dlcycle.model import load_model
from dlcycle.model.text import build_text_model
from dlcycle.project_file import read_text, validate_project
from dlcycle.train.candidate import candidate_name, train_candidate


def measure(settings: Project, seed: int) -> dict[str, float]:
    """Accuracy of both models, in percent, and seconds of training."""
    settings = settings.model_copy(update={"split": settings.split.model_copy(update={"seed": seed})})
    frame = build_dataset(settings).frame
    labels = sorted(set(frame["label"]))
    parts = dict(iter(frame.groupby("part")))
    truth = parts["test"]["label"].to_numpy()

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2)
    baseline = LinearSVC(C=1, random_state=0)
    baseline.fit(vectorizer.fit_transform(parts["train"]["text"]), parts["train"]["label"])
    predicted = baseline.predict(vectorizer.transform(parts["test"]["text"]))

    best, seconds = None, 0.0
    for spec in settings.model.candidates:
        candidate = train_candidate(
            frame, spec=spec, settings=settings, labels=labels, seed=seed, build_model=build_text_model
        )
        seconds += candidate.report["resources"]["seconds"]
        score = candidate.report["validation"][settings.plan.metric]
        if best is None or score > best[0]:
            best = score, candidate
    model = load_model(best[1].model)
    return {
        "train rows": len(parts["train"]),
        "test rows": len(truth),
        "network %": 100 * float(np.mean(np.array(model.predict(parts["test"]["text"].tolist()).labels) == truth)),
        "baseline %": 100 * float(np.mean(predicted == truth)),
        "training s": seconds,
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent.parent / "configs" / "ecommerce.toml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    raw = read_text(arguments.config.read_text(encoding="utf-8"))
    raw.setdefault("data", {})["source"] = arguments.data
    settings = validate_project(raw)

    names = ", ".join(candidate_name(spec) for spec in settings.model.candidates)
    print(f"{arguments.config.name} ({names}) on {Path(arguments.data).name}, {settings.train.threads} threads")
    rows = {}
    for seed in arguments.seeds:
        rows[f"seed {seed}"] = measure(settings, seed)
        print(f"seed {seed} done", file=sys.stderr)
    rows["mean"] = {key: statistics.mean(row[key] for row in rows.values()) for key in next(iter(rows.values()))}
    print("        " + "".join(f"{key:>12}" for key in rows["mean"]) + "  difference")
    for name, row in rows.items():
        values = "".join(f"{value:>12,.2f}" if key.endswith("%") else f"{value:>12,.0f}" for key, value in row.items())
        print(f"{name:<8}{values}  {row['network %'] - row['baseline %']:+.2f} points")


if __name__ == "__main__":
    main()
