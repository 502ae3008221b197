"""Indicators: Unknown below the required number of candles, then equal to other implementations."""

import csv
import json
import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from talipp.indicators import ADX, ATR, BB, EMA, MACD, OBV, RSI, VWAP, StochRSI, SuperTrend
from talipp.indicators.SuperTrend import Trend
from talipp.ohlcv import OHLCV

from ocw_mcp.core.market.indicators import ON_CLOSE
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.snapshot import IndicatorValues
from ocw_mcp.domain.time import DAY, MINUTE
from ocw_mcp.domain.unknown import Reading, Unknown
from tests.support.examples import examples

SYMBOL = "SOLUSDT"
NEEDS = {
    "ema_9": 9,
    "ema_21": 21,
    "ema_50": 50,
    "rsi_7": 8,
    "rsi_14": 15,
    "stoch_rsi_k": 28,
    "stoch_rsi_d": 30,
    "macd": 34,
    "macd_signal": 34,
    "macd_histogram": 34,
    "percent_b": 20,
    "bandwidth": 20,
    "atr_14": 15,
    "mfi_14": 15,
    "obv_change_14": 15,
    "obv_divergence_14": 15,
    "supertrend": 11,
    "supertrend_direction": 11,
    "adx_14": 28,
}
"""Candles that each indicator requires; `vwap_deviation` is absent since it requires the beginning of a day."""
RANGES = {
    "rsi_7": (0, 100),
    "rsi_14": (0, 100),
    "stoch_rsi_k": (0, 100),
    "stoch_rsi_d": (0, 100),
    "mfi_14": (0, 100),
    "adx_14": (0, 100),
    "obv_change_14": (-1, 1),
    "obv_divergence_14": (-1, 1),
    "supertrend_direction": (-1, 1),
}
INDICATORS = Path(__file__).resolve().parents[3].parent / "shared" / "oracles" / "indicators"


def wavy(count: int) -> list[Candle]:
    """Return daily candles whose price is a sum of several waves."""
    closes = [
        100 + 12 * math.sin(day / 9) + 5 * math.sin(day * 1.7) + 2 * math.sin(day * day / 31) for day in range(count)
    ]
    return [
        Candle(SYMBOL, day * DAY, DAY, first, max(first, last) + 0.4 + day % 3, min(first, last) - 0.3, last, 10.0)
        for day, (first, last) in enumerate(pairwise([100.0, *closes]))
    ]


def run(candles: list[Candle]) -> list[Mapping[str, Reading]]:
    """Return the indicators of the base timeframe after each candle."""
    symbol = Market(candles[0].interval, (SYMBOL,)).symbols[SYMBOL]
    values = []
    for candle in candles:
        symbol.close(candle)
        values.append(symbol.indicators()[0].values)
    return values


def quarters(candles: list[Candle], begin: int = 0) -> list[Candle]:
    """Return the same candles as 15-minute candles from `begin` (ms) on."""
    span = 15 * MINUTE
    return [
        msgspec.structs.replace(each, open_time=begin + place * span, interval=span)
        for place, each in enumerate(candles)
    ]


def number(reading: Reading) -> float:
    assert isinstance(reading, float)
    return reading


@pytest.mark.parametrize("name", NEEDS)
def test_indicator_is_known_once_it_has_its_required_candles(name: str) -> None:
    values = [after[name] for after in run(wavy(NEEDS[name] + 5))]
    known = [not isinstance(value, Unknown) for value in values]
    assert known == [False] * (NEEDS[name] - 1) + [True] * 6
    assert values[2] == Unknown(f"needs {NEEDS[name]} candles, has 3")
    assert all(math.isfinite(number(value)) for value in values[NEEDS[name] - 1 :])


def test_every_indicator_is_unknown_before_the_first_candle() -> None:
    interval, count, close, values, closed_at = Market(DAY, (SYMBOL,)).symbols[SYMBOL].indicators()[0]
    assert (interval, count, closed_at) == (DAY, 0, None)
    assert isinstance(close, Unknown)
    assert set(values) == {*NEEDS, "vwap_deviation"} == set(IndicatorValues.__struct_fields__[3:-1])
    assert all(isinstance(value, Unknown) for value in values.values())


@pytest.mark.parametrize("volume", [0.0, 7.0])
def test_indicators_of_a_flat_market_are_neutral_or_unknown(volume: float) -> None:
    flat = [Candle(SYMBOL, day * DAY, DAY, 5.0, 5.0, 5.0, 5.0, volume) for day in range(60)]
    values = run(quarters(flat))[-1]
    known = {name: value for name, value in values.items() if not isinstance(value, Unknown)}
    constant = {"ema_9": 5.0, "ema_21": 5.0, "ema_50": 5.0, "macd": 0.0, "macd_signal": 0.0, "macd_histogram": 0.0}
    traded = {"vwap_deviation": 0.0, "obv_change_14": 0.0} if volume else {}
    assert known == {**constant, "bandwidth": 0.0, "atr_14": 0.0, "adx_14": 0.0, **traded}
    assert values["rsi_14"] == values["supertrend_direction"] == Unknown("the price has never changed")
    assert values["stoch_rsi_k"] == Unknown("RSI has not changed in 14 candles")
    assert values["percent_b"] == Unknown("the bands have no width")
    assert values["mfi_14"] == Unknown("no volume at a changed price in 14 candles")


def test_only_volume_indicators_are_unknown_without_volume() -> None:
    without_volume = [msgspec.structs.replace(each, volume=0.0) for each in wavy(80)]
    values = run(quarters(without_volume))[-1]
    unknown = {name for name, value in values.items() if isinstance(value, Unknown)}
    assert unknown == {"mfi_14", "obv_change_14", "obv_divergence_14", "vwap_deviation"}
    assert values["vwap_deviation"] == Unknown("no volume since the UTC day began")


PRICES = st.sampled_from([1e-7, 0.003, 0.5, 7.0, 7.25, 64_000.0, 1e6])
MOVES = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.sampled_from([0, 0, 1, -1, 7, -60]),
        st.sampled_from([0.0, 1e-9, 3.0, 1e12]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@examples(10, slow=40)
@given(PRICES, MOVES)
def test_indicators_are_finite_and_in_range_on_any_market(
    price: float, stretches: list[tuple[int, int, float, bool]]
) -> None:
    symbol = Market(15 * MINUTE, (SYMBOL,)).symbols[SYMBOL]
    place = 0
    for length, move, volume, wicked in stretches:
        for _ in range(length):
            first, price = price, max(price * (1 + move / 1_000), 1e-9)
            wick = 1.002 if wicked else 1.0
            high, low = max(first, price) * wick, min(first, price) / wick
            symbol.close(Candle(SYMBOL, place * 15 * MINUTE, 15 * MINUTE, first, high, low, price, volume))
            place += 1
            both = [symbol.indicators()[0].values, *(each.values for each in symbol.forming())]
            for name, value in (item for values in both for item in values.items()):
                if isinstance(value, Unknown):
                    assert value.reason
                    continue
                assert math.isfinite(value), name
                lowest, highest = RANGES.get(name, (-math.inf, math.inf))
                assert lowest - 1e-9 <= value <= highest + 1e-9, f"{name} is {value}"


def test_ema_begins_with_the_simple_average() -> None:
    candles = wavy(10)
    closes = [candle.close for candle in candles]
    first, second = (number(after["ema_9"]) for after in run(candles)[8:])
    assert first == pytest.approx(sum(closes[:9]) / 9, rel=1e-12)
    assert second == pytest.approx(first + (closes[9] - first) * 2 / 10, rel=1e-12)


def test_rising_market_has_rsi_and_adx_of_100() -> None:
    rising = [
        Candle(SYMBOL, day * DAY, DAY, 100.0 + day, 101.0 + day, 99.5 + day, 100.5 + day, 1.0) for day in range(60)
    ]
    values = run(rising)[-1]
    assert number(values["rsi_14"]) == pytest.approx(100)
    assert number(values["adx_14"]) == pytest.approx(100)
    assert number(values["ema_9"]) > number(values["ema_21"]) > number(values["ema_50"])


def money_flow_index(candles: list[Candle]) -> float:
    """Return MFI over all changes in `candles`, as G. Quong and A. Soudack defined it (1989); talipp lacks it."""
    typical = [(each.high + each.low + each.close) / 3 for each in candles]
    flows = [(b - a, b * each.volume) for (a, b), each in zip(pairwise(typical), candles[1:], strict=True)]
    total = sum(flow for change, flow in flows if change)
    return 100 * sum(flow for change, flow in flows if change > 0) / total if total else 50.0


def test_indicators_equal_talipp_after_the_warm_up() -> None:
    candles = wavy(700)
    closes = [candle.close for candle in candles]
    bars = [OHLCV(each.open, each.high, each.low, each.close, each.volume) for each in candles]
    bands = BB(20, 2, closes)
    macd, trend, stochastic = MACD(12, 26, 9, closes), SuperTrend(10, 3, bars), StochRSI(14, 14, 1, 3, closes)
    obv = list(OBV(bars))
    reference: dict[str, list[Any]] = {
        "ema_9": list(EMA(9, closes)),
        "ema_21": list(EMA(21, closes)),
        "ema_50": list(EMA(50, closes)),
        "rsi_7": list(RSI(7, closes)),
        "rsi_14": list(RSI(14, closes)),
        "stoch_rsi_k": [value.k if value else None for value in stochastic],
        "stoch_rsi_d": [value.d if value else None for value in stochastic],
        "macd": [value.macd if value else None for value in macd],
        "macd_signal": [value.signal if value else None for value in macd],
        "macd_histogram": [value.histogram if value else None for value in macd],
        "percent_b": [(c - v.lb) / (v.ub - v.lb) if v else None for c, v in zip(closes, bands, strict=True)],
        "bandwidth": [(v.ub - v.lb) / v.cb if v else None for v in bands],
        "atr_14": list(ATR(14, bars)),
        "mfi_14": [money_flow_index(candles[max(0, n - 14) : n + 1]) for n in range(700)],
        "obv_change_14": [
            (obv[n] - obv[n - 14]) / sum(each.volume for each in candles[n - 13 : n + 1]) if n > 14 else None
            for n in range(700)
        ],
        "supertrend": [value.value if value else None for value in trend],
        "supertrend_direction": [1.0 if value and value.trend is Trend.UP else -1.0 for value in trend],
        "adx_14": [value.adx if value else None for value in ADX(14, 14, bars)],
    }
    for index, ours in list(enumerate(run(candles)))[400:]:
        for name, values in reference.items():
            assert number(ours[name]) == pytest.approx(values[index], rel=1e-9, abs=1e-9), f"{name} at {index}"


def test_vwap_equals_talipp_and_restarts_at_midnight() -> None:
    candles = quarters(wavy(3 * 96))
    values = run(candles)
    for day in range(3):
        inside = candles[day * 96 : (day + 1) * 96]
        reference = list(VWAP([OHLCV(each.open, each.high, each.low, each.close, each.volume) for each in inside]))
        for place, (each, average) in enumerate(zip(inside, reference, strict=True)):
            ours = number(values[day * 96 + place]["vwap_deviation"])
            assert ours == pytest.approx(each.close / average - 1, rel=1e-9, abs=1e-12)


def test_vwap_is_unknown_if_the_beginning_of_the_day_is_missing() -> None:
    values = [after["vwap_deviation"] for after in run(quarters(wavy(100), begin=5 * 15 * MINUTE))]
    assert values[0] == values[90] == Unknown("the UTC day began before the first candle")
    assert all(isinstance(value, float) for value in values[91:])
    assert run(wavy(3))[-1]["vwap_deviation"] == Unknown("needs candles shorter than a day")


@pytest.mark.parametrize(("sign", "volumes", "expected"), [(1, (9, 1), -0.65), (-1, (9, 1), 0.65), (1, (1, 9), 0.0)])
def test_volume_flowing_against_the_price_gives_a_divergence(
    sign: int, volumes: tuple[float, float], expected: float
) -> None:
    price, candles = 100.0, []
    for place in range(15):  # seven steps back by 1 on one volume, seven ahead by 3 on the other
        back = place % 2 == 1
        last = price if place == 0 else price + sign * (-1 if back else 3)
        volume = volumes[0] if back else volumes[1]
        candles.append(Candle(SYMBOL, place * DAY, DAY, price, max(price, last), min(price, last), last, volume))
        price = last
    values = run(candles)[-1]
    assert number(values["obv_change_14"]) == pytest.approx(sign * (volumes[1] - volumes[0]) / 10)
    assert number(values["obv_divergence_14"]) == pytest.approx(expected)


@pytest.fixture(scope="module")
def standard() -> list[Candle]:
    """The candles from which the oracle values were computed."""
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


def oracle(name: str, column: str) -> list[float | None]:
    """Return one value per candle, None in the warm-up."""
    rows = json.loads((INDICATORS / f"{name}.standard.json").read_text(encoding="utf-8"))
    return [row[column] for row in rows]


@pytest.mark.parametrize(
    ("file", "column", "ours", "from_candle"),
    [
        ("rsi", "rsi", "rsi_14", 14),
        ("atr", "atr", "atr_14", 14),
        ("adx", "adx", "adx_14", 350),
        ("stoch-rsi", "stochRsi", "stoch_rsi_k", 29),
        ("stoch-rsi", "signal", "stoch_rsi_d", 31),
        ("macd", "macd", "macd", 250),
        ("macd", "signal", "macd_signal", 250),
        ("macd", "histogram", "macd_histogram", 300),
        ("bb", "percentB", "percent_b", 19),
        ("bb", "width", "bandwidth", 19),
        ("mfi", "mfi", "mfi_14", 14),
        ("supertrend", "superTrend", "supertrend", 10),
    ],
)
def test_indicators_equal_the_oracle(
    standard: list[Candle], file: str, column: str, ours: str, from_candle: int
) -> None:
    expected = oracle(file, column)
    values = run(standard)
    assert len(values) == len(expected) == 502
    for index in range(from_candle, 502):
        value = number(values[index][ours])
        assert value == pytest.approx(expected[index], rel=1e-9, abs=1e-9), f"{ours} at {index}"


def test_supertrend_direction_equals_the_oracle(standard: list[Candle]) -> None:
    below = oracle("supertrend", "lowerBand")
    for index, values in list(enumerate(run(standard)))[10:]:
        assert values["supertrend_direction"] == (-1.0 if below[index] is None else 1.0)


def test_obv_changes_equal_the_oracle(standard: list[Candle]) -> None:
    level = [value or 0.0 for value in oracle("obv", "obv")]
    for index, values in list(enumerate(run(standard)))[14:]:
        traded = sum(each.volume for each in standard[index - 13 : index + 1])
        assert number(values["obv_change_14"]) == pytest.approx((level[index] - level[index - 14]) / traded, abs=1e-12)


def test_vwap_of_one_day_equals_the_oracle(standard: list[Candle]) -> None:
    expected = oracle("vwap", "vwap")
    for index, values in enumerate(run(quarters(standard[:96]))):
        average = expected[index]
        assert average is not None
        assert number(values["vwap_deviation"]) == pytest.approx(standard[index].close / average - 1, abs=1e-12)


def test_ema_20_equals_the_oracle(standard: list[Candle]) -> None:
    closes = np.array([candle.close for candle in standard])
    handle = ON_CLOSE["ema_21"].open(closes[:20], timeperiod=20)
    expected = oracle("ema", "ema")
    for index in range(20, 502):
        handle.update(closes[index])
        assert float(handle.value) == pytest.approx(expected[index], rel=1e-12)


def test_adx_differs_from_the_oracle_only_in_its_seed(standard: list[Candle]) -> None:
    expected = oracle("adx", "adx")
    values = run(standard)
    gaps = [abs(number(values[index]["adx_14"]) - (expected[index] or 0.0)) for index in (28, 60, 100, 200)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] < 1
    assert gaps[-1] < 1e-4
