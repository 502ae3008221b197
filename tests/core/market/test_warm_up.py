"""Candles that warm up a market all at once leave it as if they had been closed one by one."""

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ocw_mcp.core.gate.gate import Gate
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.market.series import REOPEN_EVERY
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.policies import GatePolicy
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from tests.support.examples import examples

SYMBOL = "BTCUSDT"
POLICY = GatePolicy(outlier_half_life_h=1)


def candles_of(seed: int, begin: int, interval: int, stretches: list[tuple[int, int]]) -> list[Candle]:
    """Return stretches of random candles; each stretch is given by the candles missing before it, and its length."""
    candles, place, price, draw = list[Candle](), begin, 100.0, seed

    def chance() -> float:
        nonlocal draw
        draw = (draw * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        return (draw >> 33) / 2**31

    for missing, count in stretches:
        place += missing
        for _ in range(count):
            close = price * (0.99 + 0.02 * chance())
            high, low = max(price, close) * (1 + 0.003 * chance()), min(price, close) * (1 - 0.003 * chance())
            candles.append(Candle(SYMBOL, place * interval, interval, price, high, low, close, 10 * chance()))
            price, place = close, place + 1
    return candles


def warmed(candles: list[Candle], interval: int, cuts: list[int]) -> tuple[Market, Gate]:
    """Return a market and a gate that are warmed up with the candles, given in pieces that end at the cuts."""
    market, gate = Market(interval, (SYMBOL,)), Gate(POLICY, interval, (SYMBOL,))
    for begins, ends in zip([0, *cuts], [*cuts, len(candles)], strict=True):
        for stretch in market.symbols[SYMBOL].warm(candles[begins:ends]):
            gate.warm(SYMBOL, stretch.closes, stretch.first_at)
    return market, gate


def one_by_one(candles: list[Candle], interval: int) -> tuple[Market, Gate]:
    """Return a market and a gate that take the candles one by one."""
    market, gate = Market(interval, (SYMBOL,)), Gate(POLICY, interval, (SYMBOL,))
    for candle in candles:
        if market.symbols[SYMBOL].close(candle) is not None:
            gate.warm(SYMBOL, (candle.close,), candle.close_time)
    return market, gate


@examples(12, slow=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    interval=st.sampled_from([15 * SECOND, MINUTE, 3 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR]),
    begin=st.integers(1_000_000, 1_000_000 + REOPEN_EVERY),
    stretches=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 900)), min_size=1, max_size=4),
    data=st.data(),
)
def test_warm_up_all_at_once_equals_one_by_one(
    seed: int, interval: int, begin: int, stretches: list[tuple[int, int]], data: st.DataObject
) -> None:
    candles = candles_of(seed, begin, interval, stretches)
    # A late and a repeated candle change nothing.
    candles[len(candles) // 2 : len(candles) // 2] = candles[: data.draw(st.integers(0, 3))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(candles)), max_size=3)))
    (market, gate), (expected, outliers) = warmed(candles, interval, cuts), one_by_one(candles, interval)
    assert msgspec.msgpack.encode(market.state()) == msgspec.msgpack.encode(expected.state())
    assert msgspec.msgpack.encode(gate.state()) == msgspec.msgpack.encode(outliers.state())
    symbol, other = market.symbols[SYMBOL], expected.symbols[SYMBOL]
    assert repr(symbol.indicators()) == repr(other.indicators())
    assert repr(symbol.forming()) == repr(other.forming())
    for candle in candles_of(seed + 1, candles[-1].open_time // interval + 1, interval, [(0, 250)]):
        assert symbol.close(candle) == other.close(candle)
    assert msgspec.msgpack.encode(market.state()) == msgspec.msgpack.encode(expected.state())
    assert repr(symbol.indicators()) == repr(other.indicators())


@pytest.mark.parametrize("offset", [0, 1, 4, 5, 239])
def test_warm_up_drops_the_part_of_a_first_candle(offset: int) -> None:
    candles = candles_of(1, 240 * 1_000 + offset, MINUTE, [(0, 480)])
    market, _ = warmed(candles, MINUTE, [])
    opened = [state.series.open_times for state in market.state()[SYMBOL].timeframes]
    firsts = [int.from_bytes(times[:8], "little") for times in opened]
    for interval, first in zip(market.timeframes, firsts, strict=True):
        assert first == -(-candles[0].open_time // interval) * interval


def test_warm_up_of_no_candles_changes_nothing() -> None:
    market, gate = warmed([], MINUTE, [])
    assert market.state() == Market(MINUTE, (SYMBOL,)).state()
    assert gate.state() == Gate(POLICY, MINUTE, (SYMBOL,)).state()
