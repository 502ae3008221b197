"""A book whose rules act on what was learned is killed at random points, and ends as if it had never stopped."""

from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.learning import OutcomeSource
from ocw_mcp.domain.learning_events import OutcomeImported, OutcomeScored
from ocw_mcp.domain.orders import RULES
from ocw_mcp.domain.time import HOUR
from ocw_mcp.runtime.deciders import RulesDecider
from tests.support.examples import again_among_slow, some
from tests.support.learned_runs import feed, policy
from tests.support.runs import Run
from tests.support.stores import Crash, MemoryStore

IMPORTED = tuple(
    OutcomeImported(
        number,
        OutcomeScored(
            OutcomeSource.TRADE,
            "BTCUSDT",
            number,
            "unknown",
            1,
            {"rsi_1h": 0.5, "ema_fast_1h": -0.5},
            (-1.0, 0.5)[number % 3 > 0],
        ),
    )
    for number in range(1, 91)
)


def book(seed: int, store: MemoryStore) -> Run:
    tables = policy({"entry_score": 0.3, "timeframe": "1h"}, mode="act", counterfactuals=True, vote=1.0)
    return Run(feed(seed), RulesDecider(tables), policy=tables, store=store, agent=RULES, imported=IMPORTED)


@again_among_slow
@pytest.mark.parametrize("seed", some(range(12), 2))
async def test_a_killed_book_that_acts_on_its_learning_ends_the_same(seed: int) -> None:
    whole = book(seed, MemoryStore())
    await whole.go()
    assert len(whole.events(OutcomeScored)) > 3
    assert whole.events(OutcomeImported) == list(IMPORTED)
    assert whole.events(events.PositionClosed)
    draw, store = Random(seed), MemoryStore()
    stops = [None, draw.randint(60, 90), draw.randint(91, 120), None]
    for hours in stops:
        # Each process dies at a random event after the last one's, or after a clean stop.
        doomed = store.reopened()
        doomed.die_at = draw.randint(1, 120)
        with pytest.raises(Crash):
            await book(seed, doomed).go()
        store = doomed.reopened()
        if hours is not None:
            await book(seed, store).go(hours * HOUR)
            store = store.reopened()
    again = book(seed, store)
    await again.go()
    assert store.fingerprint == whole.store.fingerprint
    assert again.engine.learning.state() == whole.engine.learning.state()
