"""Where the insights came from: this run, the training run and how it was found, the model, code and machine."""

from collections.abc import Mapping
from typing import Any

from .formats import count, duration, finite, moment
from .markup import Child, Html, data, join
from .page import folded, note, preformatted, provenance
from .train_data import at, mapping, records
from .train_dataset import listed_findings
from .train_origin import code_words, cost_words, dotted, library_versions, machine_words, plain_json


def _model(explained: Mapping[str, Any]) -> Child:
    candidate, digest = mapping(explained.get("candidate")), explained.get("model_sha256")
    parts: list[Child] = [
        data(candidate["name"]) if candidate.get("name") else None,
        join("seed ", data(candidate["seed"])) if "seed" in candidate else None,
        join("sha256 ", data(digest)) if digest else None,
    ]
    return dotted(parts) or None


def _training_run(chosen: Mapping[str, Any]) -> Child:
    return dotted([data(chosen[key], 300) if chosen.get(key) else None for key in ("run", "why")]) or None


def origin(run: Mapping[str, Any]) -> Html:
    """Everything needed to repeat the run, in monospace."""
    lineage = mapping(run.get("lineage"))
    explained, experiment = mapping(run.get("explained")), at(run, "explained", "experiment_id")
    origin_run, finished = lineage.get("origin_run"), lineage.get("finished")
    fingerprint = run.get("data_fingerprint") or lineage.get("data_fingerprint")
    commands = {
        term: data(lineage[key], 400) if lineage.get(key) else None
        for term, key in (("this card", "card"), ("resume", "resume"), ("logs", "logs"))
    }
    entries: dict[str, Child] = {
        "run": join(
            data(lineage.get("run") or run.get("pathspec")),
            join(" resumed from ", data(origin_run)) if origin_run else None,
        ),
        "training run": _training_run(explained),
        "compared with": _training_run(mapping(run.get("compared"))) or "no other run",
        "model": _model(explained),
        "experiment": data(experiment) if experiment else None,
        "fingerprint": data(fingerprint) if fingerprint else None,
        "code": code_words(lineage),
        "machine": machine_words(lineage),
        "it took": duration(lineage["seconds"]) if finite(lineage.get("seconds")) is not None else None,
        "cost": cost_words(lineage),
        "time": f"{moment(lineage.get('started'))} to {moment(finished)}" if finished else None,
        "by": data(lineage["user"]) if lineage.get("user") else None,
        **commands,
    }
    settings, unreadable = lineage.get("settings") or run.get("project"), run.get("unreadable")
    return provenance(
        entries,
        listed_findings(records(run.get("findings"))[:100]),
        folded("All settings", preformatted(plain_json(settings))) if settings else None,
        library_versions(mapping(lineage.get("libraries"))),
        note(f"Artifacts that could not be read: {'; '.join(map(str, unreadable))}", "warn") if unreadable else None,
        note(f"Not shown: {count(run['appended'])} components appended by the step. This card draws artifacts.")
        if run.get("appended")
        else None,
    )
