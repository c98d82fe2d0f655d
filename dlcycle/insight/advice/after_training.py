"""What to do next after a model was trained, ranked: each finding with its reason and the line that mends it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from dlcycle.config import Architecture
from dlcycle.insight.advice.items import Item, Level, item, ranked
from dlcycle.plan.criteria import quoted

_WORTH_A_THOUGHT = 0.01
"""Share of texts cut at `max_tokens`, or of rows without a label, from which the list speaks of it."""
_SEE_REMOVED = 'dlcycle.data.dataset.table_from_bytes(run.data.removed["parquet"])'

ADVICE: dict[str, tuple[Level, str, str]] = {
    "class_absent": ("decide", "Some classes cannot be measured.", '[split] method = "stratified"'),
    "rare_labels": ("decide", "Some classes have too few texts to learn from.", '[data] rare_labels = "merge"'),
    "many_line_breaks": ("consider", "A quote in the file may be unbalanced.", "repair the rows in the source"),
    "encoding_assumed": ("consider", "The encoding of the file was guessed.", '[data] encoding = "cp1252"'),
    "mojibake": ("consider", "Some texts were garbled before they came here.", "export the source as UTF-8 again"),
    "missing_keys": ("consider", "Some records lack a needed key.", "fill the key in the source"),
    "missing_group": ("consider", "Some rows have no group.", "fill the column of data.group"),
    "leaks": ("consider", "The given parts shared near duplicates.", "correct the column of split.column"),
    "unused_label_map": ("consider", "Some labels to rename do not exist.", "[data.label_map]"),
}
"""Level, title and action of findings in the data that ask for something, by their name."""


def next_steps(
    *,
    gates: Mapping[str, Any],
    comparison: Mapping[str, Any],
    consistency: Mapping[str, Any],
    cleaning: Mapping[str, Any],
    split: Mapping[str, Any],
    source: Mapping[str, Any],
    selected: Mapping[str, Any],
    epochs: int,
) -> list[Item]:
    """Rank what a team should do after a training run.

    Args:
        gates: what `dlcycle.plan.criteria.judge_criteria` returned.
        comparison: what `dlcycle.insight.compare.compare_models` returned.
        consistency: what `dlcycle.insight.consistency.check_batch_sizes` returned.
        cleaning: the report of `dlcycle.data.clean.clean_table`.
        split: the report of `dlcycle.data.split.split_table`.
        source: the report of reading, for its findings.
        selected: the report of the selected candidate.
        epochs: most epochs that the training was allowed.

    Returns:
        Dicts of "level" (of `dlcycle.insight.advice.items.LEVELS`, in this order), "title" (a sentence), "reason" and
        "action" (a line of the project file, a command, or "").
    """
    others = [name for name in get_args(Architecture) if name != selected["architecture"]]
    candidates = f"[model] candidates = {json.dumps(others)}"
    return ranked(
        [
            *_from_checks(consistency, split["leakage"]),
            *_from_gates(gates, comparison, candidates),
            *_from_comparison(comparison, candidates),
            *_from_cleaning(cleaning),
            *_from_findings([*source["findings"], *cleaning["findings"], *split["findings"]]),
            *_from_training(selected, epochs),
        ]
    )


def _from_checks(consistency: Mapping[str, Any], leakage: Mapping[str, Any]) -> Iterator[Item]:
    shared, batches = f"{leakage['message'].rstrip('.')}.", consistency["message"]
    if not leakage["passed"]:
        yield item(
            "fix", "The test part leaks.", f"{shared} Every figure may be too good.", "[split] near_duplicates = 0.8"
        )
    if not consistency["passed"]:
        yield item("fix", "Predictions depend on the batch.", batches, "check masks and padding in build_model")
    if leakage["passed"] and consistency["passed"]:
        yield item("fine", "The checks passed.", f"{shared} {batches}")


def _from_gates(gates: Mapping[str, Any], comparison: Mapping[str, Any], candidates: str) -> Iterator[Item]:
    for criterion in gates["criteria"]:
        if criterion["met"]:
            continue
        value, goal = criterion["value"], criterion["goal"]
        action = '[train] class_weights = "balanced"' if criterion["metric"] == "recall" else candidates
        if value is not None and (value >= goal if criterion["direction"] == "at_least" else value <= goal):
            action = "[split] test: more test rows narrow the interval"
        subject = criterion["title"][:1].upper() + criterion["title"][1:]
        outcome = "could not be measured" if value is None else "misses its goal"
        yield item("fix", f"{subject} {outcome}.", criterion["sentence"], action)
    if gates["later"]:
        count = len(gates["later"])
        title = f"{count} success {'criterion is' if count == 1 else 'criteria are'} not judged yet."
        yield item("consider", title, gates["sentence"], "python flows/explain_flow.py run")
    elif not gates["criteria"]:
        metric, baseline = comparison["metric"], comparison["baseline"]
        reason = f"Nobody can say when the model is good enough. The baseline's {metric} is {baseline:.3f}."
        line = f'[plan] criteria = [{{ metric = "{metric}", at_least = {baseline:.3f} }}]'
        yield item("consider", "No success criterion is set.", reason, line)


def _from_comparison(comparison: Mapping[str, Any], candidates: str) -> Iterator[Item]:
    title = {
        "worse": "The simple baseline is better.",
        "no_gain": "Deep learning is not proven to be worth it here.",
    }.get(comparison["verdict"])
    if title:
        yield item("decide", title, comparison["sentence"], candidates)


def _from_cleaning(cleaning: Mapping[str, Any]) -> Iterator[Item]:
    removed, rows = cleaning["removed"], cleaning["rows_read"]

    def of_all(reason: str) -> str:
        return f"{removed.get(reason, 0):,} rows, {100 * removed.get(reason, 0) / max(rows, 1):.1f} % of those read"

    for reason, title in (("bad_row", "Some rows could not be read."), ("too_long", "Some texts were too long.")):
        if removed.get(reason):
            yield item("fix", title, f"{of_all(reason)}, were set aside and taught the model nothing.", _SEE_REMOVED)
    if removed.get("missing_label", 0) > _WORTH_A_THOUGHT * rows:
        reason = f"{of_all('missing_label')}, have none: labelled, they would be more to learn from."
        yield item("consider", "Some rows have no label.", reason, _SEE_REMOVED)
    apart = [group for group in cleaning["label_variants"] if not group["merged"]]
    if apart:
        labels = sum(len(group["spellings"]) for group in apart)
        example = " and ".join(quoted(label) for label in list(apart[0]["spellings"])[:2])
        reason = (
            f"Each is learnt as a class of its own, yet some differ only by case, white space, invisible or look-alike "
            f"characters, such as {example}."
        )
        title = f"{labels:,} labels look like spellings of {len(apart):,}."
        yield item("decide", title, reason, "[data] merge_label_variants = true")
    if cleaning["conflict_count"]:
        title = f"{cleaning['conflict_count']:,} texts have more than one label."
        reason = f"{of_all('conflicting_label')}, were removed for it. Where people disagree, no model can be right."
        yield item("decide", title, reason, '[data] conflicting_labels = "keep" (the most frequent) or "drop" (none)')


def _from_findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[Item]:
    for finding in findings:
        if finding["name"].startswith("schema_"):
            level: Level = "decide" if finding["severity"] == "critical" else "consider"
            yield item(level, "The data break the frozen schema.", f"{finding['message']}.", finding["config"])
        elif finding["name"] in ADVICE:
            level, title, action = ADVICE[finding["name"]]
            count = f"{finding['count']:,} rows" if finding["count"] else ""
            example = f", for example row {finding['rows'][0]:,}" if finding["rows"] else ""
            yield item(level, title, f"{finding['message']}{f' ({count}{example})' if count else ''}.", action)


def _from_training(selected: Mapping[str, Any], epochs: int) -> Iterator[Item]:
    if selected["best_epoch"] == epochs and not selected["stopped_early"]:
        reason = f"The last of {epochs} epochs was the best, so the validation metric may still rise."
        yield item("consider", "Train longer.", reason, f"[train] epochs = {2 * epochs}")
    if selected["truncated_share"] > _WORTH_A_THOUGHT:
        reason = f"{100 * selected['truncated_share']:.1f} % of the training texts are longer than the model reads."
        yield item("consider", "Read more of each text.", reason, f"raise max_tokens of candidate {selected['name']}")
