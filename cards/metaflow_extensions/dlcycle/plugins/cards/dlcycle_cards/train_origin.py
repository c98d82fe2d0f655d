"""Where a training run came from: everything needed to repeat it."""

import json
from collections.abc import Mapping
from typing import Any

from .formats import PERCENT, PLAIN, SPACE, count, currency_unit, duration, finite, moment, several, show, value_of
from .markup import Child, Html, data, join
from .page import folded, note, preformatted, provenance
from .train_data import at, mapping, records


def plain_json(value: Any) -> str:
    """Settings as text; what is not plain data is shown by its type."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=lambda item: f"<{type(item).__name__}>")


def machine_words(lineage: Mapping[str, Any]) -> Child:
    """The machine and what the task used of it."""
    machine = mapping(lineage.get("machine"))
    if not machine:
        return None
    gpus = machine.get("gpus")
    parts: list[Child] = [
        join(data(machine["cpu"]), f" × {count(machine['cores'])}" if finite(machine.get("cores")) else "")
        if machine.get("cpu")
        else None,
        f"{show(machine['memory_gb'], PLAIN, (0, 2))}{SPACE}GB of memory" if finite(machine.get("memory_gb")) else None,
        (data(", ".join(map(str, gpus)) if isinstance(gpus, (list, tuple)) else gpus)) if gpus else "no GPU",
    ]
    return dotted(parts)


def _used(lineage: Mapping[str, Any]) -> Child:
    """What the selected candidate's training took."""
    used = mapping(lineage.get("resources"))
    parts: list[Child] = []
    for key, words, form in (
        ("seconds", "", duration),
        ("cpu_seconds", "processor time ", duration),
        ("peak_memory_mb", "peak memory ", lambda value: f"{count(value)}{SPACE}MB"),
        ("gpu_memory_mb", "peak GPU memory ", lambda value: f"{count(value)}{SPACE}MB"),
        ("gpu_utilisation", "GPU busy ", lambda value: show(value, PERCENT, (0, 1))),
    ):
        if finite(used.get(key)) is not None:
            parts.append(f"{words}{form(used[key])}")
    return dotted(parts) if parts else None


def dotted(parts: list[Child]) -> Html:
    """Parts that are there, with dots between them."""
    kept = [part for part in parts if part]
    return join([[" · " if i else "", part] for i, part in enumerate(kept)])


def cost_words(lineage: Mapping[str, Any]) -> Child:
    """What the run cost, or why that is not known."""
    cost = mapping(lineage.get("cost"))
    if finite(cost.get("amount")) is None:
        return data(cost["reason"]) if cost.get("reason") else None
    unit = currency_unit(cost.get("currency"))
    price = (
        f" at {show(cost['price_per_hour'], unit)} an hour" if finite(cost.get("price_per_hour")) is not None else ""
    )
    return show(cost["amount"], unit) + price


def code_words(lineage: Mapping[str, Any]) -> Child:
    """The commit and the version that ran."""
    git = mapping(lineage.get("git"))
    version = lineage.get("dlcycle")
    parts: list[Child] = [join("dlcycle ", data(version)) if version else None]
    if git.get("commit"):
        state = "with uncommitted changes" if git.get("dirty") else "clean"
        branch = join(" on ", data(git["branch"])) if git.get("branch") else None
        parts.append(join("git ", data(str(git["commit"])[:12]), branch, f" ({state})"))
    elif git.get("reason"):
        parts.append(join("no git commit: ", data(git["reason"])))
    return dotted(parts) or None


def split_words(run: Mapping[str, Any]) -> Child:
    """How the rows were split."""
    split = mapping(run.get("split"))
    if not split:
        return None
    parts = mapping(split.get("counts"))
    sizes = ", ".join(f"{count(n)} {safe}" for safe, n in ((str(k)[:20], v) for k, v in parts.items()))
    return join(data(split.get("method")), ", seed ", data(split.get("seed")), f" · {sizes}" if sizes else None)


def source_words(run: Mapping[str, Any]) -> Child:
    """Where the rows came from and how many remained."""
    source, cleaning = mapping(at(run, "lineage", "source")), mapping(at(run, "lineage", "cleaning"))
    if not source and not cleaning:
        return None
    size = finite(source.get("bytes") or source.get("size"))
    rows = (
        f"{count(cleaning.get('rows_read'))} rows read, {count(cleaning.get('rows_kept'))} kept" if cleaning else None
    )
    digest = join("sha256 ", data(source["sha256"])) if source.get("sha256") else None
    size_words = f"{count(size)}{SPACE}bytes" if size is not None else None
    return dotted([data(source.get("uri") or source.get("name") or "source not recorded"), size_words, rows, digest])


def _model(run: Mapping[str, Any]) -> Child:
    chosen = next((item for item in records(run.get("candidates")) if item.get("selected")), {})
    description = mapping(at(run, "model", "description"))
    parts: list[Child] = [
        data(chosen.get("name") or description.get("name") or description.get("architecture") or ""),
        join("seed ", data(chosen["seed"])) if "seed" in chosen else None,
        f"{count(chosen['parameters'])} parameters" if finite(chosen.get("parameters")) else None,
    ]
    temperature = value_of(at(run, "metrics", "temperature"))
    parts.append(f"temperature {show(temperature, PLAIN)}" if temperature is not None else None)
    total = len(records(run.get("candidates")))
    parts.append(f"best of {count(total)} on the validation part" if total > 1 else None)
    return dotted(parts) or None


def origin(run: Mapping[str, Any]) -> Html:
    """Everything needed to repeat the run, in monospace."""
    lineage = mapping(run.get("lineage"))
    finished = lineage.get("finished")
    origin_run = data(lineage["origin_run"]) if lineage.get("origin_run") else None
    commands = {
        term: data(lineage[key], 400) if lineage.get(key) else None
        for term, key in (("this card", "card"), ("resume", "resume"), ("logs", "logs"))
    }
    entries: dict[str, Child] = {
        "experiment": data(run["experiment_id"]) if run.get("experiment_id") else None,
        "run": join(
            data(lineage.get("run") or run.get("pathspec")), " resumed from " if origin_run else None, origin_run
        ),
        "data": source_words(run),
        "fingerprint": data(run["data_fingerprint"]) if run.get("data_fingerprint") else None,
        "split": split_words(run),
        "model": _model(run),
        "code": code_words(lineage),
        "machine": machine_words(lineage),
        "training took": _used(lineage),
        "cost": cost_words(lineage),
        "time": f"{moment(lineage.get('started'))} to {moment(finished)}" if finished else None,
        "by": data(lineage["user"]) if lineage.get("user") else None,
        **commands,
    }
    settings = lineage.get("settings") or run.get("project")
    libraries = mapping(lineage.get("libraries"))
    description = at(run, "model", "description")
    unreadable = run.get("unreadable")
    return provenance(
        entries,
        folded("All settings", preformatted(plain_json(settings))) if settings else None,
        folded(several(len(libraries), "library version"), preformatted(library_versions(libraries)))
        if libraries
        else None,
        folded("Description of the model file", preformatted(plain_json(description))) if description else None,
        note(f"Artifacts that could not be read: {'; '.join(map(str, unreadable))}", "warn") if unreadable else None,
        note(f"Not shown: {several(run['appended'], 'component')} appended by the step. This card draws artifacts.")
        if run.get("appended")
        else None,
    )


def library_versions(libraries: Mapping[str, Any]) -> Html | None:
    """A folded list with a line for each library; None when none was recorded."""
    lines = "\n".join(f"{name}=={version}" for name, version in libraries.items())
    return folded(several(len(libraries), "library version"), preformatted(lines)) if lines else None
