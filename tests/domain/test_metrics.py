"""The metrics: the same names in snapshots, tools and wake conditions, and the spellings that are taken."""

from pathlib import Path

import pytest

from ocw_mcp.domain.metrics import (
    DERIVATIVES,
    INDICATORS,
    PLAIN,
    TIMEFRAMES,
    is_metric,
    metric_on,
    no_metric,
    spelt_metric,
)
from ocw_mcp.domain.snapshot import DerivativesView, IndicatorValues
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.price_board import read_metric
from tests.support.facades import FacadeRun


def test_each_reading_of_a_snapshot_is_a_metric() -> None:
    assert set(INDICATORS) == set(IndicatorValues.__struct_fields__) - {"timeframe", "candles", "closed_at"}
    assert DerivativesView.__struct_fields__ == (*DERIVATIVES, "parts", "extremes", "as_of")


async def test_a_condition_reads_what_the_snapshot_shows(tmp_path: Path) -> None:
    looked = await FacadeRun(tmp_path, warmup_days=2).go(6)
    view = looked.facade.symbol("BTCUSDT")
    engine = looked.run.engine
    for metric in (*PLAIN, *(f"{name}@{timeframe}" for name in INDICATORS for timeframe in TIMEFRAMES)):
        assert is_metric(metric)
        assert read_metric(engine.market, "BTCUSDT", metric) == view.reading(metric), metric


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("price", "price"),
        ("last", "price"),
        ("ret_4h", "return_4h"),
        ("return_24h", "return_24h"),
        ("rsi14@1h", "rsi_14@1h"),
        (" RSI_14 @ 1H ", "rsi_14@1h"),
        ("macd_hist@4h", "macd_histogram@4h"),
        ("%b@15m", "percent_b@15m"),
        ("adx@1h", "adx_14@1h"),
        ("funding8h", "funding_8h"),
    ],
)
def test_an_obvious_spelling_is_taken(text: str, metric: str) -> None:
    assert spelt_metric(text) == metric


@pytest.mark.parametrize(
    ("name", "timeframe", "metric"),
    [
        ("rsi_14", "1h", "rsi_14@1h"),
        ("rsi14", " 4H ", "rsi_14@4h"),
        ("rsi_14@1h", "1h", "rsi_14@1h"),
        ("rsi_14@1h", "", "rsi_14@1h"),
        ("price", "", "price"),
    ],
)
def test_name_and_timeframe_make_a_metric(name: str, timeframe: str, metric: str) -> None:
    assert metric_on(name, timeframe) == metric
    assert is_metric(metric)


@pytest.mark.parametrize(
    ("name", "timeframe", "nearest"),
    [
        ("rsi_14", "", "rsi_14@15m, rsi_14@1h, rsi_14@4h"),
        ("rsi_14@1h", "4h", "rsi_14@15m, rsi_14@1h, rsi_14@4h"),
        ("rsi_14", "2h", "rsi_14@15m, rsi_14@1h, rsi_14@4h"),
        ("price", "1h", "price"),
    ],
)
def test_name_that_lacks_its_timeframe_is_no_metric(name: str, timeframe: str, nearest: str) -> None:
    metric = metric_on(name, timeframe)
    assert not is_metric(metric)
    assert f"nearest: {nearest}" in no_metric(metric).reason


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("rsi@1h", "rsi_7@1h, rsi_14@1h"),
        ("ema@4h", "ema_9@4h"),
        ("rsi_14", "rsi_14@15m, rsi_14@1h, rsi_14@4h"),
        ("vwap@1h", "vwap_deviation@1h"),
        ("return_2h", "return_24h, return_4h, return_1h"),
        ("rsi_14@2h", "rsi_14@15m, rsi_14@1h, rsi_14@4h"),
        ("price@1h", "price"),
    ],
)
def test_an_ambiguous_spelling_is_refused_with_the_nearest(text: str, nearest: str) -> None:
    assert spelt_metric(text) == text
    found = no_metric(text)
    assert isinstance(found, Unknown)
    assert nearest in found.reason
