import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from dlcycle.errors import TrainingError
from dlcycle.model.baseline import fit_baseline


def make_texts(rows: int, classes: int, *, seed: int = 0) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    texts = [f"sign{label} " + " ".join(f"w{word}" for word in generator.integers(0, 50, 8)) for label in labels]
    return texts, labels


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_those_of_the_pipeline_it_is_named_after(classes: int) -> None:
    texts, labels = make_texts(60, classes)
    baseline = fit_baseline(texts, labels, classes=classes, seed=0)
    pipeline = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC(C=1, random_state=0))
    pipeline.fit(texts, labels)
    scores = baseline.scores(texts)
    assert scores.shape == (60, classes)
    assert np.array_equal(scores.argmax(1), pipeline.predict(texts))
    expected = pipeline.decision_function(texts)
    np.testing.assert_allclose(scores if classes > 2 else scores[:, 1], expected)
    assert baseline.features == len(pipeline[0].vocabulary_)
    assert baseline.seconds > 0
    assert baseline.notes == []


def test_it_learns_and_is_deterministic() -> None:
    texts, labels = make_texts(90, 3)
    unseen, truth = make_texts(30, 3, seed=1)
    first, second = (fit_baseline(texts, labels, classes=3, seed=5).scores(unseen) for _ in range(2))
    assert np.array_equal(first, second)
    assert (first.argmax(1) == truth).all()
    shuffled = np.random.default_rng(0).permutation(labels)
    control = fit_baseline(texts, shuffled, classes=3, seed=5).scores(unseen)
    assert (control.argmax(1) == truth).mean() < 0.8


def test_a_class_without_rows_is_never_predicted() -> None:
    texts, labels = make_texts(40, 2)
    scores = fit_baseline(texts, labels * 2, classes=4, seed=0).scores(texts)
    assert np.isfinite(scores).all()
    assert set(scores.argmax(1)) == {0, 2}
    assert (scores[:, [1, 3]] < scores[:, [0, 2]].min(1, keepdims=True)).all()


def test_an_empty_vocabulary_falls_back_and_says_so() -> None:
    words = fit_baseline(["red", "blue", "green", "white"], np.array([0, 0, 1, 1]), classes=2, seed=0)
    assert words.features == 4
    assert "all words" in words.notes[0]
    characters = fit_baseline(["靴", "靴!", "帽", "帽!"], np.array([0, 0, 1, 1]), classes=2, seed=0)
    assert "characters" in characters.notes[0]
    assert characters.scores(["靴?", "帽?"]).argmax(1).tolist() == [0, 1]
    with pytest.raises(TrainingError, match="empty"):
        fit_baseline(["", ""], np.array([0, 1]), classes=2, seed=0)


def test_one_class_is_an_error_and_no_texts_give_no_scores() -> None:
    texts, labels = make_texts(10, 2)
    with pytest.raises(TrainingError, match="two classes, got 1"):
        fit_baseline(texts, labels * 0, classes=2, seed=0)
    assert fit_baseline(texts, labels, classes=2, seed=0).scores([]).shape == (0, 2)


def test_a_warning_of_the_solver_becomes_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    fit = LinearSVC.fit

    def warn(self: LinearSVC, features: object, labels: object) -> LinearSVC:
        warnings.warn("did not converge", ConvergenceWarning, stacklevel=1)
        return fit(self, features, labels)

    monkeypatch.setattr(LinearSVC, "fit", warn)
    texts, labels = make_texts(10, 2)
    assert fit_baseline(texts, labels, classes=2, seed=0).notes == ["the baseline's solver: did not converge"]
