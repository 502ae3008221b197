"""Amounts, times and other people's words as text for people."""

import json
import re
from decimal import Context, Decimal
from typing import Final
from unicodedata import category

from ocw_mcp.domain.time import SECOND, iso

LONGEST_UNTRUSTED: Final = 400
"""Characters."""
LONGEST_NAME: Final = 20
_PRICE: Final = Context(prec=7)

_LINK: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+|\bwww\.\S+", re.IGNORECASE)
_NAME: Final = re.compile(rf"[\w.+*-]{{1,{LONGEST_NAME}}}", re.ASCII)
_CLIENT: Final = re.compile(rf"mcp:{_NAME.pattern}(?:/{_NAME.pattern})?", re.ASCII)
"""How the engine names a client: by its token, and by what the program calls itself."""
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U00016fe4\U0001d159\U000e0100-\U000e01ef]"
)
"""Characters that are printed as nothing though they count as printable: fillers and variation selectors."""


def cents(value: Decimal, *, signed: bool = False) -> str:
    """One amount of quote currency to the cent, `10,089.10`."""
    rounded = round(value, 2) if value.is_finite() else value
    # There is no -0.00.
    return format(rounded or abs(rounded), "+,.2f" if signed and rounded else ",.2f")


def average(price: Decimal) -> Decimal:
    """Return an average price at seven significant digits, as many as prices have; JSON has all of them."""
    return _PRICE.plus(price)


def day_result(loss: Decimal) -> str:
    """How a day goes, from its loss as a share of its first equity: `day loss 0.72%`, `day gain 0.72%`."""
    return f"day loss {loss:.2%}" if loss >= 0 else f"day gain {-loss:.2%}"


def usd(value: Decimal) -> str:
    """What thinking cost, `0.0123 USD`."""
    return f"{value:,.4f} USD"


def moment(ms: int | None) -> str:
    """A time in UTC to the second, `2026-01-03 10:03:00`."""
    if ms is None:
        return "-"
    try:
        return iso(ms)[:19].replace("T", " ")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def span(ms: int) -> str:
    """How long something took: `2.5s`, `7h 59m`, `3d 2h`."""
    seconds = ms // SECOND
    if seconds < 60:
        return f"{ms / SECOND:g}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours < 1:
        return f"{minutes}m"
    return f"{hours}h {minutes % 60}m" if days < 1 else f"{days}d {hours % 24}h"


def said(text: str) -> str:
    """Return a text on one line, without anything that a terminal would obey and without invisible characters."""
    if text.isascii() and text.isprintable():
        return text.strip()
    # A format character joins what stands around it; any other that is not printable parts it.
    shown = (each if each.isprintable() else "" if category(each) == "Cf" else " " for each in text)
    return _INVISIBLE.sub("", "".join(shown)).strip()


def untrusted(text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """What a model or a venue wrote: one line, capped, without links and without anything that could command."""
    clean = " ".join(_LINK.sub("[link]", said(text[: 4 * longest])).split())
    return clean if len(clean) <= longest else f"{clean[: longest - 1]}…"


def quoted(text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """What somebody else wrote, in quotation marks: beside what the engine says to a person."""
    return json.dumps(untrusted(text, longest), ensure_ascii=False)


def quotation(what: str, source: str, at: int | None, text: str, longest: int = LONGEST_UNTRUSTED) -> str:
    """What somebody else wrote, as data for a model: with who wrote it, and since when (ms) where that is known."""
    since = "" if at is None else f", {iso(at)}"
    return f"{what}, untrusted_text by {name(source)}{since}: {quoted(text, longest)}"


def is_name(text: str) -> bool:
    """Return whether a text is a single short ASCII word, as symbols have. It says nothing of a note or a reason."""
    return _NAME.fullmatch(text) is not None


def name(text: str) -> str:
    """A name that somebody else chose; anything that is more than one short word is not shown as one."""
    return text if is_name(text) or _CLIENT.fullmatch(text) else "(no name)"
