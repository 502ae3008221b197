"""Forming candles, the indicator values that they would give, and returns over spans of time."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.core.market.formulas import Bar
from ocw_mcp.core.market.indicators import Indicators
from ocw_mcp.core.market.market import FormingValues, Market, SymbolMarket
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown

SYMBOL = "BTCUSDT"
DAY_ZERO = 20_000 * DAY


def candle(at: int, interval: int = MINUTE) -> Candle:
    """Return a candle computed from its open time; sums of such volumes are exact."""
    place = (at - DAY_ZERO) // interval
    last = 100 + 10 * math.sin(place / 90) + place * 7919 % 101 / 100
    first = 100 + 10 * math.sin((place - 1) / 90)
    return Candle(
        SYMBOL, at, interval, first, max(first, last) + 0.1, min(first, last) - 0.2, last, (place % 23 + 1) / 4
    )


def minutes(places: Sequence[int]) -> tuple[list[Candle], SymbolMarket]:
    candles = [candle(DAY_ZERO + place * MINUTE) for place in places]
    symbol = Market(MINUTE, (SYMBOL,)).symbols[SYMBOL]
    for each in candles:
        symbol.close(each)
    return candles, symbol


def joined(candles: Sequence[Candle], timeframe: int) -> Bar | None:
    """Return the candle of `timeframe` that has not ended, joined from all its minutes; None if it has ended."""
    opens = candles[-1].open_time // timeframe * timeframe
    inside = [each for each in candles if each.open_time >= opens]
    if inside[-1].close_time == opens + timeframe:
        return None
    return Bar(
        opens,
        inside[0].open,
        max(each.high for each in inside),
        min(each.low for each in inside),
        inside[-1].close,
        sum(each.volume for each in inside),
    )


def forming(symbol: SymbolMarket, timeframe: int) -> FormingValues:
    return next(each for each in symbol.forming() if each.interval == timeframe)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 700), st.integers(0, 60), st.integers(1, 200))
def test_forming_candle_joins_all_known_minutes(before: int, hole: int, after: int) -> None:
    candles, symbol = minutes([*range(before), *range(before + hole, before + hole + after)])
    for timeframe in (HOUR, 4 * HOUR):
        expected = joined(candles, timeframe) or Unknown("no part of this candle has closed yet")
        assert forming(symbol, timeframe).bar == expected


def test_forming_candle_with_an_unknown_beginning_is_unknown() -> None:
    _, symbol = minutes(range(17, 50))
    assert forming(symbol, HOUR).bar == Unknown("this candle began before the first one known")
    _, symbol = minutes(range(17, 62))
    assert isinstance(forming(symbol, HOUR).bar, Bar)
    assert forming(symbol, 4 * HOUR).bar == Unknown("this candle began before the first one known")


@pytest.mark.parametrize("base", [15 * MINUTE, HOUR])
def test_indicators_of_a_full_forming_candle_equal_those_at_close(base: int) -> None:
    """Compare the values of the complete forming candle with those after it has closed."""
    symbol = Market(base, (SYMBOL,)).symbols[SYMBOL]
    indicators = Indicators(symbol.series(4 * HOUR))
    pieces = 4 * HOUR // base
    checked = 0
    for place in range(60 * pieces):
        each = candle(DAY_ZERO + place * base, base)
        bar = forming(symbol, 4 * HOUR).bar
        if place % pieces == pieces - 1 and isinstance(bar, Bar):
            whole = Bar(
                bar.open_time,
                bar.open,
                max(bar.high, each.high),
                min(bar.low, each.low),
                each.close,
                bar.volume + each.volume,
            )
            peeked = indicators.peek(whole)
            symbol.close(each)
            closed = symbol.indicators()[-1].values
            for name, value in closed.items():
                if isinstance(peeked[name], float):
                    assert peeked[name] == value, name
                    checked += 1
        else:
            symbol.close(each)
    assert checked > 60 * 10


def test_reading_the_forming_candle_changes_no_state() -> None:
    _, symbol = minutes(range(3_000))
    _, untouched = minutes(range(3_000))
    first = symbol.forming()
    assert symbol.forming() == first
    assert symbol.indicators() == untouched.indicators()
    assert symbol.state() == untouched.state()


def test_base_timeframe_has_no_forming_candle() -> None:
    assert [each.interval for each in Market(HOUR, (SYMBOL,)).symbols[SYMBOL].forming()] == [4 * HOUR]
    assert Market(4 * HOUR, (SYMBOL,)).symbols[SYMBOL].forming() == []


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (MINUTE, [15 * MINUTE, HOUR, 4 * HOUR]),
        (5 * MINUTE, [15 * MINUTE, HOUR, 4 * HOUR]),
        (15 * MINUTE, [15 * MINUTE, HOUR, 4 * HOUR]),
        (30 * MINUTE, [30 * MINUTE, HOUR, 4 * HOUR]),
        (HOUR, [HOUR, 4 * HOUR]),
        (DAY, [DAY]),
    ],
)
def test_timeframes_from_15m_on_have_indicators(base: int, expected: list[int]) -> None:
    symbol = Market(base, (SYMBOL,)).symbols[SYMBOL]
    assert [row.interval for row in symbol.indicators()] == expected


def returns(symbol: SymbolMarket) -> list[Reading]:
    return [symbol.change_over(hours * HOUR) for hours in (1, 4, 24)]


def test_day_return_uses_5m_candles_and_shorter_returns_use_minutes() -> None:
    candles, symbol = minutes(range(3_003))
    last = candles[-1].close
    day_ago = candles[-1].close_time - DAY
    five = [each for each in candles if each.close_time <= day_ago // (5 * MINUTE) * 5 * MINUTE][-1]
    assert returns(symbol) == [last / candles[-61].close - 1, last / candles[-241].close - 1, last / five.close - 1]


def test_1h_return_is_unknown_without_a_close_one_hour_ago() -> None:
    assert returns(minutes([])[1]) == [Unknown("no candle yet")] * 3
    _, symbol = minutes(range(60))
    assert returns(symbol)[0] == Unknown("no candle from 1h ago")
    candles, symbol = minutes(range(61))
    assert returns(symbol)[0] == candles[-1].close / candles[0].close - 1
    _, symbol = minutes([*range(100), *range(400, 430)])
    assert returns(symbol)[0] == Unknown("no candle from 1h ago")


def test_return_over_less_than_one_candle_is_unknown() -> None:
    symbol = Market(4 * HOUR, (SYMBOL,)).symbols[SYMBOL]
    candles = [candle(DAY_ZERO + place * 4 * HOUR, 4 * HOUR) for place in range(7)]
    for each in candles:
        symbol.close(each)
    hour, four, day = returns(symbol)
    assert hour == Unknown("candles are longer than 1h")
    assert (four, day) == (candles[-1].close / candles[-2].close - 1, candles[-1].close / candles[0].close - 1)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 1_600), st.integers(0, 60), st.integers(1, 200))
def test_range_of_the_day_is_that_of_its_minutes(before: int, hole: int, after: int) -> None:
    candles, symbol = minutes([*range(before), *range(before + hole, before + hole + after)])
    # A candle that closes at midnight belongs to the day before.
    begins = (candles[-1].close_time - 1) // DAY * DAY
    today = [each for each in candles if each.open_time >= begins]
    # A gap within the first candle of 15m leaves the range of the minutes that are known.
    if today[0].open_time // (15 * MINUTE) * (15 * MINUTE) == begins:
        assert symbol.day_range() == (min(each.low for each in today), max(each.high for each in today))
    else:
        assert all(isinstance(each, Unknown) for each in symbol.day_range())


def test_range_of_a_day_whose_beginning_is_not_known_is_unknown() -> None:
    _, symbol = minutes(range(17, 50))
    assert symbol.day_range() == (Unknown("the beginning of the day is not known"),) * 2
    assert Market(MINUTE, (SYMBOL,)).symbols[SYMBOL].day_range() == (Unknown("no candle yet"),) * 2


def test_recent_closes_are_the_last_of_their_timeframe() -> None:
    candles, symbol = minutes(range(5 * 60 + 7))
    hourly = [each.close for each in candles if each.close_time % HOUR == 0]
    assert symbol.recent(HOUR, 3) == tuple(hourly[-3:])
    assert symbol.recent(HOUR, 8) == tuple(hourly)
    assert symbol.recent(DAY, 8) == ()
