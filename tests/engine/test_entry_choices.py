"""Every entry records the meta-parameters with which it was made, and the results of trades teach about them."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from ocw_mcp.core.learning.choices import ARMS
from ocw_mcp.core.strategy.rule_score import read_rule_score
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.learning import OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored, SignalsRecorded
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.learned_runs import hourly, policy
from tests.support.markets import ListFeed
from tests.support.runs import Run

D = Decimal


def nearest(name: str, ratio: float) -> float:
    found = ARMS[name][0]
    for value in ARMS[name]:
        if max(value / ratio, ratio / value) < max(found / ratio, ratio / found):
            found = value
    return found


def expected(snapshot: Any, intent: Any, policies: Any) -> dict[str, float]:
    """What an entry chose, from the snapshot of its wake, in plain floats."""
    view, long = snapshot.symbols["BTCUSDT"], intent.side == "buy"
    rule_score, rules = read_rule_score(view, policies.rules), policies.rules
    assert rule_score is not None
    price = float(intent.limit_price or view.last)
    stop = abs(price - float(intent.protect_at)) / price
    share = float(intent.quantity) * price / float(snapshot.equity) / float(snapshot.scale)
    used = max(share / float(policies.position.max_share), share * stop / float(policies.risk.max_share))
    usual = min(rules.stop_atr * rule_score.atr / view.last, float(policies.stop.max_distance) * 0.98)
    found = {"size": nearest("size", used), "loss_tolerance": nearest("loss_tolerance", stop / usual), "target": 1.0}
    if intent.target_at is not None:
        found["target"] = nearest("target", abs(float(intent.target_at) - price) / price / 1_000)
    score = rule_score.total if long else -rule_score.total
    if passed := [value for value in ARMS["selectivity"] if score >= value * rules.entry_score]:
        found["selectivity"] = max(passed)
    for_it = [rule_score.weight * rule_score.momentum, (1 - rule_score.weight) * rule_score.reversion]
    trend, revert = (max(0.0, each if long else -each) for each in for_it)
    if trend + revert:
        found["trend"] = round(4 * trend / (trend + revert)) / 4
    return found


@again_among_slow
@pytest.mark.parametrize("seed", some(range(8), 2))
async def test_an_entry_records_what_was_chosen(seed: int) -> None:
    candles, legs = hourly(seed), {}
    draw = np.random.default_rng(seed)  # noqa: TID251 - seeded
    for wake in range(60, 150, 6):
        long, last = draw.random() < 0.5, candles[wake - 1].close
        away = float(draw.uniform(0.005, 0.029)) * (-1 if long else 1)
        stop, size = D(str(round(last * (1 + away), 2))), D(str(round(float(draw.uniform(0.05, 0.2)), 3)))
        target = D(str(round(last * (1 - 3 * away), 2))) if draw.random() < 0.5 else None
        action, close = (Action.BUY, Action.SELL) if long else (Action.SHORT, Action.COVER)
        legs[wake] = Decision((Leg("BTCUSDT", action, size, stop, target),))
        legs[wake + 3] = Decision((Leg("BTCUSDT", close),))
    tables, decider = policy(rules={"entry_score": 0.2, "timeframe": "1h"}), Scripted(legs)
    book = await Run(ListFeed(candles), decider, policy=tables).go()
    snapshots = {each.wake_id: each.snapshot for each in decider.asked}
    intents = {each.ref: each.intent for each in book.events(events.OrderIntended)}
    recorded = book.events(SignalsRecorded)
    assert len(recorded) >= 10
    for each in recorded:
        intent = intents[each.ref]
        assert each.choices == expected(snapshots[intent.wake_id], intent, tables)
    assert (
        len({each.choices["size"] for each in recorded})
        > 1
        < len({each.choices["loss_tolerance"] for each in recorded})
    )
    scored = [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.TRADE]
    assert [each.choices for each in scored] == [each.choices for each in recorded[: len(scored)]]
    learned = {each.parameter: each for each in book.engine.learning.learned(book.engine.now).choices}
    learned.pop("patience")  # known from exits alone
    counts = {name: sum(name in each.choices for each in scored) for name in learned}
    assert counts["size"] == len(scored) > 8
    for name, each in learned.items():
        assert each.evidence == pytest.approx(counts[name], rel=0.05)
