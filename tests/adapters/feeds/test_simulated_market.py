"""The simulated market: its candles, derivatives, order books and history."""

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ocw_mcp.adapters.feeds.simulated.feed import START, SimulatedFeed
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Candle, Frame, Product
from ocw_mcp.domain.money import exact
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND


def frames_of(feed: SimulatedFeed, after: int | None = None, count: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        frames: list[Frame] = []
        async for frame in feed.frames(after):
            frames.append(frame)
            if len(frames) == count:
                break
        return frames

    return asyncio.run(collect())


def candles_of(feed: SimulatedFeed) -> dict[str, list[Candle]]:
    candles: dict[str, list[Candle]] = {symbol: [] for symbol in feed.symbols}
    for frame in frames_of(feed):
        for candle in frame.closed:
            candles[candle.symbol].append(candle)
    return candles


def test_simulated_minutes_have_no_gap_and_open_at_the_last_close() -> None:
    for candles in candles_of(SimulatedFeed(seed=3, days=1, warmup_days=1)).values():
        assert [candle.open_time for candle in candles] == list(range(START - DAY, START + DAY, MINUTE))
        assert all(earlier.close == later.open for earlier, later in pairwise(candles))
        assert all(candle.volume > 0 for candle in candles)


def test_prices_are_multiples_of_the_tick_and_volumes_of_the_lot() -> None:
    feed = SimulatedFeed(seed=3, symbols=("BTCUSDT", "ETHUSDT", "NEARUSDT"), days=1, warmup_days=0)
    decimals = {"BTCUSDT": (1, 3), "ETHUSDT": (2, 3), "NEARUSDT": (3, 0)}
    for symbol, candles in candles_of(feed).items():
        for each in candles:
            for price in (each.open, each.high, each.low, each.close):
                assert exact(price) == round(exact(price), decimals[symbol][0])
            for volume in (each.volume, each.taker_volume or 0.0):
                assert exact(volume) == round(exact(volume), decimals[symbol][1])


def test_symbols_correlate_and_move_by_a_plausible_amount() -> None:
    candles = candles_of(SimulatedFeed(seed=3, days=4))
    returns = np.array([[np.log(each.close / each.open) for each in candles[symbol]] for symbol in sorted(candles)])
    assert np.corrcoef(returns)[np.triu_indices(3, 1)].min() > 0.6
    assert ((returns.std(axis=1) > 0.0003) & (returns.std(axis=1) < 0.003)).all()


def test_simulated_prices_of_a_symbol_do_not_depend_on_others() -> None:
    alone = candles_of(SimulatedFeed(seed=3, symbols=("ETHUSDT",), days=1))
    together = candles_of(SimulatedFeed(seed=3, days=1))
    assert alone["ETHUSDT"] == together["ETHUSDT"]


@pytest.mark.parametrize("step", [pytest.param(5 * SECOND, marks=pytest.mark.slow), 15 * SECOND, 5 * MINUTE, HOUR])
def test_candles_of_any_length_close_at_the_minute_prices(step: int) -> None:
    minutes, others = (
        {
            each.close_time: each.close
            for each in candles_of(SimulatedFeed(3, ("BTCUSDT",), days=1, step=length))["BTCUSDT"]
        }
        for length in (MINUTE, step)
    )
    shared = minutes.keys() & others.keys()
    assert len(shared) == min(len(minutes), len(others))
    assert all(minutes[at] == others[at] for at in shared)


@pytest.mark.slow
def test_return_deviation_grows_with_root_of_candle_length() -> None:
    def deviation(step: int) -> float:
        candles = candles_of(SimulatedFeed(5, ("BTCUSDT",), days=2, step=step))["BTCUSDT"]
        return float(np.std([np.log(each.close / each.open) for each in candles]) / np.sqrt(step))

    assert deviation(10 * SECOND) == pytest.approx(deviation(MINUTE), rel=0.15)
    assert deviation(15 * MINUTE) == pytest.approx(deviation(MINUTE), rel=0.25)


def test_another_seed_gives_another_market() -> None:
    one, other = (SimulatedFeed(seed, days=1, warmup_days=0) for seed in (1, 2))
    assert one.identity.content != other.identity.content
    assert candles_of(one) != candles_of(other)


def test_feed_identity_does_not_depend_on_the_number_of_days() -> None:
    identity = SimulatedFeed(seed=1, product=Product.SPOT, days=1).identity
    assert identity == SimulatedFeed(seed=1, product=Product.SPOT).identity
    assert (identity.kind, identity.product, identity.interval) == ("sim", Product.SPOT, 60_000)
    assert identity != SimulatedFeed(seed=1, product=Product.SPOT, start=START + DAY).identity


@pytest.mark.slow
def test_prices_stay_within_bounds_after_years() -> None:
    (frame,) = frames_of(SimulatedFeed(seed=5), START + 500 * DAY, 1)
    assert frame.at == START + 500 * DAY + MINUTE
    assert 10_000 < frame.closed[0].close < 1_000_000


def test_history_holds_sixty_candles_of_four_hours() -> None:
    frames = frames_of(SimulatedFeed(seed=1, symbols=("BTCUSDT",), days=1))
    history = [frame for frame in frames if frame.history]
    assert history[-1].at == START - MINUTE
    assert START - history[0].at >= 61 * 4 * HOUR
    assert SimulatedFeed(seed=1, warmup_days=0).identity == SimulatedFeed(seed=1).identity


def test_shorter_history_equals_the_last_days_of_a_longer_one() -> None:
    long, short = (frames_of(SimulatedFeed(1, ("BTCUSDT",), days=1, warmup_days=days)) for days in (3, 1))
    assert [frame for frame in long if frame.at > START - DAY] == short[1:]


def test_funding_comes_every_8_hours_and_metrics_every_5_minutes() -> None:
    frames = frames_of(SimulatedFeed(1, days=2, warmup_days=1))
    funding = [row for frame in frames for row in frame.funding if row.symbol == "ETHUSDT"]
    metrics = [row for frame in frames for row in frame.metrics if row.symbol == "ETHUSDT"]
    assert [row.at for row in funding] == list(range(START - 16 * HOUR, START + 2 * DAY + 1, 8 * HOUR))
    assert [row.at for row in metrics] == list(range(START - DAY + 5 * MINUTE, START + 2 * DAY + 1, 5 * MINUTE))
    assert {row.interval_hours for row in funding} == {8}
    assert all(abs(row.rate) < 0.003 for row in funding)


def test_taker_ratio_of_metrics_equals_that_of_the_previous_candles() -> None:
    frames = frames_of(SimulatedFeed(1, ("ETHUSDT",), days=1, warmup_days=0))
    bought = sold = 0.0
    for frame in frames:
        for each in frame.closed:
            bought += each.taker_volume or 0.0
            sold += each.volume - (each.taker_volume or 0.0)
        for row in frame.metrics:
            assert row.taker_ratio == pytest.approx(bought / sold, rel=1e-5)
            bought = sold = 0.0


def test_simulated_spot_has_taker_volume_but_no_metrics() -> None:
    frames = frames_of(SimulatedFeed(1, product=Product.SPOT, days=1, warmup_days=0))
    assert not any(frame.metrics or frame.funding for frame in frames)
    assert frames[-1].closed[0].taker_volume is not None


@pytest.mark.parametrize(("product", "step"), [(Product.UM, MINUTE), (Product.SPOT, MINUTE // 4), (Product.UM, HOUR)])
def test_each_closed_candle_has_an_order_book_around_its_close(product: Product, step: int) -> None:
    feed = SimulatedFeed(1, ("ETHUSDT", "SOLUSDT"), product=product, days=2, step=step, warmup_days=1)
    frames = [frame for frame in frames_of(feed) if frame.closed and not frame.history]
    assert frames[-1].at == START + 2 * DAY
    for frame in frames[:: max(1, HOUR // step)]:
        assert [(book.symbol, book.at) for book in frame.books] == [(each.symbol, frame.at) for each in frame.closed]
        for book, closed in zip(frame.books, frame.closed, strict=True):
            assert 0 < book.bid <= closed.close <= book.ask
            assert all(exact(price) == round(exact(price), 2) for price in (book.bid, book.ask))
            assert book.bid_depth == book.ask_depth == pytest.approx(closed.volume * 2 * MINUTE / step, rel=0.01)


def test_spread_is_at_least_one_tick_and_varies() -> None:
    books = [book for frame in frames_of(SimulatedFeed(1, ("SOLUSDT",), days=1)) for book in frame.books]
    spreads = {exact(book.ask) - exact(book.bid) for book in books}
    assert min(spreads) == exact(0.01)
    assert len(spreads) > 1


def test_unknown_symbols_get_different_prices() -> None:
    candles = candles_of(SimulatedFeed(1, ("FOOUSDT", "BARUSDT"), days=1, warmup_days=0))
    (foo, bar) = (candles[symbol][0].open for symbol in ("FOOUSDT", "BARUSDT"))
    assert foo != bar
    assert all(0.01 < price < 1_000 for price in (foo, bar))


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"seed": -1}, "expected 0 or more"),
        ({"days": 0}, "a day or more"),
        ({"symbols": ()}, "a symbol"),
        ({"start": START + 1}, "a UTC midnight"),
        ({"step": 7 * SECOND}, "5s to 1h"),
        ({"step": 90 * SECOND}, "5s to 1h"),
        ({"step": 4 * HOUR}, "5s to 1h"),
        ({"warmup_days": 15}, "0 to 14"),
    ],
)
def test_invalid_parameters_of_a_simulated_market_are_refused(wrong: dict[str, Any], hint: str) -> None:
    with pytest.raises(SettingsError, match=hint):
        SimulatedFeed(**{"seed": 1, **wrong})
