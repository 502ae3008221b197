"""The snapshots of a running engine: trades, note, sizes, limits, derivatives, correlations."""

import math
from decimal import Decimal
from typing import Any

from ocw_mcp.core.risk.limits import limits_in_force
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import Candle, Funding, Metrics
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.snapshot import Feasible, Remark, Snapshot
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.decisions import NOTE_KEPT
from ocw_mcp.engine.step import Engine
from tests.support.deciders import Scripted
from tests.support.legs import buy, sell
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies

D = Decimal
STEP = 5 * MINUTE


def every_candle() -> Policies:
    return policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})


async def seen(feed: ListFeed, script: dict[int, Decision] | None = None) -> list[Snapshot]:
    """The snapshot of each minute's wake."""
    decider = Scripted(script or {})
    await Run(feed, decider, policy=every_candle()).go()
    return [request.snapshot for request in decider.asked]


def metrics(steps: int, **changes: Any) -> list[Metrics]:
    return [
        Metrics("BTCUSDT", START + place * STEP, **({"taker_ratio": 1.1, "top_positions_ratio": 1.5} | changes))
        for place in range(steps)
    ]


async def test_the_next_snapshot_has_closed_trades_net_of_fees() -> None:
    candles = path([100.0, 100.0, 110.0, 110.0, 110.0])
    snapshots = await seen(ListFeed(candles), {1: buy("97"), 3: sell()})
    assert [len(each.trades) for each in snapshots] == [0, 0, 0, 1, 1]
    (trade,) = snapshots[-1].trades
    assert (trade.symbol, trade.side, trade.opened_at, trade.closed_at) == (
        "BTCUSDT",
        "long",
        START + MINUTE,
        START + 3 * MINUTE,
    )
    assert 90 < trade.pnl < 100


async def test_each_snapshot_has_the_last_note_truncated_to_its_maximum() -> None:
    script = {1: Decision(note="watch 100"), 3: Decision(note="x" * 4_000)}
    snapshots = await seen(ListFeed(path([100.0] * 5)), script)
    first = Remark("watch 100", "scripted", START + MINUTE, 1)
    second = Remark("x" * NOTE_KEPT, "scripted", START + 3 * MINUTE, 3)
    assert [each.note for each in snapshots] == [None, first, first, second, second]


async def test_feasible_sizes_are_unknown_while_an_order_is_live() -> None:
    candles = [*path([100.0, 100.0]), candle(2, 100.0)]
    snapshots = await seen(ListFeed(candles), {1: buy("97", size="0.1")})
    before, after = (each.symbols["BTCUSDT"].feasible for each in snapshots[:2])
    assert isinstance(before, Feasible)
    assert isinstance(after, Feasible)
    assert before.long_max == before.short_max > 0
    assert 0 < after.long_max < before.long_max
    assert after.short_max == 0


async def test_no_size_is_feasible_while_an_entry_waits() -> None:
    late = [candle(0, 100.0), candle(0, 50.0, symbol="ETHUSDT"), candle(1, 50.0, symbol="ETHUSDT")]
    snapshots = await seen(ListFeed(late), {1: buy("97", size="0.1")})
    assert snapshots[1].symbols["BTCUSDT"].feasible == Unknown("an order of this symbol is under way")
    assert isinstance(snapshots[1].symbols["ETHUSDT"].feasible, Feasible)


async def test_the_snapshot_has_the_limits_of_the_policy_file() -> None:
    (snapshot,) = await seen(ListFeed(path([100.0])))
    assert snapshot.limits == limits_in_force(every_candle())
    assert dict(snapshot.limits)["stop.max_distance"] == "0.05"
    assert dict(snapshot.limits)["symbols.allow"] == "*USDT"


async def test_the_snapshot_has_no_funding_rate_before_its_time() -> None:
    rate = Funding("BTCUSDT", START + 2 * MINUTE, 0.0001, 8)
    snapshots = await seen(ListFeed(path([100.0] * 4), funding=[rate]))
    told = [each.symbols["BTCUSDT"].derivatives.funding_8h for each in snapshots]
    assert isinstance(told[0], Unknown)
    assert told[1:] == [0.0001, 0.0001, 0.0001]


async def test_the_snapshot_has_a_taker_ratio_after_an_hour_of_metrics() -> None:
    feed = ListFeed(path([100.0] * 62), metrics=metrics(13))
    derivatives = (await seen(feed))[-1].symbols["BTCUSDT"].derivatives
    assert isinstance(derivatives.taker_ratio_1h, float)
    assert math.isclose(derivatives.taker_ratio_1h, 1.1)
    assert derivatives.long_short == 1.5
    assert isinstance(derivatives.composite, Unknown)


async def test_the_snapshot_has_correlations_with_the_open_position() -> None:
    candles: list[Candle] = []
    for place in range(60 * 27):
        wave = math.sin(place / 100)
        candles += [candle(place, 100 + wave), candle(place, 50 - wave, symbol="ETHUSDT")]
    decider = Scripted({1: buy("97")})
    run = Run(ListFeed(candles), decider, policy=policies(gate={"close_wakes": ["1h"], "cooldown_s": 0}))
    await run.go()
    first, last = decider.asked[0].snapshot, decider.asked[-1].snapshot
    assert first.correlations == ()
    value = last.correlation("ETHUSDT", "BTCUSDT")
    assert isinstance(value, float)
    assert value < -0.9
    assert isinstance(last.correlation("BTCUSDT", "SOLUSDT"), Unknown)


async def test_engine_state_survives_a_restart() -> None:
    candles = path([100.0, 100.0, 110.0, 110.0, 110.0])
    rate = Funding("BTCUSDT", START + HOUR, 0.0001, 8)
    feed = ListFeed(candles, metrics=metrics(2), funding=[rate])
    script = {1: buy("97"), 2: Decision(note="watch 100"), 3: sell()}
    run = await Run(feed, Scripted(script), policy=every_candle()).go()
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.state() == run.engine.state()
