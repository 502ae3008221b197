"""The steps of a story: events of the journal, with the stops and targets that they moved."""

import re
from collections.abc import Iterable
from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import domain_event
from ocw_mcp.domain import events
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.figures import Levels
from ocw_mcp.domain.orders import OrderRef, Purpose


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event of the journal and its time (ms)."""

    seq: int
    at: int
    event: DomainEvent
    before: Levels | None = None
    """The protection of the position before an event that sets it; None if it had none."""
    moves: int = 1
    """The number of moves of a trailing stop that this step stands for; its event is the last one."""


_MAKES_PLACE = re.compile(r"replaced by |the position or its target changed|it locks the balance that \d+-s-")
"""Why the guard cancels a stop or a target for another one; on spot it cancels the old one first."""
_EARLIER = """SELECT seq, payload FROM events WHERE seq <= :since AND seq > coalesce(
        (SELECT max(seq) FROM trades WHERE symbol = :symbol AND seq <= :since), 0) AND (
    kind IN ('position.protected', 'protection.set') AND json_extract(payload, '$.symbol') = :symbol
    OR kind = 'order.intended' AND json_extract(payload, '$.intent.symbol') = :symbol) ORDER BY seq"""

_CONTINUED = "SELECT seq, payload FROM events WHERE seq > ? AND kind = 'entry.continued' ORDER BY seq"


def continuations(db: Database, orders: set[OrderRef], since: int) -> set[OrderRef]:
    """Return the orders after the event `since` by which entries that began with one of `orders` were chased."""
    found = (domain_event(*row) for row in db.execute(_CONTINUED, (since,)).fetchall())
    return {each.ref for each in found if isinstance(each, events.EntryContinued) and each.first in orders}


class LevelsSoFar:
    """The protection of each position, from the events of a story; it begins with the events before the story."""

    def __init__(self, db: Database, since: int) -> None:
        self._db = db
        self._since = since
        self._levels: dict[str, Levels] = {}
        self._known: set[str] = set()

    def take(self, event: DomainEvent) -> Levels | None:
        """Process the next event. Return the protection before it, if the event sets a stop or a target."""
        symbol = event.intent.symbol if isinstance(event, events.OrderIntended) else getattr(event, "symbol", "")
        if symbol and symbol not in self._known:
            self._known.add(symbol)
            for row in self._db.execute(_EARLIER, {"since": self._since, "symbol": symbol}).fetchall():
                self._fold(symbol, domain_event(*row))
        before = self._levels.get(symbol)
        self._fold(symbol, event)
        sets = isinstance(event, events.PositionProtected | events.ProtectionSet)
        return before if sets and before is not None and before.stop is not None else None

    def _fold(self, symbol: str, event: DomainEvent) -> None:
        levels = self._levels.get(symbol, Levels())
        match event:
            case events.OrderIntended(intent=intent) if intent.purpose is Purpose.ENTRY and intent.target_at:
                # The target of an addition applies once it has filled; until then the difference is not shown.
                self._levels[symbol] = msgspec.structs.replace(levels, target=intent.target_at)
            case events.PositionProtected(trigger_price=stop):
                self._levels[symbol] = msgspec.structs.replace(levels, stop=stop)
            case events.ProtectionSet(stop=stop, target=target, trail=trail):
                self._levels[symbol] = Levels(stop, target, trail)
            case events.PositionClosed():
                self._levels.pop(symbol, None)


def condensed(steps: list[Step], keep: OrderRef | None) -> list[Step]:
    """Return the steps without the orders by which the guard replaces a stop or a target; `keep` keeps its own steps.

    The step at which the new stop covers the position stays, and successive moves of a trailing stop become one step.
    """
    accepted = {step.event.ref for step in steps if isinstance(step.event, events.OrderAccepted)}
    moved = [
        (step.at, step.event) for step in steps if isinstance(step.event, events.PositionProtected) and step.before
    ]
    covered, at_once = {event.stop for _, event in moved}, {(at, event.symbol) for at, event in moved}
    new = {ref for ref in accepted if ref.leg is Purpose.TARGET and ref.revision} | covered
    old = {ref for ref in map(_replaced, steps) if ref is not None}
    set_at: set[tuple[int, str, Decimal]] = set()
    kept: list[Step] = []
    for step in steps:
        match step.event:
            case events.OrderIntended(ref=ref) | events.OrderAccepted(ref=ref) if ref in new and ref != keep:
                continue
            case events.OrderCancelRequested(ref=ref) | events.OrderCanceled(ref=ref) if ref in old and ref != keep:
                continue
            case events.PositionUnprotected(symbol=symbol) if (step.at, symbol) in at_once:
                continue
            case events.ProtectionSet(symbol=symbol, stop=stop):
                set_at.add((step.at, symbol, stop))
            case events.PositionProtected(symbol=symbol, trigger_price=stop) if (step.at, symbol, stop) in set_at:
                # The venue accepted at once the stop that was set.
                continue
        kept.append(step)
    return list(_merged(kept))


def _replaced(step: Step) -> OrderRef | None:
    """Return the stop or target of a cancel request that makes place for another one."""
    event = step.event
    if not isinstance(event, events.OrderCancelRequested) or event.ref.leg not in (Purpose.STOP, Purpose.TARGET):
        return None
    return event.ref if _MAKES_PLACE.match(event.why) else None


def _merged(steps: Iterable[Step]) -> Iterable[Step]:
    last: Step | None = None
    for step in steps:
        if last is not None and _trails(last) and _trails(step) and _symbol(last) == _symbol(step):
            last = msgspec.structs.replace(step, before=last.before, moves=last.moves + 1)
            continue
        if last is not None:
            yield last
        last = step
    if last is not None:
        yield last


def _symbol(step: Step) -> str:
    return str(getattr(step.event, "symbol", ""))


def _trails(step: Step) -> bool:
    """Return whether a step is a move of a stop that follows the price."""
    event, before = step.event, step.before
    if not isinstance(event, events.PositionProtected) or before is None or before.trail is None:
        return False
    return before.stop != event.trigger_price
