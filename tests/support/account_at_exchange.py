"""A model of an account at an exchange, on futures or spot, that trades on its own and can be reported at any time."""

from decimal import Decimal
from typing import Any

from ocw_mcp.domain.events import Incident
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import Accepted, AccountSeen, Balance, Order, OrderSeen, PositionSeen, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.state import Mode
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
MANDATE = {"amount": 10**9, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"}


def live_policy(**tables: dict[str, Any]) -> Policies:
    """The wide limits of tests, with the mandate that a book on an exchange needs."""
    wide: dict[str, dict[str, Any]] = {
        "order": {"max_notional": 10**6},
        "position": {"max_share": 1},
        "mandate": MANDATE,
    }
    return policies(**wide | tables)


class AccountAtExchange:
    """Quote balance, signed position and average price of one symbol, and the live orders."""

    def __init__(self, product: Product = Product.UM, quote: str = "10000") -> None:
        self.spot = product is Product.SPOT
        self.quote, self.quantity, self.average = D(quote), D(0), D(0)
        self.orders: dict[str, OrderSeen] = {}

    def trade(self, signed: Decimal, price: Decimal, fee: Decimal = ZERO) -> None:
        """Trade a signed quantity (base asset): the profit of the closed part changes the balance on futures."""
        before, after = self.quantity, self.quantity + signed
        self.quote -= fee
        if self.spot:
            self.quote -= signed * price
        elif before * signed >= 0:
            self.average = (abs(before) * self.average + abs(signed) * price) / abs(after)
        else:
            closed = min(abs(before), abs(signed)) * (1 if before > 0 else -1)
            self.quote += closed * (price - self.average)
            self.average = price if before * after < 0 else self.average
        self.quantity = after

    def take(self, order: Order) -> None:
        """Have an order of the engine as a live one."""
        self.orders[str(order.ref)] = OrderSeen(
            f"v{order.ref}",
            order.ref.client_id("wire00"),
            order.ref,
            order.symbol,
            order.side,
            order.type.name,
            order.quantity,
            D(0),
            order.reduce_only,
            order.trigger_price,
        )

    def others(self, number: int = 7, side: Side = Side.BUY) -> None:
        """Have a live order of another program."""
        name = str(number)
        self.orders[name] = OrderSeen(name, f"web_{name}", None, "BTCUSDT", side, "LIMIT", D(1), D(0), False)

    def seen(self, at: int) -> AccountSeen:
        """The account as the exchange reports it."""
        balances = (Balance("USDT", self.quote, self.quote), Balance("BTC", self.quantity if self.spot else D(0), D(0)))
        held = self.quantity and not self.spot
        positions = (PositionSeen("BTCUSDT", self.quantity, self.average, 2),) if held else ()
        return AccountSeen(at, balances, positions, tuple(self.orders.values()))


def exchange_wire(product: Product = Product.UM, mode: Mode = Mode.DEMO, **config: Any) -> Wire:
    """An engine of a book on an exchange, before the first report of its account."""
    policy = config.pop("policy", None) or live_policy()
    return Wire(product, policy, mode=mode, **config)


def incidents(wire: Wire) -> list[str]:
    return [each.text for each in wire.journal if isinstance(each, Incident)]


def read(wire: Wire, account: AccountAtExchange, times: int = 1) -> None:
    """Report the account, a second after the report before it."""
    for _ in range(times):
        wire.minute += 1
        wire.give(account.seen(wire.now))


def begun(product: Product = Product.UM, **config: Any) -> tuple[Wire, AccountAtExchange]:
    wire, account = exchange_wire(product, **config), AccountAtExchange(product)
    read(wire, account)
    wire.tick({"BTCUSDT": 100.0})
    return wire, account


def stand(wire: Wire, account: AccountAtExchange) -> Order:
    """Let the exchange accept the stop that was sent last."""
    stop = wire.last(Purpose.STOP)
    account.take(stop)
    wire.give(Accepted(stop.ref, f"v{stop.ref}"))
    return stop


def entered(wire: Wire, account: AccountAtExchange, quantity: str = "10") -> Order:
    """Enter long, and let the stop stand; the order of the stop."""
    entry = wire.enter(quantity=quantity)
    assert isinstance(entry, Order)
    fill = wire.fill(entry)
    account.trade(fill.quantity, fill.price, fill.fee)
    return stand(wire, account)


def code(answer: Order | Refusal) -> RefusalCode | None:
    return answer.code if isinstance(answer, Refusal) else None
