"""Personal data inside texts: e-mail addresses, phone, card and Aadhaar numbers and IBANs, found and masked.

Numbers that carry a check are verified by it: cards by Luhn's digit (ISO/IEC 7812) and a known issuer, Aadhaar numbers
by Verhoeff's (1969), IBANs by their country's length and the remainder modulo 97 (ISO 13616). About one number in ten
of the right shape passes the first two by chance, one in 97 the third. Phone numbers carry no check, so only their
usual forms count: a country code after `+` or `00`, the forms of North America, India and of countries that dial a 0
first, or any number right after a word such as "call". Texts about goods are full of dimensions, model numbers and
ISBNs, and these must not be taken for phones; a bare run of digits without such a word is therefore left alone.

Numbers inside web addresses are left alone too, and those announced as product numbers ("ISBN", "model no.").
"""

import re
from collections.abc import Callable, Iterator, Sequence

KINDS = ("e-mail", "IBAN", "card number", "Aadhaar", "phone")
"""What is found; where two overlap, the earlier counts."""
MASK = "•"

Span = tuple[int, int]

_SPACE = " \u00a0\u202f"
_DASH = "\\-\u2010-\u2013"
_BEFORE = r"(?<![\dA-Za-z_+])(?<!\d[.,/\-])"
_AFTER = r"(?![\dA-Za-z_])(?![.,/\-]\d)"

# Texts without any of these hold nothing to find; most do not get past this.
_WORTH_A_LOOK = re.compile(
    rf"@|\d(?:[{_SPACE}{_DASH}.()/]{{0,2}}\d){{7}}|[A-Za-z]{{2}}[0-9]{{2}}[{_SPACE}{_DASH}]?[A-Za-z0-9]{{4}}"
)
_ADDRESS = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"]+", re.IGNORECASE)

# Indic vowel signs are no letters to `re`, but part of words. U+0964 and U+0965 are full stops.
_LETTERS = "\\w\u0900-\u0963\u0966-\u0d7f"
_LOCAL = re.compile(rf"[{_LETTERS}][{_LETTERS}.!#$%&'*+/=?^`{{|}}~-]{{0,63}}\Z")
_DOMAIN = re.compile(rf"(?:[{_LETTERS}][{_LETTERS}-]{{0,62}}\.){{1,8}}(?P<ending>(?!\d)[{_LETTERS}-]{{2,63}})")
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp"})

_IBAN_START = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}[0-9]{{2}}(?=([{_SPACE}{_DASH}]?)[A-Za-z0-9]{{4}}\1[A-Za-z0-9]{{3}})"
)
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE", "18": "DK FI FK FO GL NL SD", "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK", "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL", "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST",
        "26": "IS TR", "27": "BI DJ FR GR IT MC MR SM", "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC", "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip

_GAP = rf"([{_SPACE}{_DASH}])"
_CARDS = [
    re.compile(f"{_BEFORE}(?=({shape}){_AFTER})")
    for shape in (
        r"\d{13,19}",
        rf"\d{{4}}{_GAP}\d{{4}}\2\d{{4}}\2\d{{4}}\2\d{{3}}",
        rf"\d{{4}}{_GAP}\d{{4}}\2\d{{4}}\2\d{{1,4}}",
        rf"\d{{4}}{_GAP}\d{{6}}\2\d{{4,5}}",
    )
]
# First digits and lengths of the card networks (ISO/IEC 7812 ranges as the networks publish them).
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|095|[689]\d)\d{11}(?:\d\d)?"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12}(?:\d{3})?"  # Discover
    r"|62\d{14,17}"  # UnionPay
    r"|(?:508[5-9]|60\d\d|8[12]\d\d)\d{12}"  # RuPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{9,15}"  # Maestro
    r"|220[0-4]\d{12,15}"  # Mir
)
_AADHAAR = re.compile(
    rf"{_BEFORE}(?=(\d{{12}}|(?<!\d{{4}}[{_SPACE}])\d{{4}}{_GAP}\d{{4}}\2\d{{4}}(?!\2\d{{4}}(?!\d))){_AFTER})"
)
_BASE = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_PERMUTED = [tuple(range(10))]
for _ in range(7):
    _PERMUTED.append(tuple(_PERMUTED[-1][digit] for digit in _BASE))

_PRODUCT = re.compile(
    r"\b(?:isbn|issn|ean|upc|gtin|asin|imei|model|part|item|sku|serial|lccn)"
    r"(?:[\s:#.()_-]|\bno\b|\bnumber\b|\bcode\b|1[03]\b){0,8}\Z",
    re.IGNORECASE,
)
# Country calling codes (ITU-T E.164).
_CALLING = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69]\d|3[578]\d|42\d|5[09]\d|6[7-9]\d|8[058]\d|9[679]\d"
)
_GROUP = re.compile(r"\d+")
_BETWEEN = rf"(?!\d)\)?[{_SPACE}{_DASH}./]?\(?"
_INTERNATIONAL = re.compile(
    rf"(?<![\w+.,])(?:\+(?: (?=91\b))?|\(\+|00(?=[1-9]\d?\d?[{_SPACE}{_DASH}]))[1-9]\d*(?: ?\(0\) ?\d+)?"
    rf"(?:{_BETWEEN}\d(?!\d)){{0,2}}(?:{_BETWEEN}\d{{2,}})*{_AFTER}"
)
_NATIONAL = re.compile(
    rf"{_BEFORE}(?:"
    r"(?:1[-. ])?\([2-9]\d\d\) ?[2-9]\d\d[-. ]\d{4}"  # North America: (212) 555-0123
    r"|(?:1[-.])?[2-9]\d\d([-.])[2-9]\d\d\1\d{4}"  # 212-555-0123
    r"|1[38]00-(?:\d{2,3}-\d{4}|\d{3}-\d{3}|\d{6,7})"  # free of charge: 1800-103-5555
    r"|0?(?!\d\d000)[6-9]\d{4}[ -](?!\d\d000)\d{5}"  # India, mobile: 98765 43210; not a range such as 60000-75000
    r"|(?<!\d )\(?0[1-9]\d{1,3}\)?[ /-]?(?<!\d)\d{3,4}[ -]?\d{3,4}"  # dialled with 0: 022-23456789, 020 7946 0958
    r"|0[1-9]([ .])\d\d(?:\2\d\d){3}"  # France: 01 23 45 67 89
    rf"){_AFTER}"
)
_NUMBER = rf"(?<!\d)(?P<number>\+?\(?\d+\)?(?:[{_SPACE}{_DASH}./()]{{1,2}}\d{{2,}})*){_AFTER}"
_FOLLOWING = re.compile(rf"[\s,;/&|]*(?:\b(?:or|and)\b[\s:]*)?{_NUMBER}", re.IGNORECASE)
"""A further number after one that was announced."""
_ANNOUNCED = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(?:phones?|tel|telephone|telefon|teléfono|téléphone|call(?:ing)?|contact|whatsapp|fax|ph|helpline|hotline|mobile|mob"
    r"|mobil|toll[ -]free|customer care|फोन|मोबाइल|电话|電話)"
    r"(?:[\s:.,#()_-]|\b(?:us|me|at|on|no|nr|number|numbers|brand|customer|service|care|toll|free|our|is|or|via|only"
    r"|line|the|support|team|msg|your|queries|please|नंबर)\b|(?<=_)(?:us|no|number)\b){0,12}" + _NUMBER,
    re.IGNORECASE,
)


def find_personal(text: str) -> list[tuple[str, int, int]]:
    """Find personal data in a text.

    Args:
        text: Any text.

    Returns:
        (kind, start, end) of each item, in the order of the text, without overlap; kind is one of `KINDS`.

    Example:
        >>> find_personal("mail ann@example.org or call +91 98765 43210, 5 x 1200 1600 mm")
        [('e-mail', 5, 20), ('phone', 29, 44)]
    """
    if not _WORTH_A_LOOK.search(text):
        return []
    found = []
    for kind, spans_of in _SEARCHES.items():
        spans = list(spans_of(text))
        found += [(kind, start, end) for start, end in spans]
        text = _covered(text, spans)
        if kind == "e-mail":
            text = _covered(text, [match.span() for match in _ADDRESS.finditer(text)])
    return sorted(found, key=lambda item: item[1])


def mask_personal(text: str) -> str:
    """Mask the personal data in a text so that a reader sees its kind but not whose it is.

    Of a number the first and the last two characters stay, of an e-mail address the first letter and the domain's
    ending; other letters and digits become "•". Separators stay, and so does the length of the text.

    Args:
        text: Any text.

    Returns:
        The text, in which `find_personal` finds nothing more.

    Example:
        >>> mask_personal("mail ann@example.org or call +91 98765 43210")
        'mail a••@•••••••.org or call +9• ••••• •••10'
    """
    # What a mask leaves can complete another number beside it, so the search repeats; each round masks more.
    while found := find_personal(text):
        pieces, done = [], 0
        for kind, start, end in found:
            item = text[start:end]
            pieces += [text[done:start], _masked_email(item) if kind == "e-mail" else _masked_number(item)]
            done = end
        text = "".join([*pieces, text[done:]])
    return text


def _masked_email(item: str) -> str:
    local, _, domain = item.rpartition("@")
    ending = domain.rfind(".")
    first = local[0] if len(local) > 1 else MASK
    return first + MASK * (len(local) - 1) + "@" + MASK * ending + domain[ending:]


def _masked_number(item: str) -> str:
    positions = [position for position, character in enumerate(item) if character.isalnum()]
    hidden = set(positions[1:-2])
    return "".join(MASK if position in hidden else character for position, character in enumerate(item))


def _covered(text: str, spans: Sequence[Span]) -> str:
    """Return the text with the spans covered, each character by one mask."""
    pieces, done = [], 0
    for start, end in spans:
        pieces += [text[done:start], MASK * (end - start)]
        done = end
    return "".join([*pieces, text[done:]]) if spans else text


def _emails(text: str) -> Iterator[Span]:
    end, at = 0, text.find("@")
    while at >= 0:
        # Each side is read from the sign outwards: a pattern for the whole would be quadratic in long runs of letters.
        local = _LOCAL.search(text[max(end, at - 64) : at])
        domain = _DOMAIN.match(text, at + 1)
        if local and domain and domain["ending"].casefold() not in _FILE_ENDINGS:
            end = domain.end() - (text[domain.end() - 1] == "-")
            yield at - len(local[0]), end
        at = text.find("@", at + 1)


def _ibans(text: str) -> Iterator[Span]:
    done = 0
    for match in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None or match.start() < done:
            continue
        sizes = [4] * (length // 4) + [length % 4] * (length % 4 > 0)
        shape = re.escape(match[1]).join(f"[A-Za-z0-9]{{{size}}}" for size in sizes)
        whole = re.compile(f"{shape}(?![A-Za-z0-9])").match(text, match.start())
        if whole and _passes_97(whole[0].replace(match[1], "")):
            done = whole.end()
            yield whole.span()


def _cards(text: str) -> Iterator[Span]:
    spans: list[Span] = []
    for pattern in _CARDS:
        for start, end in _checked(pattern, text, lambda digits: bool(_ISSUERS.fullmatch(digits)) and _luhn(digits)):
            if all(end <= other[0] or other[1] <= start for other in spans):
                spans.append((start, end))
    return iter(sorted(spans))


def _aadhaar(text: str) -> Iterator[Span]:
    return _checked(_AADHAAR, text, lambda digits: digits[0] in "23456789" and _verhoeff(digits))


def _checked(pattern: re.Pattern[str], text: str, check: Callable[[str], bool]) -> Iterator[Span]:
    """Yield where the pattern's group 1, found at every place, passes a check of its digits."""
    done = 0
    for match in pattern.finditer(text):
        start, end = match.span(1)
        if start >= done and check(_digits(match[1])) and not _names_product(text, start):
            done = end
            yield start, end


def _phones(text: str) -> Iterator[Span]:
    spans: list[Span] = []
    candidates = [_international(match) for match in _INTERNATIONAL.finditer(text)]
    candidates += [span for match in _ANNOUNCED.finditer(text) for span in _announced(match)]
    candidates += [match.span() for match in _NATIONAL.finditer(text) if 9 <= len(_digits(match[0])) <= 12]
    end_of_last = 0
    for span in sorted(filter(None, candidates)):
        if span[0] >= end_of_last and not _names_product(text, span[0]):
            spans.append(span)
            end_of_last = span[1]
    return iter(spans)


def _international(match: re.Match[str]) -> Span | None:
    """Return the part of a number after + or 00 that is a phone number: as many of its groups as make a length."""
    start, number = match.start(), match[0]
    offset = 2 if number.startswith("00") else 0
    groups = _group_ends(number, offset)
    digits = _digits(number[offset : groups[-1][0]]) if groups else ""
    calling = _CALLING.match(digits)
    if not calling or (calling[0] == "1" and digits[1:2] in "01"):
        return None
    # the lengths that North America and India use; elsewhere E.164's bounds
    least, most = {"1": (11, 11), "91": (12, 12)}.get(calling[0], (len(calling[0]) + 6, 15))
    fits = [end for end, length in groups if least <= length <= most]
    return (start, start + fits[-1]) if fits else None


def _announced(match: re.Match[str]) -> Iterator[Span]:
    """Yield the phone numbers that follow a word such as "call", one or several."""
    number, start, end = match["number"], match.start("number"), 0
    while True:
        groups = _group_ends(number, end)
        # eight digits in groups are rather two years or a screen's width and height
        fits = [stop for stop, length in groups if 9 <= length <= 13 or (length == 8 and len(groups) == 1)]
        if fits:
            first = _GROUP.search(number, end)
            assert first is not None
            yield start + (first.start() if end else 0), start + fits[-1]
            end = fits[-1]
        elif end and (following := _FOLLOWING.match(match.string, start + end)):
            number, start, end = following["number"], following.start("number"), 0
        else:
            return


def _group_ends(number: str, offset: int) -> list[tuple[int, int]]:
    """Return the end of each group of digits and the digits up to it, as far as a phone number can reach."""
    ends, length = [], 0
    for group in _GROUP.finditer(number, offset):
        length += len(group[0])
        if length > 15:
            break
        ends.append((group.end(), length))
    return ends


def _names_product(text: str, start: int) -> bool:
    return bool(_PRODUCT.search(text[max(0, start - 24) : start]))


def _digits(text: str) -> str:
    """Return the digits of any script as ASCII."""
    return "".join(str(int(character)) for character in text if character.isdecimal())


def _luhn(digits: str) -> bool:
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(value // 10 + value % 10 for value in doubled)) % 10 == 0


def _verhoeff(digits: str) -> bool:
    check = 0
    for position, digit in enumerate(reversed(digits)):
        check = _dihedral(check, _PERMUTED[position % 8][int(digit)])
    return check == 0


def _dihedral(left: int, right: int) -> int:
    """Multiply in the dihedral group of the pentagon, 0-4 rotations and 5-9 reflections."""
    turn = (left + right) % 5 if left < 5 else (left - right) % 5
    return turn + 5 * ((left < 5) != (right < 5))


def _passes_97(iban: str) -> bool:
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


_SEARCHES: dict[str, Callable[[str], Iterator[Span]]] = dict(
    zip(KINDS, (_emails, _ibans, _cards, _aadhaar, _phones), strict=True)
)
