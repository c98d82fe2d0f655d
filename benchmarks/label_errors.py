"""Wrong labels found among wrong labels made: this project's settings beside plain ones, in one run.

    python benchmarks/label_errors.py --data PATH/ecommerce.csv [--seeds 0 1 2] [--noise 0.05]

Each seed gives that share of the rows, after exact duplicates are removed, another label drawn evenly. Recall is the
share of them that is found; precision the share of the found ones that was made. Labels that are wrong in the data
itself count against precision. Plain: `cross_val_predict` with TF-IDF and logistic regression as scikit-learn sets them
and `find_label_issues` as cleanlab does.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from dlcycle.data.duplicates import duplicate_groups, near_duplicate_pairs
from dlcycle.data.label_errors import suspected_label_errors
from dlcycle.model.crossfit import out_of_fold_probabilities


def ours(texts: list[str], stated: np.ndarray, names: list[str], seed: int) -> np.ndarray:
    """Positions found with this project's settings."""
    groups = duplicate_groups(len(texts), near_duplicate_pairs(texts, threshold=0.8).rows)
    probabilities = out_of_fold_probabilities(texts, stated, classes_count=len(names), groups=groups, seed=seed)
    labels, places = [names[k] for k in stated], range(len(texts))
    evidence = suspected_label_errors(
        probabilities, labels, names=names, rows=places, lines=places, texts=texts, limit=None
    )
    return np.array([row["row"] for row in evidence["rows"]])


def plain(texts: list[str], stated: np.ndarray, names: list[str], seed: int) -> np.ndarray:
    """Positions found with the defaults of scikit-learn and cleanlab."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(model, texts, stated, cv=folds, method="predict_proba")
    return np.flatnonzero(find_label_issues(stated, probabilities, n_jobs=1))


def measure(
    method: Callable[..., np.ndarray], texts: list[str], truth: np.ndarray, names: list[str], *, noise: float, seed: int
) -> dict[str, float]:
    """Recall, precision, rows found and seconds for one seed."""
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(truth), round(noise * len(truth)), replace=False)
    stated = truth.copy()
    stated[wrong] = (truth[wrong] + rng.integers(1, len(names), len(wrong))) % len(names)
    started = time.perf_counter()
    found = method(texts, stated, names, seed)
    seconds = time.perf_counter() - started
    right = len(np.intersect1d(found, wrong))
    return {
        "recall": right / max(len(wrong), 1),
        "precision": right / max(len(found), 1),
        "found": len(found),
        "seconds": seconds,
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--text", default="description")
    parser.add_argument("--label", default="category")
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    frame = pd.read_csv(arguments.data, usecols=[arguments.text, arguments.label]).dropna()
    frame = frame.drop_duplicates(arguments.text)
    texts = frame[arguments.text].tolist()
    truth, names = pd.factorize(frame[arguments.label], sort=True)

    print(f"{len(texts):,} distinct texts, {len(names)} classes, {arguments.noise:.0%} of the labels made wrong")
    print(f"{'settings':<10}{'seed':>6}{'recall':>9}{'precision':>11}{'found':>8}{'seconds':>9}")
    for method in (ours, plain):
        results = {}
        for seed in arguments.seeds:
            results[str(seed)] = measure(method, texts, truth, list(names), noise=arguments.noise, seed=seed)
        measures = next(iter(results.values()))
        results["mean"] = {key: statistics.mean(row[key] for row in results.values()) for key in measures}
        for seed, row in results.items():
            values = f"{row['recall']:>9.3f}{row['precision']:>11.3f}{row['found']:>8.0f}{row['seconds']:>9.1f}"
            print(f"{method.__name__:<10}{seed:>6}{values}")


if __name__ == "__main__":
    main()
