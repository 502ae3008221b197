"""The figures of a run's report that the journal does not contain."""

import io
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from ocw_mcp.app.report_view import show
from ocw_mcp.domain.figures import DecisionCounts, JournalFigures
from ocw_mcp.domain.market import Candle, Frame
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.report import report, time_in_state
from ocw_mcp.engine.summary import summary
from tests.support.live import ListedLive, live_frames
from tests.support.markets import START, ListFeed, candle, path
from tests.support.runs import Run, policies

FEE = Decimal("0.001")
NOTHING_JOURNALED = JournalFigures([], 0, 0, 0, {}, 0, Decimal(0), Decimal(0), [])


def report_of(run: Run) -> dict[str, Any]:
    return report(run.engine, NOTHING_JOURNALED, FEE, "f00")


def two_symbols() -> list[Candle]:
    """The candles of a symbol that doubles, and of one that begins three minutes later and halves."""
    early = path([100.0, 150.0, 200.0, 200.0, 200.0, 200.0])
    late = [candle(index, close, open_=50.0, symbol="ETHUSDT") for index, close in ((3, 50.0), (4, 40.0), (5, 25.0))]
    return [*early, *late]


async def test_buy_and_hold_splits_equity_over_all_symbols_after_the_fee() -> None:
    run = await Run(ListFeed(two_symbols())).go()
    assert report_of(run)["buy_and_hold"] == pytest.approx((0.999 * 2 + 0.999 / 2) / 2 - 1)


async def test_buy_and_hold_keeps_cash_for_a_symbol_without_candles() -> None:
    run = await Run(ListFeed(two_symbols())).go(for_ms=2 * MINUTE)
    assert report_of(run)["buy_and_hold"] == pytest.approx((0.999 * 1.5 + 1) / 2 - 1)


async def test_buy_and_hold_is_unknown_without_candles() -> None:
    run = await Run(ListFeed(two_symbols())).go(for_ms=0)
    assert report_of(run)["buy_and_hold"] is None


async def test_late_and_repeated_candles_are_counted() -> None:
    whole = path([100.0, 101.0, 102.0])
    run = await Run(ListFeed(whole)).go()
    for late in whole[:2]:
        run.engine.step(Frame(START + 9 * MINUTE, (late,)), START + 9 * MINUTE)
    assert report_of(run)["stale_candles"] == summary(run.engine)["stale_candles"] == 2
    assert report_of(run)["candles"] == 3


def test_times_in_trading_states_add_up_to_the_time_of_the_run() -> None:
    halted, active = TradingState.HALTED, TradingState.ACTIVE
    assert time_in_state([], 100, 500) == {"ACTIVE": 400, "REDUCING": 0, "HALTED": 0}
    assert time_in_state([(200, halted), (450, active)], 100, 500) == {"ACTIVE": 150, "REDUCING": 0, "HALTED": 250}
    assert time_in_state([(0, halted), (900, active)], 100, 500) == {"ACTIVE": 0, "REDUCING": 0, "HALTED": 400}
    assert time_in_state([], None, None) == {"ACTIVE": 0, "REDUCING": 0, "HALTED": 0}


async def test_the_report_has_the_cost_of_deciders_as_a_number() -> None:
    run = await Run(ListFeed(two_symbols())).go()
    paid = replace(NOTHING_JOURNALED, thinking_usd=Decimal("0.0375"))
    figures = report(run.engine, paid, FEE, "f00")
    assert figures["thinking_usd"] == 0.0375
    console = Console(width=100, file=io.StringIO(), highlight=False)
    show(figures | {"candles_per_s": 1, "max_rss_mb": 1}, "it was time", console)
    assert isinstance(console.file, io.StringIO)
    assert "0.0375 USD" in console.file.getvalue()


async def test_the_report_names_the_deciders() -> None:
    run = await Run(ListFeed(two_symbols())).go()
    counted = replace(NOTHING_JOURNALED, decided=DecisionCounts({"claude": 20}, 4, {"BREAKER": 40, "SERVER": 12}))
    figures = report(run.engine, counted, FEE, "f00")
    assert figures["decided"] == {
        "by": {"claude": 20}, "remembered": 4, "in_its_place": {"BREAKER": 40, "SERVER": 12},
    }  # fmt: skip
    console = Console(width=120, file=io.StringIO(), highlight=False)
    show(figures | {"candles_per_s": 1, "max_rss_mb": 1}, "it was time", console)
    assert isinstance(console.file, io.StringIO)
    told = "by claude 20, from the decision cache 4, by rules in its place 52 (BREAKER 40, SERVER 12)"
    assert told in console.file.getvalue()


async def test_mark_flag_is_absent_if_the_market_reports_mark_prices() -> None:
    feed = ListedLive(live_frames([100.0, 100.0]))
    live = await Run(feed, clock=feed.clock, live=True).go()
    recorded = await Run(ListFeed(path([100.0, 100.0]))).go()
    assert not any(flag.startswith("mark=") for flag in report_of(live)["flags"])
    assert any(flag.startswith("mark=last") for flag in report_of(recorded)["flags"])


async def test_spans_that_the_candles_do_not_measure_are_a_flag() -> None:
    wanted = {"outlier_sigmas": {"15m": 4.0, "90s": 4.0}, "outlier_moves": {"30s": 0.01}}
    run = await Run(ListFeed(path([100.0, 100.0])), policy=policies(gate=wanted)).go()
    assert (
        "gate: moves over 30s, 90s are not watched, because candles of 1m do not measure them"
        in report_of(run)["flags"]
    )
    timed = await Run(ListFeed(path([100.0, 100.0])), policy=policies(gate=wanted | {"every": "5m"})).go()
    assert not any(flag.startswith("gate:") for flag in report_of(timed)["flags"])
