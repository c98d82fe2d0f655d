from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from dlcycle.config import ModelSpec
from dlcycle.insight.robustness.word_swaps import WordSwaps, estimated_gains, odds_against, odds_gradients, swap_words
from dlcycle.model import load_model
from dlcycle.model.artifact import TextClassifier, pack_model
from dlcycle.model.reading import read_texts
from dlcycle.model.text import NetworkSpec, build_text_model, pad_rows
from dlcycle.model.tokenizer import fit_tokenizer, split_words

LABELS = ["Books", "Household", "Toys"]
OWN = ["novel author pages plot", "kitchen steel rack oven", "puzzle doll ball swing"]
NEUTRAL = [f"{first}{second}" for first in ("fa", "go", "hu", "ki", "lo", "me") for second in ("nd", "rt", "st", "lm")]
SPECS = {
    "bag": ModelSpec(architecture="bag", embedding=16, hidden=16, ngrams=2, buckets=512, min_count=1, dropout=0.0),
    "cnn": ModelSpec(architecture="cnn", embedding=16, hidden=8, kernels=(1, 2), min_count=1, dropout=0.0),
    "gru": ModelSpec(architecture="gru", embedding=16, hidden=8, min_count=1, dropout=0.0),
    "transformer": ModelSpec(architecture="transformer", embedding=16, hidden=16, heads=2, min_count=1, dropout=0.0),
    "sub-words": ModelSpec(architecture="bag", tokenizer="bpe", vocabulary=400, embedding=16, hidden=16, dropout=0.0),
}


def corpus(rows: int, seed: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Texts with one or two words of their class among neutral ones, some of which lean a little by chance."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(len(LABELS), size=rows)
    texts = []
    for number in truth:
        own = generator.choice(OWN[number].split(), generator.integers(1, 3))
        words = [*own, *generator.choice(NEUTRAL, 6)]
        texts.append(", ".join(map(str, generator.permutation(words))))
    return texts, truth


def classifier_of(spec: ModelSpec) -> TextClassifier:
    """A network after some steps on texts as those that are attacked."""
    texts, truth = corpus(150, seed=0)
    tokenizer = fit_tokenizer(texts, spec=spec)
    sizes = NetworkSpec(spec, tokens=tokenizer.size, classes=len(LABELS))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_text_model(sizes)
    tokens, lengths = pad_rows(tokenizer.encode(texts))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(tokens, lengths), torch.as_tensor(truth)).backward()
        optimiser.step()
    return load_model(
        pack_model(
            network, tokenizer=tokenizer, spec=sizes, labels=LABELS, temperature=1.0, input_columns=["text"],
            project="small",
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def models() -> Callable[[str], TextClassifier]:
    """Classifiers by the names of `SPECS`, each trained once."""
    made: dict[str, TextClassifier] = {}

    def model(name: str) -> TextClassifier:
        if name not in made:
            made[name] = classifier_of(SPECS[name])
        return made[name]

    return model


def broken(found: WordSwaps, truth: npt.NDArray[np.int64]) -> int:
    return int((found.predicted != truth).sum())


@pytest.mark.parametrize("name", SPECS)
def test_the_gradient_breaks_more_decisions_than_chance(models: Callable[[str], TextClassifier], name: str) -> None:
    """The control makes as many swaps and computes as many of them; its words are as neutral."""
    model = models(name)
    texts, truth = corpus(80, seed=1)
    clean = int((model.logits(texts).argmax(1) != truth).sum())
    more = {}
    for tries in (1, 3):
        guided, control = (
            swap_words(model, texts, truth, vocabulary=NEUTRAL, tries=tries, search=search)
            for search in ("gradient", "random")
        )
        assert (guided.search, control.search) == ("gradient", "random")
        more[tries] = broken(guided, truth) - clean, broken(control, truth) - clean
    assert more[1][0] > 2 * more[1][1]
    assert more[3][0] > more[3][1] + 5


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("search", ["gradient", "random"])
def test_what_is_reported_is_what_the_model_decides_on_the_swapped_texts(
    models: Callable[[str], TextClassifier], name: str, search: Any
) -> None:
    model = models(name)
    texts, truth = corpus(40, seed=1)
    truth[::8] = (truth[::8] + 1) % len(LABELS)  # wrong labels make right decisions wrong
    found = swap_words(model, texts, truth, vocabulary=NEUTRAL, search=search, budget=2)
    assert found.predicted.tolist() == model.logits(found.after).argmax(1).tolist()
    clean = model.logits(texts)
    was_right = clean.argmax(1) == truth
    assert 20 < was_right.sum() <= 35
    odds, after = odds_against(clean, truth), odds_against(model.logits(found.after), truth)
    for place, swaps in enumerate(found.swaps):
        old, new = split_words(texts[place]), split_words(found.after[place])
        changed = [(one, other) for one, other in zip(old, new, strict=True) if one != other]
        assert sorted(changed) == sorted(swap for swap in swaps if swap[0] != swap[1])
        assert len(swaps) <= 2
        assert {word for _, word in swaps} <= set(NEUTRAL)
        assert found.before[place] == texts[place]
        if swaps:
            assert was_right[place]
            assert after[place] > odds[place]  # each swap was for the worse
        else:
            assert found.after[place] == texts[place]


def test_a_larger_budget_breaks_more(models: Callable[[str], TextClassifier]) -> None:
    texts, truth = corpus(40, seed=1)
    found = [swap_words(models("cnn"), texts, truth, vocabulary=NEUTRAL, budget=budget) for budget in (1, 2, 3)]
    assert broken(found[0], truth) < broken(found[1], truth) < broken(found[2], truth)
    assert [max(map(len, one.swaps)) for one in found] == [1, 2, 3]


@pytest.mark.parametrize("name", SPECS)
def test_the_gradient_is_that_of_finite_differences(models: Callable[[str], TextClassifier], name: str) -> None:
    """Central differences with a step of 1e-5 in float64 are exact to about 1e-9."""
    model = models(name)
    texts, truth = corpus(3, seed=2)
    rows = model.tokenizer.encode(texts)
    network = load_copy(model).double()
    gradients = list(odds_gradients(network, rows, truth.tolist()))
    generator = torch.Generator().manual_seed(0)
    for ids, number, gradient in zip(rows, truth, gradients, strict=True):
        assert gradient.shape == (len(ids), 16)
        direction = torch.randn(gradient.shape, generator=generator, dtype=torch.float64)

        def odds(step: float, ids: Any = ids, number: int = int(number), direction: Tensor = direction) -> float:
            hook = network.embedding.register_forward_hook(lambda module, inputs, output: output + step * direction)
            with torch.no_grad():
                logits = network(*pad_rows([ids])).numpy()
            hook.remove()
            return float(odds_against(logits, np.array([number]))[0])

        slope = (odds(1e-5) - odds(-1e-5)) / 2e-5
        assert float((gradient * direction.numpy()).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def load_copy(model: TextClassifier) -> Any:
    """The network once more, for a test that changes it."""
    network = build_text_model(
        NetworkSpec(ModelSpec.model_validate(model.description["settings"]), model.tokenizer.size, len(LABELS))
    )
    network.load_state_dict(model.network.state_dict())
    return network.eval()


class LinearNetwork(nn.Module):
    """Mean of embeddings and a linear layer for two classes: its log-odds are linear in each embedding."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Embedding(tokens, 4, _weight=torch.randn(tokens, 4, generator=generator))
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        keep = (torch.arange(tokens.shape[1]) < lengths[:, None]).float()
        return self.head((keep.unsqueeze(1) @ self.embedding(tokens)).squeeze(1) / lengths[:, None])


class BlindNetwork(nn.Module):
    """A network without a layer called `embedding`."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.table = LinearNetwork(tokens)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.table(tokens, lengths)


def linear_classifier(kind: Callable[[int], nn.Module] = LinearNetwork) -> TextClassifier:
    tokenizer = fit_tokenizer(corpus(150, seed=0)[0], spec=SPECS["gru"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = kind(tokenizer.size).eval()
    return TextClassifier(network, tokenizer, ["a", "b"], 1.0, {})


def test_the_estimate_is_exact_where_the_network_is_linear() -> None:
    model = linear_classifier()
    text = corpus(1, seed=3)[0][0]
    [reading] = read_texts(model.tokenizer, [text])
    embedding: Any = model.network.embedding
    weight = embedding.weight.detach().numpy()
    [gradient] = odds_gradients(model.network, [reading.ids], [0])
    new = np.stack([weight[ids[0]] for ids in model.tokenizer.encode(NEUTRAL)])
    gains = estimated_gains(reading, gradient, old=weight[reading.ids], new=new)
    zero = np.zeros(len(NEUTRAL), dtype=np.int64)
    clean = odds_against(model.logits([text]), zero[:1])
    for word, old in enumerate(reading.words):
        start, end = reading.spans[word]
        swapped = [text[:start] + other + text[end:] for other in NEUTRAL]
        exact = odds_against(model.logits(swapped), zero) - clean
        assert gains[word] == pytest.approx(exact, abs=1e-5), old  # float32
    assert np.ptp(gains) > 0.1


def test_a_replaced_word_takes_its_ngrams_with_it() -> None:
    """Of a linear network without weights for new n-grams the estimate counts each n-gram that goes once."""
    tokenizer = fit_tokenizer(["red old shoe"], spec=SPECS["bag"])
    [reading] = read_texts(tokenizer, ["red old shoe"])
    assert len(reading.ids) == 5
    gradient = np.arange(1.0, 6.0)[:, None]  # three words, then two bigrams
    gains = estimated_gains(reading, gradient, old=np.ones((5, 1)), new=np.array([[0.0], [2.0]]))
    assert gains[:, 0].tolist() == [-(1 + 4), -(2 + 4 + 5), -(3 + 5)]
    assert (gains[:, 1] - gains[:, 0]).tolist() == [2 * 1, 2 * 2, 2 * 3]


def test_networks_without_an_embedding_are_attacked_at_random() -> None:
    texts = corpus(80, seed=1)[0]
    truth = linear_classifier().logits(texts).argmax(1)
    assert 0 < truth.sum() < len(truth)
    blind = swap_words(linear_classifier(BlindNetwork), texts, truth, vocabulary=NEUTRAL)
    assert blind.search == "random"
    assert (blind.predicted != truth).any()
    seen = swap_words(linear_classifier(), texts, truth, vocabulary=NEUTRAL)
    assert (seen.predicted != truth).sum() > (blind.predicted != truth).sum()


def test_the_network_is_as_before_also_after_an_error(models: Callable[[str], TextClassifier]) -> None:
    network = load_copy(models("gru"))
    model = replace(models("gru"), network=network)
    network.train()
    network.head.eval()
    network.head.weight.requires_grad_(False)
    network.embedding.weight.grad = torch.ones_like(network.embedding.weight)
    weights = {name: value.clone() for name, value in network.state_dict().items()}

    def state() -> list[Any]:
        flags = [module.training for module in network.modules()]
        hooks = [len(module._forward_hooks) for module in network.modules()]
        return [flags, hooks, [value.requires_grad for value in network.parameters()]]

    before = state()
    texts, truth = corpus(10, seed=1)
    swap_words(model, texts, truth, vocabulary=NEUTRAL)
    assert state() == before
    assert (network.embedding.weight.grad == 1).all()
    with pytest.raises(IndexError):
        list(odds_gradients(network, [np.array([10_000])], [0]))
    assert state() == before
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("search", ["gradient", "random"])
def test_neither_the_order_of_the_rows_nor_the_batches_matter(
    models: Callable[[str], TextClassifier], search: Any
) -> None:
    texts, truth = corpus(40, seed=1)
    model = models("gru")
    whole = swap_words(model, texts, truth, vocabulary=NEUTRAL, search=search)
    turned = swap_words(model, texts[::-1], truth[::-1], vocabulary=NEUTRAL, search=search, memory_megabytes=1)
    assert turned.after[::-1] == whole.after
    assert turned.swaps[::-1] == whole.swaps
    if search == "random":
        assert swap_words(model, texts, truth, vocabulary=NEUTRAL, search=search, seed=1).after != whole.after


def test_batches_keep_to_the_memory_and_gradients_to_their_rows(models: Callable[[str], TextClassifier]) -> None:
    network: Any = models("cnn").network
    rows = models("cnn").tokenizer.encode(corpus(9, seed=1)[0])
    sizes: list[int] = []
    hook = network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    small = list(odds_gradients(network, rows, [0] * 9, memory_megabytes=0))
    large = list(odds_gradients(network, rows, [0] * 9, memory_megabytes=64))
    hook.remove()
    # One row is computed first, to measure what it takes.
    assert sizes == [1] + [1] * 9 + [1, 9]
    for one, other, ids in zip(small, large, rows, strict=True):
        assert one.shape == (len(ids), 16)
        assert one == pytest.approx(other, abs=1e-6)  # float32, summed in another order


def test_personal_data_is_masked_before_it_is_told(models: Callable[[str], TextClassifier]) -> None:
    address, number = "plot.novel@author.pages.org", "call +91 98765 43210"
    for text, hidden in ((address, {"plot", "novel", "author", "pages"}), (number, {"98765", "43210"})):
        truth = models("bag").logits([text]).argmax(1)
        [swaps] = swap_words(models("bag"), [text], truth, vocabulary=NEUTRAL, budget=9, tries=200).swaps
        assert [old for old, _ in swaps if "\u2022" in old]
        assert not hidden & {old for old, _ in swaps}


@pytest.mark.parametrize("name", ["bag", "sub-words"])
@pytest.mark.parametrize(
    "text",
    ["", " ", "...", "novel", "Novel, PAGES! author? don't", "pages\u00a0\u2122 ﬁsh novel", "novel \ud800 pages",
     "İİ novel", "हिन्दी novel किताब", "小说小说 novel", "n-o_v.e/l novel5 5novel", "novel " * 600,
     "e\u0301 novel \u0301 pages"],
)  # fmt: skip
def test_any_text_is_borne(models: Callable[[str], TextClassifier], name: str, text: str) -> None:
    model = models(name)
    truth = model.logits([text]).argmax(1)
    found = swap_words(model, [text], truth, vocabulary=NEUTRAL)
    assert found.predicted.tolist() == model.logits(found.after).argmax(1).tolist()
    # What is put in stands alone, so that it is read as the word that it is.
    assert all(f"{new}" in split_words(found.after[0]) for _, new in found.swaps[0])


def test_nothing_to_do_changes_nothing(models: Callable[[str], TextClassifier]) -> None:
    texts, truth = corpus(5, seed=1)
    for options in ({"vocabulary": []}, {"vocabulary": NEUTRAL, "budget": 0}):
        assert swap_words(models("bag"), texts, truth, **options).after == texts  # type: ignore[arg-type]
    assert swap_words(models("bag"), [], [], vocabulary=NEUTRAL).after == []
    unknown = swap_words(models("bag"), texts, np.full(5, -1), vocabulary=NEUTRAL)
    assert unknown.after == texts
    assert (unknown.predicted >= 0).all()
