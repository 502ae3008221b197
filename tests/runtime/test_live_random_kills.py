"""A live book with random decisions on a random market with random faults is killed at random, and starts again."""

import asyncio
from collections import Counter
from random import Random  # noqa: TID251 - seeded

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import OrderRef
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.runtime import run as runtime_run
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from tests.support.random_books import (
    FrameStore,
    Recording,
    Trader,
    assert_same_books,
    decided_wakes,
    faults_of,
    last_input,
    random_market,
)
from tests.support.runs import Run
from tests.support.sandbox_books import BEGIN, run_live_book
from tests.support.stores import Crash, MemoryStore

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
        if (restarted := outage_ended(store)) is not None:
            # A new session of the feed knows no outage of the last one, and ends it before the data come again.
            assert [*store.events_after(0)][:restarted] == [*whole.events_after(0)][:restarted], where
            assert_same_books(recording.book)
            continue
        assert store.fingerprint == whole.fingerprint, where
        assert store.events(events.OrderFilled) == fills, where
        assert not decided_wakes(dying) & set(wakes), where
        assert len(wakes) == len(set(wakes)), where
        assert wakes == undisturbed.wakes[-len(wakes) :] or not wakes, where
        assert_same_books(recording.book)


def outage_ended(store: MemoryStore) -> int | None:
    """Return the place of the event that ended an outage because the feed started again; None if there is none."""
    for place, stored in enumerate(store.events_after(0)):
        if isinstance(stored.event, events.Incident) and stored.event.text.endswith("the feed has started again"):
            return place
    return None


@pytest.mark.parametrize(
    ("seed", "product", "count"),
    [
        (1, Product.UM, 1),
        pytest.param(1, Product.UM, 2, marks=pytest.mark.slow),
        pytest.param(2, Product.SPOT, 2, marks=pytest.mark.slow),
        *(pytest.param(seed, product, 12, marks=pytest.mark.slow) for seed in range(3, 9) for product in Product),
    ],
)
def test_killed_random_book_ends_as_the_undisturbed_one(
    seed: int, product: Product, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Random(f"kills {seed}")
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", draw.choice((15, 100, 1_000)))
    market = random_market(seed, product, MINUTES + 2)
    book = run_live_book(
        market, MINUTES, Trader(seed), faults=faults_of(seed, MINUTES), thin=10, warmup_days=seed // 3 % 2
    )
    assert_same_books(book.run)
    recording = Recording(book.feed.identity, book.feed.given, seed)
    asyncio.run(kills_and_restarts(recording, draw, count, f"seed {seed}, {product}"))


@pytest.mark.parametrize(
    ("seed", "product"),
    [
        (21, Product.UM),
        *(pytest.param(seed, product, marks=pytest.mark.slow) for seed in range(22, 28) for product in Product),
    ],
)
def test_killed_random_book_goes_on_after_a_downtime(seed: int, product: Product) -> None:
    """The second process finds the exchange as it is then: with its faults, and with the candles of the downtime."""
    draw, market = Random(f"downtime {seed}"), random_market(seed, product, MINUTES + 10)
    killed_s, down_s = draw.uniform(60, 60 * MINUTES), draw.choice((0.5, 5.0, 70.0, 200.0))
    kept = list[MemoryStore]()

    def kill(transport: InProcessTransport, run: Run) -> None:
        kept.append(run.store.reopened())

    faults = faults_of(seed, MINUTES + 4)
    run_live_book(market, killed_s / 60 + 0.1, Trader(seed), faults=faults, script={killed_s: kill}, thin=10)
    (store,) = kept
    before, decided = store.domain, decided_wakes(store)
    trader, until = Trader(seed), round((killed_s + down_s) / 60) + 4
    book = run_live_book(market, until, trader, faults=faults, store=store, begins_s=killed_s + down_s, thin=10)
    where = f"seed {seed}, {product}, killed at {killed_s} for {down_s} s"
    assert store.domain[: len(before)] == before, where
    assert not decided & set(trader.wakes), where
    assert len(trader.wakes) == len(set(trader.wakes)), where
    assert_same_books(book.run)
    # A stop of the whole position has the quantity of the position when it triggers.
    intents = {each.ref: each.intent for each in store.events(events.OrderIntended)}
    sent = {ref: intent.quantity for ref, intent in intents.items() if not intent.close_position}
    traded = Counter[OrderRef]()
    for fill in store.events(events.OrderFilled):
        traded[fill.ref] += fill.quantity
    assert traded.keys() <= intents.keys(), where
    assert all(traded[ref] <= quantity for ref, quantity in sent.items()), where
    closed = [candle for given in book.feed.given for candle in given.frame.closed]
    assert len(closed) == len({(each.symbol, each.open_time) for each in closed}), where
    for state in book.run.engine.market.symbols.values():
        assert state.closed_at is not None
        assert state.closed_at >= BEGIN + (until - 2) * MINUTE, where
