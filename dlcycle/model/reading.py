"""Texts as the model reads them: which characters are a word, and which ids speak for it.

Explanations are about words that people see. A tokenizer may read a word as several sub-words, and a hashed n-gram
stands for several words, so that every id has owners.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tokenizers
from scipy.sparse import csr_array

from dlcycle.data.personal import mask_personal
from dlcycle.errors import ModelFileError
from dlcycle.model.tokenizer import RESERVED, SURROGATE, UNKNOWN, WORD, Ids, SubwordTokenizer, Tokenizer, WordTokenizer

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ReadText:
    """A text as the model reads it: T ids of W words."""

    shown: str
    """The text after NFKC (words), or as it is (sub-words), with U+FFFD for lone surrogates. Where the text is longer
    than what is read, it ends with the last word that is read."""
    rest: str
    """What follows `shown` and is not read; empty for most texts."""
    spans: Ints
    """(W, 2) start and end of each word in `shown`, ascending, none overlapping another."""
    ids: Ids
    """(T,) exactly what the tokenizer's `encode` gives."""
    owners: csr_array
    """(T, W) share of each id that belongs to each word. Rows sum to 1: an n-gram belongs to its words in equal parts,
    white space to the word after it. In a text without words there is nothing to own the ids."""
    unread: int
    """Words beyond `max_tokens`."""
    forms: tuple[str, ...] | None
    """(W,) words as the tokenizer of words knows them; None for sub-words, which depend on what stands round them."""

    @property
    def words(self) -> list[str]:
        """Words as they stand in the text."""
        return [self.shown[start:end] for start, end in self.spans.tolist()]

    @property
    def masked(self) -> str:
        """`shown` with personal data masked; spans stay valid, because masking keeps the length.

        A number or an address that is only read in part is known by its rest.
        """
        return mask_personal(self.shown + self.rest)[: len(self.shown)]

    def without(self, gone: npt.ArrayLike) -> str:
        """Return the text that is left when words are taken out; the characters between words stay.

        A tokenizer of words reads exactly the other words in it. Sub-words that would run together are kept apart by
        a space.

        Args:
            gone: (W,) true for each word that is taken out.
        """
        taken = np.asarray(gone, dtype=bool).tolist()
        pieces, place = [], 0
        for (start, end), leave in zip(self.spans.tolist(), taken, strict=True):
            if leave:
                pieces.append(self.shown[place:start])
                place = end
        if not pieces:
            return self.shown
        pieces.append(self.shown[place:])
        if self.forms is None:
            return _kept_apart(pieces)
        text = "".join(pieces)
        kept = [number for number, leave in enumerate(taken) if not leave]
        forms = [self.forms[number] for number in kept]
        if _words_of(text) == forms:
            return text
        # What follows a capital sigma decides its small letter, and marks join what now stands before them.
        words = self.words
        return " ".join(words[n] if words[n].lower() == self.forms[n] else self.forms[n] for n in kept)


def read_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[ReadText]:
    """Read texts as a tokenizer does, keeping track of what each id stands for.

    Args:
        tokenizer: of words or of sub-words.
        texts: (N,) texts.

    Returns:
        N readings. A word of a tokenizer of sub-words is what its encoder never merges across, such as a run of
        letters or of punctuation, joined where a combining mark or a single character would be torn apart.

    Raises:
        ModelFileError: the tokenizer is of another kind.

    Example:
        >>> [text] = read_texts(WordTokenizer(("red", "shoe"), max_tokens=3), ["A RED shoe, new"])
        >>> text.shown, text.words, text.ids.tolist(), text.unread
        ('A RED shoe', ['A', 'RED', 'shoe'], [1, 2, 3], 1)
        >>> text.without([False, True, False])
        'A  shoe'
    """
    if isinstance(tokenizer, WordTokenizer):
        rows = tokenizer.encode(texts)
        return [_read_words(text, ids, tokenizer) for text, ids in zip(texts, rows, strict=True)]
    if isinstance(tokenizer, SubwordTokenizer):
        clean = [SURROGATE.sub("\ufffd", text) for text in texts]
        encodings = tokenizer.encodings(clean)
        return [_read_subwords(text, one, tokenizer.max_tokens) for text, one in zip(clean, encodings, strict=True)]
    found = type(tokenizer).__name__
    raise ModelFileError(f"expected a WordTokenizer or a SubwordTokenizer, got {found}; words cannot be told from ids")


def _words_of(text: str) -> list[str]:
    return WORD.findall(unicodedata.normalize("NFKC", text).lower())


def _read_words(text: str, ids: Ids, tokenizer: WordTokenizer) -> ReadText:
    shown = unicodedata.normalize("NFKC", SURROGATE.sub("\ufffd", text))
    lowered = shown.lower()
    found = list(WORD.finditer(lowered))
    read = found[: tokenizer.max_tokens]
    spans = np.array([match.span() for match in read], dtype=np.int64).reshape(-1, 2)
    if len(lowered) != len(shown):
        # Lower-casing makes two characters of a dotted capital I.
        places = np.repeat(np.arange(len(shown)), [len(character.lower()) for character in shown])
        spans = np.column_stack([places[spans[:, 0]], places[spans[:, 1] - 1] + 1])
    end = int(spans[-1, 1]) if len(found) > len(read) else len(shown)
    return ReadText(
        shown=shown[:end],
        rest=shown[end:],
        spans=spans,
        ids=ids,
        owners=_ngram_owners(len(read), len(ids), longest=tokenizer.ngrams),
        unread=len(found) - len(read),
        forms=tuple(match[0] for match in read),
    )


def _ngram_owners(words: int, ids: int, *, longest: int) -> csr_array:
    """Owners of the ids of words, then of n-grams in order of length and position."""
    if not words:
        return csr_array((ids, 0), dtype=np.float64)
    lengths = range(1, min(longest, words) + 1)
    columns = [(np.arange(words - size + 1)[:, None] + np.arange(size)).ravel() for size in lengths]
    sizes = np.concatenate([np.full(words - size + 1, size) for size in lengths])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return csr_array((np.repeat(1.0 / sizes, sizes), np.concatenate(columns), starts), shape=(ids, words))


def _read_subwords(text: str, encoding: tokenizers.Encoding, most: int) -> ReadText:
    offsets, pieces = encoding.offsets, encoding.word_ids
    read = min(most, len(offsets))
    cut = read < len(offsets)
    limit = max(offsets[read][0], offsets[read - 1][1]) if cut else len(text)
    groups = _groups(text, offsets[:read], pieces[:read], limit)
    words = [group for group in groups if group[0] < group[1]]
    total = sum(start < end for start, end, _ in _groups(text, offsets, pieces, len(text))) if cut else len(words)
    spans = np.array([group[:2] for group in words], dtype=np.int64).reshape(-1, 2)
    end = int(spans[-1, 1]) if cut and len(spans) else 0 if cut else len(text)
    # White space has no span; the word after it owns it, or the last word.
    number, owner = 0, np.zeros(max(read, 1), dtype=np.int64)
    for start, stop, tokens in groups:
        owner[tokens] = min(number, max(len(words) - 1, 0))
        number += start < stop
    ids = np.array(encoding.ids[:read], dtype=np.int64) + RESERVED if read else np.array([UNKNOWN])
    share = csr_array((len(ids), 0), dtype=np.float64)
    if words:
        share = csr_array((np.ones(read), owner, np.arange(read + 1)), shape=(read, len(words)))
    return ReadText(text[:end], text[end:], spans, ids, share, max(0, total - len(words)), None)


Group = tuple[int, int, list[int]]
"""Start and end in the text, equal for white space, and the numbers of the sub-words."""


def _groups(text: str, offsets: Sequence[tuple[int, int]], pieces: Sequence[int | None], limit: int) -> list[Group]:
    """Sub-words put together to words."""
    found: list[Group] = []
    before: int | None = -1
    for token, ((start, end), piece) in enumerate(zip(offsets, pieces, strict=True)):
        tokens = [token]
        # One character of the text may be normalised to several pieces, and marks may change their order.
        while found and (piece == before or start < found[-1][1]):
            first, last, earlier = found.pop()
            start, end, tokens, before = min(start, first), max(end, last), earlier + tokens, -1
        found.append((start, end, tokens))
        before = piece
    joined: list[Group] = []
    starts = [start for start, _, _ in found]
    # Up to the next piece, because a mark that is composed with its letter has no place of its own.
    for (start, _, tokens), end in zip(found, [*starts[1:], limit], strict=False):
        if joined and _mark_between(text, start):
            start, _, earlier = joined.pop()
            tokens = earlier + tokens
        joined.append((start, end, tokens))
    return [_trimmed(text, group) for group in joined]


def _mark_between(text: str, place: int) -> bool:
    """Whether a combining mark holds the characters before and after a place together."""
    if not 0 < place < len(text):
        return False
    before, after = (unicodedata.normalize("NFKC", character).lower() for character in text[place - 1 : place + 1])
    pair = before[-1] + after[0]
    return any(unicodedata.category(character)[0] == "M" for character in pair) and WORD.fullmatch(pair) is not None


def _trimmed(text: str, group: Group) -> Group:
    start, end, tokens = group
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, max(start, start + len(piece.strip())), tokens


def _kept_apart(pieces: Sequence[str]) -> str:
    """Join what is left of a text, with a space where no white space is on either side of a gap."""
    text = pieces[0]
    for piece in pieces[1:]:
        joined = bool(text) and bool(piece) and not text[-1].isspace() and not piece[0].isspace()
        text += f" {piece}" if joined else piece
    return text
