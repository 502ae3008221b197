"""What really happened at a venue, in the venue's own words: the orders that reached it, its trades, and its stops.

The oracles of `tests.support.oracles` compare such a record with the journal of a book.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Candle, Funding, Mark, OrderBook, Product
from ocw_mcp.domain.money import ZERO, exact
from ocw_mcp.domain.orders import Filled, FundingPaid, OrderRef, OutsideFill, Purpose, VenueReport
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.events import LAG, Event
from ocw_mcp.sandbox.binance.account.state import EventLog, State
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.listing import assets
from ocw_mcp.sandbox.binance.spot.account import SpotAccount
from ocw_mcp.sandbox.binance.spot.api import SpotApi

ALL = Decimal("Infinity")
"""What a stop covers that closes the whole position."""
SMALLEST = Decimal(10)
"""On spot, less than this (quote), or than the quantity step, cannot be sold, so it needs no stop."""


class Arrival(NamedTuple):
    """An order that reached the venue, with the account as it was then. Times in ms, amounts in quote currency."""

    at: int
    client_id: str
    symbol: str
    quantity: Decimal
    """0 for an order that closes the position."""
    reduces: bool
    gross: Decimal = ZERO
    """The value of all positions and open entries, this order included."""
    of_symbol: Decimal = ZERO
    """The part of `gross` that belongs to the symbol."""
    equity: Decimal = ZERO


class Traded(NamedTuple):
    """A trade of the account. Quantity in the base asset."""

    trade_id: str
    client_id: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    at: int


class Change(NamedTuple):
    """A change of the balance that is no trade: funding, or a transfer."""

    kind: str
    transaction: str
    symbol: str
    amount: Decimal
    at: int


class Standing(NamedTuple):
    """The position of a symbol from a time (ms) on, and the quantity that live stops cover."""

    at: int
    symbol: str
    position: Decimal
    covered: Decimal

    @property
    def naked(self) -> bool:
        """Whether a part of the position has no stop."""
        return abs(self.position) > self.covered


class VenueRecord:
    """The record of one account, in the order of time."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.trades: list[Traded] = []
        self.changes: list[Change] = []
        self.standings: list[Standing] = []
        self.latest: dict[str, Standing] = {}
        """By symbol: its last standing."""

    def stands(self, at: int, symbol: str, position: Decimal, covered: Decimal) -> None:
        """Note position and stops of a symbol, if they are new; states of one millisecond count as one."""
        standing = Standing(at, symbol, position, covered)
        known = self.latest.get(symbol)
        if known is not None and known[2:] == standing[2:]:
            return
        if known is not None and known.at == at:
            place = next(place for place in reversed(range(len(self.standings))) if self.standings[place] is known)
            del self.standings[place]
        self.standings.append(standing)
        self.latest[symbol] = standing

    def mark(self) -> tuple[int, ...]:
        """Return the lengths of the lists, for `forget_since`."""
        return len(self.arrivals), len(self.trades), len(self.changes), len(self.standings)

    def forget_since(self, mark: tuple[int, ...]) -> None:
        """Forget what came after a mark: a venue in the killed process forgot it, too."""
        kept = iter(mark)
        for rows in (self.arrivals, self.trades, self.changes, self.standings):
            del rows[next(kept) :]
        self.latest = {each.symbol: each for each in self.standings}


class _Unread:
    """Reads the new rows at the end of a growing collection whose rows have growing numbers."""

    def __init__(self) -> None:
        self._last = -1

    def of(self, rows: Iterable[Any], number: Callable[[Any], int]) -> list[Any]:
        """Return the rows behind the last one that was read, oldest first. `rows` begins with the newest."""
        found: list[Any] = []
        for row in rows:
            if number(row) <= self._last:
                break
            found.append(row)
        self._last = max(self._last, *map(number, found)) if found else self._last
        return found[::-1]


class ExchangeRecord(VenueRecord):
    """The record of the sandbox exchange, which reads the account at each of its events."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        account = exchange.account
        assert isinstance(account, FuturesApi | SpotApi)
        self._orders, self._algos, self._fills, self._income = _Unread(), _Unread(), _Unread(), _Unread()
        if isinstance(account, FuturesApi):
            self._follow(account.account.state.log, partial(self._read_futures, account.account.state))
        else:
            self._follow(account.account.log, partial(self._read_spot, account.account))

    def _follow(self, log: EventLog, read: Callable[[int], None]) -> None:
        add = log.add
        read(0)

        def recorded(event: Event) -> None:
            add(event)
            if event.kind == "balanceUpdate":
                # A transfer on spot, to which the exchange gives no id.
                row = json.loads(event.text)
                row = row.get("event", row)
                if row["a"] == "USDT":
                    self.changes.append(Change("TRANSFER", "", "", Decimal(row["d"]), row["T"]))
            read(event.at - LAG)

        log.add = recorded  # type: ignore[method-assign]

    def _read_futures(self, state: State, at: int) -> None:
        for order in self._orders.of(reversed(state.orders.values()), lambda each: each.id):
            if not order.algo:
                reduces = order.reduce_only or order.close_position
                gross, of_symbol = _exposure(state, order.symbol, at)
                row = Arrival(order.created, order.client_id, order.symbol, order.quantity, reduces, gross, of_symbol)
                self.arrivals.append(row._replace(equity=_equity(state, at)))
        for algo in self._algos.of(reversed(state.algos.values()), lambda each: each.id):
            row = Arrival(algo.created, algo.client_id, algo.symbol, algo.quantity, algo.reduce_only)
            self.arrivals.append(row)
        for fill in self._fills.of(reversed(state.fills), lambda each: each.id):
            name = state.orders[fill.order].client_id
            self.trades.append(
                Traded(str(fill.id), name, fill.symbol, fill.side.lower(), fill.quantity, fill.price, fill.at)
            )
        for row in self._income.of(reversed(state.wallet.income), lambda each: each.transaction):
            if row.kind not in ("REALIZED_PNL", "COMMISSION"):
                self.changes.append(Change(row.kind, str(row.transaction), row.symbol, row.amount, row.at))
        for symbol, position in state.positions.items():
            stops = [
                each
                for each in state.waiting.values()
                if each.symbol == symbol and each.type == "STOP_MARKET" and each.reduce_only
                if each.is_buy == (position.sign < 0)
            ]
            covered = sum((ALL if each.close_position else each.quantity for each in stops), ZERO)
            self.stands(at, symbol, position.quantity, covered)

    def _read_spot(self, account: SpotAccount, at: int) -> None:
        for order in self._orders.of(reversed(account.orders.values()), lambda each: each.id):
            held = sum(
                (
                    (account.totals.get(assets(symbol)[0], ZERO) * account.prices.last(symbol, at))
                    for symbol in account.symbols
                ),
                ZERO,
            )
            of_symbol = account.totals.get(assets(order.symbol)[0], ZERO) * account.prices.last(order.symbol, at)
            equity = account.totals.get("USDT", ZERO) + held
            buying = dict.fromkeys(account.symbols, ZERO)
            for each in account.open.values():
                if each.is_buy:
                    price = each.price or each.stop or account.prices.best(each.symbol, True, at)
                    buying[each.symbol] += each.left * price
            gross = held + sum(buying.values())
            row = Arrival(order.created, order.client_id, order.symbol, order.quantity, not order.is_buy, gross)
            self.arrivals.append(row._replace(of_symbol=of_symbol + buying[order.symbol], equity=equity))
        for fill in self._fills.of(reversed(account.fills), lambda each: each.id):
            order = fill.order
            side = order.side.lower()
            self.trades.append(
                Traded(str(fill.id), order.client_id, order.symbol, side, fill.quantity, fill.price, fill.at)
            )
        for symbol in account.symbols:
            stops = [each for each in account.open.values() if each.symbol == symbol and not each.is_buy and each.stop]
            covered, held = sum((each.left for each in stops), ZERO), account.totals.get(assets(symbol)[0], ZERO)
            step = Decimal(1).scaleb(-account.prices.market.decimals(symbol)[1])
            left = held - covered
            if left < step or left * account.prices.last(symbol, max(at, account.at)) < SMALLEST:
                covered = ALL
            self.stands(at, symbol, held, covered)


def _exposure(state: State, symbol: str, at: int) -> tuple[Decimal, Decimal]:
    """Return the value (quote) of all positions and open entries, and the part of it that belongs to a symbol."""
    gross: dict[str, Decimal] = {}
    for name, position in state.positions.items():
        gross[name] = abs(position.notional(state.prices.mark(name, at)))
    for order in state.open.values():
        if not order.reduce_only and not order.close_position:
            price = order.price or state.prices.mark(order.symbol, at)
            gross[order.symbol] = gross.get(order.symbol, ZERO) + order.left * price
    return sum(gross.values(), ZERO), gross.get(symbol, ZERO)


def _equity(state: State, at: int) -> Decimal:
    profits = (each.profit(state.prices.mark(each.symbol, at)) for each in state.positions.values() if each.quantity)
    return state.wallet.balances.get("USDT", ZERO) + sum(profits, ZERO)


class RecordedPaper(PaperVenue):
    """The paper venue, which also writes a record of what it did.

    After a kill, the record has to be that of the last checkpoint: the restarted book repeats what came after it.
    """

    def __init__(self, book: str, product: Product, wallet: Decimal, patience_ms: int, **more: Any) -> None:
        super().__init__(product, wallet, patience_ms, **more)
        self.record = VenueRecord()
        self._book = book
        self._time = 0

    async def submit(self, cleared: ClearedOrder, now: int) -> None:
        self._time = now
        order = cleared.order
        known = order.ref in {each.ref for each in self.orders}
        await super().submit(cleared, now)
        if not known and order.ref in {each.ref for each in self.orders}:
            gross, of_symbol = self._exposure(order.symbol)
            row = Arrival(now, order.ref.client_id(self._book), order.symbol, order.quantity, order.reduce_only)
            self.record.arrivals.append(row._replace(gross=gross, of_symbol=of_symbol, equity=self._equity()))
        self._stand(now)

    async def cancel(self, ref: OrderRef, now: int) -> None:
        await super().cancel(ref, now)
        self._stand(now)

    def on_books(self, books: Sequence[OrderBook], now: int | None = None) -> Iterable[VenueReport]:
        return self._noted(super().on_books(books, now), self._time if now is None else now)

    def on_marks(self, marks: Sequence[Mark], now: int) -> Iterable[VenueReport]:
        return self._noted(super().on_marks(marks, now), now)

    def on_candle(self, candle: Candle, now: int) -> Iterable[VenueReport]:
        return self._noted(super().on_candle(candle, now), now)

    def due(self, now: int) -> Iterable[VenueReport]:
        return self._noted(super().due(now), now)

    def settle_funding(
        self, until: int, rates: Sequence[Funding] = (), symbols: Collection[str] | None = None
    ) -> Sequence[VenueReport]:
        return list(self._noted(super().settle_funding(until, rates, symbols), until))

    def fill_reductions(self, now: int) -> Sequence[VenueReport]:
        return list(self._noted(super().fill_reductions(now), now))

    def say(self, *reports: VenueReport) -> None:
        super().say(*reports)
        for report in reports:
            self._note(report)

    def _noted(self, reports: Iterable[VenueReport], now: int) -> Iterator[VenueReport]:
        for report in reports:
            self._note(report)
            self._stand(now)
            yield report
        self._stand(now)

    def _note(self, report: VenueReport) -> None:
        record = self.record
        match report:
            case Filled():
                name = report.ref.client_id(self._book)
                arrival = next(each for each in reversed(record.arrivals) if each.client_id == name)
                record.trades.append(
                    Traded(report.fill_id, name, arrival.symbol, "", report.quantity, report.price, report.traded_at)
                )
            case OutsideFill():
                row = Traded(report.fill_id, "", report.symbol, report.side, report.quantity, report.price, report.at)
                record.trades.append(row)
            case FundingPaid():
                record.changes.append(Change("FUNDING_FEE", "", report.symbol, report.amount, report.at))
            case _:
                pass

    def _stand(self, now: int) -> None:
        held = {symbol: each.quantity for symbol, each in self.account.ledger.positions.items()}
        for symbol in {*held, *self.record.latest}:
            stops = [each for each in self.orders if each.symbol == symbol and each.ref.leg is Purpose.STOP]
            covered, position = sum((each.quantity for each in stops), ZERO), held.get(symbol, ZERO)
            left, instrument = position - covered, self.account.instruments.filters.get(symbol)
            small = instrument is not None and left < instrument.step
            if self.product is Product.SPOT and (small or left * self._last(symbol) < SMALLEST):
                covered = ALL
            self.record.stands(now, symbol, position, covered)

    def _exposure(self, symbol: str) -> tuple[Decimal, Decimal]:
        gross: dict[str, Decimal] = {}
        for name, position in self.account.ledger.positions.items():
            gross[name] = abs(position.quantity) * self._last(name)
        for order in self.orders:
            if not order.reduce_only:
                value = order.quantity * (order.limit_price or self._last(order.symbol))
                gross[order.symbol] = gross.get(order.symbol, ZERO) + value
        return sum(gross.values(), ZERO), gross.get(symbol, ZERO)

    def _last(self, symbol: str) -> Decimal:
        return exact(self.account.last.get(symbol, 0.0))

    def _equity(self) -> Decimal:
        ledger = self.account.ledger
        if self.product is Product.SPOT:
            return ledger.wallet
        profits = (each.unrealised(self._last(symbol)) for symbol, each in ledger.positions.items())
        return ledger.wallet + sum(profits, ZERO)
