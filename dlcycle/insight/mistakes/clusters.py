"""Clusters of mistakes: regions of texts where the model errs, found on the validation part.

The test part has no say in where a cluster lies. Its rows are only looked up, right and wrong ones alike, so that the
accuracy inside a cluster can be measured on rows that did not choose it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import xlogy
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import silhouette_score
from sklearn.utils.extmath import randomized_svd

from dlcycle.data.messages import several
from dlcycle.data.personal import mask_personal
from dlcycle.insight.bootstrap import Bools, Floats, Ints
from dlcycle.model.tokenizer import split_words

LEAST_MISTAKES = 10
"""Mistakes of the validation part without which no clusters are sought."""
MISTAKES_PER_CLUSTER = 8
"""Mistakes that a cluster has on average, at least."""
MOST_CLUSTERS = 8
MOST_MISTAKES = 2_000
"""Mistakes that are grouped; of more a random sample."""
LEAST_MEMBERS = 3
"""Mistakes without which a cluster is left out."""
WORDS = 6
"""Words that describe a cluster."""
MOST_TEXTS = 20_000
"""Texts of a part that are read to learn what is usual; of more a random sample."""
DIMENSIONS = 50
_STARTS = 10
_SHOWN_WORD = 40
_CHUNK = 20_000
_DIGITS = 9  # more would let rounding decide whether a text at the radius is inside


@dataclass(frozen=True, eq=False)
class _Space:
    """Where texts lie: latent semantic analysis of their words."""

    vectorizer: TfidfVectorizer
    axes: Floats
    """(d, words)."""

    def words(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """TF-IDF (n, words) of texts, in which personal data is masked first so that no word of it is shown."""
        if not len(texts):
            return sparse.csr_matrix((0, self.axes.shape[1]))
        return self.vectorizer.transform([mask_personal(text) for text in texts])

    def places(self, words: sparse.csr_matrix) -> Floats:
        """Directions (n, d) of length 1; 0 for a text without a known word."""
        return _directions(words @ self.axes.T)


def mistake_clusters(
    validation_texts: Sequence[str],
    correct: npt.ArrayLike,
    *,
    training_texts: Sequence[str],
    test_texts: Sequence[str],
    seed: int = 0,
) -> dict[str, Any]:
    """Group the mistakes on the validation part by what the texts say, and find the test rows that lie among them.

    Texts are placed by TF-IDF and latent semantic analysis, both learnt from training texts, and the mistakes are
    grouped by k-means, into 2 to 8 clusters of 8 mistakes or more on average: as many as their silhouette tells apart
    best. A cluster reaches as far from its centre as mistakes are densest there among the rows of the validation part,
    right and wrong; a test row belongs to the nearest centre if it is within that radius. The order of the rows does
    not matter.

    Args:
        validation_texts: M texts of the validation part. Of more than 2,000 mistakes a random sample is grouped.
        correct: Whether the model decides each of them rightly, (M,).
        training_texts: Texts of the training part; of more than 20,000 a random sample is read.
        test_texts: N texts of the test part.
        seed: Of the sample, the axes and the clusters.

    Returns:
        "mistakes" (of the validation part), "clusters" ([{"words" (what its mistakes say more often than texts that are
        decided rightly, most telling first), "mistakes" (of those grouped), "radius" (cosine distance)}], largest
        first; those that are no denser in mistakes than the rest are left out) and "members" (the cluster of each test
        row, (N,), -1 for none). Where there is nothing to find, "mistakes" and "reason".

    Source: Deerwester et al. (1990) for the space; Arthur and Vassilvitskii (2007) for k-means; Rousseeuw (1987) for
    the silhouette; Kulldorff (1997) for the radius.

    Example:
        >>> found = mistake_clusters(["red hat"] * 3, [True, True, False], training_texts=["red"], test_texts=["hat"])
        >>> found["mistakes"], found["reason"]
        (1, 'the model makes 1 mistake on the validation part; clusters need at least 10')
    """
    right = np.asarray(correct, dtype=np.bool_)
    mistakes, others = (
        [text for text, good in zip(validation_texts, right, strict=True) if good == wanted] for wanted in (False, True)
    )
    found, total = {"mistakes": len(mistakes)}, several(len(mistakes), "mistake")
    need = f"on the validation part; clusters need at least {LEAST_MISTAKES}"
    if len(mistakes) < LEAST_MISTAKES:
        return found | {"reason": f"the model makes {total} {need}"}
    space = _learn_space(training_texts, seed=seed)
    if space is None:
        return found | {"reason": "no two training texts share a word, so texts cannot be compared"}
    words = space.words(_sample(mistakes, MOST_MISTAKES, seed=seed))
    places = space.places(words)
    known = np.flatnonzero(places.any(axis=1))
    if len(known) < LEAST_MISTAKES:
        return found | {"reason": f"words of the training part are in {len(known):,} of {total} {need}"}
    usual = space.words(_sample(others, MOST_TEXTS, seed=seed))
    clusters, centres = _described(words[known], places[known], usual, space=space, seed=seed)
    radii = np.array([cluster["radius"] for cluster in clusters])
    return found | {"clusters": clusters, "members": _members(space, test_texts, centres=centres, radii=radii)}


def _sample(texts: Sequence[str], most: int, *, seed: int) -> list[str]:
    """At most so many of the texts, sorted, so that neither the draw nor a sum depends on the order of the rows."""
    ordered = sorted(texts)
    if len(ordered) <= most:
        return ordered
    drawn = np.random.default_rng(seed).choice(len(ordered), most, replace=False)
    return [ordered[place] for place in np.sort(drawn)]


def _learn_space(texts: Sequence[str], *, seed: int) -> _Space | None:
    """Learn words and axes from training texts; None if no word occurs in two of them."""
    vectorizer = TfidfVectorizer(analyzer=split_words, sublinear_tf=True, min_df=2)
    try:
        weights = vectorizer.fit_transform([mask_personal(text) for text in _sample(texts, MOST_TEXTS, seed=seed)])
    except ValueError as error:
        # The only ways scikit-learn says that no word is in two texts.
        if not any(words in str(error) for words in ("empty vocabulary", "no terms remain", "max_df corresponds")):
            raise
        return None
    axes = randomized_svd(weights, min(DIMENSIONS, *weights.shape), random_state=seed)[2]
    return _Space(vectorizer, axes)


def _described(
    words: sparse.csr_matrix, places: Floats, right: sparse.csr_matrix, *, space: _Space, seed: int
) -> tuple[list[dict[str, Any]], Floats]:
    """Group mistakes; return the clusters, the largest first, and the directions of their centres (k, d).

    Args:
        words: TF-IDF of the mistakes.
        places: Their places.
        right: TF-IDF of texts decided rightly.
        space: Of the words.
        seed: Of k-means.
    """
    owners = _grouped(places, seed=seed)
    groups = [np.flatnonzero(owners == owner) for owner in np.unique(owners)]
    groups = [own for own in groups if len(own) >= LEAST_MEMBERS]
    centres = _directions(np.array([places[own].sum(axis=0) for own in groups]))
    names = space.vectorizer.get_feature_names_out()
    usual = np.asarray(right.sum(axis=0)).ravel() / max(right.shape[0], 1)
    distances = _distances(space.places(right), centres)
    nearest = distances.argmin(axis=1)
    found: list[tuple[dict[str, Any], Floats]] = []
    for number, own in enumerate(groups):
        radius = _radius(places[own], distances[nearest == number, number], mistakes=len(places), right=len(distances))
        if radius is not None:
            said = _telling_words(words[own], usual=usual, names=names)
            found.append(({"words": said, "mistakes": len(own), "radius": radius}, centres[number]))
    found.sort(key=lambda item: (-item[0]["mistakes"], item[0]["words"], item[0]["radius"]))
    return [cluster for cluster, _ in found], np.array([centre for _, centre in found])


def _grouped(places: Floats, *, seed: int) -> Ints:
    """Group directions by k-means into as many groups as are told apart best (Rousseeuw, 1987)."""
    distinct = len(np.unique(places.round(_DIGITS), axis=0))
    most = min(max(len(places) // MISTAKES_PER_CLUSTER, 2), MOST_CLUSTERS, distinct)
    best, groups = -1.0, np.zeros(len(places), dtype=np.int64)
    for k in range(2, most + 1):
        found = KMeans(n_clusters=k, n_init=_STARTS, random_state=seed).fit(places).labels_
        apart = float(silhouette_score(places, found, metric="cosine"))
        if apart > best + 10.0**-_DIGITS:
            best, groups = apart, found.astype(np.int64)
    return groups


def _radius(own: Floats, others: Floats, *, mistakes: int, right: int) -> float | None:
    """Distance from the centre within which mistakes are most over-represented, by their likelihood (Kulldorff, 1997).

    A mistake is seen from the centre of the others, because a centre is drawn towards each of its own texts: new ones
    would always seem far away. At least half of the cluster's mistakes lie within. None where they are no denser
    inside than outside.

    Args:
        own: Places (n, d) of the cluster's mistakes.
        others: Distances of the texts decided rightly that are nearest to its centre.
        mistakes: All mistakes.
        right: All texts decided rightly.
    """
    centres = _directions(own.sum(axis=0) - own)
    radii = np.sort((1.0 - (own * centres).sum(axis=1)).round(_DIGITS))
    radii = radii[(len(radii) - 1) // 2 :]
    wrong_inside = np.searchsorted(np.sort(radii), radii, side="right") + len(own) - len(radii)
    right_inside = np.searchsorted(np.sort(others), radii, side="right")
    rest = mistakes - wrong_inside, right - right_inside
    gained = _likelihood(wrong_inside, right_inside) + _likelihood(*rest)
    denser = wrong_inside * (rest[0] + rest[1]) > rest[0] * (wrong_inside + right_inside)
    best = int(np.where(denser, gained, -np.inf).argmax())
    return float(radii[best]) if denser[best] else None


def _likelihood(wrong: Ints, right: Ints) -> Floats:
    """Logarithm of the likelihood of so many wrong and right decisions at their own rate."""
    every = np.maximum(wrong + right, 1)
    return np.asarray(xlogy(wrong, wrong / every) + xlogy(right, right / every), dtype=np.float64)


def _directions(vectors: Floats) -> Floats:
    """Vectors (n, d) at length 1; those without a direction stay 0."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-9)


def _distances(places: Floats, centres: Floats) -> Floats:
    """Cosine distances (n, k)."""
    return (1.0 - places @ centres.T).round(_DIGITS)


def _telling_words(words: sparse.csr_matrix, *, usual: Floats, names: npt.NDArray[Any]) -> list[str]:
    """Words of at least two of these texts that weigh more in them than usually, most telling first."""
    excess = np.asarray(words.mean(axis=0)).ravel() - usual
    texts = np.bincount(words.indices, minlength=len(usual))
    telling = [
        index
        for index in np.flatnonzero((texts >= min(2, words.shape[0])) & (excess > 0))
        # Numbers and single letters say little, and numbers may be somebody's.
        if len(names[index]) > 1 and not any(character.isdigit() for character in names[index])
    ]
    telling.sort(key=lambda index: (-excess[index].round(_DIGITS), names[index]))
    return [str(names[index])[:_SHOWN_WORD] for index in telling[:WORDS]]


def _members(space: _Space, texts: Sequence[str], *, centres: Floats, radii: Floats) -> Ints:
    """Return the cluster of each text, (n,); -1 where it is not within the radius of the nearest centre."""
    members = np.full(len(texts), -1, dtype=np.int64)
    if not len(centres):
        return members
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        places = space.places(space.words(chunk))
        distances = _distances(places, centres)
        nearest = distances.argmin(axis=1)
        inside: Bools = places.any(axis=1) & (distances[np.arange(len(places)), nearest] <= radii[nearest])
        members[start : start + len(chunk)] = np.where(inside, nearest, -1)
    return members
