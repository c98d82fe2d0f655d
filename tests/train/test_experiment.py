import importlib.metadata
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcycle.config import Project
from dlcycle.train import experiment
from dlcycle.train.experiment import (
    SECTIONS_WITHOUT_EFFECT,
    WITHOUT_EFFECT,
    code_digest,
    experiment_id,
    library_versions,
)

SETTINGS = Project().model_dump(mode="json")


def identify(**changes: Any) -> str:
    parts: dict[str, Any] = {
        "data_fingerprint": "abc",
        "settings": SETTINGS,
        "libraries": {"numpy": "2"},
        "code": "def",
    }
    return experiment_id(**(parts | changes))


def changed(section: str, key: str, value: Any) -> dict[str, Any]:
    return SETTINGS | {section: SETTINGS[section] | {key: value}}


def test_it_is_sixteen_hexadecimal_digits_and_the_same_in_another_process() -> None:
    code = (
        "from dlcycle.config import Project; from dlcycle.train.experiment import *;"
        "print(experiment_id(data_fingerprint='abc',"
        "settings=Project().model_dump(mode='json'), libraries={'numpy': '2'}, code='def'))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert other.stdout.strip() == identify()
    assert len(identify()) == 16
    int(identify(), 16)


@pytest.mark.parametrize("section", list(WITHOUT_EFFECT))
def test_settings_without_effect_leave_it_alone(section: str) -> None:
    for key in WITHOUT_EFFECT[section]:
        assert key in SETTINGS[section], f"{section}.{key} is not a key of the project file"
        assert identify(settings=changed(section, key, "another")) == identify()


def test_every_other_setting_takes_part() -> None:
    seen = {identify()}
    for section in SETTINGS.keys() - set(SECTIONS_WITHOUT_EFFECT):
        for key in SETTINGS[section]:
            if key not in WITHOUT_EFFECT.get(section, ()):
                seen.add(experiment := identify(settings=changed(section, key, "another")))
                assert experiment != identify(), f"{section}.{key}"
    assert len(seen) > 40


@pytest.mark.parametrize(
    "change",
    [{"data_fingerprint": "x"}, {"libraries": {"numpy": "3"}}, {"code": "x"}],
)
def test_every_part_takes_part(change: dict[str, Any]) -> None:
    assert identify(**change) != identify()


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=2))
def test_the_order_of_keys_does_not_matter(libraries: dict[str, Any]) -> None:
    assert identify(libraries=libraries) == identify(libraries=dict(reversed(libraries.items())))


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        identify(settings=changed("split", "test", float("nan")))


def installation(folder: pathlib.Path, flows: pathlib.Path) -> pathlib.Path:
    """A package with one module, and flows inside it or beside it."""
    package = folder / "dlcycle"
    (package / "data").mkdir(parents=True)
    flows.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "data" / "read.py").write_text("x = 1\n")
    (flows / "train_flow.py").write_text("flow = 1\n")
    return package


@pytest.fixture
def digest_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def digest(package: pathlib.Path, flows: pathlib.Path | None) -> str:
        class Spec:
            submodule_search_locations = [str(flows)]  # noqa: RUF012

        monkeypatch.setattr(experiment, "_PACKAGE", package)
        monkeypatch.setattr(experiment.importlib.util, "find_spec", lambda name: Spec if flows else None)
        return code_digest()

    return digest


def test_the_digest_is_the_same_for_both_kinds_of_installation(tmp_path: pathlib.Path, digest_of: Any) -> None:
    inside, beside = tmp_path / "a" / "dlcycle" / "flows", tmp_path / "b" / "flows"
    first = digest_of(installation(tmp_path / "a", inside), inside)
    assert first == digest_of(installation(tmp_path / "b", beside), beside)


def test_the_digest_follows_every_source_file_and_nothing_else(tmp_path: pathlib.Path, digest_of: Any) -> None:
    flows = tmp_path / "flows"
    package = installation(tmp_path, flows)
    first = digest_of(package, flows)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "read.pyc").write_bytes(b"x")
    (package / "notes.txt").write_text("x")
    assert digest_of(package, flows) == first
    seen = {first, digest_of(package, None)}
    (flows / "train_flow.py").write_text("flow = 2\n")
    seen.add(digest_of(package, flows))
    (package / "data" / "read.py").rename(package / "data" / "clean.py")
    seen.add(digest_of(package, flows))
    assert len(seen) == 4


def test_the_digest_of_this_package_is_stable() -> None:
    assert code_digest() == code_digest()
    assert len(code_digest()) == 64


def test_libraries_without_metadata_still_tell_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = library_versions()
    assert {"python", "numpy", "torch", "scikit-learn"} <= expected.keys()

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(experiment, "_LIBRARIES", {"numpy": "numpy", "scikit-learn": "sklearn", "absent": "absent_xyz"})
    found = library_versions()
    assert found == {name: expected[name] for name in ("python", "numpy", "scikit-learn")}
