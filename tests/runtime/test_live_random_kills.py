"""A live book with random decisions on a random market with random faults is killed at random, and starts again."""

import asyncio
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.runtime import run as runtime_run
from tests.support.random_books import (
    FrameStore,
    Recording,
    Trader,
    assert_same_books,
    faults_of,
    last_input,
    random_market,
)
from tests.support.sandbox_books import run_live_book
from tests.support.stores import Crash

MINUTES = 10


async def kills_and_restarts(recording: Recording, draw: Random, count: int, context: str) -> None:
    """Kill runs on the recorded frames at random moments; assert that each ends as the undisturbed one after it."""
    whole = FrameStore()
    undisturbed = await recording.run(whole)
    fills = whole.events(events.OrderFilled)
    assert_same_books(recording.book)
    for _ in range(count):
        moment = draw.randint(1, whole.touches)
        where = f"{context}, killed at touch {moment} of {whole.touches}"
        dying = FrameStore()
        dying.die_at = moment
        with pytest.raises(Crash):
            await recording.run(dying)
        store = dying.reopened()
        known = None if store.checkpoint() is None else dying.frames
        wakes = (await recording.run(store, known, max(last_input(store), 0))).wakes
        assert store.fingerprint == whole.fingerprint, where
        assert store.events(events.OrderFilled) == fills, where
        assert not dying.decided() & set(wakes), where
        assert len(wakes) == len(set(wakes)), where
        assert wakes == undisturbed.wakes[-len(wakes) :] or not wakes, where
        assert_same_books(recording.book)


@pytest.mark.parametrize(
    ("seed", "product", "count"),
    [
        (1, Product.UM, 3),
        (2, Product.SPOT, 3),
        *(pytest.param(seed, product, 12, marks=pytest.mark.slow) for seed in range(3, 13) for product in Product),
    ],
)
def test_killed_random_book_ends_as_the_undisturbed_one(
    seed: int, product: Product, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Random(f"kills {seed}")
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", draw.choice((15, 100, 1_000)))
    market = random_market(seed, product, MINUTES + 2)
    book = run_live_book(market, MINUTES, Trader(seed), faults=faults_of(seed, MINUTES), thin=10)
    assert_same_books(book.run)
    recording = Recording(book.feed.identity, book.feed.given, seed)
    asyncio.run(kills_and_restarts(recording, draw, count, f"seed {seed}, {product}"))
