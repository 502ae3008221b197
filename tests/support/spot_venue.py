"""The Binance venue on spot of the sandbox exchange in the same process, in virtual time."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import floor_to
from ocw_mcp.domain.orders import Order, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.spot.account import SpotAccount
from ocw_mcp.sandbox.binance.spot.api import SpotApi
from tests.support.binance_venue import BTC, Rig, run_rig
from tests.support.sandbox_market import DAY_1, StoredFeed, candle

T = TypeVar("T")
D = Decimal
CALM = DAY_1 + 29 * MINUTE
"""A time before a market of `moving` moves."""


class SpotRig(Rig):
    """A venue on spot."""

    product = Product.SPOT

    @property
    def api(self) -> SpotApi:
        found = self.exchange.exchange.account
        assert isinstance(found, SpotApi)
        return found

    @property
    def account(self) -> SpotAccount:
        return self.api.account

    def price(self, share: str = "1") -> Decimal:
        """Return a share of the last price, on the tick."""
        return floor_to(self.account.prices.last(BTC, self.now) * D(share), D("0.1"))

    def held(self) -> Decimal:
        """Return what the account has of the base asset."""
        return self.account.totals.get("BTC", D(0))

    def fills_at_exchange(self) -> list[tuple[str, Decimal]]:
        """Return ids and quantities of all trades at the exchange."""
        return [(str(each.id), each.quantity) for each in self.account.fills]

    def say(self, kind: str, text: str) -> None:
        """Let the exchange send an event."""
        self.account.log.add(Event(self.now + 4, kind, text))


def moving(*ends: float) -> SandboxMarket:
    """Return a market that is calm at 1,000 for half an hour, and then reaches each price in a minute."""
    # The tick and the step of a symbol follow the decimals of its candles.
    rows, price = [candle(minute, (1000.0, 1000.01, 1000.0, 1000.0, 1000.0001)) for minute in range(30)], 1000.0
    for minute, end in enumerate(ends):
        rows.append(candle(30 + minute, (price, max(price, end), min(price, end), end, 1000.0)))
        price = end
    return SandboxMarket(StoredFeed(rows, product=Product.SPOT), DAY_1)


def order(
    side: Side = Side.BUY, quantity: str = "0.02", purpose: Purpose = Purpose.ENTRY, *, n: int = 1, **changes: Any
) -> Order:
    """Return a market order for BTCUSDT; with a trigger price it is a stop or a target, with a limit a limit order."""
    kind, ref = OrderType.MARKET, OrderRef(n, purpose, changes.pop("revision", 0))
    for name in ("trigger_price", "limit_price", "take_at"):
        if changes.get(name) is not None:
            changes[name] = D(changes[name])
    if changes.get("trigger_price") is not None:
        kind = OrderType.TAKE_PROFIT_MARKET if purpose is Purpose.TARGET else OrderType.STOP_MARKET
    elif changes.get("limit_price") is not None:
        kind = OrderType.LIMIT
    return Order(ref, BTC, side, kind, D(quantity), reduce_only=purpose.reduces, **changes)


def on_spot(use: Callable[[SpotRig], Awaitable[T]], *faults: dict[str, Any], opened: bool = True, **options: Any) -> T:
    """Run a function with a venue on spot, which is open unless `opened` is false; return its result."""
    return run_rig(lambda: SpotRig(*faults, **options), use, opened)
