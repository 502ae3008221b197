"""The decision of the rules: one leg for each symbol that they enter or exit.

The rules enter if their score is large enough. The stop of an entry is a number of ATRs away, but no farther than the
stop policy allows. The size of an entry is at most the largest that passes the risk check. The rules exit if a position
gave back a part of its gain, or if the score reversed. Unknown readings neither open nor close a position. The
position guard enforces the largest loss, the longest duration and the highest score.
"""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final

from ocw_mcp.core.strategy.rule_score import RuleScore, read_rule_score, rule_score_of
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
        rule_score = rule_score_of(view, snapshot, policies)
        position = view.position
        leg: Leg | None = None
        if position is None:
            leg = _entry(view, rule_score, snapshot, policies, sizing) if rule_score is not None else None
        elif (reason := exit_reason(position, rule_score, policies.rules)) is not None:
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


def exit_reason(position: PositionView, rule_score: RuleScore | None, rules: RulesPolicy) -> tuple[str, str] | None:
    """Return the signal and the explanation for closing a position; None to keep it open."""
    if rule_score is None:
        return None
    sign = 1 if position.quantity > 0 else -1
    average = float(position.average_price)
    gain = sign * (float(position.mark) / average - 1)
    best = position.best
    if not (isinstance(position.mfe, Unknown) or isinstance(best, Unknown)):
        trail = rules.trail_atr * rule_score.atr / average
        if position.mfe >= trail and best - gain >= trail:
            return "trail", f"was {position.mfe:.2%} ahead and gave back {best - gain:.2%}"
    if sign * rule_score.total <= -rules.exit_score:
        return "reversal", f"the signals turned to {rule_score.total:+.2f}"
    return None


def _wants_entry(rule_score: RuleScore, product: Product, rules: RulesPolicy) -> bool:
    """Return whether the score is large enough for an entry, and RSI shows that it is not too late."""
    if abs(rule_score.total) < rules.entry_score:
        return False
    if rule_score.total > 0:
        return rule_score.rsi < rules.rsi_too_high
    return rule_score.rsi > rules.rsi_too_low and product is Product.UM


def _entry(
    view: SymbolView, rule_score: RuleScore, snapshot: Snapshot, policies: Policies, sizing: Sizing
) -> Leg | None:
    rules, score = policies.rules, rule_score.total
    if not _wants_entry(rule_score, snapshot.product, rules):
        return None
    action, sign = (Action.BUY, 1) if score > 0 else (Action.SHORT, -1)
    stop = _stop(rule_score, sign, policies)
    # Eight significant digits are more than any tick needs; the order manager rounds to the tick.
    stop_price = exact(float(f"{stop:.8g}"))
    size = sizing.enter(view, sign, exact(rule_score.last), stop_price)
    if size is None:
        return None
    tilt = f", derivatives {rule_score.tilt:+.2f}" if rule_score.tilt else ""
    tilt += f", learned {rule_score.learned:+.2f}" if rule_score.learned else ""
    moved = f", {rule_score.weight:.0%} momentum by the regime" if rule_score.weight != rule_score.trend else ""
    reasoning = (
        f"on {rule_score.timeframe} momentum {rule_score.momentum:+.2f}, reversion {rule_score.reversion:+.2f}, "
        f"{rule_score.trend:.0%} trend by ADX {rule_score.adx:.0f}{moved}{tilt}: {score:+.2f}"
    )
    names = _contributing(rule_score)
    return Leg(view.symbol, action, size, stop_price, confidence=abs(score), reasoning=reasoning, signals=names)


def proposed_stop(view: SymbolView, sign: int, policies: Policies) -> float | None:
    """Return the stop price (quote) that the rules would set for an entry, `sign` 1 for long; None if unknown."""
    rule_score = read_rule_score(view, policies.rules)
    return None if rule_score is None else _stop(rule_score, sign, policies)


def _stop(rule_score: RuleScore, sign: int, policies: Policies) -> float:
    distance = min(policies.rules.stop_atr * rule_score.atr / rule_score.last, float(policies.stop.max_distance) * 0.98)
    return rule_score.last * (1 - sign * distance)


def _contributing(rule_score: RuleScore) -> tuple[str, ...]:
    """Return the names of the parts that favour the direction of the entry, the strongest first."""
    sign = 1 if rule_score.total > 0 else -1
    contributions = {
        "momentum": sign * rule_score.weight * rule_score.momentum,
        "reversion": sign * (1 - rule_score.weight) * rule_score.reversion,
        "derivatives": sign * rule_score.tilt,
        "learned": sign * rule_score.learned,
    }
    return tuple(
        sorted((name for name, value in contributions.items() if value > 0), key=lambda name: -contributions[name])
    )
