"""Limit entries are sized, protected and cancelled in time, and a restart does not change them."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import TimerKind
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.invariants import watched
from tests.support.legs import add, buy, sell, short
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

D = Decimal
WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


def dip(low: float, at: int = 2, count: int = 6) -> list[Candle]:
    """Minutes at 100, one of which falls to `low` and recovers."""
    return [candle(index, 100.0, low=low if index == at else 100.0) for index in range(count)]


async def run(script: dict[int, Decision], candles: list[Candle], store: MemoryStore | None = None) -> Run:
    return await watched(Run(ListFeed(candles), Scripted(script), policy=WAKES, store=store)).go()


async def test_a_limit_entry_fills_at_its_limit_price_and_gets_a_stop() -> None:
    done = await run({1: buy("96", limit="98")}, dip(97.0))
    (fill,) = done.timed(events.OrderFilled)
    assert (fill[0], fill[1].price, fill[1].maker) == (START + 3 * MINUTE, 98, True)
    (protected,) = done.timed(events.PositionProtected)
    assert (protected[0], protected[1].trigger_price) == (fill[0], 96)
    (intended, _) = done.events(events.OrderIntended)
    assert intended.intent.quantity == D("10.204")


async def test_a_candle_beyond_limit_price_and_stop_fills_entry_and_stop() -> None:
    done = await run({1: buy("96", limit="98", target="110")}, dip(95.0))
    entry, stop = done.events(events.OrderFilled)
    assert (entry.ref.leg, stop.ref.leg) == (Purpose.ENTRY, Purpose.STOP)
    assert stop.price < 96
    assert done.engine.account.ledger.positions == {}
    assert len(done.events(events.PositionClosed)) == 1


async def test_an_addition_and_the_stop_filled_in_one_candle_end_flat() -> None:
    (leg,) = buy("96", "0.05", limit="98").legs
    adding = Decision((type(leg)(leg.symbol, add().legs[0].action, leg.size, stop=D(96), limit=D(98)),))
    done = await run({1: buy("95"), 3: adding}, dip(94.0, at=4, count=8))
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)].count(Purpose.ENTRY) == 2
    assert done.engine.account.ledger.positions == {}


@pytest.mark.parametrize(("expires_s", "minutes"), [(90, 3), (60, 2)])
async def test_limit_entry_is_cancelled_when_it_expires(expires_s: int, minutes: int) -> None:
    done = await run({1: buy("96", limit="98", expires_s=expires_s)}, dip(97.0, at=4, count=7))
    (asked,) = done.timed(events.OrderCancelRequested)
    assert asked[1].why == "it has expired"
    assert START + MINUTE + expires_s * 1_000 <= asked[0] <= START + (1 + minutes) * MINUTE
    assert len(done.events(events.OrderCanceled)) == 1
    assert done.events(events.OrderFilled) == []


async def test_a_limit_entry_waits_for_an_hour_by_default() -> None:
    done = await run({1: buy("96", limit="98")}, dip(100.0, count=70))
    (asked,) = done.timed(events.OrderCancelRequested)
    assert asked[0] == START + 61 * MINUTE


async def test_a_filled_limit_entry_has_no_expiry_timer() -> None:
    done = await run({1: buy("96", limit="98")}, dip(97.0))
    assert not [timer for timer in done.engine.timers if timer.kind is TimerKind.EXPIRY]


async def test_an_exit_cancels_a_waiting_limit_entry() -> None:
    done = await run({1: buy("96", limit="98"), 2: sell()}, dip(97.0, at=3))
    assert done.events(events.OrderFilled) == []
    assert len(done.events(events.OrderCanceled)) == 1


async def test_a_post_only_entry_that_would_fill_at_once_is_rejected() -> None:
    done = await run({1: buy("96", limit="101", post_only=True)}, dip(97.0))
    (rejected,) = done.events(events.OrderRejected)
    assert rejected.reason is RejectReason.WOULD_TAKE
    assert done.venue.orders == []


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (buy("96", limit="-1"), "BAD_LIMIT"),
        (buy("96", limit="NaN"), "BAD_LIMIT"),
        (buy("96", limit="98", expires_s=0), "BAD_LIMIT"),
        (buy("99", limit="98"), "STOP_REQUIRED"),
        (buy("96", limit="98", target="97"), "BAD_TARGET"),
        (buy("96", limit="98", size="0.9"), "ORDER_NOTIONAL"),
    ],
)
async def test_an_entry_with_an_invalid_limit_price_is_refused(decision: Decision, code: str) -> None:
    done = await run({1: decision}, dip(97.0))
    assert [each.refusal.code for each in done.events(events.OrderRefused)] == [code]


async def test_a_target_between_limit_price_and_market_price_is_accepted() -> None:
    done = await run({1: buy("96", limit="98", target="99")}, dip(97.0))
    assert done.events(events.OrderRefused) == []


@again_among_slow
@pytest.mark.parametrize("every", [1, 3])
async def test_a_kill_does_not_change_how_limit_entries_fill_or_expire(
    every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", every)
    script = {1: buy("96", limit="98"), 4: sell(), 5: short("103", limit="101"), 6: buy("90", limit="95", expires_s=60)}
    candles = dip(97.0, count=10)
    undisturbed = await run(script, candles)
    assert len(undisturbed.events(events.OrderCanceled)) >= 1
    for moment in some(undisturbed.store.crash_moments()):
        dying = MemoryStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await run(script, candles, dying)
        resumed = await run(script, candles, dying.reopened())
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()
