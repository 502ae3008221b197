"""The rules' decision: one leg for each symbol that they have something to do with.

They enter where the signals are strong enough, with a stop a number of ATRs away, no farther than the stop policy
allows and as large as `sizing` lets them, and leave by `exits`. What is unknown opens nothing, and closes nothing.
"""

from decimal import Decimal

from ocw_mcp.core.strategy.exits import exit_reason
from ocw_mcp.core.strategy.signals import Signals, read_signals
from ocw_mcp.core.strategy.sizing import Sizing
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import PositionView, Snapshot, SymbolView


def decide(snapshot: Snapshot, policies: Policies) -> Decision:
    """The decision for the whole portfolio; holding needs no leg."""
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
    return Decision(legs=tuple(legs), cause="" if legs else "rules: nothing to do")


def _exit(position: PositionView, signals: Signals | None, policies: Policies) -> Leg | None:
    reason = exit_reason(position, signals, policies.rules)
    if reason is None:
        return None
    signal, sentence = reason
    action = Action.SELL if position.quantity > 0 else Action.COVER
    return Leg(position.symbol, action, reasoning=sentence, signals=(signal,))


def _entry(view: SymbolView, signals: Signals, snapshot: Snapshot, policies: Policies, sizing: Sizing) -> Leg | None:
    rules, score = policies.rules, signals.score
    if abs(score) < rules.entry_score:
        return None
    distance = min(rules.stop_atr * signals.atr / signals.last, float(policies.stop.max_distance) * 0.98)
    if score > 0:
        late, action, stop = signals.rsi >= rules.rsi_too_high, Action.BUY, signals.last * (1 - distance)
    else:
        late = signals.rsi <= rules.rsi_too_low or snapshot.product is not Product.UM
        action, stop = Action.SHORT, signals.last * (1 + distance)
    if late:
        return None
    at = _significant(stop)
    size = sizing.enter(view, 1 if score > 0 else -1, exact(signals.last), at)
    if size is None:
        return None
    return Leg(
        view.symbol,
        action,
        size=size,
        stop=at,
        confidence=abs(score),
        reasoning=_sentence(signals),
        signals=_used(signals),
    )


def _sentence(signals: Signals) -> str:
    tilt = f", derivatives {signals.tilt:+.2f}" if signals.tilt else ""
    return (
        f"on {signals.timeframe} momentum {signals.momentum:+.2f}, reversion {signals.reversion:+.2f}, "
        f"{signals.trend:.0%} trend by ADX {signals.adx:.0f}{tilt}: {signals.score:+.2f}"
    )


def _used(signals: Signals) -> tuple[str, ...]:
    """The signals that pulled the way of the entry, the strongest first."""
    way = 1 if signals.score > 0 else -1
    pulls = {
        "momentum": way * signals.trend * signals.momentum,
        "reversion": way * (1 - signals.trend) * signals.reversion,
        "derivatives": way * signals.tilt,
    }
    return tuple(sorted((name for name, pull in pulls.items() if pull > 0), key=lambda name: -pulls[name]))


def _significant(price: float) -> Decimal:
    """Eight significant digits are more than any tick asks for; the desk rounds to the tick."""
    return exact(float(f"{price:.8g}"))
