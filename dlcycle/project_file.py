"""From the text of a project file to a validated project, with every problem of the file named at once."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from dlcycle.config import Project
from dlcycle.errors import ConfigError

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20


def parse_project(text: str) -> dict[str, Any]:
    r"""Read TOML, JSON or YAML text and return the complete project, defaults filled in, as plain data.

    Args:
        text: content of a project file; empty text means every default.

    Returns:
        The sections of `dlcycle.config.Project` as nested dicts, lists, strings and numbers.

    Raises:
        ConfigError: the text cannot be read, or keys or values are wrong; all of them are listed.

    >>> parse_project('[project]\nname = "shop"')["project"]["name"]
    'shop'
    >>> parse_project('{"data": {"targt": "label"}}')
    Traceback (most recent call last):
    dlcycle.errors.ConfigError: the project file has 1 problem:
      data.targt: unknown key; did you mean data.target?
    """
    raw = _with_schema(read_text(text))
    return validate_project({**raw, "given": sorted(_given(raw))}).model_dump(mode="json")


def _with_schema(raw: dict[str, Any]) -> dict[str, Any]:
    """Put the schema that `schema = "FILE"` names in its place."""
    if not isinstance(file := raw.get("schema"), str):
        return raw
    try:
        content = read_text(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"schema: {file!r} cannot be read: {error}; correct the path, relative to {Path.cwd()}"
        ) from None
    if not isinstance(content.get("schema"), dict):
        raise ConfigError(f"schema: {file!r} has no table [schema]; `eda_flow.py run --write-schema FILE` writes one")
    return {**raw, "schema": content["schema"]}


def _given(raw: Any, prefix: str = "") -> Iterator[str]:
    """Paths of all keys that a project file holds, such as model.candidates[0].max_tokens."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            path = f"{prefix}.{key}" if prefix else str(key)
            if path != "schema":
                yield path
                yield from _given(value, path)
    elif isinstance(raw, list):
        for place, value in enumerate(raw):
            yield from _given(value, f"{prefix}[{place}]")


def validate_project(raw: dict[str, Any]) -> Project:
    """Return the typed, frozen project, or name every wrong key and value.

    Raises:
        ConfigError: with one line per problem: key path, value seen, what was expected, the nearest valid key.
    """
    try:
        return Project.model_validate(raw)
    except ValidationError as failure:
        problems = [_describe(error) for error in failure.errors()]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"the project file has {count}:\n  " + "\n  ".join(problems)) from None


def read_text(text: str) -> dict[str, Any]:
    """Return the mapping that JSON, TOML or YAML text holds.

    Raises:
        ConfigError: none of the three reads it, it is no mapping, or it is too large or too deep to be a project file.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"the project file has {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    raw = _read_json(text) if text.lstrip().startswith("{") else _read_toml_or_yaml(text)
    if not isinstance(raw, dict):
        raise ConfigError(f"the project file must hold sections such as [data], got {_shown(raw)}")
    if _depth(raw) > MAX_DEPTH:
        raise ConfigError(f"the project file is nested more than {MAX_DEPTH} levels deep")
    return raw


def _read_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ConfigError(f"the project file repeats the key {next(k for k in keys if keys.count(k) > 1)!r}")
        return seen

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as failure:
        raise ConfigError(f"the project file starts like JSON but is not: {failure}") from None


def _read_toml_or_yaml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as failure:
        toml_failure = failure
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    if not re.match(r"""(---|["']?[\w .-]+["']?\s*:)""", first):
        raise ConfigError(f"the project file is not valid TOML: {toml_failure}")
    return _read_yaml(text)


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        # An alias can make a text of 300 bytes a billion values, and no project file needs one.
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken | yaml.AnchorToken):
                raise ConfigError(f"the project file uses a YAML anchor or alias in line {token.start_mark.line + 1}")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as failure:
        raise ConfigError(f"the project file is not valid YAML: {failure}") from None


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        children = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [child for group in children for child in group]
        if deepest > MAX_DEPTH + 1:
            break
    return deepest


def _describe(error: Any) -> str:
    """One line for one pydantic error: where, what came, what was expected."""
    path = _path(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            nearest = difflib.get_close_matches(path, list(_key_paths(Project)), n=1, cutoff=0.5)
            if error["loc"][-1] == "schema":
                return f"{path}: unknown key; schema belongs above the first section of the file"
            hint = f"; did you mean {nearest[0]}?" if nearest else f"; known here: {', '.join(_siblings(error['loc']))}"
            return f"{path}: unknown key{hint}"
        case "missing":
            return f"{path}: missing; this key has no default"
        case "value_error":
            message = str(error["ctx"]["error"])
            return f"{path}: {message}" if path else message
        case _:
            expected = error["msg"].removeprefix("Input should be ").replace("String", "text").replace("string", "text")
            return f"{path}: expected {expected}, got {_shown(error['input'])}"


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}… ({type(value).__name__})"


def _siblings(loc: tuple[int | str, ...]) -> list[str]:
    parent = re.sub(r"\[\d+\]", "", _path(loc[:-1]))
    known = [path.rpartition(".") for path in _key_paths(Project)]
    return [name for place, _, name in known if place == parent] or [name for place, _, name in known if not place]


def _key_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key path of a section and of the sections inside it, such as data.target."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        yield path
        nested = [field.annotation, *get_args(field.annotation)]
        for kind in nested:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _key_paths(kind, path + ".")
