"""Longer timeframes are built from base candles and equal a simple aggregation of them."""

from array import array
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ocw_mcp.core.market.market import Market
from ocw_mcp.core.market.series import HISTORY
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.examples import examples

Row = tuple[float, float, float, float, float]
Buckets = dict[int, dict[int, Row]]

SYMBOL = "ETHUSDT"
DAY_ZERO = 20_000 * DAY

calm = examples(15, slow=60, suppress_health_check=[HealthCheck.too_slow])


def candle(at: int, interval: int = MINUTE) -> Candle:
    """Return a candle computed from its open time; all figures are multiples of 1/4, so that sums are exact."""
    place = (at - DAY_ZERO) // interval
    middle = 100 + (place * 7919 % 1009) / 4
    return Candle(
        SYMBOL,
        at,
        interval,
        open=middle,
        high=middle + place * 31 % 17 / 4 + 1,
        low=middle - place * 37 % 19 / 4 - 1,
        close=middle + (place * 41 % 9 - 4) / 4,
        volume=(place * 43 % 23 + 1) / 4,
    )


def aggregated(candles: Sequence[Candle], timeframe: int) -> dict[int, Row]:
    """Return open time → (open, high, low, close, volume) of every longer candle that contains a base candle."""
    buckets: dict[int, list[Candle]] = {}
    for each in candles:
        buckets.setdefault(each.open_time // timeframe * timeframe, []).append(each)
    return {
        opens: (
            inside[0].open,
            max(each.high for each in inside),
            min(each.low for each in inside),
            inside[-1].close,
            sum(each.volume for each in inside),
        )
        for opens, inside in buckets.items()
    }


def known_whole(candles: Sequence[Candle], timeframes: Sequence[int]) -> Buckets:
    """Return the same by timeframe, without the candles before the first one whose beginning is known.

    The beginning of a candle is known if a known candle of the next shorter timeframe has the same open time.
    """
    known: Buckets = {timeframes[0]: aggregated(candles, timeframes[0])}
    for shorter, timeframe in pairwise(timeframes):
        every = aggregated(candles, timeframe)
        first = next((opens for opens in every if opens in known[shorter]), None)
        known[timeframe] = {} if first is None else {opens: row for opens, row in every.items() if opens >= first}
    return known


def closes_with(candles: Sequence[Candle], known: Buckets) -> tuple[list[set[int]], Buckets]:
    """Return the timeframes that close with each base candle, and all longer candles that have closed at the end.

    A longer candle closes with the base candle that ends at the same time, otherwise with the first one after it.
    """
    closing: list[set[int]] = [set() for _ in candles]
    done: Buckets = {timeframe: {} for timeframe in known}
    for timeframe, buckets in known.items():
        for index, each in enumerate(candles):
            opens = each.open_time // timeframe * timeframe
            follows = candles[index + 1] if index + 1 < len(candles) else None
            if opens not in buckets or (follows is not None and follows.open_time < opens + timeframe):
                continue
            if each.close_time == opens + timeframe:
                closing[index].add(timeframe)
            elif follows is not None:
                closing[index + 1].add(timeframe)
            else:
                continue
            done[timeframe][opens] = buckets[opens]
    return closing, done


def columns(market: Market, level: int) -> tuple[list[Row], int]:
    """Return the closed candles of one timeframe, and the open time (ms) of the last one."""
    series = market.state()[SYMBOL].timeframes[level].series
    opened = array("q")
    opened.frombytes(series.open_times)
    assert list(opened) == sorted(set(opened))
    assert (opened[-1] if opened else -1) == series.last_open_time
    unpacked = []
    for data in series.columns:
        column = array("d")
        column.frombytes(data)
        unpacked.append(column)
    return list(zip(*unpacked, strict=True)), series.last_open_time


@st.composite
def minutes(draw: st.DrawFn) -> list[int]:
    """Draw minutes that have a candle: runs and gaps, beginning anywhere in a four-hour candle."""
    place = draw(st.integers(0, 240))
    places: list[int] = []
    for run, hole in draw(
        st.lists(st.tuples(st.integers(1, 130), st.sampled_from([1, 2, 4, 5, 13, 59, 61, 300])), min_size=1, max_size=8)
    ):
        places += range(place, place + run)
        place += run + hole
    return places


@calm
@given(minutes())
def test_longer_candles_equal_a_simple_aggregation_of_minutes(places: list[int]) -> None:
    candles = [candle(DAY_ZERO + place * MINUTE) for place in places]
    market = Market(MINUTE, (SYMBOL,))
    closing, done = closes_with(candles, known_whole(candles, market.timeframes))
    for each, expected in zip(candles, closing, strict=True):
        closed = market.symbols[SYMBOL].close(each)
        assert closed is not None
        assert closed.timeframes == tuple(sorted(expected))
    for level, timeframe in enumerate(market.timeframes):
        rows, last = columns(market, level)
        assert len(rows) >= min(len(done[timeframe]), HISTORY)
        assert rows == list(done[timeframe].values())[-len(rows) or len(done[timeframe]) :]
        assert last == max(done[timeframe], default=-1)


@pytest.mark.parametrize(
    ("base", "timeframes"),
    [
        (MINUTE, (MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)),
        (3 * MINUTE, (3 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)),
        (5 * MINUTE, (5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR)),
        (15 * MINUTE, (15 * MINUTE, HOUR, 4 * HOUR)),
        (HOUR, (HOUR, 4 * HOUR)),
        (4 * HOUR, (4 * HOUR,)),
        (DAY, (DAY,)),
    ],
)
def test_only_multiples_of_the_base_interval_are_built(base: int, timeframes: tuple[int, ...]) -> None:
    market = Market(base, (SYMBOL,))
    assert market.timeframes == timeframes
    places = [place for place in range(3, 330) if place % 29 and not 100 < place < 140]
    candles = [candle(DAY_ZERO + place * base, base) for place in places]
    closing, done = closes_with(candles, known_whole(candles, timeframes))
    closes = [market.symbols[SYMBOL].close(each) for each in candles]
    assert [set(closed.timeframes) for closed in closes if closed] == closing
    for level, timeframe in enumerate(timeframes):
        assert columns(market, level)[0] == list(done[timeframe].values())


def feed(market: Market, *places: int) -> list[tuple[int, ...]]:
    """Close the candles of these minutes; return the timeframes (minutes) that each one closed."""
    closes = [market.symbols[SYMBOL].close(candle(DAY_ZERO + place * MINUTE)) for place in places]
    return [tuple(each // MINUTE for each in closed.timeframes) if closed else () for closed in closes]


def test_longer_candle_with_missing_first_minutes_is_dropped() -> None:
    market = Market(MINUTE, (SYMBOL,))
    closed = feed(market, *range(2, 31))
    assert closed[2] == (1,)  # minute 4 ends the first 5m candle, of which two minutes are missing
    assert closed[7] == (1, 5)
    assert closed[12] == (1, 5)  # minute 14 ends a 15m candle that began before the first minute
    assert closed[27] == (1, 5, 15)
    assert len(columns(market, 1)[0]) == 5
    assert len(columns(market, 2)[0]) == 1


def test_longer_candle_with_a_missing_end_closes_after_the_gap() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, 0, 1, 2) == [(1,), (1,), (1,)]
    closed = market.symbols[SYMBOL].close(candle(DAY_ZERO + 7 * MINUTE))
    assert closed is not None
    assert closed.timeframes == (MINUTE, 5 * MINUTE)
    assert closed.hole_since == DAY_ZERO + 3 * MINUTE
    rows, last = columns(market, 1)
    assert rows == [aggregated([candle(DAY_ZERO + place * MINUTE) for place in (0, 1, 2)], 5 * MINUTE)[DAY_ZERO]]
    assert last == DAY_ZERO


def test_one_candle_closes_the_overdue_and_the_current_5m_candle() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, 0, 1, 2, 9)[-1] == (1, 5)
    assert len(columns(market, 1)[0]) == 2


def test_first_candle_after_a_long_gap_closes_each_timeframe_once() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, *range(7), 500)[-1] == (1, 5, 15, 60, 240)
    assert [len(columns(market, level)[0]) for level in range(5)] == [8, 2, 1, 1, 1]


def test_data_gap_is_reported_with_its_beginning() -> None:
    market = Market(MINUTE, (SYMBOL,))
    symbol = market.symbols[SYMBOL]
    closes = [symbol.close(candle(DAY_ZERO + place * MINUTE)) for place in (5, 6, 8)]
    assert [closed.hole_since if closed else None for closed in closes] == [None, None, DAY_ZERO + 7 * MINUTE]


def test_last_close_and_its_time_come_from_the_base_candle() -> None:
    market = Market(MINUTE, (SYMBOL,))
    symbol = market.symbols[SYMBOL]
    assert (symbol.known_at, symbol.last) == (None, Unknown("no candle yet"))
    symbol.close(candle(DAY_ZERO))
    assert (symbol.known_at, symbol.last) == (DAY_ZERO + MINUTE, candle(DAY_ZERO).close)


@pytest.mark.requirement("D03")
@pytest.mark.parametrize("late", [0, 1, 37, 118, 119])
def test_late_or_repeated_candle_is_ignored(late: int) -> None:
    market = Market(MINUTE, (SYMBOL,))
    feed(market, *range(120))
    symbol = market.symbols[SYMBOL]
    before, indicators = msgspec.msgpack.encode(market.state()), symbol.indicators()
    absurd = msgspec.structs.replace(candle(DAY_ZERO + late * MINUTE), high=1e6, close=1e6, volume=1e6)
    assert symbol.close(absurd) is None
    assert msgspec.msgpack.encode(market.state()) == before
    assert symbol.indicators() == indicators


@pytest.mark.requirement("D03")
@calm
@given(minutes(), st.data())
def test_late_candles_between_others_do_not_change_the_market(places: list[int], data: st.DataObject) -> None:
    orderly, disturbed = Market(MINUTE, (SYMBOL,)), Market(MINUTE, (SYMBOL,))
    noisy = set(data.draw(st.lists(st.sampled_from(places), max_size=6)))
    for index, place in enumerate(places):
        expected = orderly.symbols[SYMBOL].close(candle(DAY_ZERO + place * MINUTE))
        assert disturbed.symbols[SYMBOL].close(candle(DAY_ZERO + place * MINUTE)) == expected
        if place in noisy:
            again = places[data.draw(st.integers(0, index))]
            assert disturbed.symbols[SYMBOL].close(candle(DAY_ZERO + again * MINUTE)) is None
    assert disturbed.state() == orderly.state()
    assert disturbed.symbols[SYMBOL].indicators() == orderly.symbols[SYMBOL].indicators()


@pytest.mark.requirement("D03")
def test_hourly_indicators_do_not_change_until_the_hour_closes() -> None:
    market = Market(MINUTE, (SYMBOL,))
    feed(market, *range(60))
    hourly = [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR]
    feed(market, *range(60, 119))
    assert [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR] == hourly
    feed(market, 119)
    assert [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR] != hourly


def test_candles_of_one_symbol_do_not_change_another_symbol() -> None:
    market = Market(MINUTE, (SYMBOL, "BTCUSDT"))
    before = market.symbols["BTCUSDT"].state()
    feed(market, *range(20))
    assert market.symbols["BTCUSDT"].state() == before
    assert [row.candles for row in market.symbols["BTCUSDT"].indicators()] == [0, 0, 0]
