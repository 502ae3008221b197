"""A decider that manages positions at random, and oracles of what its legs have to lead to."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from random import Random  # noqa: TID251 - seeded, by whoever asks
from typing import Any

from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import OrderFilled, OrderIntended, OrderRefused, PositionClosed
from ocw_mcp.domain.market import Candle, Frame, Product
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.snapshot import DecisionRequest, SymbolView
from ocw_mcp.domain.steps import DecisionReady, Record
from ocw_mcp.domain.time import SECOND
from tests.support.markets import candle
from tests.support.runs import Run

D = Decimal
SYMBOL = "BTCUSDT"
TENTH = D("0.1")


def wild_path(seed: int, minutes: int) -> list[Candle]:
    """Return candles of a random walk with jumps, gaps between candles, and thin minutes."""
    draw, price, made = Random(f"path {seed}"), 100.0, []
    for index in range(minutes):
        begins = price * (1 + draw.choice((0, 0, 0, 0, 0.004, -0.004, 0.02, -0.02)))
        ends = begins * (1 + draw.gauss(0, draw.choice((0.0005, 0.002, 0.008))))
        begins, price = round(begins, 2), round(ends, 2)
        low, high = min(begins, price) * (1 - draw.random() / 500), max(begins, price) * (1 + draw.random() / 500)
        volume = draw.choice((1e6, 1e6, 1e6, 40.0))
        made.append(candle(index, price, open_=begins, high=round(high, 3), low=round(low, 3), volume=volume))
    return made


class Managing:
    """Enters if it is flat, and otherwise reduces, protects, trails, adds and cancels: the same at the same wake."""

    name = "managing"

    def __init__(self, seed: int, product: Product = Product.UM) -> None:
        self._seed = seed
        self._short = product is Product.UM

    def thinking_ms(self, request: DecisionRequest) -> int:
        return Random(f"{self._seed} thinks {request.wake_id}").choice((0, 0, 0, 20, 45)) * SECOND

    async def decide(self, request: DecisionRequest) -> Decision:
        draw = Random(f"{self._seed} decides {request.wake_id}")
        (view,) = request.snapshot.symbols.values()
        return Decision(tuple(self._legs(draw, view)))

    def _legs(self, draw: Random, view: SymbolView) -> Iterator[Leg]:
        held = view.position.quantity if view.position else D(0)
        price, way = view.last if isinstance(view.last, float) else 1.0, 1 if held >= 0 else -1

        def at(away: float) -> Decimal:
            return D(f"{price * (1 - way * away):.4f}")

        if not held:
            way = draw.choice((1, -1)) if self._short else 1
            limit = at(draw.choice((0.0005, 0.002))) if draw.random() < 0.4 else None
            size: Any = {draw.choice(("size", "risk")): D(draw.choice(("0.004", "0.01", "0.3")))}
            action = draw.choice((Action.CANCEL, *[Action.BUY if way > 0 else Action.SHORT] * 4))
            entry = Leg(view.symbol, action, stop=at(0.02), target=draw.choice((None, at(-0.03))), limit=limit, **size)
            yield Leg(view.symbol, action) if action is Action.CANCEL else entry
            return
        trail = D(draw.choice(("0.001", "0.004", "0.01", "0.03")))
        share = D(draw.choice(("0.0001", "0.25", "0.5", "0.999", "1")))
        for kind in draw.choice((("hold",), ("trail",), ("stop", "trail"), ("target",), ("reduce", "stop"), ("add",))):
            yield {
                "hold": Leg(view.symbol, Action.HOLD),
                "trail": Leg(view.symbol, Action.PROTECT, trail=trail),
                "stop": Leg(view.symbol, Action.PROTECT, stop=at(draw.choice((0.002, 0.01, 0.03)))),
                "target": Leg(view.symbol, Action.PROTECT, target=at(draw.choice((-0.004, -0.02, 0.01)))),
                "reduce": Leg(view.symbol, Action.REDUCE, share=share),
                "add": Leg(view.symbol, Action.ADD, risk=D("0.002")),
            }[kind]


def on(value: Decimal, unit: Decimal, *, up: bool) -> Decimal:
    return (value / unit).quantize(D(1), ROUND_CEILING if up else ROUND_FLOOR) * unit


class Plan:
    """The oracle's protection of one position: its stop, and what it trails by. `way` is +1 for a long."""

    def __init__(self, way: int, stop: Decimal) -> None:
        self.way, self.stop = way, stop
        self.trail: Decimal | None = None
        self.best = D(0)

    def tighten(self, stop: Decimal, tick: Decimal) -> None:
        stop = on(stop, tick, up=self.way > 0)
        self.stop = max(stop, self.stop) if self.way > 0 else min(stop, self.stop)

    def trailing(self, tick: Decimal) -> Decimal:
        assert self.trail is not None
        return on(self.best * (1 - self.way * self.trail), tick, up=self.way > 0)

    def closes(self, price: Decimal, tick: Decimal, *, moves: bool) -> None:
        """A candle closed. If it `moves`, the stop follows the best close, by a tenth of its distance at the least."""
        if self.trail is None:
            return
        self.best = max(price, self.best) if self.way > 0 else min(price, self.best)
        stop = self.trailing(tick)
        if (self.best - stop) * self.way <= 0:
            # The distance of a short's stop shrinks with the price, here to less than a tick.
            return
        if moves and (stop - self.stop) * self.way >= self.trail * self.best * TENTH:
            self.stop = stop


def trailed(run: Run) -> Run:
    """Check after every event that the planned stop is the oracle's, and never a looser one; return the run."""
    engine, step = run.engine, run.engine.step
    plans: dict[str, Plan] = {}

    def checked(event, now):  # type: ignore[no-untyped-def]
        mark = engine.account.ledger.marks.get(SYMBOL)
        effects = step(event, now)
        position = engine.account.ledger.positions.get(SYMBOL)
        if position is None:
            plans.pop(SYMBOL, None)
            return effects
        protection, tick = engine.guard.protections[SYMBOL], engine.prices.instruments[SYMBOL].tick
        plan = plans.get(SYMBOL)
        if plan is None or plan.way * position.quantity < 0:
            plan = plans[SYMBOL] = Plan(1 if position.quantity > 0 else -1, protection.trigger)
            # After a restart the oracle begins with the restored plan.
            plan.trail, plan.best = protection.trail, protection.best
        elif isinstance(event, Frame):
            moves = not (engine.guard.flattening or engine.manager.exit_under_way(SYMBOL))
            for each in event.closed:
                plan.closes(D(repr(each.close)), tick, moves=moves)
        elif isinstance(event, DecisionReady):
            for index, leg in enumerate(event.decision.legs):
                key = f"{event.wake_id}:{index}"
                if leg.action is Action.PROTECT and not _refused(effects, key):
                    if leg.stop is not None:
                        plan.tighten(leg.stop, tick)
                    if leg.trail is not None:
                        assert mark is not None
                        plan.trail, plan.best = leg.trail, mark
                        plan.tighten(plan.trailing(tick), tick)
        else:
            # A fill may tighten the stop: by the stop of an addition, or because it exceeds a limit.
            assert (protection.trigger - plan.stop) * plan.way >= 0, f"{plan.stop} became {protection.trigger}"
            plan.stop = protection.trigger
        assert (protection.trigger, protection.trail) == (plan.stop, plan.trail)
        assert plan.trail is None or protection.best == plan.best
        return effects

    engine.step = checked  # type: ignore[method-assign]
    return run


def _refused(effects, key: str) -> bool:  # type: ignore[no-untyped-def]
    journaled = [each.event for each in effects if isinstance(each, Record)]
    refused = [each for each in journaled if isinstance(each, OrderRefused)]
    return any(each.intent.idempotency_key.endswith(key) for each in refused)


def reduced(run: Run) -> Run:
    """Check that each REDUCE sells its share of the position, or all if the rest were too small; return the run."""
    engine, step = run.engine, run.engine.step

    def checked(event, now):  # type: ignore[no-untyped-def]
        held = abs(engine.account.ledger.quantity(SYMBOL))
        effects = step(event, now)
        legs = event.decision.legs if isinstance(event, DecisionReady) else ()
        for index, leg in enumerate(legs):
            sent = [
                each.event
                for each in effects
                if isinstance(each, Record)
                and isinstance(each.event, OrderIntended)
                and each.event.intent.idempotency_key.endswith(f"{event.wake_id}:{index}")
            ]
            if leg.share is not None and sent:
                filters, price = engine.prices.instruments[SYMBOL], D(repr(engine.market.symbols[SYMBOL].last))
                part = on(held * leg.share, filters.step, up=False)
                least = max(filters.min_quantity, filters.min_notional / price)
                expected = part if held - part >= least else on(held, filters.step, up=False)
                assert sent[0].intent.quantity == expected, f"{leg.share} of {held}"
        return effects

    engine.step = checked  # type: ignore[method-assign]
    return run


def covered(run: Run) -> Run:
    """Check after every frame that stops and targets have the quantity of the rest, and on spot lock no more."""
    engine, venue, take = run.engine, run.venue, run.simulation.take_frame

    async def compared(frame: Frame) -> None:
        await take(frame)
        held = abs(engine.account.ledger.quantity(SYMBOL))
        resting = {each.ref for each in venue.orders}
        live = [each for each in engine.orders.live(SYMBOL) if each.ref in resting and each.purpose.reduces]
        if run.config.product is Product.SPOT:
            assert sum(each.remaining for each in live) <= held
        if not held or engine.manager.exit_under_way(SYMBOL) or not engine.guard.protections[SYMBOL].protected:
            return
        rest = on(held, engine.prices.instruments[SYMBOL].step, up=False)
        stops = [each.remaining for each in live if each.purpose is Purpose.STOP]
        targets = [each.remaining for each in live if each.purpose is Purpose.TARGET]
        assert set(stops) == {rest}
        # On futures, a tighter stop rests beside the one that closes the whole position.
        assert len(stops) <= (1 if run.config.product is Product.SPOT else 2)
        wants = engine.guard.protections[SYMBOL].target is not None and run.config.product is not Product.SPOT
        assert targets == [rest] * wants

    run.simulation.take_frame = compared  # type: ignore[method-assign]
    return run


def parts_of(run: Run) -> list[tuple[Decimal, Decimal, Decimal]]:
    """Return per closed trade: its profit by plain sums of its fills, minus the journaled one; the same for fees;
    and the sum of the realised parts minus the profit before fees."""
    cash = fees = realised = quantity = D(0)
    found = []
    for stored in run.store.domain:
        event = stored.event
        if isinstance(event, OrderFilled):
            signed = event.quantity if event.side == "buy" else -event.quantity
            quantity += signed
            cash -= signed * event.price
            fees += event.fee
            realised += event.realised
        elif isinstance(event, PositionClosed):
            assert quantity == 0
            found.append((cash - fees + event.funding - event.pnl, fees - event.fees, realised - cash))
            cash = fees = realised = D(0)
    return found
