"""Reads the whole account again and again, and reports it once it is consistent: AccountSeen.

One reading of futures costs, with S symbols, a weight of 20 for positions and balances before and after, 7 S for their
open orders, algo orders and trades, 30 for income if it is due, and 80 in place of 2 S for the lists of the whole
account if these are due. With 5 symbols that is 55, or 160 if everything is due; `spot.queries` has the costs on spot.
Readings come every 30 s, and more slowly with so many symbols that they would cost more than a tenth of the exchange's
limit without what is due now and then; one that is asked for comes at once, or at the latest when the next one is due.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.venues.binance.account import account_seen, algo_seen, order_of, order_seen
from ocw_mcp.adapters.venues.binance.fees import FEE_ASSET
from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.adapters.venues.binance.live_orders import KnownOrders, LiveOrder, LiveOrders
from ocw_mcp.adapters.venues.binance.product import AccountEvents
from ocw_mcp.adapters.venues.binance.queries import MOST_SYMBOLS, AccountQueries, Holdings, QueryFailed, together
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.adapters.venues.binance.rest_wire import AlgoRow, BalanceRow, OrderRow, PositionRow, TradeRow
from ocw_mcp.adapters.venues.binance.trades import TradeReader
from ocw_mcp.adapters.venues.binance.translation import algo_reports, row_reports
from ocw_mcp.adapters.venues.binance.unknowns import LookUps
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import AccountSeen, OrderRef, OrderSeen, OutcomeUnknown
from ocw_mcp.domain.symbols import assets_of
from ocw_mcp.domain.time import MINUTE, SECOND

EVERYTHING_EVERY_MS: Final = 5 * MINUTE
"""The time (ms) after which the lists of the whole account, and the income, are read even if nothing asks for it."""
_BLIND_EVERY_MS: Final = MINUTE
"""The same while no event arrives that could ask for it."""
MARGIN_MS: Final = 2 * MINUTE
"""How far (ms) before the end of the book's knowledge trades and income are read at a restart."""
_AT_ONCE: Final = 10
"""The number of orders that are looked up at the same time."""
_ATTEMPTS: Final = 6
"""Readings until the account is consistent; it is tried again after a pause if it is not."""
_SETTLE_S: Final = 0.3
"""The pause (s) before a reading that was inconsistent is repeated."""
_DOUBTED_MS: Final = 10 * SECOND
"""The time (ms) for which a position without an explaining trade is read again: trades may be shown later."""
_INCOME_READINGS: Final = 2
"""Readings with income at once after a balance has changed: its records may come later than the balance."""
_INCOME_FOR_MS: Final = 4 * MINUTE
_INCOME_EVERY_MS: Final = 30 * SECOND
"""For how long (ms) after a change of a balance, and how often (ms), income is read after these."""


class _State(NamedTuple):
    """What must not change while the account is read."""

    positions: tuple[tuple[str, Decimal, Decimal], ...]
    balances: tuple[tuple[str, Decimal], ...]
    events: int


class Shown(NamedTuple):
    """What a reading has shown, apart from prices: it changes only with an event."""

    at: int
    account: tuple[object, ...]
    events: int
    """The number of events until then."""

    def is_unheard(self, before: "Shown") -> bool:
        """Return whether the account has changed since an earlier reading without any event."""
        return self.account != before.account and self.events == before.events


class _Lists(NamedTuple):
    orders: list[OrderRow]
    algos: list[AlgoRow]
    read_at: int


class Reconciler:
    """Reads the account. Whatever has happened until then is reported before AccountSeen."""

    def __init__(
        self,
        queries: AccountQueries,
        identities: Identities,
        live: LiveOrders,
        reports: Reports,
        trades: TradeReader,
        lookups: LookUps,
        events: AccountEvents,
        known: KnownOrders,
        price: Callable[[str], Awaitable[Decimal | None]],
        symbols: Sequence[str],
    ) -> None:
        """`known` has the orders that the adapter can name to the exchange; `symbols` are those that the book trades.

        `price` returns the last price (quote) of a symbol, or None.
        """
        self._queries, self._identities, self._live, self._reports = queries, identities, live, reports
        self._trades, self._lookups, self._events = trades, lookups, events
        self._known, self._price = known, price
        self.terms = events.terms
        self._quotes = {assets_of(symbol)[1] for symbol in symbols}
        self.symbols = set(symbols)
        """The symbols whose orders and trades are read; one that shows up in the account joins them."""
        self.shown: Shown | None = None
        """What the last reading has shown."""
        self.unheard: list[TradeRow] = []
        """The trades of the last reading that no event had reported."""
        self._income_from, self._income_left = 0, 0
        self._income_until = self._income_at = 0
        """Until when (ms) income is read now and then, and when it was read last."""
        self._everything_at = -EVERYTHING_EVERY_MS
        self._balances: tuple[tuple[str, Decimal], ...] | None = None
        self._unexplained: dict[str, Decimal] = {}
        """By symbol: the position less all reported trades, in the last reading."""
        self._doubted_at: int | None = None
        """The time (ms) of the first reading that no trade explained."""

    def begin(self, since: int) -> None:
        """Set the time (ms) from which trades and income are reported."""
        self._trades.since = self._income_from = since

    async def read(self, *, everything: bool = False, blind: bool = False) -> AccountSeen:
        """Report what has happened, and then the account, which is returned. Raises QueryFailed.

        `blind` says that events of the account may be missing.
        """
        every = 0 if everything else _BLIND_EVERY_MS if blind else EVERYTHING_EVERY_MS
        for _ in range(_ATTEMPTS):
            seen = await self._read_once(everything_every_ms=every)
            if seen is not None:
                self._reports.add(seen)
                return seen
            await pause(_SETTLE_S)
        raise QueryFailed(f"the account changed during each of {_ATTEMPTS} readings")

    async def _read_once(self, *, everything_every_ms: int) -> AccountSeen | None:
        """Return the account, or None if it changed while it was read."""
        self.unheard = []
        positions, balances = held = await self._queries.holdings()
        before = self._state(held)
        self.symbols |= {row.symbol for row in positions if row.quantity} | self._events.symbols
        now = self._queries.now_ms()
        due = now - self._everything_at >= everything_every_ms
        lists = await self._lists(everything=due)
        await self._read_trades()
        if self._income_due(before.balances, now) or due:
            await self._read_income()
            self._income_at = now
        if due:
            self.terms.take(await self._queries.symbol_configs())
            await self._read_prices(balances)
            self._everything_at = now
        listed = await self._follow(lists)
        at = self._queries.now_ms()
        positions, balances = held = await self._queries.holdings()
        if self._state(held) != before or self._is_unexplained(positions) or self._is_older(lists.read_at, listed):
            return None
        self._balances = before.balances
        orders = frozenset((row.id, row.executed) for row in lists.orders), frozenset(row.id for row in lists.algos)
        self.shown = Shown(at, (before.positions, before.balances, orders), self._events.count)
        shown = positions if self._queries.shows_positions else []
        return account_seen(at, balances, shown, lists.orders, lists.algos, self._identities, self.terms)

    def _state(self, held: Holdings) -> _State:
        positions = tuple(sorted((row.symbol, row.quantity, row.entry) for row in held.positions if row.quantity))
        return _State(positions, tuple(sorted((row.asset, row.total) for row in held.balances)), self._events.count)

    async def _lists(self, *, everything: bool) -> _Lists:
        """Return all open orders and waiting algo orders.

        The lists of the whole account show in which other symbols there are orders; from then on these are read, too.
        """
        at = self._queries.now_ms()
        if everything or len(self.symbols) > MOST_SYMBOLS:
            orders = await together(self._queries.open_orders())
            algos = await together(self._queries.open_algos())
        else:
            orders = await together(*(self._queries.open_orders(symbol) for symbol in sorted(self.symbols)))
            algos = await together(*(self._queries.open_algos(symbol) for symbol in sorted(self.symbols)))
        lists = _Lists([row for rows in orders for row in rows], [row for rows in algos for row in rows], at)
        self.symbols |= {row.symbol for row in lists.orders} | {row.symbol for row in lists.algos}
        return lists

    async def _read_trades(self) -> None:
        followed = sorted(symbol for symbol in self.symbols if self._queries.follows(symbol))
        for news in await together(*(self._trades.read(symbol) for symbol in followed)):
            self.unheard += news

    def _income_due(self, balances: tuple[tuple[str, Decimal], ...], now: int) -> bool:
        if self._events.income_due or balances != self._balances:
            self._events.income_due = False
            self._income_left, self._income_until = _INCOME_READINGS, now + _INCOME_FOR_MS
        self._income_left -= 1
        return self._income_left >= 0 or self._income_at + _INCOME_EVERY_MS <= now < self._income_until

    async def _read_income(self) -> None:
        rows = await self._queries.income(self._income_from)
        for row in rows:
            if row.asset in self._quotes:
                # No other asset is in the book's wallet.
                self._reports.add_income(row)
        if rows:
            # A record may be written after a later one, so the end is read again.
            self._income_from = max(self._income_from, rows[-1].at - MINUTE)

    async def _read_prices(self, balances: list[BalanceRow]) -> None:
        """Read the prices of the assets in which fees are paid, or may be."""
        held = {row.asset for row in balances if row.total and row.asset == FEE_ASSET}
        for asset in sorted(held | self._reports.fees.wanted):
            price = await self._price(f"{asset}USDT")
            if price is not None:
                self._reports.fees.set_price(asset, price)

    async def _follow(self, lists: _Lists) -> frozenset[OrderRef]:
        """Report the orders of this book in the lists, and find out what became of those that should be there.

        Return the orders of this book in the lists.
        """
        there: set[OrderRef] = set()
        for row in lists.orders:
            ref = self._identities.add(row.symbol, row.id, row.client_id).ref
            if ref is not None:
                there.add(ref)
                self._appeared(ref, order_seen(row, self._identities), lists.read_at)
                for report in row_reports(row, ref):
                    self._reports.add(report)
        for algo in lists.algos:
            ref = self._identities.ref(algo.client_id)
            if ref is not None:
                there.add(ref)
                self._appeared(ref, algo_seen(algo, self._identities), lists.read_at)
                for report in algo_reports(algo, ref):
                    self._reports.add(report)
        listed = frozenset(there)
        there -= self._lookups.in_part(lists.orders)
        for ref in there:
            live = self._live.get(ref)
            if live is not None:
                live.recovered = False
        missing = [
            live
            for live in self._live
            if live.order.ref not in there
            and (live.seen or live.recovered)
            and live.changed_at < lists.read_at - SECOND
        ]
        for first in range(0, len(missing), _AT_ONCE):
            await together(*(self._find(live) for live in missing[first : first + _AT_ONCE]))
        return listed

    def _is_older(self, read_at: int, listed: Collection[OrderRef]) -> bool:
        """Return whether an order was accepted after the lists were read (ms), so that it is missing there."""
        return any(live.seen and live.changed_at >= read_at and live.order.ref not in listed for live in self._live)

    async def _find(self, live: LiveOrder) -> None:
        """Find out what became of an order that is not in the lists."""
        if live.order.ref not in self._live:
            return
        known = await self._lookups.resolve(live)
        if not known and not live.seen:
            why = "the process ended before the exchange had answered, and it does not show the order"
            self._reports.add(OutcomeUnknown(live.order.ref, why))
        live.recovered = False

    def _appeared(self, ref: OrderRef, seen: OrderSeen, now: int) -> None:
        """Track an order again that had counted as never arrived, or as over, also if another process sent it."""
        if ref in self._live:
            return
        if (order := self._known.get(ref)) is None:
            order = order_of(seen, ref)
            self._known.add(order)
        self._live.add(order, now, seen=True)

    def _is_unexplained(self, positions: list[PositionRow]) -> bool:
        """Return whether a position has changed without a trade; after `_DOUBTED_MS` that is believed."""
        held, now = {row.symbol: row.quantity for row in positions}, self._queries.now_ms()
        followed = [symbol for symbol in self.symbols if self._queries.follows(symbol)]
        found = {symbol: held.get(symbol, ZERO) - self._reports.net(symbol) for symbol in followed}
        changed = [symbol for symbol, value in self._unexplained.items() if found.get(symbol, value) != value]
        if changed:
            self._doubted_at = self._doubted_at or now
            if now - self._doubted_at < _DOUBTED_MS:
                return True
            self._reports.incident(f"no trade explains the position of {', '.join(sorted(changed))}")
        self._unexplained, self._doubted_at = found, None
        return False
