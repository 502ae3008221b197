"""The decision of the rules: one leg for each symbol that they enter or exit.

The rules enter if the signals are strong enough. The stop is a number of ATRs away, but no farther than the stop policy
allows, and `sizing` computes the size. Exits follow `exits`. Unknown readings neither open nor close a position.
"""

from decimal import Decimal

from ocw_mcp.core.strategy.exits import exit_reason
from ocw_mcp.core.strategy.signals import Signals, read_signals
from ocw_mcp.core.strategy.sizing import Sizing
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import PositionView, Snapshot, SymbolView


def decide(snapshot: Snapshot, policies: Policies) -> Decision:
    """Return the decision for the whole portfolio. A symbol without a leg is held."""
    legs: list[Leg] = []
    sizing = Sizing(snapshot, policies)
    for view in snapshot.symbols.values():
        signals = read_signals(view, policies.rules)
        if view.position is not None:
            leg = _exit(view.position, signals, policies)
        else:
            leg = _entry(view, signals, snapshot, policies, sizing) if signals is not None else None
        if leg is not None:
            legs.append(leg)
    return Decision(legs=tuple(legs), cause=None if legs else Cause(CauseKind.NOTHING_TO_DO))


def _exit(position: PositionView, signals: Signals | None, policies: Policies) -> Leg | None:
    reason = exit_reason(position, signals, policies.rules)
    if reason is None:
        return None
    signal, explanation = reason
    action = Action.SELL if position.quantity > 0 else Action.COVER
    return Leg(position.symbol, action, reasoning=explanation, signals=(signal,))


def _entry(view: SymbolView, signals: Signals, snapshot: Snapshot, policies: Policies, sizing: Sizing) -> Leg | None:
    rules, score = policies.rules, signals.score
    if abs(score) < rules.entry_score:
        return None
    distance = min(rules.stop_atr * signals.atr / signals.last, float(policies.stop.max_distance) * 0.98)
    if score > 0:
        too_late, action, stop = signals.rsi >= rules.rsi_too_high, Action.BUY, signals.last * (1 - distance)
    else:
        too_late = signals.rsi <= rules.rsi_too_low or snapshot.product is not Product.UM
        action, stop = Action.SHORT, signals.last * (1 + distance)
    if too_late:
        return None
    stop_price = _rounded(stop)
    size = sizing.enter(view, 1 if score > 0 else -1, exact(signals.last), stop_price)
    if size is None:
        return None
    return Leg(
        view.symbol,
        action,
        size=size,
        stop=stop_price,
        confidence=abs(score),
        reasoning=_reasoning(signals),
        signals=_contributing(signals),
    )


def _reasoning(signals: Signals) -> str:
    tilt = f", derivatives {signals.tilt:+.2f}" if signals.tilt else ""
    return (
        f"on {signals.timeframe} momentum {signals.momentum:+.2f}, reversion {signals.reversion:+.2f}, "
        f"{signals.trend:.0%} trend by ADX {signals.adx:.0f}{tilt}: {signals.score:+.2f}"
    )


def _contributing(signals: Signals) -> tuple[str, ...]:
    """Return the names of the signals that favour the direction of the entry, the strongest first."""
    sign = 1 if signals.score > 0 else -1
    contributions = {
        "momentum": sign * signals.trend * signals.momentum,
        "reversion": sign * (1 - signals.trend) * signals.reversion,
        "derivatives": sign * signals.tilt,
    }
    return tuple(
        sorted((name for name, value in contributions.items() if value > 0), key=lambda name: -contributions[name])
    )


def _rounded(price: float) -> Decimal:
    """Return a price with eight significant digits, more than any tick needs; the order manager rounds to the tick."""
    return exact(float(f"{price:.8g}"))
