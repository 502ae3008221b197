"""The candles of all symbols: the base interval, and longer timeframes, each built from the next shorter one."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec

from ocw_mcp.core.market.derivatives import Derivatives, DerivativesState
from ocw_mcp.core.market.formulas import Bar, correlation
from ocw_mcp.core.market.liquidations import RecentLiquidations
from ocw_mcp.core.market.series import CandleColumns, CandleSeries
from ocw_mcp.core.market.timeframe import Forming, Timeframe, TimeframeState
from ocw_mcp.domain.extremes import extreme_readings
from ocw_mcp.domain.market import Candle, Funding, Liquidations, Metrics
from ocw_mcp.domain.snapshot import DerivativesView
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, span_name
from ocw_mcp.domain.unknown import Reading, Unknown

BUILT_TIMEFRAMES = (5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)
INDICATORS_FROM = 15 * MINUTE
"""The shortest timeframe (ms) that has indicators; shorter ones have candles only."""
FORMING_SHOWN = (HOUR, 4 * HOUR)
"""The timeframes (ms) whose forming candle, not yet closed, is shown to deciders."""


def timeframes(interval: int) -> tuple[int, ...]:
    """Return the timeframes (ms) of a market with candles of `interval` ms: its own, then the longer ones."""
    return (interval, *(each for each in BUILT_TIMEFRAMES if each > interval and each % interval == 0))


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The timeframes (ms) that closed with a base candle, and the beginning (ms) of the data gap before it, or None."""

    timeframes: tuple[int, ...]
    hole_since: int | None = None


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A price (quote) of a live market between two closes, at `at` (ms)."""

    at: int
    price: float


class Stretch(NamedTuple):
    """The closes of consecutive base candles, oldest first, and the close time (ms) of the first one."""

    closes: list[float]
    first_at: int


class SymbolState(msgspec.Struct, frozen=True):
    """The saved state of one symbol: its timeframes, shortest first, its derivatives, last tick and liquidations."""

    timeframes: tuple[TimeframeState, ...]
    derivatives: DerivativesState
    tick: Tick | None = None
    liquidations: list[Liquidations] = []


class TimeframeValues(NamedTuple):
    """One timeframe at its last close: its length in ms, its number of candles, the close and the indicators."""

    interval: int
    candles: int
    close: Reading
    values: Mapping[str, Reading]
    closed_at: int | None
    """The time (ms) of the close; None without a candle."""


class FormingValues(NamedTuple):
    """The forming candle of one timeframe, and the values that the indicators would have if it closed now."""

    interval: int
    candles: int
    """Number of closed candles before the forming one."""
    bar: Bar | Unknown
    values: Mapping[str, Reading]


class SymbolMarket:
    """One symbol's candles and indicators in every timeframe, and its derivatives."""

    def __init__(self, interval: int, timeframes: tuple[int, ...]) -> None:
        self._interval = interval
        self._base = Timeframe(interval)
        self._built = tuple(Timeframe(each) for each in timeframes)
        self._all = (self._base, *self._built)
        self._closed_base = Closed((interval,))
        self.derivatives = Derivatives()
        self.liquidations = RecentLiquidations(self._base.series)
        self._tick: Tick | None = None
        self._view: tuple[Mapping[str, Reading], Reading, DerivativesView] | None = None
        """The cached derivatives view, after the readings that it has."""

    @property
    def last(self) -> Reading:
        """The last price (quote): that of the last tick since the last close, else that close; Unknown before both."""
        if self._tick is not None:
            return self._tick.price
        return self._base.series.closes[-1] if len(self._base.series) else Unknown("no candle yet")

    @property
    def known_at(self) -> int | None:
        """The time (ms) of the last price; None before the first candle."""
        return self.closed_at if self._tick is None else self._tick.at

    @property
    def closed_at(self) -> int | None:
        """The time (ms) at which the last candle closed; None before the first candle."""
        return self._base.series.last_open_time + self._interval if len(self._base.series) else None

    def tick(self, price: float, at: int) -> bool:
        """Take a price at `at` (ms) between two closes. Return False, and change nothing, if it is not the latest."""
        known = self.known_at
        if known is None or at <= known:
            return False
        self._tick = Tick(at, price)
        return True

    def close(self, candle: Candle) -> Closed | None:
        """Add a closed base candle. Return None, and change nothing, if it is not later than the last candle."""
        series = self._base.series
        last = series.last_open_time
        if candle.open_time <= last:
            return None
        hole_since: int | None = last + self._interval
        if last < 0 or candle.open_time == hole_since:
            hole_since = None
        late = [] if hole_since is None else self._finish_overdue(candle.open_time)
        if series.append(candle.open_time, candle.open, candle.high, candle.low, candle.close, candle.volume):
            self._base.indicators.reopen()
        until = candle.open_time + self._interval
        if self._tick is not None and self._tick.at <= until:
            self._tick = None
        done = self._built[0].take(candle, until) if self._built else None
        if hole_since is None and done is None:
            return self._closed_base
        closed = [] if done is None else [self._built[0].interval, *self._pass_up(1, done, until)]
        return Closed((self._interval, *sorted({*late, *closed})), hole_since)

    def warm(self, candles: Sequence[Candle]) -> list[Stretch]:
        """Add closed base candles in order of time, as `close` does one by one. Return the stretches without a gap."""
        stretches, place = list[Stretch](), 0
        while place < len(candles):
            # The first candle may follow a gap, or not be later than the last one; those after it are consecutive.
            first, begins = self.close(candles[place]), place
            place += 1
            expected = self._base.series.last_open_time + self._interval
            while place < len(candles) and candles[place].open_time == expected:
                place += 1
                expected += self._interval
            if place > begins + 1:
                self._extend(CandleColumns.of(candles[begins + 1 : place]))
            known = candles[begins + (first is None) : place]
            if known:
                stretches.append(Stretch([each.close for each in known], known[0].close_time))
        return stretches

    def _extend(self, candles: CandleColumns) -> None:
        """Add consecutive base candles that follow the last one without a gap."""
        self._base.extend(candles)
        for each in self._built:
            candles = each.take_all(candles)
            if not len(candles.open_times):
                break

    def _pass_up(self, level: int, piece: Candle | Forming, until: int) -> list[int]:
        """Add a closed candle to the longer timeframes from index `level` on, and return those (ms) that closed."""
        closed: list[int] = []
        built = self._built
        while level < len(built):
            done = built[level].take(piece, until)
            if done is None:
                break
            closed.append(built[level].interval)
            piece = done
            level += 1
        return closed

    def _finish_overdue(self, open_time: int) -> list[int]:
        """Close the longer candles whose end lies in a data gap, shortest first, and return their timeframes (ms)."""
        closed: list[int] = []
        for level, each in enumerate(self._built):
            until = each.forming.open_time + each.interval
            if each.forming.open_time >= 0 and until <= open_time and (done := each.finish()) is not None:
                closed += [each.interval, *self._pass_up(level + 1, done, until)]
        return closed

    def indicators(self) -> list[TimeframeValues]:
        """Return the values of every timeframe that has indicators, shortest first."""
        return [_values_of(each) for each in self._all if each.interval >= INDICATORS_FROM]

    def indicators_of(self, wanted: int) -> TimeframeValues | None:
        """Return the values of the shortest timeframe of at least `wanted` ms that has indicators, or None."""
        timeframe = self._with_indicators(wanted)
        return None if timeframe is None else _values_of(timeframe)

    def readings_of(self, wanted: int) -> Mapping[str, Reading] | None:
        """Return the readings of `indicators_of` alone: the same object until a candle of the timeframe closes."""
        timeframe = self._with_indicators(wanted)
        return None if timeframe is None else timeframe.indicators.values()

    def _with_indicators(self, wanted: int) -> Timeframe | None:
        shortest = max(wanted, INDICATORS_FROM)
        for each in self._all:
            if each.interval >= shortest:
                return each
        return None

    def forming(self) -> list[FormingValues]:
        """Return the forming candles of 1h and 4h, if the market builds these timeframes."""
        shown = []
        for level, each in enumerate(self._built):
            if each.interval in FORMING_SHOWN:
                bar = self._bar(level)
                values = each.indicators.peek(bar) if isinstance(bar, Bar) else {}
                shown.append(FormingValues(each.interval, len(each.series), bar, values))
        return shown

    def _bar(self, level: int) -> Bar | Unknown:
        """Return the forming candle of the timeframe at index `level`, joined from those of all shorter timeframes."""
        longer_first = [self._built[level], *reversed(self._built[:level])]
        pieces = [each.forming for each in longer_first if each.forming.open_time >= 0]
        if not pieces:
            return Unknown("no part of this candle has closed yet")
        interval, first = self._built[level].interval, pieces[0]
        if not first.whole or (first.open_time % interval and not len(self._built[level].series)):
            return Unknown("this candle began before the first one known")
        return Bar(
            first.open_time // interval * interval,
            first.open,
            max(each.high for each in pieces),
            min(each.low for each in pieces),
            pieces[-1].close,
            sum(each.volume for each in pieces),
        )

    def series(self, interval: int) -> CandleSeries:
        """Return the closed candles of a timeframe (ms) of this market."""
        return next(each.series for each in self._all if each.interval == interval)

    def recent(self, interval: int, count: int) -> tuple[float, ...]:
        """Return the last closes of a timeframe (ms), oldest first; none if the market does not build it."""
        found = next((each.series.closes for each in self._all if each.interval == interval), ())
        return tuple(found[-count:])

    def day_range(self) -> tuple[Reading, Reading]:
        """Return the lowest and the highest price of the UTC day up to the last candle's close."""
        if (now := self.known_at) is None:
            return Unknown("no candle yet"), Unknown("no candle yet")
        begins = (now - 1) // DAY * DAY
        level = next((level for level, each in enumerate(self._all) if each.interval >= INDICATORS_FROM), 0)
        series = self._all[level].series
        first = series.first_from(begins)
        forming = [each.forming for each in self._built[:level] if each.forming.open_time >= begins]
        opened = [*series.open_times[first : first + 1], *(each.open_time for each in forming)]
        interval = self._all[level].interval
        # Minutes that are missing within the day's first candle leave the range of the others.
        if not opened or min(opened) // interval * interval > begins:
            reason = Unknown("the beginning of the day is not known")
            return reason, reason
        lows = [*series.lows[first:], *(each.low for each in forming)]
        return min(lows), max([*series.highs[first:], *(each.high for each in forming)])

    def derivatives_view(self, now: int) -> DerivativesView:
        """Return the derivatives readings as of `now` (ms), the parts of the composite, and which are extreme."""
        values, liquidated = self.derivatives.values(now), self.liquidations.of_an_hour()
        if self._view is None or self._view[0] is not values or self._view[1] != liquidated:
            readings = {**values, "liquidations_1h": liquidated}
            parts = dict(self.derivatives.parts(now))
            at = self.derivatives.newest_at
            view = DerivativesView(**readings, parts=parts, extremes=extreme_readings(readings), as_of=at)
            self._view = values, liquidated, view
        return self._view[2]

    def derivatives_value(self, metric: str, now: int) -> Reading:
        """Return one reading of `derivatives_view` as of `now` (ms), computed without the others."""
        if metric == "liquidations_1h":
            return self.liquidations.of_an_hour()
        return self.derivatives.value(metric, now)

    def change_over(self, span: int) -> Reading:
        """Return the change of the last close over `span` ms, as a share.

        The earlier close comes from the shortest timeframe whose candles reach back `span` ms. The time of that close
        is exact to one base candle, or to a quarter of the span if the base candles do not reach back that far.
        """
        now, last = self.known_at, self.last
        if now is None or isinstance(last, Unknown):
            return Unknown("no candle yet")
        if self._interval > span:
            return Unknown(f"candles are longer than {span_name(span)}")
        for each in self._all:
            if each is self._base or each.interval * 4 <= span:
                before = each.series.close_at(now - span)
                if before is not None:
                    return last / before - 1
        return Unknown(f"no candle from {span_name(span)} ago")

    def state(self) -> SymbolState:
        """Return the candles from which indicators are computed, the forming candles and the derivatives."""
        timeframes = tuple(each.state() for each in self._all)
        return SymbolState(timeframes, self.derivatives.state(), self._tick, self.liquidations.state())

    def restore(self, state: SymbolState) -> None:
        """Restore the result of `state`."""
        for each, saved in zip(self._all, state.timeframes, strict=True):
            each.restore(saved)
        self.derivatives.restore(state.derivatives)
        self._tick = state.tick
        self.liquidations.restore(state.liquidations)


def _values_of(timeframe: Timeframe) -> TimeframeValues:
    closes = timeframe.series.closes
    close = closes[-1] if len(closes) else Unknown("no closed candle of this timeframe yet")
    closed_at = timeframe.series.last_open_time + timeframe.interval if len(closes) else None
    return TimeframeValues(timeframe.interval, len(closes), close, timeframe.indicators.values(), closed_at)


class Market:
    """The market data of all symbols. `interval` is the length of a base candle in ms."""

    def __init__(self, interval: int, symbols: tuple[str, ...]) -> None:
        self.interval = interval
        self.timeframes = timeframes(interval)
        self.symbols = {symbol: SymbolMarket(interval, self.timeframes[1:]) for symbol in symbols}
        # The correlation is that of hourly returns, or of base candles if these are longer.
        correlated = max(HOUR, interval)
        built = correlated in self.timeframes
        self._correlated = {name: symbol.series(correlated) for name, symbol in self.symbols.items()} if built else {}
        self._correlations: dict[tuple[str, str], tuple[int, int, Reading]] = {}
        """Cached correlations by pair, each after the open times (ms) of the last candles it was computed from."""

    def take_derivatives(self, metrics: Collection[Metrics], settled: Collection[Funding]) -> set[str]:
        """Add derivatives rows and settled funding rates. Return the symbols that they are of."""
        for row in metrics:
            self.symbols[row.symbol].derivatives.take(row)
        for funding in settled:
            self.symbols[funding.symbol].derivatives.settle(funding)
        return {row.symbol for row in metrics} | {funding.symbol for funding in settled}

    def take_liquidations(self, rows: Collection[Liquidations]) -> dict[str, Reading]:
        """Add the liquidations of the last closed candles. Return the reading of each symbol that has a row."""
        for row in rows:
            self.symbols[row.symbol].liquidations.take(row)
        return {row.symbol: self.symbols[row.symbol].liquidations.value() for row in rows}

    def prices(self) -> dict[str, float]:
        """Return the last price (quote) of each symbol that has one."""
        last = {name: symbol.last for name, symbol in self.symbols.items()}
        return {name: price for name, price in last.items() if not isinstance(price, Unknown)}

    def correlation(self, first: str, second: str) -> Reading:
        """Return the correlation of two symbols' latest hourly returns, or of base candles if these are longer."""
        if not self._correlated:
            return Unknown(f"{span_name(HOUR)} is not built from candles of {span_name(self.interval)}")
        one, other = self._correlated[first], self._correlated[second]
        known = self._correlations.get((first, second))
        if known is None or known[0] != one.last_open_time or known[1] != other.last_open_time:
            known = one.last_open_time, other.last_open_time, correlation(one, other)
            self._correlations[first, second] = known
        return known[2]

    def state(self) -> dict[str, SymbolState]:
        """Return the state of every symbol."""
        return {name: symbol.state() for name, symbol in self.symbols.items()}

    def restore(self, state: dict[str, SymbolState]) -> None:
        """Restore the result of `state`."""
        for name, symbol in self.symbols.items():
            symbol.restore(state[name])
