"""`ocw explain` shows one wake from its reasons to its last fill."""

import json
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ocw_mcp.adapters.store.views import story as stories
from ocw_mcp.domain import events
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.render.event_text import event_text
from tests.adapters.store.books import BOOK, ENTRY, STORY, alter, filled, intended, open_book, refused, tell
from tests.support import wakes as reasons
from tests.support.shell import Ocw

STOP = OrderRef(1, Purpose.STOP)


def explain(ocw: Ocw, state: Path, name: str) -> Any:
    said = ocw("explain", name, "--state", state, "--json")
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def kinds(story: Any) -> list[str]:
    return [step["event"]["kind"] for step in story["steps"]]


def test_explain_shows_a_wake_from_its_reasons_to_its_outcome(ocw: Ocw, desk: Path) -> None:
    trade = json.loads(ocw("trades", "--state", desk, "--json", "--limit", 1).out)["trades"][0]
    story = explain(ocw, desk, f"order:{trade['order']}")
    assert story["reasons"]
    assert story["answer"]["thinking_ms"] == story["answer"]["at"] - story["woken_at"]
    assert any(leg["symbol"] == trade["symbol"] for leg in story["answer"]["decision"]["legs"])
    told = kinds(story)
    order = ["order.intended", "order.accepted", "order.filled", "position.unprotected", "position.protected"]
    assert [told.index(kind) for kind in order] == sorted(told.index(kind) for kind in order)
    closed = next(step for step in story["steps"] if step["event"]["kind"] == "position.closed")
    assert (closed["at"], closed["event"]["pnl"]) == (trade["closed_at"], trade["pnl"])
    text = ocw("explain", f"order:{trade['order']}", "--state", desk).out
    for part in ("woke", "at the end of this page", "decided", "happened", "is protected by", "outcome", "after fees"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


def test_explain_shows_the_snapshot_of_a_wake_under_its_own_heading(ocw: Ocw, desk: Path) -> None:
    wakes = json.loads(ocw("decisions", "--state", desk, "--json", "--limit", 10_000, "--acted").out)["decisions"]
    story = explain(ocw, desk, str(wakes[0]["wake_id"]))
    assert story["seen"]["at"] == story["woken_at"]
    assert story["seen"]["wake"] == story["reasons"]
    text = ocw("explain", str(wakes[0]["wake_id"]), "--state", desk).out
    shown = text.split(f"snapshot of wake {wakes[0]['wake_id']}\n")[1]
    assert f"state {story['seen']['state']} " in shown
    assert f"equity {story['seen']['equity']}" in shown
    assert "legs" not in shown
    refusal = json.loads(ocw("orders", "--state", desk, "--json").out)["refusals"][0]
    assert "snapshot of wake" in ocw("explain", refusal["id"], "--state", desk).out


def test_explain_says_why_a_wake_has_no_stored_snapshot(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    assert explain(ocw, tmp_path, "1")["seen"]["is"] == "unknown"
    said = " ".join(ocw("explain", "1", "--state", tmp_path).out.split())
    assert "not stored: snapshots are kept for the newest 2,000 wakes whose decision was not only HOLD" in said


def test_explain_reads_a_book_of_a_version_without_snapshots(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    alter(tmp_path, "DROP TABLE seen")
    said = " ".join(ocw("explain", "1", "--state", tmp_path).out.split())
    assert "not stored: this book was written by a version that kept no snapshots" in said
    open_book(tmp_path).close()
    assert "was not only HOLD" in " ".join(ocw("explain", "1", "--state", tmp_path).out.split())


def test_explain_accepts_every_wake_order_and_refusal_of_a_book(ocw: Ocw, desk: Path) -> None:
    wakes = json.loads(ocw("decisions", "--state", desk, "--json", "--limit", 10_000).out)["decisions"]
    lists = json.loads(ocw("orders", "--state", desk, "--json", "--limit", 10_000, "--all").out)
    for wake in wakes[::9]:
        story = explain(ocw, desk, str(wake["wake_id"]))
        assert len(story["refusals"]) == wake["refusals"]
        asked = [step["event"]["intent"]["wake_id"] for step in story["steps"] if "intent" in step["event"]]
        assert asked.count(wake["wake_id"]) == wake["orders"]
    for order in lists["orders"][::9]:
        story = explain(ocw, desk, order["id"])
        names = [step["event"]["ref"] for step in story["steps"] if step["event"]["kind"] == "order.intended"]
        assert order["name"] in [f"{name['n']}-{name['leg']}-{name['revision']}" for name in names]
    for refusal in lists["refusals"][::9]:
        assert explain(ocw, desk, refusal["id"])["refusals"] == [refusal]
        assert refusal["code"] in ocw("explain", refusal["id"], "--state", desk).out


def test_explain_accepts_several_forms_of_an_id(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    stories_ = [explain(ocw, tmp_path, name) for name in ("1", "wake:1", "decision:1", "wake:1:0", " 1 ")]
    assert len({json.dumps({**story, "asked": ""}) for story in stories_}) == 1
    orders = [explain(ocw, tmp_path, name) for name in ("order:1", "1-e-0", "order:1-e-0", f"ocw-{BOOK}-1-e-0")]
    assert len({json.dumps({**story, "asked": ""}) for story in orders}) == 1


def test_explain_of_an_unanswered_wake_shows_no_answer(ocw: Ocw, tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, STORY[:2])
    assert explain(ocw, tmp_path, "1")["answer"] is None
    assert "there is no answer" in ocw("explain", "1", "--state", tmp_path).out


def test_explain_of_a_wake_shows_no_late_answer_of_another_wake(ocw: Ocw, tmp_path: Path) -> None:
    after = (events.WakeConditionsSet(1, 2, ("no such metric",)), events.DecisionDiscarded(1, "too late"))
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY[:3], events.DecisionDiscarded(2, "another's"), *after))
    text = ocw("explain", "1", "--state", tmp_path).out
    assert "2 wake condition(s) set; not taken: no such metric" in text
    assert "an answer was discarded: too late" in text
    assert "another's" not in text


def test_explain_of_an_order_without_a_wake_shows_only_the_order(ocw: Ocw, tmp_path: Path) -> None:
    guards = intended(OrderRef(7, Purpose.STOP))
    alone = events.OrderIntended(guards.ref, type(guards.intent)(**{**fields(guards.intent), "wake_id": None}), "p")
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY, alone, events.OrderAccepted(alone.ref, "v7")))
    story = explain(ocw, tmp_path, "7-s-0")
    assert (story["wake_id"], kinds(story)) == (None, ["order.intended", "order.accepted"])
    assert explain(ocw, tmp_path, "7")["steps"] == story["steps"]  # there is no wake 7


def fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__struct_fields__}


def test_explain_of_a_long_wake_shows_its_first_and_last_events(ocw: Ocw, tmp_path: Path) -> None:
    noise = [events.OrderUnknown(ENTRY, f"look {number}") for number in range(200)]
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY[:4], *noise, filled(quantity="0.030")))
    story = explain(ocw, tmp_path, "1")
    assert len(story["steps"]) == stories.FIRST_STEPS + stories.LAST_STEPS
    assert story["left_out"] == 202 - len(story["steps"])
    assert kinds(story)[-1] == "order.filled"
    assert f"... {story['left_out']} more ..." in ocw("explain", "1", "--state", tmp_path).out


def test_explain_has_a_text_for_every_kind_of_event() -> None:
    followed: list[events.DomainEvent] = [
        intended(), refused(), filled(), events.OrderAccepted(ENTRY, "v1"),
        events.OrderRejected(ENTRY, RejectReason.OTHER, "no"), events.OrderTriggered(STOP, "v2"),
        events.OrderCancelRefused(ENTRY, "no"),
        events.OrderUnknown(ENTRY, "?"), events.OrderCancelRequested(ENTRY, "why"), events.OrderCanceled(ENTRY, "why"),
        events.PositionUnprotected("BTCUSDT", 5), events.PositionProtected("BTCUSDT", STOP, Decimal(1)),
        events.PositionClosed("BTCUSDT", 1, Decimal(-1), Decimal(1)),
        events.ProtectionSet("BTCUSDT", "ann", Decimal(1), None, None),
    ]  # fmt: skip
    for event in followed:
        assert not event_text(BOOK, event).startswith(events.kind_of(event))
        assert f"'{events.kind_of(event)}'" in stories.STEP_EVENTS


UNKNOWN = (
    "9999", "wake:0", "order:9999", "1-e-7", "1-q-0", "refusal:1", "ocw-zzzzzz-1-e-0", "-1", "", "abc", "1" * 30,
    "x" * 300, "1; DROP TABLE orders", "٣",
)  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_id_error_lists_the_ids_of_the_book(ocw: Ocw, tmp_path: Path, name: str) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store)
    said = ocw("explain", "--state", tmp_path, "--", name)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "wake:1 to wake:1, order:1 to order:1" in said.err
    assert "up to refusal:8" in said.err


def test_explain_of_an_empty_book_prints_one_sentence(ocw: Ocw, tmp_path: Path) -> None:
    open_book(tmp_path).close()
    assert "holds no wake and no order yet" in ocw("explain", "1", "--state", tmp_path).err


def test_explain_shows_exits_by_the_guard_and_fills_outside_ocw(ocw: Ocw, tmp_path: Path) -> None:
    happened = (
        *STORY[:5],
        filled(quantity="0.030"),
        events.ScoreTaken("BTCUSDT", 0.61, "review", "pnl_path"),
        events.ExitDecided("BTCUSDT", "max_loss", "it is 5.10% behind, and none may be beyond 5.00%"),
        events.ExitDecided("ETHUSDT", "max_hold", "another story"),
        events.OutsideFilled(
            "x1",
            "BTCUSDT",
            "sell",
            Decimal("0.03"),
            Decimal(57_000),
            Decimal(0),
            9,
            "liquidation",
            Decimal(-90),
            Decimal(0),
        ),
        events.PositionClosed("BTCUSDT", 5, Decimal("-90.24"), Decimal("0.24")),
    )
    with closing(open_book(tmp_path)) as store:
        tell(store, happened)
    assert kinds(explain(ocw, tmp_path, "wake:1"))[3:] == [
        "score.taken", "exit.decided", "outside.filled", "position.closed",
    ]  # fmt: skip
    text = ocw("explain", "wake:1", "--state", tmp_path).out
    assert "exit rule max_loss closes BTCUSDT: it is 5.10% behind" in text
    assert "liquidation: sell 0.03 BTCUSDT at 57000, realised -90.00" in text


def test_explain_of_a_cancelling_wake_shows_the_entry_that_it_cancelled(ocw: Ocw, tmp_path: Path) -> None:
    cancel = Decision((Leg("BTCUSDT", Action.CANCEL, reasoning="it rests too long"),))
    happened = (
        *STORY[1:5],
        events.WakeRaised(2, (reasons.wake(None, "timer"),)), events.DecisionMade(2, "claude", 0, cancel),
        events.OrderCancelRequested(ENTRY, "cancelled by claude"), events.OrderCanceled(ENTRY, "on request"),
    )  # fmt: skip
    with closing(open_book(tmp_path)) as store:
        tell(store, happened)
    assert kinds(explain(ocw, tmp_path, "wake:2")) == ["order.cancel_requested", "order.canceled"]
    text = ocw("explain", "wake:2", "--state", tmp_path).out
    assert "CANCEL BTCUSDT" in text
    assert f"the entry {ENTRY} was canceled" in text


def test_explain_shows_the_moves_of_a_trailing_stop_on_one_line(ocw: Ocw, tmp_path: Path) -> None:
    second, third, fourth = (OrderRef(1, Purpose.STOP, revision) for revision in (1, 2, 3))
    protected = [
        events.PositionProtected("BTCUSDT", STOP, Decimal(59_000)),
        events.ProtectionSet("BTCUSDT", "claude", Decimal(59_500), None, Decimal("0.01"), 1),
        *(
            events.PositionProtected("BTCUSDT", ref, Decimal(price))
            for ref, price in ((second, 59_500), (third, 59_600), (fourth, 59_700))
        ),
    ]
    with closing(open_book(tmp_path)) as store:
        tell(store, (*STORY[1:6], *protected))
    steps = explain(ocw, tmp_path, "1")["steps"]
    assert [step.get("moves", 1) for step in steps][-3:] == [1, 1, 2]
    text = ocw("explain", "1", "--state", tmp_path).out
    assert "BTCUSDT stop 59000 -> 59500, trailing 1% by claude at wake 1" in text
    assert "BTCUSDT stop 59500 -> 59700 in 2 trailing moves" in text
    assert "still open" in text
