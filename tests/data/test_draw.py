import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data.draw import sample_rows, spread_classes


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_each_beginning_holds_each_class_by_its_share(classes: list[int], data: st.DataObject) -> None:
    labels = np.array(classes)
    hashes = np.random.default_rng(0).integers(0, 2**60, len(labels)).astype(np.uint64)
    order = spread_classes(labels, hashes)
    assert sorted(order.tolist()) == list(range(len(labels)))
    first = data.draw(st.integers(1, len(labels)))
    share = np.bincount(labels, minlength=4) * first / len(labels)
    # Each class is at most half a row off by its own places, and the others' half rows move the cut.
    assert (np.abs(np.bincount(labels[order[:first]], minlength=4) - share) <= 2.5).all()


def test_a_sample_is_chosen_by_content() -> None:
    truth = np.arange(300) % 3
    texts = [f"text {number}" for number in range(300)]
    chosen = sample_rows(texts, truth, limit=90)
    assert np.bincount(truth[chosen]).tolist() == [30, 30, 30]
    order = np.random.default_rng(1).permutation(300)
    again = sample_rows([texts[k] for k in order], truth[order], limit=90)
    assert {texts[k] for k in chosen} == {texts[order[k]] for k in again}
    assert sample_rows(texts, truth, limit=1000).tolist() == list(range(300))
