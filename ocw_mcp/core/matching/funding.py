"""Funding payments of positions in perpetual futures, and their settlement times.

If no rate is known, the exchange's usual rate is charged to long and short positions alike, so that no position profits
from the assumption.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from ocw_mcp.domain.time import HOUR, SECOND

ASSUMED_RATE: Final = Decimal("0.0001")
"""The assumed rate per eight hours: the interest part of the exchange's rate, which is all of it at low premium."""
ASSUMED_EVERY: Final = 8 * HOUR
"""Time between assumed settlements (ms), which are at 00:00, 08:00 and 16:00 UTC."""
STAMPED_LATE_MS: Final = 10 * SECOND
"""Longest delay (ms) of a rate's time stamp after the full hour of its settlement; some milliseconds are usual."""


def payment(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """Return the amount (quote) that a position of a signed `quantity` receives at a settlement; below 0 if it pays.

    −quantity × mark × rate (Binance, Introduction to Funding Rates: funding amount = notional at mark × rate).
    """
    return -quantity * mark * rate


def assumed_payment(quantity: Decimal, mark: Decimal) -> Decimal:
    """Return the amount (below 0) that a position, long or short, pays at a settlement whose rate is unknown."""
    return -abs(quantity) * mark * ASSUMED_RATE


def whole_stamp(at: int) -> int:
    """Return the settlement time (ms) of a rate with the time stamp `at`: the full hour if `at` is slightly later."""
    return at // HOUR * HOUR if at % HOUR <= STAMPED_LATE_MS else at


def next_stamp(after: int) -> int:
    """Return the first assumed settlement time later than `after` (ms)."""
    return (after // ASSUMED_EVERY + 1) * ASSUMED_EVERY


def assumed_stamps(after: int, until: int) -> Iterator[int]:
    """Yield the assumed settlement times later than `after` and up to `until` (ms)."""
    return iter(range(next_stamp(after), until + 1, ASSUMED_EVERY))
