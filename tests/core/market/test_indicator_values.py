"""Indicators: Unknown until there is enough, and then what others compute, too."""

import csv
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from talipp.indicators import ADX, ATR, EMA, RSI
from talipp.ohlcv import OHLCV

from ocw_mcp.core.market.indicators import ON_CLOSE
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.time import DAY
from ocw_mcp.domain.unknown import Reading, Unknown

SYMBOL = "SOLUSDT"
NEEDS = {"ema_9": 9, "ema_21": 21, "ema_50": 50, "rsi_14": 15, "atr_14": 15, "adx_14": 28}
INDICATORS = Path(__file__).resolve().parents[3].parent / "shared" / "oracles" / "indicators"


def wavy(count: int) -> list[Candle]:
    """Daily candles that rise and fall at several rhythms."""
    closes = [
        100 + 12 * math.sin(day / 9) + 5 * math.sin(day * 1.7) + 2 * math.sin(day * day / 31) for day in range(count)
    ]
    return [
        Candle(SYMBOL, day * DAY, DAY, first, max(first, last) + 0.4 + day % 3, min(first, last) - 0.3, last, 10.0)
        for day, (first, last) in enumerate(pairwise([100.0, *closes]))
    ]


def run(candles: list[Candle]) -> list[dict[str, Reading]]:
    """The indicators after each candle."""
    symbol = Market(DAY, (SYMBOL,)).symbols[SYMBOL]
    values = []
    for candle in candles:
        symbol.close(candle)
        values.append(symbol.indicators()[0][3])
    return values


def number(reading: Reading) -> float:
    assert isinstance(reading, float)
    return reading


@pytest.mark.parametrize("name", NEEDS)
def test_an_indicator_is_unknown_below_its_need_and_known_from_there_on(name: str) -> None:
    values = [after[name] for after in run(wavy(NEEDS[name] + 5))]
    known = [not isinstance(value, Unknown) for value in values]
    assert known == [False] * (NEEDS[name] - 1) + [True] * 6
    assert values[2] == Unknown(f"needs {NEEDS[name]} candles, has 3")
    assert all(math.isfinite(number(value)) for value in values[NEEDS[name] - 1 :])


def test_before_the_first_candle_everything_is_unknown() -> None:
    interval, count, close, values = Market(DAY, (SYMBOL,)).symbols[SYMBOL].indicators()[0]
    assert (interval, count) == (DAY, 0)
    assert isinstance(close, Unknown)
    assert set(values) == set(NEEDS)
    assert all(isinstance(value, Unknown) for value in values.values())


def test_a_market_that_never_moves_still_gives_numbers() -> None:
    flat = [Candle(SYMBOL, day * DAY, DAY, 5.0, 5.0, 5.0, 5.0, 0.0) for day in range(60)]
    values = run(flat)[-1]
    assert all(math.isfinite(number(value)) for value in values.values())
    assert (values["ema_9"], values["ema_50"], values["atr_14"]) == (5.0, 5.0, 0.0)


def test_the_first_ema_is_the_plain_average_and_the_next_one_moves_by_its_weight() -> None:
    candles = wavy(10)
    closes = [candle.close for candle in candles]
    first, second = (number(after["ema_9"]) for after in run(candles)[8:])
    assert first == pytest.approx(sum(closes[:9]) / 9, rel=1e-12)
    assert second == pytest.approx(first + (closes[9] - first) * 2 / 10, rel=1e-12)


def test_a_market_that_only_rises_has_full_strength_and_trend() -> None:
    rising = [
        Candle(SYMBOL, day * DAY, DAY, 100.0 + day, 101.0 + day, 99.5 + day, 100.5 + day, 1.0) for day in range(60)
    ]
    values = run(rising)[-1]
    assert number(values["rsi_14"]) == pytest.approx(100)
    assert number(values["adx_14"]) == pytest.approx(100)
    assert number(values["ema_9"]) > number(values["ema_21"]) > number(values["ema_50"])


def test_talipp_agrees_after_the_warm_up() -> None:
    candles = wavy(700)
    closes = [candle.close for candle in candles]
    bars = [OHLCV(each.open, each.high, each.low, each.close, each.volume) for each in candles]
    theirs: dict[str, list[Any]] = {
        "ema_9": list(EMA(9, closes)),
        "ema_21": list(EMA(21, closes)),
        "ema_50": list(EMA(50, closes)),
        "rsi_14": list(RSI(14, closes)),
        "atr_14": list(ATR(14, bars)),
        "adx_14": [value.adx if value else None for value in ADX(14, 14, bars)],
    }
    for index, ours in list(enumerate(run(candles)))[400:]:
        for name, values in theirs.items():
            assert number(ours[name]) == pytest.approx(values[index], rel=1e-9), f"{name} at {index}"


@pytest.fixture(scope="module")
def standard() -> list[Candle]:
    """The candles on which the oracles were computed."""
    path = INDICATORS / "default.csv"
    if not path.is_file():
        pytest.skip("the indicator oracles are not beside this checkout (expected ../shared/oracles/indicators)")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Candle(
                SYMBOL,
                day * DAY,
                DAY,
                float(row["open"]),
                float(row["high"]),
                float(row["low"]),
                float(row["close"]),
                float(row["volume"]),
            )
            for day, row in enumerate(csv.DictReader(file))
        ]


def oracle(name: str) -> list[float | None]:
    """One value a candle, None in the warm-up."""
    rows = json.loads((INDICATORS / f"{name}.standard.json").read_text(encoding="utf-8"))
    return [row[name] for row in rows]


@pytest.mark.parametrize(
    ("name", "ours", "from_candle"), [("rsi", "rsi_14", 14), ("atr", "atr_14", 14), ("adx", "adx_14", 350)]
)
def test_the_oracle_agrees(standard: list[Candle], name: str, ours: str, from_candle: int) -> None:
    expected = oracle(name)
    values = run(standard)
    assert len(values) == len(expected) == 502
    for index in range(from_candle, 502):
        assert number(values[index][ours]) == pytest.approx(expected[index], rel=1e-9), f"{name} at {index}"


def test_the_oracle_of_the_ema_agrees_at_its_own_period(standard: list[Candle]) -> None:
    closes = np.array([candle.close for candle in standard])
    handle = ON_CLOSE["ema_21"].open(closes[:20], timeperiod=20)
    expected = oracle("ema")
    for index in range(20, 502):
        handle.update(closes[index])
        assert float(handle.value) == pytest.approx(expected[index], rel=1e-12)


def test_adx_differs_from_the_oracle_in_its_seed_only(standard: list[Candle]) -> None:
    expected = oracle("adx")
    values = run(standard)
    gaps = [abs(number(values[index]["adx_14"]) - (expected[index] or 0.0)) for index in (28, 60, 100, 200)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] < 1
    assert gaps[-1] < 1e-4
