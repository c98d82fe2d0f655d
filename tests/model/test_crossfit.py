import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from dlcycle.data.draw import content_hashes
from dlcycle.errors import TrainingError
from dlcycle.model.crossfit import (
    PENALTY,
    assign_folds,
    count_words,
    fold_scores,
    out_of_fold_probabilities,
)


def make_texts(rows: int, classes: int, *, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of 8 random words, of which the first names the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    texts = [f"sign{label} " + " ".join(f"w{word}" for word in generator.integers(0, 50, 8)) for label in labels]
    return texts, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_those_of_the_pipeline_fitted_on_the_other_rows(classes: int) -> None:
    texts, truth = make_texts(90, classes)
    fitted = np.arange(90) >= 30
    scores = fold_scores(count_words(texts), truth, fitted, ~fitted, classes_count=classes, penalty=1.0, seed=3)
    pipeline = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC(C=1.0, random_state=3))
    expected = pipeline.fit(texts[30:], truth[30:]).decision_function(texts[:30])
    # The solver stops at a tolerance of 1e-4, and its sums run in another order.
    np.testing.assert_allclose(scores if classes > 2 else scores[:, 1], expected, atol=1e-4)


def test_probabilities_are_calibrated_and_right() -> None:
    """Where a third of the signs is drawn at random, no model can be right in more rows than 1 - 1/3 * 2/3."""
    texts, truth = make_texts(1500, 3)
    rng = np.random.default_rng(1)
    stated = np.where(rng.random(1500) < 1 / 3, rng.integers(0, 3, 1500), truth)
    found = out_of_fold_probabilities(texts, stated, classes_count=3, groups=np.arange(1500))
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == truth).mean() > 0.97
    # 1,500 rows: the standard error of the accuracy is 0.011.
    assert found.max(1).mean() == pytest.approx((found.argmax(1) == stated).mean(), abs=0.03)


def test_a_row_does_not_learn_from_itself_nor_from_its_unit() -> None:
    """Labels drawn at random can be foreseen only by one who has seen them; the control splits the units."""
    rng = np.random.default_rng(0)
    texts = [
        f"{unit} " * 3 + copy for unit in (f"name{k}" for k in range(200)) for copy in ["one", "two", "three", "four"]
    ]
    classes, groups = np.repeat(rng.integers(0, 2, 200), 4), np.repeat(np.arange(200), 4)
    options = {"classes_count": 2}
    united = out_of_fold_probabilities(texts, classes, groups=groups, **options)
    apart = out_of_fold_probabilities(texts, classes, groups=np.arange(800), **options)
    assert (united.argmax(1) == classes).mean() < 0.6
    assert (apart.argmax(1) == classes).mean() > 0.7


def test_the_order_of_rows_does_not_matter_but_the_seed_does() -> None:
    texts, truth = make_texts(120, 3)
    order = np.random.default_rng(5).permutation(120)
    groups = np.arange(120) // 2
    first = out_of_fold_probabilities(texts, truth, classes_count=3, groups=groups)
    again = out_of_fold_probabilities([texts[k] for k in order], truth[order], classes_count=3, groups=groups[order])
    assert np.array_equal(first[order], again)
    assert not np.array_equal(first, out_of_fold_probabilities(texts, truth, classes_count=3, groups=groups, seed=1))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=40))
def test_folds_keep_units_and_equal_texts_together(rows: list[tuple[int, int, int]]) -> None:
    groups, classes, hashes = (np.array(column) for column in zip(*rows, strict=True))
    folds = assign_folds(groups, classes, hashes.astype(np.uint64), folds=3)
    assert set(folds.tolist()) <= {0, 1, 2}
    for values in (groups, hashes):
        assert all(len(set(folds[values == value].tolist())) == 1 for value in values)


def test_folds_hold_each_class_by_its_share() -> None:
    texts, _ = make_texts(103, 2)
    classes = (np.arange(103) % 10 == 0).astype(np.int64)
    folds = assign_folds(np.arange(103), classes, content_hashes(texts, seed=0), folds=5)
    assert np.ptp(np.bincount(folds[classes == 1])) <= 1
    assert np.ptp(np.bincount(folds)) <= 2


def test_odd_texts_and_classes_are_scored() -> None:
    """Surrogates, a class of one row, an absent class, texts without words."""
    texts, truth = make_texts(40, 2)
    texts[:2] = ["\ud800 sign0 w1", "? !"]
    truth[4] = 3
    found = out_of_fold_probabilities(texts, truth, classes_count=4, groups=np.arange(40))
    assert np.isfinite(found).all()
    assert (found[4].argmax() != 3) and (found[:, 2] < 0.5).all()
    letters = list("ababababab")
    found = out_of_fold_probabilities(
        [f"{letter} {'.' * k}" for k, letter in enumerate(letters)],
        np.arange(10) % 2, classes_count=2, groups=np.arange(10),
    )  # fmt: skip
    assert (found.argmax(1) == np.arange(10) % 2).mean() > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": np.zeros(40, np.int64)}, "two classes"),
        ({"classes": np.arange(40) % 3}, "from 0 to 1"),
        ({"classes": np.zeros(3, np.int64)}, "as many classes"),
        ({"folds": 1}, "folds=1"),
        ({"groups": np.zeros(40, np.int64)}, "1 units"),
        ({"texts": [""] * 40}, "empty"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change: dict, message: str) -> None:
    texts, truth = make_texts(40, 2)
    given = {"texts": texts, "classes": truth, "groups": np.arange(40), **change}
    with pytest.raises(TrainingError, match=message):
        out_of_fold_probabilities(given.pop("texts"), given.pop("classes"), classes_count=2, **given)


def test_the_penalty_is_stronger_than_the_baseline_s() -> None:
    assert PENALTY < 1
