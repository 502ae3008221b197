"""Positions that are reduced, protected and trailed at random: stops, quantities and results are the oracle's."""

from decimal import Decimal
from random import Random  # noqa: TID251 - seeded, by whoever asks

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.steps import Command
from ocw_mcp.runtime import run as runtime_run
from tests.support.examples import again_among_slow, slow_after, some
from tests.support.invariants import watched
from tests.support.managing import Managing, covered, parts_of, reduced, trailed, wild_path
from tests.support.markets import ListFeed
from tests.support.runs import Commands, Run, policies
from tests.support.stores import Crash, MemoryStore
from tests.support.venues import Mortal

POLICY = policies(
    gate={"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0},
    order={"max_notional": 100_000},
    position={"max_share": 1},
)


def book(
    seed: int, product: Product, minutes: int, store: MemoryStore | None = None, venue: Mortal | None = None
) -> Run:
    feed = ListFeed(wild_path(seed, minutes), product=product)
    return Run(feed, Managing(seed, product), policy=POLICY, store=store, venue=venue or Mortal(product=product))


class Meddled(Managing):
    """The same, while a person halts, flattens and resumes."""

    def __init__(self, seed: int, product: Product) -> None:
        super().__init__(seed, product)
        self.commands = Commands()

    async def decide(self, request: DecisionRequest) -> Decision:
        draw, wake = Random(f"meddles at {request.wake_id}"), request.wake_id
        if draw.random() < 0.3:
            verb = draw.choice(("halt", "flatten", "resume", "resume", "resume"))
            self.commands.put(Command(f"c{wake}", verb, "a person"))
        return await super().decide(request)


@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
@pytest.mark.parametrize("seed", slow_after(1, range(4)))
async def test_halt_flatten_and_resume_never_loosen_a_trailing_stop(seed: int, product: Product) -> None:
    decider, feed = Meddled(seed, product), ListFeed(wild_path(seed, 150), product=product)
    run = Run(feed, decider, policy=POLICY, commands=decider.commands, venue=Mortal(product=product))
    await covered(reduced(trailed(watched(run)))).go()
    assert run.events(events.ProtectionSet)
    assert run.events(events.CommandTaken)


@pytest.mark.parametrize("product", [Product.UM, Product.SPOT])
@pytest.mark.parametrize("seed", slow_after(2, range(6)))
async def test_stops_quantities_and_results_are_those_of_the_oracle(seed: int, product: Product) -> None:
    run = await covered(reduced(trailed(watched(book(seed, product, 150))))).go()
    assert run.events(events.ProtectionSet)
    if product is Product.UM:
        parts = parts_of(run)
        assert parts
        assert all(abs(each) < Decimal("1e-9") for differences in parts for each in differences)


@again_among_slow
@pytest.mark.parametrize("product", [Product.UM, pytest.param(Product.SPOT, marks=pytest.mark.slow)])
async def test_a_crash_while_a_position_is_managed_resumes_to_the_same_events(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_run, "CHECKPOINT_EVERY", 4)
    undisturbed = await trailed(book(3, product, 40)).go()
    assert any(each.trail for each in undisturbed.events(events.ProtectionSet))
    assert isinstance(undisturbed.venue, Mortal)
    touches = undisturbed.venue.touches
    for moment in some(range(1, touches + 1, max(1, touches // 9))):
        dying = MemoryStore()
        with pytest.raises(Crash):
            await book(3, product, 40, dying, Mortal(moment, product)).go()
        resumed = await trailed(book(3, product, 40, dying.reopened())).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint, f"died at {moment}"
        assert resumed.engine.state() == undisturbed.engine.state()
