"""The market of the sandbox exchange: each value is a function of the source and a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from ocw_mcp.adapters.feeds.simulated.feed import OLDEST_DAYS, START, SYMBOLS, SimulatedFeed
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.domain.market import Funding, Metrics, Product
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.derivatives import Derivatives
from ocw_mcp.sandbox.binance.intervals import opens_at, opens_next
from ocw_mcp.sandbox.binance.klines import Cache, KlineBuilder
from ocw_mcp.sandbox.binance.listing import Notation, notation, number_text
from ocw_mcp.sandbox.binance.path import TradeBlock
from ocw_mcp.sandbox.binance.source import MinuteSource, SymbolDay
from ocw_mcp.sandbox.binance.values import Kline, Liquidation, MarkPrice, Quote, Trade

Levels = list[tuple[float, float]]
"""Prices (quote) and quantities (base asset) of one side of the order book, the best price first."""

HISTORY_DAYS = 60
"""Days of a tape before the start that can be read."""
_LEAD_DAYS = 1
"""Days of a tape before the start, if no start is given."""
_WORD = (1 << 64) - 1
_MARKED = 4_000
"""Mark prices and latest trades in memory: those of a week's periods of five minutes."""


def mixed(*numbers: int) -> int:
    """Return 64 bits that depend on all bits of the numbers (SplitMix64, G. Steele, D. Lea, C. Flood 2014)."""
    state = 0
    for number in numbers:
        state = (state + (number & _WORD) + 0x9E3779B97F4A7C15) & _WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
        state ^= state >> 31
    return state


class SandboxMarket:
    """The market of a source of minute candles: trades, klines, quotes, mark prices and derivatives.

    A minute's trades go from its open through its extremes to its close, and sum to its volumes. The first trade of a
    minute is at its first millisecond. Memory is bounded; data are read when they are needed.
    """

    def __init__(self, feed: Feed, start: int, since: int | None = None) -> None:
        """`start` (ms) is the time at which a clock should start. Nothing before the midnight `since` (ms) is read.

        Raises SettingsError for a feed without minute candles, or one that waits.
        """
        identity = feed.identity
        self.product = identity.product
        self.symbols = identity.symbols
        self.start = start
        self._source = MinuteSource(feed, since)
        self._builder = KlineBuilder(self._source)
        self._derivatives = Derivatives(self._source)
        self._notation: dict[str, Notation] = {}
        self._marked: Cache[tuple[str, int], tuple[MarkPrice, Trade]] = Cache(_MARKED)

    @classmethod
    def simulated(
        cls, seed: int, symbols: tuple[str, ...] = SYMBOLS, product: Product = Product.UM, start: int = START
    ) -> Self:
        """Return the simulated market of a seed; `start` is a midnight (ms), with two weeks of history before it."""
        return cls(SimulatedFeed(seed, symbols, product, start, warmup_days=OLDEST_DAYS), start)

    @classmethod
    def recorded(
        cls, path: Path, product: Product | None = None, symbols: tuple[str, ...] = (), start: int | None = None
    ) -> Self:
        """Return the market of a tape with minute candles; without `start` (ms) it starts a day after its beginning.

        Raises TapeError or SettingsError for a tape that has none.
        """
        feed = TapeFeed.open(path, product, "1m", symbols or None)
        since = None if start is None else (start // DAY - HISTORY_DAYS) * DAY
        market = cls(feed, start or 0, since)
        if start is None:
            market.start = (market.begins_at // DAY + _LEAD_DAYS) * DAY
        return market

    @property
    def begins_at(self) -> int:
        """The time (ms) of the first candle that can be read."""
        return self._source.begins_at

    def ends_at(self, now: int) -> int | None:
        """Return the close time (ms) of the source's last candle if the source ends by `now`, else None."""
        self._source.day(now // DAY)
        return self._source.last_close if self._source.is_over and self._source.last_close <= now else None

    def kline(self, symbol: str, interval_ms: int, open_time: int, now: int) -> Kline | None:
        """Return the kline that opens at `open_time`, forming while `now` is before its end; None without data."""
        return self._builder.kline(symbol, open_time, open_time + interval_ms, now)

    def klines(self, symbol: str, interval: str, since: int, until: int, limit: int, now: int) -> list[Kline]:
        """Return the first `limit` klines of an interval such as `15m` with open times from `since` to `until` (ms)."""
        opened = opens_at(interval, max(since, self.begins_at))
        if opened < since:
            opened = opens_next(interval, opened)
        found: list[Kline] = []
        while opened <= min(until, now) and len(found) < limit:
            following = opens_next(interval, opened)
            kline = self._builder.kline(symbol, opened, following, now)
            if kline is not None:
                found.append(kline)
            opened = following
        return found

    def window(self, symbol: str, since: int, until: int, now: int) -> Kline | None:
        """Return what happened from one minute to another (ms) by `now`, as a kline; None without data."""
        return self._builder.kline(symbol, since, until, now)

    def _blocks(self, symbol: str, since: int, until: int) -> Iterator[tuple[int, TradeBlock]]:
        """Return the numbers of the hours that have times with since < time <= until, and their trades."""
        for hour in range(max(since + 1, self.begins_at) // HOUR, until // HOUR + 1):
            block = self._builder.block(symbol, hour * HOUR)
            if block is not None:
                yield hour, block

    def trades(self, symbol: str, since: int, until: int, limit: int | None = None) -> list[Trade]:
        """Return the trades with since < time <= until, in order; the first `limit` of them if it is given."""
        found: list[Trade] = []
        for _, block in self._blocks(symbol, since, until):
            begin, end = block.place(since), block.place(until)
            found += block.trades(begin, end if limit is None else min(end, begin + limit - len(found)))
            if limit is not None and len(found) >= limit:
                break
        return found

    def trades_from(self, symbol: str, first: int, limit: int, now: int) -> list[Trade]:
        """Return at most `limit` trades from the id `first` on that happened by `now`."""
        at = self._source.time_of_trade(symbol, first, now)
        found: list[Trade] = []
        if at is None:
            return found
        for _, block in self._blocks(symbol, at - 1, now):
            begin = max(first - block.first_id, 0)
            found += block.trades(begin, min(block.place(now), begin + limit - len(found)))
            if len(found) >= limit:
                break
        return found

    def last_trade(self, symbol: str, at: int) -> Trade | None:
        """Return the latest trade by `at` (ms); None before the first."""
        found = self._last(symbol, at)
        return None if found is None else found[0].trade(found[1])

    def _last(self, symbol: str, at: int) -> tuple[TradeBlock, int, SymbolDay] | None:
        """Return block, place and day of the latest trade by `at` (ms)."""
        number: int | None = at // DAY
        block, day = self._builder.block(symbol, at), self._source.symbol_day(symbol, at // DAY)
        if block is not None and day is not None and (place := block.place(at)):
            return block, place - 1, day
        while number is not None:
            day = self._source.symbol_day(symbol, number)
            if day is not None:
                minutes = np.flatnonzero(day.counts[: (at - number * DAY) // MINUTE + 1])
                if len(minutes):
                    block = self._builder.block(symbol, number * DAY + int(minutes[-1]) * MINUTE)
                    if block is not None:
                        return block, block.place(at) - 1, day
            number = self._source.last_day_with_trades(symbol, number)
        return None

    def quote(self, symbol: str, at: int) -> Quote | None:
        """Return the best bid and ask at a time (ms); None before the first trade."""
        found = self._last(symbol, at)
        return None if found is None else _quote(*found)

    def quotes(self, symbol: str, since: int, until: int) -> list[tuple[int, Quote]]:
        """Return each new state of the best prices with its time, for since < time <= until."""
        states = []
        for hour, block in self._blocks(symbol, since, until):
            day = self._source.symbol_day(symbol, hour // 24)
            if day is not None:
                places = range(block.place(since), block.place(until))
                states += [(block.times[place], _quote(block, place, day)) for place in places]
        return states

    def depth(self, symbol: str, at: int, limit: int) -> tuple[Levels, Levels, int]:
        """Return `limit` levels of bids and of asks at a time (ms), and the order book's update id.

        Levels beyond the best price keep their quantity for a minute. Both sides are empty before the first trade.
        """
        found = self._last(symbol, at)
        if found is None:
            return [], [], 0
        block, place, day = found
        best = _quote(block, place, day)
        usual = _usual_lots(block, place, day)
        unit, lot, minute = 10**day.price_decimals, 10**day.lot_decimals, at // MINUTE

        def side(price: float, quantity: float, step: int) -> Levels:
            tick = round(price * unit)
            levels = [(price, quantity)]
            while len(levels) < limit and tick + step > 0:
                tick += step
                lots = mixed(tick, minute) % (4 * usual)
                if lots > usual:
                    levels.append((tick / unit, (lots - usual) / lot))
            return levels

        return side(best.bid, best.bid_quantity, -1), side(best.ask, best.ask_quantity, 1), best.update_id

    def mark(self, symbol: str, at: int) -> MarkPrice | None:
        """Return mark price, index price and funding at a time (ms); None before the first trade, and on spot."""
        last = self.last_trade(symbol, at) if self.product is Product.UM else None
        return None if last is None else self._derivatives.mark(symbol, at, last.price)

    def marked(self, symbol: str, at: int) -> tuple[MarkPrice, Trade] | None:
        """Return mark price and latest trade at the end of a period (ms), cached, since clients ask for a day of them.

        None before the first trade, and on spot.
        """
        found = self._marked.get((symbol, at))
        if found is None:
            mark, last = self.mark(symbol, at), self.last_trade(symbol, at)
            if mark is None or last is None:
                return None
            found = self._marked.put((symbol, at), (mark, last))
        return found

    def liquidations(self, symbol: str, since: int, until: int) -> list[Liquidation]:
        """Return the forced orders with since < time <= until, in order; none on spot."""
        if self.product is Product.SPOT:
            return []
        return [
            order
            for hour, block in self._blocks(symbol, since, until)
            for order in self._derivatives.liquidations(symbol, block, hour)
            if since < order.at <= until
        ]

    def funding(self, symbol: str, since: int, until: int) -> list[Funding]:
        """Return the funding rates settled at since < time <= until, in order; none on spot."""
        if self.product is Product.SPOT:
            return []
        return self._derivatives.funding(symbol, max(since, self.begins_at), until)

    def metrics(self, symbol: str, since: int, until: int) -> list[Metrics]:
        """Return the five-minute metrics known at since < time <= until, in order; none if the source has none."""
        return self._derivatives.metrics(symbol, since, until)

    def decimals(self, symbol: str) -> tuple[int, int]:
        """Return the decimals of prices and of quantities: a tick is `10 ** -decimals`."""
        return self._source.decimals(symbol)

    def price_text(self, symbol: str, price: float) -> str:
        """Return a price as the exchange writes it."""
        return number_text(price, self._written(symbol).price)

    def quantity_text(self, symbol: str, quantity: float) -> str:
        """Return a quantity of the base asset as the exchange writes it."""
        return number_text(quantity, self._written(symbol).quantity)

    def quote_text(self, symbol: str, amount: float) -> str:
        """Return an amount of quote currency as the exchange writes it."""
        return f"{amount:.{self._written(symbol).amount}f}"

    def _written(self, symbol: str) -> Notation:
        found = self._notation.get(symbol)
        if found is None:
            found = self._notation[symbol] = notation(symbol, self.product, self.decimals(symbol))
        return found


def _usual_lots(block: TradeBlock, place: int, day: SymbolDay) -> int:
    """Return the mean size of the trades of a trade's minute, at least a lot."""
    minute = block.times[place] % DAY // MINUTE
    return max(int(day.lots[minute]) // max(int(day.counts[minute]), 1), 1)


def _quote(block: TradeBlock, place: int, day: SymbolDay) -> Quote:
    """Return the best prices after a trade: it was at the bid if its taker sold, else at the ask."""
    unit, lot = 10**day.price_decimals, 10**day.lot_decimals
    spread = int(day.spread[block.times[place] % DAY // MINUTE])
    tick = round(block.prices[place] * unit)
    bid = max(tick - spread, 1) if block.bought[place] else tick
    ask = tick if block.bought[place] and tick > bid else bid + spread
    number, usual = block.first_id + place, _usual_lots(block, place, day)
    bits = mixed(number, tick)
    lots = 1 + bits % (4 * usual), 1 + (bits >> 32) % (4 * usual)
    return Quote(bid / unit, lots[0] / lot, ask / unit, lots[1] / lot, number)
