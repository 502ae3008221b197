"""The Binance venue on the sandbox exchange in the same process, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar, cast

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    AccountSeen,
    Filled,
    Order,
    OrderRef,
    OrderType,
    Purpose,
    Rejected,
    Side,
    VenueNotice,
    VenueReport,
)
from ocw_mcp.domain.protocols import KnownOrder
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.keys import Permission
from ocw_mcp.sandbox.binance.account.signed import SignedApi
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faults import parse_fault
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_account import credentials
from tests.support.exchange import NOW, market
from tests.support.sandbox_market import DAY_1, StoredFeed, candle

T = TypeVar("T")
R = TypeVar("R", bound=VenueReport)
Made = TypeVar("Made", bound="Rig")
BOOK: Final = "abc234"
BTC: Final = "BTCUSDT"
ADDRESS: Final = "127.0.0.1:1"


CALM: Final = DAY_1 + 29 * MINUTE
"""A minute before the end of the calm in `falling`, ms."""


def falling(end: float) -> SandboxMarket:
    """Return a market that is calm at 1,000 for half an hour, and then falls to a price in two minutes."""
    rows, price = [candle(minute, (1000.0, 1000.0, 1000.0, 1000.0, 1000.0)) for minute in range(30)], 1000.0
    for minute in range(2):
        following = round(price + (end - 1000.0) / 2, 2)
        rows.append(candle(30 + minute, (price, price, following, following, 1000.0)))
        price = following
    return SandboxMarket(StoredFeed(rows), DAY_1)


class _Cleared(NamedTuple):
    """An order as if the risk check had cleared it."""

    order: Order

    def redeem(self, now: int) -> Order:
        return self.order


def entry(n: int = 1, quantity: str = "0.02", side: Side = Side.BUY, limit: Any = None, **changes: Any) -> Order:
    """Return an entry at the market, or at a limit."""
    if limit is not None:
        changes |= {"limit_price": Decimal(limit)}
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    whole = {"leverage": 20, "reduce_only": False, **changes}
    return Order(OrderRef(n, Purpose.ENTRY), BTC, side, kind, Decimal(quantity), **whole)


def stop(n: int = 1, quantity: str = "0.02", trigger: Any = "1", side: Side = Side.SELL, revision: int = 0) -> Order:
    """Return a stop that reduces a position."""
    ref = OrderRef(n, Purpose.STOP, revision)
    trigger = Decimal(trigger)
    return Order(ref, BTC, side, OrderType.STOP_MARKET, Decimal(quantity), reduce_only=True, trigger_price=trigger)


class _Transport(InProcessTransport):
    """The sandbox in process; it notes the requests of listen keys."""

    keys: list[dict[str, str]]

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        if path.endswith("/listenKey"):
            self.keys.append({"method": method})
        return await super().request(method, path, query, form, headers)


class Rig:
    """A venue, its exchange, and everything that it has reported."""

    product: Product

    def __init__(
        self,
        *faults: dict[str, Any],
        mode: Mode = Mode.DEMO,
        on: SandboxMarket | None = None,
        now: int = NOW,
        exchange: FaultyExchange | None = None,
    ) -> None:
        self.exchange = exchange or FaultyExchange(
            Exchange(on or market(self.product)), now, [parse_fault(each) for each in faults]
        )
        self.transport = _Transport(self.exchange, now)
        self.keys = self.transport.keys = []
        self.set_up()
        self.reports: list[VenueReport] = []
        self.venue = self._made(mode, credentials())
        self._listener: asyncio.Task[None] | None = None

    def set_up(self) -> None:
        """Let the account have the settings that OCW needs."""

    def use_key(self, permissions: frozenset[Permission]) -> None:
        """Let the venue use another key of the account."""
        made = self.api.keyring.add(permissions, (), self.now)
        self.venue = self._made(Mode.LIVE, ApiKey(made.key, made.secret))

    def made_again(self) -> BinanceVenue:
        """Return a new venue on the same account, as after a restart."""
        return self._made(Mode.DEMO, credentials())

    def _made(self, mode: Mode, key: ApiKey) -> BinanceVenue:
        self.client = SignedClient(self.transport, key, mode, self.product, loopback=ADDRESS)
        return BinanceVenue(self.client, BOOK, (BTC,))

    @property
    def api(self) -> SignedApi:
        return self.exchange.exchange.account

    @property
    def now(self) -> int:
        """The exchange's time, ms."""
        return self.transport.exchange_ms()

    async def open(self, orders: Sequence[Order | KnownOrder] = (), since: int | None = None) -> None:
        """Open the venue, and take its reports from then on."""
        known = [each if isinstance(each, KnownOrder) else KnownOrder(each) for each in orders]
        await self.venue.open(known, since)
        self.listen()
        await self.later(0)

    def listen(self) -> None:
        """Take the venue's reports from now on."""

        async def take() -> None:
            async for report in self.venue.reports():
                self.reports.append(report)

        self._listener = asyncio.ensure_future(take())

    async def restart(
        self, orders: Sequence[Order | KnownOrder] = (), *, after: float = 0, since: int | None = None
    ) -> None:
        """Close the venue, and open a new one after a time (s), which knows some orders."""
        known = self.now if since is None else since
        await self.close()
        await self.later(after)
        self.venue = self._made(Mode.DEMO, credentials())
        self.reports = []
        await self.open(orders, known)

    async def close(self) -> None:
        """Close the venue."""
        if self._listener is not None:
            self._listener.cancel()
        await self.venue.close()

    async def send(self, order: Order) -> OrderRef:
        """Send an order, and return its reference."""
        await self.venue.submit(cast(ClearedOrder, _Cleared(order)), self.now)
        await self.later(0)
        return order.ref

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(seconds, done.set_result, None)
        await done
        await _turns()

    async def until(self, holds: Callable[[], Any], most_s: float = 300) -> float:
        """Let time pass until something holds; return the time (s) that passed. Fails after `most_s`."""
        began = self.now
        while not holds():
            assert self.now - began < most_s * 1_000, f"not within {most_s} s: {self.kinds()}"
            await self.later(0.25)
        return (self.now - began) / 1_000

    def fault(self, kind: str, **keys: Any) -> None:
        """Let a fault begin now."""
        self.exchange.add_fault({"kind": kind, **keys}, self.now)

    def of(self, kind: type[R]) -> list[R]:
        """Return the reports of a kind."""
        return [each for each in self.reports if isinstance(each, kind)]

    def about(self, ref: OrderRef) -> list[str]:
        """Return the reports on an order: their kinds, and the reason of a rejection."""
        found = [each for each in self.reports if getattr(each, "ref", None) == ref]
        return [_kind(each) for each in found]

    def kinds(self) -> list[str]:
        """Return the kinds of all reports, without the readings of the account."""
        return [_kind(each) for each in self.reports if not isinstance(each, AccountSeen)]

    def filled(self, ref: OrderRef) -> Decimal:
        """Return how much of an order was reported as filled."""
        return sum((each.quantity for each in self.of(Filled) if each.ref == ref), Decimal(0))

    def notices(self) -> list[str]:
        """Return the kinds of the notices."""
        return [each.kind.value for each in self.of(VenueNotice)]

    @property
    def seen(self) -> AccountSeen:
        """The last reading of the account."""
        return self.of(AccountSeen)[-1]


def _kind(report: VenueReport) -> str:
    if isinstance(report, Rejected):
        return f"Rejected {report.reason}"
    return f"{report.kind}" if isinstance(report, VenueNotice) else type(report).__name__


async def _turns() -> None:
    """Let the other tasks run that are ready."""
    for _ in range(5):
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(done.set_result, None)
        await done


class VenueRig(Rig):
    """A venue on futures."""

    product = Product.UM

    def set_up(self) -> None:
        """Let the account have the settings that OCW needs."""
        for symbol in self.account.symbols:
            self.account.state.position(symbol).isolated = True

    @property
    def api(self) -> FuturesApi:
        found = self.exchange.exchange.account
        assert isinstance(found, FuturesApi)
        return found

    @property
    def account(self) -> Account:
        return self.api.account

    def price(self, share: str = "1") -> Decimal:
        """Return a share of the mark price, on the tick."""
        value = self.account.prices.mark(BTC, self.now) * Decimal(share)
        return value - value % Decimal("0.1")

    def held(self) -> Decimal:
        """Return the position at the exchange."""
        return self.account.state.position(BTC).quantity

    def fills_at_exchange(self) -> list[tuple[str, Decimal]]:
        """Return ids and quantities of all trades at the exchange."""
        return [(str(each.id), each.quantity) for each in self.account.state.fills]


def on_venue(
    use: Callable[[VenueRig], Awaitable[T]],
    *faults: dict[str, Any],
    opened: bool = True,
    **options: Any,
) -> T:
    """Run a function with a venue, which is open unless `opened` is false, in virtual time; return its result."""

    return run_rig(lambda: VenueRig(*faults, **options), use, opened)


def run_rig(make: Callable[[], Made], use: Callable[[Made], Awaitable[T]], opened: bool = True) -> T:
    """Run a function with a rig in virtual time, and return its result."""

    async def main() -> T:
        rig = make()
        try:
            if opened:
                await rig.open()
            return await use(rig)
        finally:
            await rig.close()

    return run_in_virtual_time(main())
