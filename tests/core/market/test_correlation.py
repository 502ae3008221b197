"""The correlation of two symbols, over the hours that both have."""

import math

import numpy as np
import pytest

from ocw_mcp.core.market.formulas import RETURNS, correlation
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


def test_correlation_is_pearsons_over_the_latest_returns() -> None:
    first, second = (np.diff(np.log(each[-RETURNS - 1 :])) for each in (WAVES, OTHERS))
    assert correlation(series(WAVES), series(OTHERS)) == pytest.approx(np.corrcoef(first, second)[0, 1])


def test_correlation_is_1_for_equal_and_minus_1_for_inverse_prices() -> None:
    assert correlation(series(WAVES), series(WAVES)) == pytest.approx(1)
    assert correlation(series(WAVES), series([1 / close for close in WAVES])) == pytest.approx(-1)


def test_correlation_uses_only_hours_that_both_series_have() -> None:
    pierced = series(WAVES, holes=(50, 51, 70))
    assert correlation(pierced, series(WAVES)) == pytest.approx(1)
    assert correlation(series([2 * close for close in WAVES]), pierced) == pytest.approx(1)


def test_correlation_of_few_hours_or_a_flat_price_is_unknown() -> None:
    assert correlation(series(WAVES[:24]), series(OTHERS[:24])) == Unknown(
        "needs 25 candles that both symbols have, has 24"
    )
    assert correlation(series(WAVES), series([7.0] * 90)) == Unknown(
        "the price of one of the two symbols has not changed"
    )


def test_correlation_uses_candles_of_an_hour_or_longer() -> None:
    for interval, count in ((MINUTE, 60 * 40), (DAY, 40)):
        market = Market(interval, ("BTCUSDT", "ETHUSDT"))
        for place in range(count):
            for symbol, phase in (("BTCUSDT", 0.0), ("ETHUSDT", 0.3)):
                price = 100 + math.sin(place * interval / DAY * 30 + phase)
                market.symbols[symbol].close(candle(place, price, symbol=symbol, interval=interval))
        value = market.correlation("BTCUSDT", "ETHUSDT")
        assert isinstance(value, float)
        assert value > 0.5


def test_correlation_is_unknown_if_candles_do_not_form_hours() -> None:
    market = Market(7 * MINUTE, ("BTCUSDT", "ETHUSDT"))
    assert isinstance(market.correlation("BTCUSDT", "ETHUSDT"), Unknown)
