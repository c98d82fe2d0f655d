import numpy as np
import pytest
import torch
from torch import nn

from dlcycle.config import ModelSpec
from dlcycle.model.artifact import softmax
from dlcycle.model.text import NetworkSpec, build_text_model, network_logits, pad_rows

ARCHITECTURES = ["bag", "cnn", "gru", "lstm", "transformer"]
TOKENS, CLASSES, LONGEST = 60, 3, 40


def make_network(architecture: str, **settings: object) -> nn.Module:
    """A network with large weights, so that a leak of padding would be seen."""
    torch.manual_seed(0)
    spec = ModelSpec.model_validate({"architecture": architecture, "max_tokens": LONGEST, **settings})
    network = build_text_model(NetworkSpec(spec, tokens=TOKENS, classes=CLASSES))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 3.0
        network.embedding.weight[1:] += 0.3 * torch.randn_like(network.embedding.weight[1:])
    return network.eval()


def make_rows(count: int = 100) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    lengths = [1, LONGEST, *generator.integers(1, LONGEST + 1, count - 2)]
    return [generator.integers(1, TOKENS, length) for length in lengths]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_batch_size_does_not_change_predictions(architecture: str, layers: int) -> None:
    network, rows = make_network(architecture, layers=layers), make_rows()
    one, seven, many = (
        softmax(network_logits(network, rows, classes=CLASSES, batch_size=size)) for size in (1, 7, 256)
    )
    assert np.ptp(one[:, 0]) > 0.01, "the network tells the rows apart"
    assert np.abs(one - seven).max() <= 1e-5
    assert np.abs(one - many).max() <= 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neither_padding_nor_neighbours_change_a_row(architecture: str) -> None:
    network = make_network(architecture)
    short, long = np.array([4, 9, 2]), np.arange(1, LONGEST + 1)
    with torch.inference_mode():
        alone = network(*pad_rows([short]))
        tokens, lengths = pad_rows([long, short, short[:1]])
        together = network(tokens, lengths)
        leaking = network(tokens, torch.full_like(lengths, LONGEST))
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=0)
    assert (leaking[1] - together[1]).abs().max() > 1e-4, "control: unmasked padding does change the row"


@pytest.mark.parametrize("architecture", ["cnn", "gru", "lstm", "transformer"])
def test_order_of_words_matters(architecture: str) -> None:
    network = make_network(architecture)
    logits = network_logits(network, [np.array([4, 9, 2, 7]), np.array([7, 2, 9, 4])], classes=CLASSES)
    assert np.abs(logits[0] - logits[1]).max() > 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_learns_and_padding_stays_zero(architecture: str) -> None:
    torch.manual_seed(0)
    spec = ModelSpec(architecture=architecture, max_tokens=LONGEST, layers=2)  # type: ignore[arg-type]
    network = build_text_model(NetworkSpec(spec, tokens=TOKENS, classes=CLASSES)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    tokens, lengths = pad_rows(make_rows(64))
    network(tokens, lengths).logsumexp(1).sum().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()] == []
    optimizer.step()
    assert not network.embedding.weight[0].any()


def test_cnn_equals_a_window_by_window_loop() -> None:
    network = make_network("cnn", kernels=[2, 3])
    row = np.array([5, 8, 2, 2, 9])
    states = network.embedding.weight[torch.from_numpy(row)]
    features = []
    for convolution in network.convolutions:
        width = convolution.kernel_size[0]
        padded = torch.cat([states, torch.zeros(width - 1, states.shape[1])])
        windows = [(convolution.weight * padded[start : start + width].T).sum((1, 2)) for start in range(len(row))]
        features.append((torch.stack(windows) + convolution.bias).amax(0).relu())
    expected = network.head(torch.cat(features))
    found = network_logits(network, [row], classes=CLASSES)
    np.testing.assert_allclose(found[0], expected.detach().numpy(), atol=1e-4)


def test_gru_equals_running_each_row_alone_without_packing() -> None:
    network, rows = make_network("gru"), make_rows(20)
    found = network_logits(network, rows, classes=CLASSES, batch_size=20)
    with torch.inference_mode():
        for row, logits in zip(rows, found, strict=True):
            states, _ = network.recurrent(network.embedding(torch.from_numpy(row)[None]))
            np.testing.assert_allclose(logits, network.head(states.mean(1))[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_network_logits_restores_the_mode_and_keeps_the_order(architecture: str) -> None:
    network = make_network(architecture).train()
    rows = make_rows(30)
    logits = network_logits(network, rows, classes=CLASSES)
    assert network.training
    np.testing.assert_allclose(logits[::-1], network_logits(network, rows[::-1], classes=CLASSES), atol=1e-4)
    assert network_logits(network, [], classes=CLASSES).shape == (0, CLASSES)


def test_mode_is_restored_after_an_error() -> None:
    network = make_network("bag").train()
    with pytest.raises(IndexError):
        network_logits(network, [np.array([TOKENS])], classes=CLASSES)
    assert network.training
