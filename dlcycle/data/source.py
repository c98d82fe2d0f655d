"""Open a data source: a local file, an `https://` URL or an `s3://` object, as one checked local file.

Remote sources come from a project file or a command line and are fetched by machines that can reach private networks.
An `https://` source is therefore resolved first, refused when any of its addresses is not public, and fetched from the
very address that was checked, so that a second answer of the name server changes nothing; each redirect starts over.
Passwords and query strings of URLs may be secrets: no message and no result shows them.
"""

import difflib
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dlcycle.data.download import CHUNK, MEGABYTE, Transport, about_size, https_chunks, redact, s3_chunks
from dlcycle.data.messages import listed
from dlcycle.errors import SourceError

ALLOWED = "a local path, an https:// URL or an s3:// object"
DATA_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".gz")


@dataclass(frozen=True)
class SourceFile:
    """A source whose bytes lie in a local file."""

    uri: str
    """What was asked for, without its query string."""
    name: str
    """File name, for messages and for telling the format."""
    path: Path
    """Where the bytes are; a downloaded file lives as long as the `open_source` block."""
    size: int
    """Bytes of the file as stored, before decompression."""
    sha256: str
    """Digest of these bytes, in hexadecimal."""


@contextmanager
def open_source(
    uri: str,
    *,
    sha256: str | None = None,
    allowed_hosts: Sequence[str] = (),
    max_megabytes: int = 2048,
    transport: Transport | None = None,
) -> Iterator[SourceFile]:
    """Open a source as a local file; what was downloaded is removed on exit.

    Args:
        uri: A local path (`~` is expanded), an `https://` URL or `s3://bucket/key`. An S3-compatible store is named by
            the environment variable METAFLOW_S3_ENDPOINT_URL; credentials come from the usual AWS places.
        sha256: Digest that the bytes must have, 64 hexadecimal digits.
        allowed_hosts: Hosts that an `https://` source, and its redirects, may name; empty allows any public one.
        max_megabytes: Largest file, in units of 1,000,000 bytes.
        transport: How hosts are resolved and reached; the network of this machine when None.

    Yields:
        The checked file.

    Raises:
        SourceError: The source does not exist, cannot be read, is empty or too large, has another digest, or must not
            be opened.

    >>> with open_source(__file__) as source:
    ...     source.name
    'source.py'
    """
    scheme = _scheme(uri)
    limit = max_megabytes * MEGABYTE
    if scheme == "":
        yield _checked(_local_file(uri, limit), sha256)
        return
    with tempfile.TemporaryDirectory(prefix="dlcycle-") as folder:
        shown = redact(uri) if scheme == "https" else uri
        name = PurePosixPath(shown.partition("://")[2]).name
        if scheme == "https":
            chunks = https_chunks(uri, allowed_hosts=allowed_hosts, limit=limit, transport=transport or Transport())
        else:
            chunks = s3_chunks(uri, limit=limit, transport=transport or Transport())
        path = Path(folder) / "data"
        size, digest = _store(chunks, path, limit=limit, shown=shown)
        yield _checked(SourceFile(shown, name, path, size, digest), sha256)


def _scheme(uri: str) -> str:
    """Return "https" or "s3", or "" for a local path; refuse everything else."""
    if not uri.strip() or "\0" in uri:
        raise SourceError(f"data.source = {uri[:80]!r} names nothing; expected {ALLOWED}")
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):(?://|:)", uri)
    scheme = match[1].lower() if match else ""
    if scheme == "http":
        raise SourceError(
            f"{redact(uri)}: http:// is refused because anyone on the way can read and change the data; use https://"
        )
    if scheme not in ("", "https", "s3"):
        raise SourceError(f"{redact(uri)}: {scheme}:// is refused; expected {ALLOWED}")
    return scheme


def _checked(source: SourceFile, sha256: str | None) -> SourceFile:
    if source.size == 0:
        raise SourceError(f"{source.uri}: the file is empty (0 bytes); expected a header and rows")
    if sha256 is not None and source.sha256 != sha256.lower():
        raise SourceError(
            f"{source.uri}: the bytes are not those promised: expected sha256 {sha256.lower()}, got {source.sha256}. "
            "Fetch the right version, or correct data.sha256 in the project file"
        )
    return source


def _local_file(uri: str, limit: int) -> SourceFile:
    path = Path(uri).expanduser()
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise SourceError(_about_folder(uri, path))
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{uri}: not a regular file (a device or a pipe); copy the data to a file first")
        if status.st_size > limit:
            raise SourceError(about_size(uri, limit, status.st_size))
        digest = hashlib.sha256()
        size = 0
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(_about_missing(uri, path)) from None
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"{uri}: cannot be read: {reason}; check the path and its permissions") from None
    return SourceFile(uri, path.name, path, size, digest.hexdigest())


def _about_missing(uri: str, path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        existing = next(parent for parent in folder.parents if parent.is_dir())
        return f"{uri}: no such file: the folder {folder} does not exist (only {existing} does); correct the path"
    names = sorted(os.listdir(folder))
    lowered = {name.lower(): name for name in names}
    nearest = [lowered[name] for name in difflib.get_close_matches(path.name.lower(), lowered, n=1, cutoff=0.5)]
    hint = f"nearest: {nearest[0]!r}" if nearest else _listing(folder, names)
    start = "" if Path(uri).is_absolute() else f"; relative paths start at {Path.cwd()}"
    return f"{uri}: no such file in {folder}; {hint}{start}"


def _about_folder(uri: str, path: Path) -> str:
    return f"{uri}: this is a folder, expected one file; {_listing(path, sorted(os.listdir(path)))}"


def _listing(folder: Path, names: Iterable[str]) -> str:
    data = [name for name in names if name.lower().endswith(DATA_SUFFIXES) and (folder / name).is_file()]
    return f"data files there: {listed(data)}" if data else "there are no data files there"


def _store(chunks: Iterable[bytes], path: Path, *, limit: int, shown: str) -> tuple[int, str]:
    """Write the chunks to `path`; return their size and digest."""
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise SourceError(about_size(shown, limit))
            digest.update(chunk)
            try:
                stream.write(chunk)
            except OSError as error:
                raise SourceError(f"{shown}: cannot be stored in {path.parent}: {error.strerror}; set TMPDIR") from None
    return size, digest.hexdigest()
