"""Uniqueness: how much is said twice?"""

from collections.abc import Iterator

from dlcycle.data.quality.evidence import Evidence, percent, unknown
from dlcycle.data.quality.grades import Check, by_share


def check_uniqueness(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    if not evidence.cleaning:
        yield unknown("exact_duplicates", "Exact duplicates", evidence.not_split or "The rows were not cleaned")
        return
    leaks = sum(evidence.removed.get(f"leaks_into_{part}", 0) for part in ("validation", "test"))
    exact = evidence.removed.get("exact_duplicate", 0) + leaks
    yield Check(
        "exact_duplicates",
        "Exact duplicates",
        by_share(evidence.share(exact), careful=0.01, bad=0.5),
        f"{percent(evidence.share(exact))} of the rows",
        f"Rows that repeat another's text and label: {exact:,}" if exact else "No row repeats another",
        exact,
        cleaning="One copy of each was kept, that of the later part where parts are given" if exact else "",
    )
    near = evidence.split.get("near_duplicates")
    if not near or near["threshold"] is None:
        yield unknown("near_duplicates", "Near duplicates", "split.near_duplicates switches the search off")
        return
    examples = [
        {"row": row, "line": None, "text": text, "label": label}
        for example in near["examples"]
        for row, text, label in zip(example["rows"], example["texts"], example["labels"], strict=True)
    ]
    yield Check(
        "near_duplicates",
        "Near duplicates",
        by_share(evidence.share(near["rows_in_groups"]), careful=0.02, bad=0.5),
        f"{near['groups']:,} groups, {percent(evidence.share(near['rows_in_groups']))} of the rows",
        f"Rows nearly equal to another (Jaccard at least {near['threshold']:g}): {near['rows_in_groups']:,}",
        near["rows_in_groups"],
        tuple(examples),
        cleaning="They stay in the data, each group within one part of the split" if near["groups"] else "",
    )
