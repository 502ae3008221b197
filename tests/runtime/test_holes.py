"""In a hole of one symbol its position stays, no entry passes, and the hole is counted once."""

from ocw_mcp.domain import events
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, sell
from tests.support.markets import START, ListFeed, candle
from tests.support.runs import Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
SILENT = range(3, 30)
MARKET = [candle(index, 100.0) for index in range(40) if index not in SILENT] + [
    candle(index, 50.0, symbol="ETHUSDT") for index in range(40)
]


async def test_a_data_gap_keeps_the_position_and_refuses_entries() -> None:
    script = Scripted({1: buy("97"), 10: add("97"), 11: buy("49", symbol="ETHUSDT"), 35: add("97")})
    run = Run(ListFeed(MARKET), script, policy=WAKES)
    await run.go()

    (refused,) = run.timed(events.OrderRefused)
    assert refused[0] == START + 10 * MINUTE
    assert refused[1].refusal.code is RefusalCode.STALE_DATA

    entries = [(at, event.symbol) for at, event in run.timed(events.OrderFilled) if event.ref.leg is Purpose.ENTRY]
    assert [symbol for _, symbol in entries] == ["BTCUSDT", "ETHUSDT", "BTCUSDT"]
    assert entries[1][0] == START + 11 * MINUTE  # the other symbol is as fresh as ever
    assert entries[2][0] == START + 35 * MINUTE  # and so is this one again, after the hole

    assert run.events(events.PositionClosed) == []
    positions = summary(run.engine)["positions"]
    assert sorted(position["symbol"] for position in positions) == ["BTCUSDT", "ETHUSDT"]
    assert all(position["protected"] for position in positions)

    (hole,) = run.events(events.HoleFound)
    assert (hole.symbol, hole.since, hole.until) == (
        "BTCUSDT",
        START + SILENT.start * MINUTE,
        START + SILENT.stop * MINUTE,
    )
    assert run.engine.counters.holes == 1


async def test_an_exit_decided_in_a_data_gap_fills_at_the_next_price() -> None:
    run = Run(ListFeed(MARKET), Scripted({1: buy("97"), 10: sell()}), policy=WAKES)
    await run.go()
    assert run.events(events.OrderRefused) == []
    (closed,) = run.timed(events.PositionClosed)
    assert closed[0] == START + SILENT.stop * MINUTE  # where the next price is


async def test_a_data_gap_within_the_slack_is_counted_and_refuses_no_entry() -> None:
    market = [each for each in MARKET if each.symbol == "ETHUSDT" or each.open_time != START + 35 * MINUTE]
    script = Scripted({36: buy("97")})
    run = Run(ListFeed(market), script, policy=WAKES)
    await run.go()
    assert run.events(events.OrderRefused) == []
    assert len(run.events(events.HoleFound)) == run.engine.counters.holes == 2
