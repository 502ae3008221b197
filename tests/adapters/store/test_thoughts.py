"""Causes and LLM costs of decisions, read from a journal."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.adapters.store.views.decisions import DecisionCost, find_thoughts
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DecisionCorrected, DecisionDiscarded, DecisionEnded, DecisionMade, DomainEvent
from tests.adapters.store.books import open_book, tell

D = Decimal
BUYS = Decision((Leg("BTCUSDT", Action.BUY),))
EVENTS: list[DomainEvent] = [
    DecisionMade(1, "claude", 5_000, BUYS, D("0.01")),
    DecisionCorrected(1, "claude", BUYS, 9_000, D("0.002")),
    DecisionEnded(1, Cause(CauseKind.TIMEOUT, "late"), D("0.09")),
    DecisionMade(2, "claude", 4_000, Decision(cause=Cause(CauseKind.MODEL_HOLDS, "Nothing moved.")), D("0.004")),
    DecisionMade(3, "rules", 6_000, Decision(cause=Cause(CauseKind.SERVER, "500"))),
    DecisionDiscarded(3, "too late", D("0.001")),
    DecisionMade(4, "claude", 7_000, BUYS, D("0.02")),
    DecisionEnded(4, Cause(CauseKind.IMPOSSIBLE, "refused"), D("0.003")),
    DecisionMade(4, "rules", 7_000, Decision(cause=Cause(CauseKind.IMPOSSIBLE, "refused"))),
]
FOUND = [
    (1, 5_000, Cause(CauseKind.TIMEOUT, "late"), D("0.102")),
    (2, 4_000, Cause(CauseKind.MODEL_HOLDS, "Nothing moved."), D("0.004")),
    (3, 6_000, Cause(CauseKind.SERVER, "500"), D("0.001")),
    (4, 7_000, Cause(CauseKind.IMPOSSIBLE, "refused"), D("0.023")),
]


def thoughts(directory: Path, limit: int) -> list[DecisionCost]:
    return ask_book(directory, lambda db, book: find_thoughts(db, limit))


def test_decision_of_each_wake_has_its_cause_and_llm_cost(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)) as store:
        tell(store, tuple(EVENTS))
    found = thoughts(tmp_path, 100)
    assert [(each.wake_id, each.thinking_ms, each.cause, each.cost_usd) for each in found] == FOUND
    assert [each.wake_id for each in thoughts(tmp_path, 2)] == [4]


def test_book_without_decisions_has_no_decision_costs(tmp_path: Path) -> None:
    with closing(open_book(tmp_path)):
        pass
    assert thoughts(tmp_path, 10) == []
