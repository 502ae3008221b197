"""Random trades of the engine and of others, with lost reports: two quiet reports later the books are the account."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.domain.decision import Action
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    AccountSeen,
    Canceled,
    Filled,
    Order,
    OrderRef,
    OutcomeUnknown,
    OutsideCause,
    OutsideFill,
    Purpose,
    Side,
    Transferred,
)
from ocw_mcp.domain.steps import TimerFired
from ocw_mcp.domain.time import SECOND
from ocw_mcp.engine.protection import protection_timer
from tests.support.account_at_exchange import AccountAtExchange, exchange_wire, live_policy
from tests.support.examples import examples

D = Decimal
BTC = "BTCUSDT"
CENT = D("0.01")


class World:
    """An engine and the account that it trades on. Each report of the exchange may be lost."""

    def __init__(self, product: Product, positions: str) -> None:
        self.wire = exchange_wire(product, policy=live_policy(adopt={"positions": positions}))
        self.account, self.price, self._count = AccountAtExchange(product), D(100), 0
        self._late: AccountSeen | None = None
        self._done, self._dropped = 0, set[OrderRef]()

    def act(self, what: str, size: int, lost: bool) -> None:
        """Let one thing happen, then let the exchange answer all that the engine sent."""
        wire, account = self.wire, self.account
        self._count += 1
        late, self._late = self._late, None
        match what:
            case "enter":
                wire.enter(Action.BUY, str(size), stop=self.price * D("0.97"))
            case "short":
                wire.enter(Action.SHORT, str(size), stop=self.price * D("1.03"))
            case "close":
                wire.close()
            case "others":
                self._others(size if account.spot or size % 2 else -size, lost=lost)
            case "flatten":
                self._others(-account.quantity, lost=lost)
            case "money":
                account.quote += size
                if not lost:
                    wire.give(Transferred(f"t{self._count}", D(size), wire.now))
            case "stop":
                # The exchange loses every stop, and perhaps says so.
                for each in list(wire.engine.orders.live(BTC, Purpose.STOP)):
                    if account.orders.pop(str(each.ref), None) is not None and not lost:
                        wire.give(Canceled(each.ref, "by the exchange"))
            case "trigger":
                stop = next((each for each in account.orders.values() if each.ref is not None), None)
                if stop is not None:
                    del account.orders[str(stop.ref)]
                    # A stop of the whole position sells what is there.
                    self._fill(wire.engine.orders.get(stop.ref).order, lost=lost)  # type: ignore[arg-type, union-attr]
            case "price":
                self.price = D(90 + size)
                wire.tick({BTC: float(self.price)})
            case "late":
                wire.minute += 1
                self._late = account.seen(wire.now - SECOND)
            case _:
                self.read()
        self.answer(lost=lost)
        if late is not None:
            # A report that was made before all that has just happened.
            wire.give(late)
            self.answer()

    def _others(self, signed: Decimal | int, *, lost: bool) -> None:
        account, wire = self.account, self.wire
        signed = max(D(signed), -account.quantity) if account.spot else D(signed)
        if not signed:
            return
        account.trade(signed, self.price, CENT)
        if not lost:
            side = Side.BUY if signed > 0 else Side.SELL
            name, cause = f"o{self._count}", OutsideCause.OTHER_TRADER
            wire.give(OutsideFill(name, BTC, side, abs(signed), self.price, CENT, wire.now, cause))

    def _fill(self, order: Order, *, lost: bool) -> None:
        """Trade an order as the exchange does: a reduction trades at most the position."""
        left, way = self.account.quantity, order.side.sign
        most = max(D(0), -left * way)
        size = most if order.close_position else min(order.quantity, most) if order.reduce_only else order.quantity
        if size:
            self.account.trade(size * way, self.price, CENT)
        if not lost and size:
            self.wire.give(Filled(order.ref, f"f{order.ref}", size, self.price, CENT, self.wire.now))
        if not lost and size < order.quantity and not order.close_position:
            self.wire.give(Canceled(order.ref, "nothing to reduce"))

    def answer(self, *, lost: bool = False) -> None:
        """Answer all that was sent: stops rest, everything else trades or its outcome is unknown."""
        wire, deadline = self.wire, protection_timer(BTC)
        if wire.engine.timers.get(deadline, wire.now) < wire.now:
            wire.give(TimerFired(deadline))
        for _ in range(40):
            self._end_whole_stops(lost=lost)
            for ref in wire.canceled:
                if any(each.ref == ref for each in wire.sent[self._done :]):
                    # As in the outbox: an order that is cancelled before it is sent is never sent.
                    self._dropped.add(ref)
                gone = self.account.orders.pop(str(ref), None)
                tracked = wire.engine.orders.get(ref)
                if (
                    tracked is not None
                    and tracked.status.live
                    and (gone is not None or tracked.purpose is Purpose.STOP)
                ):
                    wire.give(Canceled(ref, "asked for"))
            wire.canceled.clear()
            if self._done == len(wire.sent):
                return
            order = wire.sent[self._done]
            self._done += 1
            if order.ref in self._dropped:
                continue
            if order.ref.leg is Purpose.STOP:
                if self.account.quantity * order.side.sign < 0:
                    self.account.take(order)
                wire.give(Accepted(order.ref, f"v{order.ref}"))
            elif lost:
                self._fill(order, lost=True)
                wire.give(OutcomeUnknown(order.ref, "no answer"))
            else:
                self._fill(order, lost=False)
        raise AssertionError("the engine sends orders without end")

    def _end_whole_stops(self, *, lost: bool) -> None:
        """End the stops of the whole position with their position, as the exchange does."""
        for name, stop in list(self.account.orders.items()):
            tracked = self.wire.engine.orders.get(stop.ref) if stop.ref is not None else None
            if tracked is None or not tracked.order.close_position or self.account.quantity * stop.side.sign < 0:
                continue
            del self.account.orders[name]
            if not lost:
                self.wire.give(Canceled(tracked.ref, "its position ended"))

    def read(self) -> None:
        """Report the account, a minute after everything before it."""
        self.wire.minute += 1
        self.wire.give(self.account.seen(self.wire.now - SECOND))
        self.answer()

    def settle(self) -> None:
        """Let what is unknown be looked up, as a venue adapter does, and let nothing else happen."""
        for each in list(self.wire.engine.orders.live()):
            # The engine notices by itself that a stop of a position is gone; one that it gave up is looked up.
            sought = each.purpose is not Purpose.STOP or each.cancel_requested
            if sought and str(each.ref) not in self.account.orders:
                self.wire.give(Canceled(each.ref, "it is over"))
        self.answer()

    def holds(self) -> None:
        """Every position in the books has an accepted stop of its size, or a deadline, or is being closed."""
        engine = self.wire.engine
        for symbol, position in engine.account.ledger.positions.items():
            protection = engine.guard.protections[symbol]
            assert protection.protected or protection_timer(symbol) in engine.timers, (position, protection)
            assert protection.protected or protection.deadline is not None
        stops = [each for each in self.account.orders.values() if each.ref is not None]
        if self.account.spot:
            # A resting stop locks what it sells: together they never sell more than there was when they were sent.
            assert len(stops) <= 1


ACTS = ("enter", "short", "close", "others", "flatten", "money", "stop", "trigger", "price", "read", "late")


@given(
    st.sampled_from([Product.UM, Product.SPOT]),
    st.sampled_from(["protect", "close"]),
    st.sampled_from(["enter", "short", "others"]),
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(1, 20), st.booleans()), max_size=10),
)
@examples(10, slow=50)
def test_two_quiet_reports_later_the_books_are_the_account(
    product: Product, positions: str, first: str, acts: list[tuple[str, int, bool]]
) -> None:
    world = World(product, positions)
    world.read()
    world.wire.tick({BTC: 100.0})
    for act in ((first, 9, False), *acts):
        world.act(*act)
        world.holds()
    world.settle()
    for _ in range(6):
        world.read()
        world.settle()
        world.holds()
    wire, account = world.wire, world.account
    assert wire.held() == account.quantity
    ledger = wire.engine.account.ledger
    assert abs((ledger.free() if account.spot else ledger.wallet) - account.quote) < CENT
    assert wire.engine.account.exchange.objection() == ""
    stops = [wire.engine.orders.get(each.ref) for each in account.orders.values() if each.ref is not None]
    whole = any(each is not None and each.covers(abs(account.quantity)) for each in stops)
    assert whole or not account.quantity or wire.engine.manager.closing(BTC)
