"""Where the EDA came from: source, fingerprint, settings, and how many rows cleaning and split left where."""

from collections.abc import Mapping
from typing import Any

from .eda_reading import cleaning_of, gap
from .formats import NOT_RECORDED, count, duration, finite, moment, several, show
from .markup import Child, Html, data, join
from .page import folded, note, pair, preformatted, provenance
from .train_data import at, mapping
from .train_dataset import cleaning_table, findings_table, parts_table
from .train_origin import (
    code_words,
    cost_words,
    dotted,
    library_versions,
    machine_words,
    plain_json,
    source_words,
    split_words,
)


def _as_trained(run: Mapping[str, Any]) -> dict[str, Any]:
    """The run with source and cleaning where the training card has them, in the lineage."""
    lineage = mapping(run.get("lineage"))
    source = mapping(at(run, "profile", "source")) or mapping(lineage.get("source"))
    return {**run, "lineage": {**lineage, "source": source, "cleaning": cleaning_of(run)}}


def _format(run: Mapping[str, Any]) -> Child:
    source = mapping(at(run, "lineage", "source"))
    parts: list[Child] = [
        data(source["format"], 40) if source.get("format") else None,
        join("encoding ", data(source["encoding"], 40)) if source.get("encoding") else None,
        join("delimiter ", data(source["delimiter"], 10, label=True)) if source.get("delimiter") else None,
        join("compression ", data(source["compression"], 20)) if source.get("compression") else None,
        several(source["records"], "record") if finite(source.get("records")) is not None else None,
    ]
    return dotted(parts) or None


def _languages(run: Mapping[str, Any]) -> Child:
    languages = mapping(run.get("languages"))
    pace = finite(languages.get("rows_per_second"))
    parts: list[Child] = [
        data(languages["method"], 200) if languages.get("method") else None,
        duration(languages["seconds"]) if finite(languages.get("seconds")) is not None else None,
        f"{show(pace, interval=(0, 2))} rows a second" if pace is not None else None,
    ]
    return dotted(parts) or None


def _counts(run: Mapping[str, Any], trained: Mapping[str, Any]) -> Html:
    cleaning = gap(run.get("cleaning") or cleaning_of(run), "Counts through cleaning")
    parts = gap(run.get("split"), "Split")
    return pair(cleaning or cleaning_table(trained), parts or parts_table(mapping(run.get("split"))))


def origin(run: Mapping[str, Any]) -> Html:
    """Everything needed to repeat the run, in monospace, with the rows through cleaning and split."""
    trained = _as_trained(run)
    lineage = mapping(trained["lineage"])
    finished = lineage.get("finished")
    commands = {
        term: data(lineage[key], 400) if lineage.get(key) else None
        for term, key in (("this card", "card"), ("resume", "resume"), ("logs", "logs"))
    }
    origin_run = data(lineage["origin_run"]) if lineage.get("origin_run") else None
    split = mapping(run.get("split"))
    entries: dict[str, Child] = {
        "run": join(
            data(lineage.get("run") or run.get("pathspec")), " resumed from " if origin_run else None, origin_run
        ),
        "data": source_words(trained) if at(lineage, "source") or cleaning_of(run) else None,
        "read as": _format(trained),
        "fingerprint": data(run["data_fingerprint"]) if run.get("data_fingerprint") else None,
        "split": data(split["reason"], 400) if split.get("reason") and not split.get("method") else split_words(run),
        "languages by": _languages(run),
        "code": code_words(lineage),
        "machine": machine_words(lineage),
        "it took": duration(lineage["seconds"]) if finite(lineage.get("seconds")) is not None else None,
        "cost": cost_words(lineage),
        "time": f"{moment(lineage.get('started'))} to {moment(finished)}" if finished else None,
        "by": data(lineage["user"]) if lineage.get("user") else None,
        **commands,
    }
    settings = lineage.get("settings") or run.get("project")
    libraries = mapping(lineage.get("libraries"))
    unreadable, schema = run.get("unreadable"), run.get("schema")
    return provenance(
        entries,
        _counts(run, trained),
        findings_table(trained),
        folded("All settings", preformatted(plain_json(settings))) if settings else note(f"Settings: {NOT_RECORDED}."),
        folded("The schema as recorded", preformatted(plain_json(schema))) if schema else None,
        library_versions(libraries),
        note(f"Artifacts that could not be read: {'; '.join(map(str, unreadable))}", "warn") if unreadable else None,
        note(f"Not shown: {count(run['appended'])} components appended by the step. This card draws artifacts.")
        if run.get("appended")
        else None,
    )
