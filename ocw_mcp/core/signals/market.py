"""The signals from prices and volumes: trend, reversion and volume."""

from typing import Final

from ocw_mcp.core.signals.signal import Group, Signal, between, in_atrs, on, opposite, scaled
from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView
from ocw_mcp.domain.unknown import Reading, Unknown


def _fast_ema(values: IndicatorValues) -> Reading:
    return in_atrs(values, between(values.ema_9, values.ema_21))


def _slow_ema(values: IndicatorValues) -> Reading:
    return in_atrs(values, between(values.ema_21, values.ema_50), 2.0)


def _macd(values: IndicatorValues) -> Reading:
    return in_atrs(values, values.macd_histogram, 0.25)


def _rsi(values: IndicatorValues) -> Reading:
    return opposite(scaled(values.rsi_14, 20.0, 50.0))


def _bands(values: IndicatorValues) -> Reading:
    return opposite(scaled(values.percent_b, 0.4, 0.5))


def _vwap(values: IndicatorValues) -> Reading:
    return opposite(scaled(values.vwap_deviation, 0.02))


def _money_flow(values: IndicatorValues) -> Reading:
    return scaled(values.mfi_14, 25.0, 50.0)


def _volume_flow(values: IndicatorValues) -> Reading:
    return scaled(values.obv_change_14, 0.3)


def _divergence(values: IndicatorValues) -> Reading:
    return scaled(values.obv_divergence_14, 0.3)


def _day_range(view: SymbolView, snapshot: Snapshot) -> Reading:
    low, high, last = view.day_low, view.day_high, view.last
    if isinstance(low, Unknown) or isinstance(high, Unknown) or isinstance(last, Unknown):
        return Unknown("the range of the day is not known")
    return 1 - 2 * (last - low) / (high - low) if high > low else Unknown("the price has not moved today")


TREND: Final = (
    Signal("return_4h", Group.TREND, "the price rose in 4 hours", lambda view, _: scaled(view.return_4h, 0.02)),
    Signal("return_24h", Group.TREND, "the price rose in 24 hours", lambda view, _: scaled(view.return_24h, 0.05)),
    Signal("ema_fast_1h", Group.TREND, "EMA 9 is above EMA 21 on 1h", on("1h", _fast_ema)),
    Signal("ema_fast_4h", Group.TREND, "EMA 9 is above EMA 21 on 4h", on("4h", _fast_ema)),
    Signal("ema_slow_1h", Group.TREND, "EMA 21 is above EMA 50 on 1h", on("1h", _slow_ema)),
    Signal("ema_slow_4h", Group.TREND, "EMA 21 is above EMA 50 on 4h", on("4h", _slow_ema)),
    Signal("macd_1h", Group.TREND, "MACD is above its signal line on 1h", on("1h", _macd)),
    Signal("macd_4h", Group.TREND, "MACD is above its signal line on 4h", on("4h", _macd)),
    Signal("supertrend_4h", Group.TREND, "Supertrend is up on 4h", on("4h", lambda each: each.supertrend_direction)),
)
REVERSION: Final = (
    Signal("rsi_15m", Group.REVERSION, "RSI 14 is low on 15m", on("15m", _rsi)),
    Signal("rsi_1h", Group.REVERSION, "RSI 14 is low on 1h", on("1h", _rsi)),
    Signal("rsi_4h", Group.REVERSION, "RSI 14 is low on 4h", on("4h", _rsi)),
    Signal("bands_1h", Group.REVERSION, "the price is near the lower Bollinger band on 1h", on("1h", _bands)),
    Signal("bands_4h", Group.REVERSION, "the price is near the lower Bollinger band on 4h", on("4h", _bands)),
    Signal("vwap_1h", Group.REVERSION, "the price is below the day's VWAP", on("1h", _vwap)),
    Signal("day_range", Group.REVERSION, "the price is low in the range of the day", _day_range),
)
VOLUME: Final = (
    Signal("money_flow_1h", Group.VOLUME, "MFI 14 is high on 1h", on("1h", _money_flow)),
    Signal("money_flow_4h", Group.VOLUME, "MFI 14 is high on 4h", on("4h", _money_flow)),
    Signal("volume_flow_1h", Group.VOLUME, "OBV rose over 14 candles of 1h", on("1h", _volume_flow)),
    Signal("volume_flow_4h", Group.VOLUME, "OBV rose over 14 candles of 4h", on("4h", _volume_flow)),
    Signal("divergence_1h", Group.VOLUME, "volume flows in while the price falls on 1h", on("1h", _divergence)),
    Signal("divergence_4h", Group.VOLUME, "volume flows in while the price falls on 4h", on("4h", _divergence)),
)
