"""What funding costs a position of a perpetual future.

At each of its stamps the exchange moves rate × notional from longs to shorts, at the mark price; who holds nothing at
that moment pays nothing. Where nobody tells the rates, the exchange's usual one is charged to both sides: whoever is
right about the side it would have fallen on, nobody earns what was only assumed.
"""

from decimal import Decimal
from typing import Final

from ocw_mcp.domain.time import HOUR

ASSUMED_RATE: Final = Decimal("0.0001")
"""Per eight hours: the interest part of the exchange's rate, which is what it is while the premium is small."""
ASSUMED_EVERY: Final = 8 * HOUR
"""Stamps at 00:00, 08:00 and 16:00 UTC (ms)."""


def payment(quantity: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    """What a signed position gains at a stamp, in the currency of `mark`; below 0 it pays.

    −quantity × mark × rate (Binance, Introduction to Funding Rates: funding amount = notional at mark × rate).
    """
    return -quantity * mark * rate


def assumed_payment(quantity: Decimal, mark: Decimal) -> Decimal:
    """The same where no rate is known: long and short both pay."""
    return -abs(quantity) * mark * ASSUMED_RATE


def next_stamp(after: int) -> int:
    """The first assumed stamp later than `after` (ms)."""
    return (after // ASSUMED_EVERY + 1) * ASSUMED_EVERY
