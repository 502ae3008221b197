"""How the latest decisions were come to: when, by whom, what went wrong, and what they cost."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.rows import journal_event
from ocw_mcp.domain.causes import Cause
from ocw_mcp.domain.events import DecisionCorrected, DecisionDiscarded, DecisionEnded, DecisionMade
from ocw_mcp.domain.money import ZERO


class DecisionCost(msgspec.Struct, frozen=True):
    """What the journal has of one wake's decision; `at` in ms, when it took effect."""

    wake_id: int
    at: int
    thinking_ms: int
    cause: Cause | None
    """Why it is not the model's own, or its HOLD; None if legs were submitted and stand."""
    cost_usd: Decimal


_NEWEST = """SELECT row, at, payload FROM events WHERE kind IN
    ('decision.made', 'decision.corrected', 'decision.ended', 'decision.discarded') ORDER BY row DESC LIMIT ?"""


def find_thoughts(db: Database, limit: int) -> list[DecisionCost]:
    """The decisions of the newest `limit` events about deciding, newest last."""
    found: dict[int, DecisionCost] = {}
    for row, at, payload in reversed(db.execute(_NEWEST, (limit,)).fetchall()):
        event = journal_event(row, payload)
        assert isinstance(event, DecisionMade | DecisionCorrected | DecisionEnded | DecisionDiscarded)
        before = found.get(event.wake_id, DecisionCost(event.wake_id, at, 0, None, ZERO))
        found[event.wake_id] = _with(before, event)
    return list(found.values())


def _with(
    before: DecisionCost, event: DecisionMade | DecisionCorrected | DecisionEnded | DecisionDiscarded
) -> DecisionCost:
    cost = before.cost_usd + event.cost_usd
    match event:
        case DecisionMade():
            cause = before.cause or event.decision.cause
            return msgspec.structs.replace(before, thinking_ms=event.thinking_ms, cause=cause, cost_usd=cost)
        case DecisionEnded():
            return msgspec.structs.replace(before, cause=before.cause or event.cause, cost_usd=cost)
        case _:
            return msgspec.structs.replace(before, cost_usd=cost)
