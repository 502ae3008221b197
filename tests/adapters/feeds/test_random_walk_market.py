"""The market that needs no files."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.random_walk import START, RandomWalkFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.time import DAY


def candles_of(feed: RandomWalkFeed) -> dict[str, list[Candle]]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames()]

    candles: dict[str, list[Candle]] = {symbol: [] for symbol in feed.symbols}
    for frame in asyncio.run(collect()):
        for candle in frame.closed:
            candles[candle.symbol].append(candle)
    return candles


def first_frame(feed: RandomWalkFeed, after: int) -> Frame:
    async def take() -> Frame:
        return await anext(aiter(feed.frames(after)))

    return asyncio.run(take())


def test_every_day_has_all_its_minutes_and_each_candle_opens_where_the_last_one_closed() -> None:
    for candles in candles_of(RandomWalkFeed(seed=3, days=2)).values():
        assert [candle.open_time for candle in candles] == list(range(START, START + 2 * DAY, 60_000))
        assert all(earlier.close == later.open for earlier, later in pairwise(candles))
        assert all(candle.volume > 0 for candle in candles)


def test_prices_are_on_the_tick_of_their_symbol() -> None:
    feed = RandomWalkFeed(seed=3, symbols=("BTCUSDT", "ETHUSDT", "NEARUSDT"), days=1)
    decimals = {"BTCUSDT": 1, "ETHUSDT": 2, "NEARUSDT": 4}
    for symbol, candles in candles_of(feed).items():
        for each in candles:
            for price in (each.open, each.high, each.low, each.close):
                assert exact(price) == round(exact(price), decimals[symbol])


def test_symbols_move_together_and_by_a_plausible_amount() -> None:
    candles = candles_of(RandomWalkFeed(seed=3, days=4))
    returns = np.array([[np.log(each.close / each.open) for each in candles[symbol]] for symbol in sorted(candles)])
    assert np.corrcoef(returns)[np.triu_indices(3, 1)].min() > 0.4
    assert ((returns.std(axis=1) > 0.0003) & (returns.std(axis=1) < 0.003)).all()


def test_another_seed_is_another_market() -> None:
    one, other = RandomWalkFeed(seed=1, days=1), RandomWalkFeed(seed=2, days=1)
    assert one.identity.content != other.identity.content
    assert candles_of(one) != candles_of(other)


def test_the_identity_tells_the_market_but_not_how_long_it_is_watched() -> None:
    identity = RandomWalkFeed(seed=1, product=Product.SPOT, days=1).identity
    assert identity == RandomWalkFeed(seed=1, product=Product.SPOT).identity
    assert (identity.kind, identity.product, identity.interval) == ("walk", Product.SPOT, 60_000)
    assert identity != RandomWalkFeed(seed=1, product=Product.SPOT, start=START + DAY).identity


def test_a_market_without_end_still_has_sane_prices_after_years() -> None:
    frame = first_frame(RandomWalkFeed(seed=5), START + 500 * DAY)
    assert frame.at == START + 500 * DAY + 60_000
    assert 1_000 < frame.closed[0].close < 10_000_000


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"days": 0}, {"symbols": ()}, {"start": START + 1}])
def test_a_market_that_cannot_be_made_is_refused_in_one_sentence(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="expected a seed of 0 or more"):
        RandomWalkFeed(**{"seed": 1, **wrong})  # type: ignore[arg-type]
