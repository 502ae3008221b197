"""Amounts, times and durations as text."""

from decimal import Context, Decimal
from typing import Final

from ocw_mcp.domain.state import Lowered
from ocw_mcp.domain.text import printable
from ocw_mcp.domain.time import SECOND, iso

HASH_SHOWN: Final = 12
"""Number of characters of a policy hash that texts show; JSON has the whole hash."""
_PRICE: Final = Context(prec=7)


def cents(value: Decimal, *, signed: bool = False) -> str:
    """Return an amount of quote currency to the cent: `10,089.10`."""
    rounded = round(value, 2) if value.is_finite() else value
    # There is no -0.00.
    return format(rounded or abs(rounded), "+,.2f" if signed and rounded else ",.2f")


def average(price: Decimal) -> Decimal:
    """Return an average price rounded to seven significant digits."""
    return _PRICE.plus(price)


def day_result(loss: Decimal) -> str:
    """Return the result of a day from its loss (a share of the day's first equity): `day loss 0.72%`."""
    return f"day loss {loss:.2%}" if loss >= 0 else f"day gain {-loss:.2%}"


def usd(value: Decimal) -> str:
    """Return the cost of model calls: `0.0123 USD`."""
    return f"{value:,.4f} USD"


def funding_text(amount: Decimal) -> str:
    """Return funding in words, from its amount in quote currency (above 0 received): `funding paid 0.10`."""
    direction = "received " if amount > 0 else "paid " if amount < 0 else ""
    return f"funding {direction}{cents(abs(amount))}"


def moment(ms: int | None) -> str:
    """Return a time in UTC to the second, `2026-01-03 10:03:00`; `-` for None."""
    if ms is None:
        return "-"
    try:
        return iso(ms)[:19].replace("T", " ")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def span(ms: int) -> str:
    """Return a duration: `2.5s`, `7h 59m`, `3d 2h`."""
    seconds = ms // SECOND
    if seconds < 60:
        return f"{ms / SECOND:g}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours < 1:
        return f"{minutes}m"
    return f"{hours}h {minutes % 60}m" if days < 1 else f"{days}d {hours % 24}h"


def lowered_text(lowered: Lowered) -> str:
    """Return who lowered the trading state, when and why: `by ann at 2026-01-02 10:00:00 UTC: enough for today`."""
    why = f": {printable(lowered.why)}" if lowered.why else ""
    return f"by {printable(lowered.by)} at {moment(lowered.at)} UTC{why}"
