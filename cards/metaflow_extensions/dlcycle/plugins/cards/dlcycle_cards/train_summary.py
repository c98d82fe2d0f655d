"""The head and foot of the training card: verdict, figures that decide, what to do next, and where it all came from."""

import json
from collections.abc import Mapping
from typing import Any

from .charts import range_bar
from .formats import (
    PERCENT,
    PLAIN,
    SPACE,
    Unit,
    count,
    currency_unit,
    duration,
    ends,
    exact,
    finite,
    interval_text,
    measured,
    moment,
    reason_of,
    several,
    show,
    value_of,
)
from .markup import Child, Html, data, join, safe_text
from .page import Level, folded, note, preformatted, provenance, tile, tiles, todo, verdict
from .train_data import at, mapping, primary, records

METRICS: dict[str, tuple[str, Unit]] = {
    "accuracy": ("Accuracy", PERCENT),
    "macro_f1": ("Macro F1", PLAIN),
    "automated_share": ("Decided alone", PERCENT),
    "automated_precision": ("Precision of those decided alone", PERCENT),
    "ece": ("Calibration error (ECE)", PERCENT),
    "log_loss": ("Log loss", PLAIN),
}


def unit_of(metric: str, run: Mapping[str, Any]) -> tuple[str, Unit]:
    """Name and unit of a metric; money takes the project's currency."""
    if metric == "cost_per_1000":
        currency = at(run, "metrics", "currency") or at(run, "project", "plan", "costs", "currency")
        return "Cost per 1,000 rows", currency_unit(currency)
    return METRICS.get(metric, (metric.replace("_", " "), PLAIN))


def kicker(run: Mapping[str, Any]) -> list[Child]:
    """Stage, project, run, when and how long."""
    lineage = mapping(run.get("lineage"))
    name = at(run, "project", "project", "name")
    seconds = lineage.get("seconds") or at(lineage, "resources", "seconds")
    return [
        "Model development",
        data(name) if name else None,
        data("/".join(str(lineage.get("run") or run.get("pathspec", "")).split("/")[:2])),
        moment(lineage["started"]) if lineage.get("started") else None,
        duration(seconds) if finite(seconds) is not None else None,
    ]


def heading(run: Mapping[str, Any]) -> Html:
    """The project's title."""
    title = at(run, "project", "project", "title") or at(run, "project", "project", "name")
    return data(title or "Trained model")


def judged(run: Mapping[str, Any]) -> tuple[Level, str]:
    """Level and badge of the verdict; the worst finding names it."""
    compared, gates = at(run, "comparison", "verdict"), at(run, "gates", "passed")
    has_criteria = bool(records(at(run, "gates", "criteria")))
    if at(run, "split", "leakage", "passed") is False:
        return "bad", "Do not rely on it: the test part leaks"
    if at(run, "consistency", "passed") is False:
        return "bad", "Do not rely on it: predictions depend on the batch size"
    if compared == "worse":
        return "bad", "Worse than the simple baseline"
    if has_criteria and gates is False:
        return "bad", "Success criteria missed"
    if compared == "no_gain":
        return "careful", "The simple baseline is as good"
    if compared != "worth_it":
        return "careful", "No comparison with a baseline"
    return ("good", "Worth it, and the goals are met") if has_criteria else ("good", "Worth it")


def verdict_bar(run: Mapping[str, Any]) -> Html:
    """The sentence to repeat, the criteria, and what the test rests on."""
    level, badge = judged(run)
    says = at(run, "comparison", "sentence") or "This run recorded no comparison with a simple baseline."
    rows = at(run, "metrics", primary(run), "n") or at(run, "metrics", "rows")
    kept, classes = at(run, "lineage", "cleaning", "rows_kept"), at(run, "metrics", "per_class")
    rests = []
    if finite(kept) is not None:
        rests.append(several(kept, "distinct text"))
    if isinstance(classes, Mapping):
        rests.append(several(len(classes), "class", "classes"))
    base = ", ".join(rests) + ("; " if rests else "")
    tested = (
        f"{base}tested once on {count(rows)} rows that no step of training saw." if finite(rows) is not None else ""
    )
    sentence = at(run, "gates", "sentence")
    return verdict(
        level, badge, data(says, 600), data(sentence, 600) if sentence else None, tested[:1].upper() + tested[1:]
    )


def goal_of(run: Mapping[str, Any], metric: str) -> Mapping[str, Any] | None:
    """The first success criterion about a metric of the whole test part."""
    criteria = records(at(run, "gates", "criteria"))
    return next((item for item in criteria if item.get("metric") == metric), None)


def _tile(run: Mapping[str, Any], metric: str, name: str = "", extra: str = "", *, bar: bool = True) -> Html:
    title, unit = unit_of(metric, run)
    value = at(run, "metrics", metric)
    if value_of(value) is None:
        return tile(name or title, measured(value, unit), data(reason_of(value), 300))
    interval = ends(value)
    small = [interval_text(value, unit)] if interval else []
    marks: dict[str, object] = {}
    baseline = value_of(at(run, "baseline_metrics", metric))
    if baseline is not None:
        marks["baseline"] = baseline
        small.append(f"baseline {show(baseline, unit, interval, bare=True)}")
    goal = goal_of(run, metric)
    if goal is not None and finite(goal.get("goal")) is not None:
        marks["goal"] = goal["goal"]
        bound = "≤ " if goal.get("direction") == "at_most" else ""
        small.append(f"goal {bound}{exact(goal['goal'], unit, bare=True)}, {'met' if goal.get('met') else 'missed'}")
    words = " · ".join([*small, extra] if extra else small)
    return tile(
        name or title, measured(value, unit), words, range_bar(value, unit, name=title, marks=marks) if bar else None
    )


def key_figures(run: Mapping[str, Any]) -> Html:
    """The primary metric, the other one, what can be decided alone, and what it costs or how honest it is."""
    first = primary(run)
    second = "macro_f1" if first == "accuracy" else "accuracy"
    required = at(run, "metrics", "automation", "required_precision")
    alone = f"Decided alone at {exact(required, PERCENT)} precision" if finite(required) is not None else ""
    unit = unit_of("cost_per_1000", run)[1]
    by_hand = at(run, "metrics", "costs", "people_alone")
    shared = at(run, "metrics", "costs", "with_people")
    others = [
        f"{words} {show(value_of(price), unit, ends(price) or (0, 100), bare=True)}"
        for words, price in (("with people for the rest", shared), ("by hand", by_hand))
        if value_of(price) is not None
    ]
    last = (
        _tile(run, "cost_per_1000", "Cost per 1,000 rows, model alone", " · ".join(others))
        if value_of(at(run, "metrics", "cost_per_1000")) is not None
        else _tile(run, "ece")
    )
    each = (_tile(run, first), _tile(run, second), _tile(run, "automated_share", alone), last)
    return tiles(*each, key="Bars: value and 95 % interval on the test part; solid tick baseline, dashed tick goal.")


def next_steps(run: Mapping[str, Any]) -> Html:
    """The run's own list of what to do; without one, what its checks say."""
    items = records(run.get("todo")) or _from_checks(run)
    return todo(items)


def _from_checks(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items: list[Mapping[str, Any]] = []

    def add(level: str, title: str, reason: object = "", action: str = "") -> None:
        items.append({"level": level, "title": title, "reason": reason, "action": action})

    for name, title in (("leakage", "Repair the split"), ("consistency", "Do not deploy this model")):
        check = at(run, "split", name) if name == "leakage" else run.get(name)
        if at(check, "passed") is False:
            add("fix", title, at(check, "message"))
    for item in records(at(run, "gates", "criteria")):
        if item.get("met") is False:
            add("fix", f"Criterion missed: {item.get('title') or item.get('metric')}", item.get("sentence"))
    if at(run, "comparison", "verdict") in ("no_gain", "worse"):
        add("decide", "Keep the simple baseline", "It is cheaper to run and at least as good on this test part.")
    apart = [item for item in records(at(run, "lineage", "cleaning", "label_variants")) if not item.get("merged")]
    if apart:
        add(
            "decide",
            f"{several(len(apart), 'label')} in several spellings",
            "Each spelling is learnt as a class of its own.",
            "[data] merge_label_variants = true",
        )
    conflicts = at(run, "lineage", "cleaning", "conflict_count")
    if finite(conflicts):
        add(
            "consider",
            f"{several(conflicts, 'text')} with more than one label",
            "Agree on one label for each; they are listed under “From source to test part”.",
        )
    best, epochs = _best_epoch(run)
    if best is not None and best == epochs:
        add(
            "consider",
            "Train longer",
            "The last epoch was the best one, so the model may still improve.",
            f"run --epochs {2 * epochs}",
        )
    for check in (at(run, "split", "leakage"), run.get("consistency")):
        if at(check, "passed") is True and at(check, "message"):
            add("fine", at(check, "message"))
    return items or [{"level": "fine", "title": "Nothing was found that needs a decision."}]


def _best_epoch(run: Mapping[str, Any]) -> tuple[int | None, int]:
    epochs = [int(e) for e in (finite(row.get("epoch")) for row in records(run.get("history"))) if e is not None]
    chosen = next((item for item in records(run.get("candidates")) if item.get("selected")), {})
    best = finite(chosen.get("best_epoch"))
    return (None if best is None else int(best), max(epochs, default=0))


def best_epoch(run: Mapping[str, Any]) -> int | None:
    """The epoch whose weights were kept."""
    return _best_epoch(run)[0]


def plain_json(value: Any) -> str:
    """Settings as text; what is not plain data is shown by its type."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=lambda item: f"<{type(item).__name__}>")


def listed(value: Mapping[str, Any]) -> Html:
    """Short plain values in one line: key value, key value."""
    return join(
        [[", " if i else "", safe_text(key, 60), " ", data(item)] for i, (key, item) in enumerate(value.items())]
    )


def _machine(lineage: Mapping[str, Any]) -> Child:
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
    return _dotted(parts)


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
    return _dotted(parts) if parts else None


def _dotted(parts: list[Child]) -> Html:
    kept = [part for part in parts if part]
    return join([[" · " if i else "", part] for i, part in enumerate(kept)])


def _cost(lineage: Mapping[str, Any]) -> Child:
    cost = mapping(lineage.get("cost"))
    if finite(cost.get("amount")) is None:
        return data(cost["reason"]) if cost.get("reason") else None
    unit = currency_unit(cost.get("currency"))
    price = (
        f" at {show(cost['price_per_hour'], unit)} an hour" if finite(cost.get("price_per_hour")) is not None else ""
    )
    return show(cost["amount"], unit) + price


def _git(lineage: Mapping[str, Any]) -> Child:
    git = mapping(lineage.get("git"))
    version = lineage.get("dlcycle")
    parts: list[Child] = [join("dlcycle ", data(version)) if version else None]
    if git.get("commit"):
        state = "with uncommitted changes" if git.get("dirty") else "clean"
        branch = join(" on ", data(git["branch"])) if git.get("branch") else None
        parts.append(join("git ", data(str(git["commit"])[:12]), branch, f" ({state})"))
    elif git.get("reason"):
        parts.append(join("no git commit: ", data(git["reason"])))
    return _dotted(parts) or None


def _split(run: Mapping[str, Any]) -> Child:
    split = mapping(run.get("split"))
    if not split:
        return None
    parts = mapping(split.get("counts"))
    sizes = ", ".join(f"{count(n)} {safe}" for safe, n in ((str(k)[:20], v) for k, v in parts.items()))
    return join(data(split.get("method")), ", seed ", data(split.get("seed")), f" · {sizes}" if sizes else None)


def _source(run: Mapping[str, Any]) -> Child:
    source, cleaning = mapping(at(run, "lineage", "source")), mapping(at(run, "lineage", "cleaning"))
    if not source and not cleaning:
        return None
    size = finite(source.get("bytes") or source.get("size"))
    rows = (
        f"{count(cleaning.get('rows_read'))} rows read, {count(cleaning.get('rows_kept'))} kept" if cleaning else None
    )
    digest = join("sha256 ", data(source["sha256"])) if source.get("sha256") else None
    size_words = f"{count(size)}{SPACE}bytes" if size is not None else None
    return _dotted([data(source.get("uri") or source.get("name") or "source not recorded"), size_words, rows, digest])


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
    return _dotted(parts) or None


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
        "data": _source(run),
        "fingerprint": data(run["data_fingerprint"]) if run.get("data_fingerprint") else None,
        "split": _split(run),
        "model": _model(run),
        "code": _git(lineage),
        "machine": _machine(lineage),
        "training took": _used(lineage),
        "cost": _cost(lineage),
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
        folded(several(len(libraries), "library version"), preformatted(_versions(libraries))) if libraries else None,
        folded("Description of the model file", preformatted(plain_json(description))) if description else None,
        note(f"Artifacts that could not be read: {'; '.join(map(str, unreadable))}", "warn") if unreadable else None,
        note(
            f"{several(run['appended'], 'component')} appended by the step {'is' if run['appended'] == 1 else 'are'} not "
            "shown: this card draws artifacts only."
        )
        if run.get("appended")
        else None,
    )


def _versions(libraries: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}=={version}" for name, version in libraries.items())
