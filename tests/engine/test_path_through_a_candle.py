"""Orders that the engine places after a fill meet the rest of the candle, and no earlier price of it."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CallerRequest, LegRequest, ProtectionRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.invariants import watched
from tests.support.markets import START, HandFed, ListFeed, candle
from tests.support.runs import DEFAULT, Run, policies

D = Decimal
SOL = "SOLUSDT"
ENTRY, STOP, TARGET, EXIT = Purpose.ENTRY, Purpose.STOP, Purpose.TARGET, Purpose.EXIT
Prices = tuple[float, float, float, float]
"""Open, high, low and close."""
BOTH_WAYS = pytest.mark.parametrize(
    ("product", "way"), [(Product.UM, 1), (Product.UM, -1), (Product.SPOT, 1)], ids=["long", "short", "spot"]
)


def mirrored(price: float, way: int) -> float:
    """A price around 100 for a long, or its mirror image for a short."""
    return 100 + way * (price - 100)


def asks(
    way: int,
    action: Action,
    stop: float,
    limit: float | None = None,
    target: float | None = None,
) -> CallerRequest:
    stop_at, limit_at, target_at = (None if p is None else D(str(mirrored(p, way))) for p in (stop, limit, target))
    opens = Action.BUY if way > 0 else Action.SHORT
    asked = Leg(SOL, opens if action is Action.BUY else action, D("0.06"), stop_at, target_at, limit_at)
    return LegRequest(f"{action}-{limit}", "anna", asked)


def moves(way: int, to: float) -> CallerRequest:
    return ProtectionRequest("p", "anna", SOL, stop=D(str(mirrored(to, way))))


async def through(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int, requests: Sequence[CallerRequest], *last: Prices
) -> Run:
    """A run with default policies that executes the decisions at 100, and then gets the candles."""
    monkeypatch.setattr(runtime_run, "POLL_EVERY", 1)
    candles = [candle(index, 100.0, symbol=SOL) for index in range(40)]
    for index, prices in enumerate(last, len(candles)):
        first, high, low, close = (mirrored(price, way) for price in prices)
        candles.append(
            candle(index, close, open_=first, high=max(high, low), low=min(high, low), symbol=SOL),
        )
    feed = HandFed(candles)
    feed.product = product
    run = watched(Run(feed, policy=DEFAULT.policies))
    going = asyncio.ensure_future(run.go())
    for request in requests:
        asking = asyncio.ensure_future(run.simulation.shell.ask(request))
        while not asking.done():
            feed.give(1)
            await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
        assert isinstance(asking.result(), OrderRef), str(asking.result())
    feed.give(len(candles))
    await going
    return run


def fills(run: Run, way: int) -> list[tuple[Purpose, float]]:
    """The legs that traded and their prices, to a tenth, mirrored for a short."""
    return [(each.ref.leg, round(mirrored(float(each.price), way), 1)) for each in run.events(events.OrderFilled)]


def gained(run: Run) -> Decimal:
    return run.engine.account.ledger.equity() - 10_000


@BOTH_WAYS
async def test_a_stop_nearer_to_price_than_a_limit_addition_fills_first(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int
) -> None:
    requests = [asks(way, Action.BUY, 95.2), asks(way, Action.ADD, 95.3, limit=96.5), moves(way, 99)]
    done = await through(monkeypatch, product, way, requests, (100.0, 100.0, 93.0, 93.5), (93.5, 93.5, 93.5, 93.5))
    assert fills(done, way) == [(ENTRY, 100.0), (STOP, 99.0)]
    assert gained(done) < 0
    assert done.venue.orders == []


@BOTH_WAYS
async def test_an_addition_filled_beyond_the_stop_is_closed(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int
) -> None:
    requests = [asks(way, Action.BUY, 95.2), asks(way, Action.ADD, 95.3, limit=96.5), moves(way, 99)]
    done = await through(monkeypatch, product, way, requests, (93.0, 93.0, 93.0, 93.0), (92.0, 92.0, 92.0, 92.0))
    assert fills(done, way) == [(ENTRY, 100.0), (STOP, 93.0), (ENTRY, 96.5), (EXIT, 92.0)]
    rejected = done.events(events.OrderRejected)
    assert {(each.ref.leg, each.reason) for each in rejected} == {(STOP, RejectReason.WOULD_TRIGGER_IMMEDIATELY)}
    assert gained(done) < 0


@BOTH_WAYS
async def test_a_stop_tightened_by_an_addition_fills_in_the_same_candle(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int
) -> None:
    requests = [asks(way, Action.BUY, 95.2), asks(way, Action.ADD, 95.6, limit=97.0)]
    done = await through(monkeypatch, product, way, requests, (100.0, 100.5, 94.0, 99.0), (99.0, 99.0, 99.0, 99.0))
    assert fills(done, way) == [(ENTRY, 100.0), (ENTRY, 97.0), (STOP, 95.6)]
    assert gained(done) < 0


@BOTH_WAYS
async def test_a_target_that_fills_first_cancels_a_limit_addition(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int
) -> None:
    requests = [asks(way, Action.BUY, 95.2, target=103.0), asks(way, Action.ADD, 95.3, limit=97.0)]
    done = await through(monkeypatch, product, way, requests, (100.0, 104.0, 96.0, 103.5), (103.5,) * 4)
    target = STOP if product is Product.SPOT else TARGET
    assert fills(done, way) == [(ENTRY, 100.0), (target, 103.0)]


@BOTH_WAYS
async def test_a_stop_fills_before_the_target_and_cancels_an_addition(
    monkeypatch: pytest.MonkeyPatch, product: Product, way: int
) -> None:
    requests = [
        asks(way, Action.BUY, 95.2, target=103.0),
        asks(way, Action.ADD, 95.3, limit=97.0),
        moves(way, 98.0),
    ]
    done = await through(monkeypatch, product, way, requests, (100.0, 104.0, 96.0, 103.5), (103.5,) * 4)
    assert fills(done, way) == [(ENTRY, 100.0), (STOP, 98.0)]
    assert done.venue.orders == []


@BOTH_WAYS
async def test_a_stop_moved_within_a_candle_fills_at_its_old_trigger(product: Product, way: int) -> None:
    first, low = mirrored(100, way), mirrored(94, way)
    candles = [candle(index, first, symbol=SOL) for index in range(3)]
    candles.append(candle(3, mirrored(99.5, way), open_=first, high=max(first, low), low=min(first, low), symbol=SOL))
    feed = ListFeed(candles, product=product)
    run = watched(Run(feed, policy=policies()))
    async for frame in feed.frames():
        now = frame.at
        await run.simulation.take_frame(frame)
        if now == START + MINUTE:
            await run.simulation.shell.take(Asked(asks(way, Action.BUY, 95.2), now))
        if now == START + 3 * MINUTE:
            run.clock.advance(now + 30_000)
            await run.simulation.shell.take(Asked(moves(way, 95.5), now))
    assert fills(run, way) == [(ENTRY, 100.0), (STOP, 95.2)]
