"""The plain rule: follow the trend of one timeframe, get out when it turns.

A long opens when EMA 9 > EMA 21 > EMA 50 while ADX says there is a trend and RSI does not say that it is late; a short
the other way round, where the product has shorts. A position closes when EMA 9 crosses back over EMA 21. The stop lies
a number of ATRs away, no farther than the stop policy allows. What is unknown opens nothing.
"""

from decimal import Decimal

from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ONE, exact
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import IndicatorValues, Snapshot, SymbolView
from ocw_mcp.domain.time import span_ms
from ocw_mcp.domain.unknown import Unknown


def decide(snapshot: Snapshot, policies: Policies) -> Decision:
    """One leg per symbol that the rule has something to do with; holding needs no leg."""
    legs = tuple(
        leg for view in snapshot.symbols if (leg := _leg(view, snapshot, policies)) and leg.action is not Action.HOLD
    )
    return Decision(legs=legs, cause="" if legs else "rules: nothing to do")


def _leg(view: SymbolView, snapshot: Snapshot, policies: Policies) -> Leg | None:
    values = _timeframe(view, span_ms(policies.rules.timeframe))
    if values is None or isinstance(values.ema_9, Unknown) or isinstance(values.ema_21, Unknown):
        return None
    if view.position is not None:
        long = view.position.quantity > 0
        turned = values.ema_9 < values.ema_21 if long else values.ema_9 > values.ema_21
        if not turned:
            return None
        return Leg(
            view.symbol,
            Action.SELL if long else Action.COVER,
            reasoning=f"EMA 9 crossed back over EMA 21 on {values.timeframe}",
            signals=("ema_cross",),
        )
    return _entry(view, values, snapshot, policies)


def _entry(view: SymbolView, values: IndicatorValues, snapshot: Snapshot, policies: Policies) -> Leg | None:
    rules = policies.rules
    last, fast, middle, slow, rsi, atr, adx = (
        view.last,
        values.ema_9,
        values.ema_21,
        values.ema_50,
        values.rsi_14,
        values.atr_14,
        values.adx_14,
    )
    if (
        isinstance(last, Unknown)
        or isinstance(fast, Unknown)
        or isinstance(middle, Unknown)
        or isinstance(slow, Unknown)
        or isinstance(rsi, Unknown)
        or isinstance(atr, Unknown)
        or isinstance(adx, Unknown)
        or adx < rules.adx_trend
    ):
        return None
    distance = min(rules.stop_atr * atr / last, float(policies.stop.max_distance) * 0.98)
    if fast > middle > slow and rsi < rules.rsi_too_high:
        action, stop = Action.BUY, last * (1 - distance)
    elif fast < middle < slow and rsi > rules.rsi_too_low and snapshot.product is Product.UM:
        action, stop = Action.SHORT, last * (1 + distance)
    else:
        return None
    return Leg(
        view.symbol,
        action,
        size=_size(snapshot, policies),
        stop=_significant(stop),
        confidence=min(1.0, adx / 50),
        reasoning=f"EMA 9, 21, 50 in order on {values.timeframe}, ADX {adx:.0f}, RSI {rsi:.0f}",
        signals=("ema_cross", "adx", "rsi"),
    )


def _size(snapshot: Snapshot, policies: Policies) -> Decimal:
    """The share of equity the rules put on, scaled, and no more than one order may be: they know the limits, too."""
    wished = policies.rules.entry_size * snapshot.scale
    if snapshot.equity <= 0:
        return wished
    return min(ONE, wished, policies.position.max_share, policies.order.max_notional / snapshot.equity)


def _timeframe(view: SymbolView, wanted: int) -> IndicatorValues | None:
    """The shortest timeframe that is not shorter than the wanted one."""
    return next((each for each in view.indicators if span_ms(each.timeframe) >= wanted), None)


def _significant(price: float) -> Decimal:
    """Eight significant digits are more than any tick asks for; the desk rounds to the tick."""
    return exact(float(f"{price:.8g}"))
