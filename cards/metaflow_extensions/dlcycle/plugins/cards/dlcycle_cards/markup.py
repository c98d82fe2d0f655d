"""HTML that escapes by default: `Html` marks what is already safe, `el` builds elements, `safe_text` shows any string.

A string that is not `Html` is always escaped, so a forgotten call shows markup as text instead of running it. Adding
`Html` to a plain string gives a plain string, which is escaped again: mistakes are visible, never dangerous.
"""

import html
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

LIMIT = 200
"""Characters of a string from data that a card shows."""
LONGEST = 4000
"""Characters of a message or setting that a card shows."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_STYLE = re.compile(r"[a-z0-9:;.,%# -]*")
_FILE = re.compile(r"[a-z0-9_]+\.csv")
_TABLE = re.compile(r"data:text/csv;charset=utf-8;base64,[A-Za-z0-9+/=]*")
_REFUSED = {"script", "iframe", "object", "embed", "form", "base", "link", "template"}
_VOID = {"meta", "img", "br", "hr", "col"}
_ALWAYS_SHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_SHOWN_IN_LABELS = re.compile(
    "[\t\n\r\xa0\xad\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200d\u2028\u2029\u2060-\u2064\u3164\ufeff\uffa0"
    "\U000e0000-\U000e007f]"
)
_EDGE_SPACE = re.compile(r"^ +| +$")

Child: TypeAlias = "str | Iterable[Child] | None"


class Html(str):
    """Markup that needs no escaping any more. Only this package makes it."""

    __slots__ = ()


def _mark(match: re.Match[str]) -> str:
    return "".join(f"\u2039U+{ord(character):04X}\u203a" for character in match[0])


def safe_text(value: object, limit: int = LIMIT, *, label: bool = False) -> Html:
    r"""Any value as escaped text that hides nothing and cannot disturb the page.

    Args:
        value: shown as `str(value)`; None is shown as "none".
        limit: characters shown; the rest is cut and counted.
        label: also make white space at the ends, line breaks, no-break and zero-width characters visible, which
            matters where two strings that look alike are not equal.

    Example:
        >>> str(safe_text("<b>\x00" + "x" * 300, limit=5))
        '&lt;b&gt;‹U+0000›x … 299 more characters'
    """
    text = value if isinstance(value, str) else "none" if value is None else str(value)
    shown, rest = text[:limit], max(0, len(text) - limit)
    if label:
        shown = _EDGE_SPACE.sub(_mark, shown)
        shown = _SHOWN_IN_LABELS.sub(_mark, shown)
    shown = _ALWAYS_SHOWN.sub(_mark, shown.replace("\r\n", "\n"))
    if rest:
        shown += f" … {rest:,} more character{'s' if rest > 1 else ''}"
    # Metaflow replaces this token in the finished page; a text that holds it must stay as it is.
    return Html(html.escape(shown, quote=True).replace("[METAFLOW_RELOAD_TOKEN]", "&#91;METAFLOW_RELOAD_TOKEN]"))


def data(value: object, limit: int = LIMIT, *, label: bool = False) -> Html:
    """A string from data: `safe_text`, kept apart from the direction of the text around it."""
    return Html(f'<bdi dir="auto">{safe_text(value, limit, label=label)}</bdi>')


def join(*children: Child) -> Html:
    """Children in order, as one piece of markup; plain strings are escaped, None is left out."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(str(child))
        elif isinstance(child, str):
            parts.append(str(safe_text(child, LONGEST)))
        elif isinstance(child, Iterable) and not isinstance(child, (bytes, dict)):
            parts.append(str(join(*child)))
        else:
            raise TypeError(f"an element takes strings, not {type(child).__name__}: format numbers first")
    return Html("".join(parts))


def _attribute(name: str, value: Any) -> str:
    name = name.rstrip("_").replace("_", "-")
    if not _NAME.fullmatch(name) or name.startswith("on"):
        raise ValueError(f"attribute {name!r} is not allowed")
    text = str(value)
    if name == "style" and not _STYLE.fullmatch(text):
        raise ValueError(f"style {text!r} is not made of constants and numbers")
    if name == "href" and not re.fullmatch(r"#[a-z0-9-]+", text):
        raise ValueError("links go to a place on the same page only")
    if name == "download":
        raise ValueError("attribute 'download' is allowed with a table in the page only")
    if name == "src" and not re.fullmatch(r"data:image/(svg\+xml|png);base64,[A-Za-z0-9+/=]*", text):
        raise ValueError("images are embedded as base64 only")
    return f' {name}="{text if name == "src" else safe_text(text, LONGEST)}"'


def _download(name: Any, address: Any) -> str:
    """The attributes of a link that saves a table which lies in the page."""
    if not _FILE.fullmatch(str(name)) or not _TABLE.fullmatch(str(address)):
        raise ValueError("downloads are allowed for CSV tables in the page only")
    return f' download="{name}" href="{address}"'


def el(tag: str, *children: Child, **attributes: Any) -> Html:
    """One element. Children and attribute values are escaped unless they are `Html`.

    Args:
        tag: a constant name; elements that load or run anything are refused.
        children: strings, `Html`, None, or iterables of them.
        attributes: constant names, `class_` for class and `aria_label` for aria-label; None and False leave the
            attribute out, True writes it empty.

    Raises:
        ValueError: for a name, link, image source, download or style that could load or run something.

    Example:
        >>> str(el("td", "a < b", class_="n"))
        '<td class="n">a &lt; b</td>'
    """
    if not _NAME.fullmatch(tag) or tag in _REFUSED:
        raise ValueError(f"element {tag!r} is not allowed")
    saved = ""
    if tag == "a" and "download" in attributes:
        saved = _download(attributes.pop("download"), attributes.pop("href", ""))
    written = saved + "".join(
        _attribute(name, "" if value is True else value)
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    return Html(f"<{tag}{written}>" if tag in _VOID else f"<{tag}{written}>{join(*children)}</{tag}>")
