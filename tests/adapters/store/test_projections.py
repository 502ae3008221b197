"""Projections follow from the events, for any grouping into commits, and can be rebuilt at any time."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from ocw_mcp.adapters.store.projections import TABLES
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.orders import find_orders
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Decision
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.figures import ClosedTrade, DecisionCounts, JournalFigures, WakeEntry
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.store.books import DOMAIN_EVENTS, ENTRY, FUNDED, STORY, filled, intended, open_book, refused, tell
from tests.support.examples import examples
from tests.support.wakes import reason

ASKED = (intended(), events.OrderAccepted(ENTRY, "v"), events.OrderCancelRequested(ENTRY, "x"))


def tables(directory: Path) -> dict[str, list[dict[str, Any]]]:
    def rows(db: Database, _book: object) -> dict[str, list[dict[str, Any]]]:
        return {name: list(db.query(f"SELECT * FROM {name} ORDER BY rowid")) for name in TABLES}

    return ask_book(directory, rows)


@examples(4, slow=20)
@given(st.lists(st.lists(DOMAIN_EVENTS, max_size=8), max_size=4))
def test_projections_equal_those_rebuilt_from_the_events(commits: list[list[DomainEvent]]) -> None:
    with TemporaryDirectory() as directory, closing(open_book(Path(directory))) as store:
        for story in commits:
            tell(store, tuple(story))
        assert store.verify().problems == []
        grown = tables(Path(directory))
        store.rebuild()
        assert tables(Path(directory)) == grown


def test_order_projection_sums_all_fills_of_an_order(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        (order,) = tables(tmp_path)["orders"]
        assert order["client_id"] == f"ocw-{store.book}-1-e-0"
        assert (order["state"], order["purpose"], order["venue_order_ids"]) == ("filled", "entry", '["v1"]')
        assert (order["filled"], order["average_price"], order["fees"]) == ("0.03", "60002.5", "0.72")
        assert (order["intended_at"], order["updated_at"]) == (4, 7)


@pytest.mark.parametrize(
    ("story", "state"),
    [
        ((intended(),), "intended"),
        ((intended(), events.OrderRejected(ENTRY, RejectReason.INSUFFICIENT_MARGIN, "margin")), "rejected"),
        ((intended(), events.OrderUnknown(ENTRY, "timeout")), "unknown"),
        ((intended(), events.OrderUnknown(ENTRY, "timeout"), events.OrderAccepted(ENTRY, "v")), "accepted"),
        ((intended(), filled()), "partially_filled"),
        ((intended(), filled(), events.OrderAccepted(ENTRY, "late")), "partially_filled"),
        (ASKED, "cancel_requested"),
        ((*ASKED, events.OrderCancelRefused(ENTRY, "x")), "accepted"),
        ((*ASKED, filled(), events.OrderCancelRefused(ENTRY, "x")), "partially_filled"),
        ((*ASKED, events.OrderTriggered(ENTRY, "w")), "cancel_requested"),
        ((*ASKED, events.OrderTriggered(ENTRY, "w"), events.OrderCancelRefused(ENTRY, "x")), "triggered"),
        ((*ASKED, events.OrderCanceled(ENTRY, "x"), events.OrderCancelRefused(ENTRY, "x")), "canceled"),
        (
            (intended(), events.OrderCancelRequested(ENTRY, "x"), events.OrderCancelRefused(ENTRY, "unknown")),
            "intended",
        ),
        ((intended(), events.OrderTriggered(ENTRY, "w")), "triggered"),
        ((intended(), events.OrderTriggered(ENTRY, "w"), filled()), "partially_filled"),
        ((intended(), filled(), events.OrderTriggered(ENTRY, "w")), "partially_filled"),
        ((intended(), filled(), events.OrderCanceled(ENTRY, "x")), "canceled"),
        ((intended(), events.OrderCanceled(ENTRY, "x"), filled()), "canceled"),
        ((intended(), events.OrderCanceled(ENTRY, "x"), filled(quantity="0.03")), "filled"),
        ((intended(), filled(quantity="0.03"), events.OrderCanceled(ENTRY, "echo")), "filled"),
    ],
)
def test_order_state_follows_from_its_events(tmp_path: Path, story: tuple[DomainEvent, ...], state: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, story)
        assert [order["state"] for order in tables(tmp_path)["orders"]] == [state]


def test_orders_are_shown_with_every_id_of_the_venue(tmp_path: Path) -> None:
    ids = (
        events.OrderAccepted(ENTRY, "list-1"),
        events.OrderAccepted(ENTRY, '2"\u20ac'),
        events.OrderTriggered(ENTRY, "3"),
    )
    with closing(open_book(tmp_path)) as store:
        tell(store, (intended(), *ids))
        orders = ask_book(tmp_path, lambda db, _: find_orders(db, 9)).orders
    assert [(each.status, each.venue_order_ids) for each in orders] == [("triggered", ["list-1", '2"\u20ac', "3"])]


def test_rejected_order_is_shown_with_its_reason(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (intended(), events.OrderRejected(ENTRY, RejectReason.WOULD_TAKE, "no")))
        (order,) = ask_book(tmp_path, lambda db, _: find_orders(db, 9, finished=True)).orders
    assert (order.status, order.rejection) == ("rejected", "WOULD_TAKE")


def test_charged_asset_of_a_fee_is_kept_with_its_fill(tmp_path: Path) -> None:
    fill = msgspec.structs.replace(filled(), fee_asset="BNB", fee_amount=Decimal("0.0004"))
    with closing(open_book(tmp_path)) as store:
        tell(store, (intended(), fill))
        (row,) = tables(tmp_path)["fills"]
    assert (row["fee_asset"], row["fee_amount"], row["base_fee"]) == ("BNB", "0.0004", "0")


def test_events_fill_tables_of_decisions_refusals_trades_and_days(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY, FUNDED))
        made = tables(tmp_path)
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


def test_report_figures_include_only_committed_events(tmp_path: Path) -> None:
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


def test_decisions_are_counted_by_decider_and_fallback_cause(tmp_path: Path) -> None:
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


def test_journal_accepts_fills_of_zero_nan_and_infinity(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, (intended(quantity="0"), filled(quantity="0"), filled(quantity="NaN"), filled(price="Infinity")))
        assert store.last_seq == 4
        assert store.verify().ok


def test_projections_of_another_version_are_rebuilt(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
        made = tables(tmp_path)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw, raw:
        raw.execute("PRAGMA user_version = 0")
        raw.execute("DROP TABLE orders")
    with closing(open_book(tmp_path)) as store:
        assert tables(tmp_path) == made


def test_periods_without_a_stop_are_found_in_the_journal(tmp_path: Path) -> None:
    stop = OrderRef(1, Purpose.STOP)
    events_at: list[tuple[int, events.DomainEvent]] = [
        (10, events.PositionUnprotected("BTCUSDT", 40)),
        (10, events.PositionProtected("BTCUSDT", stop, Decimal(95))),
        (50, events.PositionUnprotected("BTCUSDT", 80)),
        (55, events.PositionUnprotected("ETHUSDT", 85)),
        (60, events.PositionProtected("BTCUSDT", stop, Decimal(95))),
    ]
    with closing(open_book(tmp_path)) as store:
        for at, event in events_at:
            store.append(at, event)
        store.commit()
        assert store.figures().unprotected == [(10, 10), (50, 60), (55, None)]
