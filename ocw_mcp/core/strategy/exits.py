"""The exits of the rules at a wake: a position that gave back a part of its gain, or signals that reversed.

The position guard enforces the largest loss, the longest duration and the highest score, from the policy file.
"""

from ocw_mcp.core.strategy.signals import Signals
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import PositionView
from ocw_mcp.domain.unknown import Unknown


def exit_reason(position: PositionView, signals: Signals | None, rules: RulesPolicy) -> tuple[str, str] | None:
    """Return the signal and the explanation for closing a position; None if it is held."""
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
