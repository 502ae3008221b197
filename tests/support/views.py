"""Snapshots for tests of the rules, built from a few numbers."""

from decimal import Decimal
from typing import Any

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.regime import Level, RegimeReading
from ocw_mcp.domain.snapshot import Correlation, IndicatorValues, PositionView, Snapshot, SymbolView, SymbolViews
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import DAY, HOUR
from ocw_mcp.domain.unknown import Unknown
from tests.support.runs import policies

D = Decimal
NOON = 500_000 * HOUR
NOTHING = Unknown("needs 50 candles, has 3")

RULES = {
    "timeframe": "1h",
    "entry_size": "0.25",
    "adx_range": 20,
    "adx_trend": 30,
    "entry_score": 0.6,
    "exit_score": 0.3,
    "derivatives_tilt": 0.2,
    "rsi_too_high": 80,
    "rsi_too_low": 20,
    "stop_atr": 2.5,
    "trail_atr": 3.0,
}
POLICIES = policies(stop={"max_distance": "0.05"}, rules=RULES)

RISING = IndicatorValues(
    "1h",
    200,
    close=100.0,
    ema_9=99.0,
    ema_21=97.0,
    ema_50=93.0,
    rsi_14=72.0,
    atr_14=1.0,
    adx_14=40.0,
    percent_b=0.9,
)
"""An upward trend: the score is momentum only."""
FALLING = msgspec.structs.replace(RISING, ema_9=101.0, ema_21=103.0, ema_50=107.0, rsi_14=28.0, percent_b=0.1)
LOW_IN_RANGE = msgspec.structs.replace(
    RISING, ema_9=100.0, ema_21=100.0, ema_50=100.0, rsi_14=27.0, adx_14=12.0, percent_b=-0.05
)
"""Far below the middle of a range: the score is mean reversion only, in favour of a long."""
HIGH_IN_RANGE = msgspec.structs.replace(LOW_IN_RANGE, rsi_14=73.0, percent_b=1.05)
FLAT = msgspec.structs.replace(LOW_IN_RANGE, rsi_14=50.0, percent_b=0.5)


def values(base: IndicatorValues, **changes: Any) -> IndicatorValues:
    """Return indicators with some values changed."""
    return msgspec.structs.replace(base, **changes)


def turbulent(probability: float, since: int = NOON - HOUR) -> RegimeReading:
    """Return a turbulent regime with a probability, which began at `since` (ms)."""
    rest = 1 - probability
    return RegimeReading(
        since, Level.TURBULENT, probability, 2, (rest / 2, rest / 2, probability), 9.0, since, 0.8, since - DAY
    )


def holding(quantity: str, symbol: str = "BTCUSDT", **changes: Any) -> PositionView:
    """Return a position opened at 100 an hour ago, with a gain of 1 and its stop at a distance of 4."""
    sign = 1 if D(quantity) > 0 else -1
    held = PositionView(
        symbol,
        D(quantity),
        average_price=D(100),
        mark=D(100) + sign,
        unrealised=abs(D(quantity)),
        opened_at=NOON - HOUR,
        stop=D(100) - 4 * sign,
        mfe=0.01,
        mae=0.0,
    )
    return msgspec.structs.replace(held, **changes)


def view(
    *indicators: IndicatorValues,
    symbol: str = "BTCUSDT",
    position: PositionView | None = None,
    last: Any = 100.0,
    return_4h: Any = 0.0,
    **more: Any,
) -> SymbolView:
    """Return the view of one symbol."""
    return SymbolView(symbol, last, 0, indicators, position, return_4h=return_4h, **more)


def snapshot(
    *views: SymbolView,
    product: Product = Product.UM,
    scale: str = "0.5",
    equity: str = "10000",
    correlations: tuple[Correlation, ...] = (),
) -> Snapshot:
    """Return a snapshot of some views at noon."""
    return Snapshot(
        at=NOON,
        product=product,
        state=TradingState.ACTIVE,
        equity=D(equity),
        symbols=SymbolViews.of(views),
        wake=(),
        regime=Unknown("no source"),
        macro=Unknown("no source"),
        scale=D(scale),
        correlations=correlations,
    )
