"""Consistency: do the labels agree with the texts and with each other?"""

from collections.abc import Iterator

from dlcycle.data.labels import group_labels
from dlcycle.data.messages import quoted, several
from dlcycle.data.quality.evidence import Evidence, percent, reason_of, unknown
from dlcycle.data.quality.grades import ROWS, Check, by_share


def check_consistency(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    if reason := evidence.no_classes:
        yield unknown("label_variants", "Variants of a label", reason)
    else:
        yield _label_variants(evidence)
    if not evidence.cleaning:
        yield unknown("conflicting_labels", "Equal texts, different labels", evidence.not_split)
        return
    yield _conflicts(evidence)
    yield from _near_conflicts(evidence)
    yield _label_errors(evidence)


def _label_variants(evidence: Evidence) -> Check:
    spellings = {entry["label"]: entry["rows"] for entry in evidence.profile["classes"]}
    groups_found = [(group.canonical, group.spellings) for group in group_labels(spellings)]
    if evidence.cleaning:
        # Cleaning has renamed labels as the project file says.
        groups_found = [(group["canonical"], group["spellings"]) for group in evidence.cleaning["label_variants"]]
    count = sum(sum(list(found.values())[1:]) for _, found in groups_found)
    merged = evidence.settings.data.merge_label_variants
    groups = quoted(canonical for canonical, _ in groups_found)
    return Check(
        "label_variants",
        "Variants of a label",
        "good" if merged else by_share(evidence.share(count), careful=1 / max(evidence.rows, 1), bad=0.1),
        several(len(groups_found), "group of variants", "groups of variants"),
        f"Labels that differ only by case, space or look-alike characters, in {several(count, 'row')}: {groups}"
        if groups_found
        else "No two labels differ only by case, space or look-alike characters",
        count,
        cleaning="They are merged into the most frequent spelling" if merged and groups_found else "",
        decision="" if merged or not groups_found else "Are these spellings one class?",
        config="" if merged or not groups_found else "[data]\nmerge_label_variants = true",
        noted=bool(groups_found),
    )


def _conflicts(evidence: Evidence) -> Check:
    cleaning, removed = evidence.cleaning, evidence.removed.get("conflicting_label", 0)
    rows = cleaning["conflict_rows"]
    examples = [
        {"row": conflict["rows"][0], "line": None, "text": conflict["text"], "label": " / ".join(conflict["labels"])}
        for conflict in cleaning["conflicts"]
    ]
    return Check(
        "conflicting_labels",
        "Equal texts, different labels",
        by_share(evidence.share(rows), careful=0.001, bad=0.05),
        several(cleaning["conflict_count"], "text"),
        f"Texts with more than one label: {cleaning['conflict_count']:,}" if rows else "No text has two labels",
        rows,
        tuple(examples),
        cleaning=f"Without copies, {several(removed, 'row')} removed (data.conflicting_labels)" if removed else "",
        decision="Which label is right? Correct them in the source" if rows else "",
        config='[data]\nconflicting_labels = "keep"' if rows else "",
    )


def _near_conflicts(evidence: Evidence) -> Iterator[Check]:
    conflicts = evidence.split.get("near_duplicates", {}).get("conflicts")
    if not conflicts:
        return
    yield Check(
        "near_conflicts",
        "Nearly equal texts, different labels",
        by_share(evidence.share(conflicts["rows"]), careful=0.002, bad=0.05),
        f"{several(conflicts['groups'], 'group')}, {several(conflicts['rows'], 'row')}",
        f"Groups of nearly equal texts with different labels: {conflicts['groups']:,}"
        if conflicts["groups"]
        else "No nearly equal texts have different labels",
        conflicts["rows"],
        tuple(conflicts["examples"]),
        decision="Which label is right? Correct them in the source" if conflicts["groups"] else "",
    )


def _label_errors(evidence: Evidence) -> Check:
    found, title = evidence.measured.get("label_errors"), "Suspected label errors"
    if reason := evidence.not_split or reason_of(found):
        return unknown("label_errors", title, reason)
    assert found
    share = found["share"]["value"] or 0.0
    status = by_share(share, careful=0.01, bad=0.1)
    return Check(
        "label_errors",
        title,
        status,
        f"{percent(share)} suspected",
        f"Labels contradicted by a simple model that has not seen the row: {found['n']:,} of {found['judged']:,}",
        found["n"],
        tuple(found["rows"][:ROWS]),
        decision="Look through these rows, worst first, and correct the labels that are wrong" if found["n"] else "",
    )
