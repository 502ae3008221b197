"""The sender of orders on the sandbox exchange in the same process, in virtual time."""

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, cast

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.transport import NotSent, RestResponse
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.live_orders import KnownOrders, LiveOrders
from ocw_mcp.adapters.venues.binance.sender import Sender
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.orders import (
    Order,
    OrderRef,
    OrderType,
    Purpose,
    Rejected,
    Side,
    VenueReport,
)
from ocw_mcp.domain.state import Mode
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.keys import made_key
from ocw_mcp.sandbox.binance.account.prices import Level
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange import NOW, exchange

D = Decimal
BOOK = "abc234"
BTC = "BTCUSDT"
ADDRESS = "127.0.0.1:1"
"""The address of the sandbox in process."""


class _Cleared(NamedTuple):
    """An order as if the risk check had cleared it."""

    order: Order

    def redeem(self, now: int) -> Order:
        return self.order


def credentials(name: str = "1") -> ApiKey:
    """Return the key of a name of the sandbox."""
    key = made_key(name)
    return ApiKey(key.key, key.secret)


def order(
    purpose: Purpose = Purpose.ENTRY,
    side: Side = Side.BUY,
    quantity: str = "0.01",
    *,
    n: int = 1,
    revision: int = 0,
    **changes: Any,
) -> Order:
    """Return a market order for BTCUSDT; with a trigger price it is a stop, with a limit price a limit order."""
    kind = OrderType.MARKET
    if changes.get("trigger_price") is not None:
        changes["trigger_price"] = D(changes["trigger_price"])
        kind = OrderType.TAKE_PROFIT_MARKET if purpose is Purpose.TARGET else OrderType.STOP_MARKET
    if changes.get("limit_price") is not None:
        changes["limit_price"] = D(changes["limit_price"])
        kind = OrderType.LIMIT
    whole: dict[str, Any] = {"symbol": BTC, "reduce_only": purpose.reduces, "leverage": 20, **changes}
    return Order(OrderRef(n, purpose, revision), side=side, type=kind, quantity=D(quantity), **whole)


class Watching:
    """A witness that only notes what it was asked."""

    def __init__(self) -> None:
        self.looked_up: list[tuple[OrderRef, str]] = []
        self.reconciled: list[str] = []

    def look_up(self, ref: OrderRef, why: str) -> None:
        self.looked_up.append((ref, why))

    def reconcile(self, why: str) -> None:
        self.reconciled.append(why)


class Wire(InProcessTransport):
    """The sandbox behind a network that can fail."""

    offline_until = 0
    """Until this time (ms) no request leaves the machine."""
    answer: RestResponse | None = None
    """What orders and cancels are answered in place of the exchange's own answer."""

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        if self.exchange_ms() < self.offline_until:
            raise NotSent(f"{path} was not sent: no route to host")
        answer = await super().request(method, path, query, form, headers)
        return answer if self.answer is None or method == "GET" else self.answer


class SandboxAccount:
    """A sender and all that it works with."""

    def __init__(self, *faults: dict[str, Any], mode: Mode = Mode.DEMO, **options: Any) -> None:
        self.exchange = exchange(*faults)
        self.transport = Wire(self.exchange, NOW, **options)
        self.client = SignedClient(self.transport, credentials(), mode, loopback=ADDRESS)
        self.reports: list[VenueReport] = []
        self.witness = Watching()
        self.begin()

    def begin(self) -> None:
        """Let a new sender take over, which knows no order."""
        self.known = KnownOrders(LiveOrders(), self.client.now_ms)
        self.sender = Sender(self.client, BOOK, self.known, self.reports.append, self.witness)
        self.sender.leverage_seen(BTC, 20)

    async def send(self, order: Order) -> list[VenueReport]:
        """Send an order, and return the reports that it caused."""
        before = len(self.reports)
        await self.sender.submit(cast(ClearedOrder, _Cleared(order)), self.client.now_ms())
        return self.reports[before:]

    async def cancel(self, ref: OrderRef) -> list[VenueReport]:
        """Cancel an order, and return the reports that it caused."""
        before = len(self.reports)
        await self.sender.cancel(ref, self.client.now_ms())
        return self.reports[before:]

    async def asks(self, method: str, path: str, weight: int = 1, **params: str | int) -> Any:
        """Return the decoded answer to a signed request."""
        return json.loads(await self.client.call(method, path, params, weight=weight))

    def state(self) -> Any:
        """Return what the account has now."""
        return self.exchange.exchange.account.overview(self.transport.exchange_ms())

    def best_ask(self) -> Level:
        """Return the best ask price of BTCUSDT when a request arrives that is sent now, with its quantity."""
        account = self.exchange.exchange.account
        assert isinstance(account, FuturesApi)
        return next(account.account.prices.levels(BTC, True, self.transport.exchange_ms() + 20))

    def price(self) -> Decimal:
        """Return the present mark price of BTCUSDT, in whole dollars."""
        found = self.exchange.exchange.market.mark(BTC, self.transport.exchange_ms())
        assert found is not None
        return D(int(found.mark))

    @property
    def placed(self) -> int:
        """The number of requests that placed orders."""
        return sum(each in ("/fapi/v1/order", "/fapi/v1/algoOrder") for each in self.transport.requests)


def on_sandbox(use: Callable[[SandboxAccount], Awaitable[Any]], *faults: dict[str, Any], **options: Any) -> Any:
    """Run a function with an account in virtual time, and return its result."""

    async def main() -> Any:
        account = SandboxAccount(*faults, **options)
        try:
            return await use(account)
        finally:
            await account.transport.close()

    return run_in_virtual_time(main())


def outcomes(reports: list[VenueReport]) -> list[str]:
    """Return the kinds of reports, with the reason of each rejection."""
    return [each.reason if isinstance(each, Rejected) else type(each).__name__ for each in reports]


async def enter(account: SandboxAccount, quantity: str = "0.01") -> None:
    """Open a long position."""
    assert outcomes(await account.send(order(quantity=quantity, n=90)))[0] == "Accepted"
