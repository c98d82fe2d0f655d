import numpy as np
import pytest
import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor

from dlcycle.config import ModelSpec
from dlcycle.insight.attribution.lstm import ROWS, Scratch, bytes_of_an_id, is_plain_lstm, lstm_scores
from dlcycle.model.text import NetworkSpec, RecurrentNetwork, build_text_model, pad_rows

STEPS = 20
LENGTHS = [1, 9, 30, 30, 17]


def make_network(**settings: object) -> RecurrentNetwork:
    """In double precision, in which rounding cannot hide a mistake."""
    spec = ModelSpec.model_validate({"architecture": "lstm", "embedding": 6, "hidden": 5, **settings})
    torch.manual_seed(0)
    network = build_text_model(NetworkSpec(spec, tokens=40, classes=3))
    assert isinstance(network, RecurrentNetwork)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network.double().eval().requires_grad_(False)


def make_rows(lengths: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    generator = np.random.default_rng(1)
    tokens, sizes = pad_rows([generator.integers(1, 40, length) for length in lengths])
    return tokens, sizes, torch.arange(len(lengths)) % 3


def captum_scores(network: RecurrentNetwork, tokens: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
    def centred(*given: Tensor) -> Tensor:
        logits = network(*given)
        return logits - logits.mean(1, keepdim=True)

    explain = LayerIntegratedGradients(centred, network.embedding)
    found = explain.attribute(
        tokens, torch.zeros_like(tokens), target=targets, additional_forward_args=lengths, n_steps=STEPS
    )
    return found.sum(2).detach()


@pytest.mark.parametrize("at_once", [1, 7, STEPS, 100])
@pytest.mark.parametrize("lengths", [LENGTHS, [30, 30], [1]], ids=str)
def test_scores_are_those_of_captum_however_many_points_are_held(lengths: list[int], at_once: int) -> None:
    network, rows = make_network(), make_rows(lengths)
    found = lstm_scores(network, *rows, steps=STEPS, at_once=at_once, scratch=Scratch())
    expected = captum_scores(network, *rows)
    # captum takes the points of the line in single precision.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-7)
    assert expected.abs().max() > 0.1, "there is something to agree about"


def test_memory_is_used_again_and_changes_nothing() -> None:
    network, scratch = make_network(), Scratch()
    options = {"steps": STEPS, "at_once": STEPS}
    for lengths in (LENGTHS, [30] * ROWS, [4, 3], LENGTHS):
        rows = make_rows(lengths)
        again = lstm_scores(network, *rows, **options, scratch=scratch)  # type: ignore[arg-type]
        fresh = lstm_scores(network, *rows, **options, scratch=Scratch())  # type: ignore[arg-type]
        assert torch.equal(again, fresh)
    held = sum(part.nbytes for part in scratch._held.values())
    assert held <= bytes_of_an_id(network) * STEPS * 30 * ROWS
    assert held > 0.9 * bytes_of_an_id(network) * STEPS * 30 * ROWS, "control: the measure is not far off"


@pytest.mark.parametrize(
    ("settings", "plain"), [({}, True), ({"layers": 2}, False), ({"architecture": "gru"}, False)], ids=str
)
def test_other_networks_are_told_apart(settings: dict, plain: bool) -> None:
    assert is_plain_lstm(make_network(**settings)) is plain
    assert not is_plain_lstm(make_network().recurrent)
