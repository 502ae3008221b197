"""What the events of the user data stream do: reports on orders and trades, and reasons to read the account."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.terms import SET_UP, Terms
from ocw_mcp.adapters.venues.binance.trades import TradeReader
from ocw_mcp.adapters.venues.binance.translation import TRADES, actual_id, algo_reports, order_reports, traded
from ocw_mcp.adapters.venues.binance.user_wire import (
    AccountUpdate,
    AlgoEvent,
    AlgoUpdate,
    ConfigUpdate,
    KeyExpired,
    MarginCall,
    OrderEvent,
    OrderUpdate,
    UnreadableEvent,
    decode_event,
)
from ocw_mcp.domain.orders import VenueNotice, VenueNoticeKind


class UserEvents:
    """Takes the messages of the user data stream."""

    def __init__(
        self,
        identities: Identities,
        reports: Reports,
        trades: TradeReader,
        terms: Terms,
        demand: Callable[[str], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """`demand` asks for a reading of the account; `spawn` runs a task of the venue."""
        self._identities, self._reports, self._trades = identities, reports, trades
        self._demand, self._spawn = demand, spawn
        self.terms = terms
        self.stream_over: Callable[[str], None] = lambda why: None
        """Is called with the reason when the stream says that it has ended."""
        self.count = 0
        """The number of events on the account so far."""
        self.symbols: set[str] = set()
        """The symbols of all events so far."""
        self.income_due = False
        """True after an event of income other than from trades, until the income has been read."""

    def take(self, messages: Sequence[bytes | str]) -> None:
        """Take messages in their order."""
        for each in messages:
            try:
                event = decode_event(each)
            except UnreadableEvent as error:
                self.count += 1
                self._reports.incident(f"the user data stream sent an event that cannot be read: {error}")
                self._demand("an event could not be read")
                continue
            if event is None:
                continue
            if isinstance(event, KeyExpired):
                self.stream_over("its listen key has expired")
                continue
            self.count += 1
            match event:
                case OrderUpdate(order=order):
                    self._on_order(order)
                case AlgoUpdate(order=algo):
                    self._on_algo(algo)
                case AccountUpdate():
                    self._on_account(event)
                case ConfigUpdate():
                    self._on_config(event)
                case MarginCall(positions=positions):
                    symbols = ", ".join(each.symbol for each in positions)
                    self._reports.incident(f"the exchange warned of a liquidation of {symbols}")

    def _on_order(self, order: OrderEvent) -> None:
        self.symbols.add(order.symbol)
        known = self._identities.get(order.symbol, order.id)
        foreign = known is None or known.ref is None
        if foreign and self._trades.may_be_triggered(order.client_id, order.original_type, order.symbol, order.side):
            self._spawn(self._identify(order))
            return
        self._report(order)

    async def _identify(self, order: OrderEvent) -> None:
        """Report an order that may be what an algo order of this book became, when that is known."""
        try:
            await self._trades.triggered(order.id, order.client_id, order.original_type, order.symbol, order.side)
        except QueryFailed:
            # The reading of the account finds its trades, and asks again whose they are.
            self._demand("it is not known whose order has triggered")
            return
        self._report(order)

    def _report(self, order: OrderEvent) -> None:
        identity = self._identities.add(order.symbol, order.id, order.client_id)
        trade = traded(order)
        if trade is not None:
            self._reports.add_trade(identity, trade)
        elif identity.ref is not None and order.execution not in TRADES:
            for report in order_reports(order, identity.ref):
                self._reports.add(report)
        if order.filled > self._reports.filled(order.symbol, order.id):
            self._demand("an event shows fills that were not reported")

    def _on_algo(self, algo: AlgoEvent) -> None:
        self.symbols.add(algo.symbol)
        ref = self._identities.ref(algo.client_id)
        if ref is None:
            return
        order_id = actual_id(algo.order_id)
        if order_id is not None:
            self._identities.bind(algo.symbol, order_id, ref)
        for report in algo_reports(algo, ref, algo.reason):
            self._reports.add(report)
        if order_id is not None and (algo.executed or 0) > self._reports.filled(algo.symbol, order_id):
            self._demand("an algo order shows fills that were not reported")

    def _on_account(self, event: AccountUpdate) -> None:
        self.symbols |= {each.symbol for each in event.change.positions}
        for each in event.change.positions:
            if each.margin_type:
                self.terms.set_margin_type(each.symbol, each.margin_type)
        if event.change.reason == "MARGIN_TYPE_CHANGE":
            for each in event.change.positions:
                if each.margin_type == "cross":
                    self._halt(f"the margin type of {each.symbol} was changed to cross")
        elif event.change.reason != "ORDER":
            self.income_due = True
            self._demand(f"the account changed by {event.change.reason or 'an unnamed reason'}")

    def _on_config(self, event: ConfigUpdate) -> None:
        if event.leverage is not None:
            self.terms.set_leverage(event.leverage.symbol, event.leverage.leverage)
            self._demand("the leverage of a symbol was changed")
        if event.assets is not None and event.assets.multi:
            self._halt("multi-assets mode was switched on")

    def _halt(self, what: str) -> None:
        text = f"{what}; OCW needs isolated margin, single-asset mode and one-way mode: {SET_UP}"
        self._reports.add(VenueNotice(VenueNoticeKind.HALT, text))
