"""A small seeded market that needs no files: correlated random walks in candles of one minute."""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator, SeedSequence  # noqa: TID251  each day draws from its own seeded generator

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, MarketIdentity, Opening, Product
from ocw_mcp.domain.time import DAY, MINUTE

MODEL = "walk-1"
"""Changes with anything below that changes a price: a book started on another model must refuse this one."""
START = 1_767_225_600_000
"""2026-01-01T00:00:00Z, ms."""

_MINUTES = DAY // MINUTE
_SHAPES = {"BTCUSDT": (90_000.0, 0.0006, 1), "ETHUSDT": (3_000.0, 0.0008, 2), "SOLUSDT": (130.0, 0.001, 2)}
"""First price, standard deviation of a minute's log return, decimals of the price."""
_OTHER = (10.0, 0.001, 4)
_SHARED = 0.8
"""Weight of the common factor in every symbol's returns; two symbols correlate by about its square."""
_TAIL = 4.0
"""Degrees of freedom of Student's t: fat tails, of finite variance."""
_WIDEST = 12.0
"""Standard deviations that no single draw exceeds, so that no candle is absurd."""
_HOMING = 0.01
"""Share of the way back to the first price that a day takes, so that an endless market stays within bounds."""

_Floats = npt.NDArray[np.float64]


class RandomWalkFeed:
    """An endless market, or one of `days` days. The same seed gives the same candles."""

    def __init__(
        self,
        seed: int,
        symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
        product: Product = Product.UM,
        start: int = START,
        days: int | None = None,
    ) -> None:
        """`start` is in ms, a UTC midnight. Raises SettingsError for a market that cannot be made."""
        if seed < 0 or start < 0 or start % DAY or (days is not None and days < 1) or not symbols:
            raise SettingsError(
                f"a random walk cannot be made of seed {seed}, start {start}, days {days} and {len(symbols)} symbols; "
                "expected a seed of 0 or more, a start at a UTC midnight in ms, a day or more and a symbol; mend that"
            )
        self.symbols = tuple(sorted(set(symbols)))
        self.interval = MINUTE
        self.product = product
        self._seed, self._start, self._days = seed, start, days
        shapes = [_SHAPES.get(symbol, _OTHER) for symbol in self.symbols]
        self._home = np.log([price for price, _, _ in shapes])
        self._sigma = np.array([sigma for _, sigma, _ in shapes])
        self._decimals = [decimals for _, _, decimals in shapes]

    @property
    def identity(self) -> MarketIdentity:
        content = hashlib.sha256(f"{MODEL} seed={self._seed} start={self._start}".encode()).hexdigest()
        return MarketIdentity("walk", self.product, self.interval, self.symbols, content)

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        """All frames later than `after` (ms), or all there are."""
        first = 0 if after is None else max(0, (after - self._start) // DAY)
        closed: tuple[Candle, ...] = ()
        at = self._start + first * DAY
        for minutes in self._days_from(first):
            for candles in minutes:
                at = candles[0].open_time
                if after is None or at > after:
                    yield Frame(at, closed, tuple(Opening(each.symbol, at, each.open) for each in candles))
                closed = candles
        if closed and (after is None or at + MINUTE > after):
            yield Frame(at + MINUTE, closed)

    def _days_from(self, first: int) -> Iterator[Iterator[tuple[Candle, ...]]]:
        """Each day's candles, minute by minute. Earlier days are walked only for where they lead."""
        level, mood = self._home, 0.0
        day = 0
        while self._days is None or day < self._days:
            draw = Generator(PCG64(SeedSequence([self._seed, day])))
            mood = 0.9 * mood + 0.15 * float(draw.standard_normal())
            path = level + np.cumsum(self._returns(draw, mood, level), axis=0)
            if day >= first:
                yield self._candles(draw, self._start + day * DAY, level, path)
            level = path[-1]
            day += 1

    def _returns(self, draw: Generator, mood: float, level: _Floats) -> _Floats:
        """Log returns of a day, one row a minute: noise, partly shared, and a trend that changes every four hours."""
        noise = draw.standard_t(_TAIL, (_MINUTES, 1 + len(self.symbols))) * np.sqrt(1 - 2 / _TAIL)
        noise = np.clip(noise, -_WIDEST, _WIDEST)
        mixed = _SHARED * noise[:, :1] + np.sqrt(1 - _SHARED**2) * noise[:, 1:]
        trend = np.repeat(draw.normal(0.0, 0.04, 6), _MINUTES // 6)
        clock = 1 + 0.3 * np.cos(2 * np.pi * (np.arange(_MINUTES) / _MINUTES - 0.6))  # liveliest at 14:24 UTC
        scale = self._sigma * np.exp(np.clip(mood, -1.0, 1.0))
        pull = _HOMING / _MINUTES * (self._home - level)
        drift: _Floats = (mixed * clock[:, None] + trend[:, None]) * scale + pull
        return drift

    def _candles(self, draw: Generator, midnight: int, level: _Floats, path: _Floats) -> Iterator[tuple[Candle, ...]]:
        """A day's candles, each opening where the one before closed, with prices on the symbol's tick."""
        wicks = np.abs(draw.standard_normal((2, *path.shape))) * self._sigma * 0.5
        volumes = np.maximum(np.round(draw.lognormal(3.0, 0.6, path.shape), 3), 0.001)
        columns = []
        for place, decimals in enumerate(self._decimals):
            ends = np.exp(np.concatenate((level[place : place + 1], path[:, place])))
            ends = np.maximum(np.round(ends, decimals), 10.0**-decimals)
            top, bottom = np.maximum(ends[:-1], ends[1:]), np.minimum(ends[:-1], ends[1:])
            highs = np.maximum(np.round(top * (1 + wicks[0, :, place]), decimals), top)
            lows = np.minimum(
                np.maximum(np.round(bottom * (1 - wicks[1, :, place]), decimals), 10.0**-decimals), bottom
            )
            columns.append((ends[:-1], highs, lows, ends[1:], volumes[:, place]))
        rows = [zip(*(column.tolist() for column in each), strict=True) for each in columns]
        for minute, values in enumerate(zip(*rows, strict=True)):
            opens_at = midnight + minute * MINUTE
            yield tuple(
                Candle(symbol, opens_at, MINUTE, *value) for symbol, value in zip(self.symbols, values, strict=True)
            )
