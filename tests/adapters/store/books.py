"""Books for the tests of the store: a stamp, a story of events, and strategies for Hypothesis."""

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import BookStamp, peek_book
from ocw_mcp.adapters.store.database import JOURNAL, connect_to_write
from ocw_mcp.adapters.store.journal import SqliteStore
from ocw_mcp.adapters.store.projections import register_functions
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.market import MarketIdentity, Product
from ocw_mcp.domain.orders import OrderIntent, OrderRef, OrderType, Purpose, Side
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.snapshot import SymbolWake, WakeKind, WakeReason
from ocw_mcp.domain.state import Mode
from tests.support.wakes import wake

MARKET = MarketIdentity("tape", Product.UM, 60_000, ("BTCUSDT", "ETHUSDT"), "5a0b")
STAMP = BookStamp(Mode.PAPER, "paper", "main", Product.UM, MARKET)

ENTRY = OrderRef(1, Purpose.ENTRY)


BOOK = "b00k07"


def open_book(directory: Path, book: str = BOOK, stamp: BookStamp = STAMP) -> SqliteStore:
    """Open the book of a directory, or create it."""
    return SqliteStore.open(directory, stamp, book_id=book, created_at=1_000)


def open_with_connection(directory: Path) -> tuple[SqliteStore, Database]:
    """Open the book of a directory, or create it; return it with the connection that it writes to."""
    open_book(directory).close()
    db = connect_to_write(directory / JOURNAL)
    register_functions(db)
    return SqliteStore(db, peek_book(directory)), db


def alter(directory: Path, statement: str) -> None:
    """Change the journal of a directory with another connection."""
    with closing(sqlite3.connect(directory / JOURNAL)) as raw, raw:
        raw.execute(statement)


def intended(ref: OrderRef = ENTRY, quantity: str = "0.030") -> events.OrderIntended:
    """Return the intent of an order for BTCUSDT."""
    intent = OrderIntent(
        f"key-{ref}",
        "rules",
        "BTCUSDT",
        Side.BUY,
        OrderType.MARKET,
        ref.leg,
        Decimal(quantity),
        protect_at=Decimal("59000.10"),
        wake_id=1,
    )
    return events.OrderIntended(ref, intent, "policy")


def filled(ref: OrderRef = ENTRY, quantity: str = "0.010", price: str = "60000.5", fee: str = "0.24") -> DomainEvent:
    """Return a fill of an order for BTCUSDT."""
    size = Decimal(quantity)
    return events.OrderFilled(
        ref, f"f-{ref}", "BTCUSDT", "buy", size, Decimal(price), Decimal(fee), 5, False, Decimal(0), size
    )


def refused(code: RefusalCode = RefusalCode.NOT_ACTIVE) -> events.OrderRefused:
    """Return the refusal of an order."""
    return events.OrderRefused(intended().intent, Refusal(code, "1", "2.50", Decimal("0.5")), "policy")


FUNDED = events.FundingBooked(
    "BTCUSDT", Decimal("-0.18"), Decimal("0.0001"), Decimal("0.03"), Decimal(60_000), 28_800_000, assumed=True
)

STORY: tuple[DomainEvent, ...] = (
    events.DayOpened("2026-03-09", Decimal("10000.00")),
    events.WakeRaised(1, (wake("BTCUSDT", "outlier:15m z=+4.10", "close:1h"), wake(None, "timer"))),
    events.DecisionMade(1, "rules", 0, Decision((Leg("BTCUSDT", Action.BUY, Decimal("0.1"), confidence=1 / 3),))),
    intended(),
    events.OrderAccepted(ENTRY, "v1"),
    filled(),
    filled(quantity="0.020", price="60003.5", fee="0.48"),
    refused(),
    events.HoleFound("ETHUSDT", 60_000, 180_000),
    events.PositionClosed("BTCUSDT", 5, Decimal("-1.20"), Decimal("0.72"), Decimal("-0.18")),
)
"""A short day: one wake, one order in two fills, one refusal, one gap, one trade."""


def tell(store: SqliteStore, story: tuple[DomainEvent, ...] = STORY, at: int = 1) -> None:
    """Append events a millisecond apart, and commit them."""
    for offset, event in enumerate(story):
        store.append(at + offset, event)
    store.commit()


_REFS = st.builds(OrderRef, st.integers(1, 3), st.sampled_from([Purpose.ENTRY, Purpose.STOP]), st.integers(0, 1))
_AMOUNTS = st.decimals("0", "99999", places=4, allow_nan=False)
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

_REASONS = st.builds(WakeReason, st.sampled_from(WakeKind), _TEXTS, _TEXTS)
_WAKES = st.builds(SymbolWake, st.none() | _TEXTS, st.tuples(_REASONS))

DOMAIN_EVENTS: st.SearchStrategy[DomainEvent] = st.one_of(
    st.builds(intended, _REFS, _AMOUNTS.map(str)),
    st.builds(events.OrderAccepted, _REFS, _TEXTS),
    st.builds(events.OrderRejected, _REFS, st.sampled_from(RejectReason), _TEXTS),
    st.builds(events.OrderUnknown, _REFS, _TEXTS),
    st.builds(events.OrderCancelRequested, _REFS, _TEXTS),
    st.builds(events.OrderCancelRefused, _REFS, _TEXTS),
    st.builds(events.OrderTriggered, _REFS, _TEXTS),
    st.builds(events.OrderCanceled, _REFS, _TEXTS),
    st.builds(filled, _REFS, _AMOUNTS.map(str), _AMOUNTS.map(str), _AMOUNTS.map(str)),
    st.builds(refused, st.sampled_from(RefusalCode)),
    st.builds(
        events.WakeRaised, st.integers(1, 9), st.tuples(st.builds(SymbolWake, st.none() | _TEXTS, st.tuples(_REASONS)))
    ),
    st.builds(
        events.DecisionMade,
        st.integers(1, 9),
        _TEXTS,
        st.integers(0, 60_000),
        st.builds(
            Decision,
            st.tuples(
                st.builds(
                    Leg,
                    _TEXTS,
                    st.sampled_from(Action),
                    st.none() | _AMOUNTS,
                    confidence=st.none() | st.floats(allow_nan=False, allow_infinity=False),
                )
            ),
            cause=st.none() | st.builds(Cause, st.sampled_from(CauseKind), _TEXTS),
        ),
    ),
    st.builds(
        events.PositionClosed, _TEXTS, st.integers(0, 9), _AMOUNTS, _AMOUNTS, _AMOUNTS, mae=st.none() | st.floats(-1, 0)
    ),
    st.builds(
        events.FundingBooked,
        *(_TEXTS, _AMOUNTS, st.none() | _AMOUNTS, st.none() | _AMOUNTS, st.none() | _AMOUNTS, st.integers(0, 9)),
        assumed=st.booleans(),
    ),
    st.builds(events.DayOpened, st.just("2026-03-09"), _AMOUNTS),
    st.builds(events.Incident, _TEXTS),
)
"""Events in any order, sensible or not: the journal must accept them all."""
