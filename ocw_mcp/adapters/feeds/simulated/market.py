"""The simulated market: days of several symbols, each determined by the seed and the day before."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ocw_mcp.adapters.feeds.simulated import parameters as p
from ocw_mcp.adapters.feeds.simulated.candles import Columns, simulate_candles
from ocw_mcp.adapters.feeds.simulated.derivatives import (
    DerivativesDay,
    SimulatedDerivativesState,
    funding_of,
    metrics_of,
    simulate_derivatives,
)
from ocw_mcp.adapters.feeds.simulated.path import PricePath, PricePathState, simulate_path
from ocw_mcp.adapters.feeds.simulated.processes import Floats, generator
from ocw_mcp.adapters.feeds.simulated.regimes import RegimePath, RegimePathState, simulate_regimes
from ocw_mcp.domain.market import Funding, Metrics
from ocw_mcp.domain.time import DAY, MINUTE


class MarketState(NamedTuple):
    """The state that a day starts from: a dozen numbers per symbol."""

    regimes: RegimePathState
    paths: tuple[PricePathState, ...]
    derivatives: tuple[SimulatedDerivativesState, ...]


class DayOutline(NamedTuple):
    """A day before its candles are made: the cheap part, which the next day depends on."""

    regimes: RegimePath
    paths: tuple[PricePath, ...]
    derivatives: tuple[DerivativesDay, ...]


class MarketDay(NamedTuple):
    """One day of all symbols, in their order."""

    midnight: int
    columns: tuple[Columns, ...]
    metrics: tuple[list[Metrics], ...]
    funding: tuple[list[Funding], ...]
    outline: DayOutline
    models: tuple[p.SymbolModel, ...]

    def quotes(self, place: int, step: int) -> tuple[Floats, Floats, Floats]:
        """Return best bid, best ask and depth per side of the symbol at `place`, as each candle of `step` (ms) closes.

        The close lies between the two, or is the bid when they are one tick apart.
        """
        model, columns = self.models[place], self.columns[place]
        closes = np.arange(1, columns.close.size + 1) * step
        unit = 10.0**model.decimals
        ticks = np.round(self._spreads(place)[(closes - 1) // MINUTE] * unit)
        bids = np.maximum(np.round(columns.close * unit) - np.floor(ticks / 2), 1.0)
        lots = 10.0**model.lot_decimals
        depths = np.round(columns.volume * (p.DEPTH * MINUTE / step) * lots) / lots
        return np.round(bids / unit, model.decimals), np.round((bids + ticks) / unit, model.decimals), depths

    def _spreads(self, place: int) -> Floats:
        """Return best ask minus best bid in each minute of the day: quote currency, on the tick.

        It is a model and no measurement: wider in volatile minutes, never below one tick.
        """
        model, path = self.models[place], self.outline.paths[place]
        prices = np.exp(path.level + np.cumsum(path.returns) - path.returns)
        volatility = np.exp(p.SPREAD_ON_VOLATILITY * path.unusual)
        ticks = np.maximum(np.round(prices * model.spread * volatility * 10.0**model.decimals), 1.0)
        spreads: Floats = np.round(ticks / 10.0**model.decimals, model.decimals)
        return spreads


class SimulatedMarket:
    """Days on demand. A symbol's prices depend neither on the other symbols nor on the step of the candles."""

    def __init__(self, seed: int, symbols: Sequence[str], genesis: int, step: int) -> None:
        """`genesis` is the first midnight (UTC, ms), `step` the length of candles (ms)."""
        self._seed, self._symbols, self._genesis, self._step = seed, tuple(symbols), genesis, step
        self._models = tuple(p.symbol_model(symbol) for symbol in symbols)
        first = MarketState(
            RegimePathState(),
            tuple(PricePathState(float(np.log(model.price))) for model in self._models),
            tuple(SimulatedDerivativesState() for _ in self._models),
        )
        self._latest = self._first = (0, first)
        self._made: tuple[int, MarketDay] | None = None

    def day(self, number: int) -> MarketDay:
        """Return a day, counted from genesis. The next day is cheap; an earlier day starts again at genesis.

        Of the days before it only the outlines are made: a year of them takes about a second.
        """
        if self._made is not None and self._made[0] == number:
            return self._made[1]
        place, state = self._latest if self._latest[0] <= number else self._first
        while place < number:
            state = self._outline(place, state)[1]
            place += 1
        outline, after = self._outline(number, state)
        self._latest = (number + 1, after)
        self._made = (number, self._completed(number, outline))
        return self._made[1]

    def _outline(self, number: int, before: MarketState) -> tuple[DayOutline, MarketState]:
        """Return a day's outline, and the state that it ends in."""
        midnight = self._genesis + number * DAY
        weekday = (midnight // DAY + 3) % 7  # 1970 began on a Thursday
        # The purpose of a generator is part of its seed: another word here would make another market.
        market, regimes = simulate_regimes(generator(self._seed, number, "weather"), weekday, before.regimes)
        paths, path_states, days, day_states = [], [], [], []
        for symbol, model, earlier, positions in zip(
            self._symbols, self._models, before.paths, before.derivatives, strict=True
        ):
            draw = generator(self._seed, number, f"path {symbol}")
            path, path_state = simulate_path(draw, model, market, earlier)
            day, day_state = simulate_derivatives(draw, model, path, positions)
            paths.append(path)
            path_states.append(path_state)
            days.append(day)
            day_states.append(day_state)
        after = MarketState(regimes, tuple(path_states), tuple(day_states))
        return DayOutline(market, tuple(paths), tuple(days)), after

    def _completed(self, number: int, outline: DayOutline) -> MarketDay:
        midnight = self._genesis + number * DAY
        columns, metrics, funding = [], [], []
        for symbol, model, path, day in zip(
            self._symbols, self._models, outline.paths, outline.derivatives, strict=True
        ):
            draw = generator(self._seed, number, f"candles {symbol}")
            rows, minutes = simulate_candles(draw, model, outline.regimes, path, self._step)
            columns.append(rows)
            metrics.append(metrics_of(symbol, model, day, minutes, midnight))
            funding.append(funding_of(symbol, day, midnight))
        return MarketDay(midnight, tuple(columns), tuple(metrics), tuple(funding), outline, self._models)
