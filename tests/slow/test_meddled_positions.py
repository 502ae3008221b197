"""Many random runs in which positions are reduced, protected and trailed while a person halts and flattens."""

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.market import Product
from tests.engine.test_managed_positions import POLICY, Meddled, book
from tests.support.invariants import watched
from tests.support.managing import covered, reduced, trailed, wild_path
from tests.support.markets import ListFeed
from tests.support.runs import Run
from tests.support.stores import Crash, MemoryStore
from tests.support.venues import Mortal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PRODUCTS = (Product.UM, Product.SPOT)


@pytest.mark.parametrize("product", PRODUCTS)
async def test_stops_and_quantities_of_many_managed_positions_are_those_of_the_oracle(product: Product) -> None:
    moved = 0
    for seed in range(100, 160):
        decider, feed = Meddled(seed, product), ListFeed(wild_path(seed, 200), product=product)
        venue = Mortal(product=product)
        runs = book(seed, product, 200), Run(feed, decider, policy=POLICY, commands=decider.commands, venue=venue)
        for run in runs:
            await covered(reduced(trailed(watched(run)))).go()
            moved += len(run.events(events.ProtectionSet))
    assert moved > 1_000


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("seed", range(1))
async def test_crash_at_any_venue_call_while_a_position_is_managed_changes_nothing(seed: int, product: Product) -> None:
    undisturbed = await book(seed, product, 40).go()
    assert isinstance(undisturbed.venue, Mortal)
    for moment in range(1, undisturbed.venue.touches + 1):
        dying = MemoryStore()
        with pytest.raises(Crash):
            await book(seed, product, 40, dying, Mortal(moment, product)).go()
        resumed = await trailed(book(seed, product, 40, dying.reopened())).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()
