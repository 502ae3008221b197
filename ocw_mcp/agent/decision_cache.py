"""An answer is remembered while nothing that matters has changed: nobody is asked the same twice.

Only to hold everything is ever repeated, and only what the model itself meant. What is remembered comes with the
request, out of the engine's own state, so a resumed run remembers the same.
"""

from typing import Final

from ocw_mcp.domain.decision import REMEMBERED
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown

TOLERANCE: Final = 0.002
"""How far a price may have moved, as a share, to be the same: about what two trades at the market cost."""
LONGEST_MS: Final = 2 * HOUR
"""How old an answer may be, however little has happened: the longest that the gate lets anybody sleep."""
KINDS: Final = ("timer", "close:", "outlier:")
"""How reasons begin that may be answered from memory: no condition of the agent's own, and no review of a position."""


def remembered(request: DecisionRequest) -> str | None:
    """The cause of a HOLD that repeats the last answer; None where it has to be asked anew.

    What matters: the symbols' prices within `TOLERANCE`, the account's version (positions, orders, stops, state), the
    limits, regime and macro reading, and that the wake has no kind of reason that the other had not.
    """
    now, held = request.snapshot, request.held
    if held is None or request.version != held.version:
        return None
    then = held.snapshot
    age = now.at - then.at
    kinds = _kinds(now)
    if age > LONGEST_MS or not kinds <= _kinds(then) or not all(kind.startswith(KINDS) for kind in kinds):
        return None
    if _frame(now) != _frame(then) or not _prices_stand(now, then):
        return None
    return f"{REMEMBERED}as at wake {held.wake_id}, {age // MINUTE} min ago; nothing that matters has changed since"


def _kinds(snapshot: Snapshot) -> set[str]:
    """The reasons without their numbers. Whose they are does not matter: the prices of all symbols are compared."""
    return {reason.split(" ")[0] for each in snapshot.wake for reason in each.reasons}


def _frame(snapshot: Snapshot) -> tuple[object, ...]:
    names = tuple(snapshot.symbols)
    return (names, snapshot.state, snapshot.limits, snapshot.regime, snapshot.macro, snapshot.scale)


def _prices_stand(now: Snapshot, then: Snapshot) -> bool:
    for here, there in zip(now.symbols.values(), then.symbols.values(), strict=True):
        if isinstance(here.last, Unknown) or isinstance(there.last, Unknown):
            return False
        if abs(here.last - there.last) > TOLERANCE * there.last:
            return False
    return True
