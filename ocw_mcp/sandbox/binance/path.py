"""The aggregate trades of an hour: each minute goes from its open through its extremes to its close."""

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocw_mcp.adapters.feeds.simulated.paths import Floats, Generator, generator
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.sandbox.binance.source import Ints, SymbolDay, fewest_trades
from ocw_mcp.sandbox.binance.values import Trade

HOUR_MINUTES = HOUR // MINUTE
_NOISE = 0.25
"""The largest distance of a trade from the straight way between open, extremes and close, as a share of the range."""
_UPHILL = 0.75
"""The chance that a rising minute has its low before its high, and a falling one its high before its low."""


class Paths(NamedTuple):
    """The trades of some minutes: one row a minute, of which the first `counts[row]` columns are trades."""

    counts: Ints
    offsets: Ints
    """The time (ms) since the minute's beginning."""
    ticks: Ints
    tenths: Ints
    """The quantity in tenths of a lot: whole lots, unless a minute has fewer lots than trades."""
    bought: npt.NDArray[np.bool_]
    """True if the taker bought, False if the taker sold."""

    def turnover(self) -> tuple[Ints, Ints]:
        """Return turnover and the turnover of takers who bought, per minute, in ticks × tenths of a lot."""
        amounts = self.ticks * self.tenths
        return amounts.sum(axis=1), np.where(self.bought, amounts, 0).sum(axis=1)


def simulate_trades(symbol: str, day: SymbolDay, number: int, hour: int) -> Paths:
    """Return the trades of an hour (0 to 23) of a day; the same arguments always return the same trades."""
    rows = slice(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)
    draw = generator(0, number * 24 + hour, f"trades {symbol}")
    prices = np.stack((day.open[rows], day.high[rows], day.low[rows], day.close[rows]), axis=1)
    lots, taker, counts = day.lots[rows], day.taker[rows], day.counts[rows]
    width = max(int(counts.max()), 1)
    columns = np.arange(width)
    is_trade = columns < counts[:, None]
    offsets = np.where(is_trade, draw.random((HOUR_MINUTES, width)), 2.0)
    offsets.sort(axis=1)
    times = np.where(columns == 0, 0, 1 + (offsets * (MINUTE - 1)).astype(np.int64))
    ticks = _prices(draw, prices, counts, columns)
    scarce = lots < fewest_trades(prices, lots, taker)
    unit = np.where(scarce, 10, 1)
    buys, quantities = _quantities(draw, ticks, is_trade, counts, lots * unit, taker * unit)
    tenths = quantities * np.where(scarce, 1, 10)[:, None]
    return Paths(counts, np.where(is_trade, times, 0), np.where(is_trade, ticks, 0), tenths, buys)


def _prices(draw: Generator, prices: Ints, counts: Ints, columns: Ints) -> Ints:
    opens, highs, lows, closes = prices.T
    chances = draw.random((3, HOUR_MINUTES))
    low_first = (closes >= opens) == (chances[0] < _UPHILL)
    early, late = np.where(low_first, lows, highs), np.where(low_first, highs, lows)
    # With three trades there is room for one extreme: the one that is neither open nor close.
    late = np.where(counts == 3, np.where(highs > np.maximum(opens, closes), highs, lows), late)
    last = np.maximum(counts - 1, 0)
    first_stop = np.clip(1 + (chances[1] * (counts - 3)).astype(np.int64), 1, np.maximum(counts - 3, 1))
    rest = counts - 2 - first_stop
    second_stop = np.where(counts > 3, first_stop + 1 + (chances[2] * rest).astype(np.int64), 1)
    stops = np.stack((np.zeros_like(last), first_stop, second_stop, last), axis=1)
    values = np.stack((opens, early, late, closes), axis=1)
    way = _ways(stops, values, columns)
    noise = (2 * draw.random(way.shape) - 1) * _NOISE * (highs - lows)[:, None]
    ticks: Ints = np.clip(np.rint(way + noise).astype(np.int64), lows[:, None], highs[:, None])
    for place in (1, 2):
        inside = counts > 2
        ticks[inside, stops[inside, place]] = values[inside, place]
    ticks[:, 0] = opens
    some = counts > 1
    ticks[some, last[some]] = closes[some]
    return ticks


def _ways(stops: Ints, values: Ints, columns: Ints) -> Floats:
    """Return the straight lines from stop to stop."""
    way = np.repeat(values[:, 3:].astype(np.float64), len(columns), axis=1)
    for leg in (2, 1, 0):
        begin, end = stops[:, leg, None], stops[:, leg + 1, None]
        share = (columns - begin) / np.maximum(end - begin, 1)
        line = values[:, leg, None] + share * (values[:, leg + 1] - values[:, leg])[:, None]
        way = np.where(columns < end, line, way)
    return way


def _quantities(
    draw: Generator, ticks: Ints, is_trade: npt.NDArray[np.bool_], counts: Ints, lots: Ints, taker: Ints
) -> tuple[npt.NDArray[np.bool_], Ints]:
    """Return the trades that takers bought, mostly those that raise the price, and quantities with the exact sums."""
    sold = lots - taker
    fewest = np.maximum(np.minimum(taker, 1), counts - sold)
    most = np.minimum(np.minimum(taker, counts), counts - np.minimum(sold, 1))
    share = np.rint(counts * taker / np.maximum(lots, 1)).astype(np.int64)
    buys = np.clip(share, fewest, np.maximum(most, fewest))
    moves = np.sign(np.diff(ticks, axis=1, prepend=ticks[:, :1]))
    scores = np.where(is_trade, moves + draw.random(ticks.shape), -9.0)
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
    bought = ranks < buys[:, None]
    weights = draw.standard_exponential(ticks.shape)
    quantities = np.zeros_like(ticks)
    for side, total, number in ((bought, taker, buys), (is_trade & ~bought, sold, counts - buys)):
        weight = np.where(side, weights, 0.0)
        extra = total - number
        shares = weight / np.maximum(weight.sum(axis=1), 1e-300)[:, None]
        parts = np.where(side, 1 + (shares * extra[:, None]).astype(np.int64), 0)
        largest = np.argmax(parts, axis=1)
        rows = number > 0
        parts[rows, largest[rows]] += (total - parts.sum(axis=1))[rows]
        quantities += parts
    return bought, quantities


class TradeBlock(NamedTuple):
    """The trades of one hour, for look-ups by time; sums begin anew in each minute."""

    first_id: int
    times: list[int]
    prices: list[float]
    quantities: list[float]
    bought: list[bool]
    starts: list[int]
    """The place of the first trade of each minute; the last of the 61 values is the number of trades."""
    highs: list[float]
    lows: list[float]
    tenths: list[int]
    taker_tenths: list[int]
    amounts: list[int]
    """The minute's turnover so far, in ticks × tenths of a lot."""
    taker_amounts: list[int]

    def place(self, at: int) -> int:
        """Return the number of trades by `at` (ms)."""
        return bisect_right(self.times, at)

    def trade(self, place: int) -> Trade:
        """Return the trade at a place."""
        price, quantity = self.prices[place], self.quantities[place]
        return Trade(self.first_id + place, price, quantity, self.times[place], not self.bought[place])

    def trades(self, begin: int, end: int) -> list[Trade]:
        """Return the trades from the place `begin` to before the place `end`."""
        return [self.trade(place) for place in range(begin, end)]


def trade_block(symbol: str, day: SymbolDay, number: int, hour: int) -> TradeBlock:
    """Return the block of an hour (0 to 23) of a day; it also notes the turnover of the hour in the day's columns."""
    paths = simulate_trades(symbol, day, number, hour)
    rows = slice(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)
    day.quote[rows], day.taker_quote[rows] = paths.turnover()
    is_trade = np.arange(paths.ticks.shape[1]) < paths.counts[:, None]
    begins = number * DAY + hour * HOUR + np.arange(HOUR_MINUTES)[:, None] * MINUTE
    unit, lot = 10**day.price_decimals, 10 ** (day.lot_decimals + 1)
    amounts = paths.ticks * paths.tenths
    top = np.maximum.accumulate(paths.ticks, axis=1)
    bottom = np.minimum.accumulate(np.where(is_trade, paths.ticks, paths.ticks[:, :1]), axis=1)

    def flat(values: Ints) -> list[int]:
        return values[is_trade].tolist()  # type: ignore[no-any-return]

    def running(values: Ints) -> list[int]:
        return flat(np.cumsum(values, axis=1))

    return TradeBlock(
        first_id=int(day.first[rows.start]),
        times=flat(begins + paths.offsets),
        prices=(paths.ticks[is_trade] / unit).tolist(),
        quantities=(paths.tenths[is_trade] / lot).tolist(),
        bought=paths.bought[is_trade].tolist(),
        starts=[0, *np.cumsum(paths.counts).tolist()],
        highs=(top[is_trade] / unit).tolist(),
        lows=(bottom[is_trade] / unit).tolist(),
        tenths=running(paths.tenths),
        taker_tenths=running(np.where(paths.bought, paths.tenths, 0)),
        amounts=running(amounts),
        taker_amounts=running(np.where(paths.bought, amounts, 0)),
    )


def note_turnover(symbol: str, day: SymbolDay, number: int, begin: int, end: int) -> None:
    """Compute the turnover of the minutes from `begin` to before `end` of a day, if it is not known yet."""
    for hour in range(begin // HOUR_MINUTES, -(-end // HOUR_MINUTES)):
        rows = slice(hour * HOUR_MINUTES, (hour + 1) * HOUR_MINUTES)
        if day.quote[rows.start] >= 0:
            continue
        if day.counts[rows].any():
            day.quote[rows], day.taker_quote[rows] = simulate_trades(symbol, day, number, hour).turnover()
        else:
            day.quote[rows] = day.taker_quote[rows] = 0
