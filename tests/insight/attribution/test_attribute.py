import itertools
from typing import Any, get_args

import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor, nn

from dlcycle.config import AttributionMethod, ModelSpec
from dlcycle.errors import DataError, ModelFileError
from dlcycle.insight.attribution import gradients
from dlcycle.insight.attribution.attribute import Attribution, attribute
from dlcycle.insight.attribution.memory import measure_memory
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.reading import read_texts
from dlcycle.model.text import NetworkSpec, build_text_model, network_logits, pad_rows
from dlcycle.model.tokenizer import WordTokenizer, fit_tokenizer

ARCHITECTURES = ["bag", "cnn", "gru", "lstm", "transformer"]
METHODS = get_args(AttributionMethod)
WORDS = ["red", "blue", "shoe", "hat", "coat", "book", "pen", "cheap", "new", "warm", "soft", "big", "small", "one"]
LONGEST = 30


def make_texts(count: int = 12) -> list[str]:
    generator = np.random.default_rng(3)
    lengths = [1, LONGEST + 5, *generator.integers(1, LONGEST, count - 2)]
    return [" ".join(generator.choice(WORDS, length)) for length in lengths]


def make_classifier(architecture: str, **settings: object) -> TextClassifier:
    """A network with large weights, so that contributions are of the size that training gives them."""
    spec = ModelSpec.model_validate(
        {"architecture": architecture, "min_count": 1, "buckets": 30, "max_tokens": LONGEST, "embedding": 16,
         "hidden": 16, **settings}
    )  # fmt: skip
    tokenizer = fit_tokenizer([" ".join(WORDS), "red shoe", "blue hat"], spec=spec)
    torch.manual_seed(0)
    network: Any = build_text_model(NetworkSpec(spec, tokens=tokenizer.size, classes=3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1.5
        network.embedding.weight[1:] += 0.5 * torch.randn_like(network.embedding.weight[1:])
    return TextClassifier(network.eval(), tokenizer, ["a", "b", "c"], 1.0, {})


class Sum(nn.Module):
    """Logits are sums over the ids, so that every method must find each id's own number."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(tokens, 3, padding_idx=0)
        with torch.no_grad():
            # A text without words is read as one unknown word, which must not count here.
            self.embedding.weight[1] = 0.0

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.embedding(tokens).sum(1)


class Mean(Sum):
    """Finds the end of a row by the ids themselves."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        keep = (tokens != 0)[..., None]
        return (self.embedding(tokens) * keep).sum(1) / keep.sum(1)


class Product(nn.Module):
    """No `embedding`, and words that matter together only."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(tokens, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        keep = torch.arange(tokens.shape[1]) < lengths[:, None]
        return (1 + 0.5 * self.table(tokens) * keep[..., None]).prod(1)


class Wide(nn.Module):
    """No `embedding`, and much to keep of each id."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table, self.head = nn.Embedding(tokens, 2048), nn.Linear(2048, 3)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        keep = torch.arange(tokens.shape[1]) < lengths[:, None]
        return self.head((self.table(tokens).tanh() * keep[..., None]).sum(1)).tanh()


def own_classifier(kind: type[nn.Module]) -> TextClassifier:
    tokenizer = WordTokenizer(tuple(WORDS), max_tokens=LONGEST)
    return TextClassifier(kind(tokenizer.size).eval(), tokenizer, ["a", "b", "c"], 1.0, {})


def captum_scores(classifier: TextClassifier, text: str, target: int, steps: int) -> np.ndarray:
    """Word scores by captum's own recipe for one text."""
    network: Any = classifier.network
    [reading] = read_texts(classifier.tokenizer, [text])
    tokens, lengths = pad_rows([reading.ids])
    found = LayerIntegratedGradients(lambda *given: _centred(network(*given)), network.embedding).attribute(
        tokens, torch.zeros_like(tokens), target=target, additional_forward_args=lengths, n_steps=steps
    )
    return reading.owners.T @ found.sum(2)[0].detach().double().numpy()


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(1, keepdim=True)


def assert_equal(left: list[Attribution], right: list[Attribution], atol: float) -> None:
    for one, other in zip(left, right, strict=True):
        np.testing.assert_allclose(one.scores, other.scores, atol=atol)
        np.testing.assert_allclose([one.score, one.base], [other.score, other.base], atol=atol)


@pytest.mark.parametrize("steps", [7, 50])
@pytest.mark.parametrize("settings", [{}, {"layers": 2}, {"tokenizer": "bpe", "vocabulary": 300}], ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_integrated_gradients_equal_captum_text_by_text(architecture: str, settings: dict, steps: int) -> None:
    classifier, texts = make_classifier(architecture, **settings), make_texts()
    targets = [number % 3 for number in range(len(texts))]
    largest = 0.0
    for text, target, found in zip(texts, targets, attribute(classifier, texts, targets, steps=steps), strict=True):
        # The tolerance of the shortcuts; rounding alone gives 1e-6.
        np.testing.assert_allclose(found.scores, captum_scores(classifier, text, target, steps), atol=1e-4)
        largest = max(largest, np.abs(found.scores).max())
    assert largest > 0.01, "there is something to agree about"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_text_is_explained_the_same_alone_and_among_others(architecture: str, method: AttributionMethod) -> None:
    classifier, texts = make_classifier(architecture), [*make_texts(6), "", "!"]
    targets = [number % 3 for number in range(len(texts))]
    together = attribute(classifier, texts, targets, method=method, samples=2)
    alone = [
        attribute(classifier, [text], [to], method=method, samples=2)[0]
        for text, to in zip(texts, targets, strict=True)
    ]
    backwards = attribute(classifier, texts[::-1], targets[::-1], method=method, samples=2)[::-1]
    # Sums over other batches are rounded otherwise.
    assert_equal(together, alone, atol=1e-5)
    assert_equal(together, backwards, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_what_each_word_adds_to_a_sum(method: AttributionMethod) -> None:
    classifier = own_classifier(Sum)
    texts = ["red shoe, new!", "Blue blue hat", "unheard of"]
    weights = classifier.network.embedding.weight.detach().numpy()
    for target, found in zip([0, 1, 2], attribute(classifier, texts, [0, 1, 2], method=method, samples=3), strict=True):
        expected = (weights - weights.mean(1, keepdims=True))[found.reading.ids, target]
        np.testing.assert_allclose(found.scores, expected, atol=1e-5)
        np.testing.assert_allclose(found.score, expected.sum(), atol=1e-5)


def test_shapley_values_are_means_over_all_orders() -> None:
    classifier, text = own_classifier(Product), "red shoe warm"
    [reading] = read_texts(classifier.tokenizer, [text])

    def score(words: frozenset[int]) -> float:
        ids = reading.ids[sorted(words)] if words else np.array([1])
        logits = network_logits(classifier.network, [ids], classes=3)[0]
        return float(logits[1] - logits.mean())

    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        for place, word in enumerate(order):
            expected[word] += (score(frozenset(order[: place + 1])) - score(frozenset(order[:place]))) / 6
    [found] = attribute(classifier, [text], [1], method="shapley", samples=3000)
    # Orders are drawn: the error of a mean of 3,000 is some hundredth of their spread.
    np.testing.assert_allclose(found.scores, expected, atol=0.05 * np.abs(expected).max())
    [few] = attribute(classifier, [text], [1], method="shapley", samples=1)
    assert np.abs(few.scores - expected).max() > 0.05 * np.abs(expected).max(), "control: one order is not enough"
    assert few.delta == pytest.approx(0.0, abs=1e-6)


def test_occlusion_asks_about_the_text_without_the_word() -> None:
    classifier, text = make_classifier("gru"), "Red shoe, warm coat!"
    [found] = attribute(classifier, [text], [2], method="occlusion")
    logits = classifier.logits(
        [text, " shoe, warm coat!", "Red , warm coat!", "Red shoe,  coat!", "Red shoe, warm !", " ,  !"]
    )
    centred = logits[:, 2] - logits.mean(1)
    np.testing.assert_allclose(found.scores, centred[0] - centred[1:5], atol=1e-5)
    assert (found.score, found.base) == pytest.approx((centred[0], centred[5]), abs=1e-5)
    assert found.delta is None


def test_the_same_seed_gives_the_same_orders_and_leaves_global_random_numbers_alone() -> None:
    classifier = own_classifier(Product)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    options: dict[str, Any] = {"method": "shapley", "samples": 2}
    one, same, other = (attribute(classifier, make_texts(4), [0, 1, 2, 0], seed=seed, **options) for seed in (5, 5, 6))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert all((a.scores == b.scores).all() for a, b in zip(one, same, strict=True))
    assert any(not np.allclose(a.scores, b.scores) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("architecture", ["bag", "transformer"])
def test_scores_of_smooth_networks_add_up(architecture: str) -> None:
    classifier, texts = make_classifier(architecture), make_texts()
    for found in attribute(classifier, texts, [1] * len(texts)):
        assert found.delta is not None
        assert abs(found.delta) < 1e-3
        assert found.scores.sum() + found.base + found.delta == pytest.approx(found.score, abs=1e-9)
    assert any(abs(found.score - found.base) > 0.1 for found in attribute(classifier, texts, [1] * len(texts)))


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_a_network_may_find_the_end_of_a_row_by_its_ids(method: AttributionMethod) -> None:
    texts = make_texts()
    for found in attribute(own_classifier(Mean), texts, [1] * len(texts), method=method):
        assert found.base == (found.score if not len(found.scores) else 0.0)
        assert found.scores.sum() == pytest.approx(found.score - found.base, abs=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_all_classes_share_changes_nothing(architecture: str) -> None:
    classifier, texts = make_classifier(architecture), make_texts(4)
    before = attribute(classifier, texts, [0] * 4)
    head = classifier.network.head
    with torch.no_grad():
        (head if isinstance(head, nn.Linear) else head[-1]).bias += 5.0
    assert_equal(before, attribute(classifier, texts, [0] * 4), atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_memory_decides_about_time_alone(architecture: str) -> None:
    classifier, texts = make_classifier(architecture, embedding=64), make_texts()
    targets = [0] * len(texts)
    small, large = (attribute(classifier, texts, targets, memory_megabytes=size) for size in (1, 512))
    assert_equal(small, large, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "method"),
    [
        *itertools.product([*ARCHITECTURES, "own"], ["occlusion", "shapley"]),
        # What other networks do at the points of the line does not pass through them as a whole.
        *itertools.product(["bag", "transformer"], ["integrated_gradients", "gradient_x_input"]),
    ],
)
def test_no_batch_takes_more_than_the_memory(architecture: str, method: AttributionMethod) -> None:
    own = architecture == "own"
    classifier = own_classifier(Wide) if own else make_classifier(architecture, embedding=256)
    classifier.network.requires_grad_(False)
    texts = [" ".join(WORDS * 2), *make_texts(8)]
    ids = classifier.tokenizer.encode(texts)
    gradients = method in ("integrated_gradients", "gradient_x_input")
    memory = measure_memory(classifier.network, ids, megabytes=2, gradients=gradients)
    shapes: list[tuple[int, int]] = []
    classifier.network.register_forward_pre_hook(lambda _network, inputs: shapes.append(tuple(inputs[0].shape)))
    found, most = {}, {}
    for megabytes in (2, 512):
        shapes.clear()
        found[megabytes] = attribute(
            classifier, texts, [0] * len(texts), method=method, samples=1, memory_megabytes=megabytes
        )
        most[megabytes] = max(shapes)[0]
        if megabytes == 2:
            assert all(rows == 1 or rows * length * memory.bytes_of_an_id <= 2 * 2**20 for rows, length in shapes)
    assert 1 < most[2] < most[512], "control: the memory is what kept them small"
    # Where 15 points of a text do not fit, all points are taken, a few at a time.
    assert_equal(found[2], found[512], atol=1e-4 if method == "integrated_gradients" else 1e-5)


class Kink(Sum):
    """A corner in the middle of the line, which few points cannot see."""

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return (40 * (self.embedding(tokens).sum(1) - 0.3)).relu()


def test_few_points_are_not_believed_where_the_network_bends(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, texts = own_classifier(Kink), make_texts(6)
    targets = [0, 1, 2, 0, 1, 2]
    for text, target, found in zip(texts, targets, attribute(classifier, texts, targets), strict=True):
        np.testing.assert_allclose(found.scores, captum_scores(classifier, text, target, 50), atol=1e-4)
    monkeypatch.setattr(gradients, "TOLERANCE", np.inf)
    believed = attribute(classifier, texts, targets)
    gaps = [
        np.abs(found.scores - captum_scores(classifier, text, target, 50)).max()
        for text, target, found in zip(texts, targets, believed, strict=True)
    ]
    assert max(gaps) > 0.01, "control: believing them would show"


@pytest.mark.parametrize("method", METHODS)
def test_texts_without_words_have_no_scores(method: AttributionMethod) -> None:
    for settings in ({}, {"tokenizer": "bpe", "vocabulary": 300}):
        found = attribute(make_classifier("cnn", **settings), ["", " \n "], [0, 1], method=method)
        assert [len(row.scores) for row in found] == [0, 0]
        assert [row.base == row.score for row in found] == [True, True]
    assert attribute(make_classifier("cnn"), [], [], method=method) == []


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient_x_input"])
def test_gradients_need_an_embedding_and_say_what_does_not(method: AttributionMethod) -> None:
    with pytest.raises(ModelFileError, match=rf'explain.method = "{method}".*Product has none.*"occlusion"'):
        attribute(own_classifier(Product), ["red"], [0], method=method)

    class Pooled(Sum):
        def __init__(self, tokens: int) -> None:
            super().__init__(tokens)
            self.embedding = nn.EmbeddingBag(tokens, 3)  # type: ignore[assignment]

        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            return self.embedding(tokens)

    with pytest.raises(ModelFileError, match=r"expected `embedding` to give \(N, L, E\).*occlusion"):
        attribute(own_classifier(Pooled), ["red"], [0], method=method)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DataError) as caught:
        attribute(own_classifier(Sum), ["a", 1], [0, 3, -1], method="magic", steps=1, samples=0, memory_megabytes=0)  # type: ignore[arg-type, list-item]
    for part in (
        "element 1 is int",
        "2 texts and 3 targets",
        "from 0 to 2, got 3 (element 1), -1 (element 2)",
        "'magic'",
        "steps must be at least 2",
        "samples must be at least 1",
        "memory_megabytes must be at least 1",
    ):
        assert part in str(caught.value)
    for targets in ([0.5], [[0]], ["a"]):
        with pytest.raises(DataError, match="class indices"):
            attribute(own_classifier(Sum), ["a"], targets)
    with pytest.raises(DataError, match="list of texts"):
        attribute(own_classifier(Sum), "red", [0])


class Failing(nn.Module):
    """Fails when it is asked for the n-th time."""

    def __init__(self, network: Any, calls: int) -> None:
        super().__init__()
        self.network, self.embedding, self.calls = network, network.embedding, calls

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        self.calls -= 1
        if self.calls == 0:
            raise ZeroDivisionError
        return self.network(tokens, lengths)


def _state(network: nn.Module) -> list[object]:
    hooks = [[len(entries) for name, entries in vars(part).items() if "hooks" in name] for part in network.modules()]
    parameters = [(value.requires_grad, value.grad is None) for value in network.parameters()]
    return [[part.training for part in network.modules()], hooks, parameters]


@pytest.mark.parametrize("calls", [*range(1, 8), 1000])
@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_it_was_also_after_an_error(method: AttributionMethod, calls: int) -> None:
    classifier = make_classifier("gru")
    network = Failing(classifier.network, calls).train()
    network.network.head.eval()
    network.network.head.bias.requires_grad_(False)
    failing = TextClassifier(network, classifier.tokenizer, classifier.labels, 1.0, {})
    before, weights = _state(network), [value.clone() for value in network.parameters()]
    try:
        attribute(failing, make_texts(4), [0, 1, 2, 0], method=method, samples=2)
    except ZeroDivisionError:
        assert calls < 1000
    assert _state(network) == before
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters(), strict=True))
