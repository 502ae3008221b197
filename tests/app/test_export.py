"""`ocw export`: tables of a book for other programs."""

import csv
import io
import re
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.decisions import find_decisions
from ocw_mcp.adapters.store.views.orders import find_orders
from ocw_mcp.adapters.store.views.trades import find_trades
from ocw_mcp.app import export
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.errors import SettingsError
from tests.adapters.store.books import open_book, tell
from tests.support.shell import Ocw

D = Decimal


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    return Ocw(monkeypatch, capsys)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def ms(text: str) -> int:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    return round(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1_000)


def amount(text: str) -> Decimal | None:
    return D(text) if text else None


def test_trades_are_exported_with_every_digit(ocw: Ocw, desk: Path) -> None:
    rows = table(ocw("export", "trades", "--state", desk).out)
    trades = ask_book(desk, lambda db, _: find_trades(db, 10_000)).trades
    assert len(rows) == len(trades) > 3
    for row, trade in zip(rows, trades, strict=True):
        assert (int(row["order"]), row["symbol"], row["side"]) == (trade.order, trade.symbol, trade.side)
        assert (ms(row["opened_at"]), ms(row["closed_at"])) == (trade.opened_at, trade.closed_at)
        for name in ("quantity", "entry_price", "exit_price", "fees", "funding", "pnl"):
            assert amount(row[name]) == getattr(trade, name)
    assert sum(D(row["pnl"]) for row in rows) == ask_book(desk, lambda db, _: find_trades(db, 1)).pnl


def test_export_of_orders_includes_finished_ones(ocw: Ocw, desk: Path) -> None:
    rows = table(ocw("export", "orders", "--state", desk).out)
    orders = ask_book(desk, lambda db, _: find_orders(db, 10_000, finished=True)).orders
    assert [row["id"] for row in rows] == [order.id for order in orders]
    assert [amount(row["quantity"]) for row in rows] == [order.quantity for order in orders]
    assert [row["wake_id"] for row in rows] == ["" if order.wake_id is None else str(order.wake_id) for order in orders]


def test_decisions_are_exported_with_their_legs(ocw: Ocw, desk: Path) -> None:
    rows = table(ocw("export", "decisions", "--state", desk).out)
    decisions = ask_book(desk, lambda db, _: find_decisions(db, 10_000)).decisions
    assert [int(row["wake_id"]) for row in rows] == [each.wake_id for each in decisions]
    assert [int(row["refusals"]) for row in rows] == [each.refusals for each in decisions]
    acted = next(row for row in rows if row["legs"] != "[]")
    assert acted["legs"].startswith('[{"symbol":"')


def test_equity_export_ends_with_the_engines_last_summary(ocw: Ocw, desk: Path) -> None:
    rows = table(ocw("export", "equity", "--state", desk).out)
    assert rows[0] == {"at": "2026-01-01T00:00:00.000Z", "equity": "10000"}
    assert rows[-1]["at"] == "2026-01-01T20:00:00.000Z"
    assert rows[-1]["equity"] != "10000"


def test_export_of_an_empty_book_has_only_column_names(ocw: Ocw, tmp_path: Path) -> None:
    open_book(tmp_path).close()
    assert ocw("export", "equity", "--state", tmp_path).out == "at,equity\n"
    assert ocw("export", "trades", "--state", tmp_path).out.count("\n") == 1


@pytest.mark.parametrize("name", export.TABLES)
def test_parquet_export_equals_csv_with_typed_columns(ocw: Ocw, desk: Path, tmp_path: Path, name: str) -> None:
    polars = pytest.importorskip("polars")
    file = tmp_path / f"{name}.parquet"
    said = ocw("export", name, "--format", "parquet", "--output", file, "--state", desk)
    assert (said.code, said.out) == (0, "")
    frame, rows = polars.read_parquet(file), table(ocw("export", name, "--state", desk).out)
    assert said.err == f"{len(rows):,} rows of {name} are in {file}\n"
    types = {"amount": polars.Decimal(38, 18), "time": polars.Datetime("ms", "UTC"), "count": polars.Int64}
    for column in export.TABLES[name].columns:
        kind, cells = column.kind, [row[column.name] for row in rows]
        assert frame.schema[column.name] == types.get(kind, polars.String)
        values = frame[column.name].to_list()
        if kind == "amount":
            assert values == [amount(cell) for cell in cells]
        elif kind == "time":
            assert [round(value.timestamp() * 1_000) for value in values] == [ms(cell) for cell in cells]
        else:
            assert ["" if value is None else str(value) for value in values] == cells


def test_an_amount_that_parquet_cannot_hold_is_refused() -> None:
    pytest.importorskip("polars")
    for bad in (D("0.1234567890123456789"), D("1e20"), D("NaN")):
        with pytest.raises(SettingsError, match="use --format csv"):
            export.encoded("equity", [export.EquityPoint(0, bad)], "parquet")
    largest = export.EquityPoint(0, D("12345678901234567890.123456789012345678"))
    assert export.encoded("equity", [largest], "parquet")


@pytest.mark.parametrize(
    ("written", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("  +1+1", "'+1+1"),
        ("-2 of 3", "'-2 of 3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\u200b=1", "'=1"),
        ("\t=1", "'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("first\n=1", "first =1"),
        ("fine; =1", "fine;' =1"),
        ('fine;"=1"', 'fine;\'"=1"'),
        (' "=1', "'\"=1"),
        ("a = b, -1", "a = b, -1"),
        ("\x1b[2J", "[2J"),
    ],
)
def test_formula_in_a_models_text_is_exported_as_text(ocw: Ocw, tmp_path: Path, written: str, cell: str) -> None:
    legs = (Leg("BTCUSDT", Action.HOLD, reasoning=written),)
    with closing(open_book(tmp_path)) as store:
        tell(
            store,
            (
                events.DecisionMade(
                    1, "claude", 0, Decision(legs, cause=Cause(CauseKind.EARLIER, written), note=written)
                ),
            ),
        )
    (row,) = table(ocw("export", "decisions", "--state", tmp_path).out)
    assert (row["note"], row["cause"]) == (cell, cell)
    assert row["legs"].startswith("[{")


def test_negative_amounts_are_exported_as_numbers(ocw: Ocw, desk: Path) -> None:
    assert any(row["pnl"].startswith("-") for row in table(ocw("export", "trades", "--state", desk).out))


def test_export_overwrites_only_a_file_of_its_format(ocw: Ocw, desk: Path, tmp_path: Path) -> None:
    file = tmp_path / "trades.csv"
    file.write_text("old")
    assert ocw("export", "trades", "--output", file, "--state", desk).code == 0
    assert file.read_text() == ocw("export", "trades", "--state", desk).out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("positions",), "there is no table 'positions'; expected one of trades, equity, orders, decisions"),
        (("trades", "--format", "xlsx"), "--format is 'xlsx'; expected one of csv, parquet"),
        (("trades", "--format", "parquet"), "add --output trades.parquet"),
        (("trades", "--output", "{dir}"), "expected a file name in a folder that exists"),
        (("trades", "--output", "{dir}/none/t.csv"), "expected a file name in a folder that exists"),
        (("trades", "--output", "{dir}/journal.db"), "exists and is not a .csv file, so it is not overwritten"),
        (("trades", "--output", f"{{dir}}/{'t' * 300}.csv"), "cannot be written: File name too long"),
    ],
)
def test_invalid_export_is_refused_in_one_sentence(
    ocw: Ocw, desk: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "journal.db").write_text("precious")
    said = ocw("export", *(each.format(dir=tmp_path) for each in arguments), "--state", desk)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert sentence in said.err
    assert (tmp_path / "journal.db").read_text() == "precious"


def test_parquet_export_without_polars_names_the_install_command(
    ocw: Ocw, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    said = ocw("export", "trades", "--format", "parquet", "--output", "t.parquet", "--state", desk)
    assert said.err == "ocw: parquet needs polars, which is not installed; install it: pip install 'ocw-mcp[parquet]'\n"
    assert said.code == 2


def test_export_without_a_book_is_refused_in_one_sentence(ocw: Ocw, tmp_path: Path) -> None:
    said = ocw("export", "trades", "--state", tmp_path / "none")
    assert (said.code, "holds no book" in said.err) == (2, True)
