"""The score of a position wakes the decider in the review band, and closes the position in the exit band."""

from typing import Any

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Order
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.wakes import texts
from tests.support.wire import Wire

# Without a signal a position alone stands at 0.25, half of what regime and momentum weigh. Spread and slippage of its
# entry count as a little of its path, and every minute of the hour that it may last adds 0.0025. It opens in minute 2.


def run(minutes: int, **score: Any) -> Run:
    policy = policies(
        gate={"close_wakes": ["4h"], "close_wakes_in_position": ["4h"], "cooldown_s": 0, "timer_max_s": 60},
        score=score,
        exits={"max_hold_h": 1},
    )
    return Run(ListFeed(path([100.0] * minutes)), Scripted({1: buy("97")}), policy=policy)


def bands(done: Run) -> list[tuple[int, str]]:
    return [((at - START) // MINUTE, event.band) for at, event in done.timed(events.ScoreTaken)]


async def test_a_score_in_the_exit_band_closes_the_position() -> None:
    done = await run(30, every_s=60, review=0.3, exit=0.3).go()
    assert bands(done) == [(21, "exit")]
    (decided,) = done.events(events.ExitDecided)
    assert decided.rule == "score"
    assert summary(done.engine)["positions"] == []


async def test_a_position_score_in_the_review_band_wakes_the_decider_once() -> None:
    done = await run(30, every_s=60, review=0.28, exit=0.9).go()
    assert bands(done) == [(13, "review")]
    asked = [text for wake in done.events(events.WakeRaised) for each in wake.reasons for text in texts(each)]
    assert [reason for reason in asked if reason.startswith("score:")] == ["score:0.28 regime change"]
    assert len(summary(done.engine)["positions"]) == 1


async def test_positions_are_scored_at_the_policys_interval() -> None:
    done = await run(30, every_s=600, review=0.26, exit=0.3).go()
    assert bands(done) == [(13, "review"), (23, "exit")]


async def test_a_restart_keeps_the_times_of_position_scores() -> None:
    one = await run(30, every_s=600, review=0.26, exit=0.3).go()
    first = run(30, every_s=600, review=0.26, exit=0.3)
    await first.go(15 * MINUTE)
    again = run(30, every_s=600, review=0.26, exit=0.3)
    second = Run(ListFeed(path([100.0] * 30)), Scripted({}), policy=again.config.policies, store=first.store)
    await second.go()
    assert bands(second) == bands(one)
    assert second.store.fingerprint == one.store.fingerprint


def test_reopened_position_is_scored_as_a_new_one() -> None:
    both = dict.fromkeys(("BTCUSDT", "ETHUSDT"), 100.0)
    wire = Wire(policy=policies(score={"every_s": 300, "review": 0.2, "exit": 0.9}), symbols=tuple(both))

    def trade(order: object) -> None:
        assert isinstance(order, Order), order
        wire.fill(order)

    trade(wire.enter(symbol="ETHUSDT"))
    for _ in range(2):
        trade(wire.enter())
        for _ in range(6):
            wire.tick(both)
        trade(wire.close())
        wire.tick(both)
    scored = [each.symbol for each in wire.journal if isinstance(each, events.ScoreTaken)]
    assert scored.count("BTCUSDT") == 2
