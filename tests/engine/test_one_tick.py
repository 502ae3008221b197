"""From a candle to the fill of an order that was decided on it."""

from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Failing, Scripted
from tests.support.legs import add, buy, cover, sell, short
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies


def every_candle(**tables: dict[str, object]) -> Policies:
    """Policies with a wake at every close of a minute."""
    return policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, **tables)


def run(candles: list[Candle], script: Scripted) -> Run:
    return Run(ListFeed(candles), script, policy=every_candle())


async def test_a_decision_on_a_close_fills_at_the_next_open() -> None:
    candles = [candle(0, 100.0, low=99.5), candle(1, 100.3, open_=100.1), candle(2, 100.3)]
    done = await run(candles, Scripted({1: buy("97")})).go()
    (fill,) = done.events(events.OrderFilled)
    assert fill.traded_at == START + MINUTE
    assert Decimal("100.1") < fill.price <= Decimal("100.2")
    (decision,) = done.timed(events.DecisionMade)[:1]
    assert decision[0] == START + MINUTE


async def test_a_decision_on_the_last_candle_is_never_filled() -> None:
    done = await run(path([100.0, 100.0]), Scripted({2: buy("97")})).go()
    assert len(done.events(events.OrderIntended)) == 1
    assert done.events(events.OrderFilled) == []


async def test_a_stop_can_fill_in_the_candle_of_its_entry() -> None:
    candles = [candle(0, 100.0), candle(1, 99.0, open_=100.0, low=96.0, high=100.0), candle(2, 99.0)]
    done = await run(candles, Scripted({1: buy("97")})).go()
    entry, stop = done.events(events.OrderFilled)
    assert entry.ref.leg is Purpose.ENTRY
    assert stop.ref.leg is Purpose.STOP
    assert Decimal("96.9") <= stop.price < Decimal("97")
    (closed,) = done.events(events.PositionClosed)
    assert closed.pnl < 0
    assert summary(done.engine)["positions"] == []


async def test_a_stop_fills_at_an_opening_price_beyond_its_trigger() -> None:
    candles = [candle(0, 100.0), candle(1, 100.0), candle(2, 90.0, open_=90.0), candle(3, 90.0)]
    done = await run(candles, Scripted({1: buy("97")})).go()
    stop = done.events(events.OrderFilled)[1]
    assert Decimal("89.9") <= stop.price < Decimal("90")


async def test_a_candle_that_reaches_stop_and_target_fills_the_stop() -> None:
    candles = [candle(0, 100.0), candle(1, 100.0), candle(2, 100.0, low=96.0, high=111.0), candle(3, 100.0)]
    done = await run(candles, Scripted({1: buy("97", target="110")})).go()
    fills = done.events(events.OrderFilled)
    assert [fill.ref.leg for fill in fills] == [Purpose.ENTRY, Purpose.STOP]
    assert not list(done.engine.orders.live())


async def test_a_filled_target_cancels_the_stop_of_the_position() -> None:
    candles = [candle(0, 100.0), candle(1, 100.0), candle(2, 110.0, open_=100.0, high=111.0), candle(3, 110.0)]
    done = await run(candles, Scripted({1: buy("97", target="110")})).go()
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.TARGET]
    assert done.events(events.PositionClosed)[0].pnl > 0
    assert not list(done.engine.orders.live())


async def test_a_target_the_market_has_passed_closes_the_position() -> None:
    candles = [candle(0, 100.0), candle(1, 100.1), candle(2, 100.1)]
    done = await run(candles, Scripted({1: buy("97", target="100.1")})).go()
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]
    assert not list(done.engine.orders.live())


async def test_stop_is_cancelled_after_the_position_is_closed() -> None:
    done = await run(path([100.0] * 4), Scripted({1: buy("97"), 2: sell()})).go()
    names = [type(stored.event).__name__ for stored in done.store.domain]
    last_fill = max(index for index, name in enumerate(names) if name == "OrderFilled")
    assert "OrderCancelRequested" not in names, "the venue ends it"
    assert names.index("OrderCanceled") > last_fill
    assert done.events(events.OrderCanceled)[0].ref.leg is Purpose.STOP


async def test_a_short_opened_and_covered_lower_earns_a_profit() -> None:
    candles = [candle(0, 100.0), candle(1, 90.0, open_=100.0), candle(2, 90.0), candle(3, 90.0)]
    done = await run(candles, Scripted({1: short("103"), 2: cover()})).go()
    sold, bought = done.events(events.OrderFilled)
    assert sold.position < 0
    assert bought.position == 0
    assert done.events(events.PositionClosed)[0].pnl > 0


async def test_additions_share_one_stop_and_cannot_loosen_it() -> None:
    script = Scripted({1: buy("96"), 2: add("97"), 3: add("95"), 4: add()})
    done = await run(path([100.0] * 6), script).go()
    (refused,) = done.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.LOOSER_STOP
    wide, stop = done.engine.orders.live("BTCUSDT", Purpose.STOP)
    assert (wide.order.trigger_price, wide.order.close_position) == (Decimal(96), True)
    assert (stop.order.trigger_price, stop.order.close_position) == (Decimal(97), False)
    assert stop.order.quantity == done.engine.account.ledger.quantity("BTCUSDT")
    protected = done.events(events.PositionProtected)
    assert [event.stop.revision for event in protected] == [0, 1, 2]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({1: sell()}, RefusalCode.NO_POSITION),
        ({1: cover()}, RefusalCode.NO_POSITION),
        ({1: add("97")}, RefusalCode.NO_POSITION),
        ({1: buy("97"), 2: buy("97")}, RefusalCode.ALREADY_IN_POSITION),
        ({1: buy("97"), 2: short("103")}, RefusalCode.OPPOSITE_POSITION),
        ({1: buy("97"), 2: cover()}, RefusalCode.NO_POSITION),
        ({1: buy("97", size="0")}, RefusalCode.BAD_SIZE),
        ({1: buy("97", size="-0.1")}, RefusalCode.BAD_SIZE),
        ({1: buy("97", size="10")}, RefusalCode.BAD_SIZE),
        ({1: buy("97", size="NaN")}, RefusalCode.BAD_SIZE),
        ({1: buy("NaN")}, RefusalCode.STOP_REQUIRED),
        ({1: buy("0")}, RefusalCode.STOP_REQUIRED),
        ({1: buy("103")}, RefusalCode.STOP_REQUIRED),
        ({1: buy("90")}, RefusalCode.STOP_REQUIRED),
        ({1: buy("97", size="0.0001")}, RefusalCode.BELOW_MINIMUM),
        ({1: buy("97", size="0.3")}, RefusalCode.POSITION_SHARE),
        ({1: buy("97", symbol="NOSUCH")}, RefusalCode.UNKNOWN_SYMBOL),
        ({1: sell("NOSUCH")}, RefusalCode.UNKNOWN_SYMBOL),
    ],
)
async def test_an_impossible_leg_is_refused_with_the_right_code(script: dict, code: RefusalCode) -> None:  # type: ignore[type-arg]
    done = await run(path([100.0] * 4), Scripted(script)).go()
    assert done.events(events.OrderRefused)[0].refusal.code is code
    filled = done.events(events.OrderFilled)
    assert len(filled) == len(script) - 1


async def test_a_refused_exit_is_journaled_with_its_side() -> None:
    done = await run(path([100.0] * 5), Scripted({1: sell(), 2: cover()})).go()
    refused = done.events(events.OrderRefused)
    assert [each.intent.side for each in refused] == ["sell", "buy"]
    assert {(each.refusal.limit, each.refusal.actual) for each in refused} == {("an open position", "flat")}


async def test_a_failed_decision_is_a_hold_with_its_cause() -> None:
    done = await Run(ListFeed(path([100.0] * 3)), Failing(), policy=every_candle()).go()
    decisions = done.events(events.DecisionMade)
    assert decisions
    assert all(each.decision.legs == () for each in decisions)
    assert decisions[0].decision.cause == Cause(CauseKind.ERROR, "ConnectionError: the line is dead")


async def test_an_entry_in_a_data_gap_expires_and_an_exit_waits() -> None:
    gap = 60
    lonely = [candle(0, 100.0), *(candle(index, 100.0) for index in range(gap, gap + 3))]
    done = await run(lonely, Scripted({1: buy("97")})).go()
    assert done.events(events.OrderCanceled)[0].why.startswith("expired")
    assert done.events(events.OrderFilled) == []
    assert done.engine.counters.holes == 1
    (hole,) = done.events(events.HoleFound)
    assert (hole.since, hole.until) == (START + MINUTE, START + gap * MINUTE)

    held = [*path([100.0] * 3), *(candle(index, 99.0) for index in range(gap, gap + 3))]
    done = await run(held, Scripted({1: buy("97"), 3: sell()})).go()
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY, Purpose.EXIT]


async def test_a_late_or_repeated_candle_changes_nothing() -> None:
    whole = path([100.0, 101.0, 102.0, 103.0])
    run_ = Run(ListFeed(whole))
    await run_.go()
    fingerprint = run_.store.fingerprint
    effects = run_.engine.step(Frame(START + 9 * MINUTE, (whole[1],)), START + 9 * MINUTE)
    assert effects == []
    assert run_.engine.counters.stale_candles == 1
    assert run_.store.fingerprint == fingerprint


@pytest.mark.slow
async def test_a_daily_loss_forbids_entries_until_the_next_utc_day() -> None:
    crash = [candle(0, 100.0), candle(1, 100.0), candle(2, 75.0, open_=75.0)]
    rest = [candle(index, 75.0) for index in range(3, 1445)]
    script = Scripted({1: buy("96", size="0.25"), 4: buy("73"), 1442: buy("73")})
    done = await Run(ListFeed(crash + rest), script, policy=every_candle()).go()
    (reached,) = done.events(events.DailyLossReached)
    assert reached.equity <= reached.floor
    (refused,) = done.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.DAILY_LOSS
    assert [event.day for event in done.events(events.DayOpened)] == ["2026-01-01", "2026-01-02"]
    assert len([fill for fill in done.events(events.OrderFilled) if fill.ref.leg is Purpose.ENTRY]) == 2
