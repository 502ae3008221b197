"""A close and a lapsed entry wake the agent, and wake conditions end with their position."""

from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Comparison, Decision, WakeCondition
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.since import D, K, kinds, minutely, one, seen
from tests.support.wakes import texts


def quiet(**gate: Any) -> Policies:
    """No wake but by the timer at the first candle that is due, and by what happens."""
    seldom = {"close_wakes": ["4h"], "close_wakes_in_position": ["4h"], "outlier_moves": {}, "anchor": 0.99}
    return policies(gate=seldom | {"cooldown_s": 0, "timer_min_s": 60, "timer_max_s": 60} | gate)


def waits(metric: str = "price", symbol: str = "BTCUSDT", **more: Any) -> WakeCondition:
    return WakeCondition(symbol, metric, Comparison.GT, 1e6, **more)


@pytest.mark.parametrize("wakes", [True, False])
async def test_an_unfilled_entry_that_expires_wakes_by_policy(wakes: bool) -> None:
    gate: dict[str, Any] = {"wake_on_lapse": wakes, "timer_max_s": 1800}
    snapshots = await seen({1: buy("96", limit="98", expires_s=90)}, [100.0] * 70, policy=quiet(**gate))
    lapsed = next(each for each in snapshots if K.LAPSED in kinds(each))
    happening = one(lapsed, K.LAPSED)
    assert (happening.cause, happening.price, happening.filled, happening.by) == ("expired", D(98), None, "scripted")
    assert happening.began_at is not None
    assert happening.at - happening.began_at == 90 * SECOND
    reasons = [text for wake in lapsed.wake for text in texts(wake)]
    assert reasons == (["entry_lapsed:expired 98"] if wakes else ["timer"])


@pytest.mark.parametrize("wakes", [True, False])
async def test_a_position_closed_by_its_stop_wakes_by_policy(wakes: bool) -> None:
    gate: dict[str, Any] = {"wake_on_close": wakes, "timer_max_s": 1800}
    snapshots = await seen({1: buy("98")}, [100.0] * 40 + [97.0] * 40, policy=quiet(**gate))
    closed = next(each for each in snapshots if K.CLOSED in kinds(each))
    (reason,) = [text for wake in closed.wake for text in texts(wake)]
    assert reason.startswith("position_closed:stop -" if wakes else "timer")


async def test_a_close_in_the_cooldown_wakes_at_its_end() -> None:
    gate: dict[str, Any] = {"timer_max_s": 7200, "cooldown_s": 600, "close_wakes": ["15m"]}
    closes = [100.0] * 17 + [97.0] * 30
    snapshots = await seen({1: buy("98")}, closes, policy=quiet(**gate))
    assert [(each.at - START) // MINUTE for each in snapshots[:3]] == [15, 25, 35]
    assert texts(snapshots[1].wake[0])[0].startswith("position_closed:stop")


async def test_a_close_that_the_agent_ordered_does_not_wake() -> None:
    snapshots = await seen({1: buy("96"), 2: sell()}, [100.0] * 70, policy=quiet(timer_max_s=1800))
    reasons = [text for each in snapshots for wake in each.wake for text in texts(wake)]
    assert {*reasons} == {"timer"}
    assert [kinds(each) for each in snapshots][1:] == [[K.FILLED], [K.CLOSED]][: len(snapshots) - 1]


async def test_a_close_does_not_wake_at_fixed_times() -> None:
    snapshots = await seen({1: buy("98")}, [100.0] * 20 + [97.0] * 20, policy=quiet(every="15m"))
    assert [(each.at - START) // MINUTE for each in snapshots] == [15, 30]
    assert kinds(snapshots[1]) == [K.FILLED, K.CLOSED]


async def test_conditions_of_a_position_end_with_it_unless_they_stay() -> None:
    asked = Decision(buy("98").legs, wake_conditions=[waits(reason="up"), waits(), waits(stays=True)])
    run = Run(ListFeed(path([100.0] * 17 + [97.0] * 3)), script := Scripted({16: asked}), policy=minutely())
    await run.go()
    standing = [[each.condition.stays for each in request.snapshot.conditions] for request in script.asked]
    assert standing[15:] == [[], [False, False, True], [True], [True], [True]]
    (ended,) = [each for each in run.events(events.WakeConditionsSet) if each.ended]
    assert ended.ended == ("BTCUSDT price gt 1e+06",) * 2
    assert ended.armed == 1
    assert one(script.asked[17].snapshot, K.CONDITIONS_ENDED).detail == "; ".join(ended.ended)


async def test_conditions_set_while_flat_outlive_a_later_position() -> None:
    script = {1: Decision(wake_conditions=[waits()]), 2: buy("98")}
    snapshots = await seen(script, [100.0] * 4 + [97.0] * 3)
    assert [len(each.conditions) for each in snapshots] == [0, 1, 1, 1, 1, 1, 1]


async def test_conditions_set_with_the_closing_leg_stay() -> None:
    snapshots = await seen({1: buy("98"), 3: Decision(sell().legs, wake_conditions=[waits()])}, [100.0] * 7)
    assert [len(each.conditions) for each in snapshots] == [0, 0, 0, 1, 1, 1, 1]
    assert not snapshots[-1].positions


async def test_standing_conditions_have_age_expiry_and_present_reading() -> None:
    snapshots = await seen(
        {1: Decision(wake_conditions=[waits(expires_s=120)], next_check_s=600)}, [100, 101, 102, 103]
    )
    standing = [each.conditions for each in snapshots]
    assert [len(each) for each in standing] == [0, 1, 1, 0]
    ((second,), (third,)) = standing[1:3]
    assert (second.set_at, second.expires_at, second.by) == (START + MINUTE, START + 3 * MINUTE, "scripted")
    assert (second.reading, third.reading) == (101.0, 102.0)


async def test_the_next_check_is_the_time_of_the_timer() -> None:
    snapshots = await seen({}, [100.0] * 3, policy=quiet(timer_max_s=60))
    assert [each.next_check_at for each in snapshots] == [each.at + MINUTE for each in snapshots]
