"""The calibration of the anomaly on recorded months, and its shrinkage against scikit-learn."""

import math
from pathlib import Path

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.regime.days import read_days
from ocw_mcp.core.anomaly.detector import AnomalyDetector
from ocw_mcp.core.anomaly.distance import shrunk_covariance
from ocw_mcp.core.anomaly.features import MarketRows
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.time import utc_day
from tests.support.regimes import draws

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
def test_share_above_a_quantile_is_within_its_interval(symbol: str, tapes: Path) -> None:
    """Each reading has only earlier days, so that all months with readings are held out."""
    path = tapes / "vision" / "spot" / "monthly" / "klines" / symbol / "1d"
    rows, detector, readings = MarketRows(), AnomalyDetector(), list[AnomalyReading]()
    for candle in read_days(TapeFeed.open(path, None, "1d", None)):
        row = rows.row(candle)
        reading = None if row is None else detector.test(candle.close_time, row)
        readings += [reading] if isinstance(reading, AnomalyReading) else []
    assert len(readings) > 1_500
    for quantile in (0.5, 0.8, 0.9, 0.95, 0.99):
        share = sum(each.quantile >= quantile for each in readings) / len(readings)
        half = 1.96 * math.sqrt(quantile * (1 - quantile) / len(readings))
        assert abs(share - (1 - quantile)) <= half, f"{quantile}: {share:.4f}, expected within {half:.4f}"
    largest = max(readings, key=lambda each: each.distance)
    crash = {"SOLUSDT": "2022-11-09"}.get(symbol, "2020-03-12")
    assert utc_day(largest.at - 1) == crash
    assert largest.drivers[0][0] == "return"


@pytest.mark.parametrize(("count", "columns"), [(30, 1), (60, 3), (120, 6), (20, 10), (5, 12)])
def test_shrinkage_equals_that_of_scikit_learn(count: int, columns: int) -> None:
    from sklearn.covariance import ledoit_wolf

    draw = draws(count, "shrinkage")
    rows = draw.normal(size=(count, columns)) @ draw.normal(size=(columns, columns))
    assert shrunk_covariance(rows) == pytest.approx(ledoit_wolf(rows, assume_centered=True)[0], abs=1e-12)


def test_covariance_of_equal_rows_is_finite() -> None:
    assert np.isfinite(shrunk_covariance(np.ones((20, 3)))).all()
