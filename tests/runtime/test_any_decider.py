"""With any decider and any prices, the same invariants hold after every event."""

from contextlib import suppress
from random import Random  # noqa: TID251 - seeded, by Hypothesis

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from ocw_mcp.domain.market import Candle, Product
from ocw_mcp.runtime import run as runtime_run
from tests.support.deciders import Reckless
from tests.support.examples import examples
from tests.support.invariants import watched
from tests.support.markets import ListFeed, candle
from tests.support.runs import Run, policies
from tests.support.stores import Crash, MemoryStore

POLICY = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0, "timer_min_s": 60}, daily_loss={"max_share": "0.2"})
SYMBOLS = ("BTCUSDT", "ETHUSDT", "FOOUSDT")


def wild(seed: int, product: Product) -> ListFeed:
    """Two hours of a random market."""
    return ListFeed(walks(seed, 120), product=product)


def walks(seed: int, minutes: int) -> list[Candle]:
    """Random walks with jumps and holes, of several symbols that do not begin together."""
    draw = Random(f"{seed} walks")
    candles = []
    for place, symbol in enumerate(SYMBOLS):
        price = (50_000.0, 2_000.0, 0.37)[place]
        for minute in range(place * 3, minutes):
            opening = price * (1 + (draw.uniform(-0.05, 0.05) if draw.random() < 0.03 else 0.0))
            price = opening * (1 + draw.gauss(0, 0.006))
            high = max(opening, price) * (1 + abs(draw.gauss(0, 0.003)))
            low = min(opening, price) * (1 - abs(draw.gauss(0, 0.003)))
            if draw.random() > 0.04:
                digits = 5 if place == 2 else 2
                o, h, lo, c = (round(each, digits) for each in (opening, high, low, price))
                # Some minutes are thin: a share of their volume is less than what is wanted, or nothing.
                volume = draw.choice((1e6, 1e6, 0.5, 0.1, 0.0)) * 50_000 / c
                candles.append(
                    candle(minute, c, open_=o, high=max(h, o, c), low=min(lo, o, c), symbol=symbol, volume=volume)
                )
    return candles


@examples(3, slow=30, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**9), product=st.sampled_from(Product))
async def test_no_decider_breaks_a_limit_or_an_invariant(seed: int, product: Product) -> None:
    run = watched(Run(wild(seed, product), Reckless(seed), policy=POLICY))
    await run.go()


@examples(1, slow=8, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**9),
    product=st.sampled_from(Product),
    deaths=st.lists(st.integers(1, 900), min_size=1, max_size=4),
)
async def test_a_killed_run_of_any_decider_resumes_to_the_same_events(
    seed: int, product: Product, deaths: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime_run, "CHECKPOINT_EVERY", 17)
        undisturbed = await Run(wild(seed, product), Reckless(seed), policy=POLICY).go()
        store = MemoryStore()
        for moment in deaths:
            store.die_at = moment
            with suppress(Crash):
                await watched(Run(wild(seed, product), Reckless(seed), policy=POLICY, store=store)).go()
            store = store.reopened()
        resumed = await watched(Run(wild(seed, product), Reckless(seed), policy=POLICY, store=store)).go()
        assert resumed.store.fingerprint == undisturbed.store.fingerprint
        assert resumed.engine.state() == undisturbed.engine.state()
