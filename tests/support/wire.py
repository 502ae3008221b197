"""An engine whose venue is the test: what the engine sends is listed, and any report can come back."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from typing import Any

import msgspec

from ocw_mcp.adapters.venues.instruments import PaperInstruments
from ocw_mcp.domain.asks import CloseRequest, LegRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.market import Candle, Frame, Instrument, Product
from ocw_mcp.domain.orders import Filled, Order, OrderRef, OrderSeen, Purpose, Side
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal
from ocw_mcp.domain.regime import FitRequest
from ocw_mcp.domain.steps import Asked, AskFit, Cancel, CancelForeign, Command, Record, Send, StepEvent, TimerFired
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from tests.support.markets import START, candle
from tests.support.runs import policies

D = Decimal


class Wire:
    """One engine and its clock, a candle a minute. Money is 10,000 in quote currency to begin with."""

    def __init__(
        self,
        product: Product = Product.UM,
        policy: Policies | None = None,
        symbols: Sequence[str] = ("BTCUSDT",),
        filters: Instrument | None = None,
        price: float = 100.0,
        days: Sequence[Candle] = (),
        **config: Any,
    ) -> None:
        """`filters` replaces those of every symbol; `price` is the first close; `days` are history for the regime.

        `config` are fields of EngineConfig.
        """
        self._config = EngineConfig(
            policies=policy or policies(order={"max_notional": 1_000_000}, position={"max_share": 1}),
            policy_hash="policy",
            prompts_hash="prompts",
            product=product,
            interval=MINUTE,
            symbols=tuple(symbols),
            start_equity=D(10_000),
            agent="attached",
            instruments=PaperInstruments(product).get if filters is None else lambda symbol, price: filters,
        )
        self._config = msgspec.structs.replace(self._config, **config)
        self.engine = Engine(self._config)
        self.engine.start()
        self.sent: list[Order] = []
        self.canceled: list[OrderRef] = []
        self.foreign: list[OrderSeen] = []
        self.journal: list[DomainEvent] = []
        self.reported: list[tuple[Order, Filled]] = []
        """Fills that were reported, each once, with their orders."""
        self.minute, self._keys, self._fills = -1, count(1), count(1)
        self.fits: list[FitRequest] = []
        if days:
            self.give(Frame(self.now, days=tuple(days), history=True))
        self.tick(dict.fromkeys(symbols, price))

    @property
    def now(self) -> int:
        return START + (self.minute + 1) * MINUTE

    def give(self, event: StepEvent) -> list[DomainEvent]:
        """Hand an event to the engine; what it journaled."""
        recorded = []
        for effect in self.engine.step(event, self.now):
            if isinstance(effect, Send):
                self.sent.append(effect.cleared.order)
            elif isinstance(effect, Cancel):
                self.canceled.append(effect.ref)
            elif isinstance(effect, CancelForeign):
                self.foreign.append(effect.order)
            elif isinstance(effect, AskFit):
                self.fits.append(effect.request)
            elif isinstance(effect, Record):
                recorded.append(effect.event)
        self.journal += recorded
        return recorded

    def tick(self, closes: dict[str, float], *, highs: float | None = None, lows: float | None = None) -> None:
        """A minute passes and closes at these prices."""
        self.minute += 1
        made = [
            candle(self.minute, close, symbol=symbol, high=highs, low=lows) for symbol, close in sorted(closes.items())
        ]
        self.give(Frame(self.now, tuple(made)))

    def enter(self, action: Action = Action.BUY, quantity: str | None = "10", **leg: Any) -> Order | Refusal:
        """Ask for an entry; the order that was sent, or why none was. Without a quantity the leg has its size."""
        stop = None if action is Action.ADD else D(97) if action is Action.BUY else D(103)
        wanted = Leg(**{"symbol": "BTCUSDT", "action": action, "size": D("0.1"), "stop": stop, **leg})
        given = None if quantity is None else D(quantity)
        return self._ask(LegRequest(f"k{next(self._keys)}", "anna", wanted, given))

    def close(self, symbol: str = "BTCUSDT") -> Order | Refusal:
        """Ask for a close; the order that was sent, or why none was."""
        return self._ask(CloseRequest(f"k{next(self._keys)}", "anna", symbol))

    def _ask(self, request: LegRequest | CloseRequest) -> Order | Refusal:
        self.give(Asked(request))
        answer: Answer | None = self.engine.answer(request)
        if isinstance(answer, OrderRef):
            return next(order for order in reversed(self.sent) if order.ref == answer)
        assert isinstance(answer, Refusal), answer
        return answer

    def fill(self, order: Order, quantity: str | Decimal | None = None, price: str = "100") -> Filled:
        """Report a trade of an order: all of it, or so much. The fee is 0.05 % of it."""
        size = order.quantity if quantity is None else D(quantity)
        fee = size * D(price) * D("0.0005")
        report = Filled(order.ref, f"f{next(self._fills)}", size, D(price), fee, self.now)
        self.reported.append((order, report))
        self.give(report)
        return report

    def fire(self) -> None:
        """Let every timer that is set be due."""
        for timer in sorted(self.engine.timers):
            self.give(TimerFired(timer))

    def command(self, verb: str, subject: str = "") -> list[DomainEvent]:
        """A person's command."""
        return self.give(Command(f"c{next(self._keys)}", verb, "a person", subject=subject))

    def restart(self) -> None:
        """Another process goes on from the saved state."""
        state = self.engine.state()
        self.engine = Engine(self._config)
        self.engine.restore(state)
        self.engine.start()

    def held(self, symbol: str = "BTCUSDT") -> Decimal:
        """The signed position in the books."""
        return self.engine.account.ledger.quantity(symbol)

    def last(self, purpose: Purpose) -> Order:
        """The order that was sent last for a purpose."""
        return next(order for order in reversed(self.sent) if order.ref.leg is purpose)

    def stands(self, symbol: str = "BTCUSDT") -> list[Order]:
        """The stops and exits of a symbol that may still trade and that no cancel was asked for."""
        kinds = (Purpose.STOP, Purpose.EXIT)
        live = self.engine.orders.live(symbol)
        return [each.order for each in live if each.purpose in kinds and not each.cancel_requested]

    def names(self) -> list[str]:
        """The client id of every order that was ever sent."""
        return [order.ref.client_id("wire00") for order in self.sent]


def by_the_fills(wire: Wire, symbol: str, mark: Decimal) -> tuple[Decimal, Decimal]:
    """Position and profit (quote) that the reported fills come to, by plain sums: an oracle that asks no ledger."""
    quantity = cash = D(0)
    for order, fill in wire.reported:
        if order.symbol == symbol:
            signed = fill.quantity if order.side is Side.BUY else -fill.quantity
            quantity += signed
            cash -= signed * fill.price + fill.fee
    return quantity, cash + quantity * mark


def replaced(fill: Filled, **changes: object) -> Filled:
    """The same fill with something else about it."""
    return msgspec.structs.replace(fill, **changes)
