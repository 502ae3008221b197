"""When the rules close a position at a wake: it gave back what a trend had brought, or the signals turned against it.

What a position may lose, how long it may last and what its score may come to are the guard's, from the policy file.
"""

from ocw_mcp.core.strategy.signals import Signals
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import PositionView
from ocw_mcp.domain.unknown import Unknown


def exit_reason(position: PositionView, signals: Signals | None, rules: RulesPolicy) -> tuple[str, str] | None:
    """The signal and the sentence that close a position, or None while it is held."""
    if signals is None:
        return None
    way = 1 if position.quantity > 0 else -1
    average = float(position.average_price)
    now = way * (float(position.mark) / average - 1)
    best = position.best
    if not (isinstance(position.mfe, Unknown) or isinstance(best, Unknown)):
        trail = rules.trail_atr * signals.atr / average
        if position.mfe >= trail and best - now >= trail:
            return "trail", f"was {position.mfe:.2%} ahead and gave back {best - now:.2%}"
    if way * signals.score <= -rules.exit_score:
        return "reversal", f"the signals turned to {signals.score:+.2f}"
    return None
