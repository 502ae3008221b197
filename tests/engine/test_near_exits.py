"""A price that comes near to the stop or target of a position wakes the agent once, even in a cooldown."""

from typing import Any

import pytest

from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.time import MINUTE
from tests.support.legs import buy, short
from tests.support.markets import START
from tests.support.runs import policies
from tests.support.since import seen
from tests.support.wakes import texts


def quiet(**gate: Any) -> Policies:
    """The first candle wakes by the timer, and after it only positions do."""
    alone = {"close_wakes": [], "close_wakes_in_position": [], "outlier_moves": {}, "anchor": 0.99}
    return policies(gate=alone | {"cooldown_s": 3_600, "timer_min_s": 60, "timer_max_s": 60} | gate)


async def woken(decision: Any, closes: list[float], **gate: Any) -> dict[int, tuple[str, ...]]:
    """Return the reasons by the minute of the wakes after the decision of the first one."""
    snapshots = await seen({1: decision}, closes, policy=quiet(timer_max_s=7_200, close_wakes=["1m"], **gate))
    return {
        (each.at - START) // MINUTE: tuple(
            text for wake in each.wake for text in texts(wake) if not text.startswith("close")
        )
        for each in snapshots[1:]
    }


@pytest.mark.parametrize(
    ("decision", "closes", "reason"),
    [
        (buy("96"), [100.0, 100.0, 99.0, 97.5, 97.0, 97.0, 96.5], "near:stop 96, price 97"),
        (short("104"), [100.0, 100.0, 101.0, 102.5, 103.0, 103.0, 103.5], "near:stop 104, price 103"),
        (buy("96", target="110"), [100.0, 100.0, 104.0, 107.0, 107.5, 108.0], "near:target 110, price 107.5"),
    ],
)
async def test_a_price_near_to_an_exit_wakes_once_in_the_cooldown(
    decision: Any, closes: list[float], reason: str
) -> None:
    assert await woken(decision, closes) == {5: (reason,)}


async def test_a_price_that_returns_to_the_same_stop_wakes_no_more() -> None:
    assert list(await woken(buy("96"), [100.0, 100.0, 97.0, 99.5, 97.0, 99.0, 96.5])) == [3]


async def test_a_position_far_from_its_exits_does_not_wake() -> None:
    assert await woken(buy("96", target="104"), [100.0, 100.0, 98.0, 102.0, 97.1, 102.9]) == {}


async def test_near_exit_of_the_policy_sets_the_distance() -> None:
    assert list(await woken(buy("96"), [100.0, 100.0, 98.0, 97.9], near_exit=0.5)) == [3]


async def test_no_position_wakes_at_fixed_times() -> None:
    snapshots = await seen({1: buy("96")}, [100.0] * 16 + [97.0] * 13, policy=quiet(every="15m"))
    assert [(each.at - START) // MINUTE for each in snapshots] == [15]
