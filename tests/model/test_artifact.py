import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from dlcycle.config import ModelSpec
from dlcycle.data.files import write_file
from dlcycle.errors import DataError, ModelFileError
from dlcycle.model import load_model
from dlcycle.model.artifact import FILES, _canonical, _digest, pack_model, save_model, softmax
from dlcycle.model.text import NetworkSpec, build_text_model
from dlcycle.model.tokenizer import fit_tokenizer

TEXTS = ["red shoe", "blue shoe", "a red hat for the beach", "blue hat", "", "हिन्दी hat"]
LABELS = ["shoes", "hats <b>", "außen"]


def make_artifact(architecture: str = "bag", *, build: Any = build_text_model, **extra: Any) -> dict[str, Any]:
    spec = ModelSpec(architecture=architecture, min_count=1, buckets=20, max_tokens=5)  # type: ignore[arg-type]
    tokenizer = fit_tokenizer(TEXTS, spec=spec)
    torch.manual_seed(3)
    network_spec = NetworkSpec(spec, tokens=tokenizer.size, classes=len(LABELS))
    return pack_model(
        build(network_spec),
        tokenizer=tokenizer,
        spec=network_spec,
        labels=LABELS,
        temperature=1.5,
        input_columns=["title"],
        project="shop",
        extra=extra,
    )


def signed(artifact: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The artifact with a changed description whose digests are right again."""
    description = artifact["description"] | changes
    description["sha256"] = {
        "weights": _digest(artifact["weights"]),
        "tokenizer": _digest(artifact["tokenizer"].encode()),
        "description": _digest(_canonical(description)),
    }
    return artifact | {"description": description}


class OwnNetwork(nn.Module):
    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.table = nn.Embedding(spec.tokens, spec.classes)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return self.table(tokens[:, 0])


@pytest.mark.parametrize("architecture", ["bag", "cnn", "gru", "lstm", "transformer"])
def test_a_restored_model_predicts_the_same_in_memory_and_from_a_folder(
    architecture: str, tmp_path: pathlib.Path
) -> None:
    artifact = make_artifact(architecture, seconds=1.5, path=None)
    save_model(artifact, tmp_path / "model")
    first, second = load_model(artifact), load_model(tmp_path / "model")
    assert first.description == second.description == artifact["description"]
    assert np.array_equal(first.logits(TEXTS), second.logits(TEXTS))
    prediction = first.predict(TEXTS, batch_size=2)
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1.0)
    np.testing.assert_allclose(prediction.probabilities, softmax(first.logits(TEXTS) / 1.5), atol=1e-6)
    assert prediction.labels == [LABELS[index] for index in prediction.probabilities.argmax(1)]
    assert not first.network.training


def test_everything_is_plain_data_and_digests_are_those_of_the_parts() -> None:
    artifact = make_artifact(epochs=3)
    assert {key: type(value) for key, value in artifact.items()} == {
        "weights": bytes,
        "tokenizer": str,
        "description": dict,
    }
    assert json.loads(json.dumps(artifact["description"], allow_nan=False)) == artifact["description"]
    assert artifact["description"]["architecture"] == "bag"
    assert artifact["description"]["extra"] == {"epochs": 3}
    assert artifact == signed(artifact)


def test_a_plain_process_loads_without_metaflow_lightning_or_pickle(tmp_path: pathlib.Path) -> None:
    artifact = make_artifact()
    save_model(artifact, tmp_path)
    code = (
        "import sys, pickle\n"
        "def refuse(*args, **kwargs): raise AssertionError('unpickled')\n"
        "from dlcycle.model import load_model\n"
        "assert 'torch' not in sys.modules\n"
        "import torch; pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse\n"
        f"print(load_model({str(tmp_path)!r}).predict({TEXTS!r}).labels)\n"
        "assert not {'metaflow', 'pytorch_lightning'} & set(sys.modules)\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(load_model(artifact).predict(TEXTS).labels)


def test_no_texts_give_no_predictions_and_wrong_ones_are_named() -> None:
    model = load_model(make_artifact())
    empty = model.predict([])
    assert (empty.labels, empty.probabilities.shape) == ([], (0, 3))
    with pytest.raises(DataError, match="got str; put a single text into a list"):
        model.predict("red shoe")
    with pytest.raises(DataError, match="element 1 is NoneType, 2 is int"):
        model.predict(["a", None, 3])  # type: ignore[list-item]
    with pytest.raises(DataError, match="batch_size"):
        model.predict(["a"], batch_size=0)


def test_a_network_of_the_project_needs_its_builder() -> None:
    artifact = make_artifact(build=OwnNetwork)
    assert artifact["description"]["architecture"] == "custom"
    with pytest.raises(ModelFileError, match="`build`"):
        load_model(artifact)
    assert load_model(artifact, build=OwnNetwork).predict(TEXTS).probabilities.shape == (6, 3)


@pytest.mark.parametrize("part", ["weights", "tokenizer", "description"])
def test_every_damage_of_a_file_is_found(part: str, tmp_path: pathlib.Path) -> None:
    artifact = make_artifact()
    save_model(artifact, tmp_path)
    path = tmp_path / FILES[part]
    good = path.read_bytes()
    generator = np.random.default_rng(0)
    for position in generator.integers(0, len(good), 40).tolist():
        changed = good[:position] + bytes([good[position] ^ (1 << (position % 7))]) + good[position + 1 :]
        for damaged in (good[:position], changed, b"", good[:-1] + b"\0"):
            path.write_bytes(damaged)
            # White space and escapes of the JSON may change without changing what it says.
            if part == "description" and _says_the_same(damaged, artifact["description"]):
                continue
            with pytest.raises(ModelFileError):
                load_model(tmp_path)
    path.unlink()
    with pytest.raises(ModelFileError, match=path.name):
        load_model(tmp_path)


def _says_the_same(data: bytes, description: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(data) == description)
    except ValueError:
        return False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format 2"),
        ({"modality": "image"}, "image"),
        ({"labels": ["a", "b"]}, "2 labels"),
        ({"labels": ["a", "a", "b"]}, "2 of them different"),
        ({"labels": [1, 2, 3]}, "not a list of strings"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"tokens": 7}, "7 ids"),
        ({"settings": {"architecture": "rnn"}}, "settings"),
        ({"settings": None}, "settings"),
        ({"architecture": "cnn"}, "settings say 'bag'"),
        ({"classes": 2, "labels": ["a", "b"]}, "head.*3"),
        ({"temperature": float("nan")}, "damaged"),
    ],
)
def test_what_does_not_fit_together_is_named(changes: dict[str, Any], message: str) -> None:
    artifact = make_artifact()
    assert load_model(signed(artifact, project="other")), "control: a harmless change loads"
    try:
        wrong = signed(artifact, **changes)
    except ValueError:
        wrong = artifact | {"description": artifact["description"] | changes}
    with pytest.raises(ModelFileError, match=message):
        load_model(wrong)


def test_what_is_no_model_is_refused(tmp_path: pathlib.Path) -> None:
    artifact = make_artifact()
    not_safetensors = artifact | {"weights": b"\x80\x04."}
    short = artifact | {"weights": safetensors.torch.save({"embedding.weight": torch.zeros(2, 2)})}
    for wrong in ({}, artifact | {"weights": "text"}, artifact | {"description": []}, tmp_path / "nothing"):
        with pytest.raises(ModelFileError):
            load_model(wrong)
    with pytest.raises(ModelFileError, match="weights differ"):
        load_model(not_safetensors)
    with pytest.raises(ModelFileError, match="not safetensors"):
        load_model(signed(not_safetensors))
    with pytest.raises(ModelFileError, match=r"the weights do not fit the network: .*head.4.weight: expected"):
        load_model(signed(short))


def test_write_file_leaves_the_old_content_when_it_fails(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    with pytest.raises(TypeError):
        write_file(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
