"""The features of a candle: values, warm-up, gaps and degenerate candles."""

import math

import pytest
from msgspec.structs import replace

from ocw_mcp.core.anomaly.features import NAMES, VOLUMES, MarketRows
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import HOUR

CANDLES = [Candle("BTCUSDT", place * HOUR, HOUR, 100.0, 102.0, 99.0, 100.0 + place % 2, 10.0) for place in range(30)]


def test_row_has_the_documented_values() -> None:
    rows = MarketRows()
    for candle in CANDLES[:VOLUMES]:
        assert rows.row(candle, open_interest=500.0) is None
    row = rows.row(replace(CANDLES[VOLUMES], volume=25.0), funding=0.0001, open_interest=510.0, basis=0.002)
    assert row is not None
    expected = (math.log(100 / 101), math.log(2.5), math.log(math.log(102 / 99)), 0.0001, math.log(1.02), 0.002)
    assert dict(zip(NAMES, row, strict=True)) == pytest.approx(dict(zip(NAMES, expected, strict=True)))


def test_readings_of_derivatives_may_be_missing() -> None:
    rows = MarketRows()
    found = [rows.row(candle) for candle in CANDLES]
    assert found[-1] is not None
    assert found[-1][3:] == (None, None, None)


@pytest.mark.parametrize(
    "change", [{"volume": 0.0}, {"high": 100.0, "low": 100.0}, {"close": 0.0}, {"open_time": 25 * HOUR + 1}]
)
def test_unusable_candle_has_no_row(change: dict[str, float]) -> None:
    rows = MarketRows()
    for candle in CANDLES[:25]:
        rows.row(candle)
    assert rows.row(replace(CANDLES[25], **change)) is None


def test_restored_rows_go_on() -> None:
    rows, restored = MarketRows(), MarketRows()
    for candle in CANDLES[:25]:
        rows.row(candle, open_interest=5.0)
    restored.restore(rows.state())
    assert restored.row(CANDLES[25], open_interest=6.0) == rows.row(CANDLES[25], open_interest=6.0)
