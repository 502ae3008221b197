"""The hard exits of the policy file: the guard closes the positions of every author."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.policies import ExitsPolicy
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.engine.exits import CHECK_EVERY_MS, POSITIONS_TIMER, CalmPosition, HardExits, hard_exit
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.invariants import watched
from tests.support.legs import buy, short
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies
from tests.support.venues import RejectsExits

EXITS = {"max_loss": "0.05", "take_profit": "0.1", "trail_from": "0.03", "trail_gives_back": "0.5", "max_hold_h": 2}
FAR = {"max_distance": "0.2", "deadline_s": 30}


def run(closes: list[float], decision: Decision, **tables: dict[str, Any]) -> Run:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits=EXITS, stop=FAR, **tables)
    return Run(ListFeed(path(closes)), Scripted({1: decision}), policy=policy)


def closings(done: Run) -> list[tuple[str, str, int]]:
    """Rule, principal and minute of every exit that the guard decided on."""
    intents = {e.ref: e.intent for e in done.events(events.OrderIntended) if e.ref.leg is Purpose.EXIT}
    decided = done.timed(events.ExitDecided)
    assert all(intent.principal == "guard" for intent in intents.values())
    return [(event.rule, "guard", (at - START) // MINUTE) for at, event in decided]


@pytest.mark.parametrize(
    ("decision", "closes", "rule", "minute"),
    [
        (buy("85"), [100, 100, 97, 95.1, 94.9, 94.9], "max_loss", 5),
        (short("115"), [100, 100, 103, 104.8, 105.1, 105.1], "max_loss", 5),
        (buy("85"), [100, 100, 104, 109.9, 110.2, 111], "take_profit", 5),
        (short("115"), [100, 100, 96, 90.2, 89.8, 89], "take_profit", 5),
        (buy("85"), [100, 100, 104, 102.2, 101.9, 101.9], "trail", 5),
        (short("115"), [100, 100, 96, 97.8, 98.1, 98.1], "trail", 5),
    ],
)
async def test_a_position_closes_at_the_first_price_beyond_a_hard_exit(
    decision: Decision, closes: list[float], rule: str, minute: int
) -> None:
    done = await watched(run(closes, decision)).go()
    assert closings(done) == [(rule, "guard", minute)]
    assert summary(done.engine)["positions"] == []


@given(
    best=st.floats(0, 0.2),
    best_now=st.floats(-0.1, 0.2),
    gain=st.floats(-0.1, 0.2),
    gives_back=st.sampled_from(["0.1", "0.5", "1"]),
)
@example(best=0.04, best_now=0.04, gain=0.02, gives_back="0.5")
@example(best=0.04, best_now=0.04, gain=0.0200000001, gives_back="0.5")
def test_no_hard_exit_is_met_between_the_calm_gains(best: float, best_now: float, gain: float, gives_back: str) -> None:
    terms = HardExits.of(ExitsPolicy.model_validate(EXITS | {"trail_gives_back": gives_back}))
    calm = CalmPosition.of((100.0, 104.0, 104.0, 1), best, best_now, terms)
    met = hard_exit(gain, best, 0, terms, best_now)
    assert met is None if calm.lowest < gain < calm.highest else abs(gain - calm.lowest) < 2e-12 or met is not None


async def test_a_high_before_the_entry_fill_does_not_count_as_a_gain() -> None:
    falls = [candle(0, 106.0), candle(1, 101.2, open_=106.0, low=100.0), candle(2, 101.2), candle(3, 101.2)]
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits=EXITS, stop=FAR)
    done = await watched(Run(ListFeed(falls), Scripted({1: buy("97", limit="101")}), policy=policy)).go()
    assert closings(done) == []
    assert done.engine.account.ledger.positions["BTCUSDT"].excursions()[0] < 0.01


async def test_a_closed_trade_has_its_best_and_worst_gain() -> None:
    done = await run([100, 100, 104, 99, 101.9, 101.9], buy("85")).go()
    (closed,) = done.events(events.PositionClosed)
    assert (closed.mfe, closed.mae) == (pytest.approx(0.04, abs=0.002), pytest.approx(-0.01, abs=0.002))


async def test_a_best_gain_below_the_trailing_threshold_triggers_no_exit() -> None:
    done = await run([100, 100, 102.9, 100.2, 100.2], buy("85")).go()
    assert closings(done) == []
    assert len(summary(done.engine)["positions"]) == 1


async def test_a_position_is_closed_after_the_longest_holding_time() -> None:
    done = await run([100.0] * 125, buy("85")).go()
    assert closings(done) == [("max_hold", "guard", 121)]


async def test_a_hard_exit_is_sent_again_after_the_venue_rejects_it() -> None:
    policy = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, exits=EXITS, stop=FAR)
    closes = [100, 100, 94.0, 94.0, 94.0, 94.0]
    venue = RejectsExits(1)
    done = await Run(ListFeed(path(closes)), Scripted({1: buy("85")}), policy=policy, venue=venue).go()
    rejected = [e for e in done.events(events.OrderRejected) if e.ref.leg is Purpose.EXIT]
    assert len(rejected) == 1
    assert summary(done.engine)["positions"] == []


def test_a_hard_exit_closes_exactly_from_its_threshold_on() -> None:
    policy = ExitsPolicy.model_validate(EXITS)
    at = [
        (-0.0499, 0.0, 0),
        (-0.05, 0.0, 0),
        (0.0999, 0.0999, 0),
        (0.1, 0.1, 0),
        (0.0151, 0.03, 0),
        (0.015, 0.03, 0),
        (0.0149, 0.0299, 0),
        (0.0, 0.0, 2 * HOUR - 1),
        (0.0, 0.0, 2 * HOUR),
    ]
    found = [hard_exit(gain, best, held, HardExits.of(policy)) for gain, best, held in at]
    assert [each and each[0] for each in found] == [
        None, "max_loss", None, "take_profit", None, "trail", None, None, "max_hold",
    ]  # fmt: skip


async def test_a_live_engine_checks_hard_exits_even_without_candles() -> None:
    quiet = run([100.0] * 4, buy("85"))
    live = Run(ListFeed(path([100.0] * 4)), Scripted({1: buy("85")}), policy=quiet.config.policies, live=True)
    await quiet.go()
    await live.go()
    assert POSITIONS_TIMER not in quiet.engine.timers
    due = live.engine.timers[POSITIONS_TIMER]
    assert START < due <= START + 4 * MINUTE + CHECK_EVERY_MS
    await live.simulation.shell.fire(POSITIONS_TIMER)
    assert live.engine.timers[POSITIONS_TIMER] > due - CHECK_EVERY_MS
    # Two hours later, without a single candle, the timer alone ends the position.
    live.clock.advance(START + 3 * HOUR)
    await live.simulation.shell.fire(POSITIONS_TIMER)
    assert closings(live)[-1][0] == "max_hold"
    assert CHECK_EVERY_MS == 30 * SECOND
