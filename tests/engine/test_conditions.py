"""A wake condition of a decision raises a wake when it is met."""

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Comparison, Decision, WakeCondition
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.wakes import texts

QUIET = policies(
    gate={
        "close_wakes": ["4h"],
        "close_wakes_in_position": ["4h"],
        "cooldown_s": 0,
        "outlier_moves": {},
        "anchor": 0.99,
    }
)


def asking(*conditions: WakeCondition) -> Decision:
    return Decision(wake_conditions=conditions)


async def test_a_wake_condition_of_a_decision_raises_one_wake() -> None:
    closes = [100.0] * 245 + [101.0 + i for i in range(5)]
    wished = WakeCondition("BTCUSDT", "price", Comparison.CROSSES_ABOVE, 102.5, "breakout")
    bad = WakeCondition("BTCUSDT", "luck@1h", Comparison.GT, 1.0)
    script = Scripted({wake: asking(wished, bad) if wake == 2 else Decision() for wake in range(1, 9)})
    run = await Run(ListFeed(path(closes)), script, policy=QUIET).go()
    (told,) = run.events(events.WakeConditionsSet)
    assert (told.wake_id, told.armed) == (2, 1)
    assert "luck@1h" in told.refused[0]
    woken = [(at, texts(wake)) for at, event in run.timed(events.WakeRaised) for wake in event.reasons]
    (by_condition,) = [(at, reasons) for at, reasons in woken if "condition" in reasons[0]]
    assert by_condition == (START + 248 * MINUTE, ("condition:price crosses_above 102.5, now 103",))


async def test_a_wake_condition_on_an_indicator_raises_a_wake() -> None:
    closes = [100.0 + (i % 7) * 0.1 for i in range(480)]
    wished = WakeCondition("BTCUSDT", "rsi_14@15m", Comparison.GT, 0.0)
    script = Scripted({2: asking(wished)})
    run = await Run(ListFeed(path(closes)), script, policy=QUIET).go()
    assert run.events(events.WakeConditionsSet)[0].armed == 1
    assert any("rsi_14@15m" in texts(wake)[0] for event in run.events(events.WakeRaised) for wake in event.reasons)
