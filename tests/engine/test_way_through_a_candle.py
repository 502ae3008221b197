"""What the engine lays in answer to a fill meets the rest of the candle, and nothing that the price had passed before."""

import asyncio
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CallerRequest, LegRequest, ProtectionRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.policies import Policies
from ocw_mcp.runtime import run as runtime_run
from tests.support.invariants import watched
from tests.support.markets import HandFed, candle
from tests.support.runs import DEFAULT, Run

D = Decimal
SOL = "SOLUSDT"


def leg(
    action: Action, stop: str, limit: str | None = None, target: str | None = None, size: str = "0.2"
) -> LegRequest:
    asked = Leg(SOL, action, size=D(size), stop=D(stop))
    asked = Leg(SOL, action, size=D(size), stop=D(stop), limit=D(limit) if limit else None,
                target=D(target) if target else None, limit_expires_s=86_400 if limit else None)  # fmt: skip
    return LegRequest(f"{action}-{limit}", "anna", asked)


async def through(
    monkeypatch: pytest.MonkeyPatch,
    requests: list[CallerRequest],
    *last: tuple[float, float, float, float],
    policy: Policies = DEFAULT.policies,
) -> Run:
    """A run that is asked for these at a price of 100, before candles with these opens, highs, lows and closes."""
    monkeypatch.setattr(runtime_run, "LOOK_UP_EVERY", 1)
    quiet = [candle(index, 100.0, symbol=SOL) for index in range(40)]
    candles = quiet + [
        candle(40 + index, close, open_=first, high=high, low=low, symbol=SOL)
        for index, (first, high, low, close) in enumerate(last)
    ]
    feed = HandFed(candles)
    run = watched(Run(feed, policy=policy))
    going = asyncio.ensure_future(run.go())
    for request in requests:
        asking = asyncio.ensure_future(run.simulation.ask(request))
        while not asking.done():
            feed.give(1)
            await asyncio.sleep(0)  # noqa: TID251 - lets the run go on
        assert isinstance(asking.result(), OrderRef), str(asking.result())
    feed.give(len(candles))
    await going
    return run


def gained(run: Run) -> Decimal:
    return run.engine.account.ledger.equity() - 10_000


async def test_a_stop_above_a_limit_is_met_first_and_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [
        leg(Action.BUY, "95.2"),
        leg(Action.ADD, "95.3", limit="96.5"),
        ProtectionRequest("p", "anna", SOL, stop=D(99)),
    ]
    done = await through(monkeypatch, requests, (100.0, 100.0, 93.0, 93.5), (93.5, 93.5, 93.5, 93.5))
    fills = [(each.ref.leg, each.price) for each in done.events(events.OrderFilled)]
    print(fills, gained(done))
    assert [leg for leg, _ in fills] == [Purpose.ENTRY, Purpose.STOP]
    assert fills[1][1] < 99
    assert gained(done) < 0
