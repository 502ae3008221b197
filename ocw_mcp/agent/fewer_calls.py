"""Decides for which wakes the model is not called: to save cost, or after failed calls.

While nothing relevant has changed, the model's last HOLD of all symbols, which the engine puts into the request, is
repeated. If a budget is spent faster than its time passes, the rules decide the even-numbered routine wakes once most
of it is spent. The repeated HOLD and this throttle do not depend on the state of the process, so a resumed run calls
the model at the same wakes. After several failures in a row, a circuit breaker leaves the wakes to the rules for
`OPEN_MS`.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.store.views.decisions import DecisionCost
from ocw_mcp.agent.messages import ANSWERED, UNASKED, Trouble
from ocw_mcp.domain.causes import MODEL_ANSWERED, Cause, CauseKind
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.policies import BudgetPolicy
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot, WakeKind
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, day_begins, next_month, utc_day
from ocw_mcp.domain.unknown import Unknown

TOLERANCE: Final = 0.002
"""The largest relative price move that counts as no change: about the cost of two market orders."""
LONGEST_MS: Final = 2 * HOUR
"""The largest age of a HOLD that may be repeated."""
REPEATED_AT: Final = frozenset({WakeKind.TIMER, WakeKind.CLOSE, WakeKind.OUTLIER})
"""Wake reasons for which a HOLD may be repeated. For a wake condition or a position review the model is called."""
THROTTLES_FROM: Final = Decimal("0.9")
"""Share of the usable LLM budget from which the throttle applies, if less of the day or month has passed."""
ROUTINE: Final = frozenset({WakeKind.TIMER, WakeKind.CLOSE})
"""Wake reasons that only mean that time has passed."""
FAILURES: Final = 3
"""Failures in a row that open the breaker."""
OPEN_MS: Final = 15 * MINUTE
Spent = tuple[Decimal, Decimal]
"""USD spent in a UTC day and in its month."""


def repeated_hold(request: DecisionRequest) -> Cause | None:
    """Return the cause of a HOLD that repeats the last answer; None if the model has to be asked.

    A HOLD is repeated if each price moved by at most `TOLERANCE`, nothing happened since the model's last answer, the
    wake has no new kind of reason, and these are unchanged: account version (positions, orders, stops, state), limits,
    regime and macro regime.
    """
    now, held = request.snapshot, request.held
    if held is None or request.version != held.version or now.since:
        return None
    then = held.snapshot
    age = now.at - then.at
    kinds = _kinds(now)
    if age > LONGEST_MS or not kinds <= _kinds(then) or not all(kind in REPEATED_AT for kind, _ in kinds):
        return None
    if _context(now) != _context(then):
        return None
    for here, there in zip(now.symbols.values(), then.symbols.values(), strict=True):
        if isinstance(here.last, Unknown) or isinstance(there.last, Unknown):
            return None
        if abs(here.last - there.last) > TOLERANCE * there.last:
            return None
    return Cause(CauseKind.REMEMBERED, f"at wake {held.wake_id}, {age // MINUTE} min ago")


def _kinds(snapshot: Snapshot) -> set[tuple[WakeKind, str]]:
    """Return the wake reasons without their numbers and symbols."""
    return {(reason.kind, reason.subject) for each in snapshot.wake for reason in each.reasons}


def _context(snapshot: Snapshot) -> tuple[object, ...]:
    names = tuple(snapshot.symbols)
    return (names, snapshot.state, snapshot.limits, snapshot.regime, snapshot.macro, snapshot.scale)


def throttled(request: DecisionRequest, spent: Spent, budget: BudgetPolicy, worst_usd: Decimal) -> Trouble | None:
    """Return the cause for which the rules decide an even-numbered routine wake; None if the model may be called.

    The only reason of a routine wake is elapsed time, and its symbols have no open position. The usable budget is the
    budget minus `worst_usd`, the worst-case cost of one call. The throttle applies once `THROTTLES_FROM` of a budget is
    spent, and a larger share of it than has passed of its day or month.
    """
    wake, held = request.snapshot.wake, request.snapshot.positions
    routine = all(reason.kind in ROUTINE for each in wake for reason in each.reasons)
    if request.wake_id % 2 or not routine or any(each.symbol in held for each in wake):
        return None
    at = request.snapshot.at
    today = day_begins(utc_day(at))
    this_month = day_begins(f"{utc_day(at)[:7]}-01")
    budgets = (
        (budget.usd_per_day, today, today + DAY, "day"),
        (budget.usd_per_month, this_month, next_month(at), "month"),
    )
    for usd, (most, begins, ends, of_what) in zip(spent, budgets, strict=True):
        share = max(THROTTLES_FROM, Decimal(at - begins) / (ends - begins))
        if 0 < share * (most - worst_usd) <= usd:
            spent_of = f"{plain(round(usd, 4))} of {plain(most)} USD of the {of_what} is spent"
            return Trouble(CauseKind.THROTTLED, f"{spent_of}; at this time of the {of_what} {share:.0%} may be")
    return None


class Breaker(msgspec.Struct):
    """A circuit breaker: open for `OPEN_MS` after `FAILURES` failures in a row, then half open for the next call."""

    failures: int = 0
    opened_at: int | None = None
    """The time (ms) at which the breaker opened; None while it is closed."""

    @classmethod
    def from_journal(cls, thoughts: Iterable[DecisionCost]) -> "Breaker":
        """Return the breaker as it was after the journal's latest decisions (`thoughts`, oldest first)."""
        breaker = cls()
        for thought in thoughts:
            kind, asked_at = None if thought.cause is None else thought.cause.kind, thought.at - thought.thinking_ms
            if kind is CauseKind.BREAKER:
                # The breaker was open, though the failures before are not among the decisions.
                if breaker.opened_at is None:
                    breaker = cls(FAILURES, asked_at)
            elif kind is None or kind in MODEL_ANSWERED or kind in ANSWERED:
                breaker.succeeded()
            elif kind.failed and kind not in UNASKED and breaker.allows(asked_at):
                breaker.failed(asked_at)
        return breaker

    def allows(self, now: int) -> bool:
        """Return whether the model may be called at `now` (ms); report the result to `succeeded` or `failed`."""
        return self.opened_at is None or now >= self.opened_at + OPEN_MS

    def succeeded(self) -> None:
        """Report that the model answered: the breaker closes."""
        self.failures, self.opened_at = 0, None

    def failed(self, now: int) -> None:
        """Report at `now` (ms) that the model did not answer."""
        self.failures += 1
        if self.failures >= FAILURES:
            self.opened_at = now
