"""Representativeness: does the data look like what the model will meet?"""

from collections.abc import Iterator

from dlcycle.data.messages import quoted, several
from dlcycle.data.quality.evidence import Evidence, differs, group_checks, percent, reason_of, unknown
from dlcycle.data.quality.grades import ROWS, Check, by_share


def check_representativeness(evidence: Evidence) -> Iterator[Check]:
    """Yield the checks of the pillar."""
    tests = evidence.measured.get("split_tests")
    if reason := evidence.not_split or reason_of(tests):
        yield unknown("split_differs", "Differences between the parts", reason)
    else:
        worst = max(tests or [], key=lambda test: (differs(test) != "good", test["effect"]))
        status = differs(worst)
        message = (
            worst["message"]
            if status != "good"
            else f"{len(tests or [])} two-sample tests find no difference that matters"
        )
        yield Check(
            "split_differs",
            "Differences between the parts",
            status,
            f"{len(tests or [])} tests, largest effect {worst['effect']:.2f}",
            message,
            decision="" if status == "good" else "Is the split meant to differ, as one by time does?",
            config="" if status == "good" else '[split]\nmethod = "stratified"',
        )
    yield _over_time(evidence, "over_time", "drift_over_time", "Classes over time")
    yield _over_time(evidence, "languages_over_time", "languages_over_time", "Languages over time")
    yield from group_checks(evidence, "origin_tests", "origin_differs", "Classes by origin", "data.origin_column")
    yield from group_checks(
        evidence, "origin_language_tests", "origin_languages", "Languages by origin", "data.origin_column"
    )
    yield _languages(evidence)


def _over_time(evidence: Evidence, key: str, name: str, title: str) -> Check:
    found = evidence.measured.get(key)
    if reason := reason_of(found):
        return unknown(name, title, evidence.not_split or reason)
    assert found
    status = differs(found)
    return Check(
        name,
        title,
        status,
        f"{len(found['periods'])} periods, effect {found['effect']:.2f}",
        found["message"],
        decision="" if status == "good" else "Should the test part be the latest rows, as in use?",
        config="" if status == "good" else '[split]\nmethod = "time"',
    )


def _languages(evidence: Evidence) -> Check:
    title, languages = "Unexpected languages", evidence.languages
    if reason := reason_of(languages):
        return unknown("unexpected_language", title, reason)
    if not languages["detected"]:
        return unknown("unexpected_language", title, "No row's language could be told")
    unexpected = languages["unexpected"]
    count = sum(language["rows"] for language in unexpected)
    share = count / languages["rows"] if languages["rows"] else 0.0
    names = quoted(f"{language['language']} ({language['rows']:,})" for language in unexpected).replace("'", "")
    expected = ", ".join(entry["language"] for entry in languages["counts"] if entry["expected"])
    status = by_share(share, careful=0.01, bad=0.2)
    declared = evidence.settings.data.languages
    codes = ", ".join(f'"{entry["code"]}"' for entry in languages["counts"] if entry["expected"])
    return Check(
        "unexpected_language",
        title,
        status,
        f"{percent(share)} in other languages",
        f"Other languages than {expected or 'any expected one'}, in {several(count, 'row')}: {names}"
        if count
        else f"All rows with a language are in {expected}",
        count,
        tuple(example for language in unexpected for example in language["examples"][:2])[:ROWS],
        decision=("Take these rows out, or allow their languages" if declared else "Which languages are wanted?")
        if count
        else "",
        config=f"[data]\nlanguages = [{codes}]" if count and not declared else "",
        noted=bool(count),
    )
