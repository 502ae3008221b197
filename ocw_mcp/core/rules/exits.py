"""When the rules close a position: it loses too much, gives back too much, lasts too long, or nothing speaks for it."""

from ocw_mcp.core.rules.position_score import score_position
from ocw_mcp.core.rules.signals import Signals
from ocw_mcp.domain.policies import RulesPolicy
from ocw_mcp.domain.snapshot import PositionView, Snapshot
from ocw_mcp.domain.time import HOUR
from ocw_mcp.domain.unknown import Unknown


def exit_reason(
    position: PositionView, signals: Signals | None, snapshot: Snapshot, rules: RulesPolicy
) -> tuple[str, str] | None:
    """The signal and the sentence that close a position, or None while it is held."""
    way = 1 if position.quantity > 0 else -1
    average = float(position.average_price)
    now = way * (float(position.mark) / average - 1)
    if now <= -float(rules.max_loss):
        return "drawdown", f"the position lost {-now:.2%}, and the rules hold none beyond {rules.max_loss:.2%}"
    held_h = (snapshot.at - position.opened_at) / HOUR
    if held_h >= rules.max_hold_h:
        return "time", f"held for {held_h:.0f} h, and the rules hold none beyond {rules.max_hold_h:g} h"
    if signals is not None:
        if not isinstance(position.mfe, Unknown):
            trail = rules.trail_atr * signals.atr / average
            if position.mfe >= trail and position.mfe - now >= trail:
                return "trail", f"was {position.mfe:.2%} ahead and gave back {position.mfe - now:.2%}"
        if way * signals.score <= -rules.exit_score:
            return "reversal", f"the signals turned to {signals.score:+.2f}"
    score = score_position(position, signals, snapshot, rules.max_hold_h)
    if score.total >= rules.exit_position_score:
        return "position_score", f"a score of {score.total:.2f} against it, most of it {score.worst.replace('_', ' ')}"
    return None
