"""Mark prices, notices and outages of a live market, as the engine takes them."""

from collections.abc import AsyncGenerator, Sequence

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.market import FeedNotice, FeedNoticeKind, Frame, Mark
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.engine.summary import summary
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.live import ListedLive, live_frames, quoted
from tests.support.markets import START, candle
from tests.support.runs import Commands, Run, policies

WAKES = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, drawdown={"max_share": "0.2"})
FLAT = [100.0] * 4
DEGRADED, RESTORED = FeedNoticeKind.DEGRADED, FeedNoticeKind.RESTORED


def run(frames: Sequence[Frame], script: dict[int, Decision] | None = None, commands: Commands | None = None) -> Run:
    feed = ListedLive(sorted(frames, key=lambda frame: frame.at))
    decider = Scripted({1: buy("97")} if script is None else script)
    return Run(feed, decider, policy=WAKES, clock=feed.clock, live=True, commands=commands)


def notice(second: int, kind: FeedNoticeKind, subject: str = "market") -> Frame:
    at = START + second * SECOND
    return Frame(at, notices=(FeedNotice(at, kind, subject, "no data"),))


def states(done: Run) -> list[TradingState]:
    return [change.after for change in done.events(events.StateChanged)]


@pytest.mark.requirement("D07")
@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf"), 1e11, 0.5])
async def test_absurd_mark_price_is_ignored_and_named_once(price: float) -> None:
    at = START + 2 * MINUTE
    absurd = [Frame(at + second * SECOND, marks=(Mark("BTCUSDT", at + second * SECOND, price),)) for second in (5, 6)]
    done = await run([*live_frames(FLAT), *absurd]).go()
    (incident,) = done.events(events.Incident)
    assert incident.text.startswith("BTCUSDT: the mark price ")
    assert [fill.ref.leg for fill in done.events(events.OrderFilled)] == [Purpose.ENTRY]
    assert done.engine.account.trading_state is TradingState.ACTIVE


async def test_mark_price_of_the_future_or_the_past_changes_no_price() -> None:
    at = START + 3 * MINUTE
    frames = live_frames(FLAT)[:-1]
    last = frames[-1].at
    odd = [
        Frame(last, marks=(Mark("BTCUSDT", last + 2 * MINUTE, 101.0),)),
        Frame(last, marks=(Mark("BTCUSDT", at - MINUTE, 102.0),)),
    ]
    done = await run([*frames, *odd], {}).go()
    assert done.engine.market.symbols["BTCUSDT"].last == 100.0


async def test_degraded_market_lowers_the_state_until_it_is_restored() -> None:
    frames = [*live_frames(FLAT), notice(30, DEGRADED), notice(130, RESTORED)]
    done = await run(frames, {1: buy("97"), 3: buy("97")}).go()
    assert states(done) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert [each.refusal.code for each in done.events(events.OrderRefused)] == ["NOT_ACTIVE"]
    assert len(done.events(events.OrderIntended)) == 2, "the entry of wake 3 and its stop"


async def test_degraded_symbol_refuses_entries_and_keeps_the_state() -> None:
    frames = live_frames(FLAT) + live_frames(FLAT, "ETHUSDT") + [notice(30, DEGRADED, "BTCUSDT")]
    feed = ListedLive(sorted(frames, key=lambda frame: frame.at), ("BTCUSDT", "ETHUSDT"))
    entries = Decision((*buy("97").legs, *buy("97", symbol="ETHUSDT").legs))
    done = await Run(feed, Scripted({2: entries}), policy=WAKES, clock=feed.clock, live=True).go()
    assert states(done) == []
    refused = {each.intent.symbol: each.refusal.code for each in done.events(events.OrderRefused)}
    assert refused == {"BTCUSDT": "STALE_DATA"}
    assert summary(done.engine)["degraded"] == {"BTCUSDT": "no data"}


async def test_subjects_of_one_frame_share_an_incident() -> None:
    def both(second: int, kind: FeedNoticeKind, detail: str) -> Frame:
        at = START + second * SECOND
        return Frame(at, notices=tuple(FeedNotice(at, kind, subject, detail) for subject in ("ETHUSDT", "BTCUSDT")))

    frames = live_frames(FLAT) + live_frames(FLAT, "ETHUSDT")
    frames += [both(30, DEGRADED, "no marks"), both(70, DEGRADED, "no quotes"), both(130, RESTORED, "all is well")]
    feed = ListedLive(sorted(frames, key=lambda frame: frame.at), ("BTCUSDT", "ETHUSDT"))
    reasons: list[dict[str, str]] = []

    class Watching(Scripted):
        async def decide(self, request: DecisionRequest) -> Decision:
            reasons.append(done.engine.degraded)
            return await super().decide(request)

    done = Run(feed, Watching({}), policy=WAKES, clock=feed.clock, live=True)
    await done.go()
    assert [each.text for each in done.events(events.Incident)] == [
        "market data degraded, BTCUSDT, ETHUSDT: no marks",
        "market data restored, BTCUSDT, ETHUSDT: all is well",
    ]
    assert done.engine.degraded == {}
    assert {"BTCUSDT": "no quotes", "ETHUSDT": "no quotes"} in reasons


async def test_operators_halt_outlasts_the_return_of_the_data() -> None:
    box = Commands()
    done = run([*live_frames([100.0] * 5), notice(30, DEGRADED), notice(200, RESTORED)], {}, box)
    box.put(Command("c1", "halt", "ann"))
    await done.go()
    assert done.engine.account.trading_state is TradingState.HALTED


async def test_silent_market_wakes_once_and_only_reduces() -> None:
    frames = live_frames([100.0, 100.0])
    later = START + 12 * MINUTE
    ticks = [Frame(frames[-1].at + minute * MINUTE) for minute in range(1, 10)]
    done = await run(
        [*frames, *ticks, quoted("BTCUSDT", later, 100.0)], {1: buy("97"), 3: buy("97", symbol="BTCUSDT")}
    ).go()
    texts = [each.text for each in done.events(events.Incident)]
    assert [text.split(" for ")[0].split(" after ")[0] for text in texts] == ["no market data", "market data are back"]
    watchdog = [wake for wake in done.events(events.WakeRaised) if "watchdog" in str(wake.reasons)]
    assert len(watchdog) == 1
    assert states(done) == [TradingState.REDUCING, TradingState.ACTIVE]
    assert all(fill.ref.leg is Purpose.ENTRY for fill in done.events(events.OrderFilled))
    assert len(done.events(events.OrderFilled)) == 1


async def test_late_candles_join_the_history_and_wake_nobody() -> None:
    frames = live_frames([100.0, 100.0])
    late = [Frame(START + 5 * MINUTE, (candle(index, 90.0),), late=True) for index in (2, 3, 4)]
    done = await run([*frames, *late], {}).go()
    assert done.engine.counters.candles == 5
    assert len(done.events(events.WakeRaised)) == 2


async def test_resume_during_an_outage_has_no_effect() -> None:
    box = Commands()

    class ThenResumes(ListedLive):
        async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
            async for frame in super().frames(after):
                yield frame
            box.put(Command("c1", "resume", "ann"))

    feed = ThenResumes([*live_frames([100.0] * 2), notice(150, DEGRADED)])
    done = await Run(feed, Scripted({}), policy=WAKES, clock=feed.clock, live=True, commands=box).go()
    assert box.taken == ["c1"]
    assert states(done) == [TradingState.REDUCING, TradingState.ACTIVE, TradingState.REDUCING]


async def test_refused_marks_do_not_count_as_market_data() -> None:
    frames = live_frames([100.0, 100.0])
    bad = [Frame(at := frames[-1].at + minute * MINUTE, marks=(Mark("BTCUSDT", at, 1e9),)) for minute in range(1, 10)]
    done = await run([*frames, *bad], {}).go()
    assert any(each.text.startswith("no market data for") for each in done.events(events.Incident))


async def test_late_candle_does_not_move_equity_back_from_a_newer_mark() -> None:
    frames = live_frames(FLAT)
    later = START + 6 * MINUTE
    done = await run(
        [*frames, quoted("BTCUSDT", later, 101.0), Frame(later, (candle(4, 99.0),), late=True)], {1: buy("95")}
    ).go()
    assert done.engine.account.ledger.marks["BTCUSDT"] == 101
