"""Requirement cards on a whole book at the exchange: a fault at an exact moment, and what must be left afterwards."""

from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Unanswered
from ocw_mcp.adapters.venues.binance.reports import Reports
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import Filled, OrderRef, OutsideCause, Purpose, RejectReason
from ocw_mcp.domain.state import TradingState
from ocw_mcp.sandbox.binance.account import algos
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.state import State
from tests.support.deaths import Kill
from tests.support.exchange_books import BOOK, Outcome
from tests.support.exchange_stories import BTC, FIRST, play
from tests.support.sandbox_books import BEGIN, ByMinute, fault

ENTERS = {2: (Action.BUY, 0.015)}
ENTRY = OrderRef(1, Purpose.ENTRY)
DIPS = FIRST, FIRST, FIRST, 89_900, 90_500
"""The price comes to the limit of an entry for some seconds only, around the beginning of minute 4."""
THIN = range(3, 8)
"""The minutes in which a market is thin."""
ORDERS, ALGOS = "/fapi/v1/order", "/fapi/v1/algoOrder"


def account(outcome: Outcome) -> State:
    """Return the account at the exchange as it was at the end."""
    api = outcome.exchange.exchange.account
    assert isinstance(api, FuturesApi)
    return api.account.state


def held(outcome: Outcome) -> Decimal:
    return account(outcome).position(BTC).quantity


def stops(outcome: Outcome) -> int:
    """Return the number of stops that wait at the exchange."""
    return sum(each.type == "STOP_MARKET" for each in account(outcome).waiting.values())


def lost(path: str, lasts: str = "8s", at_s: float = 118, **more: Any) -> Any:
    """Return a fault that leaves new orders of a path without an answer when the book enters."""
    return fault("order_drop", at_s, lasts=lasts, path=path, method="POST", **more)


def lost_moves(method: str, at_s: float = 239.9, **more: Any) -> Any:
    """Return a fault of the requests of stops, such as those that move the trailing stop in minute 4."""
    return fault("order_error", at_s, path=ALGOS, method=method, **more)


def enters_at_a_limit(expires_s: int) -> ByMinute:
    """Return a decider that buys at a limit in minute 2."""
    leg = Leg(BTC, Action.BUY, size="0.1", stop="88650", limit="89950", limit_expires_s=expires_s)
    return ByMinute({2: Decision((leg,))})


def protected(outcome: Outcome) -> None:
    """Assert that the book holds its position under one stop, and that no oracle has found anything."""
    assert outcome.problems() == []
    assert held(outcome) > 0
    assert stops(outcome) == 1


def seconds(outcome: Outcome, kind: type) -> list[float]:
    return [(at - BEGIN) / 1_000 for at, event in outcome.journal if isinstance(event, kind)]


def test_entry_at_the_exchange_is_filled_and_gets_its_stop() -> None:
    protected(play(ENTERS))


@pytest.mark.requirement("E01")
def test_entry_whose_answer_was_lost_is_found_and_protected() -> None:
    outcome = play(ENTERS, faults=[lost(ORDERS, executed=True)])
    protected(outcome)
    assert len(outcome.record.trades) == 1


@pytest.mark.requirement("E02")
def test_entry_that_never_arrived_is_rejected_and_not_sent_again() -> None:
    outcome = play(ENTERS, faults=[lost(ORDERS)])
    assert outcome.problems() == []
    assert outcome.record.arrivals == []
    (rejected,) = outcome.events(events.OrderRejected)
    assert rejected.ref == ENTRY


@pytest.mark.requirement("E03")
def test_order_that_appears_ninety_seconds_later_is_adopted() -> None:
    unknown = fault(
        "order_error", 118, lasts="8s", path=ORDERS, method="POST", answer="timeout", executed=True, by="90s"
    )
    outcome = play(ENTERS, faults=[unknown])
    protected(outcome)
    assert seconds(outcome, events.OrderUnknown)[0] < 130
    assert seconds(outcome, events.OrderFilled)[0] > 120 + 90


@pytest.mark.requirement("P04")
@pytest.mark.parametrize("kind", ["mute", "duplicate", "reorder"])
def test_trade_events_that_are_lost_or_repeated_change_nothing(kind: str) -> None:
    faulty = fault(kind, 100, lasts="4m", stream="user@*")
    outcome = play({2: (Action.BUY, 0.03), 3: (Action.ADD, 0.03), 4: (Action.REDUCE, 0.03)}, faults=[faulty])
    protected(outcome)
    assert len(outcome.record.trades) == 3


@pytest.mark.requirement("P01")
def test_stop_of_an_entry_cancelled_half_way_covers_what_filled() -> None:
    outcome = play({}, DIPS, decider=lambda: enters_at_a_limit(150), thin=THIN)
    protected(outcome)
    (intended,) = (each for each in outcome.events(events.OrderIntended) if each.ref == ENTRY)
    filled = sum(each.quantity for each in outcome.events(events.OrderFilled))
    assert 0 < held(outcome) == filled < intended.intent.quantity
    assert account(outcome).open == {}
    assert [each.close_position for each in account(outcome).waiting.values()] == [True]


@pytest.mark.requirement("P02")
def test_fill_that_is_reported_after_the_cancellation_counts() -> None:
    late = fault("delay", 235, lasts="5800ms", by="30s", stream="user@*")
    outcome = play(
        {},
        DIPS,
        decider=lambda: enters_at_a_limit(3_600),
        thin=THIN,
        faults=[late, fault("owner_cancel", 241, symbol=BTC)],
    )
    protected(outcome)
    assert len(outcome.record.trades) == 3
    assert outcome.exchange.plan.applied["delay"] > 0
    cancelled, filled = seconds(outcome, events.OrderCanceled)[0], seconds(outcome, events.OrderFilled)[0]
    assert (outcome.record.trades[-1].at - BEGIN) / 1_000 < 241 < cancelled < filled
    # The stop that was accepted while the account was read is not taken for a lost one.
    assert sum(each.reduces for each in outcome.record.arrivals) == 1


@pytest.mark.requirement("S01")
def test_position_whose_stop_would_trigger_at_once_is_closed() -> None:
    late = lost(ORDERS, executed=True, by="50s")
    outcome = play({2: (Action.BUY, 0.004)}, [FIRST, FIRST, FIRST * 0.98, FIRST * 0.98], faults=[late])
    assert outcome.problems(notice_ms=30_000) == []
    assert held(outcome) == 0
    assert stops(outcome) == 0
    assert len(outcome.record.trades) == 2


@pytest.mark.requirement("S02")
def test_stop_whose_answer_was_lost_is_found_and_no_second_one_sent() -> None:
    outcome = play(ENTERS, faults=[lost(ALGOS, executed=True)])
    protected(outcome)
    assert sum(each.reduces for each in outcome.record.arrivals) == 1
    assert outcome.events(events.PositionProtected)


def test_stop_that_never_arrived_is_replaced_before_the_deadline() -> None:
    outcome = play(ENTERS, faults=[lost(ALGOS, "4s")])
    protected(outcome)
    unprotected, safe = seconds(outcome, events.PositionUnprotected)[0], seconds(outcome, events.PositionProtected)[0]
    assert safe < unprotected + 5


def test_restart_beyond_the_deadline_places_the_stop_instead_of_selling() -> None:
    refused = lost_moves("POST", answer="late", at_s=118, lasts="40s")
    outcome = play(ENTERS, faults=[refused], kills=[Kill(125, 1, 60)], minutes=5)
    protected(outcome)
    assert len(outcome.record.trades) == 1


@pytest.mark.requirement("S03", "A03")
def test_stop_that_the_owner_cancelled_is_put_back_between_wakes() -> None:
    outcome = play(ENTERS, faults=[fault("owner_cancel", 200, symbol=BTC)])
    protected(outcome)
    first, again = (each.at for each in outcome.record.arrivals if each.reduces)
    assert first < BEGIN + 130_000
    assert BEGIN + 200_000 < again < BEGIN + 210_000
    assert not any(200 < at < 210 for at in seconds(outcome, events.WakeRaised))


@pytest.mark.requirement("S04")
def test_stop_that_fills_in_parts_closes_the_position_once() -> None:
    outcome = play(ENTERS, [FIRST, FIRST, FIRST, FIRST * 0.97], thin=THIN)
    assert outcome.problems() == []
    assert held(outcome) == stops(outcome) == 0
    entry, *parts = outcome.record.trades
    assert len(parts) > 1
    assert {each.client_id for each in parts} == {f"ocw-{BOOK}-1-s-0"}
    assert sum(each.quantity for each in parts) == entry.quantity
    assert len(outcome.events(events.PositionClosed)) == 1


@pytest.mark.requirement("S06")
def test_position_at_the_limit_of_stops_is_unprotected_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algos, "MOST_LIVE", 0)
    outcome = play(ENTERS)
    assert outcome.problems() == []
    assert held(outcome) == stops(outcome) == 0
    assert {each.reason for each in outcome.events(events.OrderRejected)} == {RejectReason.TOO_MANY_STOPS}
    assert outcome.events(events.PositionProtected) == []
    (unprotected,), (closed,) = seconds(outcome, events.PositionUnprotected), seconds(outcome, events.PositionClosed)
    assert unprotected < closed < unprotected + outcome.plan.policy.stop.deadline_s + 1


MOVES = {2: (Action.BUY, 0.04), 3: (Action.PROTECT, 0.03), 4: (Action.PROTECT, 0.02)}


@pytest.mark.requirement("S07")
def test_trailing_stop_that_cannot_be_placed_leaves_the_old_one() -> None:
    outcome = play(MOVES, minutes=7, faults=[lost_moves("POST", answer="unavailable", lasts="20s")])
    assert outcome.problems() == []
    assert outcome.events(events.OrderRejected)
    assert held(outcome) > 0
    wide, tight = sorted(each.trigger for each in account(outcome).waiting.values())
    assert (wide, tight) == (Decimal(86_400), Decimal(89_100))
    assert not any(each.naked for each in outcome.record.standings[2:] if each.position)


@pytest.mark.requirement("S07")
def test_trailing_stop_whose_cancel_finds_no_order_is_not_kept() -> None:
    outcome = play(MOVES, minutes=7, faults=[lost_moves("DELETE", answer="unknown", lasts="750ms", executed=True)])
    assert outcome.problems() == []
    assert held(outcome) > 0
    assert sorted(each.trigger for each in account(outcome).waiting.values()) == [86_400, 89_100]
    assert outcome.exchange.requests["/fapi/v1/algoOrder 400"] > 0


@pytest.mark.requirement("R03")
def test_position_query_that_fails_does_not_mean_flat() -> None:
    fails = fault("error", 150, lasts="150s", path="/fapi/v3/positionRisk", status=503, code=-1000, msg="Unknown error")
    outcome = play(ENTERS, faults=[fails])
    protected(outcome)
    assert outcome.events(events.OutsideFilled) == []
    assert outcome.exchange.plan.applied["error"] > 0


@pytest.mark.requirement("L02")
def test_stop_at_the_exchange_protects_during_a_ban() -> None:
    banned = fault("ban", 150, lasts="2m")
    outcome = play(ENTERS, [FIRST, FIRST, FIRST, FIRST * 0.95], faults=[banned])
    assert outcome.problems(converges_ms=150_000) == []
    assert held(outcome) == 0
    assert [each.at < BEGIN + 270_000 for each in outcome.record.trades] == [True, True]


@pytest.mark.requirement("X01")
def test_position_that_the_owner_closed_is_closed_in_the_book() -> None:
    outcome = play(ENTERS, faults=[fault("owner_close", 200, symbol=BTC)])
    assert outcome.problems() == []
    assert held(outcome) == stops(outcome) == 0
    assert len(outcome.events(events.OutsideFilled)) == 1


@pytest.mark.requirement("X02")
def test_liquidation_is_booked_and_explained() -> None:
    outage = fault("order_error", 195, lasts="150s", answer="unavailable")
    outcome = play(
        ENTERS,
        [FIRST, FIRST, FIRST, FIRST, FIRST * 0.4],
        minutes=7,
        faults=[outage, fault("owner_cancel", 200, symbol=BTC)],
    )
    assert outcome.problems() == []
    assert held(outcome) == stops(outcome) == 0
    (liquidated,) = outcome.events(events.OutsideFilled)
    assert (liquidated.cause, liquidated.position) == (OutsideCause.LIQUIDATION, 0)
    assert any("liquidation" in each.text for each in outcome.events(events.Incident))
    assert outcome.run.engine.account.trading_state is TradingState.HALTED


@pytest.mark.requirement("X04")
def test_foreign_order_on_the_symbol_is_not_touched() -> None:
    theirs = fault("owner_order", 150, symbol=BTC, side="BUY", quantity="0.01", price="85000")
    outcome = play(ENTERS, faults=[theirs])
    protected(outcome)
    (foreign,) = account(outcome).open.values()
    assert foreign.client_id.startswith("web_")


@pytest.mark.requirement("K01")
def test_flatten_leaves_no_position_and_no_order() -> None:
    outcome = play(ENTERS, commands=[(200, "flatten")])
    assert outcome.problems() == []
    assert held(outcome) == 0
    assert len(outcome.record.trades) == 2
    assert account(outcome).open == {}
    assert account(outcome).waiting == {}


@pytest.mark.requirement("K02")
def test_flatten_while_orders_are_unanswered_leaves_the_stop() -> None:
    outage = fault("order_error", 195, lasts="100s", answer="unavailable")
    outcome = play(ENTERS, faults=[outage], commands=[(200, "flatten")])
    assert outcome.problems() == []
    assert held(outcome) == stops(outcome) == 0
    (taken,) = seconds(outcome, events.CommandTaken)
    assert taken < 295 < (outcome.record.trades[-1].at - BEGIN) / 1_000
    covered = [each for each in outcome.record.standings if each.position]
    assert not any(each.naked for each in covered[1:]), "the stop stayed until the position was closed"


@pytest.mark.requirement("K04")
def test_halt_leaves_the_stop_and_the_position() -> None:
    protected(play(ENTERS, commands=[(200, "halt")]))


@pytest.mark.requirement("M05")
def test_account_that_may_only_reduce_puts_the_book_into_reducing() -> None:
    script = ENTERS | {3: (Action.ADD, 0.015), 4: (Action.ADD, 0.015), 5: (Action.SELL, 0.015)}
    only = fault("order_error", 178, lasts="8s", answer="reductions_only")
    outcome = play(script, minutes=7, faults=[only])
    assert outcome.problems() == []
    (changed,) = outcome.events(events.StateChanged)
    assert (changed.after, "-4400" in changed.why) == (TradingState.REDUCING, True)
    (rejected,) = outcome.events(events.OrderRejected)
    assert rejected.reason is RejectReason.ONLY_REDUCTIONS
    # The second addition is not sent, and the exit is.
    assert len(outcome.record.trades) == 2
    assert held(outcome) == 0


@pytest.mark.requirement("E05")
@pytest.mark.parametrize(
    "touches", [2, 4, 6, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 3, 5, 7, 8, 9, 10))]
)
def test_book_killed_around_its_entry_ends_protected(touches: int) -> None:
    outcome = play(ENTERS, kills=[Kill(119.5, touches, 5)])
    assert outcome.problems() == []
    assert (held(outcome) == 0) == (stops(outcome) == 0)


@pytest.mark.requirement("X05")
def test_funding_is_booked_once_although_the_book_is_killed_after_it() -> None:
    settled = 8 * 60
    outcome = play(
        {settled - 3: (Action.BUY, 0.015)},
        (FIRST,),
        minutes=settled + 4,
        kills=[Kill(60 * settled + 20, 1, 5), Kill(60 * settled + 90, 1, 5)],
        begins_s=60 * (settled - 4) + 30,
    )
    assert outcome.problems() == []
    assert outcome.kills == 2
    (paid,) = outcome.events(events.FundingBooked)
    assert paid.amount == next(each.amount for each in outcome.record.changes if each.kind == "FUNDING_FEE")


@pytest.mark.requirement("E09")
def test_adapter_that_sends_an_order_again_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    call = SignedClient.call

    async def blind(self: SignedClient, method: str, path: str, *more: Any, **options: Any) -> bytes:
        try:
            return await call(self, method, path, *more, **options)
        except Unanswered:
            if (method, path) != ("POST", ORDERS):
                raise
            return await call(self, method, path, *more, **options)

    monkeypatch.setattr(SignedClient, "call", blind)
    twice, _ = play(ENTERS, faults=[lost(ORDERS, executed=True)]).problems()
    assert "reached the venue 2 times" in twice


def test_adapter_that_loses_fills_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Reports.add
    monkeypatch.setattr(Reports, "add", lambda self, report: isinstance(report, Filled) or add(self, report))
    problems = " ".join(play(ENTERS).problems())
    # The reconciliation finds the position and books it, but the trades themselves stay missing.
    assert "is missing in the journal" in problems
    assert "is in the journal 1 times, at the venue 0 times" in problems
