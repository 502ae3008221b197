"""The parts of a trade: one for each order that traded between two times at which the position was flat."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import domain_event
from ocw_mcp.adapters.store.figures import closed_by
from ocw_mcp.adapters.store.projections import OUTSIDE
from ocw_mcp.domain import asks, events
from ocw_mcp.domain.asks import request_key
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.figures import TradePart
from ocw_mcp.domain.money import ONE, ZERO
from ocw_mcp.domain.orders import GUARD, Purpose

LATEST = 1 << 62
"""A sequence after every event: the end of a trade that is still open."""
_PRICE_PLACES, _SHARE_PLACES = 8, 4

# `position.closed` directly follows its fill. If that fill reversed the position, it also opened the next trade.
_FILLS = """SELECT fills.seq, at, fills.n, fills.leg, fills.revision, maker, fills.side, fills.quantity, base_fee,
        price, realised, position, coalesce(principal, ''), wake_id, coalesce(idempotency_key, '')
    FROM fills LEFT JOIN orders ON (orders.n, orders.leg, orders.revision) = (fills.n, fills.leg, fills.revision)
    WHERE fills.symbol = :symbol AND fills.seq < :seq AND fills.seq >= coalesce(
        (SELECT max(seq) FROM trades WHERE symbol = :symbol AND seq < :seq), 1) - 1 ORDER BY fills.seq"""
_RULE = """SELECT json_extract(payload, '$.rule'), json_extract(payload, '$.why') FROM events
    WHERE seq < ? AND seq > ? AND kind = 'exit.decided' AND json_extract(payload, '$.symbol') = ?
    ORDER BY seq DESC LIMIT 1"""
_CORRECTED = """SELECT seq, payload FROM events WHERE seq < ? AND kind = 'decision.corrected'
    AND json_extract(payload, '$.wake_id') = ? ORDER BY seq DESC LIMIT 1"""
_EVENT = "SELECT seq, payload FROM events WHERE seq = ?"
_ASKED = "SELECT seq, at, payload FROM events WHERE kind = 'caller.asked' AND seq < ? ORDER BY seq DESC"
_LEG_KEY = re.compile(r"wake:(\d+)(?::(again|rules))?:(\d+)")


class _Fill(NamedTuple):
    """A fill with its order. `position` is the position after it."""

    seq: int
    at: int
    n: int
    leg: str
    revision: int
    maker: int
    side: str
    quantity: Decimal
    base_fee: Decimal
    price: Decimal
    realised: Decimal
    position: Decimal
    by: str
    wake_id: int | None
    key: str

    @property
    def before(self) -> Decimal:
        """The position before the fill."""
        return self.position - (self.quantity - self.base_fee if self.side == "buy" else -self.quantity)


class _Traded(msgspec.Struct):
    """The fills of one part so far: its first fill, and sums in the base asset and in quote currency."""

    first: _Fill
    kind: Literal["entry", "exit"]
    quantity: Decimal = ZERO
    turnover: Decimal = ZERO
    realised: Decimal = ZERO

    def price(self) -> Decimal:
        """Return the average price."""
        return round(self.turnover / self.quantity, _PRICE_PLACES)


class TradeParts(msgspec.Struct, frozen=True):
    """The parts of a trade, oldest first, and the sums over its entries and exits."""

    parts: tuple[TradePart, ...]
    side: str
    """`long` or `short`; empty if the book has no entry of the trade."""
    order: int
    """The counter of the order that opened the position."""
    opened_at: int
    quantity: Decimal
    """The total quantity of the entries."""
    entry_price: Decimal | None
    exit_price: Decimal | None
    closing: str
    """What the last fill was: `stop`, `target`, `exit`, `entry` or `outside`."""


class PartsReader:
    """Reads the parts of trades from the fills, the orders and the decisions of a book."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._made: dict[int, tuple[int, int]] | None = None

    def read(self, symbol: str, seq: int, realised: Decimal | None = None) -> TradeParts:
        """Return the parts of the trade that the event `seq` closed; of the open trade with `LATEST`.

        `realised` (quote) is the result of a closed trade before fees and funding. A remainder that was too small to be
        sold has no fill; its part gets the result that the other parts do not have.
        """
        fills = self._fills(symbol, seq)
        traded, dust = _by_order(fills, closed=realised is not None)
        entered, paid = _sums(each for each in traded if each.kind == "entry")
        exited, received = _sums(each for each in traded if each.kind == "exit")
        whole = entered or ONE
        parts = [self._part(each, symbol, fills[0].seq, whole) for each in traded]
        if dust and realised is not None:
            last = fills[-1]
            rest = realised - sum((each.realised for each in parts), ZERO)
            share = round(dust / whole, _SHARE_PLACES)
            parts.append(TradePart(last.at, "exit", dust, share, None, rest, "dust", "", None, ""))
        opening = next((each.first for each in traded if each.kind == "entry"), None)
        return TradeParts(
            parts=tuple(parts),
            side="" if opening is None else "long" if opening.position > 0 else "short",
            order=0 if opening is None else opening.n,
            opened_at=0 if opening is None else opening.at,
            quantity=entered,
            entry_price=round(paid / entered, _PRICE_PLACES) if entered else None,
            exit_price=round(received / exited, _PRICE_PLACES) if exited else None,
            closing=closed_by(fills[-1].leg, bool(fills[-1].maker)) if opening is not None else "",
        )

    def _fills(self, symbol: str, seq: int) -> list[_Fill]:
        rows = self._db.execute(_FILLS, {"symbol": symbol, "seq": seq}).fetchall()
        return [_Fill(*row[:7], *map(Decimal, row[7:12]), *row[12:]) for row in rows]

    def _part(self, traded: _Traded, symbol: str, since: int, whole: Decimal) -> TradePart:
        fill = traded.first
        reason, thesis = self._reason(fill, symbol, since)
        return TradePart(
            at=fill.at,
            kind=traded.kind,
            quantity=traded.quantity,
            share=round(traded.quantity / whole, _SHARE_PLACES),
            price=traded.price(),
            realised=traded.realised,
            reason=reason,
            by=fill.by,
            wake_id=fill.wake_id,
            order="" if fill.leg == OUTSIDE else f"{fill.n}-{fill.leg}-{fill.revision}",
            thesis=thesis,
        )

    def _reason(self, fill: _Fill, symbol: str, since: int) -> tuple[str, str]:
        """Return why the order of a fill was sent, in one word, and the reason that its author gave."""
        kind = closed_by(fill.leg, bool(fill.maker))
        if fill.leg == OUTSIDE:
            event = domain_event(*self._db.execute(_EVENT, (fill.seq,)).fetchone())
            return (str(event.cause), "") if isinstance(event, events.OutsideFilled) else (kind, "")
        if kind in ("stop", "target"):
            return kind, ""
        if fill.key:
            return self._asked(fill, symbol) or (kind, "")
        if fill.by != GUARD:
            return ("flatten" if fill.leg == Purpose.EXIT else kind), ""
        rule = self._db.execute(_RULE, (fill.seq, since, symbol)).fetchone()
        return (str(rule[0]), str(rule[1])) if rule else (GUARD, "")

    def _asked(self, fill: _Fill, symbol: str) -> tuple[str, str] | None:
        """Return the action and the thesis of the leg, or of the client's request, that led to an order."""
        if (found := _LEG_KEY.fullmatch(fill.key)) is not None:
            decision = self._decision(int(found[1]), found[2] or "", fill.seq)
            leg = decision.legs[int(found[3])] if decision and int(found[3]) < len(decision.legs) else None
            return None if leg is None or leg.symbol != symbol else (leg.action.value, leg.reasoning)
        asked = find_request(self._db, fill.seq, fill.key)
        match None if asked is None else asked[2].request:
            case asks.LegRequest(leg=leg):
                return leg.action.value, leg.reasoning
            case asks.CloseRequest(why=why):
                return "close", why
        return None

    def _decision(self, wake_id: int, turn: str, before: int) -> Decision | None:
        """Return the first decision on a wake, its correction (`again`), or the last one by the rules (`rules`)."""
        if turn == "again":
            row = self._db.execute(_CORRECTED, (before, wake_id)).fetchone()
        else:
            if self._made is None:
                query = "SELECT wake_id, min(seq), max(seq) FROM decisions GROUP BY wake_id"
                self._made = {wake: (first, last) for wake, first, last in self._db.execute(query)}
            seq = self._made.get(wake_id, (0, 0))[turn == "rules"]
            row = self._db.execute(_EVENT, (seq,)).fetchone()
        event = None if row is None else domain_event(*row)
        return event.decision if isinstance(event, events.DecisionMade | events.DecisionCorrected) else None


def find_request(db: Database, before: int, key: str) -> tuple[int, int, events.CallerAsked] | None:
    """Return the client's request with a key, the last one before the event `before`: its sequence, time (ms), event.

    A request comes just before its order, unless the order had to wait for an approval.
    """
    for seq, at, payload in db.execute(_ASKED, (before,)):
        event = domain_event(seq, payload)
        if isinstance(event, events.CallerAsked) and str(request_key(event.request)) == key:
            return seq, at, event
    return None


def _by_order(fills: list[_Fill], *, closed: bool) -> tuple[list[_Traded], Decimal]:
    """Return the fills of a trade as one part per order and kind, and the remainder of a closed spot position."""
    parts: dict[tuple[object, ...], _Traded] = {}
    dust = ZERO
    for number, fill in enumerate(fills, 1):
        before, after = fill.before, fill.position
        reverses = before * after < 0
        if reverses:
            # The fill closed one position and opened another; only the part of this trade counts here.
            opens, closes = (ZERO, abs(before)) if closed and number == len(fills) else (abs(after), ZERO)
        else:
            grew = abs(after) - abs(before)
            opens, closes = max(ZERO, grew), max(ZERO, -grew)
        if closes and not parts:
            # The fill closed the previous trade.
            continue
        quantity, kind = (opens, "entry") if opens else (closes, "exit")
        key = (fill.n, fill.leg, fill.revision, kind, fill.seq if fill.leg == OUTSIDE else 0)
        part = parts.setdefault(key, _Traded(fill, "entry" if opens else "exit"))
        part.quantity += quantity
        part.turnover += quantity * fill.price
        part.realised += fill.realised if closes else ZERO
        dust = ZERO if reverses else abs(after)
    return [each for each in parts.values() if each.quantity], dust


def _sums(parts: Iterator[_Traded]) -> tuple[Decimal, Decimal]:
    quantity = turnover = ZERO
    for each in parts:
        quantity, turnover = quantity + each.quantity, turnover + each.turnover
    return quantity, turnover
