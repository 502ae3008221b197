"""The picture of a run: its data from the journal and the feed, and its file or an error of one sentence."""

import json
from decimal import Decimal
from math import isnan
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from ocw_mcp.app import drawing, picture
from ocw_mcp.app.cli.commands import app
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.time import MINUTE
from tests.support.markets import START, ListFeed, candle, path
from tests.support.wakes import wake

D = Decimal
PNG = b"\x89PNG\r\n"


def filled(n: int, leg: Purpose, side: str, price: int, position: str) -> events.OrderFilled:
    return events.OrderFilled(
        OrderRef(n, leg), f"f{n}{leg}", "BTCUSDT", side, D(1), D(price), D(0), n * MINUTE, False, D(0), D(position)
    )


def test_chart_trades_span_all_fills_and_show_stop_exits() -> None:
    story = picture.gather(
        [
            (MINUTE, filled(1, Purpose.ENTRY, "buy", 100, "1")),
            (2 * MINUTE, filled(2, Purpose.ENTRY, "buy", 104, "2")),
            (3 * MINUTE, filled(3, Purpose.STOP, "sell", 98, "0")),
            (3 * MINUTE, events.PositionClosed("BTCUSDT", MINUTE, D("-8.5"), D("0.5"))),
            (4 * MINUTE, filled(4, Purpose.ENTRY, "sell", 97, "-1")),
        ]
    )
    first, second = story.trades
    assert first == picture.ChartTrade("BTCUSDT", True, MINUTE, 100, 3 * MINUTE, 98, -8.5, True)
    assert (second.long, second.closed_at) == (False, None)


def test_chart_shows_no_stop_exit_if_an_oco_order_fills_its_target() -> None:
    at_target = msgspec.structs.replace(filled(2, Purpose.STOP, "sell", 106, "0"), maker=True)
    story = picture.gather(
        [
            (MINUTE, filled(1, Purpose.ENTRY, "buy", 100, "1")),
            (2 * MINUTE, at_target),
            (2 * MINUTE, events.PositionClosed("BTCUSDT", MINUTE, D(6), D(0))),
        ]
    )
    assert [trade.stopped for trade in story.trades] == [False]


def test_chart_shows_each_wake_by_the_kind_of_its_first_reason() -> None:
    reasons = (
        wake("BTCUSDT", "outlier:15m z=+3.00", "close:1h"),
        wake("ETHUSDT", "condition:price gt 5, now 6"),
        wake(None, "timer"),
    )
    wakes = picture.gather([(7, events.WakeRaised(1, reasons))]).wakes
    assert wakes == [(7, "BTCUSDT", "outlier"), (7, "ETHUSDT", "condition"), (7, None, "timer")]


def test_chart_has_the_equity_at_the_start_of_each_day() -> None:
    assert picture.gather([(0, events.DayOpened("1970-01-01", D(10_000)))]).equity == [(0, 10_000.0)]


async def test_chart_prices_are_reduced_and_keep_highs_and_lows() -> None:
    closes = [100.0 + place % 7 for place in range(3 * picture.POINTS)]
    row = (await picture.read_prices(ListFeed(path(closes)), START * 2, len(closes)))["BTCUSDT"]
    assert len(row.at) == picture.POINTS
    assert (min(row.low), max(row.high)) == (100.0, 106.0)
    assert row.at[-1] == START + len(closes) * MINUTE


async def test_chart_prices_break_at_gaps_and_end_with_the_run() -> None:
    feed = ListFeed([candle(0, 1.0), candle(1, 2.0), candle(5, 3.0), candle(6, 4.0)])
    row = (await picture.read_prices(feed, START + 6 * MINUTE, 4))["BTCUSDT"]
    assert [None if isnan(close) else close for close in row.close] == [1.0, 2.0, None, 3.0]


def tape(directory: Path) -> Path:
    lines = ["open_time,open,high,low,close,volume"]
    lines += [f"{START + place * MINUTE},100,101,99,{100 + place % 2},5" for place in range(300)]
    file = directory / "BTCUSDT-1m-2026-01-01.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_replay_with_picture_prints_only_its_report(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["replay", str(tape(tmp_path)), "--json", "--picture", str(tmp_path / "run.png")], catch_exceptions=False
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)["candles"] == 300
    assert (tmp_path / "run.png").read_bytes().startswith(PNG)


def test_picture_with_an_invalid_path_is_refused_before_the_run(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing" / "run.png"):
        with pytest.raises(SettingsError, match="cannot be a file"):
            drawing.require_png(place)


def test_picture_without_matplotlib_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(drawing, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"ocw-mcp\[plot\]"):
        drawing.require_png(tmp_path / "run.png")
