"""How alike two symbols move: over the hours that both have."""

import math

import numpy as np
import pytest

from ocw_mcp.core.market.correlation import RETURNS, correlation
from ocw_mcp.core.market.market import Market
from ocw_mcp.core.market.series import CandleSeries
from ocw_mcp.domain.time import DAY, HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.markets import candle


def series(closes: list[float], *, holes: tuple[int, ...] = ()) -> CandleSeries:
    made = CandleSeries(HOUR)
    for place, close in enumerate(closes):
        if place not in holes:
            made.append(place * HOUR, close, close, close, close, 1.0)
    return made


WAVES = [100 * math.exp(0.01 * math.sin(place) + 0.003 * math.sin(place * 2.7)) for place in range(90)]
OTHERS = [50 * math.exp(0.02 * math.sin(place + 0.8)) for place in range(90)]


def test_it_is_pearsons_over_the_last_returns_of_both() -> None:
    first, second = (np.diff(np.log(each[-RETURNS - 1 :])) for each in (WAVES, OTHERS))
    assert correlation(series(WAVES), series(OTHERS)) == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_a_symbol_is_wholly_like_itself_and_wholly_unlike_its_mirror() -> None:
    assert correlation(series(WAVES), series(WAVES)) == pytest.approx(1)
    assert correlation(series(WAVES), series([1 / close for close in WAVES])) == pytest.approx(-1)


def test_only_hours_that_both_have_are_compared() -> None:
    pierced = series(WAVES, holes=(50, 51, 70))
    assert correlation(pierced, series(WAVES)) == pytest.approx(1)
    assert correlation(series([2 * close for close in WAVES]), pierced) == pytest.approx(1)


def test_too_few_hours_or_a_price_that_stands_still_are_unknown() -> None:
    assert correlation(series(WAVES[:24]), series(OTHERS[:24])) == Unknown(
        "needs 25 candles of both symbols at once, has 24"
    )
    assert correlation(series(WAVES), series([7.0] * 90)) == Unknown("one of the two has not moved")


def test_a_market_compares_its_hours_or_longer_candles() -> None:
    for interval, count in ((MINUTE, 60 * 40), (DAY, 40)):
        market = Market(interval, ("BTCUSDT", "ETHUSDT"))
        for place in range(count):
            for symbol, phase in (("BTCUSDT", 0.0), ("ETHUSDT", 0.3)):
                price = 100 + math.sin(place * interval / DAY * 30 + phase)
                market.symbols[symbol].close(candle(place, price, symbol=symbol, interval=interval))
        value = market.correlation("BTCUSDT", "ETHUSDT")
        assert isinstance(value, float)
        assert value > 0.5


def test_candles_of_which_no_hour_can_be_built_have_no_correlation() -> None:
    market = Market(7 * MINUTE, ("BTCUSDT", "ETHUSDT"))
    assert isinstance(market.correlation("BTCUSDT", "ETHUSDT"), Unknown)
