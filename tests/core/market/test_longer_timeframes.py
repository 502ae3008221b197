"""Longer timeframes are built from base candles as one would build them by hand."""

from array import array
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocw_mcp.core.market.market import Market
from ocw_mcp.core.market.series import HISTORY
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown

Row = tuple[float, float, float, float, float]
Buckets = dict[int, dict[int, Row]]

SYMBOL = "ETHUSDT"
DAY_ZERO = 20_000 * DAY

calm = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def candle(at: int, interval: int = MINUTE) -> Candle:
    """A candle whose figures follow from its place and are sums of quarters, so that every order of adding is exact."""
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
    """Open time → open, high, low, close, volume of every bucket that has a candle in it."""
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
    """The same without the buckets in whose midst the tape began: those before the first one that begins whole.

    A bucket begins whole when a known candle of the next shorter timeframe opens with it.
    """
    known: Buckets = {timeframes[0]: aggregated(candles, timeframes[0])}
    for shorter, timeframe in pairwise(timeframes):
        every = aggregated(candles, timeframe)
        first = next((opens for opens in every if opens in known[shorter]), None)
        known[timeframe] = {} if first is None else {opens: row for opens, row in every.items() if opens >= first}
    return known


def closes_with(candles: Sequence[Candle], known: Buckets) -> tuple[list[set[int]], Buckets]:
    """For each candle the timeframes that close with it, and the buckets that have closed in the end.

    A bucket closes with the candle that ends where it ends, or else with the first candle after it.
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
    """The closed candles of one timeframe, and when the last one opened."""
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
    """Places of candles in time: runs and holes, from anywhere in a four-hour bucket on."""
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
def test_every_timeframe_equals_a_plain_aggregation_of_minutes_whatever_is_missing(places: list[int]) -> None:
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
def test_every_base_builds_the_timeframes_it_divides_and_no_others(base: int, timeframes: tuple[int, ...]) -> None:
    market = Market(base, (SYMBOL,))
    assert market.timeframes == timeframes
    places = [place for place in range(3, 330) if place % 29 and not 100 < place < 140]
    candles = [candle(DAY_ZERO + place * base, base) for place in places]
    closing, done = closes_with(candles, known_whole(candles, timeframes))
    told = [market.symbols[SYMBOL].close(each) for each in candles]
    assert [set(closed.timeframes) for closed in told if closed] == closing
    for level, timeframe in enumerate(timeframes):
        assert columns(market, level)[0] == list(done[timeframe].values())


def feed(market: Market, *places: int) -> list[tuple[int, ...]]:
    """Close minute candles at these places; the timeframes in minutes that each one closed."""
    told = [market.symbols[SYMBOL].close(candle(DAY_ZERO + place * MINUTE)) for place in places]
    return [tuple(each // MINUTE for each in closed.timeframes) if closed else () for closed in told]


def test_the_bucket_in_whose_midst_the_tape_begins_is_never_closed() -> None:
    market = Market(MINUTE, (SYMBOL,))
    told = feed(market, *range(2, 31))
    assert told[2] == (1,)  # minute 4 ends the first five minutes, of which two were never seen
    assert told[7] == (1, 5)
    assert told[12] == (1, 5)  # minute 14 ends a quarter of an hour that began before the tape
    assert told[27] == (1, 5, 15)
    assert len(columns(market, 1)[0]) == 5
    assert len(columns(market, 2)[0]) == 1


def test_a_candle_whose_last_minutes_are_missing_closes_on_the_first_candle_after_the_hole() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, 0, 1, 2) == [(1,), (1,), (1,)]
    closed = market.symbols[SYMBOL].close(candle(DAY_ZERO + 7 * MINUTE))
    assert closed is not None
    assert closed.timeframes == (MINUTE, 5 * MINUTE)
    assert closed.hole_since == DAY_ZERO + 3 * MINUTE
    rows, last = columns(market, 1)
    assert rows == [aggregated([candle(DAY_ZERO + place * MINUTE) for place in (0, 1, 2)], 5 * MINUTE)[DAY_ZERO]]
    assert last == DAY_ZERO


def test_one_candle_after_a_hole_can_close_what_ended_in_the_hole_and_what_ends_with_itself() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, 0, 1, 2, 9)[-1] == (1, 5)
    assert len(columns(market, 1)[0]) == 2


def test_a_hole_over_hours_closes_every_timeframe_once() -> None:
    market = Market(MINUTE, (SYMBOL,))
    assert feed(market, *range(7), 500)[-1] == (1, 5, 15, 60, 240)
    assert [len(columns(market, level)[0]) for level in range(5)] == [8, 2, 1, 1, 1]


def test_a_hole_is_told_with_the_first_missing_moment_and_the_first_candle_is_no_hole() -> None:
    market = Market(MINUTE, (SYMBOL,))
    symbol = market.symbols[SYMBOL]
    told = [symbol.close(candle(DAY_ZERO + place * MINUTE)) for place in (5, 6, 8)]
    assert [closed.hole_since if closed else None for closed in told] == [None, None, DAY_ZERO + 7 * MINUTE]


def test_the_last_close_and_its_moment_are_those_of_the_last_base_candle() -> None:
    market = Market(MINUTE, (SYMBOL,))
    symbol = market.symbols[SYMBOL]
    assert (symbol.known_at, symbol.last) == (None, Unknown("no candle yet"))
    symbol.close(candle(DAY_ZERO))
    assert (symbol.known_at, symbol.last) == (DAY_ZERO + MINUTE, candle(DAY_ZERO).close)


@pytest.mark.requirement("D03")
@pytest.mark.parametrize("late", [0, 1, 37, 118, 119])
def test_a_late_or_repeated_candle_changes_nothing(late: int) -> None:
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
def test_late_and_repeated_candles_anywhere_leave_the_market_of_the_orderly_ones(
    places: list[int], data: st.DataObject
) -> None:
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
def test_a_candle_that_is_still_forming_shows_in_no_indicator() -> None:
    market = Market(MINUTE, (SYMBOL,))
    feed(market, *range(60))
    hourly = [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR]
    feed(market, *range(60, 119))
    assert [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR] == hourly
    feed(market, 119)
    assert [row for row in market.symbols[SYMBOL].indicators() if row[0] == HOUR] != hourly


def test_symbols_do_not_touch_each_other() -> None:
    market = Market(MINUTE, (SYMBOL, "BTCUSDT"))
    before = market.symbols["BTCUSDT"].state()
    feed(market, *range(20))
    assert market.symbols["BTCUSDT"].state() == before
    assert [row.candles for row in market.symbols["BTCUSDT"].indicators()] == [0, 0, 0]
