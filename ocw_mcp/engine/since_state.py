"""The saved state of `Since`: bounded lists of happenings, in which the events of one matter are one happening."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Self

import msgspec

from ocw_mcp.core.orders.table import TrackedOrder
from ocw_mcp.domain.asks import DecisionKey
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import OrderFilled
from ocw_mcp.domain.happenings import Happening, HappeningKind
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import GUARD, OrderIntent, OrderRef, Purpose, Side
from ocw_mcp.domain.snapshot import Remark

MOST: Final = 64
"""The largest number of happenings that are kept."""
THESIS_KEPT: Final = 300
"""The number of characters of a thesis that are kept."""
REFUSED_KEPT: Final = 16
"""The number of refused legs that are kept for a note."""
_KEPT_LONGEST: Final = frozenset(
    {
        HappeningKind.FILLED,
        HappeningKind.REDUCED,
        HappeningKind.CLOSED,
        HappeningKind.FUNDING,
        HappeningKind.STATE,
        HappeningKind.LAPSED,
    }
)
"""The kinds that are dropped only if there is no other kind in a full list."""
_FILLS: Final = (HappeningKind.FILLED, HappeningKind.REDUCED)
_MOVES: Final = (HappeningKind.STOP_MOVED, HappeningKind.TARGET_MOVED)
_OF_A_POSITION: Final = (*_FILLS, *_MOVES)
_SUMS: Final = (HappeningKind.FUNDING, HappeningKind.TRANSFER)
_REPEATS: Final = (
    *(HappeningKind.REFUSED, HappeningKind.REJECTED, HappeningKind.NOT_CANCELLED),
    *(HappeningKind.INCIDENT, HappeningKind.LIMIT),
)


class Happenings(msgspec.Struct):
    """Happenings in the order of their first events, and the number of those that were dropped."""

    kept: list[Happening] = []
    dropped: int = 0

    def add(self, new: Happening) -> Happening:
        """Add a happening, or join it to an earlier one. Return the happening that the list then has."""
        for place in range(len(self.kept) - 1, -1, -1):
            earlier = self.kept[place]
            if _same(earlier, new):
                self.kept[place] = joined = _join(earlier, new)
                return joined
            if earlier.kind is HappeningKind.CLOSED and earlier.symbol == new.symbol and new.kind in _OF_A_POSITION:
                break  # what came before belongs to another position
        self.kept.append(new)
        if len(self.kept) > MOST:
            minor = (place for place, each in enumerate(self.kept) if each.kind not in _KEPT_LONGEST)
            del self.kept[next(minor, 0)]
            self.dropped += 1
        return new

    def replace(self, old: Happening, new: Happening) -> None:
        """Add a happening in place of another, which is removed."""
        if old in self.kept:
            self.kept.remove(old)
        self.add(new)

    def forget(self, wrong: Happening) -> None:
        """Remove a happening that a correction has taken back."""
        self.kept = [each for each in self.kept if not _same(each, wrong)]

    def with_later(self, later: "Happenings") -> "Happenings":
        """Return both lists as one."""
        both = Happenings(list(self.kept), self.dropped + later.dropped)
        for each in later.kept:
            both.add(each)
        return both

    def split(self, chosen: Callable[[Happening], bool]) -> tuple[Self, Self]:
        """Return the chosen happenings and the others."""
        yes = [each for each in self.kept if chosen(each)]
        no = [each for each in self.kept if not chosen(each)]
        return type(self)(yes, self.dropped), type(self)(no)


class LiveEntry(msgspec.Struct):
    """What the order table does not know of a live entry."""

    sent_at: int
    thesis: Remark | None = None
    """The reason of the leg that was carried out."""
    withdrawn: str = ""
    """Why its cancel was requested before it expired."""
    first: OrderRef | None = None
    """The first order of a chased entry, which names the entry; None for an entry of one order."""
    before: Decimal = ZERO
    """The quantity (base asset) that the earlier orders of a chased entry have filled."""


class Mover(msgspec.Struct, frozen=True):
    """The last principal that asked for a stop or a target of a position, and for which."""

    by: str
    stop: Decimal | None
    target: Decimal | None
    opening: bool = False
    """Whether the stop and the target are the first of the position."""


class SinceState(msgspec.Struct):
    """The happenings that the agent may not know yet, and what is needed to explain the next ones."""

    wake: int = 0
    """The last wake that the agent answered."""
    shown: Happenings = msgspec.field(default_factory=Happenings)
    """The happenings in the snapshot of the last wake."""
    fresh: Happenings = msgspec.field(default_factory=Happenings)
    """The happenings after it, or not in it."""
    entries: dict[str, LiveEntry] = {}
    """The live entries, by the text of their reference."""
    theses: dict[str, Remark] = {}
    """The thesis of each position, by symbol."""
    stops: dict[str, Decimal] = {}
    targets: dict[str, Decimal] = {}
    movers: dict[str, Mover] = {}
    rules: dict[str, str] = {}
    """The exit rule by which the guard is closing a position."""
    reduced: dict[str, Happening] = {}
    """The last reduction of each open position."""
    decided: int = 0
    """The wake of the last decision."""
    legs: dict[str, Leg] = {}
    """The legs of that decision, and the earlier ones that await an approval, by the keys of their orders."""
    refused: list[Happening] = []
    """The refused legs of that decision."""
    noted: list[Happening] | None = []
    """The refused legs of the decision that wrote the note; None if that is the last decision."""


def _same(one: Happening, other: Happening) -> bool:
    """Return whether two happenings are one matter."""
    if one.kind is not other.kind or one.symbol != other.symbol:
        return False
    if one.kind in _FILLS:
        same_side = ((one.quantity or ZERO) > 0) is ((other.quantity or ZERO) > 0)
        return same_side and (one.order, one.cause) == (other.order, other.cause)
    if one.kind in _MOVES:
        return one.by == other.by
    if one.kind in _REPEATS:
        terms = "by", "cause", "code", "order", "until", "detail"
        return all(getattr(one, term) == getattr(other, term) for term in terms)
    return one.kind in _SUMS


def _join(one: Happening, other: Happening) -> Happening:
    """Return two happenings of one matter as one."""
    if one.kind in _FILLS:
        assert one.quantity is not None
        assert one.price is not None
        assert other.quantity is not None
        assert other.price is not None
        quantity = one.quantity + other.quantity
        price = round((one.quantity * one.price + other.quantity * other.price) / quantity, 8)
        amount = None if other.amount is None else (one.amount or ZERO) + other.amount
        return msgspec.structs.replace(other, quantity=quantity, price=price, amount=amount)
    times = one.times + other.times
    if one.kind in _MOVES:
        return msgspec.structs.replace(other, previous=one.previous, times=times)
    if one.kind in _SUMS:
        return msgspec.structs.replace(other, amount=(one.amount or ZERO) + (other.amount or ZERO), times=times)
    return msgspec.structs.replace(other, times=times)


def action_of(intent: OrderIntent) -> Action:
    """Return the action that an order of a leg carries out, if the leg is not known any more."""
    if intent.purpose is Purpose.ENTRY:
        return Action.BUY if intent.side is Side.BUY else Action.SHORT
    return Action.SELL if intent.side is Side.SELL else Action.COVER


def ended(kind: HappeningKind, tracked: TrackedOrder, at: int, entry: LiveEntry | None = None) -> Happening:
    """Return the end of an entry, with the quantity that did not fill; `entry` has what the order does not know."""
    order, intent = tracked.order, tracked.intent
    filled = tracked.filled if entry is None else tracked.filled + entry.before
    return Happening(
        at,
        kind,
        order.symbol,
        intent.principal,
        price=order.limit_price,
        quantity=order.side.sign * tracked.remaining,
        filled=filled if filled != ZERO else None,
        order=order.ref if entry is None or entry.first is None else entry.first,
        began_at=None if entry is None else entry.sent_at,
    )


def legs_of(key: DecisionKey, decision: Decision, *, tainted: bool) -> dict[str, Leg]:
    """Return the legs by the keys of their orders; of a tainted decision without reasons, which may quote others."""
    return {
        str(key.leg(place)): Leg(leg.symbol, leg.action, reasoning="" if tainted else leg.reasoning[:THESIS_KEPT])
        for place, leg in enumerate(decision.legs)
        if leg.asks
    }


def closes(tracked: TrackedOrder | None, fill: OrderFilled, rules: Mapping[str, str]) -> str:
    """Return what an order that reduces a position carries out, in one word; `rules` are those that close positions."""
    if tracked is None:
        return ""
    order, intent = tracked.order, tracked.intent
    match tracked.purpose:
        case Purpose.STOP:
            take, stop = order.take_at, order.trigger_price
            at_target = take is not None and stop is not None and abs(fill.price - take) < abs(fill.price - stop)
            return "target" if at_target else "stop"
        case Purpose.TARGET:
            return "target"
    if intent.principal == GUARD:
        return rules.get(fill.symbol, GUARD)
    return "leg" if intent.wake_id is not None else "client" if intent.idempotency_key else "operator"
