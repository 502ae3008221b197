"""History is bounded and cut at fixed engine times, and a restart gives the same bits."""

import math
from functools import cache

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocw_mcp.core.market.market import FormingValues, Market, SymbolState, TimeframeValues
from ocw_mcp.core.market.series import HISTORY, REOPEN_EVERY
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Reading

SYMBOL = "BTCUSDT"
PERIOD = HOUR * REOPEN_EVERY
BOUNDARY = 1_000 * PERIOD
"""A time (ms) at which hourly series are cut."""

Shown = tuple[list[TimeframeValues], list[FormingValues], list[Reading]]


@cache
def price(place: int) -> float:
    """Return a price of an endless curve without repetition, the same in every run."""
    return round(1000 + 60 * math.sin(place / 17) + 25 * math.sin(place * 1.37) + 9 * math.sin(place * place / 50), 2)


def candle(at: int, interval: int) -> Candle:
    """Return a candle from the previous price to the price of its place, with a wick at both ends."""
    place = at // interval
    first, last = price(place - 1), price(place)
    high, low = max(first, last) + place % 7 / 10, min(first, last) - place % 5 / 10
    return Candle(SYMBOL, at, interval, first, high, low, last, place % 11 + 1.0)


def market_from(start: int, count: int, interval: int = HOUR) -> Market:
    """Return a market after `count` candles from `start` (ms) on."""
    market = Market(interval, (SYMBOL,))
    for place in range(count):
        market.symbols[SYMBOL].close(candle(start + place * interval, interval))
    return market


def shown(market: Market) -> Shown:
    """Return the indicators, the forming candles and the returns of a market."""
    symbol = market.symbols[SYMBOL]
    return symbol.indicators(), symbol.forming(), [symbol.change_over(hours * HOUR) for hours in (1, 4, 24)]


def lengths(market: Market) -> list[int]:
    """Return the number of candles that each timeframe keeps, shortest first."""
    kept = [timeframe.series for timeframe in market.state()[SYMBOL].timeframes]
    assert all(len(column) == len(series.open_times) for series in kept for column in series.columns)
    return [len(series.open_times) // 8 for series in kept]


def restarted(market: Market) -> Market:
    """Return a new market restored from the encoded state of another."""
    stored = msgspec.msgpack.encode(market.state())
    again = Market(market.interval, (SYMBOL,))
    again.restore(msgspec.msgpack.decode(stored, type=dict[str, SymbolState]))
    return again


@pytest.mark.parametrize(("interval", "count"), [(MINUTE, 16_000), (15 * MINUTE, 5_000), (HOUR, 5_000)])
def test_history_stays_bounded_in_every_timeframe(interval: int, count: int) -> None:
    start = BOUNDARY + 77 * interval
    market = Market(interval, (SYMBOL,))
    most: dict[int, int] = {}
    least: dict[int, int] = {}
    seen: dict[int, int] = dict.fromkeys(market.timeframes, 0)
    for place in range(count):
        if place % 1_000 < 3:
            continue  # gaps, so that some cuts are due when there is no candle
        closed = market.symbols[SYMBOL].close(candle(start + place * interval, interval))
        assert closed is not None
        for timeframe in closed.timeframes:
            seen[timeframe] += 1
        if place % 11 == 0 or len(closed.timeframes) > 2:
            for timeframe, length in zip(market.timeframes, lengths(market), strict=True):
                most[timeframe] = max(most.get(timeframe, 0), length)
                if seen[timeframe] > HISTORY + REOPEN_EVERY:
                    least[timeframe] = min(least.get(timeframe, length), length)
    cut = [timeframe for timeframe in market.timeframes if seen[timeframe] > HISTORY + REOPEN_EVERY]
    assert len(cut) >= 2
    assert all(most[timeframe] <= HISTORY + REOPEN_EVERY for timeframe in market.timeframes)
    assert all(least[timeframe] >= HISTORY for timeframe in cut)


def test_checkpoint_size_does_not_grow_with_history() -> None:
    sizes = [len(msgspec.msgpack.encode(market_from(BOUNDARY, count).state())) for count in (2_600, 6_600)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


def test_candle_history_is_cut_only_at_fixed_times() -> None:
    for begin in (0, 1, 250, 499):
        market = Market(HOUR, (SYMBOL,))
        cuts, before = [], 0
        for place in range(begin, 2_600):
            at = BOUNDARY + place * HOUR
            market.symbols[SYMBOL].close(candle(at, HOUR))
            length = lengths(market)[0]
            if length <= before:
                cuts.append(at)
                assert length == HISTORY
            before = length
        assert cuts == [BOUNDARY + period * PERIOD for period in range(1 if begin == 0 else 2, 6)]


def test_history_cut_due_in_a_data_gap_happens_at_the_next_candle() -> None:
    market = market_from(BOUNDARY, 990)
    market.symbols[SYMBOL].close(candle(BOUNDARY + 1_010 * HOUR, HOUR))
    assert lengths(market)[0] == HISTORY
    market.symbols[SYMBOL].close(candle(BOUNDARY + 1_011 * HOUR, HOUR))
    assert lengths(market)[0] == HISTORY + 1


def test_after_a_cut_indicators_ignore_where_the_history_began() -> None:
    early, late = market_from(BOUNDARY, 1_000), market_from(BOUNDARY + 437 * HOUR, 563)
    assert shown(early)[0][0].values["ema_50"] != shown(late)[0][0].values["ema_50"]
    for place in range(1_000, 1_100):
        for market in (early, late):
            market.symbols[SYMBOL].close(candle(BOUNDARY + place * HOUR, HOUR))
        assert shown(early)[0][0] == shown(late)[0][0]


@pytest.mark.parametrize(
    "cut", [0, 1, 8, 9, 14, 15, 27, 28, 49, 50, 110, 498, 499, 500, 501, 923, 924, 925, 1_400, 1_423, 1_424, 1_425]
)
def test_indicators_are_bit_identical_after_a_restart(cut: int) -> None:
    start = BOUNDARY + 76 * HOUR  # indicators are reopened at the candles 924 and 1424
    market = market_from(start, cut)
    again = restarted(market)
    assert shown(again) == shown(market)
    for place in range(cut, 1_480):
        next_one = candle(start + place * HOUR, HOUR)
        assert again.symbols[SYMBOL].close(next_one) == market.symbols[SYMBOL].close(next_one)
        if place < cut + 40 or place % 41 == 0 or place in range(920, 930) or place > 1_420:
            assert shown(again) == shown(market)
    assert again.state() == market.state()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    interval=st.sampled_from([MINUTE, 3 * MINUTE, HOUR]),
    phase=st.integers(0, REOPEN_EVERY - 1),
    cut=st.integers(0, 1_300),
    further=st.integers(1, 700),
    again_after=st.integers(1, 300),
)
def test_indicators_are_bit_identical_after_many_restarts(
    interval: int, phase: int, cut: int, further: int, again_after: int
) -> None:
    start = BOUNDARY + phase * interval
    market = market_from(start, cut, interval)
    restored = restarted(market)
    assert shown(restored) == shown(market)
    for place in range(cut, cut + further):
        if (place - cut) % again_after == again_after - 1:
            restored = restarted(restored)
        next_one = candle(start + place * interval, interval)
        assert restored.symbols[SYMBOL].close(next_one) == market.symbols[SYMBOL].close(next_one)
        if place % 23 == 0:
            assert shown(restored) == shown(market)
    assert shown(restored) == shown(market)
    assert restored.state() == market.state()


def test_incomplete_first_candle_is_dropped_after_a_restart() -> None:
    market = Market(MINUTE, (SYMBOL,))
    for place in range(2, 4):
        market.symbols[SYMBOL].close(candle(BOUNDARY + place * MINUTE, MINUTE))
    again = restarted(market)
    closed = again.symbols[SYMBOL].close(candle(BOUNDARY + 4 * MINUTE, MINUTE))
    assert closed is not None
    assert closed.timeframes == (MINUTE,)
