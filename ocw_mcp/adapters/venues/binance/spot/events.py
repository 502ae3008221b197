"""What the events of the account on spot do: reports on orders and trades, and reasons to read the account."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from ocw_mcp.adapters.venues.binance.product import Ties
from ocw_mcp.adapters.venues.binance.queries import AccountQueries
from ocw_mcp.adapters.venues.binance.spot.legs import Legs
from ocw_mcp.adapters.venues.binance.spot.names import leg_of
from ocw_mcp.adapters.venues.binance.spot.wire import (
    BalanceChange,
    Execution,
    ListStatus,
    SpotEvent,
    StreamEnds,
    decode_event,
)
from ocw_mcp.adapters.venues.binance.translation import ended, rejected
from ocw_mcp.adapters.venues.binance.user_wire import UnreadableEvent
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Accepted, Canceled, OrderRef, Transferred
from ocw_mcp.domain.symbols import assets_of

MOST_MOVES: Final = 1_000
"""The number of moves of balances that are remembered."""
_OVER: Final = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"})


class SpotEvents:
    """Takes the messages of the user data stream of spot."""

    def __init__(self, ties: Ties, queries: AccountQueries, legs: Legs, symbols: Sequence[str]) -> None:
        """`symbols` are those that the book trades."""
        self.terms = ties.terms
        self.count = 0
        self.symbols: set[str] = set()
        self.income_due = False
        self.stream_over: Callable[[str], None] = lambda why: None
        self._ties, self._queries, self._legs = ties, queries, legs
        self._bases = {assets_of(symbol)[0]: symbol for symbol in symbols}
        self._quotes = {assets_of(symbol)[1] for symbol in symbols}
        self._moved: OrderedDict[tuple[str, int, Decimal], None] = OrderedDict()

    def take(self, messages: Sequence[bytes | str]) -> None:
        """Take messages in their order."""
        for each in messages:
            try:
                event = decode_event(each)
            except UnreadableEvent as error:
                self.count += 1
                self._ties.reports.incident(f"the user data stream sent an event that cannot be read: {error}")
                self._ties.demand("an event could not be read")
                continue
            if event is not None:
                self._take(event)

    def _take(self, event: SpotEvent) -> None:
        if isinstance(event, StreamEnds):
            self.stream_over(f"the exchange sent {event.event}")
            return
        self.count += 1
        match event:
            case Execution():
                self._on_execution(event)
            case ListStatus():
                self._on_list(event)
            case BalanceChange():
                self._on_balance(event)

    def _on_execution(self, event: Execution) -> None:
        self.symbols.add(event.symbol)
        reports = self._ties.reports
        identity = self._ties.identities.add(event.symbol, event.id, event.client_id)
        trade = event.row()
        if trade is not None and self._queries.follows(event.symbol):
            reports.add_trade(identity, trade)
        if identity.ref is not None:
            self._report(event, identity.ref)
        if event.filled > reports.filled(event.symbol, event.id) and self._queries.follows(event.symbol):
            self._ties.demand("an event shows fills that were not reported")

    def _report(self, event: Execution, ref: OrderRef) -> None:
        """Report the state of an order of this book, apart from its trade."""
        leg, reports = leg_of(event.client_id), self._ties.reports
        reason = "" if event.reason == "NONE" else event.reason
        if event.kind == "NEW":
            reports.add(Accepted(ref, str(event.id)))
        elif leg is not None:
            if event.status in _OVER:
                self._legs.ended(ref, leg, ended(event.status, reason))
        elif event.status == "REJECTED":
            reports.add(rejected(ref, reason))
        elif event.status in _OVER and event.status != "FILLED":
            reports.add(Canceled(ref, ended(event.status, reason), event.filled))

    def _on_list(self, event: ListStatus) -> None:
        ref = self._ties.identities.ref(event.name)
        if ref is None or ref not in self._ties.live:
            return
        if event.status == "REJECT":
            self._ties.reports.add(rejected(ref, "" if event.reason == "NONE" else event.reason))
        elif event.status == "ALL_DONE":
            # The events of its orders say more; if one of them was lost, the reading finds out.
            self._ties.demand(f"the order list {ref} is over")
        else:
            self._ties.reports.add(Accepted(ref, str(event.id)))

    def _on_balance(self, event: BalanceChange) -> None:
        """Report a transfer of the quote currency; one of a base asset changes the position of its symbol."""
        key = event.asset, event.at, event.change
        if not event.change.is_finite() or event.change == ZERO or key in self._moved:
            # While a connection is renewed, both deliver the same events.
            return
        self._moved[key] = None
        if len(self._moved) > MOST_MOVES:
            self._moved.popitem(last=False)
        reports = self._ties.reports
        if event.asset in self._quotes:
            # The exchange gives a move no id.
            reports.add(Transferred(f"{event.asset}-{event.at}-{event.change}", event.change, event.at))
        elif event.asset in self._bases:
            reports.move(self._bases[event.asset], event.change)
            reports.incident(f"{event.change} {event.asset} were moved into the account or out of it")
        self._ties.demand("a balance changed without a trade")
