"""An exchange that the test moves, and an engine on its quotes whose entries wait as a maker before they take."""

from decimal import Decimal
from typing import Any

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    CancelRefused,
    Filled,
    Order,
    OrderRef,
    Purpose,
    Rejected,
    RejectReason,
    Side,
)
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.steps import TimerFired, TimerKind
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.live import quoted
from tests.support.markets import START
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
CHASED: dict[str, Any] = {"style": "maker_first", "reprices": 2, "wait_s": 10, "follow": "0.01", "at_end": "take"}


def chasing(**changes: Any) -> Policies:
    """The wide limits of tests, with entries that are chased."""
    wide: dict[str, dict[str, Any]] = {
        "order": {"max_notional": 10**6},
        "position": {"max_share": 1},
        "symbols": {"sides": ["long", "short"]},
    }
    return policies(**wide, execution=CHASED | changes)


class Exchange(Wire):
    """An exchange whose quote the test sets, second by second; orders rest until the test fills or cancels them."""

    def __init__(self, product: Product = Product.UM, policy: Policies | None = None, **config: Any) -> None:
        self.later_ms = 0
        self.answers = True
        """Whether the exchange answers requests by itself."""
        self.book: dict[OrderRef, Order] = {}
        """The entries that rest at the exchange."""
        self.filled: dict[OrderRef, Decimal] = {}
        self.stops: dict[OrderRef, Order] = {}
        self.at = D(100)
        self._seen = self._asked = 0
        super().__init__(product, policy or chasing(), live=True, **config)
        self.move("100")

    @property
    def now(self) -> int:
        return START + (self.minute + 1) * MINUTE + self.later_ms

    @property
    def entries(self) -> list[Order]:
        """The entries that were sent, oldest first."""
        return [each for each in self.sent if each.ref.leg is Purpose.ENTRY]

    @property
    def bid(self) -> Decimal:
        return self.at - D("0.1")

    @property
    def ask(self) -> Decimal:
        return self.at + D("0.1")

    def move(self, price: str | Decimal) -> None:
        """Set the middle of the quote, 0.2 wide, and show it to the engine."""
        self.at = D(price)
        self.give(quoted(BTC, self.now, float(self.at), spread=0.2))
        self.serve()

    def wait(self, seconds: int = 10) -> None:
        """Let time pass, with a quote each second and every timer at its time."""
        for _ in range(seconds):
            self.later_ms += SECOND
            self.move(self.at)
            for timer, at in sorted(self.engine.timers.items()):
                if at <= self.now and timer.kind is not TimerKind.DAY and timer in self.engine.timers:
                    self.give(TimerFired(timer))
                    self.serve()

    def serve(self) -> None:
        """Answer every request since the last call, in its order."""
        while self.answers and (self._seen < len(self.sent) or self._asked < len(self.canceled)):
            if self._asked < len(self.canceled):
                self._asked += 1
                self.cancel(self.canceled[self._asked - 1])
            else:
                self._seen += 1
                self.place(self.sent[self._seen - 1])

    def place(self, order: Order) -> None:
        """Take an order: a stop rests, an exit fills, and an entry rests or takes at the quote."""
        if order.ref.leg in (Purpose.STOP, Purpose.TARGET):
            self.stops[order.ref] = order
            self.give(Accepted(order.ref, f"v{order.ref}"))
        elif order.ref.leg is Purpose.EXIT:
            self.fill(order, price=str(self.at))
        elif order.post_only and self.takes(order):
            self.give(Rejected(order.ref, RejectReason.WOULD_TAKE, "it would take"))
        else:
            self.book[order.ref] = order
            self.give(Accepted(order.ref, f"v{order.ref}"))
            if order.immediate:
                self.take(order)

    def takes(self, order: Order) -> bool:
        """Whether a limit order trades at once at the present quote."""
        assert order.limit_price is not None
        return order.limit_price >= self.ask if order.side is Side.BUY else order.limit_price <= self.bid

    def take(self, order: Order) -> None:
        """Fill an immediate order if its limit allows the quote, and cancel the rest."""
        if self.takes(order):
            self.trade(order.ref, price=self.ask if order.side is Side.BUY else self.bid)
        if order.ref in self.book:
            self.end(order.ref)

    def trade(self, ref: OrderRef, quantity: str | Decimal | None = None, price: Decimal | None = None) -> Filled:
        """Fill a resting entry, or a part of it, at its limit or at a price, and report that."""
        fill = self.match(ref, quantity, price)
        self.give(fill)
        self.serve()
        return fill

    def match(self, ref: OrderRef, quantity: str | Decimal | None = None, price: Decimal | None = None) -> Filled:
        """Fill a resting entry, and return the report, which the test gives later."""
        order, before = self.book[ref], self.filled.get(ref, D(0))
        size = order.quantity - before if quantity is None else D(quantity)
        at = price or order.limit_price
        assert at is not None
        assert before + size <= order.quantity
        self.filled[ref] = before + size
        if self.filled[ref] == order.quantity:
            del self.book[ref]
        report = Filled(
            ref, f"f{next(self._fills)}", size, at, size * at * D("0.0002"), self.now, maker=order.post_only
        )
        self.reported.append((order, report))
        return report

    def cancel(self, ref: OrderRef) -> None:
        """Cancel an order, or refuse that if it is over."""
        if ref in self.stops:
            del self.stops[ref]
            self.give(Canceled(ref, "on request"))
        elif ref in self.book:
            self.end(ref)
        else:
            self.give(CancelRefused(ref, "unknown order"))

    def end(self, ref: OrderRef) -> None:
        """End a resting entry, and report how much of it had filled."""
        del self.book[ref]
        self.give(Canceled(ref, "on request", self.filled.get(ref, D(0))))

    def chase(self, side: Side = Side.BUY, quantity: str = "10") -> Order:
        """Ask for an entry; its first order."""
        first = self.enter(Action.BUY if side is Side.BUY else Action.SHORT, quantity)
        assert isinstance(first, Order), first
        self.serve()
        return first

    def total(self) -> Decimal:
        """The quantity that all entries have filled at the exchange, reported or not."""
        return sum(self.filled.values(), D(0))

    def over(self) -> bool:
        """Whether no entry rests, and the engine will send no other one."""
        waits = [each for each in self.engine.timers if each.kind is TimerKind.CHASE]
        return not (self.book or self.engine.manager.chases or waits)
