"""Records: a sequence that prints as a table and becomes a data frame if a library for that is installed."""

import sys
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest

from ocw_mcp import Decision, DecisionRow, EquityPoint, Leg, Records, SettingsError, TradeRow
from tests.support.wakes import wake

NOON = 1_767_268_800_000
D = Decimal


def trade(number: int) -> TradeRow:
    price = D("100.50") + number
    return TradeRow(
        "ETHUSDT", "long", NOON, NOON + number, D("0.5"), price, None, D(0), D(0), D(number), "exit", number
    )


TRADES = Records(TradeRow, [trade(number) for number in range(12)])


def test_records_support_length_index_slice_and_iteration() -> None:
    assert (len(TRADES), TRADES[0], TRADES[-1]) == (12, trade(0), trade(11))
    assert TRADES[2:4] == [trade(2), trade(3)]
    assert isinstance(TRADES[2:4], Records)
    assert [each.order for each in TRADES] == list(range(12))
    assert not Records(TradeRow, [])
    assert TRADES != "trades"


def test_records_print_as_a_table() -> None:
    assert repr(TRADES[:2]) == (
        "2 TradeRow\n"
        "symbol   side  opened_at         closed_at         quantity  entry_price  exit_price  fees  funding  pnl  "
        "closed_by  order  parts\n"
        "ETHUSDT  long  2026-01-01 12:00  2026-01-01 12:00  0.5       100.5        -           0     0        0    "
        "exit       0\n"
        "ETHUSDT  long  2026-01-01 12:00  2026-01-01 12:00  0.5       101.5        -           0     0        1    "
        "exit       1"
    )


def test_long_sequence_of_records_prints_its_first_and_last_rows() -> None:
    lines = repr(TRADES).splitlines()
    assert lines[0] == "12 TradeRow"
    assert [line.split()[-1] for line in lines[2:]] == ["0", "1", "2", "3", "4", "…", "7", "8", "9", "10", "11"]
    assert repr(Records(TradeRow, [])) == "0 TradeRow"


def test_printed_decision_has_its_legs_and_reasons() -> None:
    row = DecisionRow(
        1, NOON, "strategy:a:b", 0, (wake(None, "timer"), wake("BTCUSDT", "close:1h", "close:4h")),
        Decision([Leg("ETHUSDT", "BUY", 0.1), Leg("BTCUSDT", "SELL")]), 1, 0, D(0),
    )  # fmt: skip
    shown = repr(Records(DecisionRow, [row, DecisionRow(2, NOON, "x", 0, (), Decision(), 0, 0, None)]))
    assert "timer; BTCUSDT close:1h clo…" in shown
    assert "BUY ETHUSDT; SELL BTCUSDT" in shown
    assert "hold" in shown


def test_columns_convert_money_to_float_and_times_to_utc() -> None:
    columns = TRADES[:1].columns()
    assert columns["opened_at"] == [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    assert (columns["entry_price"], columns["exit_price"], columns["symbol"]) == ([100.5], [None], ["ETHUSDT"])
    assert type(columns["pnl"][0]) is float
    row = DecisionRow(1, NOON, "x", 0, (wake(None, "timer"),), Decision(), 0, 0, None)
    assert Records(DecisionRow, [row]).columns()["reasons"] == ['[{"symbol":null,"reasons":[{"kind":"timer"}]}]']


@pytest.mark.parametrize(("library", "method"), [("polars", "to_polars"), ("pandas", "to_pandas")])
def test_data_frame_has_the_columns_of_the_records(monkeypatch: pytest.MonkeyPatch, library: str, method: str) -> None:
    """The library is replaced by a test double, since OCW does not need polars or pandas."""
    monkeypatch.setitem(sys.modules, library, SimpleNamespace(DataFrame=lambda columns: ("frame", columns)))
    assert getattr(TRADES, method)() == ("frame", TRADES.columns())


@pytest.mark.parametrize(("library", "method"), [("polars", "to_polars"), ("pandas", "to_pandas")])
def test_missing_data_frame_library_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch, library: str, method: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SettingsError) as refused:
        getattr(TRADES, method)()
    assert str(refused.value) == f"a data frame of {library} needs {library}, which is not installed; install {library}"


def test_equity_curve_prints_as_a_table_of_records() -> None:
    curve = Records(EquityPoint, [EquityPoint(NOON, D("10000.123456789"))])
    assert repr(curve) == "1 EquityPoint\nat                equity\n2026-01-01 12:00  10000.12345679"
