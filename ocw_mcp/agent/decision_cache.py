"""The decision cache: a HOLD of the model is repeated without a call while nothing relevant has changed.

Only the HOLD of all symbols is ever repeated, and only one that the model meant. The engine passes the last HOLD with
the request, from its own state, so that a resumed run repeats the same.
"""

from typing import Final

from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot, WakeKind
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown

TOLERANCE: Final = 0.002
"""The largest move of a price, as a share, that counts as no change: about the cost of two market orders."""
LONGEST_MS: Final = 2 * HOUR
"""The largest age of a repeated answer: the longest time that the gate allows between two wakes."""
KINDS: Final = frozenset({WakeKind.TIMER, WakeKind.CLOSE, WakeKind.OUTLIER})
"""The wake reasons that a repeated HOLD may answer: no condition of the agent, no review of a position."""


def repeated_hold(request: DecisionRequest) -> Cause | None:
    """Return the cause of a HOLD that repeats the last answer; None if the model has to be asked.

    A HOLD is repeated if each price is within `TOLERANCE`, the account's version (positions, orders, stops, state), the
    limits, the regime and the macro reading are the same, and the wake has no new kind of reason.
    """
    now, held = request.snapshot, request.held
    if held is None or request.version != held.version:
        return None
    then = held.snapshot
    age = now.at - then.at
    kinds = _kinds(now)
    if age > LONGEST_MS or not kinds <= _kinds(then) or not all(kind in KINDS for kind, _ in kinds):
        return None
    if _context(now) != _context(then) or not _prices_unchanged(now, then):
        return None
    return Cause(CauseKind.REMEMBERED, f"at wake {held.wake_id}, {age // MINUTE} min ago")


def _kinds(snapshot: Snapshot) -> set[tuple[WakeKind, str]]:
    """Return the reasons without numbers and symbols; the prices of all symbols are compared anyway."""
    return {(reason.kind, reason.subject) for each in snapshot.wake for reason in each.reasons}


def _context(snapshot: Snapshot) -> tuple[object, ...]:
    names = tuple(snapshot.symbols)
    return (names, snapshot.state, snapshot.limits, snapshot.regime, snapshot.macro, snapshot.scale)


def _prices_unchanged(now: Snapshot, then: Snapshot) -> bool:
    for here, there in zip(now.symbols.values(), then.symbols.values(), strict=True):
        if isinstance(here.last, Unknown) or isinstance(there.last, Unknown):
            return False
        if abs(here.last - there.last) > TOLERANCE * there.last:
            return False
    return True
