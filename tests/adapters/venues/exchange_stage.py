"""The stage of a venue that trades on the sandbox exchange in the same process, in virtual time."""

import asyncio
import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
from ocw_mcp.domain.cleared import ClearedOrder
from ocw_mcp.domain.margin import Brackets
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Canceled,
    CancelRefused,
    Filled,
    FundingPaid,
    Order,
    OrderRef,
    OutcomeUnknown,
    OutsideFill,
    Rejected,
    Throttled,
    Transferred,
    Triggered,
    VenueNotice,
    VenueReport,
)
from ocw_mcp.domain.protocols import ExchangeVenue, KnownOrder
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.account import FIRST_BALANCE
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.keys import made_key
from ocw_mcp.sandbox.binance.account.prices import brackets
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.spot.api import SpotApi
from tests.adapters.venues.papers import ETH, T0
from tests.support.scripted_prices import ScriptedMarket

MakeVenue = Callable[[InProcessTransport, Product], ExchangeVenue]
MORE = Decimal(90_000)
"""What the account gets beside the 10,000 USDT that it has."""


BOOK = "c0nf0r"


def binance_venue(transport: InProcessTransport, product: Product) -> ExchangeVenue:
    """Return the Binance venue on a product."""
    key = made_key("1")
    client = SignedClient(transport, ApiKey(key.key, key.secret), Mode.DEMO, product, loopback="127.0.0.1:1")
    return BinanceVenue(client, BOOK, [ETH])


class ExchangeStage:
    """A venue on the sandbox exchange, on one product, with isolated margin."""

    venue: ExchangeVenue

    def __init__(self, product: Product, make_venue: MakeVenue) -> None:
        self.product = product
        self.market = ScriptedMarket(ETH, T0, 1_000.0, product)
        self.exchange = FaultyExchange(Exchange(self.market), T0)
        self._make_venue, self._last = make_venue, 1_000.0
        api = self.exchange.exchange.account
        assert isinstance(api, FuturesApi | SpotApi)
        self._api = api
        api.account.transfer(MORE, T0)
        if isinstance(api, FuturesApi):
            api.account.state.position(ETH).isolated = True
        self._later: list[VenueReport] = []
        self._sent: dict[OrderRef, Order] = {}
        self._seen: set[tuple[Any, ...]] = set()

    @property
    def now(self) -> int:
        return self._transport.exchange_ms()

    @property
    def brackets(self) -> Brackets:
        return brackets(ETH)

    async def begin(self) -> None:
        self._transport = InProcessTransport(self.exchange, T0)
        await self._open(None)
        await self.moves(1_000.0)

    async def _open(self, since: int | None) -> None:
        self.venue = self._make_venue(self._transport, self.product)
        self._told = list[VenueReport]()
        self._listening = asyncio.ensure_future(self._listen(self.venue))
        known = [KnownOrder(order) for order in self._sent.values()]
        await self.venue.open(known, since)

    async def _listen(self, venue: ExchangeVenue) -> None:
        async for report in venue.reports():
            self._told.append(report)

    async def end(self) -> None:
        self._listening.cancel()
        await asyncio.wait({self._listening})
        await self.venue.close()
        await self._transport.close()

    async def restart(self) -> None:
        self._listening.cancel()
        await asyncio.wait({self._listening})
        await self.venue.close()
        await self._open(self.now)

    async def moves(self, price: float) -> list[VenueReport]:
        return await self._along([price] * 3, price)

    async def spans(self, low: float, high: float, close: float) -> list[VenueReport]:
        corners = (self._last, low, high, close)
        path = [price for begin, end in pairwise(corners) for price in (*between(begin, end), end)]
        return await self._along(path, close)

    async def _along(self, path: list[float], close: float) -> list[VenueReport]:
        """Let a minute pass in which the prices of a path come at equal distances."""
        began = self.now
        for number, price in enumerate(path):
            self.market.set(began + 1 + number * (MINUTE - 2 * SECOND) // len(path), price)
        self._last = close
        await asyncio.sleep((began + MINUTE - self.now) / SECOND)  # noqa: TID251 - virtual time
        return self._news()

    async def settles(self, rate: float) -> list[VenueReport]:
        at = (self.now // MINUTE + 1) * MINUTE
        self.market.settle(at, rate)
        await asyncio.sleep((at + 2 * MINUTE - self.now) / SECOND)  # noqa: TID251 - virtual time
        return self._news()

    async def submit(self, cleared: ClearedOrder, now: int) -> list[VenueReport]:
        self._sent.setdefault(cleared.order.ref, cleared.order)
        await self.venue.submit(cleared, now)
        return await self._answers(cleared.order.ref, Accepted | Rejected | OutcomeUnknown)

    async def cancel(self, ref: OrderRef) -> list[VenueReport]:
        await self.venue.cancel(ref, self.now)
        return await self._answers(ref, Canceled | CancelRefused)

    async def _answers(self, ref: OrderRef, kinds: Any) -> list[VenueReport]:
        """Return the answers to a request; what the venue says beside them is kept for later."""
        await asyncio.sleep(0)  # noqa: TID251 - virtual time
        news = self._news()
        answers = [each for each in news if isinstance(each, kinds) and each.ref == ref]
        self._later = [each for each in news if each not in answers]
        return answers

    def _news(self) -> list[VenueReport]:
        """Return what the venue has said about orders and money since the last call, each thing once."""
        told, self._told[:] = list(self._told), []
        later, self._later = self._later, []
        return [*later, *self._fresh(told)]

    def _fresh(self, told: Iterable[VenueReport]) -> Iterable[VenueReport]:
        for report in told:
            match report:
                case AccountSeen() | Throttled() | VenueNotice() | Triggered():
                    continue
                case Filled(fill_id=number) | OutsideFill(fill_id=number):
                    key: tuple[Any, ...] = ("fill", number)
                case FundingPaid():
                    key = ("funding", report.symbol, report.at)
                case Transferred(amount=amount) if amount in (MORE, FIRST_BALANCE):
                    continue
                case Transferred():
                    key = ("transfer", report.transfer_id)
                case Accepted():
                    key = (Accepted, report.ref)
                case Canceled() | Rejected():
                    self._sent.pop(report.ref, None)
                    key = ("over", report.ref)
                case _:
                    yield report
                    continue
            if key not in self._seen:
                self._seen.add(key)
                yield report

    def position(self) -> Decimal:
        api = self._api
        if isinstance(api, FuturesApi):
            return api.account.state.position(ETH).quantity
        return api.account.totals.get("ETH", Decimal(0))

    def wallet(self) -> Decimal:
        api = self._api
        return api.account.state.wallet.balances["USDT"] if isinstance(api, FuturesApi) else api.account.totals["USDT"]


def between(begin: float, end: float) -> list[float]:
    """Return the whole prices between two prices, in their order."""
    whole = [float(price) for price in range(math.ceil(min(begin, end)), math.floor(max(begin, end)) + 1)]
    return whole if begin <= end else whole[::-1]
