"""Texts to token ids: words with hashed n-grams, or sub-words by byte-pair encoding.

Id 0 is padding and id 1 the unknown token in both. A tokenizer is fitted on the training part only and stored as JSON.
"""

import functools
import json
import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from dlcycle.config import ModelSpec
from dlcycle.errors import ModelFileError, TrainingError

FORMAT = 1
PAD, UNKNOWN, RESERVED = 0, 1, 2
Ids = npt.NDArray[np.int64]

# `\w` leaves out combining marks, which would break most words of Hindi and other Indic scripts into pieces.
_MARKS = "".join(chr(code) for code in range(0x300, 0xFE30) if unicodedata.category(chr(code))[0] == "M")
WORD = re.compile(rf"[\w{_MARKS}]+")
"""What counts as a word, in lower-cased NFKC text."""
SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of characters, which cannot be encoded; the sub-word encoder reads U+FFFD in their place."""


class Tokenizer(Protocol):
    """What networks and saved models need of a tokenizer."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; n-grams come on top."""

    @property
    def size(self) -> int:
        """Number of ids, all below it."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of each text, never empty, the text cut to `max_tokens`."""

    def truncated_share(self, texts: Sequence[str]) -> float:
        """Share of the texts that are longer than `max_tokens`; 0 for no texts."""

    def to_json(self) -> str:
        """Everything needed to build the tokenizer again, with `tokenizer_from_json`."""


def split_words(text: str) -> list[str]:
    """Lower-cased words of a text after Unicode NFKC; combining marks belong to their word.

    Example:
        >>> split_words("The Café's 2 ﬁsh—हिन्दी")
        ['the', 'café', 's', '2', 'fish', 'हिन्दी']
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return WORD.findall(text.lower())


@dataclass(frozen=True, eq=False)
class WordTokenizer:
    """Learnt words, and n-grams of words hashed into buckets that follow the vocabulary."""

    words: tuple[str, ...]
    """Vocabulary, most frequent first; the first word has id 2."""
    max_tokens: int
    ngrams: int = 1
    """Longest n-gram of words; 1 for none."""
    buckets: int = 0
    """Hash buckets that n-grams share."""

    @property
    def size(self) -> int:
        """Number of ids: padding, unknown, words, buckets."""
        return RESERVED + len(self.words) + (self.buckets if self.ngrams > 1 else 0)

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=RESERVED)}

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of the words of each text, then those of its n-grams in order of length and position.

        Args:
            texts: (N,) texts.

        Returns:
            N int64 arrays of at least one id; `[1]` for a text without words.
        """
        ids, rows = self._ids, []
        hashes: dict[str, int] = {}
        for text in texts:
            words = split_words(text)[: self.max_tokens]
            row = np.array([ids.get(word, UNKNOWN) for word in words] or [UNKNOWN], dtype=np.int64)
            if self.ngrams > 1 and len(words) > 1:
                for word in words:
                    if word not in hashes:
                        hashes[word] = zlib.crc32(word.encode())
                hashed = np.array([hashes[word] for word in words], dtype=np.uint64)
                row = np.concatenate([row, *self._ngram_ids(hashed)])
            rows.append(row)
        return rows

    def _ngram_ids(self, words: npt.NDArray[np.uint64]) -> Iterator[Ids]:
        first = np.uint64(RESERVED + len(self.words))
        combined = words
        for length in range(2, min(self.ngrams, len(words)) + 1):
            # Multipliers of 64-bit hash mixing (Knuth, 1998; Steele et al., 2014), so that the order of words counts.
            combined = combined[:-1] * np.uint64(0x9E3779B97F4A7C15) + words[length - 1 :]
            mixed = (combined ^ (combined >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
            yield (first + (mixed >> np.uint64(20)) % np.uint64(self.buckets)).astype(np.int64)

    def truncated_share(self, texts: Sequence[str]) -> float:
        """Share of the texts that have more than `max_tokens` words; 0 for no texts."""
        return sum(len(split_words(text)) > self.max_tokens for text in texts) / max(1, len(texts))

    def to_json(self) -> str:
        """JSON text with all settings and words."""
        sizes = {"max_tokens": self.max_tokens, "ngrams": self.ngrams, "buckets": self.buckets}
        return json.dumps({"format": FORMAT, "kind": "words", **sizes, "words": self.words}, ensure_ascii=False)

    @classmethod
    def fit(cls, texts: Sequence[str], *, spec: ModelSpec) -> Self:
        """Learn the words that `spec.min_count` texts hold, at most `spec.vocabulary`, most frequent first."""
        rows: Counter[str] = Counter()
        for text in texts:
            rows.update(set(split_words(text)))
        ranked = sorted((-count, word) for word, count in rows.items() if count >= spec.min_count)
        words = tuple(word for _, word in ranked[: spec.vocabulary])
        if spec.architecture != "bag" or spec.ngrams == 1:
            return cls(words, max_tokens=spec.max_tokens)
        return cls(words, max_tokens=spec.max_tokens, ngrams=spec.ngrams, buckets=spec.buckets)


@dataclass(frozen=True, eq=False)
class SubwordTokenizer:
    """Byte-level byte-pair encoding (Sennrich et al., 2016) of lower-cased NFKC text: no text is unknown to it."""

    bpe: tokenizers.Tokenizer
    """The fitted encoder; its ids are moved up by 2."""
    max_tokens: int

    @property
    def size(self) -> int:
        """Number of ids: padding, unknown, sub-words."""
        return RESERVED + self.bpe.get_vocab_size()

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Ids of the sub-words of each text.

        Args:
            texts: (N,) texts.

        Returns:
            N int64 arrays of 1 to `max_tokens` ids; `[1]` for an empty text.
        """
        rows = (encoding.ids[: self.max_tokens] for encoding in self._encodings(texts))
        return [np.array(row, dtype=np.int64) + RESERVED if row else np.array([UNKNOWN]) for row in rows]

    def _encodings(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        with _one_thread():
            return self.bpe.encode_batch_fast([SURROGATE.sub("\ufffd", text) for text in texts])

    def encodings(self, texts: Sequence[str]) -> list[tokenizers.Encoding]:
        """Whole encodings of texts without surrogates, with the place of each sub-word, which takes longer to find."""
        with _one_thread():
            return self.bpe.encode_batch(texts)

    def truncated_share(self, texts: Sequence[str]) -> float:
        """Share of the texts that have more than `max_tokens` sub-words; 0 for no texts."""
        return sum(len(encoding) > self.max_tokens for encoding in self._encodings(texts)) / max(1, len(texts))

    def to_json(self) -> str:
        """JSON text with the settings and the encoder's own JSON."""
        content = {"format": FORMAT, "kind": "bpe", "max_tokens": self.max_tokens, "bpe": json.loads(self.bpe.to_str())}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def fit(cls, texts: Sequence[str], *, spec: ModelSpec) -> Self:
        """Learn merges until there are `spec.vocabulary` sub-words; the 256 bytes are always among them."""
        bpe = tokenizers.Tokenizer(models.BPE())
        bpe.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=spec.vocabulary,
            min_frequency=2,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        with _one_thread():
            bpe.train_from_iterator((SURROGATE.sub("\ufffd", text) for text in texts), trainer)
        return cls(bpe, max_tokens=spec.max_tokens)


def fit_tokenizer(texts: Sequence[str], *, spec: ModelSpec) -> Tokenizer:
    """Fit the tokenizer that a candidate asks for.

    Args:
        texts: (N,) texts of the training part only, N >= 1.
        spec: the candidate; `tokenizer`, `vocabulary`, `min_count`, `max_tokens` and, for `bag`, `ngrams` and
            `buckets` are read.

    Returns:
        A `WordTokenizer` or a `SubwordTokenizer`. Equal texts give an equal tokenizer, in any order and process.

    Raises:
        TrainingError: there are no texts.

    Example:
        >>> tokenizer = fit_tokenizer(["red shoe", "red hat"], spec=ModelSpec(ngrams=1, min_count=1))
        >>> [row.tolist() for row in tokenizer.encode(["red hat", "blue shoe", ""])]
        [[2, 3], [1, 4], [1]]
    """
    if not texts:
        raise TrainingError("expected texts to learn a vocabulary from, got none; check the split's training part")
    return SubwordTokenizer.fit(texts, spec=spec) if spec.tokenizer == "bpe" else WordTokenizer.fit(texts, spec=spec)


def tokenizer_from_json(text: str) -> Tokenizer:
    """Build the tokenizer that `to_json` described.

    Raises:
        ModelFileError: the text is not such a description; the message names what is wrong.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"the tokenizer is not JSON ({error}); save the model again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        cure = "load it with the dlcycle it is from"
        raise ModelFileError(f"expected a tokenizer of format {FORMAT}, got {found!r}; {cure}")
    match content.get("kind"):
        case "words":
            return _load_words(content)
        case "bpe":
            return _load_subwords(content)
        case other:
            raise ModelFileError(f"expected a tokenizer of kind words or bpe, got {other!r}; save the model again")


def _load_words(content: dict[str, Any]) -> WordTokenizer:
    sizes = [_whole_number(content, key, low) for key, low in (("max_tokens", 1), ("ngrams", 1), ("buckets", 0))]
    words = content.get("words")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or len(set(words)) < len(words):
        raise ModelFileError("the tokenizer's words must be a list of different strings; save the model again")
    max_tokens, ngrams, buckets = sizes
    if ngrams > 1 and buckets == 0:
        raise ModelFileError(f"the tokenizer has ngrams = {ngrams} but no buckets; save the model again")
    return WordTokenizer(tuple(words), max_tokens=max_tokens, ngrams=ngrams, buckets=buckets)


def _load_subwords(content: dict[str, Any]) -> SubwordTokenizer:
    max_tokens = _whole_number(content, "max_tokens", 1)
    try:
        bpe = tokenizers.Tokenizer.from_str(json.dumps(content.get("bpe")))
    except Exception as error:  # the library raises plain Exception for every kind of damage
        raise ModelFileError(f"the sub-word tokenizer cannot be read ({error}); save the model again") from error
    return SubwordTokenizer(bpe, max_tokens=max_tokens)


def _whole_number(content: dict[str, Any], key: str, low: int) -> int:
    value = content.get(key)
    if type(value) is not int or value < low:
        message = f"the tokenizer's {key} must be a whole number from {low}, got {value!r}"
        raise ModelFileError(f"{message}; save the model again")
    return value


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the encoder to one thread, because training forks and counts its threads."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
