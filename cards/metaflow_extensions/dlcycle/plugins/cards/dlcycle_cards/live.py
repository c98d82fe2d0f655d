"""A training task while it runs, after it failed, and after it finished."""

from collections.abc import Mapping
from typing import Any

from .charts import progress_bar
from .formats import PERCENT, PLAIN, count, duration, finite, moment, show, value_of
from .markup import Child, Html, data, join
from .page import content, folded, guarded, note, preformatted, provenance, section, tile, tiles, todo, verdict
from .train_data import at, mapping, records
from .train_history import candidates_table, curves
from .train_origin import plain_json
from .train_summary import METRICS

LOST = "It stopped before the first epoch ended; nothing of it is kept."


def running(run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    """The page of a task that runs or has just failed, from the last state it reported."""
    failed = state.get("status") == "failed"
    return content(
        _kicker(run, state),
        data(state.get("title") or state.get("project") or "Training"),
        guarded("Failure", _failure, state) if failed else guarded("Progress", _progress, state),
        guarded("Key figures", _figures, state, failed),
        guarded("What to do next", after_failure, state) if failed else None,
        guarded("So far", _so_far, state, failed),
        guarded("Where this came from", _origin, run, state),
    )


def _kicker(run: Mapping[str, Any], state: Mapping[str, Any]) -> list[Child]:
    name, seed = state.get("candidate"), state.get("seed")
    return [
        "Model development",
        data(state["project"]) if state.get("project") else None,
        data(run.get("pathspec")),
        join("candidate ", data(name), ", seed ", data(seed)) if name else None,
        f"state of {moment(state['updated'])}" if state.get("updated") else None,
    ]


def _position(state: Mapping[str, Any]) -> tuple[float, str]:
    """Share of the work done, and the place in words."""
    epoch, epochs = finite(state.get("epoch")) or 0.0, finite(state.get("epochs")) or 0.0
    batch, batches = finite(state.get("batch")) or 0.0, finite(state.get("batches")) or 0.0
    inside = batch / batches if batches else 0.0
    done = (max(0.0, epoch - 1) + inside) / epochs if epochs else 0.0
    words = f"epoch {count(epoch)} of {count(epochs)}" if epochs else "preparing"
    return min(1.0, done), words + (f", batch {count(batch)} of {count(batches)}" if batches else "")


def _progress(state: Mapping[str, Any]) -> Html:
    share, words = _position(state)
    if not state:
        return verdict("info", "Running", "The task has started and has not reported yet.")
    left = finite(state.get("seconds_left"))
    most = f"At most {duration(left)} left; it may stop earlier." if left is not None else "Time left is not known yet."
    where = f"{words[:1].upper()}{words[1:]}. {most}"
    return verdict("info", "Running", where, progress_bar(share, f"{words}: {share:.0%}"))


def _failure(state: Mapping[str, Any]) -> Html:
    error = mapping(state.get("error"))
    _, words = _position(state)
    message = data(error.get("message") or "The task reported no message.", 1500)
    kind = join(data(error.get("type") or "Error"), f", at {words}.")
    return verdict("bad", "Training stopped", message, kind)


def after_failure(state: Mapping[str, Any]) -> Html:
    """What to type after a failure."""
    items = []
    if state.get("resume"):
        items.append(
            {
                "level": "fix",
                "title": "Mend the cause, then go on from here.",
                "reason": "Steps that succeeded are not run again.",
                "action": state["resume"],
            }
        )
    if state.get("logs"):
        items.append({"level": "consider", "title": "Read what the task wrote.", "action": state["logs"]})
    return todo(items or [{"level": "fix", "title": "Mend the cause and run the flow again."}])


def _figures(state: Mapping[str, Any], failed: bool) -> Html:
    metric = str(state.get("metric") or "accuracy").removeprefix("validation_")
    name, unit = METRICS.get(metric, (metric.replace("_", " "), PLAIN))
    history = records(state.get("history"))
    known = [(value, row) for row in history if (value := finite(row.get(f"validation_{metric}"))) is not None]
    best, row = max(known, key=lambda item: item[0], default=(None, {}))
    times = [value for value in (finite(item.get("seconds")) for item in history) if value is not None]
    share, words = _position(state)
    where = f"at epoch {count(state.get('best_epoch') or row.get('epoch'))}" if row else "no epoch has ended yet"
    each = sum(times) / len(times) if times else None
    left = state.get("seconds_left")
    pace = f"{duration(each)} an epoch" if each is not None else "no epoch yet"
    ahead = "without early stopping" if finite(left) is not None else "not known yet"
    return tiles(
        tile("Done", show(share, PERCENT, (0, 1)), words),
        tile(f"Best validation {name[:1].lower()}{name[1:]}", show(best, unit), where),
        tile("Time so far", duration(state.get("seconds")), pace),
        *([] if failed else [tile("Time left, at most", duration(left), ahead)]),
    )


def _so_far(state: Mapping[str, Any], failed: bool) -> Html:
    history = records(state.get("history"))
    title = "State before it stopped" if failed else "The curves so far"
    if not history:
        return section(title, None, note(LOST if failed else "The first epoch has not ended yet."))
    return section(title, None, curves(history, state.get("best_epoch"), "the best so far"))


def _origin(run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    entries: dict[str, Child] = {
        "task": data(run.get("pathspec")),
        "candidate": data(state["candidate"]) if state.get("candidate") else None,
        "seed": data(state["seed"]) if state.get("seed") is not None else None,
        "resume": data(state["resume"], 400) if state.get("resume") else None,
        "logs": data(state["logs"], 400) if state.get("logs") else None,
    }
    return provenance(entries, lead="The task and its commands.")


def finished(run: Mapping[str, Any], state: Mapping[str, Any]) -> Html:
    """The page of a training task that ended well: one candidate with one seed."""
    report = mapping(run.get("candidate_report"))
    history = records(run.get("history") or report.get("history") or state.get("history"))
    name = report.get("name") or state.get("candidate")
    title = at(run, "project", "project", "title") or state.get("title") or at(run, "project", "project", "name")
    return content(
        _kicker(
            run,
            {
                "project": at(run, "project", "project", "name") or state.get("project"),
                "candidate": name,
                "seed": report.get("seed", state.get("seed")),
            },
        ),
        data(title or "Trained candidate"),
        guarded("Verdict", _candidate_verdict, run, report, history),
        guarded("Training", _candidate_training, run, report, history),
        guarded("Where this came from", _candidate_origin, run, report),
    )


def _candidate_verdict(run: Mapping[str, Any], report: Mapping[str, Any], history: list[Mapping[str, Any]]) -> Html:
    if not report and not history:
        return verdict(
            "careful",
            "Nothing recorded",
            "This task recorded no training.",
            "The card dlcycle_train draws the artifacts metrics, or candidate_report and history.",
        )
    metric = at(run, "project", "plan", "metric") or "accuracy"
    label, unit = METRICS.get(str(metric), (str(metric), PLAIN))
    best = finite(report.get("best_epoch"))
    row = next((item for item in history if best is not None and finite(item.get("epoch")) == best), {})
    value = value_of(at(report, "validation", str(metric)))
    value = value_of(report.get(f"validation_{metric}")) if value is None else value
    value = finite(row.get(f"validation_{metric}")) if value is None else value
    when = f" at epoch {best:.0f} of {count(len(history))}" if best is not None else ""
    took = f" in {duration(report['seconds'])}" if finite(report.get("seconds")) is not None else ""
    reached = f"Validation {label[:1].lower()}{label[1:]} {show(value, unit)}{when}{took}."
    return verdict(
        "info",
        "Candidate trained",
        reached,
        "Whether it is worth it is judged once, on the test part, by the step that compares all candidates.",
    )


def _candidate_training(run: Mapping[str, Any], report: Mapping[str, Any], history: list[Mapping[str, Any]]) -> Html:
    shown = candidates_table([report], str(at(run, "project", "plan", "metric") or "accuracy")) if report else None
    return section("Training", None, shown, curves(history, report.get("best_epoch")))


def _candidate_origin(run: Mapping[str, Any], report: Mapping[str, Any]) -> Html:
    known = {key: report[key] for key in report if key != "history"}
    entries: dict[str, Child] = {
        "task": data(run.get("pathspec")),
        "experiment": data(run["experiment_id"]) if run.get("experiment_id") else None,
        "fingerprint": data(run["data_fingerprint"]) if run.get("data_fingerprint") else None,
        "device": data(report["device"]) if report.get("device") else None,
        "threads": data(report["threads"]) if report.get("threads") else None,
    }
    project = run.get("project")
    return provenance(
        entries,
        folded("Everything the task reported", preformatted(plain_json(known))) if known else None,
        folded("All settings", preformatted(plain_json(project))) if project else None,
    )


def user_state(data: Any) -> dict[str, Any]:
    """What the flow told the card of a running task; empty when it told nothing."""
    user = data.get("user") if isinstance(data, dict) else None
    state = user.get("dlcycle") if isinstance(user, dict) else None
    return state if isinstance(state, dict) else {}
