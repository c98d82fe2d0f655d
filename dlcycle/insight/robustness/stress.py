"""How decisions bear texts that are changed: typing errors, case, white space, missing words and swapped words."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlcycle.config import ExplainSection, Perturbation, Project
from dlcycle.data.draw import sample_rows
from dlcycle.data.labels import class_indices
from dlcycle.data.messages import several
from dlcycle.data.personal import find_personal, mask_personal
from dlcycle.data.perturb import perturb_texts
from dlcycle.errors import DataError
from dlcycle.insight.before import places_before
from dlcycle.insight.bootstrap import Ints, share_of, undefined
from dlcycle.insight.compare import compare_models
from dlcycle.insight.metrics import Decisions, decide
from dlcycle.insight.robustness.metrics import TITLES
from dlcycle.insight.robustness.neutral_words import NeutralWords, neutral_words
from dlcycle.insight.robustness.word_swaps import WordSwaps, swap_words
from dlcycle.model.artifact import TextClassifier
from dlcycle.model.tokenizer import WordTokenizer

EXAMPLES = 3
SHOWN_SWAPS = 10
SHOWN_CHARACTERS = 400
_CONTEXT = 60
_EXPLANATIONS = {
    "typos": "In {share} of the words of each text, at least one, letters are swapped, left out, doubled or mistyped.",
    "case": "Each text is written in upper, lower or swapped case. The model reads lower case only, so that hardly any "
    "decision can change.",
    "white_space": "Of the gaps between words {share}, at least one, are widened, closed or broken into lines, or a "
    "word is cut by a space.",
    "dropped_words": "Of the words of each text {share}, at least one, are left out.",
}
_RECEIVED = (
    "The model gets each changed text as cleaning hands texts on: Unicode NFC, no white space around it, nothing "
    "inside mended."
)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Test rows and what the model decides on them as they are."""

    texts: list[str]
    numbers: Ints
    labels: Sequence[str]
    clean: Decisions

    def at(self, places: npt.NDArray[np.intp]) -> "_Rows":
        """Some of the rows."""
        texts = [self.texts[place] for place in places]
        return _Rows(texts, self.numbers[places], self.labels, self.clean.at(places))


@dataclass(frozen=True, eq=False)
class _Earlier:
    """The model compared with."""

    model: TextClassifier
    places: Ints
    """Of the explained model's classes among its own, (C,)."""

    def predicted(self, texts: Sequence[str]) -> Ints:
        """Its decisions, as class indices of the explained model."""
        decided: Ints = self.model.logits(texts)[:, self.places].argmax(axis=1)
        return decided


def measure_robustness(
    classifier: TextClassifier,
    frame: pd.DataFrame,
    *,
    settings: Project,
    before: TextClassifier | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure accuracy on changed test texts, and what the word-swap attack leaves of it.

    Both models decide on the same changed texts; the attack is made anew against each.

    Args:
        classifier: the model.
        frame: rows with the columns row, text, label and part; the training part gives the words of the attack.
        settings: the project, of which the section `explain` is read.
        before: another model to compare with, such as that of an earlier run.
        seed: of the changes, the rows that are attacked and the resamples.

    Returns:
        Plain data: rows; clean, the accuracy on the texts as they are; tests, one for each kind of change and the last
        one the attack: name, title, accuracy, drop (clean - accuracy, paired), flipped (share of decisions that
        changed), rows, explanation, budget, swaps, examples, before (accuracy of that model), change (accuracy -
        before, paired); received, how changed texts reach the model; and findings.

    Raises:
        DataError: the test part is empty, or has a label that the model does not know, or the other model knows other
            classes.
    """
    test, train = (frame[frame["part"] == part] for part in ("test", "train"))
    if test.empty:
        raise DataError("The test part has no rows, so nothing can be measured. Raise split.test.")
    earlier = None if before is None else _Earlier(before, places_before(classifier.labels, before=before))
    texts, truth = test["text"].tolist(), class_indices(test["label"], names=classifier.labels)
    clean = decide(truth, classifier.logits(texts), temperature=classifier.temperature)
    rows = _Rows(texts, test["row"].to_numpy(dtype=np.int64), classifier.labels, clean)
    tests = [
        _changed_test(kind, classifier, rows, settings=settings.explain, earlier=earlier, seed=seed)
        for kind in dict.fromkeys(settings.explain.perturbations)
    ]
    classes = class_indices(train["label"], names=classifier.labels)
    words = neutral_words(train["text"].tolist(), classes, classes_count=len(classifier.labels), seed=seed)
    attacked = rows.at(sample_rows(texts, truth, limit=settings.explain.swap_rows, seed=seed))
    tests.append(_swap_test(classifier, attacked, words, settings=settings.explain, earlier=earlier, seed=seed))
    return {
        "rows": len(texts),
        "clean": share_of(clean.correct, seed=seed),
        "tests": tests,
        "received": _RECEIVED,
        "findings": words.findings,
    }


def _changed_test(
    kind: Perturbation,
    classifier: TextClassifier,
    rows: _Rows,
    *,
    settings: ExplainSection,
    earlier: _Earlier | None,
    seed: int,
) -> dict[str, Any]:
    changed = perturb_texts(rows.texts, kind=kind, share=settings.perturbed_share, seed=seed)
    unchanged = sum(map(str.__eq__, rows.texts, changed))
    changed = [_as_cleaned(text) for text in changed]
    sentences = [_EXPLANATIONS[kind].format(share=f"{100 * settings.perturbed_share:g} %")]
    if kind == "white_space":
        sentences.append(_seen_of_white_space(classifier))
    if unchanged:
        sentences.append(f"In {several(unchanged, 'text')} there was nothing to change.")
    after = classifier.logits(changed).argmax(axis=1)
    return {
        **_measured(kind, rows, after, earlier.predicted(changed) if earlier else None, seed=seed),
        "explanation": " ".join(sentences),
        "budget": None,
        "swaps": [],
        "examples": _examples(rows, after, rows.texts, changed),
    }


def _swap_test(
    classifier: TextClassifier,
    rows: _Rows,
    words: NeutralWords,
    *,
    settings: ExplainSection,
    earlier: _Earlier | None,
    seed: int,
) -> dict[str, Any]:
    def attack(model: TextClassifier, truth: Ints) -> WordSwaps:
        return swap_words(
            model,
            rows.texts,
            truth,
            vocabulary=words.words,
            budget=settings.swap_budget,
            memory_megabytes=settings.memory_limit,
            seed=seed,
        )

    made = attack(classifier, rows.clean.truth)
    after, after_before = made.predicted, None
    if earlier:
        after_before = np.argsort(earlier.places)[attack(earlier.model, earlier.places[rows.clean.truth]).predicted]
    entry = _measured("word_swaps", rows, after, after_before, seed=seed)
    if not words.words:
        missing = undefined("the training texts hold no word that could be put in", n=len(rows.texts))
        entry |= dict.fromkeys(("accuracy", "drop", "flipped"), missing) | dict.fromkeys(("before", "change"))
    broken = [
        swap for swaps, right in zip(made.swaps, after == rows.clean.truth, strict=True) if not right for swap in swaps
    ]
    counted = sorted(Counter(broken).items(), key=lambda item: (-item[1], item[0]))[:SHOWN_SWAPS]
    return {
        **entry,
        "explanation": _attack_explained(made, words, settings.swap_budget, compared=earlier is not None),
        "budget": settings.swap_budget,
        "swaps": [{"from": old, "to": new, "count": count} for (old, new), count in counted],
        "examples": _examples(rows, after, made.before, made.after),
    }


def _attack_explained(made: WordSwaps, words: NeutralWords, budget: int, *, compared: bool) -> str:
    sentences = [
        f"An attacker who knows the model replaces up to {several(budget, 'word')} of each text that is decided "
        "rightly, so that the decision turns wrong. Words put in are frequent and about equally frequent in every "
        "class, so that a person would seldom change the label for them; a word taken out may be any, so that in a "
        "short text a person may miss it too. The search is greedy: more decisions may break than it finds."
    ]
    if made.search == "random":
        sentences.append(
            "The network has no layer `embedding` to take gradients of, so that swaps were sought at random; a guided "
            "attack would break more."
        )
    if compared:
        sentences.append("The model compared with was attacked itself, on the same rows and with the same words.")
    return " ".join([*sentences, *(f"{finding['message']}." for finding in words.findings)])


def _seen_of_white_space(classifier: TextClassifier) -> str:
    if isinstance(classifier.tokenizer, WordTokenizer):
        return "This model reads words: wider gaps and line breaks change nothing for it, closed gaps and cuts do."
    return "This model reads white space too, so that all of these reach it."


def _as_cleaned(text: str) -> str:
    """A text as `dlcycle.data.clean.clean_table` would hand it on."""
    return unicodedata.normalize("NFC", text).strip()


def _measured(name: str, rows: _Rows, after: Ints, before: Ints | None, *, seed: int) -> dict[str, Any]:
    """What the decisions on changed texts are worth, alone and beside those of another model."""
    truth = rows.clean.truth

    def difference(left: Ints, right: Ints) -> dict[str, Any]:
        found: dict[str, Any] = compare_models(truth, left, right, seed=seed)["difference"]
        return found

    return {
        "name": name,
        "title": TITLES[name],
        "accuracy": share_of(after == truth, seed=seed),
        "drop": difference(rows.clean.predicted, after),
        "flipped": share_of(after != rows.clean.predicted, seed=seed),
        "rows": len(truth),
        "before": None if before is None else share_of(before == truth, seed=seed),
        "change": None if before is None else difference(after, before),
    }


def _examples(
    rows: _Rows, after: Ints, before_texts: Sequence[str], after_texts: Sequence[str]
) -> list[dict[str, Any]]:
    """Decisions that broke, first those that the model was surest of, with what was changed of their texts.

    Rows with personal data are left out: a change can hide an address or a number from the masks and yet leave it
    readable.
    """
    broken = np.flatnonzero(rows.clean.correct & (after != rows.clean.truth))
    found: list[dict[str, Any]] = []
    for place in broken[np.lexsort((rows.numbers[broken], -rows.clean.confidence[broken]))]:
        if find_personal(before_texts[place]):
            continue
        old, new = shown_changes(before_texts[place], mask_personal(after_texts[place]))
        label = rows.labels[rows.clean.truth[place]]
        found.append(
            {
                "row": int(rows.numbers[place]),
                "before": old,
                "after": new,
                "truth": label,
                "predicted": label,
                "predicted_after": rows.labels[after[place]],
            }
        )
        if len(found) == EXAMPLES:
            break
    return found


def shown_changes(before: str, after: str) -> tuple[str, str]:
    """Cut two texts to what lies between their first and their last difference, with some characters around it.

    Args:
        before: a text.
        after: the same text changed.

    Returns:
        Both, cut at the same places; of a long stretch only the beginning and the end.

    Example:
        >>> shown_changes("word " * 40 + "a red shoe", "word " * 40 + "a blue shoe")[1][-22:]
        ' word word a blue shoe'
    """
    first = _shared(before, after)
    same = _shared(before[first:][::-1], after[first:][::-1])
    start = first - _CONTEXT
    start = before.find(" ", start, first) + 1 if start > 0 else 0

    def cut(text: str) -> str:
        end = min(len(text) - same + _CONTEXT, len(text))
        part = text[start:end]
        if len(part) > SHOWN_CHARACTERS:
            part = f"{part[: SHOWN_CHARACTERS // 2]} ... {part[-SHOWN_CHARACTERS // 2 :]}"
        return ("... " if start else "") + part + (" ..." if end < len(text) else "")

    return cut(before), cut(after)


def _shared(left: str, right: str) -> int:
    """Length of the longest common beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(left), len(right)))
