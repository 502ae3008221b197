"""Amounts, times and other people's words as text for people."""

from decimal import Decimal

from ocw_mcp.domain.time import SECOND, iso


def cents(value: Decimal, *, signed: bool = False) -> str:
    """One amount of quote currency to the cent, `10,089.10`."""
    rounded = round(value, 2) if value.is_finite() else value
    # There is no -0.00.
    return format(rounded or abs(rounded), "+,.2f" if signed and rounded else ",.2f")


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
    """What somebody else wrote, on one line and without anything that a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text).strip()
