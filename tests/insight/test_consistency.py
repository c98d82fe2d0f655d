import json

import numpy as np
import numpy.typing as npt

from dlcycle.insight.consistency import check_batch_sizes, sample_texts

TEXTS = ["x" * length + str(number) for number, length in enumerate(range(1, 900, 2))]


def stable(texts: list[str], size: int) -> npt.NDArray[np.float64]:
    lengths = np.array([len(text) for text in texts]) / 1000
    return np.column_stack([lengths, 1 - lengths])


def padded(texts: list[str], size: int) -> npt.NDArray[np.float64]:
    """A defect: the result depends on the longest text of the batch."""
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    return np.concatenate([stable(batch, size) + 1e-4 * max(map(len, batch)) / 900 for batch in batches])


def test_a_stable_model_passes() -> None:
    result = check_batch_sizes(stable, TEXTS)
    assert result["passed"]
    assert result["largest_difference"] == 0.0
    assert result["sizes"] == [1, 7, 256]
    assert result["rows"] == 300
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_model_that_sees_its_padding_fails() -> None:
    result = check_batch_sizes(padded, TEXTS)
    assert not result["passed"]
    assert result["largest_difference"] > 5e-5
    assert "do not agree" in result["message"]


def test_values_that_are_not_finite_and_wrong_shapes_fail() -> None:
    broken = check_batch_sizes(lambda texts, size: np.full((len(texts), 2), np.nan if size == 7 else 0.5), TEXTS)
    assert not broken["passed"]
    assert broken["largest_difference"] is None
    assert "not finite" in broken["message"]
    short = check_batch_sizes(lambda texts, size: np.zeros((len(texts) - (size == 7), 2)), TEXTS)
    assert not short["passed"]
    assert "different shapes" in short["message"]


def test_every_batch_size_gets_the_same_texts() -> None:
    seen = []
    check_batch_sizes(lambda texts, size: (seen.append((size, tuple(texts))), stable(texts, size))[1], TEXTS, most=20)
    assert [size for size, _ in seen] == [1, 7, 256]
    assert len({texts for _, texts in seen}) == 1


def test_the_sample_is_fixed_mixed_and_holds_the_extremes() -> None:
    sample = sample_texts(TEXTS, most=50)
    assert sample == sample_texts(TEXTS[::-1], most=50)
    assert len(set(sample)) == 50
    assert {TEXTS[0], TEXTS[-1]} <= set(sample)
    lengths = [len(text) for text in sample]
    assert lengths != sorted(lengths)
    assert sample_texts(["only"]) == ["only"]
