"""What to do next, ranked: the findings of a training run turned into decisions with their reason and command."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Level = Literal["fix", "decide", "consider", "fine"]
Item = dict[str, str]

_RANK: dict[str, int] = {"fix": 0, "decide": 1, "consider": 2, "fine": 3}
_TRUNCATED = 0.01
"""Share of training texts cut at `max_tokens` from which it is worth a thought."""


def next_steps(
    *,
    gates: Mapping[str, Any],
    comparison: Mapping[str, Any],
    consistency: Mapping[str, Any],
    cleaning: Mapping[str, Any],
    split: Mapping[str, Any],
    selected: Mapping[str, Any],
    epochs: int,
) -> list[Item]:
    """Rank what a team should do after a training run.

    Args:
        gates: what `dlcycle.plan.criteria.judge_criteria` returned.
        comparison: what `dlcycle.insight.compare.compare_models` returned.
        consistency: what `dlcycle.insight.consistency.check_batch_sizes` returned.
        cleaning: the report of `dlcycle.data.clean.clean_table`, with the findings of reading.
        split: the report of `dlcycle.data.split.split_table`.
        selected: the report of the selected candidate.
        epochs: most epochs that the training was allowed.

    Returns:
        Dicts of "level" (fix, decide, consider, fine), "title", "reason" and "action" (a command, a config line or "").
    """
    items = [
        *_from_gates(gates),
        *_from_comparison(comparison),
        *_from_data(cleaning, split),
        *_from_training(selected, epochs),
        *_from_checks(consistency, split),
    ]
    return sorted(items, key=lambda item: _RANK[item["level"]])


def _item(level: Level, title: str, reason: str, action: str = "") -> Item:
    return {"level": level, "title": title, "reason": reason, "action": action}


def _from_gates(gates: Mapping[str, Any]) -> Iterator[Item]:
    for criterion in gates["criteria"]:
        if not criterion["met"]:
            yield _item("fix", "A success criterion is missed", criterion["sentence"])
    if not gates["criteria"]:
        reason = "Without a success criterion nobody can say when the model is good enough."
        yield _item("consider", "Say what counts as success", reason, "[[plan.criteria]] in the project file")


def _from_comparison(comparison: Mapping[str, Any]) -> Iterator[Item]:
    if comparison["verdict"] == "worse":
        yield _item(
            "decide", "Use the baseline", comparison["sentence"], "[model] candidates: try others, or stop here"
        )
    elif comparison["verdict"] == "no_gain":
        reason = "The baseline is as good, cheaper to run and easier to explain."
        yield _item("decide", "Use the baseline, or try other candidates", reason, "[model] candidates")


def _from_data(cleaning: Mapping[str, Any], split: Mapping[str, Any]) -> Iterator[Item]:
    variants = [group for group in cleaning["label_variants"] if not group["merged"]]
    if variants:
        count = sum(len(group["spellings"]) for group in variants)
        reason = (
            f"They differ only by case, white space, invisible or look-alike characters, and count as {count} classes."
        )
        title = f"{count} labels look like spellings of {len(variants)}"
        yield _item("decide", title, reason, "[data] merge_label_variants = true")
    if cleaning["conflict_count"]:
        removed = cleaning["removed"].get("conflicting_label", 0)
        title = f"{cleaning['conflict_count']:,} texts have different labels in different rows"
        reason = f"{removed:,} rows were removed for it. Where people disagree, no model can be right."
        yield _item("decide", title, reason, "[data] conflicting_labels")
    if cleaning["removed"].get("bad_row"):
        title = f"{cleaning['removed']['bad_row']:,} rows could not be read"
        yield _item("fix", title, "They were set aside as data.on_bad_rows says.", "artifact removed")
    for finding in [*cleaning["findings"], *split["findings"]]:
        yield _item("consider", finding["message"], f"{finding['count']:,} rows" if finding.get("count") else "")


def _from_training(selected: Mapping[str, Any], epochs: int) -> Iterator[Item]:
    if selected["best_epoch"] == epochs and not selected["stopped_early"]:
        reason = f"The last of {epochs} epochs was the best; the validation metric may still rise."
        yield _item("consider", "Train longer", reason, f"--epochs {2 * epochs}")
    if selected["truncated_share"] > _TRUNCATED:
        reason = f"{100 * selected['truncated_share']:.1f} % of the training texts are longer than the model reads."
        yield _item("consider", "Read more of each text", reason, "max_tokens of the candidate")


def _from_checks(consistency: Mapping[str, Any], split: Mapping[str, Any]) -> Iterator[Item]:
    leakage = split["leakage"]
    sentences: Sequence[tuple[bool, str]] = [
        (consistency["passed"], consistency["message"]),
        (leakage["passed"], leakage["message"]),
    ]
    if all(passed for passed, _ in sentences):
        yield _item("fine", "The checks passed", " ".join(message for _, message in sentences))
    else:
        for passed, message in sentences:
            if not passed:
                yield _item("fix", "A check failed", message)
