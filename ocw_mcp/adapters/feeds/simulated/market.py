"""The simulated market itself: days of several symbols, each told by the seed and the day before."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import candles, derivatives, path, regimes
from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.candles import Columns
from ocw_mcp.adapters.feeds.simulated.derivatives import SimulatedDerivativesState
from ocw_mcp.adapters.feeds.simulated.parameters import Personality, personality
from ocw_mcp.adapters.feeds.simulated.path import PricePath, PricePathState
from ocw_mcp.adapters.feeds.simulated.randomness import dice
from ocw_mcp.adapters.feeds.simulated.regimes import RegimePath, RegimePathState
from ocw_mcp.adapters.feeds.simulated.swings import Floats
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, MINUTE


class State(NamedTuple):
    """All that a day needs to know of the days before it: a dozen numbers a symbol."""

    regimes: RegimePathState
    paths: tuple[PricePathState, ...]
    derivatives: tuple[SimulatedDerivativesState, ...]


class Outline(NamedTuple):
    """A day before its candles are made: the cheap part, that the next day hangs on."""

    regimes: RegimePath
    paths: tuple[PricePath, ...]
    derivatives: tuple[derivatives.Day, ...]


class MarketDay(NamedTuple):
    """A day of all symbols, in their order."""

    midnight: int
    columns: tuple[Columns, ...]
    metrics: tuple[list[Metrics], ...]
    funding: tuple[list[Funding], ...]
    outline: Outline
    people: tuple[Personality, ...]

    def spreads(self, place: int) -> Floats:
        """Best ask less best bid of a symbol, by its place, in each minute of the day: quote currency, on the tick."""
        who, line = self.people[place], self.outline.paths[place]
        prices = np.exp(line.level + np.cumsum(line.returns) - line.returns)
        lively = np.exp(p.SPREAD_ON_VOLATILITY * line.unusual)
        ticks = np.maximum(np.round(prices * who.spread * lively * 10.0**who.decimals), 1.0)
        spreads: Floats = np.round(ticks / 10.0**who.decimals, who.decimals)
        return spreads

    def books(self, place: int, step: int) -> tuple[Floats, Floats, Floats]:
        """Best bid, best ask and depth on either side of a symbol, by its place, as each candle of `step` (ms) closes.

        The close lies between the two, or is the bid where they are a tick apart.
        """
        who, columns = self.people[place], self.columns[place]
        count = columns.close.size
        minutes = (np.arange(1, count + 1) * step - 1) // MINUTE
        unit = 10.0**who.decimals
        ticks = np.round(self.spreads(place)[minutes] * unit)
        bids = np.maximum(np.round(columns.close * unit) - np.floor(ticks / 2), 1.0)
        lots = 10.0**who.lot_decimals
        depths = np.round(columns.volume * (p.DEPTH * MINUTE / step) * lots) / lots
        return np.round(bids / unit, who.decimals), np.round((bids + ticks) / unit, who.decimals), depths


class SimulatedMarket:
    """Days on demand. A symbol's prices do not hang on which others are watched, nor on the step of candles."""

    def __init__(self, seed: int, symbols: Sequence[str], genesis: int, step: int) -> None:
        """`genesis` is the first midnight (UTC, ms), `step` the length of candles (ms)."""
        self._seed, self._symbols, self._genesis, self._step = seed, tuple(symbols), genesis, step
        self.people = tuple(personality(symbol) for symbol in symbols)
        first = State(
            RegimePathState(),
            tuple(PricePathState(float(np.log(who.price))) for who in self.people),
            tuple(SimulatedDerivativesState() for _ in self.people),
        )
        self._latest = self._first = (0, first)
        self._made: tuple[int, MarketDay] | None = None

    def day(self, number: int) -> MarketDay:
        """A day, counted from genesis on. Going forward is cheap; going back begins anew at genesis.

        Days before it are gone through only for where they lead: a year of them takes about a second.
        """
        if self._made is not None and self._made[0] == number:
            return self._made[1]
        place, state = self._latest if self._latest[0] <= number else self._first
        while place < number:
            state = self._outline(place, state)[1]
            place += 1
        outline, after = self._outline(number, state)
        self._latest = (number + 1, after)
        self._made = (number, self._filled(number, outline))
        return self._made[1]

    def _outline(self, number: int, before: State) -> tuple[Outline, State]:
        """A day's outline, and the state that it leads to."""
        midnight = self._genesis + number * DAY
        weekday = (midnight // DAY + 3) % 7  # 1970 began on a Thursday
        sky, weather_after = regimes.a_day(dice(self._seed, number, "weather"), weekday, before.regimes)
        paths, states, days, moods = [], [], [], []
        for place, symbol in enumerate(self._symbols):
            draw, who = dice(self._seed, number, f"path {symbol}"), self.people[place]
            line, state = path.a_day(draw, who, sky, before.paths[place])
            day, mood = derivatives.a_day(draw, who, line, before.derivatives[place])
            paths.append(line)
            states.append(state)
            days.append(day)
            moods.append(mood)
        return Outline(sky, tuple(paths), tuple(days)), State(weather_after, tuple(states), tuple(moods))

    def _filled(self, number: int, outline: Outline) -> MarketDay:
        midnight = self._genesis + number * DAY
        columns, metrics, funding = [], [], []
        for place, symbol in enumerate(self._symbols):
            who, told = self.people[place], outline.derivatives[place]
            draw = dice(self._seed, number, f"candles {symbol}")
            rows, minutes = candles.a_day(draw, who, outline.regimes, outline.paths[place], self._step)
            columns.append(rows)
            metrics.append(derivatives.metrics_of(symbol, who, told, minutes, midnight))
            funding.append(derivatives.funding_of(symbol, told, midnight))
        return MarketDay(midnight, tuple(columns), tuple(metrics), tuple(funding), outline, self.people)
