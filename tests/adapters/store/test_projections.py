"""Projections are what the events say, however they were committed, and can be made again at any time."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.projections import TABLES
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.figures import ClosedTrade, DecisionCounts, JournalFigures, WakeEntry
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import RefusalCode
from tests.adapters.store.books import DOMAIN_EVENTS, ENTRY, FUNDED, STORY, filled, intended, open_book, refused, tell
from tests.support.wakes import reason


def tables(store: SqliteStore) -> dict[str, list[dict[str, Any]]]:
    return {
        name: list(store._db.query(f"SELECT * FROM {name} ORDER BY {order}")) for name, (_, order) in TABLES.items()
    }


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(DOMAIN_EVENTS, max_size=8), max_size=4))
def test_projections_equal_a_rebuild_whatever_happened(commits: list[list[DomainEvent]]) -> None:
    with TemporaryDirectory() as directory, closing(open_book(Path(directory))) as store:
        for story in commits:
            tell(store, tuple(story))
        assert store.verify().problems == []
        grown = tables(store)
        store.rebuild()
        assert tables(store) == grown


def test_an_order_is_followed_from_its_intent_to_its_last_fill(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        (order,) = tables(store)["orders"]
        assert order["client_id"] == f"ocw-{store.book}-1-e-0"
        assert (order["state"], order["purpose"], order["venue_order_id"]) == ("filled", "entry", "v1")
        assert (order["filled"], order["average_price"], order["fees"]) == ("0.03", "60002.5", "0.72")
        assert (order["intended_at"], order["updated_at"]) == (4, 7)


@pytest.mark.parametrize(
    ("story", "state"),
    [
        ((intended(),), "intended"),
        ((intended(), events.OrderRejected(ENTRY, "-2019", "margin")), "rejected"),
        ((intended(), events.OrderUnknown(ENTRY, "timeout")), "unknown"),
        ((intended(), events.OrderUnknown(ENTRY, "timeout"), events.OrderAccepted(ENTRY, "v")), "accepted"),
        ((intended(), filled()), "partially_filled"),
        ((intended(), filled(), events.OrderAccepted(ENTRY, "late")), "partially_filled"),
        ((intended(), events.OrderAccepted(ENTRY, "v"), events.OrderCancelRequested(ENTRY, "x")), "cancel_requested"),
        ((intended(), filled(), events.OrderCanceled(ENTRY, "x")), "canceled"),
        ((intended(), events.OrderCanceled(ENTRY, "x"), filled()), "canceled"),
        ((intended(), events.OrderCanceled(ENTRY, "x"), filled(quantity="0.03")), "filled"),
        ((intended(), filled(quantity="0.03"), events.OrderCanceled(ENTRY, "echo")), "filled"),
    ],
)
def test_the_state_of_an_order_is_a_plain_word(tmp_path: Path, story: tuple[DomainEvent, ...], state: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, story)
        assert [order["state"] for order in tables(store)["orders"]] == [state]


def test_what_was_decided_refused_earned_and_opened_has_its_table(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY, FUNDED))
        made = tables(store)
    assert [(row["decider"], row["legs"], row["thinking_ms"]) for row in made["decisions"]] == [("rules", 1, 0)]
    assert [(row["code"], row["limit"], row["largest"]) for row in made["refusals"]] == [("NOT_ACTIVE", "1", "0.5")]
    (trade,) = made["trades"]
    assert (trade["symbol"], trade["pnl"], trade["fees"], trade["funding"]) == ("BTCUSDT", "-1.2", "0.72", "-0.18")
    (funding,) = made["funding"]
    assert (funding["symbol"], funding["amount"], funding["rate"], funding["assumed"]) == (
        "BTCUSDT",
        "-0.18",
        "0.0001",
        1,
    )
    assert [(row["day"], row["equity"]) for row in made["days"]] == [("2026-03-09", "10000")]
    assert [row["quantity"] for row in made["fills"]] == ["0.01", "0.02"]


def test_figures_are_counted_from_what_is_committed(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY, FUNDED, refused(), refused(RefusalCode.NO_PRICE)))
        store.append(99, refused())
        assert store.figures() == JournalFigures(
            wakes=[
                WakeEntry(2, "BTCUSDT", (reason("outlier:15m z=+4.10"), reason("close:1h"))),
                WakeEntry(2, None, (reason("timer"),)),
            ],
            decisions=1,
            orders=1,
            fills=2,
            refusals={"NO_PRICE": 1, "NOT_ACTIVE": 2},
            holes=1,
            fees=Decimal("0.72"),
            funding=Decimal("-0.18"),
            day_equities=[("2026-03-09", Decimal(10_000))],
            decided=DecisionCounts({"rules": 1}),
            trades=[ClosedTrade("BTCUSDT", 5, 10, Decimal("-1.2"), "rules")],
        )


def test_who_decided_is_counted_with_why_the_rules_did_in_an_agents_place(tmp_path: Path) -> None:
    causes = [
        ("claude", None),
        ("claude", CauseKind.MODEL_HOLDS),
        ("claude", CauseKind.REMEMBERED),
        ("rules", CauseKind.SERVER),
        ("rules", CauseKind.BREAKER),
        ("rules", CauseKind.BREAKER),
        ("rules", CauseKind.DEADLINE),
    ]
    given = [(decider, None if kind is None else Cause(kind, "why")) for decider, kind in causes]
    made = [events.DecisionMade(n, decider, 0, Decision(cause=cause)) for n, (decider, cause) in enumerate(given)]
    with closing(open_book(tmp_path)) as store:
        tell(store, tuple(made))
        assert store.figures().decided == DecisionCounts({"claude": 2}, 1, {"BREAKER": 2, "SERVER": 1, "DEADLINE": 1})


def test_an_absurd_amount_does_not_keep_the_journal_from_writing(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (intended(quantity="0"), filled(quantity="0"), filled(quantity="NaN"), filled(price="Infinity")))
        assert store.last_seq == 4
        assert store.verify().ok


def test_projections_of_another_version_are_rebuilt_on_opening(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        made = tables(store)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw, raw:
        raw.execute("PRAGMA user_version = 0")
        raw.execute("DROP TABLE orders")
    with closing(open_book(tmp_path)) as store:
        assert tables(store) == made


def test_gaps_without_a_stop_are_counted_from_the_journal(tmp_path: Path) -> None:
    stop = OrderRef(1, Purpose.STOP)
    told: list[tuple[int, events.DomainEvent]] = [
        (10, events.PositionUnprotected("BTCUSDT", 40)),
        (10, events.PositionProtected("BTCUSDT", stop, Decimal(95))),
        (50, events.PositionUnprotected("BTCUSDT", 80)),
        (55, events.PositionUnprotected("ETHUSDT", 85)),
        (60, events.PositionProtected("BTCUSDT", stop, Decimal(95))),
    ]
    with closing(open_book(tmp_path)) as store:
        for at, event in told:
            store.append(at, event)
        store.commit()
        assert store.figures().unprotected == [(50, 60), (55, None)]
