"""The decision of the rules: one leg for each symbol that they enter or exit.

The rules enter if the signals are strong enough. The stop of an entry is a number of ATRs away, but no farther than the
stop policy allows. The size of an entry is at most the largest that passes the risk check. The rules exit if a position
gave back a part of its gain, or if the signals reversed. Unknown readings neither open nor close a position. The
position guard enforces the largest loss, the longest duration and the highest score.
"""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.core.strategy.signals import Signals, read_signals, signals_of
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ONE, ZERO, exact, floor_to
from ocw_mcp.domain.policies import Policies, RulesPolicy
from ocw_mcp.domain.snapshot import Feasible, PositionView, Snapshot, SymbolView
from ocw_mcp.domain.unknown import Unknown

_STEP: Final = Decimal("0.000001")
"""Sizes, as shares of equity, are multiples of this step."""


class Sizing:
    """Computes the sizes of the entries of one decision; each entry leaves less of the limits for the next."""

    def __init__(self, snapshot: Snapshot, policies: Policies) -> None:
        self._snapshot = snapshot
        self._policies = policies
        self._entered: list[tuple[str, int, Decimal]] = [
            (each.symbol, 1 if each.quantity > 0 else -1, abs(each.quantity) * each.mark)
            for each in snapshot.positions.values()
        ]
        """Symbol, sign (1 long, -1 short) and notional (quote) of each open position and entry."""

    def enter(self, view: SymbolView, sign: int, last: Decimal, stop: Decimal) -> Decimal | None:
        """Return the size (share of equity) of an entry at `last` with its `stop` (quote); None if no size passes."""
        policies, equity = self._policies, self._snapshot.equity
        if equity <= 0 or len(self._entered) >= policies.positions.max_open:
            return None
        scale, feasible = self._snapshot.scale, view.feasible
        highest_price = last * (ONE + policies.order.price_allowance)
        shares = [
            policies.rules.entry_size,
            policies.order.max_notional / equity,
            policies.position.max_share * scale,
            policies.exposure.max_gross * scale - self._share(None, sign),
        ]
        if _matches(view.symbol, policies.correlated.symbols):
            shares.append(policies.correlated.max_share * scale - self._share(policies.correlated.symbols, sign))
        worst_price = last * (ONE + sign * policies.order.price_allowance)
        loss = max(ZERO, (worst_price - stop) * sign / worst_price) + policies.risk.gap_allowance
        if loss > 0:
            shares.append(policies.risk.max_share * scale / loss)
        smallest = ZERO
        if isinstance(feasible, Feasible):
            shares.append((feasible.long_max if sign > 0 else feasible.short_max) * highest_price / equity)
            smallest = feasible.min * highest_price / equity
        size = floor_to(min(ONE, *shares), _STEP)
        if size <= 0 or size < smallest:
            return None
        self._entered.append((view.symbol, sign, size * equity))
        return size

    def _share(self, patterns: Sequence[str] | None, sign: int) -> Decimal:
        """Return the notional entered so far as a share of equity: all, or of matching symbols and `sign`."""
        notionals = (
            notional
            for symbol, entered_sign, notional in self._entered
            if patterns is None or (entered_sign == sign and _matches(symbol, patterns))
        )
        return sum(notionals, ZERO) / self._snapshot.equity


def _matches(symbol: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(symbol, pattern) for pattern in patterns)


def decide(snapshot: Snapshot, policies: Policies) -> Decision:
    """Return the decision for the whole portfolio; the position of a symbol without a leg stays unchanged."""
    legs: list[Leg] = []
    sizing = Sizing(snapshot, policies)
    for view in snapshot.symbols.values():
        signals = signals_of(view, snapshot, policies)
        position = view.position
        leg: Leg | None = None
        if position is None:
            leg = _entry(view, signals, snapshot, policies, sizing) if signals is not None else None
        elif (reason := exit_reason(position, signals, policies.rules)) is not None:
            action = Action.SELL if position.quantity > 0 else Action.COVER
            leg = Leg(position.symbol, action, reasoning=reason[1], signals=(reason[0],))
        if leg is not None:
            legs.append(leg)
    return Decision(legs=tuple(legs), cause=None if legs else Cause(CauseKind.NOTHING_TO_DO))


def may_act(snapshot: Snapshot, policies: Policies) -> bool:
    """Return whether the rules may enter or exit a symbol; if not, `decide` holds all, whatever sizes are feasible.

    Without feasible sizes, an entry is as large as with them, or larger: if none has a size, none has one with them.
    """
    return bool(decide(snapshot, policies).legs)


def exit_reason(position: PositionView, signals: Signals | None, rules: RulesPolicy) -> tuple[str, str] | None:
    """Return the signal and the explanation for closing a position; None to keep it open."""
    if signals is None:
        return None
    sign = 1 if position.quantity > 0 else -1
    average = float(position.average_price)
    gain = sign * (float(position.mark) / average - 1)
    best = position.best
    if not (isinstance(position.mfe, Unknown) or isinstance(best, Unknown)):
        trail = rules.trail_atr * signals.atr / average
        if position.mfe >= trail and best - gain >= trail:
            return "trail", f"was {position.mfe:.2%} ahead and gave back {best - gain:.2%}"
    if sign * signals.score <= -rules.exit_score:
        return "reversal", f"the signals turned to {signals.score:+.2f}"
    return None


def _wants_entry(signals: Signals, product: Product, rules: RulesPolicy) -> bool:
    """Return whether the signals are strong enough for an entry, and RSI shows that it is not too late."""
    if abs(signals.score) < rules.entry_score:
        return False
    if signals.score > 0:
        return signals.rsi < rules.rsi_too_high
    return signals.rsi > rules.rsi_too_low and product is Product.UM


def _entry(view: SymbolView, signals: Signals, snapshot: Snapshot, policies: Policies, sizing: Sizing) -> Leg | None:
    rules, score = policies.rules, signals.score
    if not _wants_entry(signals, snapshot.product, rules):
        return None
    action, sign = (Action.BUY, 1) if score > 0 else (Action.SHORT, -1)
    stop = _stop(signals, sign, policies)
    # Eight significant digits are more than any tick needs; the order manager rounds to the tick.
    stop_price = exact(float(f"{stop:.8g}"))
    size = sizing.enter(view, sign, exact(signals.last), stop_price)
    if size is None:
        return None
    tilt = f", derivatives {signals.tilt:+.2f}" if signals.tilt else ""
    tilt += f", learned {signals.learned:+.2f}" if signals.learned else ""
    moved = f", {signals.weight:.0%} momentum by the regime" if signals.weight != signals.trend else ""
    reasoning = (
        f"on {signals.timeframe} momentum {signals.momentum:+.2f}, reversion {signals.reversion:+.2f}, "
        f"{signals.trend:.0%} trend by ADX {signals.adx:.0f}{moved}{tilt}: {score:+.2f}"
    )
    names = _contributing(signals)
    return Leg(view.symbol, action, size, stop_price, confidence=abs(score), reasoning=reasoning, signals=names)


def proposed_stop(view: SymbolView, sign: int, policies: Policies) -> float | None:
    """Return the stop price (quote) that the rules would set for an entry, `sign` 1 for long; None if unknown."""
    signals = read_signals(view, policies.rules)
    return None if signals is None else _stop(signals, sign, policies)


def _stop(signals: Signals, sign: int, policies: Policies) -> float:
    distance = min(policies.rules.stop_atr * signals.atr / signals.last, float(policies.stop.max_distance) * 0.98)
    return signals.last * (1 - sign * distance)


def _contributing(signals: Signals) -> tuple[str, ...]:
    """Return the names of the signals that favour the direction of the entry, the strongest first."""
    sign = 1 if signals.score > 0 else -1
    contributions = {
        "momentum": sign * signals.weight * signals.momentum,
        "reversion": sign * (1 - signals.weight) * signals.reversion,
        "derivatives": sign * signals.tilt,
        "learned": sign * signals.learned,
    }
    return tuple(
        sorted((name for name, value in contributions.items() if value > 0), key=lambda name: -contributions[name])
    )
