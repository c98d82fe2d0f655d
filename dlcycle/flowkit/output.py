"""Files that a user asks for on the command line: refused before any work is done, written whole or not at all."""

from pathlib import Path
from typing import Literal

from dlcycle.errors import ConfigError


def check_output(path: str, *, option: str) -> None:
    """Refuse, before any work is done, a file that cannot be written in the end.

    Raises:
        ConfigError: its folder does not exist; the message names the option.
    """
    folder = Path(path).expanduser().absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"{option}: the folder {folder} does not exist; make it, or name a file elsewhere")


def write_output(path: str, text: str, *, option: str, encoding: Literal["utf-8", "utf-8-sig"] = "utf-8") -> str:
    """Write a file that the user asked for on the command line; return what to tell them.

    Args:
        path: the file.
        text: its content.
        option: what asked for it, for messages.
        encoding: `utf-8-sig` for tables, whose letters spreadsheets take for another encoding without its mark.

    Raises:
        ConfigError: it cannot be written there; the message names the option.
    """
    from dlcycle.data.files import write_file

    try:
        write_file(Path(path).expanduser(), text.encode(encoding))
    except OSError as failure:
        raise ConfigError(
            f"{option}: {path!r} cannot be written: {failure}; name a file in a folder that exists"
        ) from None
    return f"{option}: wrote {Path(path).expanduser().absolute()}"
