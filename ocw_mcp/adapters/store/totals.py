"""What a run's report needs from the journal, by query."""

from decimal import Decimal

import msgspec
from sqlite_utils import Database

from ocw_mcp.domain.events import HoleFound, StateChanged
from ocw_mcp.domain.figures import JournalFigures, WakeEntry
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.snapshot import WakeReason

_decode_change = msgspec.json.Decoder(StateChanged).decode
_decode_reasons = msgspec.json.Decoder(tuple[WakeReason, ...]).decode


def journal_figures(db: Database) -> JournalFigures:
    """Counts and sums over all committed events. Money in quote currency."""
    wakes = [
        WakeEntry(at, reason.symbol, reason.reasons)
        for at, reasons in db.execute("SELECT at, reasons FROM wakes ORDER BY seq")
        for reason in _decode_reasons(reasons)
    ]
    return JournalFigures(
        wakes=wakes,
        decisions=count(db, "SELECT count(*) FROM decisions"),
        orders=count(db, "SELECT count(*) FROM orders"),
        fills=count(db, "SELECT count(*) FROM fills"),
        refusals=dict(db.execute("SELECT code, count(*) FROM refusals GROUP BY code ORDER BY code").fetchall()),
        holes=count(db, "SELECT count(*) FROM events WHERE kind = ?", str(HoleFound.__struct_config__.tag)),
        fees=total(db, "SELECT fee FROM fills ORDER BY seq"),
        funding=total(db, "SELECT amount FROM funding ORDER BY seq"),
        day_equities=[
            (day, Decimal(equity)) for day, equity in db.execute("SELECT day, equity FROM days ORDER BY seq")
        ],
        thinking_usd=total(db, "SELECT cost_usd FROM thinking ORDER BY seq"),
        state_changes=[
            (at, _decode_change(payload).after)
            for at, payload in db.execute(
                "SELECT at, payload FROM events WHERE kind = ? ORDER BY seq", (str(StateChanged.__struct_config__.tag),)
            )
        ],
    )


def total(db: Database, query: str) -> Decimal:
    """The sum of the amounts that a query gives; SQLite itself would add the texts as floats."""
    return sum((Decimal(amount) for (amount,) in db.execute(query)), ZERO)


def count(db: Database, query: str, *parameters: str) -> int:
    """The single number that a query gives."""
    return int(db.execute(query, parameters).fetchone()[0])
