"""The saved model: safetensors weights, tokenizer JSON and a description, none of which can hold code.

Digests are checked before anything is read, and every kind of damage is a `ModelFileError`.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dlcycle.config import ModelSpec
from dlcycle.data.files import write_file
from dlcycle.errors import DataError, ModelFileError
from dlcycle.model.text import NetworkSpec, build_text_model, network_logits
from dlcycle.model.tokenizer import Tokenizer, tokenizer_from_json

FORMAT = 1
FILES = {"weights": "weights.safetensors", "tokenizer": "tokenizer.json", "description": "description.json"}
CURE = "save the model again or take another copy"


@dataclass(frozen=True)
class Prediction:
    """Labels and probabilities of texts, in the order of the texts."""

    labels: list[str]
    probabilities: npt.NDArray[np.float64]
    """(N, C); rows sum to 1, columns in the order of the classifier's `labels`."""


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """A restored model."""

    network: nn.Module
    tokenizer: Tokenizer
    labels: list[str]
    """(C,) class names."""
    temperature: float
    """The logits are divided by it before the softmax (Guo et al., 2017)."""
    description: dict[str, Any]

    def logits(self, texts: Sequence[str], *, batch_size: int = 64) -> npt.NDArray[np.float64]:
        """Logits (N, C) before the temperature.

        Args:
            texts: N texts, as joined from the input columns.
            batch_size: texts computed at once; it does not change the result beyond rounding.

        Raises:
            DataError: `texts` is not a list of strings, or `batch_size` is below 1.
        """
        if batch_size < 1:
            raise DataError(f"expected batch_size of at least 1, got {batch_size}")
        return network_logits(
            self.network, self.tokenizer.encode(_checked(texts)), classes=len(self.labels), batch_size=batch_size
        )

    def predict(self, texts: Sequence[str], *, batch_size: int = 64) -> Prediction:
        """Most probable label and all probabilities of each text; arguments and errors as in `logits`."""
        probabilities = softmax(self.logits(texts, batch_size=batch_size) / self.temperature)
        return Prediction([self.labels[index] for index in probabilities.argmax(1)], probabilities)


def pack_model(
    network: nn.Module,
    *,
    tokenizer: Tokenizer,
    spec: NetworkSpec,
    labels: Sequence[str],
    temperature: float,
    input_columns: Sequence[str],
    project: str,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Turn a trained network into plain data.

    Args:
        network: trained network; read, not changed.
        tokenizer: the tokenizer it was trained with.
        spec: what it was built from.
        labels: (C,) class names in the order of the logits.
        temperature: divisor of the logits, above 0.
        input_columns: columns whose texts were joined.
        project: name of the project.
        extra: further facts for the description, JSON values only, for example how it was trained.

    Returns:
        `weights` (safetensors bytes), `tokenizer` (JSON text) and `description` (dict with the sha256 of all three).
    """
    weights = safetensors.torch.save(
        {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    )
    content = tokenizer.to_json()
    description = {
        "format": FORMAT,
        "modality": "text",
        "architecture": spec.settings.architecture if _is_built_in(network, spec) else "custom",
        "settings": spec.settings.model_dump(mode="json"),
        "tokens": spec.tokens,
        "classes": spec.classes,
        "labels": list(labels),
        "temperature": float(temperature),
        "max_tokens": tokenizer.max_tokens,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "input_columns": list(input_columns),
        "project": project,
        "extra": dict(extra or {}),
    }
    digests = {"weights": _digest(weights), "tokenizer": _digest(content.encode())}
    description["sha256"] = digests | {"description": _digest(_canonical(description))}
    return {"weights": weights, "tokenizer": content, "description": description}


def with_temperature(artifact: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """Return a packed model with another temperature, its digest renewed; weights and tokenizer are shared."""
    description = {**artifact["description"], "temperature": float(temperature)}
    description["sha256"] = {**description["sha256"], "description": _digest(_canonical(description))}
    return {**artifact, "description": description}


def save_model(artifact: Mapping[str, Any], folder: str | os.PathLike[str]) -> None:
    """Write a packed model to three files of a folder, which is made if needed; `load_model` takes the folder."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_file(target / FILES["weights"], artifact["weights"])
    write_file(target / FILES["tokenizer"], artifact["tokenizer"].encode())
    write_file(target / FILES["description"], json.dumps(artifact["description"], indent=1).encode())


def load_model(
    artifact: Mapping[str, Any] | str | os.PathLike[str], *, build: Callable[[NetworkSpec], nn.Module] | None = None
) -> TextClassifier:
    """Restore a model for prediction on the CPU.

    Args:
        artifact: what `pack_model` gave, or the folder it was saved to.
        build: builds the untrained network, for a model whose network is the project's own.

    Raises:
        ModelFileError: something is missing, damaged, of an unknown format, or does not fit together.
    """
    parts = dict(artifact) if isinstance(artifact, Mapping) else _read_folder(Path(artifact))
    weights, content, description = _checked_parts(parts)
    spec, labels, temperature = _checked_description(description)
    tokenizer = tokenizer_from_json(content)
    if tokenizer.size != spec.tokens:
        raise ModelFileError(f"expected a tokenizer of {spec.tokens} ids, got {tokenizer.size}; {CURE}")
    if description["architecture"] == "custom" and build is None:
        raise ModelFileError("the model's network is the project's own; pass the function that builds it as `build`")
    network = (build or build_text_model)(spec)
    _load_weights(network, weights)
    return TextClassifier(network.eval(), tokenizer, labels, temperature, description)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probabilities (N, C) of logits (N, C)."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    return exponentials / exponentials.sum(1, keepdims=True)


def _read_folder(folder: Path) -> dict[str, Any]:
    try:
        data = {key: (folder / name).read_bytes() for key, name in FILES.items()}
        description = json.loads(data["description"])
        return {"weights": data["weights"], "tokenizer": data["tokenizer"].decode(), "description": description}
    except OSError as error:
        raise ModelFileError(f"expected the files {', '.join(FILES.values())} in {folder}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"a file in {folder} is damaged ({error}); {CURE}") from error


def _checked_parts(parts: Mapping[str, Any]) -> tuple[bytes, str, dict[str, Any]]:
    """The three parts, of the right types and with the promised digests."""
    types = {"weights": bytes, "tokenizer": str, "description": dict}
    wrong = [
        f"{key} should be {kind.__name__}, is {type(parts[key]).__name__ if key in parts else 'missing'}"
        for key, kind in types.items()
        if not isinstance(parts.get(key), kind)
    ]
    if wrong:
        raise ModelFileError(f"not a saved model: {'; '.join(wrong)}; pass what `pack_model` returned")
    description = parts["description"]
    if description.get("format") != FORMAT or description.get("modality") != "text":
        found = f"format {description.get('format')!r}, modality {description.get('modality')!r}"
        cure = "load it with the dlcycle it is from"
        raise ModelFileError(f"expected a text model of format {FORMAT}, got {found}; {cure}")
    promised = description.get("sha256")
    try:
        found_digests = {
            "weights": _digest(parts["weights"]),
            "tokenizer": _digest(parts["tokenizer"].encode()),
            "description": _digest(_canonical(description)),
        }
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"the model's description or tokenizer is damaged ({error}); {CURE}") from error
    promised = promised if isinstance(promised, dict) else {}
    damaged = [key for key, digest in found_digests.items() if promised.get(key) != digest]
    if damaged:
        raise ModelFileError(f"the model's {', '.join(damaged)} differ from the recorded sha256; {CURE}")
    return parts["weights"], parts["tokenizer"], description


def _checked_description(description: Mapping[str, Any]) -> tuple[NetworkSpec, list[str], float]:
    """Network sizes, labels and temperature; the digest was right, so what is wrong was written wrong."""
    try:
        settings = ModelSpec.model_validate(description.get("settings"))
    except ValidationError as error:
        raise ModelFileError(f"the model's settings are not valid: {error.errors()[0]['msg']}; {CURE}") from error
    tokens: Any = description.get("tokens")
    classes: Any = description.get("classes")
    labels: Any = description.get("labels")
    temperature: Any = description.get("temperature")
    wrong = []
    if type(tokens) is not int or tokens < 2:
        wrong.append(f"tokens is {tokens!r}, not a number of ids")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        wrong.append("labels are not a list of strings")
    elif type(classes) is not int or len(labels) != classes or len(set(labels)) != classes or not classes:
        wrong.append(f"{len(labels)} labels, {len(set(labels))} of them different, for {classes!r} classes")
    if not isinstance(temperature, float) or not (math.isfinite(temperature) and temperature > 0):
        wrong.append(f"temperature is {temperature!r}, not a number above 0")
    if description.get("architecture") not in (settings.architecture, "custom"):
        wrong.append(f"architecture is {description.get('architecture')!r}, settings say {settings.architecture!r}")
    if wrong:
        raise ModelFileError(f"the model's description is not valid: {'; '.join(wrong)}; {CURE}")
    return NetworkSpec(settings, tokens=tokens, classes=classes), labels, temperature


def _load_weights(network: nn.Module, weights: bytes) -> None:
    try:
        state = safetensors.torch.load(weights)
    except Exception as error:  # the library raises several unrelated kinds for damaged bytes
        raise ModelFileError(f"the model's weights are not safetensors ({error}); {CURE}") from error
    expected = _shapes(network.state_dict())
    found = _shapes(state)
    if expected != found:
        wrong = [
            f"{name}: expected {expected.get(name, 'nothing')}, got {found.get(name, 'nothing')}"
            for name in sorted(expected.keys() | found.keys())
            if expected.get(name) != found.get(name)
        ]
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ModelFileError(f"the weights do not fit the network: {'; '.join(wrong[:5])}{more}; {CURE}")
    network.load_state_dict(state)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}" for name, value in state.items()}


def _is_built_in(network: nn.Module, spec: NetworkSpec) -> bool:
    with torch.device("meta"):
        reference = build_text_model(spec)
    return type(network) is type(reference) and _shapes(network.state_dict()) == _shapes(reference.state_dict())


def _checked(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, (str, bytes)) or not hasattr(texts, "__len__"):
        raise DataError(f"expected a list of texts, got {type(texts).__name__}; put a single text into a list")
    texts = list(texts)
    wrong = [f"{index} is {type(text).__name__}" for index, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError(f"expected only strings; element {', '.join(wrong[:5])}{more}; replace or drop these")
    return texts


def _canonical(description: Mapping[str, Any]) -> bytes:
    """The description as bytes, the same for equal content, without its digests."""
    content = {key: value for key, value in description.items() if key != "sha256"}
    return json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
