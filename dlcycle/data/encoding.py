"""From the bytes of a file to text: unpacking with limits, and an encoding that is proved, never guessed silently."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcycle.data.messages import finding
from dlcycle.errors import DataError

CHUNK = 1 << 20
HEAD = 1 << 16
MAX_RATIO = 100
RATIO_FLOOR = 10_000_000
"""Bytes that may come out of a file whatever its ratio; texts with many repetitions shrink a hundredfold."""

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive or an Excel file", "unpack it, or save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "gzipped twice", "unpack it once"),
    (b"BZh", "compressed with bzip2", "unpack it, or use gzip"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it, or use gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it, or use gzip"),
    (b"%PDF", "a PDF file", "export the table as CSV"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x89PNG", "an image", "name the table"),
)

EXPECTED = "expected CSV, JSON Lines or Parquet, plain or gzipped"
GUESSES = (("Shift-JIS", "shift_jis"), ("GB 18030", "gb18030"), ("Latin-1 or another single-byte encoding", "latin-1"))


@dataclass(frozen=True)
class TextEncoding:
    """How the bytes of a file are read as text."""

    codec: str
    """utf-8, utf-16-le, utf-16-be or cp1252."""
    bom: int
    """Bytes of the byte order mark, to be skipped."""
    errors: str = "strict"
    """`surrogatepass` where the file holds halves of surrogate pairs, which the builder replaces and counts."""
    findings: tuple[dict[str, Any], ...] = ()
    """What a user should know about the choice."""

    def open(self, opener: Callable[[], io.BufferedReader], *, newline: str) -> io.TextIOWrapper:
        """Open unpacked bytes as text, behind the byte order mark."""
        stream = opener()
        stream.read(self.bom)
        return io.TextIOWrapper(stream, encoding=self.codec, errors=self.errors, newline=newline)


class _Inflated(io.RawIOBase):
    """A gzip file as a raw stream that stops at a size, at a ratio and at damage."""

    def __init__(self, path: Path, *, name: str, limit: int) -> None:
        self._file = path.open("rb")
        self._gzip = gzip.GzipFile(fileobj=self._file)
        self._name, self._limit = name, limit
        self._compressed = path.stat().st_size
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._gzip.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self._name}: the gzip file is damaged or cut short ({error}); fetch it again") from None
        self._total += len(data)
        if self._total > self._limit:
            raise DataError(
                f"{self._name}: unpacks to more than {self._limit // 1_000_000:,} MB; raise data.max_megabytes"
            )
        if self._total > max(RATIO_FLOOR, MAX_RATIO * self._compressed):
            raise DataError(
                f"{self._name}: {self._compressed:,} bytes unpack to more than {MAX_RATIO} times as much, like a "
                "decompression bomb; unpack it yourself if you trust it"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._gzip.close()
        self._file.close()
        super().close()


def is_gzipped(path: Path) -> bool:
    """Tell by its first bytes whether a file is gzipped."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def open_bytes(path: Path, *, name: str, max_megabytes: int) -> io.BufferedReader:
    """Open a file for reading, unpacked if it is gzipped.

    Args:
        path: The file.
        name: What messages call it.
        max_megabytes: Size, in units of 1,000,000 bytes, past which reading an unpacked file stops.

    Raises:
        DataError: While reading: the file is damaged, or unpacks to too much.
    """
    if is_gzipped(path):
        return io.BufferedReader(_Inflated(path, name=name, limit=max_megabytes * 1_000_000), CHUNK)
    return io.BufferedReader(io.FileIO(path), CHUNK)


def refuse_other_formats(head: bytes, *, name: str) -> None:
    """Raise a DataError when the first bytes are those of a known format that is no table of text."""
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise DataError(f"{name}: this is a web page or XML, {EXPECTED}; was a login page downloaded in its place?")
    for magic, what, cure in OTHER_FORMATS:
        if head.startswith(magic):
            raise DataError(f"{name}: this is {what}, {EXPECTED}; {cure}")


def detect_encoding(
    opener: Callable[[], io.BufferedReader], *, name: str, encoding: str = "auto", lenient: bool = False
) -> TextEncoding:
    """Find the encoding in which every byte of a file can be read.

    `auto` takes UTF-8, with or without byte order mark, or UTF-16 when a mark or the pattern of NUL bytes says so.
    Otherwise cp1252, but only when each byte has a meaning there and the file is not mostly UTF-8; this is reported,
    because text in another single-byte encoding would come out wrong.

    Args:
        opener: Opens the unpacked bytes; called once for each encoding that is tried.
        name: What messages call the file.
        encoding: auto, utf-8, utf-16 or cp1252.
        lenient: Replace the bytes that cannot be read and report them, unless the file is no text at all.

    Raises:
        DataError: Some byte cannot be read; the message has its offset and line, and a guess.
    """
    with opener() as stream:
        head = stream.read(HEAD)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError(f"{name}: the file is UTF-32; save it as UTF-8")
    marked = next(((codec, len(bom)) for bom, codec in BOMS if head.startswith(bom)), None)
    codec, bom = marked or (_utf16_by_nuls(head) or "utf-8", 0)
    if encoding == "cp1252":
        codec, bom = "cp1252", 0
    elif encoding == "utf-8" and not marked:
        codec = "utf-8"
    elif encoding == "utf-16" and not codec.startswith("utf-16"):
        codec, bom = "utf-16-le", 0
    if encoding == "utf-8" and codec != "utf-8":
        raise DataError(f"{name}: begins with the mark of UTF-16, but data.encoding is utf-8; set it to auto")
    fault = _first_fault(opener, codec, bom)
    if fault is None:
        return TextEncoding(codec, bom)
    if codec != "cp1252" and _first_fault(opener, codec, bom, errors="surrogatepass") is None:
        return TextEncoding(codec, bom, errors="surrogatepass")
    if encoding != "auto" or marked or codec != "utf-8" or _first_fault(opener, "cp1252", 0):
        if lenient and not fault.binary:
            if codec == "utf-8" and not marked and (counts := _count_utf8(opener))[1] > counts[0]:
                codec = "cp1252"
            return _replacing(codec, bom, f"the first byte that is not UTF-8 is {fault.where}")
        raise DataError(_undecodable(opener, fault, name=name, codec=codec, auto=encoding == "auto"))
    good, bad = _count_utf8(opener)
    if good > bad:
        if lenient:
            return _replacing("utf-8", 0, f"bytes that are not UTF-8: {bad:,}, the first {fault.where}")
        raise DataError(
            f"{name}: the file mixes encodings (characters beyond ASCII in UTF-8: {good:,}; bytes that are not UTF-8: "
            f"{bad:,}, the first {fault.where}). Repair these bytes and save the file as UTF-8, or set data.encoding = "
            '"cp1252" to read it all so'
        )
    message = (
        f"The file is not UTF-8 and was read as cp1252 (the first such byte is {fault.where}); save it as UTF-8 if "
        "texts look wrong"
    )
    return TextEncoding("cp1252", 0, findings=(finding("encoding_assumed", message, count=0),))


def _replacing(codec: str, bom: int, what: str) -> TextEncoding:
    message = (
        f"No encoding explains every byte of the file ({what}); it was read as {codec}, with the replacement character "
        "U+FFFD for the bytes that are none: save it as UTF-8, or set data.encoding"
    )
    return TextEncoding(codec, bom, errors="replace", findings=(finding("undecodable_bytes", message, count=0),))


def _utf16_by_nuls(head: bytes) -> str | None:
    """Tell UTF-16 without a mark by its separators: most of them stand beside a NUL, always on the same side."""
    even, odd = head[0::2], head[1::2]
    for codec, low, high in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        separators = [above == 0 for below, above in zip(low, high, strict=False) if below in b"\n\t ,;|"]
        nuls = high.count(0)
        one_sided = nuls * 20 >= len(high) and low.count(0) * 10 <= nuls
        if one_sided and (nuls * 3 > len(high) or sum(separators) * 2 > len(separators)):
            return codec
    return None


@dataclass(frozen=True)
class _Fault:
    """The first byte that an encoding cannot read."""

    offset: int
    line: int
    byte: int
    around: bytes

    @property
    def where(self) -> str:
        return f"0x{self.byte:02X} at offset {self.offset:,}, line {self.line:,}"

    @property
    def binary(self) -> bool:
        """Whether the bytes around hold so many controls that they are no text."""
        return sum(byte < 9 or 13 < byte < 32 for byte in self.around) * 20 > len(self.around)


def _first_fault(
    opener: Callable[[], io.BufferedReader], codec: str, bom: int, errors: str = "strict"
) -> _Fault | None:
    decoder = codecs.getincrementaldecoder(codec)(errors)
    line = 1
    with opener() as stream:
        offset = len(stream.read(bom))
        while True:
            chunk = stream.read(CHUNK)
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                data = bytes(error.object)
                begin = offset - (len(data) - len(chunk))
                line += data[: error.start].decode(codec, "ignore").count("\n")
                around = data[max(0, error.start - 60) : error.start + 60]
                return _Fault(begin + error.start, line, data[error.start], around)
            if not chunk:
                return None
            offset += len(chunk)


def _count_utf8(opener: Callable[[], io.BufferedReader]) -> tuple[int, int]:
    """Count the characters beyond ASCII that are good UTF-8, and the bytes that are not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    good = bad = 0
    with opener() as stream:
        while True:
            chunk = stream.read(CHUNK)
            beyond = [character for character in decoder.decode(chunk, final=not chunk) if character > "\x7f"]
            escaped = sum("\udc80" <= character <= "\udcff" for character in beyond)
            good, bad = good + len(beyond) - escaped, bad + escaped
            if not chunk:
                return good, bad


def _undecodable(opener: Callable[[], io.BufferedReader], fault: _Fault, *, name: str, codec: str, auto: bool) -> str:
    if not (auto and codec == "utf-8"):
        tried, guess = f"not {codec}", "cut short or in another encoding"
    elif fault.binary:
        return f"{name}: this looks like a binary file (byte {fault.where} is no text), {EXPECTED}"
    else:
        tried, (good, bad) = "neither UTF-8 nor cp1252", _count_utf8(opener)
        guess = next(label for label, test in GUESSES if _decodes(fault.around, test))
        if good > bad:
            guess = f"UTF-8 with damaged bytes ({bad:,})"
    return f"{name}: byte {fault.where} is {tried}; the file may be {guess}. Save it as UTF-8"


def _decodes(data: bytes, codec: str) -> bool:
    """Tell whether some bytes decode, allowing for characters cut at either end."""
    for start in range(2):
        try:
            data[start : len(data) - 4].decode(codec)
        except UnicodeDecodeError:
            continue
        return True
    return False
