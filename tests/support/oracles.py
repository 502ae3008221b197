"""The four oracles that hold in every scenario, and the equality of the journal and the venue's books.

Each compares what a venue did (`tests.support.venue_records`) with what a book journaled, and returns what is wrong,
one sentence each: an empty list if nothing is. Times are in ms. `away` are the times in which the book's process was
down, or the exchange answered nothing; nothing that takes time is measured in them.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from ocw_mcp.domain import events
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import OrderIntent, OrderRef, Purpose
from ocw_mcp.domain.time import SECOND
from tests.support.venue_records import Arrival, VenueRecord

Journal = Sequence[tuple[int, events.JournalEvent]]
"""Events with their times, as `Store.all_events` yields them."""
Span = tuple[int, int]
_ID = re.compile(r"ocw-([^-]{6})-(\d+)-([estx])-(\d+)")


class Naked(NamedTuple):
    """A time in which a part of a position had no stop; `lasted` leaves out when nothing could be done."""

    symbol: str
    since: int
    until: int
    lasted: int


def ref_of(client_id: str, book: str) -> OrderRef | None:
    """Return the order that a client id names; None if it is not one of the book."""
    found = _ID.match(client_id)
    return None if found is None or found[1] != book else OrderRef(int(found[2]), Purpose(found[3]), int(found[4]))


def one_order_per_leg(record: VenueRecord, journal: Journal, book: str) -> list[str]:
    """At most one order per leg of a decision reaches the venue, after its intent was durable."""
    intents = {each.ref: (at, each.intent) for at, each in journal if isinstance(each, events.OrderIntended)}
    problems = [
        f"{name} reached the venue {number} times"
        for name, number in Counter(each.client_id for each in record.arrivals).items()
        if number > 1 and ref_of(name, book) is not None
    ]
    for arrival in record.arrivals:
        ref = ref_of(arrival.client_id, book)
        if ref is not None and (ref not in intents or intents[ref][0] > arrival.at):
            problems.append(f"{arrival.client_id} reached the venue at {arrival.at} without a journaled intent")
    filled: dict[int, Decimal] = defaultdict(Decimal)
    for trade in record.trades:
        ref = ref_of(trade.client_id, book)
        if ref is not None and ref.leg is Purpose.ENTRY:
            filled[ref.n] += trade.quantity
    for n, quantity in filled.items():
        wanted = max((each.quantity for ref, (_, each) in intents.items() if (ref.n, ref.leg) == (n, Purpose.ENTRY)))
        if quantity > wanted:
            problems.append(f"entry {n} was filled with {quantity}, expected at most {wanted}")
    return problems


class Divergence(NamedTuple):
    """A time in which the positions of the book and of the venue differed, and what they were at its end."""

    symbol: str
    since: int
    until: int
    lasted: int
    ours: Decimal
    theirs: Decimal


def divergences(
    record: VenueRecord, journal: Journal, until: int, away: Sequence[Span] = (), dust: Decimal = ZERO
) -> list[Divergence]:
    """Return the times in which the positions of the book and of the venue differed by more than `dust`."""
    steps: dict[str, list[tuple[int, int, Decimal]]] = defaultdict(list)
    for standing in record.standings:
        steps[standing.symbol].append((standing.at, 0, standing.position))
    for at, event in journal:
        if isinstance(event, events.OrderFilled | events.OutsideFilled):
            steps[event.symbol].append((at, 1, event.position))
    found = []
    for symbol, rows in steps.items():
        rows.sort(key=lambda row: row[:2])
        sides, differs = [ZERO, ZERO], None
        for at, side, position in [*rows, (until, -1, ZERO)]:
            if side >= 0:
                sides[side] = position
            same = side >= 0 and abs(sides[0] - sides[1]) <= dust
            if differs is not None and (same or side < 0):
                found.append(Divergence(symbol, differs, at, time_without(differs, at, away), sides[1], sides[0]))
                differs = None
            elif differs is None and not same and side >= 0:
                differs = at
    return found


def converged(
    record: VenueRecord,
    journal: Journal,
    bound_ms: int,
    until: int,
    away: Sequence[Span] = (),
    dust: Decimal = ZERO,
) -> list[str]:
    """The positions of the book and of the venue differ by more than `dust` at most for `bound_ms` at a time."""
    return [
        f"{each.symbol}: book and venue differed for {each.lasted / SECOND:g} s from {each.since} on, "
        f"at last {each.ours} and {each.theirs}"
        for each in divergences(record, journal, until, away, dust)
        if each.lasted > bound_ms
    ]


def naked_spans(record: VenueRecord, until: int, away: Sequence[Span] = ()) -> list[Naked]:
    """Return the times in which a part of a position had no live stop at the venue."""
    found, since = list[Naked](), dict[str, int]()
    for standing in record.standings:
        symbol = standing.symbol
        if standing.naked:
            since.setdefault(symbol, standing.at)
        elif symbol in since:
            begun = since.pop(symbol)
            found.append(Naked(symbol, begun, standing.at, time_without(begun, standing.at, away)))
    found += [Naked(symbol, begun, until, time_without(begun, until, away)) for symbol, begun in since.items()]
    return found


def protected(
    record: VenueRecord,
    journal: Journal,
    until: int,
    *,
    notice_ms: int,
    again_ms: int,
    unknown_ms: int,
    away: Sequence[Span] = (),
) -> list[str]:
    """A position is under a live stop, or the journal has a deadline for it, after which an exit is under way.

    The book has `notice_ms` to learn of it. Beyond the deadline the answer to an exit is awaited, or an exit of unknown
    outcome is looked up, for at most `unknown_ms`, or the last one failed less than `again_ms` ago.
    """
    warned, settled = defaultdict[str, list[Span]](list), defaultdict[str, list[int]](list)
    for at, event in journal:
        if isinstance(event, events.PositionUnprotected):
            warned[event.symbol].append((at, event.deadline))
        elif isinstance(event, events.PositionProtected | events.PositionClosed):
            settled[event.symbol].append(at)
    exits = _exits_awaited(journal, until, unknown_ms)
    problems = []
    for symbol, since, ended, lasted in naked_spans(record, until, away):
        if lasted <= notice_ms:
            continue
        where = f"{symbol}: from {since} on a part of the position had no stop for {lasted / SECOND:g} s"
        # The deadline of a position that got its stop or was closed says nothing about the next one.
        begun = max((at for at in settled[symbol] if at <= since), default=0)
        known = [deadline for at, deadline in warned[symbol] if begun <= at <= ended and deadline >= since]
        if not known:
            problems.append(f"{where}, and the journal has no deadline for it")
            continue
        idle = max(
            (time_without(begin, end, away) for begin, end in _gaps(min(known), ended, exits[symbol])), default=0
        )
        if idle > again_ms:
            problems.append(f"{where}, and beyond its deadline no exit was under way for {idle / SECOND:g} s")
    return problems


def _exits_awaited(journal: Journal, until: int, unknown_ms: int) -> dict[str, list[Span]]:
    """Return by symbol the times from the intent of an exit to its end, at most `unknown_ms` of them unknown."""
    found = defaultdict[str, list[Span]](list)
    sent, unknown, left = dict[OrderRef, tuple[str, int]](), dict[OrderRef, int](), dict[OrderRef, Decimal]()

    def ends(ref: OrderRef, at: int) -> None:
        symbol, since = sent.pop(ref)
        found[symbol].append((since, min(at, unknown.pop(ref, at) + unknown_ms)))

    for at, event in journal:
        match event:
            case events.OrderIntended() if event.ref.leg is Purpose.EXIT:
                sent[event.ref], left[event.ref] = (event.intent.symbol, at), event.intent.quantity
            case events.OrderUnknown() if event.ref in sent:
                unknown[event.ref] = at
            case events.RunResumed():
                # The look-ups begin again.
                unknown = dict.fromkeys(unknown, at)
            case events.OrderAccepted() if event.ref in sent:
                unknown.pop(event.ref, None)
            case events.OrderFilled() if event.ref in sent:
                left[event.ref] -= event.quantity
                if left[event.ref] <= ZERO:
                    ends(event.ref, at)
            case events.OrderRejected() | events.OrderCanceled() if event.ref in sent:
                ends(event.ref, at)
            case _:
                pass
    for ref in list(sent):
        ends(ref, until)
    return found


def _gaps(since: int, until: int, spans: Sequence[Span]) -> list[Span]:
    """Return the parts of a time that no span covers."""
    found, at = list[Span](), since
    for begin, end in sorted(spans):
        if begin > at:
            found.append((at, min(begin, until)))
        at = max(at, end)
    return [(begin, end) for begin, end in [*found, (at, until)] if begin < end <= until]


class Limits(NamedTuple):
    """The largest value of all positions, and of one, as shares of equity; `tolerance` is a share of these."""

    gross: Decimal
    share: Decimal
    tolerance: Decimal = Decimal("0.02")


def within_budget(record: VenueRecord, journal: Journal, book: str, limits: Limits, report_ms: int = 0) -> list[str]:
    """When an entry of the book reaches the venue, all that is open fits the limits, unknown outcomes included.

    An entry that arrives after it was proved absent is booked and protected, but its budget was free by then. It does
    not count against an entry that was cleared before a report of it, which takes `report_ms`, could reach the book.
    """
    problems, steps = list[str](), [(at, 0, event) for at, event in journal]
    cleared = {each.ref: (at, each.intent) for at, each in journal if isinstance(each, events.OrderIntended)}
    intents = {ref: intent for ref, (_, intent) in cleared.items()}
    late = list[tuple[int, str, Decimal]]()
    arrived = {each.client_id for each in record.arrivals}
    unknown: dict[OrderRef, Decimal] = {}
    absent: set[OrderRef] = set()
    rows: list[tuple[int, int, object]] = [*steps, *((each.at, 1, each) for each in record.arrivals)]
    prices: dict[str, Decimal] = {}
    for trade in record.trades:
        prices.setdefault(trade.symbol, trade.price)
    for _, kind, row in sorted(rows, key=lambda each: each[:2]):
        if kind == 0:
            match row:
                case events.OrderUnknown() if row.ref.leg is Purpose.ENTRY:
                    if row.ref.client_id(book) not in arrived:
                        intent = intents[row.ref]
                        price = intent.limit_price or intent.quoted or prices.get(intent.symbol) or intent.protect_at
                        unknown[row.ref] = intent.quantity * (price or ZERO)
                case events.OrderRejected() | events.OrderCanceled():
                    unknown.pop(row.ref, None)
                    absent.add(row.ref)
                case _:
                    pass
            continue
        arrival = row
        assert isinstance(arrival, Arrival)
        ref = ref_of(arrival.client_id, book)
        if ref is None or arrival.reduces:
            continue
        if ref in absent:
            late.append((arrival.at, arrival.symbol, _added(record, arrival, intents[ref])))
            continue
        begun = cleared[ref][0] if ref in cleared else arrival.at
        unseen = [(symbol, value) for at, symbol, value in late if at + report_ms > begun]
        waiting = sum((value for other, value in unknown.items() if other != ref), ZERO)
        gross = arrival.gross + waiting - sum((value for _, value in unseen), ZERO)
        of_symbol = arrival.of_symbol - sum((value for symbol, value in unseen if symbol == arrival.symbol), ZERO)
        room = 1 + limits.tolerance
        if gross > arrival.equity * limits.gross * room:
            problems.append(
                f"{arrival.client_id} made {gross:.2f} open, expected at most {arrival.equity * limits.gross:.2f}"
            )
        if of_symbol > arrival.equity * limits.share * room:
            problems.append(
                f"{arrival.client_id} made {of_symbol:.2f} of {arrival.symbol} open, expected at most "
                f"{arrival.equity * limits.share:.2f}"
            )
    return problems


def _added(record: VenueRecord, arrival: Arrival, intent: OrderIntent) -> Decimal:
    """Return the value (quote) that an entry adds to its symbol when it arrives; 0 against a position."""
    held = [each.position for each in record.standings if each.symbol == arrival.symbol and each.at < arrival.at]
    if held and held[-1] * intent.side.sign < ZERO:
        return ZERO
    traded = (each.price for each in record.trades if each.client_id == arrival.client_id)
    return arrival.quantity * (intent.limit_price or next(traded, ZERO))


def same_books(
    record: VenueRecord,
    journal: Journal,
    since: int = 0,
    until: int | None = None,
    *,
    nameless_until: int | None = None,
) -> list[str]:
    """Every trade and change of the balance at the venue is in the journal once, and nothing else is.

    What happened before `since` was before the book, and what happened after `until` may not have reached it.
    `nameless_until` is given if the venue gives transfers no id and has no list of them; see `_nameless_transfers`.
    """
    theirs: list[tuple[int, object]] = [(each.at, each.trade_id) for each in record.trades]
    ours, begun = list[object](), False
    transfers = [each for each in record.changes if each.kind == "TRANSFER" and since <= each.at]
    booked_transfers = list[events.TransferBooked]()
    for change in record.changes:
        if change.kind in ("FUNDING_FEE", "INSURANCE_CLEAR"):
            # What a liquidation costs is booked like a payment of the position.
            theirs.append((change.at, ("funding", change.symbol, change.amount)))
    for _, event in journal:
        match event:
            case events.OrderFilled() | events.OutsideFilled():
                ours.append(event.fill_id)
            case events.FundingBooked():
                ours.append(("funding", event.symbol, event.amount))
            case events.TransferBooked() if not begun and event.transfer_id.startswith("found-"):
                # The balance with which the book begins.
                begun = True
            case events.TransferBooked():
                booked_transfers.append(event)
            case _:
                pass
    problems = list[str]()
    if nameless_until is None:
        theirs += [(each.at, ("transfer", each.transaction, each.amount)) for each in transfers]
        ours += [("transfer", each.transfer_id, each.amount) for each in booked_transfers]
    else:
        problems = _nameless_transfers([(each.at, each.amount) for each in transfers], booked_transfers, nameless_until)
    known = Counter(row for at, row in theirs if since <= at)
    settled = Counter(row for at, row in theirs if since <= at and (until is None or at <= until))
    booked = Counter(ours)
    problems += [f"{row} of the venue is missing in the journal" for row in settled - booked]
    return problems + [
        f"{row} is in the journal {booked[row]} times, at the venue {known[row]} times" for row in booked - known
    ]


def _nameless_transfers(
    theirs: Sequence[tuple[int, Decimal]], ours: Sequence[events.TransferBooked], until: int
) -> list[str]:
    """Each reported transfer is one of the venue's, and all transfers until a time are in the journal.

    A transfer whose event was lost is booked by the difference of the balance that it leaves. Several of them leave one
    difference, so their sum is compared.
    """
    known, reported = Counter(theirs), [each for each in ours if not each.transfer_id.startswith("found-")]
    counted = Counter((each.transferred_at, each.amount) for each in reported)
    problems = [f"a transfer of {amount} at {at} is in the journal too often" for at, amount in counted - known]
    booked, sums = (
        sum((each.amount for each in ours), ZERO),
        {sum((amount for at, amount in theirs if at <= until), ZERO)},
    )
    for at, amount in theirs:
        if at > until:
            sums |= {each + amount for each in sums}
    if booked not in sums:
        expected = " or ".join(str(each) for each in sorted(sums))
        problems.append(f"the journal has transfers of {booked} in all, expected {expected}")
    return problems


def time_without(since: int, until: int, away: Sequence[Span]) -> int:
    """Return the time from `since` to `until` (ms) without the spans of `away`, which may overlap."""
    return sum(end - begin for begin, end in _gaps(since, until, away))
