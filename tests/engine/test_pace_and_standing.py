"""In a whole run: each limit on pace refuses with its code, drawdown halts, and all counters survive a restart."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.engine.step import Engine
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import add, buy, entry, sell, short, waiting
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Commands, Run, policies

D = Decimal


def every_candle(**tables: dict[str, object]) -> Policies:
    return policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, **tables)


async def ran(closes: list[float], script: dict[int, Decision], **tables: dict[str, object]) -> Run:
    run = await Run(ListFeed(path(closes)), Scripted(script), policy=every_candle(**tables)).go()
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.state() == run.engine.state()
    return run


def codes(run: Run) -> list[RefusalCode]:
    return [event.refusal.code for event in run.events(events.OrderRefused)]


async def test_a_reentry_within_the_policys_reentry_time_is_refused() -> None:
    script = {1: buy("97"), 2: sell(), 3: buy("97"), 6: buy("97")}
    run = await ran([100.0] * 8, script, pace={"reentry_s": 180})
    assert codes(run) == [RefusalCode.REENTRY]
    assert len(run.events(events.PositionClosed)) == 1
    assert run.engine.account.ledger.quantity("BTCUSDT") > 0


async def test_entries_per_day_are_limited_and_exits_are_not() -> None:
    script = {1: buy("97"), 2: sell(), 3: buy("97"), 4: add(), 5: add(), 6: sell()}
    run = await ran([100.0] * 8, script, pace={"entries_per_day": 2})
    assert codes(run) == [RefusalCode.ENTRY_RATE, RefusalCode.ENTRY_RATE]
    assert run.engine.account.ledger.positions == {}


async def test_entries_are_refused_once_max_turnover_is_used_up() -> None:
    script = {1: buy("97"), 2: sell(), 3: buy("97"), 4: sell()}
    run = await ran([100.0] * 6, script, pace={"max_turnover": "0.25"})
    assert codes(run) == [RefusalCode.TURNOVER, RefusalCode.NO_POSITION]
    largest = run.events(events.OrderRefused)[0].refusal.largest
    assert 0 < largest < 6


async def test_fees_at_their_limit_forbid_entries_but_not_exits() -> None:
    script = {1: buy("97"), 2: add(), 3: sell()}
    run = await ran([100.0] * 5, script, pace={"max_fees": "0.00004"})
    assert codes(run) == [RefusalCode.FEES]
    assert run.engine.account.ledger.positions == {}


async def test_losing_trades_in_a_row_pause_entries_for_a_while() -> None:
    script = {1: buy("97"), 2: sell(), 3: buy("97"), 4: sell(), 5: buy("97"), 9: buy("97")}
    run = await ran([100.0] * 12, script, losses={"in_a_row": 2, "pause_s": 240})
    assert codes(run) == [RefusalCode.LOSSES_IN_A_ROW]
    assert len(run.events(events.EntriesPaused)) == 1
    assert run.engine.account.ledger.quantity("BTCUSDT") > 0


async def test_a_pause_after_losses_cancels_waiting_entries() -> None:
    away = waiting(buy("48", symbol="ETHUSDT").legs[0], "49", 600)
    script = {1: Decision((*buy("97").legs, away)), 2: sell()}
    candles = [*path([100.0] * 6), *path([50.0] * 6, "ETHUSDT")]
    run = await Run(
        ListFeed(candles), Scripted(script), policy=every_candle(losses={"in_a_row": 1, "pause_s": 240})
    ).go()
    assert len(run.events(events.EntriesPaused)) == 1
    assert [event.why for event in run.events(events.OrderCancelRequested)][-1] == "too many trades lost in a row"
    assert list(run.engine.orders.live()) == []


async def test_fees_at_their_limit_cancel_waiting_entries() -> None:
    away = waiting(buy("48", symbol="ETHUSDT").legs[0], "49", 600)
    candles = [*path([100.0] * 4), *path([50.0] * 4, "ETHUSDT")]
    policy = every_candle(pace={"max_fees": "0.00004"})
    run = await Run(ListFeed(candles), Scripted({1: Decision((*buy("97").legs, away))}), policy=policy).go()
    (gone,) = run.events(events.OrderCancelRequested)
    assert gone.why == "today's fees have reached their limit"
    assert run.engine.account.ledger.quantity("BTCUSDT") > 0


async def test_a_drawdown_halts_until_a_resume_measures_it_anew() -> None:
    closes = [100.0, 100.0, 96.0, 96.0, 96.0, 96.0, 96.0, 96.0]
    script = {1: buy("95", size="0.25"), 4: add(), 7: add()}
    box = Commands()
    decider = Scripted(script)
    feed = ListFeed(path(closes))
    policy = every_candle(drawdown={"max_share": "0.005"})
    first = await Run(feed, decider, policy=policy, commands=box).go(for_ms=5 * 60_000)
    (reached,) = first.events(events.DrawdownReached)
    assert reached.equity < D(9_950)
    assert reached.peak >= D(10_000)
    assert first.engine.account.trading_state is TradingState.HALTED
    lowered = summary(first.engine)["lowered"]
    assert (lowered["by"], lowered["why"]) == ("the engine", "the drawdown limit is reached")
    assert [each.refusal.code for each in first.events(events.OrderRefused)] == [RefusalCode.NOT_ACTIVE]
    box.put(Command("c1", "resume", "a person"))
    second = await Run(feed, Scripted(script), policy=policy, commands=box, store=first.store.reopened()).go()
    assert second.engine.account.trading_state is TradingState.ACTIVE
    assert summary(second.engine)["lowered"] is None
    assert len(second.events(events.DrawdownReached)) == 1


async def test_the_limit_of_open_positions_also_counts_live_entries() -> None:
    symbols = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
    candles = [candle(place, 100.0, symbol=symbol) for place in range(4) for symbol in symbols]
    legs = tuple(Leg(symbol, Action.BUY, size=D("0.05"), stop=D(97)) for symbol in symbols)
    policy = every_candle(positions={"max_open": 2})
    run = await Run(ListFeed(candles), Scripted({1: Decision(legs)}), policy=policy).go()
    assert codes(run) == [RefusalCode.OPEN_POSITIONS]
    assert sorted(run.engine.account.ledger.positions) == ["AAAUSDT", "BBBUSDT"]


async def test_correlated_limit_counts_longs_and_shorts_separately() -> None:
    symbols = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
    candles = [candle(place, 100.0, symbol=symbol) for place in range(5) for symbol in symbols]
    wants = tuple(Leg(symbol, Action.BUY, size=D("0.2"), stop=D(97)) for symbol in symbols)
    policy = every_candle(correlated={"symbols": ["BTC*", "ETH*"], "max_share": "0.3"})
    script = {1: Decision(wants), 2: short("103", size="0.2", symbol="ETHUSDT")}
    run = await Run(ListFeed(candles), Scripted(script), policy=policy).go()
    (refused,) = run.events(events.OrderRefused)
    assert (refused.intent.symbol, refused.refusal.code) == ("ETHUSDT", RefusalCode.CORRELATED_EXPOSURE)
    held = run.engine.account.ledger
    assert held.quantity("BTCUSDT") > 0 > held.quantity("ETHUSDT")
    assert held.quantity("XRPUSDT") > 0


async def test_a_refusal_for_risk_at_the_stop_names_the_largest_size() -> None:
    run = await ran([100.0] * 3, {1: buy("95.5", size="0.25")}, risk={"max_share": "0.01", "gap_allowance": "0.005"})
    (refused,) = run.events(events.OrderRefused)
    assert refused.refusal.code is RefusalCode.RISK_PER_TRADE
    worst = D("100.2")
    lost = (worst - D("95.5")) / worst + D("0.005")
    assert refused.refusal.largest * worst * lost <= 100 < (refused.refusal.largest + D("0.01")) * worst * lost


HALF: dict[str, Any] = {"position": {"max_share": "0.25"}, "scale": {"regime_unknown": "0.5", "macro_unknown": 1}}


async def test_the_policys_exposure_scale_does_not_change_a_requested_size() -> None:
    whole = await ran([100.0] * 3, {1: buy("97", size="0.1")})
    scaled = await ran([100.0] * 3, {1: buy("97", size="0.1")}, **HALF)
    first, second = (run.engine.account.ledger.quantity("BTCUSDT") for run in (whole, scaled))
    assert first == second
    assert D("0.0999") * 10_000 < second * D("100.2") <= D("0.1") * 10_000


@pytest.mark.parametrize("action", [Action.BUY, Action.SHORT])
async def test_a_refusal_by_a_scaled_limit_names_the_largest_size(action: Action) -> None:
    stop = "97" if action is Action.BUY else "103"
    run = await ran([100.0] * 3, {1: entry(action, stop, "0.2", symbol="BTCUSDT")}, **HALF)
    (refused,) = run.events(events.OrderRefused)
    assert (refused.refusal.code, refused.refusal.limit) == (RefusalCode.POSITION_SHARE, "12.5% (25% x 0.5)")
    most = refused.refusal.largest
    assert most * D("100.2") <= 1_250 < (most + D("0.01")) * D("100.2")
    assert not run.engine.account.ledger.positions
    leg = Leg("BTCUSDT", action, size=D(1), stop=D(stop))
    assert run.engine.check(leg, "anna", run.clock.now(), most).refusal is None
    refusal = run.engine.check(leg, "anna", run.clock.now(), most + D("0.01")).refusal
    assert refusal is not None
    assert refusal.largest == most


async def test_entries_of_one_decision_share_the_turnover_limit() -> None:
    symbols = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
    candles = [candle(place, 100.0, symbol=symbol) for place in range(4) for symbol in symbols]
    legs = tuple(Leg(symbol, Action.BUY, size=D("0.2"), stop=D(97)) for symbol in symbols)
    policy = every_candle(pace={"max_turnover": "0.3"})
    run = await Run(ListFeed(candles), Scripted({1: Decision(legs)}), policy=policy).go()
    assert codes(run) == [RefusalCode.TURNOVER, RefusalCode.TURNOVER]
    assert run.engine.account.activity.state().turnover_today <= 3_000


async def test_a_resume_keeps_the_peak_if_the_drawdown_is_within_limit() -> None:
    box = Commands([Command("c1", "halt", "ann"), Command("c2", "resume", "ann")])
    closes = [100.0, 100.0, 98.0, 98.0, 98.0, 98.0]
    script = {1: buy("95", size="0.25")}
    policy = every_candle(drawdown={"max_share": "0.02"})
    first = await Run(ListFeed(path(closes)), Scripted(script), policy=policy).go(for_ms=4 * 60_000)
    watched = first.engine.account.drawdown.state().watched
    again = await Run(
        ListFeed(path(closes)), Scripted({}), policy=policy, commands=box, store=first.store.reopened()
    ).go()
    assert again.engine.account.trading_state is TradingState.ACTIVE
    assert again.engine.account.drawdown.state().watched == watched > again.engine.account.ledger.equity()
