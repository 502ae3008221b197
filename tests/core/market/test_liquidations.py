"""The reading of forced liquidations, against a second way to compute it."""

from fractions import Fraction
from random import Random  # noqa: TID251 - seeded

import msgspec
import pytest

from ocw_mcp.core.market.liquidations import SPAN, VOLUME_SPAN
from ocw_mcp.core.market.market import Market, SymbolState
from ocw_mcp.domain.market import Candle, Liquidations
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown

BTC = "BTCUSDT"
T0 = 1_767_225_600_000


def candle(open_time: int, volume: float, interval: int = MINUTE) -> Candle:
    return Candle(BTC, open_time, interval, 100.0, 101.0, 99.0, 100.0, volume)


def take(market: Market, bar: Candle, longs: float | None, shorts: float = 0.0) -> Reading | None:
    """Close a candle, and return the reading if its liquidations are known."""
    market.symbols[BTC].close(bar)
    rows = [] if longs is None else [Liquidations(BTC, bar.close_time, longs, shorts)]
    return market.take_liquidations(rows).get(BTC)


def expected(volumes: dict[int, float], nets: dict[int, Fraction], closed_at: int, interval: int) -> Fraction | None:
    """The reading by its definition, from all candles by close time; None if it is unknown."""
    hour = [volumes.get(at) for at in range(closed_at - VOLUME_SPAN + interval, closed_at + 1, interval)]
    recent = [nets.get(at) for at in range(closed_at, closed_at - SPAN, -interval)]
    volume = sum(Fraction(each) for each in hour if each is not None)
    if None in hour or None in recent or not volume:
        return None
    return sum((each for each in recent if each is not None), Fraction(0)) / volume


@pytest.mark.parametrize("interval", [MINUTE, 3 * MINUTE, 5 * MINUTE])
def test_reading_equals_its_definition_on_flows_with_gaps(interval: int) -> None:
    random, market = Random(interval), Market(interval, (BTC,))
    volumes, nets, known, at = dict[int, float](), dict[int, Fraction](), 0, T0
    for _ in range(500):
        gap = random.random() < 0.01
        at += interval * (random.randrange(2, 9) if gap else 1)
        bar = candle(at - interval, 0.0 if random.random() < 0.1 else random.uniform(0.001, 900), interval)
        volumes[at] = bar.volume
        longs, shorts = (random.choice((0.0, random.expovariate(0.1))) for _ in range(2))
        is_known = random.random() > 0.04
        if is_known:
            nets[at] = Fraction(longs) - Fraction(shorts)
        value = take(market, bar, longs if is_known else None, shorts)
        assert (value is None) == (not is_known)
        if random.random() < 0.05:
            saved = msgspec.msgpack.encode(market.state())
            market = Market(interval, (BTC,))
            market.restore(msgspec.msgpack.decode(saved, type=dict[str, SymbolState]))
        oracle = expected(volumes, nets, at, interval)
        now = market.symbols[BTC].liquidations.value()
        assert value is None or now == value
        if oracle is None:
            assert isinstance(now, Unknown)
        else:
            known += 1
            assert now == pytest.approx(float(oracle), rel=1e-12, abs=1e-15)
    assert 60 < known < 450


def reason(market: Market) -> str:
    value = market.symbols[BTC].liquidations.value()
    assert isinstance(value, Unknown)
    return value.reason


def test_reading_is_unknown_with_the_reason() -> None:
    market = Market(MINUTE, (BTC,))
    assert reason(market) == "the market has reported no forced liquidations"
    take(market, candle(T0, 0.0), 1.0)
    assert reason(market) == "the liquidations of the last 5m are not all known"
    for minute in range(1, 6):
        take(market, candle(T0 + minute * MINUTE, 0.0), 1.0)
    assert reason(market) == "a candle of the last 1h is missing"
    for minute in range(6, 60):
        take(market, candle(T0 + minute * MINUTE, 0.0), 1.0)
    assert reason(market) == "nothing was traded in the last 1h"
    take(market, candle(T0 + HOUR, 50.0), 4.0, 3.0)
    assert market.symbols[BTC].liquidations.value() == 5.0 / 50
    take(market, candle(T0 + HOUR + MINUTE, 50.0), None)
    assert reason(market) == "the liquidations of the last 5m are not all known"


def test_reading_needs_candles_of_five_minutes_at_most() -> None:
    market = Market(15 * MINUTE, (BTC,))
    for number in range(8):
        take(market, candle(T0 + number * 15 * MINUTE, 10.0, 15 * MINUTE), 1.0)
    assert reason(market) == "candles are longer than 5m"


def test_sign_says_who_was_liquidated() -> None:
    for longs, shorts, sign in ((2.0, 0.5, 1), (0.5, 2.0, -1), (1.0, 1.0, 0)):
        market = Market(MINUTE, (BTC,))
        for minute in range(61):
            take(market, candle(T0 + minute * MINUTE, 1.0), longs, shorts)
        value = market.symbols[BTC].liquidations.value()
        assert value == pytest.approx(sign * 1.5 * 5 / 60)


def hour_of(market: Market) -> Reading:
    return market.symbols[BTC].derivatives_view(T0).liquidations_1h


def test_liquidated_notional_of_an_hour_is_known_after_an_hour() -> None:
    market = Market(MINUTE, (BTC,))
    for minute in range(HOUR // MINUTE):
        assert isinstance(hour_of(market), Unknown)
        bar = Candle(BTC, T0 + minute * MINUTE, MINUTE, 100.0, 101.0, 99.0, 100.0 + minute % 2, 1.0)
        take(market, bar, 700.0, 300.0)
    assert hour_of(market) == pytest.approx(1_000 * (100 + 101) * 30)
    assert market.symbols[BTC].derivatives_view(T0).extremes == ("liquidations_1h",)
    assert market.symbols[BTC].derivatives_value("liquidations_1h", T0) == hour_of(market)
    take(market, candle(T0 + HOUR, 1.0), 0.0)
    assert hour_of(market) == pytest.approx(1_000 * (101 * 30 + 100 * 29))
    take(market, candle(T0 + HOUR + MINUTE, 1.0), None)
    assert isinstance(hour_of(market), Unknown)
