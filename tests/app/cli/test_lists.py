"""Positions, orders, trades and decisions of a book, as text and as JSON."""

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp import Snapshot, replay
from ocw_mcp.adapters.store.directory import StateLock
from ocw_mcp.app.narrator import Narrator
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.reasons import RefusalCode
from tests.adapters.store.books import STORY, alter, filled, intended, open_book, refused, tell
from tests.support.books import BOOK
from tests.support.shell import Ocw

LISTS = ("positions", "orders", "trades", "decisions")


def read(ocw: Ocw, *arguments: object) -> Any:
    said = ocw(*arguments, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def leaves(value: Any) -> Sequence[Any]:
    if isinstance(value, dict | list):
        return [leaf for one in (value.values() if isinstance(value, dict) else value) for leaf in leaves(one)]
    return [value]


@pytest.mark.parametrize("command", LISTS)
def test_lists_change_no_file_and_fit_100_columns(ocw: Ocw, desk: Path, command: str) -> None:
    before = {each.name: (each.stat().st_mtime_ns, each.stat().st_size) for each in desk.iterdir()}
    said = ocw(command, "--state", desk)
    assert (said.code, said.err) == (0, "")
    assert max(len(line) for line in said.out.splitlines()) <= 100
    ocw(command, "--state", desk, "--json")
    assert {each.name: (each.stat().st_mtime_ns, each.stat().st_size) for each in desk.iterdir()} == before


@pytest.mark.parametrize("command", LISTS)
def test_lists_in_a_narrow_terminal_cut_no_number(
    ocw: Ocw, desk: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = ocw(command, "--state", desk).out
    monkeypatch.setenv("COLUMNS", "40")
    narrow = ocw(command, "--state", desk).out
    assert set(re.findall(r"[-+]?[0-9,]+\.[0-9]+", wide)) <= set(re.findall(r"[-+]?[0-9,]+\.[0-9]+", narrow))


@pytest.mark.parametrize("command", LISTS)
def test_json_lists_of_a_book_have_no_float_amounts(ocw: Ocw, desk: Path, command: str) -> None:
    view = read(ocw, command, "--state", desk)
    for row in view[command]:
        row.pop("decision", None)  # its confidence is a number, and a share of nothing
    assert not [leaf for leaf in leaves(view) if isinstance(leaf, float)]


def test_list_shows_the_newest_rows_and_counts_older_ones(ocw: Ocw, desk: Path) -> None:
    few, many = (read(ocw, "trades", "--state", desk, "--limit", n) for n in (3, 10_000))
    assert many["more"] == 0
    assert few["trades"] == many["trades"][-3:]
    assert few["more"] == len(many["trades"]) - 3 > 0
    closed = [trade["closed_at"] for trade in many["trades"]]
    assert closed == sorted(closed)
    assert f"{few['more']} older trade(s) not shown" in ocw("trades", "--state", desk, "--limit", 3).out
    assert len(read(ocw, "decisions", "--state", desk)["decisions"]) == 20


def test_pnl_of_a_trade_is_its_price_gain_minus_fees_plus_funding(ocw: Ocw, desk: Path) -> None:
    view = read(ocw, "trades", "--state", desk, "--limit", 10_000)
    assert {trade["closed_by"] for trade in view["trades"]} >= {"stop", "exit"}
    for trade in view["trades"]:
        entry, left = Decimal(trade["entry_price"]), Decimal(trade["exit_price"])
        sign = 1 if trade["side"] == "long" else -1
        gross = (left - entry) * Decimal(trade["quantity"]) * sign
        net = gross - Decimal(trade["fees"]) + Decimal(trade["funding"])
        assert net == pytest.approx(Decimal(trade["pnl"]), abs=Decimal("1e-4"))
    assert Decimal(view["pnl"]) == sum(Decimal(trade["pnl"]) for trade in view["trades"])
    assert view["won"] + view["lost"] == len(view["trades"])


def test_orders_lists_live_orders_and_finished_ones_only_with_all(ocw: Ocw, desk: Path) -> None:
    live, every = (read(ocw, "orders", "--state", desk, "--limit", 10_000, *more) for more in ((), ("--all",)))
    assert {order["status"] for order in live["orders"]} <= {"accepted", "intended"}
    assert live["finished_left_out"] == len(every["orders"]) - len(live["orders"]) > 0
    assert every["finished_left_out"] == 0
    assert {order["purpose"] for order in every["orders"]} == {"entry", "stop", "target", "exit"}
    assert {order["principal"] for order in every["orders"]} == {"random", "guard"}
    sent = [order["at"] for order in every["orders"]]
    assert sent == sorted(sent)
    assert all(order["id"] == f"ocw-{BOOK}-{order['name']}" for order in every["orders"])


def test_refusals_show_their_limit_and_the_largest_size(ocw: Ocw, desk: Path) -> None:
    refusals = read(ocw, "orders", "--state", desk, "--limit", 10_000)["refusals"]
    cut = next(each for each in refusals if Decimal(each["largest"]) > 0)
    assert {cut["code"], cut["limit"], cut["actual"]} & {"ORDER_NOTIONAL", "POSITION_SHARE", "GROSS_EXPOSURE"}
    assert Decimal(cut["largest"]) < Decimal(cut["quantity"])
    text = ocw("orders", "--state", desk, "--limit", 10_000).out
    assert f"{cut['code']}: limit {cut['limit']}" in text
    assert cut["id"] in text.split()
    assert read(ocw, "explain", cut["id"], "--state", desk)["refusals"] == [cut]


def test_decisions_show_their_legs_and_reasons_and_orders(ocw: Ocw, desk: Path) -> None:
    view = read(ocw, "decisions", "--state", desk, "--limit", 10_000)
    assert [row["wake_id"] for row in view["decisions"]] == list(range(1, len(view["decisions"]) + 1))
    assert all(row["reasons"] for row in view["decisions"])
    acted = read(ocw, "decisions", "--state", desk, "--limit", 10_000, "--acted")["decisions"]
    assert acted == [row for row in view["decisions"] if any(leg["action"] != "HOLD" for leg in legs(row))]
    orders = read(ocw, "orders", "--state", desk, "--limit", 10_000, "--all")
    asked = [order for order in orders["orders"] if order["wake_id"] is not None]
    assert sum(row["orders"] for row in view["decisions"]) == len(asked)
    assert sum(row["refusals"] for row in view["decisions"]) == len(orders["refusals"])


def legs(row: dict[str, Any]) -> list[dict[str, Any]]:
    found = row["decision"]["legs"]
    assert isinstance(found, list)
    return found


def test_position_shows_its_open_time_and_its_stop(ocw: Ocw, tmp_path: Path) -> None:
    held = {"symbol": "BTCUSDT", "quantity": "0.03", "average_price": "60002.5", "mark": "60100", "unrealised": "2.9"}
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY, intended(), filled(), events.PositionUnprotected("BTCUSDT", 31_000)), at=1_000)
        store.commit(summarise=lambda: {"at": 2_000, "positions": [{**held, "stop": None, "protected": False}]})
    (position,) = read(ocw, "positions", "--state", tmp_path)["positions"]
    assert position["opened_at"] == 1_000 + len(STORY) + 1
    assert (position["stop"], position["unprotected_until"]) == (None, 31_000)
    text = ocw("positions", "--state", tmp_path).out
    assert "NONE" in text
    assert "closes it at 1970-01-01 00:00:31 UTC at the latest" in text


def test_total_of_the_trades_says_whether_funding_was_paid(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    assert ocw("trades", "--state", tmp_path).out.endswith("-1.20 after fees 0.72 and funding paid 0.18\n")


def protect(snapshot: Snapshot) -> Decision:
    """Buy at the first call, then set a target and a trailing stop."""
    eth = snapshot.symbols["ETHUSDT"]
    assert isinstance(eth.last, float)
    if eth.position is None:
        return Decision([Leg("ETHUSDT", "BUY", size="0.05", stop=eth.last * 0.96)])
    return Decision([Leg("ETHUSDT", "PROTECT", trail="0.045", target=eth.last * 1.2)])


@pytest.mark.parametrize("product", ["spot", "um"])
def test_position_shows_its_target_and_its_trailing_stop(ocw: Ocw, tmp_path: Path, product: str) -> None:
    traded = replay(
        "sim", strategy=protect, every="1h", days=0.25, symbols=["ETHUSDT"], state=tmp_path / "b", product=product
    )
    (position,) = read(ocw, "positions", "--state", tmp_path / "b")["positions"]
    assert (position["trail"], Decimal(position["target"]) > 0) == ("0.045", True)
    levels = f"stop {position['stop']} trailing 4.5%, target {position['target']}"
    assert levels in ocw("status", "--state", tmp_path / "b").out
    shown = ocw("positions", "--state", tmp_path / "b").out.split()
    assert {"trail", "4.5%", "target", position["target"]} <= set(shown)
    assert traded.report["stop_waits"] > traded.report["unprotected_ms"] == 0


@pytest.mark.parametrize("action", ["PROTECT", "CANCEL", "REDUCE", "HOLD"])
def test_refused_leg_without_a_side_is_shown_without_one(ocw: Ocw, tmp_path: Path, action: str) -> None:
    event = refused(RefusalCode.UNUSED_FIELD)
    event = msgspec.structs.replace(event, intent=msgspec.structs.replace(event.intent, action=action))
    with closing(open_book(tmp_path)) as store:
        tell(store, (event,))
    assert f" {action.lower()} BTCUSDT " in ocw("orders", "--state", tmp_path).out
    lines: list[str] = []
    Narrator(lambda text: lines.append(text.plain))(0, event)
    assert f"refused   {action.lower()} BTCUSDT: UNUSED_FIELD" in lines[0]


@pytest.mark.parametrize("command", LISTS)
def test_list_of_a_new_book_prints_one_sentence(ocw: Ocw, tmp_path: Path, command: str) -> None:
    open_book(tmp_path).close()
    said = ocw(command, "--state", tmp_path)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("no ")
    assert read(ocw, command, "--state", tmp_path)[command] == []


@pytest.mark.parametrize("command", LISTS)
def test_book_is_readable_while_its_engine_runs_and_after_a_kill(ocw: Ocw, tmp_path: Path, command: str) -> None:
    running, killed = tmp_path / "running", tmp_path / "killed"
    with StateLock(running), closing(open_book(running)) as store:
        tell(store, (*STORY, refused()))
        store.commit(summarise=lambda: {"at": 2_000, "positions": []})
        assert ocw(command, "--state", running).code == 0
        shutil.copytree(running, killed)
    assert ocw(command, "--state", killed).out == ocw(command, "--state", running).out


def test_text_of_a_model_is_printed_without_control_codes(ocw: Ocw, tmp_path: Path) -> None:
    leg = Leg("BTCUSDT", Action.BUY, reasoning="up\x1b[2J\nand [red]away[/red]\u202e")
    with closing(open_book(tmp_path)) as store:
        tell(store, (events.DecisionMade(1, "mo\x07del", 0, Decision((leg,))),))
    text = ocw("decisions", "--state", tmp_path).out
    assert "[red]away[/red]" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@pytest.mark.parametrize("command", LISTS)
def test_list_without_a_book_prints_one_sentence(ocw: Ocw, tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "journal.db").write_text("dear diary")
    for place in ("none", "file", "foreign", "x" * 300):
        said = ocw(command, "--state", tmp_path / place)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert said.err.startswith("ocw: ")
    assert sorted(os.listdir(tmp_path / "foreign")) == ["journal.db"]


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "9" * 40])
@pytest.mark.parametrize("command", LISTS[1:])
def test_list_refuses_a_limit_option_outside_its_range(ocw: Ocw, desk: Path, command: str, limit: str) -> None:
    said = ocw(command, "--state", desk, "--limit", limit)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("ocw: --limit is ")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE fills SET quantity = 'much'",
        "UPDATE fills SET position = x'fffe'",
        "UPDATE trades SET closed_at = 'late'",
        "UPDATE decisions SET at = 'late'",
        "UPDATE orders SET wake_id = 'none'",
        "DROP TABLE fills",
        "DROP TABLE orders",
    ],
)
def test_list_of_a_damaged_book_reports_that_it_is_unreadable(ocw: Ocw, tmp_path: Path, damage: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    alter(tmp_path, damage)
    answers = [ocw(command, "--state", tmp_path, *more) for command, *more in (*zip(LISTS), ("orders", "--all"))]
    assert any(said.code == 2 for said in answers)
    assert all(said.code == 0 or "cannot be read" in said.err for said in answers)
