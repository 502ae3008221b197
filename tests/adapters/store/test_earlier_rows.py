"""Rows of earlier versions, with causes and reasons to wake as text and rejections with a code, are read and shown."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.store.database import CHAIN_GENESIS, journal_events, link
from ocw_mcp.adapters.store.reader import ask_book, verify_book
from ocw_mcp.adapters.store.views.decisions import find_decisions
from ocw_mcp.adapters.store.views.story import find_story
from ocw_mcp.domain.canonical import GENESIS, chain
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.events import OrderRejected
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.store.books import open_book
from tests.support.wakes import texts

RULED: dict[str, Any] = {"legs": [], "next_check_s": None, "note": "", "cause": "fallback: SERVER: 500", "unread": []}
ROWS: list[dict[str, Any]] = [
    {
        "kind": "wake.raised",
        "wake_id": 1,
        "reasons": [
            {
                "symbol": "BTCUSDT",
                "reasons": ["close:1h", "condition:price gt 5, now 6"],
                "remarks": [{"text": "breakout", "by": "claude", "at": 1, "about": "condition:price gt 5, now 6"}],
            },
            {"symbol": None, "reasons": ["timer"]},
        ],
    },
    {"kind": "decision.made", "wake_id": 1, "decider": "rules", "thinking_ms": 7, "decision": RULED, "cost_usd": "0"},
    {"kind": "decision.ended", "wake_id": 1, "cause": "", "cost_usd": "0.5"},
    {"kind": "order.rejected", "ref": {"n": 1, "leg": "e", "revision": 0}, "code": "-2019", "text": "Margin is low."},
    {"kind": "order.rejected", "ref": {"n": 2, "leg": "e", "revision": 0}, "code": "NOT_JOURNALED", "text": "full"},
]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A book as version 2 left it."""
    open_book(tmp_path).close()
    digest, head = GENESIS, CHAIN_GENESIS
    with closing(sqlite3.connect(tmp_path / "journal.db")) as raw:
        for n, event in enumerate(ROWS, 1):
            fields = {key: value for key, value in event.items() if key != "kind"}
            line = json.dumps([n, n, event["kind"], fields], sort_keys=True, separators=(",", ":"))
            digest, payload = chain(digest, line.encode()), json.dumps(event)
            head = link(head, n, n, n, event["kind"], 2, payload, digest)
            row = (n, n, n, event["kind"], 2, payload, digest, head)
            raw.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        raw.execute("INSERT INTO wakes VALUES (1, 1, 1, ?)", (json.dumps(ROWS[0]["reasons"]),))
        raw.execute("INSERT INTO decisions VALUES (2, 2, 1, 'rules', 7, 0, ?, ?)", (RULED["cause"], json.dumps(RULED)))
        raw.executescript("UPDATE book SET schema = 2; PRAGMA user_version = 6")
    return tmp_path


def test_rows_of_schema_version_2_verify_and_are_shown(book: Path) -> None:
    for _ in range(2):
        assert verify_book(book).problems == []
        (row,) = ask_book(book, lambda db, _: find_decisions(db, 9)).decisions
        assert [texts(each) for each in row.reasons] == [("close:1h", "condition:price gt 5, now 6"), ("timer",)]
        assert row.decision.cause == Cause(CauseKind.EARLIER, "fallback: SERVER: 500")
        answer = ask_book(book, lambda db, stored: find_story(db, stored, "wake:1")).answer
        assert answer is not None
        assert str(answer.decision.cause) == "fallback: SERVER: 500"
        journaled = ask_book(book, lambda db, _: [event for _, event in journal_events(db)])
        rejected = [event for event in journaled if isinstance(event, OrderRejected)]
        assert [(each.reason, each.text) for each in rejected] == [
            (RejectReason.OTHER, "Margin is low."),
            (RejectReason.NOT_JOURNALED, "full"),
        ]
        # The next start takes the book over.
        open_book(book).close()


def test_changed_row_of_schema_version_2_breaks_the_chain(book: Path) -> None:
    with closing(sqlite3.connect(book / "journal.db")) as raw:
        raw.executescript(
            "DROP TRIGGER events_are_not_updated; UPDATE events SET payload = replace(payload, 'SERVER', 'BUDGET')"
        )
    assert "row 2 does not continue the chain" in verify_book(book).problems[0]
