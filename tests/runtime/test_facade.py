"""The facade of a running engine."""

from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import OrderIntended, OrderRefused, kind_of
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.steps import Command
from ocw_mcp.domain.time import utc_day
from ocw_mcp.runtime.facade import Facade
from tests.support.facades import BOOK, FacadeRun


@pytest.fixture
def facade(looked: FacadeRun) -> Facade:
    return looked.facade


def leg(action: Action, symbol: str = "BTCUSDT", **fields: Decimal) -> Leg:
    return Leg(symbol, action, **fields)  # type: ignore[arg-type]


def flat_symbol(facade: Facade) -> str:
    """A symbol without a position and without a live order."""
    busy = {each.symbol for each in facade.positions()} | {each.order.symbol for each in facade.orders()}
    return next(symbol for symbol in facade.symbols if symbol not in busy)


def entry(facade: Facade, size: str) -> Leg:
    symbol = flat_symbol(facade)
    last = facade.symbol(symbol).last
    assert isinstance(last, float)
    return leg(Action.BUY, symbol, size=Decimal(size), stop=Decimal(f"{last * 0.98:.2f}"))


def test_a_facade_answer_has_mode_time_price_age_and_source(looked: FacadeRun) -> None:
    moment = looked.facade.moment()
    assert (moment.mode, moment.as_of, moment.age_ms) == ("paper", looked.run.clock.now(), 0)
    assert moment.source.startswith("sim")


def test_answers_before_the_market_begins_are_empty_and_stale(tmp_path: Path) -> None:
    looked = FacadeRun(tmp_path)
    moment = looked.facade.moment()
    assert (moment.as_of, moment.age_ms, moment.stale) == (None, None, True)
    assert looked.facade.status().daily_loss == ZERO
    assert looked.facade.portfolio().daily_loss == ZERO
    assert not looked.facade.candles("BTCUSDT", "1h", 10).rows
    looked.store.close()


def test_a_callers_snapshot_equals_the_snapshot_of_a_wake(looked: FacadeRun) -> None:
    engine, now = looked.run.engine, looked.run.clock.now()
    assert looked.facade.snapshot() == engine.snapshot(now)
    one = looked.facade.snapshot("ethusdt")
    assert one.symbols == {"ETHUSDT": engine.snapshot(now).symbols["ETHUSDT"]}


async def test_a_snapshot_is_cached_until_the_next_engine_step(tmp_path: Path) -> None:
    looked = await FacadeRun(tmp_path).go(1)
    before = looked.facade.snapshot()
    assert looked.facade.snapshot() is before
    looked.run.engine.step(Command("1", "halt", "somebody", 0), looked.run.clock.now())
    assert looked.facade.snapshot().state is TradingState.HALTED
    looked.store.close()


def test_reads_do_not_change_the_engine_state(looked: FacadeRun) -> None:
    before, facade = looked.run.engine.state(), looked.facade
    facade.snapshot()
    facade.check(entry(facade, "0.9"), "somebody")
    facade.check(entry(facade, "0.01"), "somebody")
    facade.status(), facade.portfolio(), facade.policy(), facade.candles("BTCUSDT", "1m", 5)
    assert looked.run.engine.state() == before


def test_candles_come_in_pages_without_a_gap(facade: Facade) -> None:
    newest = facade.candles("BTCUSDT", "15m", 20)
    older = facade.candles("BTCUSDT", "15m", 20, before=newest.rows[0][0])
    assert newest.more
    times = [row[0] for row in older.rows + newest.rows]
    assert [b - a for a, b in pairwise(times)] == [15 * 60_000] * 39


def test_the_last_page_of_candles_says_that_no_older_ones_exist(facade: Facade) -> None:
    assert not facade.candles("BTCUSDT", "4h", 500).more


@pytest.mark.parametrize("symbol", ["DOGEUSDT", "", "BTC", "BTCUSDT; DROP TABLE", "\x00"])
def test_an_unknown_symbol_error_lists_the_known_ones(facade: Facade, symbol: str) -> None:
    with pytest.raises(RequestError, match=r"^UNKNOWN_SYMBOL: .* limit=BTCUSDT,ETHUSDT,SOLUSDT actual="):
        facade.snapshot(symbol)


def test_an_unknown_timeframe_error_lists_the_known_ones(facade: Facade) -> None:
    with pytest.raises(RequestError, match=r"^UNKNOWN_TIMEFRAME: .* limit=1m,5m,15m,1h,4h actual='7m' next: "):
        facade.candles("BTCUSDT", "7m", 5)
    with pytest.raises(RequestError, match=r"limit=15m,1h,4h actual='1m'"):
        facade.indicators("BTCUSDT", "1m")


def test_positions_and_orders_agree_with_the_snapshot(facade: Facade) -> None:
    assert {each.symbol: each for each in facade.positions()} == facade.snapshot().positions
    portfolio = facade.portfolio()
    assert portfolio.equity == portfolio.wallet + sum((each.unrealised for each in facade.positions()), ZERO)


def test_a_check_returns_all_limits_and_the_largest_size(facade: Facade) -> None:
    whole = entry(facade, "1")
    refused = facade.check(whole, "somebody")
    assert refused.refusal is not None
    failing = [each.code for each in refused.limits if not each.passes]
    assert refused.refusal.code is failing[0]
    assert len(refused.limits) >= 18
    assert refused.refusal.largest == refused.largest > 0
    largest = facade.check(whole, "somebody", refused.largest)
    assert largest.refusal is None
    assert all(each.passes for each in largest.limits)


class Asking:
    """Asks the facade about every leg before it decides it, from its third wake on."""

    name = "asking"

    def __init__(self) -> None:
        self.facade: Facade | None = None
        self.told: list[RefusalCode | None] = []

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        assert self.facade is not None
        size = Decimal(("0.02", "0.3", "1")[request.wake_id % 3])
        views = list(request.snapshot.symbols.values())
        view = views[request.wake_id % len(views)]
        stop = Decimal(f"{view.last * 0.98:.2f}") if isinstance(view.last, float) else None
        wanted = Leg(view.symbol, Action.SELL if view.position else Action.BUY, size=size, stop=stop)
        refusal = self.facade.check(wanted, self.name).refusal
        self.told.append(refusal.code if refusal else None)
        return Decision((wanted,))


async def test_a_check_has_the_same_answer_as_the_order(tmp_path: Path) -> None:
    asking = Asking()
    looked = FacadeRun(tmp_path, asking)
    asking.facade = looked.facade
    await looked.go(12)
    placed: list[RefusalCode | None] = []
    for each in looked.store.events_after(0):
        if isinstance(each.event, OrderIntended) and each.event.intent.principal == "asking":
            placed.append(None)
        elif isinstance(each.event, OrderRefused) and each.event.intent.principal == "asking":
            placed.append(each.event.refusal.code)
    looked.store.close()
    assert placed == asking.told
    assert {None, RefusalCode.ORDER_NOTIONAL} < set(placed)


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (leg(Action.BUY), RefusalCode.BAD_SIZE),
        (leg(Action.BUY, size=Decimal("NaN")), RefusalCode.BAD_SIZE),
        (leg(Action.BUY, size=Decimal("0.1"), stop=Decimal(-1)), RefusalCode.STOP_REQUIRED),
        (leg(Action.BUY, size=Decimal("0.1"), limit=Decimal("0.0000001")), RefusalCode.BAD_LIMIT),
    ],
)
def test_an_impossible_leg_is_refused_before_any_limit(facade: Facade, wanted: Leg, code: RefusalCode) -> None:
    symbol = flat_symbol(facade)
    checked = facade.check(msgspec.structs.replace(wanted, symbol=symbol), "somebody")
    assert checked.refusal is not None
    assert (checked.refusal.code, checked.quantity, checked.limits) == (code, ZERO, ())


def test_a_check_of_a_close_needs_a_position_and_sells_all_of_it(facade: Facade) -> None:
    none = facade.check(leg(Action.SELL, flat_symbol(facade)), "somebody")
    assert none.refusal is not None
    assert none.refusal.code is RefusalCode.NO_POSITION
    held = facade.positions()
    assert held, "the run has to end with a position for this test to say anything"
    action = Action.SELL if held[0].quantity > 0 else Action.COVER
    whole = facade.check(leg(action, held[0].symbol), "somebody")
    assert (whole.refusal, whole.quantity) == (None, abs(held[0].quantity))


async def test_trades_come_newest_first_in_pages(facade: Facade) -> None:
    everything = await facade.history.trades(1_000)
    assert everything.found == len(everything.trades) == everything.won + everything.lost > 4
    paged, before = [], None
    while True:
        page = await facade.history.trades(3, before=before)
        paged += page.trades
        if page.next is None:
            break
        before = page.next
    assert paged == everything.trades
    assert [each.closed_at for each in paged] == sorted((each.closed_at for each in paged), reverse=True)


async def test_trades_are_found_by_symbol_outcome_and_time(facade: Facade) -> None:
    everything = (await facade.history.trades(1_000)).trades
    lost = await facade.history.trades(1_000, symbol="BTCUSDT", outcome="lost")
    assert lost.trades == [each for each in everything if each.symbol == "BTCUSDT" and each.pnl < 0]
    assert lost.pnl == sum((each.pnl for each in lost.trades), ZERO)
    middle = everything[len(everything) // 2].closed_at
    late = await facade.history.trades(1_000, since=middle)
    early = await facade.history.trades(1_000, until=middle)
    assert late.trades + early.trades == everything


async def test_orders_and_refusals_come_in_pages(facade: Facade) -> None:
    first = await facade.history.orders(5)
    second = await facade.history.orders(5, first.next)
    ten = await facade.history.orders(10)
    assert [each.name for each in first.rows + second.rows] == [each.name for each in ten.rows]
    refused = await facade.history.refusals(4)
    more = await facade.history.refusals(4, refused.next)
    assert len({each.id for each in refused.rows + more.rows}) == 8


async def test_a_day_of_the_journal_has_all_its_events_and_no_others(looked: FacadeRun) -> None:
    facade, began = looked.facade, looked.run.engine.counters.began_at
    assert began is not None
    day = utc_day(began)
    events, after = [], None
    while True:
        page = await facade.history.day(day, (), 50, after)
        events += page.events
        if page.next is None:
            break
        after = page.next
    assert len(events) == page.total
    there = [each for each in looked.store.all_events() if utc_day(each[0]) == day]
    assert [each.at for each in events] == [at for at, _ in there]


async def test_events_of_a_day_are_filtered_by_kind(facade: Facade) -> None:
    page = await facade.history.day(None, ("order", "position.closed"), 500)
    assert page.events
    assert all(kind_of(each.event).startswith(("order.", "position.closed")) for each in page.events)


async def test_a_day_without_events_is_empty(facade: Facade) -> None:
    for day in ("1999-01-01", "2199-01-01"):
        assert (await facade.history.day(day, (), 10)).events == []


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-02-30", "1", "9" * 50])
async def test_an_invalid_day_is_refused(facade: Facade, day: str) -> None:
    with pytest.raises(RequestError, match=r"^BAD_DAY: .* next: write the day"):
        await facade.history.day(day, (), 10)


async def test_a_story_without_an_id_is_of_the_newest_wake_with_orders(facade: Facade) -> None:
    newest = await facade.history.story(None)
    assert newest.answer is not None
    assert await facade.history.story(f"wake:{newest.wake_id}") == msgspec.structs.replace(
        newest, asked=f"wake:{newest.wake_id}"
    )
    with pytest.raises(RequestError, match=r"^UNKNOWN_ID: 'order:99999' is no id of this book\. limit=it has wake:1"):
        await facade.history.story("order:99999")


async def test_an_unreadable_store_is_a_request_error(facade: Facade, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"^UNREADABLE: "):
        await type(facade.history)(tmp_path / "nothing").orders(5)


def test_status_names_the_book_and_its_version(facade: Facade) -> None:
    status = facade.status()
    assert (status.book, status.version, status.interval) == (BOOK, "1.2.3", "1m")
    assert status.open_positions == len(facade.positions())
    assert facade.moment().state in TradingState


def test_each_code_of_a_request_error_has_a_meaning() -> None:
    assert all(code.meaning for code in RequestCode)


def test_limit_usage_names_keys_of_the_policy_file(facade: Facade) -> None:
    view = facade.policy()
    assert {row["name"] for row in view.limit_usage} <= {name for name, _ in view.limits}
