"""Exits are followed with the stop that the position had, and those that were chosen teach how long to hold on."""

import hashlib
from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from ocw_mcp.core.learning.choices import PATIENCE
from ocw_mcp.domain.learning import HORIZONS, OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeScored
from ocw_mcp.domain.time import HOUR, span_ms
from ocw_mcp.engine.step import Engine
from tests.support.deciders import Scripted
from tests.support.examples import again_among_slow, some
from tests.support.learned_runs import feed, hourly, policy, run, scored, script
from tests.support.left_exits import exits, regret
from tests.support.runs import Run
from tests.support.stores import MemoryStore

SEEDS = some(range(16), 4)
HOURS = {name: span_ms(name) // HOUR for name in HORIZONS}


def followed(book: Run) -> list[OutcomeScored]:
    return [each for each in book.events(OutcomeScored) if each.source is OutcomeSource.EXIT]


def arms(learning: Any) -> tuple[list[float], list[float]]:
    """The means and the evidence of patience in the regime of the runs."""
    advice = learning.learner.patience.advise("unknown")["patience"]
    assert [each.value for each in advice.arms] == [0, *HOURS.values()]
    return [each.mean for each in advice.arms], [each.evidence for each in advice.arms]


@again_among_slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_regret_of_exits_is_what_holding_on_would_have_paid(seed: int) -> None:
    book, candles = await run(seed, counterfactuals=True), hourly(seed)
    known = {each.at: each for each in exits(book.store)}
    assert followed(book)
    for each in followed(book):
        left = known[each.began_at]
        for name, found in each.horizons.items():
            assert found == pytest.approx(regret(candles, left, HOURS[name]), abs=1e-4)
        if left.chosen:
            assert each.exited is not None
            assert (each.exited.net, each.exited.share) == pytest.approx((left.net, left.share), abs=1e-5)
            assert each.exited.regime == left.regime
        else:
            assert each.exited is None


async def test_exits_of_all_kinds_are_among_the_followed() -> None:
    kinds = Counter[str]()
    for seed in SEEDS:
        book, candles = await run(seed, counterfactuals=True), hourly(seed, 160 + 72)
        known = {each.at: each for each in exits(book.store)}
        for each in followed(book):
            left = known[each.began_at]
            kinds["chosen" if left.chosen else "stopped"] += 1
            if left.chosen:
                free = left._replace(stop=float(-left.direction * 10**9))
                kinds["of a part"] += left.share < 0.99
                kinds["ended by the stop"] += regret(candles, left, 72) != regret(candles, free, 72)
    assert len(kinds) == 4
    assert min(kinds.values()) > 0


@again_among_slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_means_of_patience_are_those_of_trades_held_longer(seed: int) -> None:
    book, candles = await run(seed, counterfactuals=True), hourly(seed)
    known = {each.at: each for each in exits(book.store)}
    rows = []
    for at, each in scored(book.store):
        left = known.get(each.began_at)
        if each.source is OutcomeSource.EXIT and left is not None and left.chosen:
            longer = [left.net + left.share * regret(candles, left, hours) for hours in HOURS.values()]
            rows.append((at, [max(-3.0, min(3.0, reward)) for reward in (left.net, *longer)]))
    means, evidence = arms(book.engine.learning)
    if not rows:
        assert means == [means[0]] * 4
        return
    weights = [0.5 ** ((rows[-1][0] - at) / (180 * 24 * HOUR)) for at, _ in rows]
    total, count = sum(weights), sum(weights) ** 2 / sum(each * each for each in weights)
    over_arms = sum(weight * sum(row) / 4 for weight, (_, row) in zip(weights, rows, strict=True))
    centre = over_arms / (total + 10)
    for arm in range(4):
        own = sum(weight * row[arm] for weight, (_, row) in zip(weights, rows, strict=True)) / total
        everywhere = (count * own + 20 * centre) / (count + 20)
        assert means[arm] == pytest.approx((count * own + 20 * everywhere) / (count + 20), abs=1e-4)
    assert evidence == pytest.approx([count] * 4)
    shown = {each.parameter: each for each in book.engine.learning.learned(book.engine.now).choices}["patience"]
    assert shown.value == shown.best == PATIENCE["patience"][int(np.argmax(means))]
    assert shown.evidence == pytest.approx(count)


async def test_patience_is_learned_without_counterfactuals_too() -> None:
    for seed in range(4):
        one, other = await run(seed), await run(seed, counterfactuals=True)
        assert arms(one.engine.learning) == arms(other.engine.learning)


@again_among_slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_restart_before_an_exit_is_known_learns_the_same_patience(seed: int) -> None:
    whole = await run(seed, counterfactuals=True)
    chosen = [each for each in followed(whole) if each.exited is not None]
    store, stops = MemoryStore(), [each.began_at + 3 * HOUR for each in chosen[:2]]
    for until in [*stops, None]:
        book = Run(feed(seed), Scripted(script(seed, hourly(seed))), policy=policy(counterfactuals=True), store=store)
        await book.go(None if until is None else until - whole.store.domain[0].at)
        store = store.reopened()
    assert store.fingerprint == whole.store.fingerprint
    assert arms(book.engine.learning) == arms(whole.engine.learning)
    rebuilt = Engine(whole.config).learning
    rebuilt.rebuild((each.at, each.event) for each in store.domain)
    assert rebuilt.state().learner == whole.engine.learning.state().learner


async def test_a_learner_of_a_version_without_patience_is_rebuilt() -> None:
    book = await run(0, counterfactuals=True)
    state, engine = book.engine.learning.state(), Engine(book.config)
    learner = msgspec.msgpack.decode(state.learner)
    del learner["patience"]
    saved = msgspec.msgpack.encode(learner)
    old = msgspec.structs.replace(state, learner=saved, digest=hashlib.sha256(saved).hexdigest())
    engine.learning.restore(old)
    assert "patience" in engine.learning.broken
    engine.learning.rebuild((each.at, each.event) for each in book.store.domain)
    assert not engine.learning.broken
    assert engine.learning.learned(book.engine.now) == book.engine.learning.learned(book.engine.now)


async def test_values_that_this_version_does_not_have_are_left_out() -> None:
    book = await run(0)
    one, other = Engine(book.config).learning, Engine(book.config).learning
    one.rebuild(scored(book.store))
    other.rebuild(
        (at, msgspec.structs.replace(each, choices=dict(each.choices) | {"mood": 1.0, "size": 0.123}))
        for at, each in scored(book.store)
    )
    known, found = (
        {each.parameter: each for each in one_of.learned(book.engine.now).choices} for one_of in (one, other)
    )
    assert found["size"].evidence == 0 < known["size"].evidence
    assert found["target"].evidence == pytest.approx(known["target"].evidence)
