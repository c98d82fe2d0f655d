"""Whether a run can write where it must: asked before work is done, and told in a line where it fails later."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from metaflow.exception import MetaflowException

MEGABYTE = 1e6
NEEDED = 20 * MEGABYTE
"""Bytes that are wanted free before a task begins: what logs, cards and the artifacts of a small step take."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CHOICE = "METAFLOW_DATASTORE_SYSROOT_LOCAL for the datastore, TMPDIR for temporary files"


_written: list[str] = []
"""Folders that this process was found to write to."""


class StorageFailure(MetaflowException):
    """Something that cannot be written, through no fault of what is written. Metaflow prints its message alone."""

    headline = "Nothing more could be written"


def prove_room(datastore: str | None) -> None:
    """Make sure, before work is done, that the datastore and the folder of temporary files have room.

    Args:
        datastore: root of the datastore where it is a local folder; one that does not exist yet is made in the nearest
            folder above it.

    Raises:
        StorageFailure: with a message that names the folder, what is free, what is needed and what to do.
    """
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError as failure:
        raise StorageFailure(f"{failure.strerror}; free some room in one, or name another in TMPDIR") from None
    _written[:] = [*([datastore] if datastore else []), temporary]
    for folder in _written:
        existing = _existing(folder)
        try:
            with tempfile.TemporaryFile(dir=existing) as probe:
                probe.write(bytes(4096))
        except OSError as failure:
            raise StorageFailure(_explained(failure.errno, folder)) from None
        if shutil.disk_usage(existing).free < NEEDED:
            raise StorageFailure(_explained(errno.ENOSPC, folder))


def explain_cause(failure: BaseException) -> str | None:
    """Say in a line what could not be written, if that is behind an exception, where, and what to do; else None."""
    error: BaseException | None = failure
    while error is not None:
        if isinstance(error, OSError) and error.errno in (*NO_ROOM, errno.EROFS):
            return _explain(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    # A file that may be written, and not read, is no matter of room.
    if isinstance(failure, PermissionError) and failure.filename is not None:
        writable = os.access(_existing(os.fsdecode(failure.filename)), os.W_OK)
        return None if writable else _explain(failure)
    return None


def _explain(failure: OSError) -> str:
    if failure.filename is not None:
        return _explained(failure.errno, os.fsdecode(failure.filename))
    # Writing to a file that is open names no file.
    known = [folder for folder in (*_written, os.getcwd()) if Path(folder).exists()]
    return _explained(failure.errno, min(known, key=lambda folder: shutil.disk_usage(folder).free))


def _explained(number: int | None, path: str) -> str:
    said = f"cannot write to {path}: {os.strerror(number or 0)}"
    if number in NO_ROOM:
        free = shutil.disk_usage(_existing(path)).free
        needed = f"{NEEDED / MEGABYTE:.0f} MB or more are needed" if free < NEEDED else "more are needed"
        return f"{said}; {free / MEGABYTE:.1f} MB are free, {needed}; free some, or choose another folder ({_CHOICE})"
    return f"{said}; make it writable, or choose another folder ({_CHOICE})"


def _existing(path: str) -> Path:
    """The path, or the nearest folder above it that exists."""
    absolute = Path(path).absolute()
    return next(folder for folder in (absolute, *absolute.parents) if os.path.exists(folder))
