"""Funding is booked once, as part of the trade, between the close and the opening of its stamp."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Candle, Funding, Product
from ocw_mcp.domain.orders import FundingPaid
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.engine.test_report import report_of
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import buy, sell, short
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
STAMP = 8 * 60
"""Minutes from the start of the market to the first stamp."""


def around_the_stamp(*closes: float, first: int = STAMP - 3) -> list[Candle]:
    """Minutes, of which by default the third closes at the stamp."""
    return [candle(first + index, close) for index, close in enumerate(closes)]


def run(
    script: dict[int, object],
    closes: tuple[float, ...] = (100.0,) * 6,
    rate: float | None = None,
    late: int = 0,
    **more: object,
) -> Run:
    told = [] if rate is None else [Funding("BTCUSDT", START + STAMP * MINUTE + late, rate, 8)]
    feed = ListFeed(around_the_stamp(*closes), funding=told)
    return watched(Run(feed, Scripted(script), policy=WAKES, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(("open_it", "stop", "sign"), [(buy, "97", -1), (short, "103", 1)])
async def test_funding_is_booked_into_wallet_position_and_trade(open_it, stop: str, sign: int) -> None:  # type: ignore[no-untyped-def]
    done = await run({1: open_it(stop), 4: sell() if sign < 0 else short("103")}, rate=0.001).go()
    (paid,) = done.events(events.FundingBooked)
    quantity = paid.quantity
    assert paid.amount == -quantity * D(100) * D("0.001")
    assert (paid.amount > 0) == (sign > 0)
    assert (paid.settled_at, paid.assumed) == (START + STAMP * MINUTE, False)
    assert done.engine.account.ledger.funding == paid.amount
    if sign < 0:
        (closed,) = done.events(events.PositionClosed)
        assert closed.funding == paid.amount
        assert done.engine.account.ledger.wallet == D(10_000) + closed.pnl
        assert done.engine.account.trades[-1].pnl == closed.pnl


async def test_funding_is_booked_before_orders_fill_at_the_next_open() -> None:
    late = await run({3: buy("97")}, rate=0.001).go()
    assert late.events(events.FundingBooked) == []
    assert len(late.events(events.OrderFilled)) == 1
    leaving = await run({1: buy("97"), 3: sell()}, rate=0.001).go()
    kinds = [type(each.event).__name__ for each in leaving.store.domain if each.at == START + STAMP * MINUTE]
    assert kinds.index("FundingBooked") < kinds.index("OrderFilled") < kinds.index("PositionClosed")


async def test_a_position_stopped_out_before_funding_pays_no_funding() -> None:
    done = await run({1: buy("97")}, (100.0, 100.0, 90.0, 90.0, 90.0), rate=0.001).go()
    assert len(done.events(events.PositionClosed)) == 1
    assert done.events(events.FundingBooked) == []


async def test_funding_uses_the_candle_close_at_the_funding_time() -> None:
    done = await run({1: buy("97")}, (100.0, 100.0, 110.0, 120.0), rate=0.001).go()
    assert done.events(events.FundingBooked)[0].mark == 110


async def test_without_funding_rates_an_assumed_rate_is_paid_and_flagged() -> None:
    done = await run({1: buy("97")}).go()
    (paid,) = done.events(events.FundingBooked)
    assert paid.assumed
    assert paid.amount == -paid.quantity * D(100) * D("0.0001")
    assert any(flag.startswith("funding=assumed") and "BTCUSDT" in flag for flag in report_of(done)["flags"])


async def test_known_funding_rates_and_spot_give_no_assumed_funding_flag() -> None:
    done = await run({}, rate=0.001).go()
    assert not any("funding" in flag for flag in report_of(done)["flags"])
    feed = ListFeed(around_the_stamp(*(100.0,) * 6))
    feed.product = Product.SPOT
    spot = await watched(Run(feed, Scripted({1: buy("97")}), policy=WAKES)).go()
    assert "funding=none: spot has none" in report_of(spot)["flags"]
    assert spot.events(events.FundingBooked) == []


async def test_funding_reported_twice_is_booked_once() -> None:
    done = await run({1: buy("97")}, rate=0.001).go()
    wallet, at = done.engine.account.ledger.wallet, START + STAMP * MINUTE
    again = FundingPaid("BTCUSDT", D(-5), D("0.001"), D(1), D(100), at)
    assert done.engine.step(again, at + HOUR) == []
    assert done.engine.account.ledger.wallet == wallet


@again_among_slow
@pytest.mark.parametrize(
    ("every", "rate", "late"), [(1, 0.001, 0), (3, 0.001, 3), (1, 0.001, 3), (1, None, 0), (3, None, 0)]
)
async def test_a_run_killed_at_a_funding_time_resumes_to_the_same_events(
    every: int, rate: float | None, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    script: dict[int, object] = {1: buy("97"), 4: sell()}
    undisturbed = await run(script, rate=rate, late=late).go()
    assert len(undisturbed.events(events.FundingBooked)) == 1
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(script, rate=rate, late=late, store=dying).go()
        resumed = await run(script, rate=rate, late=late, store=dying.reopened()).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()
        assert resumed.venue.state() == undisturbed.venue.state()
