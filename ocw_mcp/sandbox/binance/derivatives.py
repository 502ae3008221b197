"""Mark prices, funding, metrics and forced liquidations of perpetuals."""

from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated.paths import generator
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.klines import Cache
from ocw_mcp.sandbox.binance.path import HOUR_MINUTES, TradeBlock
from ocw_mcp.sandbox.binance.source import MinuteSource, SymbolDay
from ocw_mcp.sandbox.binance.values import Liquidation, MarkPrice

FUNDING_HOURS = 8
INTEREST_RATE = 0.0001
"""The rate for eight hours without a premium, as the exchange documents it; used if the source has no rates."""
_DIGITS = 8
_LIQUIDATED = 0.004
"""The chance of a forced order in a calm minute."""
_FAST = 0.003
"""Each such part of the price between the extremes of a minute adds a forced order."""
_MOST = 6
_AT = attrgetter("at")
_LIMIT = 0.005
"""The distance of a forced order's limit from its fill, as a share of the price."""


class _Period(NamedTuple):
    """The time between two settlements of funding."""

    begins: int
    ends: int
    rate: float
    next_rate: float


class Derivatives:
    """The derivatives data of a source: functions of symbol and time."""

    def __init__(self, source: MinuteSource) -> None:
        self._source = source
        self._periods: dict[str, _Period] = {}
        self._forced: Cache[tuple[str, int], list[Liquidation]] = Cache(8 * len(source.symbols))

    def mark(self, symbol: str, at: int, last: float) -> MarkPrice:
        """Return mark price, index and funding at a time (ms), when the last trade had the price `last`.

        The index is the mean of the last price, counted twice, and the closes of the two minutes before. The mark price
        is the index with the part of the funding rate that is still to come, as in the exchange's "price 1".
        """
        day = self._source.symbol_day(symbol, at // DAY)
        minute = at % DAY // MINUTE
        index = last
        if day is not None and minute >= 2 and day.present[minute - 2 : minute].all():
            before = int(day.close[minute - 2]) + int(day.close[minute - 1])
            index = round((2 * last + before / 10**day.price_decimals) / 4, _DIGITS)
        period = self._period(symbol, at)
        to_come = (period.ends - at) / (period.ends - period.begins)
        rate = period.next_rate + (period.rate - period.next_rate) * to_come
        return MarkPrice(round(index * (1 + rate * to_come), _DIGITS), index, round(rate, _DIGITS), period.ends)

    def funding(self, symbol: str, since: int, until: int) -> list[Funding]:
        """Return the rates settled at since < time <= until, in order."""
        days = range(since // DAY - 1, until // DAY + 1)
        return [row for number in days for row in self._rates(symbol, number) if since < row.at <= until]

    def metrics(self, symbol: str, since: int, until: int) -> list[Metrics]:
        """Return the metrics known at since < time <= until, in order."""
        rows = []
        for number in range(max(since, self._source.begins_at) // DAY - 1, until // DAY + 1):
            day = self._source.symbol_day(symbol, number)
            if day is not None:
                first, end = (bisect_right(day.metrics, at, key=_AT) for at in (since, until))
                rows += day.metrics[first:end]
        return rows

    def _rates(self, symbol: str, number: int) -> list[Funding]:
        """Return the rates of a day; the midnight at its end belongs to the day."""
        day = self._source.symbol_day(symbol, number)
        if day is not None and day.funding:
            return day.funding
        if (number + 1) * DAY <= self._source.begins_at:
            return []
        step = FUNDING_HOURS * HOUR
        stamps = range(number * DAY + step, (number + 1) * DAY + 1, step)
        return [Funding(symbol, at, INTEREST_RATE, FUNDING_HOURS) for at in stamps]

    def _period(self, symbol: str, at: int) -> _Period:
        found = self._periods.get(symbol)
        if found is not None and found.begins <= at < found.ends:
            return found
        number = at // DAY
        rows = [row for each in (number - 1, number, number + 1) for row in self._rates(symbol, each)]
        following = next(row for row in rows if row.at > at)
        earlier = [row for row in rows if row.at <= at]
        begins = earlier[-1].at if earlier else following.at - following.interval_hours * HOUR
        rate = earlier[-1].rate if earlier else following.rate
        self._periods[symbol] = period = _Period(min(begins, at), following.at, rate, following.rate)
        return period

    def liquidations(self, symbol: str, block: TradeBlock, hour: int) -> list[Liquidation]:
        """Return the forced orders of the hour with this number since 1970, whose trades are in `block`."""
        found = self._forced.get((symbol, hour))
        if found is None:
            day = self._source.symbol_day(symbol, hour // 24)
            found = [] if day is None else _forced_orders(symbol, day, block, hour)
            self._forced.put((symbol, hour), found)
        return found


def _forced_orders(symbol: str, day: SymbolDay, block: TradeBlock, hour: int) -> list[Liquidation]:
    """Return the forced orders of an hour: trades towards the extreme of the minute's direction, more in fast ones."""
    rows = slice(hour % 24 * HOUR_MINUTES, (hour % 24 + 1) * HOUR_MINUTES)
    ranges = (day.high[rows] - day.low[rows]) / np.maximum(day.open[rows], 1)
    draw = generator(0, hour, f"liquidations {symbol}")
    numbers = np.minimum((ranges / _FAST).astype(np.int64) + (draw.random(HOUR_MINUTES) < _LIQUIDATED), _MOST)
    shares = draw.random((HOUR_MINUTES, _MOST)).tolist()
    orders = []
    for minute in np.flatnonzero(numbers * day.counts[rows]).tolist():
        row = rows.start + minute
        is_sell = bool(day.close[row] < day.open[row])
        places = range(block.starts[minute], block.starts[minute + 1])
        side = [place for place in places if block.bought[place] != is_sell]
        side.sort(key=lambda place: block.prices[place], reverse=not is_sell)
        for place, share in zip(sorted(side[: numbers[minute]]), shares[minute], strict=False):
            price = block.prices[place]
            limit = round(price * (1 - _LIMIT if is_sell else 1 + _LIMIT), day.price_decimals)
            lots = max(int(block.quantities[place] * share * 10**day.lot_decimals), 1)
            orders.append(Liquidation(block.times[place], is_sell, limit, price, lots / 10**day.lot_decimals))
    return orders
