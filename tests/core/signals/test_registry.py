"""The registry of signals: bounded values with a direction, and nothing from unknown readings."""

from typing import Any

import msgspec
import pytest

from ocw_mcp.core.signals import GROUPS, SIGNALS, read_all, unknown_names
from ocw_mcp.core.signals.signal import Group
from ocw_mcp.domain.anomaly import AnomalyReading
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.macro import MacroReading, Quadrant
from ocw_mcp.domain.regime import Level
from ocw_mcp.domain.snapshot import DerivativesView, IndicatorValues, SymbolView
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import NOON, RISING, snapshot, turbulent, view


def seen(sign: int) -> dict[str, float]:
    """The values on readings that every signal takes as a rise (1), or as a fall (−1)."""
    candles = [_candles(each, sign) for each in ("15m", "1h", "4h")]
    derivatives = DerivativesView(
        funding_8h=0.0001 - sign * 0.0004,
        open_interest_change_24h=0.1,
        taker_ratio_1h=1.5 if sign > 0 else 0.6,
        long_short_z=2.0 * sign,
        basis=-0.2 * sign,
    )
    changes: dict[str, Any] = {
        "return_24h": 0.06 * sign,
        "return_4h": 0.03 * sign,
        "return_1h": 0.02 * sign,
        "liquidations": 0.02 * sign,
        "anomaly": AnomalyReading(NOON, 9.0, 0.99, ()),
        "day_low": 99.0 if sign > 0 else 80.0,
        "day_high": 120.0 if sign > 0 else 101.0,
    }
    shown = msgspec.structs.replace(
        view(RISING), last=100.0, indicators=tuple(candles), derivatives=derivatives, **changes
    )
    quadrant = Quadrant.GOLDILOCKS if sign > 0 else Quadrant.STAGFLATION
    level = Level.CALM if sign > 0 else Level.TURBULENT
    taken = msgspec.structs.replace(
        snapshot(shown),
        macro=MacroReading(quadrant, 1.0 * sign, -1.0 * sign, NOON),
        regime=msgspec.structs.replace(turbulent(0.9), level=level),
        context=(ContextItem("fear_greed", NOON, NOON, value=10.0 if sign > 0 else 90.0),),
    )
    return read_all(shown, taken)


def _candles(timeframe: str, sign: int) -> IndicatorValues:
    return IndicatorValues(
        timeframe,
        200,
        close=100.0,
        ema_9=100.0 + 2 * sign,
        ema_21=100.0,
        ema_50=100.0 - 4 * sign,
        rsi_14=50.0 - 25 * sign,
        atr_14=1.0,
        adx_14=30.0,
        macd_histogram=1.0 * sign,
        percent_b=0.5 - 0.5 * sign,
        vwap_deviation=-0.03 * sign,
        mfi_14=50.0 + 30 * sign,
        obv_change_14=0.5 * sign,
        obv_divergence_14=0.5 * sign,
        supertrend_direction=1.0 * sign,
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_clear_readings_give_every_signal_its_direction(sign: int) -> None:
    values = seen(sign)
    assert values.keys() == SIGNALS.keys()
    # A price that jumped up is expected back.
    values["jump_back"] *= -1
    wrong = {name: value for name, value in values.items() if not 0.1 <= value * sign <= 1}
    assert not wrong


def test_unknown_readings_give_no_signal() -> None:
    reason = Unknown("not known")
    shown = SymbolView("BTCUSDT", reason, 0, (), None)
    taken = msgspec.structs.replace(snapshot(shown), regime=reason, macro=reason)
    assert read_all(shown, taken) == {}


def test_each_signal_has_a_group_and_a_meaning() -> None:
    assert 20 <= len(SIGNALS) <= 40
    assert set(GROUPS.values()) == {each.value for each in Group}
    assert all(name == each.name and each.meaning for name, each in SIGNALS.items())


def test_a_name_that_is_no_signal_gets_the_nearest_names() -> None:
    assert unknown_names(["rsi_1h"]) == []
    (wrong,) = unknown_names(["rsi1h"])
    assert "rsi_1h" in wrong
