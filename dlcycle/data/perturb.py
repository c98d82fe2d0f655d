"""Texts changed as people and systems change them: typing errors, case, white space and missing words.

A change depends on the text, the kind, the share and the seed, never on where the text stands, so that a row changed
alone is the row changed among others. Characters keep their combining marks.
"""

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from random import Random

from dlcycle.config import Perturbation

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYS = {key: (row + 0.25 * column, column) for column, keys in enumerate(_ROWS) for row, key in enumerate(keys)}
NEIGHBOURS = {
    key: "".join(
        other for other, (x, y) in _KEYS.items() if other != key and abs(x - place[0]) <= 1 and abs(y - place[1]) <= 1
    )
    for key, place in _KEYS.items()
}
"""Keys around each letter of a QWERTY keyboard, whose lower rows stand a little further right."""


def _ranges(codes: Sequence[int]) -> str:
    """A class of a regular expression that holds these characters."""
    runs = itertools.groupby(enumerate(codes), key=lambda place: place[1] - place[0])
    found = [[code for _, code in run] for _, run in runs]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in found)


# Marks, joiners and variation selectors; there are none in the planes left out.
_MARKS = _ranges(
    [
        code
        for code in itertools.chain(range(0x300, 0x1F000), range(0xE0100, 0xE01F0))
        if unicodedata.category(chr(code))[0] == "M" or code in (0x200C, 0x200D)
    ]
)
# Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SPACED_RUN = rf"(?:(?![{_UNSPACED}])\w[{_MARKS}]*)+"
_WORD = re.compile(rf"(?:(?=[{_UNSPACED}])\w[{_MARKS}]*){{1,3}}|{_SPACED_RUN}(?:['\u2019-]{_SPACED_RUN})*")
# A syllable of Korean may be written as several letters that are shown as one.
_SYLLABLE = r"(?:[\u1100-\u115f]+|[\uac00-\ud7a3])[\u1160-\u11a7]*[\u11a8-\u11ff]*"
_CHARACTER = re.compile(rf"(?:{_SYLLABLE}|.)[{_MARKS}]*", re.DOTALL)
# A space that carries a mark is a character, not a gap.
_GAP = re.compile(rf"(?<=\S)\s+(?=\S)(?![{_MARKS}])")

Edit = tuple[int, int, str]
"""Start and end of what is replaced, and by what."""


def perturb_texts(texts: Sequence[str], *, kind: Perturbation, share: float = 0.1, seed: int) -> list[str]:
    """Change texts in one way.

    For training that bears such changes, and for testing whether a decision does.

    Args:
        texts: (N,) texts.
        kind: `typos`: in some words of at least three letters two neighbouring letters are swapped, or a letter is
            left out, doubled or, where it is on a QWERTY keyboard, replaced by one beside it (the four of Pruthi et
            al., 2019). `case`: the whole text in upper, lower or swapped case. `white_space`: some gaps between words
            are widened, closed or broken into lines, or a word is cut by a space. `dropped_words`: some words are
            left out, never all.
        share: of the words (`typos`, `dropped_words`) or gaps (`white_space`) that are changed, 0 to 1; at least one
            is. In scripts written without spaces up to three characters count as a word.
        seed: start of the random numbers; with the text, the kind and the share it decides the change.

    Returns:
        (N,) texts; one is as before only if nothing in it can be changed in this way, such as the case of digits.

    Source: Pruthi, Dhingra and Lipton (2019), Combating Adversarial Misspellings with Robust Word Recognition.

    Example:
        >>> perturb_texts(["red shoe", "12"], kind="case", seed=0)
        ['RED SHOE', '12']
        >>> perturb_texts(["a pair of red shoes"], kind="dropped_words", seed=1)
        ['a of red shoes']
    """
    change = _CHANGES[kind]
    return [change(text, share, _generator(text, kind=kind, share=share, seed=seed)) for text in texts]


def _generator(text: str, *, kind: Perturbation, share: float, seed: int) -> Random:
    # Lone surrogates come in texts that were cut.
    key = f"{seed} {kind} {float(share)} {text}".encode("utf-8", "surrogatepass")
    return Random(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest()))


def _apply(text: str, edits: Sequence[Edit]) -> str:
    pieces, done = [], 0
    for start, end, new in sorted(edits):
        pieces += [text[done:start], new]
        done = end
    return "".join([*pieces, text[done:]])


def _some(share: float, total: int) -> int:
    return max(1, round(share * total))


def _characters(word: str) -> list[str]:
    """What a reader takes for one character each."""
    return list(word) if word.isascii() else _CHARACTER.findall(word)


def _letters(characters: Sequence[str]) -> list[int]:
    return [place for place, character in enumerate(characters) if character[0].isalpha()]


def _typos(text: str, share: float, generator: Random) -> str:
    words = [
        found
        for found in _WORD.finditer(text)
        if (found[0].isascii() and len(found[0]) >= 3 and found[0].isalpha())
        or len(_letters(_characters(found[0]))) >= 3
    ]
    if not words:
        return text
    edits = [
        (*found.span(), _mistyped(_characters(found[0]), generator))
        for found in generator.sample(words, _some(share, len(words)))
    ]
    # Words of scripts without spaces touch, so that two typos can undo each other.
    return changed if (changed := _apply(text, edits)) != text else _apply(text, edits[:1])


def _mistyped(characters: list[str], generator: Random) -> str:
    letters = _letters(characters)
    pairs = [
        (left, right)
        for left, right in itertools.pairwise(letters)
        if right == left + 1 and characters[left] != characters[right]
    ]
    keys = [place for place in letters if characters[place].lower() in NEIGHBOURS]
    typo = generator.choice(["drop", "double"] + ["swap"] * bool(pairs) + ["replace"] * bool(keys))
    changed, place = list(characters), generator.choice(letters)
    match typo:
        case "drop":
            changed[place] = ""
        case "double":
            changed[place] *= 2
        case "swap":
            left, right = generator.choice(pairs)
            changed[left], changed[right] = changed[right], changed[left]
        case "replace":
            place = generator.choice(keys)
            key = generator.choice(NEIGHBOURS[characters[place].lower()])
            changed[place] = key.upper() if characters[place].isupper() else key
    return "".join(changed)


def _case(text: str, share: float, generator: Random) -> str:
    ways = generator.sample([str.upper, str.lower, str.swapcase], 3)
    return next((changed for way in ways if (changed := way(text)) != text), text)


def _white_space(text: str, share: float, generator: Random) -> str:
    gaps = [found.span() for found in _GAP.finditer(text)]
    words = [
        found
        for found in _WORD.finditer(text)
        if len(found[0]) > 1 and (found[0].isascii() or len(_characters(found[0])) > 1)
    ]
    if not gaps:
        return _apply(text, [_cut(generator.choice(words), generator)]) if words else text
    edits: list[Edit] = []
    for start, end in generator.sample(gaps, _some(share, len(gaps))):
        way = generator.choice(["widen", "close", "break"] + ["cut"] * bool(words))
        match way:
            case "cut":
                edits.append(_cut(words.pop(generator.randrange(len(words))), generator))
            case "close":
                edits.append((start, end, ""))
            case "break" if text[start:end] != "\n":
                edits.append((start, end, "\n"))
            case _:
                edits.append((start, end, text[start:end] + " "))
    return _apply(text, edits)


def _cut(word: re.Match[str], generator: Random) -> Edit:
    ends = list(itertools.accumulate(map(len, _characters(word[0]))))
    place = word.start() + generator.choice(ends[:-1])
    return place, place, " "


def _dropped_words(text: str, share: float, generator: Random) -> str:
    words = [found.span() for found in _WORD.finditer(text)]
    if len(words) < 2:
        return text
    gaps = [found.span() for found in _GAP.finditer(text)]
    before, after = {end: start for start, end in gaps}, dict(gaps)
    edits: list[Edit] = []
    done = 0
    for start, end in sorted(generator.sample(words, min(_some(share, len(words)), len(words) - 1))):
        # A word goes with the gap before it; the first one with the gap after it.
        first, last = (start, after.get(end, end)) if start == 0 else (before.get(start, start), end)
        edits.append((max(done, first), last, ""))
        done = last
    return _apply(text, edits)


_CHANGES: dict[Perturbation, Callable[[str, float, Random], str]] = {
    "typos": _typos,
    "case": _case,
    "white_space": _white_space,
    "dropped_words": _dropped_words,
}
