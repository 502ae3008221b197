"""Exports tables of a book as files for other programs: CSV, or Parquet with polars.

Amounts are exact: plain decimal text in CSV, `decimal(38, 18)` in Parquet. An average price is a quotient, and is
rounded to 8 places. Times are UTC with milliseconds: ISO-8601 text in CSV, `timestamp[ms, UTC]` in Parquet. In CSV an
empty cell is a value that is not known, and each text is on one line; a text that a spreadsheet would read as a formula
begins with an apostrophe.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec
from sqlite_utils import Database

from ocw_mcp.adapters.store.book import StoredBook
from ocw_mcp.adapters.store.database import GET_SUMMARY
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views import jsonable
from ocw_mcp.adapters.store.views.decisions import find_decisions
from ocw_mcp.adapters.store.views.equity import EquityPoint as EquityPoint
from ocw_mcp.adapters.store.views.orders import find_orders
from ocw_mcp.adapters.store.views.trades import find_trades
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.text import printable
from ocw_mcp.render.event_text import reason_text

CSV: Final = "csv"
PARQUET: Final = "parquet"
FORMATS: Final = (CSV, PARQUET)
EXTRA: Final = "ocw-mcp[parquet]"
DIGITS: Final = 38
PLACES: Final = 18
"""Digits of a Parquet decimal, and its digits after the decimal point."""
_QUOTIENT_PLACES: Final = 8
_ALL: Final = 1 << 62
_FORMULA: Final = re.compile(r"(^|;)(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""A place at which a spreadsheet may read a formula: the start of a cell, or after `;`, which separates cells in some
locales; blanks and quotes may come before the formula."""


Kind = Literal["text", "count", "amount", "time"]


class ExportColumn(NamedTuple):
    """A column: its name, its kind, and the function that returns its value for a row."""

    name: str
    kind: Kind
    value: Callable[[Any], Any]


def _equity(db: Database, book: StoredBook) -> list[EquityPoint]:
    """Return the equity at the start of each UTC day, and in the engine's last summary."""
    points = [EquityPoint(at, Decimal(equity)) for at, equity in db.execute("SELECT at, equity FROM days ORDER BY seq")]
    last = db.execute(GET_SUMMARY).fetchone()
    summary = {} if last is None else msgspec.json.decode(last[0])
    if "equity" in summary and (not points or summary["at"] > points[-1].at):
        points.append(EquityPoint(summary["at"], Decimal(summary["equity"])))
    return points


def _columns(text: str, **values: Callable[[Any], Any]) -> tuple[ExportColumn, ...]:
    """Return columns from words `name:kind`: each is an attribute of a row, or computed by its function in `values`."""
    pairs = (word.split(":") for word in text.split())
    return tuple(ExportColumn(name, cast(Kind, kind), values.get(name, attrgetter(name))) for name, kind in pairs)


class ExportTable(NamedTuple):
    """A table that can be exported: a query for its rows, and its columns."""

    rows: Callable[[Database, StoredBook], Sequence[Any]]
    columns: tuple[ExportColumn, ...]


TABLES: Final = {
    "trades": ExportTable(
        lambda db, _book: find_trades(db, _ALL).trades,
        _columns(
            "order:count symbol:text side:text opened_at:time closed_at:time quantity:amount entry_price:amount "
            "exit_price:amount fees:amount funding:amount pnl:amount closed_by:text entries:count exits:count "
            "parts:text",
            entries=lambda row: sum(part.kind == "entry" for part in row.parts),
            exits=lambda row: sum(part.kind == "exit" for part in row.parts),
            parts=lambda row: "" if not row.parts else json.dumps(jsonable(row.parts), ensure_ascii=False),
        ),
    ),
    "equity": ExportTable(_equity, _columns("at:time equity:amount")),
    "orders": ExportTable(
        lambda db, _book: find_orders(db, _ALL, finished=True).orders,
        _columns(
            "id:text name:text at:time updated_at:time symbol:text purpose:text side:text type:text quantity:amount "
            "trigger_price:amount status:text filled:amount average_price:amount fees:amount principal:text "
            "wake_id:count policy_hash:text rejection:text venue_order_ids:text",
            venue_order_ids=lambda row: " ".join(row.venue_order_ids),
            average_price=lambda row: row.average_price and round(row.average_price, _QUOTIENT_PLACES),
        ),
    ),
    "decisions": ExportTable(
        lambda db, _book: find_decisions(db, _ALL).decisions,
        _columns(
            "wake_id:count at:time decider:text thinking_ms:count reasons:text cause:text note:text legs:text "
            "orders:count refusals:count cost_usd:amount",
            reasons=lambda row: "; ".join(map(reason_text, row.reasons)),
            cause=lambda row: str(row.decision.cause or ""),
            note=lambda row: row.decision.note,
            legs=lambda row: msgspec.json.encode(row.decision.legs).decode(),
        ),
    ),
}


def require_export(table: str, format_: str, output: Path | None) -> None:
    """Check the arguments of an export before the book is read. Raises SettingsError if one is invalid."""
    if table not in TABLES:
        raise SettingsError(f"there is no table {table[:40]!r}; expected one of {', '.join(TABLES)}")
    if format_ not in FORMATS:
        raise SettingsError(f"--format is {format_[:40]!r}; expected one of {', '.join(FORMATS)}")
    if format_ == PARQUET and find_spec("polars") is None:
        raise SettingsError(f"parquet needs polars, which is not installed; install it: pip install '{EXTRA}'")
    if output is None:
        if format_ == PARQUET:
            raise SettingsError(f"parquet is a binary format; expected a file name; add --output {table}.parquet")
        return
    if os.path.isdir(output) or not os.path.isdir(output.parent):
        raise SettingsError(f"--output {output} cannot be a file; expected a file name in a folder that exists")
    if os.path.lexists(output) and output.suffix != f".{format_}":
        # A wrong name must not overwrite a journal or any other file.
        raise SettingsError(
            f"--output {output} exists and is not a .{format_} file, so it is not overwritten; choose another name"
        )


def read_table(state: Path, table: str) -> list[Any]:
    """Return all rows of a table of `TABLES`, oldest first. Raises BookError if the book cannot be read."""
    return list(ask_book(state, TABLES[table].rows))


def encoded(table: str, rows: Sequence[Any], format_: str) -> bytes:
    """Return rows as a CSV (RFC 4180) or Parquet file. Raises SettingsError for an amount that Parquet cannot hold."""
    columns = TABLES[table].columns
    if format_ == PARQUET:
        return _parquet(columns, rows)
    page = io.StringIO()
    writer = csv.writer(page, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    writer.writerows([_cell(column.kind, column.value(row)) for column in columns] for row in rows)
    return page.getvalue().encode()


def write(path: Path, data: bytes) -> None:
    """Write a file. Raises SettingsError if writing fails; the file may then be incomplete."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror}; choose another file with --output") from None


def _cell(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    match kind:
        case "amount":
            return plain(value)
        case "time":
            return datetime.fromtimestamp(value / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case "count":
            return str(value)
        case "text":
            return _FORMULA.sub(r"\1'", printable(value))


def _parquet(columns: Sequence[ExportColumn], rows: Sequence[Any]) -> bytes:
    import polars

    types: dict[Kind, Any] = {
        "text": polars.String,
        "count": polars.Int64,
        "amount": polars.Decimal(DIGITS, PLACES),
        "time": polars.Int64,
    }
    series = []
    for column in columns:
        values = [column.value(row) for row in rows]
        if column.kind == "amount":
            _require_exact(column.name, values)
        made = polars.Series(column.name, values, dtype=types[column.kind])
        series.append(made.cast(polars.Datetime("ms", "UTC")) if column.kind == "time" else made)
    page = io.BytesIO()
    polars.DataFrame(series).write_parquet(page)
    return page.getvalue()


def _require_exact(name: str, values: Iterable[Decimal | None]) -> None:
    """Raise SettingsError for an amount that a Parquet decimal cannot hold exactly."""
    for value in filter(None, values):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -PLACES or value.adjusted() >= DIGITS - PLACES:
            raise SettingsError(
                f"{name} has the value {value}, and a parquet decimal has only {PLACES} digits after the point and "
                f"{DIGITS - PLACES} before it; use --format csv, which is exact"
            )
