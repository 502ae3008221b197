"""Guarantees that every feed gives the engine."""

from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.adapters.feeds.tape import TapeFeed
from ocw_mcp.app.bench.live_day import START, SandboxFeed
from ocw_mcp.domain.market import Candle, Frame, Product
from ocw_mcp.domain.protocols import Feed
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time

MIDNIGHT = 1_773_014_400_000  # 2026-03-09


def small_tape(folder: Path) -> Feed:
    """Two symbols of three daily files each, one with a gap, a late row, a duplicate and a missing day."""
    for symbol, price in (("BTCUSDT", 90_000.0), ("ETHUSDT", 2_000.0)):
        for day in range(3):
            minutes = list(range(12)) + list(range(1435, 1440))
            if symbol == "ETHUSDT":
                if day == 1:
                    continue
                minutes[3:6] = [3, 3, 7, 5]
            rows = [
                f"{MIDNIGHT + day * DAY + minute * MINUTE},{price},{price + 1},{price - 1},{price + 0.5},{minute}"
                for minute in minutes
            ]
            name = f"{symbol}-1m-2026-03-{9 + day:02d}.csv"
            (folder / name).write_text("open_time,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    return TapeFeed.open(folder)


def small_simulation(_folder: Path) -> Feed:
    return SimulatedFeed(seed=11, symbols=("SOLUSDT", "BTCUSDT"), days=1, warmup_days=1)


def simulation_of_hours(_folder: Path) -> Feed:
    return SimulatedFeed(seed=11, symbols=("SOLUSDT", "BTCUSDT"), days=3, step=HOUR, warmup_days=2)


def simulation_of_seconds(_folder: Path) -> Feed:
    return SimulatedFeed(seed=11, symbols=("BTCUSDT",), days=1, step=30 * SECOND, warmup_days=0)


@cache
def market_of_exchange(product: Product) -> SandboxMarket:
    """Return the market behind the live feeds; its values do not depend on earlier requests."""
    return SandboxMarket.simulated(7, ("BTCUSDT", "SOLUSDT"), product, START)


def live_futures(_folder: Path) -> Feed:
    return SandboxFeed(market_of_exchange(Product.UM), START + 30 * SECOND, START + 8 * MINUTE + 5 * SECOND)


def live_spot(_folder: Path) -> Feed:
    return SandboxFeed(market_of_exchange(Product.SPOT), START + 30 * SECOND, START + 8 * MINUTE + 5 * SECOND)


@pytest.fixture(
    params=[small_tape, small_simulation, simulation_of_hours, simulation_of_seconds, live_futures, live_spot],
    ids=["tape", "simulated 1m", "simulated 1h", "simulated 30s", "binance um", "binance spot"],
)
def make_feed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Feed]:
    made: Callable[[Path], Feed] = request.param
    return lambda: made(tmp_path)


def frames_of(feed: Feed, after: int | None = None) -> list[Frame]:
    async def collect() -> list[Frame]:
        return [frame async for frame in feed.frames(after)]

    return run_in_virtual_time(collect())


_KEPT: dict[str, list[Frame]] = {}


@pytest.fixture
def frames(request: pytest.FixtureRequest, make_feed: Callable[[], Feed]) -> list[Frame]:
    """The frames of another feed with the same parameters, made once; the tests only look at them."""
    name = request.node.callspec.id
    if name not in _KEPT:
        _KEPT[name] = frames_of(make_feed())
    return _KEPT[name]


def is_live(feed: Feed) -> bool:
    """Return whether a feed yields prices between closes, and candles as soon as they arrive."""
    return isinstance(feed, SandboxFeed)


def market_frames(feed: Feed, frames: list[Frame]) -> list[Frame]:
    """Return the frames that every run of a feed gives; those of a live market without the time of their arrival."""
    if not is_live(feed):
        return frames
    return [Frame(frame.at, frame.closed, funding=frame.funding) for frame in frames if frame.closed]


def test_frames_are_in_time_order_and_never_empty(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    feed = make_feed()
    assert len(frames) > 10
    closes = market_frames(feed, frames)
    assert all(earlier.at < later.at for earlier, later in pairwise(closes))
    for frame in frames:
        market = frame.closed or frame.opened or frame.metrics or frame.funding
        assert market or (is_live(feed) and (frame.marks or frame.books or frame.notices or frame.instruments))


def test_no_candle_comes_twice_and_none_is_missing(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    feed = make_feed()
    by_symbol: dict[str, list[int]] = {}
    for frame in frames:
        for candle in frame.closed:
            by_symbol.setdefault(candle.symbol, []).append(candle.open_time)
    for times in by_symbol.values():
        steps = {later - earlier for earlier, later in pairwise(times)}
        # The tape of this suite has gaps, which a feed does not fill.
        assert steps == {feed.identity.interval} or (isinstance(feed, TapeFeed) and min(steps) == MINUTE)


def market_of(frames: list[Frame]) -> list[Frame]:
    """Return the frames after the history; a frame of history may hold the candles of a longer time."""
    return [frame for frame in frames if not frame.history]


def test_a_candle_is_known_only_at_its_close(frames: list[Frame]) -> None:
    for frame in market_of(frames):
        assert all(candle.close_time == frame.at for candle in frame.closed)
        assert all(opening.at == frame.at for opening in frame.opened)


def test_metrics_and_funding_are_in_the_frame_of_their_time(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    seen: set[tuple[str, str, int]] = set()
    live = is_live(make_feed())
    for frame in market_of(frames):
        # The metrics of a live market are known when the feed receives them; see the next test.
        for rows in (() if live else frame.metrics, frame.funding):
            assert [row.symbol for row in rows] == sorted({row.symbol for row in rows})
            for row in rows:
                assert row.at == frame.at
                assert (type(row).__name__, row.symbol, row.at) not in seen
                seen.add((type(row).__name__, row.symbol, row.at))


def test_live_metrics_are_yielded_when_received_and_each_value_once(
    make_feed: Callable[[], Feed], frames: list[Frame]
) -> None:
    feed = make_feed()
    if not is_live(feed):
        pytest.skip("the metrics of this feed are in the frame of their time")
    rows = [(frame.at, row) for frame in frames for row in frame.metrics]
    seen: set[tuple[str, int, str]] = set()
    for frame in frames:
        keys = [(row.symbol, row.at) for row in frame.metrics]
        assert keys == sorted(set(keys))
    for known_at, row in rows:
        assert row.at <= known_at
        assert row.is_interim or row.at % (5 * MINUTE) == 0
        for field in type(row).__struct_fields__[2:-1]:
            if getattr(row, field) is not None:
                assert (row.symbol, row.at, field) not in seen
                seen.add((row.symbol, row.at, field))
    if feed.identity.product is Product.UM:
        # The first rows reach back a day, and the row of each five minutes follows within a minute.
        for symbol in feed.identity.symbols:
            ends = {row.at: known_at for known_at, row in rows if row.symbol == symbol and not row.is_interim}
            assert min(ends) <= START + 30 * SECOND - DAY
            assert START + 5 * MINUTE < ends[START + 5 * MINUTE] < START + 6 * MINUTE
    else:
        assert not rows


def test_history_frames_come_before_all_others(frames: list[Frame]) -> None:
    kinds = [frame.history for frame in frames]
    assert kinds == sorted(kinds, reverse=True)
    assert not kinds[-1]


def test_history_has_every_row_once_in_time_order_up_to_its_frame(
    make_feed: Callable[[], Feed], frames: list[Frame]
) -> None:
    symbols = {candle.symbol for frame in frames for candle in frame.closed}
    live = is_live(make_feed())
    for symbol in symbols:
        for kind in ("closed", "funding") if live else ("closed", "metrics", "funding"):
            rows = [(frame, row) for frame in frames for row in getattr(frame, kind) if row.symbol == symbol]
            known = [row.close_time if kind == "closed" else row.at for _, row in rows]
            assert known == sorted(set(known))
            assert all(at <= frame.at for (frame, _), at in zip(rows, known, strict=True))
            firsts = {id(frame): at for (frame, _), at in zip(reversed(rows), reversed(known), strict=True)}
            for earlier, later in pairwise(frame for frame in frames if id(frame) in firsts):
                assert earlier.at < firsts[id(later)]


def test_taker_volume_is_at_most_the_volume(frames: list[Frame]) -> None:
    for frame in frames:
        for each in frame.closed:
            assert each.taker_volume is None or 0 <= each.taker_volume <= each.volume


def test_liquidations_are_of_closed_candles_and_in_order(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    identity = make_feed().identity
    rows = [row for frame in frames for row in frame.liquidations]
    assert bool(rows) == (identity.kind == "binance" and identity.product is Product.UM)
    assert not any(frame.liquidations for frame in frames if frame.history)
    for frame in frames:
        closed = {candle.symbol: candle.close_time for candle in frame.closed}
        assert [row.symbol for row in frame.liquidations] == sorted({row.symbol for row in frame.liquidations})
        for row in frame.liquidations:
            assert closed[row.symbol] == row.at
            assert min(row.longs, row.shorts) >= 0


def test_every_opened_candle_closes_with_the_same_open_price(
    make_feed: Callable[[], Feed], frames: list[Frame]
) -> None:
    feed = make_feed()
    still_open: dict[str, tuple[int, float]] = {}
    if is_live(feed):
        # The first price of a candle is one of the marks.
        assert not any(frame.opened for frame in frames)
        return
    market = market_of(frames)
    for frame in market:
        for candle in frame.closed:
            if candle.open_time < market[0].at:
                continue  # the last candle of the history
            assert still_open.pop(candle.symbol) == (candle.open_time, candle.open)
        for opening in frame.opened:
            assert opening.symbol not in still_open
            still_open[opening.symbol] = (opening.at, opening.price)
    assert not still_open


def test_frame_symbols_are_sorted_and_all_in_the_feed_identity(
    make_feed: Callable[[], Feed], frames: list[Frame]
) -> None:
    feed = make_feed()
    seen: set[str] = set()
    for frame in market_of(frames):
        for symbols in ([each.symbol for each in frame.closed], [each.symbol for each in frame.opened]):
            assert symbols == sorted(set(symbols))
            seen.update(symbols)
    assert tuple(sorted(seen)) == feed.identity.symbols


def test_candles_are_consistent_and_have_the_feed_interval(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    feed = make_feed()
    candles: list[Candle] = [candle for frame in frames for candle in frame.closed]
    for each in candles:
        assert 0 < each.low <= min(each.open, each.close) <= max(each.open, each.close) <= each.high
        assert each.volume >= 0
        assert each.interval == feed.identity.interval
        assert each.open_time % each.interval == 0


def test_feed_read_twice_gives_the_same_frames(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    feed = make_feed()
    assert frames_of(feed) == frames_of(feed) == frames
    assert feed.identity == make_feed().identity


def test_resumed_feed_gives_all_later_frames_and_no_others(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    feed = make_feed()
    frames = market_frames(feed, frames)
    times = [frame.at for frame in frames]
    picked = times[:: max(1, len(times) // (4 if is_live(feed) else 20))] + times[-3:]
    edges = (
        []
        if is_live(feed)
        else [DAY * (times[0] // DAY + day) + nudge for day in range(4) for nudge in (-MINUTE, -1, 0, 1, MINUTE)]
    )
    for moment in [*picked, *edges]:
        assert market_frames(feed, frames_of(feed, moment)) == frames[bisect_right(times, moment) :]


def test_resume_before_the_feed_gives_all_frames_and_after_it_none(
    make_feed: Callable[[], Feed], frames: list[Frame]
) -> None:
    feed = make_feed()
    frames = market_frames(feed, frames)
    for moment in (frames[-1].at, frames[-1].at + 400 * DAY):
        assert market_frames(feed, frames_of(feed, moment)) == []
    if not is_live(feed):
        assert frames_of(feed, 0) == frames_of(feed, -1) == frames


def test_feed_can_be_closed_early(make_feed: Callable[[], Feed], frames: list[Frame]) -> None:
    async def first_two() -> list[Frame]:
        taken: list[Frame] = []
        async for frame in make_feed().frames():
            taken.append(frame)
            if len(taken) == 2:
                break
        return taken

    assert run_in_virtual_time(first_two()) == frames[:2]
