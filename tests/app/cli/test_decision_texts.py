"""Corrected and replaced decisions are shown in order, with their LLM cost and the reasons of clients."""

import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CloseRequest, LegRequest, request_key
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.time import DAY
from tests.adapters.store.books import ENTRY, STORY, alter, intended, open_book, refused, tell
from tests.support.shell import Ocw

D = Decimal
BUY = Leg("BTCUSDT", Action.BUY, D("0.9"), stop=D(59_000), confidence=0.7, reasoning="it goes up")
SMALLER = msgspec.structs.replace(BUY, size=D("0.8"), reasoning="then less of it")


@pytest.fixture
def ocw(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ocw:
    monkeypatch.setenv("COLUMNS", "100")
    return Ocw(monkeypatch, capsys)


def keyed(event: Any, key: str, **changes: Any) -> Any:
    intent = msgspec.structs.replace(event.intent, idempotency_key=key, **changes)
    return msgspec.structs.replace(event, intent=intent)


IMPOSSIBLE = Cause(CauseKind.IMPOSSIBLE)
STOOD_IN: tuple[DomainEvent, ...] = (
    *STORY[:2],
    events.DecisionMade(1, "claude", 2_500, Decision((BUY,)), D("0.0123")),
    keyed(refused(), "wake:1:0"),
    events.DecisionCorrected(1, "claude", Decision((SMALLER,)), 4_500, D("0.002")),
    keyed(refused(), "wake:1:again:0"),
    events.DecisionEnded(1, IMPOSSIBLE, D("0.0007")),
    events.DecisionMade(1, "rules", 4_500, Decision((BUY,), cause=IMPOSSIBLE)),
    keyed(intended(), "wake:1:rules:0"),
)


def test_explain_shows_a_refused_answer_and_the_decision_of_the_rules(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, STOOD_IN)
    story = json.loads(ocw("explain", "1", "--state", tmp_path, "--json").out)
    assert (story["answer"]["decider"], story["answer"]["cost_usd"]) == ("claude", "0.0123")
    assert story["answer"]["came"] == [{"symbol": "BTCUSDT", "outcome": "refused", "id": "refusal:4"}]
    after = [(each["event"]["kind"], [leg["id"] for leg in each["came"]]) for each in story["after_answer"]]
    assert after == [
        ("decision.corrected", ["refusal:6"]), ("decision.ended", []), ("decision.made", ["ocw-b00k07-1-e-0"]),
    ]  # fmt: skip
    assert story["cost_usd"] == "0.015"
    text = ocw("explain", "1", "--state", tmp_path).out
    in_order = (
        "by claude, after 2.5s of thinking for 0.0123 USD", "confidence 0.70", "it goes up", "refused as refusal:4",
        "corrected the refused legs", "then less of it", "refused as refusal:6",
        "wake 1 ended for 0.0007 USD: IMPOSSIBLE: every leg of the decision was refused", "by rules",
        "cause: IMPOSSIBLE: every leg", "sent as ocw-b00k07-1-e-0", "0.0150 USD for all requests of this wake",
    )  # fmt: skip
    places = [text.index(part) for part in in_order]
    assert places == sorted(places)


def test_llm_cost_is_shown_by_decision_by_day_by_month_and_in_total(ocw: Ocw, tmp_path: Path) -> None:
    late = (events.WakeRaised(2, ()), events.DecisionMade(2, "claude", 900, Decision(), D("0.5")))
    with closing(open_book(tmp_path)) as store:
        tell(store, STOOD_IN)
        tell(store, late, at=40 * DAY)
        tell(store, (events.DecisionDiscarded(2, "a second one", D("0.25")),), at=42 * DAY)
        assert store.figures().thinking_usd == D("0.765")
    view = json.loads(ocw("decisions", "--state", tmp_path, "--json").out)
    costs = [(each["wake_id"], each["decider"], each["cost_usd"]) for each in view["decisions"]]
    assert costs == [(1, "claude", "0.015"), (1, "rules", "0"), (2, "claude", "0.75")]
    spent = {"day": "1970-02-12", "today_usd": "0.25", "this_month_usd": "0.75", "total_usd": "0.765"}
    assert view["thinking"] == spent
    assert json.loads(ocw("status", "--state", tmp_path, "--json").out)["thinking"] == spent
    sentence = "LLM cost 0.2500 USD on 1970-02-12, 0.7500 USD in that month, 0.7650 USD in all"
    text = ocw("decisions", "--state", tmp_path).out
    assert sentence in text
    assert "0.015" in text
    assert sentence in ocw("status", "--state", tmp_path).out


def test_llm_cost_of_zero_is_not_shown(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    for command in (("decisions",), ("status",), ("explain", "1")):
        assert "USD " not in ocw(*command, "--state", tmp_path).out
    assert json.loads(ocw("decisions", "--state", tmp_path, "--json").out)["decisions"][0]["cost_usd"] == "0"


def test_llm_cost_is_not_shown_for_a_book_of_an_earlier_version(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, STOOD_IN)
    alter(tmp_path, "DROP TABLE thinking")
    view = json.loads(ocw("decisions", "--state", tmp_path, "--json").out)
    assert view["thinking"] is view["decisions"][0]["cost_usd"] is None
    assert json.loads(ocw("explain", "1", "--state", tmp_path, "--json").out)["cost_usd"] is None
    assert ocw("status", "--state", tmp_path).code == 0


def test_rationale_of_a_client_is_shown_with_its_order(ocw: Ocw, tmp_path: Path) -> None:
    enters = LegRequest("k1", "mcp:anna", msgspec.structs.replace(BUY, reasoning="the chart\x1b[31m says so"))
    others = LegRequest("k1", "mcp:ben", msgspec.structs.replace(BUY, reasoning="another's"))
    leaves = CloseRequest("k2", "mcp:anna", "BTCUSDT", "enough of it")
    exit_ = keyed(intended(OrderRef(1, Purpose.EXIT)), str(request_key(leaves)), principal="mcp:anna", wake_id=None)
    happened = (
        events.CallerAsked(enters, 1),
        events.CallerAsked(others, 1),
        keyed(intended(), str(request_key(enters)), principal="mcp:anna", wake_id=None),
        *STORY[4:7],
        events.CallerAsked(leaves, 2),
        exit_,
        keyed(refused(), str(request_key(others)), principal="mcp:ben", wake_id=None, symbol="ETHUSDT"),
    )
    with closing(open_book(tmp_path)) as store:
        tell(store, happened)
    story = json.loads(ocw("explain", f"order:{ENTRY}", "--state", tmp_path, "--json").out)
    assert [each["event"]["request"]["key"] for each in story["asks"]] == ["k1", "k2"]
    text = " ".join(ocw("explain", f"order:{ENTRY}", "--state", tmp_path).out.split())
    assert "mcp:anna requested: BUY BTCUSDT 90% of equity, stop 59000: the chart [31m says so" in text
    assert "enough of it" in text
    assert "another's" not in text
    assert "another's" in ocw("explain", "refusal:9", "--state", tmp_path).out
