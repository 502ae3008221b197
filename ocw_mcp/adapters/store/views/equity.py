"""The equity of a book over time, from its journal and from closes of candles."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.database import GET_SUMMARY
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import Side


class EquityPoint(msgspec.Struct, frozen=True):
    """Equity (quote currency) at one time (ms)."""

    at: int
    equity: Decimal


class EquityPage(msgspec.Struct, frozen=True):
    """Some points, oldest first, and the time (ms) before which the page of older points begins."""

    points: list[EquityPoint]
    next: int | None


class Closes(NamedTuple):
    """By symbol, the times (ms) at which candles of one timeframe closed, oldest first, and the closes (quote)."""

    times: Mapping[str, Sequence[int]]
    prices: Mapping[str, Sequence[float]]


class Account(NamedTuple):
    """The account up to event `seq`, at `at` (ms): cash (quote), which counts purchases as paid, and positions."""

    seq: int
    at: int
    cash: Decimal
    positions: Mapping[str, Decimal]


class _Summary(msgspec.Struct):
    at: int | None = None


_BEGINNING = "SELECT at, equity FROM days ORDER BY seq LIMIT 1"
_DAYS = "SELECT at, equity FROM days WHERE at < ? ORDER BY seq DESC LIMIT ?"
# What changed the account, in order: fills with the position after them, funding and transfers.
_CHANGES = """SELECT seq, at, symbol, side, quantity, base_fee, price, fee, position FROM fills
        WHERE seq > :seq AND at <= :until
    UNION ALL SELECT seq, at, '', '', amount, '0', '0', '0', '0' FROM funding
        WHERE seq > :seq AND at <= :until
    UNION ALL SELECT seq, at, '', '', json_extract(payload, '$.amount'), '0', '0', '0', '0' FROM events
        WHERE seq > :seq AND kind = 'transfer.booked' AND at <= :until
    ORDER BY seq"""
_LATEST = 1 << 62


def page_day_equities(db: Database, limit: int, before: int | None) -> EquityPage:
    """Return the equity at the starts of the newest `limit` UTC days that began before `before` (ms)."""
    rows = db.execute(_DAYS, (_LATEST if before is None else before, limit + 1)).fetchall()
    points = [EquityPoint(at, Decimal(equity)) for at, equity in reversed(rows[:limit])]
    return EquityPage(points, points[0].at if len(rows) > limit else None)


def page_equity(
    db: Database, closes: Closes, limit: int, before: int | None, known: Account | None = None
) -> tuple[EquityPage, Account | None]:
    """Return the equity at the newest `limit` closes before `before` (ms), positions valued at the closes.

    A point covers all fills and funding up to its time. There is no point before the beginning of the book, after its
    last committed summary, or without a close of a symbol in position. A spot quantity that is too small to be sold
    counts at the close. The second value is the account at the first point: with it as `known`, a later page costs no
    time for earlier events.
    """
    began, summary = db.execute(_BEGINNING).fetchone(), db.execute(GET_SUMMARY).fetchone()
    until = None if summary is None else msgspec.json.decode(summary[0], type=_Summary).at
    end = _LATEST if before is None else before
    every: list[int] = []
    if began is not None and until is not None:
        every = sorted({at for times in closes.times.values() for at in times if began[0] <= at <= until and at < end})
    page = every[-limit:]
    if not page:
        return EquityPage([], None), known
    start = known if known is not None and known.at <= page[0] else Account(0, 0, Decimal(began[1]), {})
    seq, cash, positions, first = start.seq, start.cash, dict(start.positions), start
    points: list[EquityPoint] = []
    changes = iter(db.execute(_CHANGES, {"seq": seq, "until": page[-1]}).fetchall())
    change = next(changes, None)
    for at in page:
        while change is not None and change[1] <= at:
            cash += _book(change, positions)
            seq, change = change[0], next(changes, None)
        if at == page[0]:
            first = Account(seq, at, cash, dict(positions))
        if (value := _value(positions, closes, at)) is not None:
            points.append(EquityPoint(at, cash + value))
    return EquityPage(points, page[0] if len(every) > limit else None), first


def _book(change: tuple[int, int, str, str, str, str, str, str, str], positions: dict[str, Decimal]) -> Decimal:
    """Note the position after a change of the account, and return the cash that the change brought (quote)."""
    _, _, symbol, side, quantity, base_fee, price, fee, position = change
    if not symbol:
        return Decimal(quantity)
    positions[symbol] = Decimal(position)
    return -Side(side).sign * (Decimal(quantity) - Decimal(base_fee)) * Decimal(price) - Decimal(fee)


def _value(positions: Mapping[str, Decimal], closes: Closes, at: int) -> Decimal | None:
    """Return the value of all positions at their last closes; None if a close is not known."""
    value = ZERO
    for symbol, quantity in positions.items():
        if quantity:
            place = bisect_right(closes.times.get(symbol, ()), at) - 1
            if place < 0:
                return None
            value += quantity * exact(closes.prices[symbol][place])
    return value
