"""The reports of the venue in their order, each fill once, with the state of the live orders that follows from them."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.binance.fees import FeeValues
from ocw_mcp.adapters.venues.binance.identities import Identity
from ocw_mcp.adapters.venues.binance.live_orders import LiveOrders
from ocw_mcp.adapters.venues.binance.rest_wire import IncomeRow, TradeRow
from ocw_mcp.adapters.venues.binance.translation import ImpossibleTrade, income_key, income_reports, trade_report
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    OutcomeUnknown,
    Rejected,
    Side,
    Triggered,
    VenueNotice,
    VenueNoticeKind,
    VenueReport,
)

MOST_REMEMBERED: Final = 50_000
"""The number of trades, of income records and of states of orders that are remembered, so that each is reported once.

What is older may be reported again; the engine knows it by its id.
"""
_OF_ORDERS: Final = (Accepted, Rejected, OutcomeUnknown, Filled, Canceled, CancelRefused, Triggered)


class _Once:
    """A bounded memory of what was reported."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, None] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def add(self, key: Hashable) -> bool:
        """Remember a key; return whether it is new."""
        if key in self._known:
            return False
        self._known[key] = None
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return True


class Reports:
    """What the venue has said and the engine has not taken yet."""

    def __init__(self, live: LiveOrders, fees: FeeValues, now_ms: Callable[[], int]) -> None:
        """`now_ms` returns the exchange's time."""
        self.fees = fees
        self._live, self._now_ms = live, now_ms
        self._queue: asyncio.Queue[VenueReport] = asyncio.Queue()
        self._said, self._trades, self._income = _Once(), _Once(), _Once()
        self._filled: OrderedDict[tuple[str, int], Decimal] = OrderedDict()
        self._net: dict[str, Decimal] = {}
        self.listener: Callable[[VenueReport], None] = lambda report: None
        """Is called with each report on an order, after it was added."""

    async def each(self) -> AsyncIterator[VenueReport]:
        """Yield the reports; never end."""
        while True:
            yield await self._queue.get()

    def add(self, report: VenueReport) -> None:
        """Add a report. The same state of an order, such as Accepted under the same id, is reported once."""
        if isinstance(report, Accepted | Triggered):
            if not self._said.add((type(report), report.ref, report.venue_order_id)):
                return
            report = msgspec.structs.replace(report, at=self._now_ms())
        elif isinstance(report, Canceled | Rejected) and not self._said.add((type(report), report.ref)):
            return
        self._queue.put_nowait(report)
        if isinstance(report, _OF_ORDERS):
            self._live.apply(report, self._now_ms())
            self.listener(report)

    def add_trade(self, identity: Identity, trade: TradeRow) -> bool:
        """Report a trade, once; return whether it is new. An impossible one is reported as an incident."""
        key = trade.symbol, trade.id
        if key in self._trades:
            return False
        try:
            report = trade_report(identity, trade, self.fees)
        except ImpossibleTrade as error:
            if self._said.add(("impossible", key)):
                self.incident(f"{error}; it is not booked, and the account is read again")
            return False
        self._trades.add(key)
        order = trade.symbol, trade.order_id
        self._filled[order] = self._filled.get(order, ZERO) + trade.quantity
        if len(self._filled) > MOST_REMEMBERED:
            self._filled.popitem(last=False)
        signed = Side(trade.side.lower()).sign * trade.quantity
        self.move(trade.symbol, signed)
        if charged := self.fees.position_change(trade.fee_asset, trade.fee):
            self.move(*charged)
        self.add(report)
        return True

    def move(self, symbol: str, change: Decimal) -> None:
        """Note that a position has changed (base asset), and that the change is explained."""
        self._net[symbol] = self.net(symbol) + change

    def net(self, symbol: str) -> Decimal:
        """Return by how much (base asset) all that was reported of a symbol has changed its position."""
        return self._net.get(symbol, ZERO)

    def knows_trade(self, symbol: str, trade: int) -> bool:
        """Return whether a trade was reported."""
        return (symbol, trade) in self._trades

    def filled(self, symbol: str, order_id: int) -> Decimal:
        """Return how much (base asset) of an order was reported as filled, by the exchange's id."""
        return self._filled.get((symbol, order_id), ZERO)

    def add_income(self, row: IncomeRow) -> bool:
        """Report an income record, once; return whether it is new."""
        if not self._income.add(income_key(row)):
            return False
        for report in income_reports(row):
            self.add(report)
        return True

    def incident(self, text: str) -> None:
        """Report a fault that was handled."""
        self.add(VenueNotice(VenueNoticeKind.INCIDENT, text[:300]))
