"""What funding costs a position of a perpetual future, and when.

At each of its stamps the exchange moves rate × notional from longs to shorts, at the mark price. A position that is not
held at that moment pays nothing. Where no rate is known, the exchange's usual one is charged to both sides: whatever
the side would have been on which it fell, nothing is gained from an assumption.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from ocw_mcp.domain.time import HOUR, SECOND

ASSUMED_RATE: Final = Decimal("0.0001")
"""Per eight hours: the interest part of the exchange's rate, which is what it is while the premium is small."""
ASSUMED_EVERY: Final = 8 * HOUR
"""Stamps at 00:00, 08:00 and 16:00 UTC (ms)."""
STAMPED_LATE_MS: Final = 10 * SECOND
"""How long after the whole hour that it settles the exchange may stamp a rate; some milliseconds are usual."""


def payment(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What a signed position gains at a stamp, in the currency of `mark`; below 0 it pays.

    −quantity × mark × rate (Binance, Introduction to Funding Rates: funding amount = notional at mark × rate).
    """
    return -quantity * mark * rate


def assumed_payment(quantity: Decimal, mark: Decimal) -> Decimal:
    """The same where no rate is known: long and short both pay."""
    return -abs(quantity) * mark * ASSUMED_RATE


def whole_stamp(at: int) -> int:
    """Return the moment (ms) that a rate stamped `at` settles: the whole hour, where it was stamped a little late."""
    return at // HOUR * HOUR if at % HOUR <= STAMPED_LATE_MS else at


def next_stamp(after: int) -> int:
    """The first assumed stamp later than `after` (ms)."""
    return (after // ASSUMED_EVERY + 1) * ASSUMED_EVERY


def assumed_stamps(after: int, until: int) -> Iterator[int]:
    """Yield the assumed stamps later than `after` and up to `until` (ms)."""
    return iter(range(next_stamp(after), until + 1, ASSUMED_EVERY))
