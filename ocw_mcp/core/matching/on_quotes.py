"""Simulated fills of orders on a live market, given best prices and mark prices. No assumption favours the trader.

- An order arrives at the venue when its latency is over. A market order, and a limit order that the best opposite price
  allows, then takes from the newest quote; if there is no recent quote, from the next one.
- A quote offers its quantity at its best price. The part of an order that exceeds this quantity trades at the best
  price worsened by the slippage of `core.matching.on_candles`, and at least one spread and one tick beyond the best.
- Before the first candle has closed, the volume of the market is unknown. Levels behind the best price are then
  assumed, each with its quantity, and one spread apart; the exceeding part trades at the last level that it needs.
- If the best quantity is unknown, the whole order trades at the best price worsened by the slippage.
- A quantity is used once: what one order took from a quote is gone for every other order, and for every later look at
  the same quote. The next update of the quote has its full quantity.
- A limit order trades only within its limit. The remaining quantity rests, or is cancelled if the order is
  immediate-or-cancel.
- A resting limit order fills as a maker, at its limit, if the best opposite price reaches the limit: at most the best
  quantity of each quote. If the best quantity is unknown, it is at most a share of the last candle's volume.
- A conditional order triggers on the mark price, or on the last price if it says so, and then takes from the quote like
  a market order, without a limit. If there is no recent quote, it trades at the price that triggered it, worsened by
  the usual half spread and slippage.
- A position is liquidated if the mark price reaches its liquidation price, before the same mark price triggers a stop.
- A quote or a mark price is ignored if a price is not above 0, not finite, or more than ten times above or below the
  last price, if the bid is above the ask, if a quantity is not above 0, or if a newer one is known.
"""

import math
from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec

from ocw_mcp.core.matching.on_candles import (
    FillTerms,
    fillable_volume,
    largest_within,
    slippage,
    volume_shares,
    worsened,
)
from ocw_mcp.domain.market import Candle, Instrument, OrderBook
from ocw_mcp.domain.money import ONE, ZERO, exact, floor_to
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.time import MINUTE, SECOND

QUOTE_MAX_AGE_MS: Final = 10 * SECOND
"""The age (ms) up to which an order trades at a quote, or at a mark price in place of a quote."""
LARGEST_JUMP: Final = 10
"""A price that is more than this many times above or below the last one is ignored."""
FARTHEST_AHEAD_MS: Final = MINUTE
"""A time stamp that is farther ahead of the clock (ms) does not make later quotes count as old."""


class FillPart(msgspec.Struct, frozen=True):
    """A quantity (base asset) that trades at one price (quote)."""

    quantity: Decimal
    price: Decimal


class Quote(msgspec.Struct):
    """The best prices of a symbol since `seen` (ms, engine time), and the quantities of them that are used up."""

    book: OrderBook
    seen: int
    bought: Decimal = ZERO
    sold: Decimal = ZERO

    def best(self, side: Side) -> Decimal:
        """Return the price (quote) at which an order of a side takes first: the ask for a buy, the bid for a sell."""
        return exact(self.book.ask if side is Side.BUY else self.book.bid)

    def used(self, side: Side) -> Decimal:
        """Return the quantity (base asset) that orders of a side have taken from this quote."""
        return self.bought if side is Side.BUY else self.sold

    def use(self, side: Side, quantity: Decimal) -> None:
        """Record that an order of a side took a quantity (base asset)."""
        if side is Side.BUY:
            self.bought += quantity
        else:
            self.sold += quantity

    def size(self, side: Side) -> float | None:
        """Return the quantity (base asset) at the best price for an order of a side; None if it is unknown."""
        return self.book.ask_quantity if side is Side.BUY else self.book.bid_quantity


class Liquidity(msgspec.Struct, frozen=True):
    """What an order of one side can take from one quote. Quantities in the base asset, prices in quote currency."""

    side: Side
    best: Decimal
    level: Decimal | None
    """The quantity at the best price, and of each level that is assumed behind it; None if it is unknown."""
    used: Decimal
    distance: Decimal
    """The distance between two levels."""
    instrument: Instrument
    terms: FillTerms
    candle: Candle | None
    """The last closed candle, whose volume determines slippage; None before the first."""

    @property
    def left_at_best(self) -> Decimal:
        """The quantity at the best price that is not used; 0 if the quantity at the best price is unknown."""
        return ZERO if self.level is None else max(ZERO, self.level - self.used)

    @property
    def left_for_maker(self) -> Decimal | None:
        """The quantity that resting limit orders can still fill at this quote; None if it has no bound."""
        if self.level is not None:
            return self.left_at_best
        share = fillable_volume(self.candle, self.instrument.step, self.terms)
        return None if share is None else max(ZERO, share - self.used)

    def price_of(self, quantity: Decimal) -> Decimal:
        """Return the price of the last part of a quantity that is larger than what is left at the best price."""
        tick, step = self.instrument.tick, self.instrument.step
        through = self.used + quantity
        cost = slippage(self.terms, volume_shares(through, self.candle, step, self.terms))
        by_volume = worsened(self.side, self.best, tick, cost)
        if self.level is None:
            return by_volume
        behind = (through / self.level).to_integral_value(ROUND_CEILING) - ONE
        by_level = self.best + self.side.sign * self.distance * (behind if self.candle is None else ONE)
        by_level = max(tick, by_level)
        if self.candle is None:
            return by_level
        return max(by_level, by_volume) if self.side is Side.BUY else min(by_level, by_volume)

    def parts(self, quantity: Decimal, limit: Decimal | None = None) -> tuple[FillPart, ...]:
        """Return the parts in which an order trades up to a quantity: at most two, and all within `limit` (quote)."""
        if limit is not None and not self._within(limit, self.best):
            return ()
        first = min(quantity, self.left_at_best)
        rest = quantity - first
        if limit is not None and rest:
            step, bound = self.instrument.step, limit
            rest = largest_within(lambda more: self._within(bound, self.price_of(first + more)), rest, step)
        found = (FillPart(first, self.best), FillPart(rest, self.price_of(first + rest)))
        return tuple(part for part in found if part.quantity)

    def _within(self, limit: Decimal, price: Decimal) -> bool:
        return price <= limit if self.side is Side.BUY else price >= limit


def liquidity(
    quote: Quote, side: Side, instrument: Instrument, terms: FillTerms, candle: Candle | None = None
) -> Liquidity:
    """Return what an order of a side can take from a quote."""
    size, step = quote.size(side), instrument.step
    # A quantity below one step would divide by zero; at least one step trades at the best price.
    level = None if size is None else max(step, floor_to(exact(size), step))
    distance = max(exact(quote.book.ask) - exact(quote.book.bid), instrument.tick)
    return Liquidity(side, quote.best(side), level, quote.used(side), distance, instrument, terms, candle)


def plausible(price: float, last: float | None) -> bool:
    """Return whether a price (quote) is finite, above 0, and not absurdly far from the last price, if one is known."""
    if not (math.isfinite(price) and price > 0):
        return False
    return last is None or last / LARGEST_JUMP <= price <= last * LARGEST_JUMP


def usable(book: OrderBook, last: float | None) -> bool:
    """Return whether orders may trade at the best prices of an order book; `last` is the last price, if known."""
    sizes = (book.bid_quantity, book.ask_quantity)
    return (
        plausible(book.bid, last)
        and plausible(book.ask, last)
        and book.bid <= book.ask
        and all(size is None or (math.isfinite(size) and size > 0) for size in sizes)
    )


def outdated(at: int, known_at: int, now: int) -> bool:
    """Return whether a time stamp `at` (ms) is older than a known one, unless that one is far in the future."""
    return at < known_at <= now + FARTHEST_AHEAD_MS
