"""A correction of a decision: what it replaces, what it leaves, and how often it is taken."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import Done, SubmitRequest, submit_key
from ocw_mcp.domain.decision import Decision, Leg, WakeCondition
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.steps import DecisionReady, DecisionSubmitted
from ocw_mcp.engine.idempotency import Answer
from tests.support.legs import buy
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
SYMBOL = "BTCUSDT"
CLAUDE = "claude"
POLICY = policies(
    gate={"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0},
    decision={"deadline_s": 90, "idle_wakes": 2},
)
TOO_LARGE, SMALL = buy("97", size="0.9"), buy("97")
GOOD = WakeCondition(SYMBOL, "price", "gt", 200)
BAD = WakeCondition(SYMBOL, "vibes", "gt", 200)


@pytest.fixture
def wire() -> Wire:
    """An engine that waits for the decision of a model on its first wake."""
    return Wire(policy=POLICY, agent=CLAUDE, fallback=True)


def submit(wire: Wire, decision: Decision, *, tainted: bool = False) -> Answer | None:
    asked = wire.engine.decisions.open_request
    wake = asked.wake_id if asked is not None else 1
    request = SubmitRequest(submit_key(wake, decision), CLAUDE, wake, decision, tainted)
    wire.give(DecisionSubmitted(request, 0, D(0)))
    return wire.engine.answer(request)


def code(answer: Answer | None) -> RefusalCode:
    assert isinstance(answer, Refusal), f"taken: {answer}"
    return answer.code


def journaled(wire: Wire, kind: type) -> list[Any]:
    return [each for each in wire.journal if isinstance(each, kind)]


def with_note(decision: Decision, note: str) -> Decision:
    return msgspec.structs.replace(decision, note=note)


def note(wire: Wire) -> str | None:
    kept = wire.engine.decisions.state().note
    return None if kept is None else kept.text


def test_correction_of_conditions_alone_leaves_the_legs_and_their_answers(wire: Wire) -> None:
    first = submit(wire, msgspec.structs.replace(SMALL, wake_conditions=(BAD,)))
    assert isinstance(first, Done)
    assert first.refused
    answer = submit(wire, Decision(wake_conditions=(GOOD,)))
    assert isinstance(answer, Done)
    assert answer.refused == ()
    assert len(journaled(wire, events.OrderIntended)) == 1
    assert wire.engine.decisions.state().undone == ()
    assert code(submit(wire, Decision(wake_conditions=(BAD,)))) is RefusalCode.NO_WAKE


def test_decision_of_which_nothing_was_refused_is_not_corrected(wire: Wire) -> None:
    submit(wire, SMALL)
    assert code(submit(wire, Decision(wake_conditions=(GOOD,)))) is RefusalCode.NO_WAKE


def test_correction_after_the_deadline_is_refused(wire: Wire) -> None:
    submit(wire, TOO_LARGE)
    wire.minute += 2
    assert code(submit(wire, SMALL)) is RefusalCode.NO_WAKE
    assert journaled(wire, events.OrderIntended) == []


def test_second_correction_is_refused(wire: Wire) -> None:
    submit(wire, TOO_LARGE)
    assert isinstance(submit(wire, buy("97", size="0.8")), Done)
    assert code(submit(wire, SMALL)) is RefusalCode.NO_WAKE


def test_correction_after_foreign_text_is_tainted_and_drops_the_note_that_it_replaces(wire: Wire) -> None:
    submit(wire, with_note(TOO_LARGE, "long with 90 %"))
    assert note(wire) == "long with 90 %"
    answer = submit(wire, with_note(SMALL, "as the other client said"), tainted=True)
    assert isinstance(answer, Done)
    assert "note not kept: you had read text of another author" in answer.settled
    assert note(wire) is None
    (intended,) = journaled(wire, events.OrderIntended)
    assert intended.intent.tainted


def test_correction_of_a_tainted_decision_stays_tainted(wire: Wire) -> None:
    submit(wire, with_note(TOO_LARGE, "as the other client said"), tainted=True)
    submit(wire, with_note(SMALL, "smaller"))
    assert note(wire) is None
    (intended,) = journaled(wire, events.OrderIntended)
    assert intended.intent.tainted
    (corrected,) = journaled(wire, events.DecisionCorrected)
    assert corrected.tainted


def test_correction_without_a_note_keeps_the_note_of_the_decision(wire: Wire) -> None:
    submit(wire, with_note(TOO_LARGE, "first"))
    submit(wire, SMALL, tainted=True)
    assert note(wire) == "first"


def test_hold_whose_conditions_were_corrected_is_not_repeated(wire: Wire) -> None:
    submit(wire, Decision(wake_conditions=(BAD,)))
    submit(wire, Decision(wake_conditions=(GOOD,)))
    assert wire.engine.decisions.state().held is None


def test_corrected_leg_that_is_sent_ends_a_row_of_idle_decisions(wire: Wire) -> None:
    submit(wire, TOO_LARGE)
    assert wire.engine.decisions.state().idle == 1
    submit(wire, SMALL)
    assert wire.engine.decisions.state().idle == 0


def test_moved_stop_ends_a_row_of_idle_decisions() -> None:
    wire = Wire(policy=POLICY, agent=CLAUDE, fallback=True)
    submit(wire, SMALL)
    wire.fill(wire.last(Purpose.ENTRY))
    for stop, idle in (("98", 0), ("96", 1), ("96", 2)):
        ended = wire.engine.decisions.open_request
        assert ended is not None
        wire.give(DecisionReady(ended.wake_id, CLAUDE, 0, Decision(), D(0)))
        wire.tick({SYMBOL: 100.0})
        submit(wire, Decision((Leg(SYMBOL, "PROTECT", stop=stop),)))
        assert wire.engine.decisions.state().idle == idle


def test_leg_that_was_carried_out_and_is_repeated_is_not_carried_out_twice(wire: Wire) -> None:
    submit(wire, SMALL)
    wire.fill(wire.last(Purpose.ENTRY))
    wire.give(DecisionReady(1, CLAUDE, 0, Decision(), D(0)))
    wire.tick({SYMBOL: 100.0})
    reduce, loose, tight = (Leg(SYMBOL, "REDUCE", share="0.5"), Leg(SYMBOL, "PROTECT", stop="96"), Leg(SYMBOL, "HOLD"))
    first = submit(wire, Decision((reduce, loose)))
    assert isinstance(first, Done)
    exit_ = wire.last(Purpose.EXIT)
    wire.fill(exit_)
    held = wire.held()
    again = submit(wire, Decision((reduce, tight)))
    assert isinstance(again, Done)
    assert again.decision is not None
    answers = wire.engine.executor.answers
    assert answers.get(again.decision.leg(0)) == exit_.ref
    taken = answers.taken(again.decision.leg(0))
    assert taken is not None
    assert taken.share == D("0.5")
    assert wire.held() == held
    assert wire.last(Purpose.EXIT) == exit_
