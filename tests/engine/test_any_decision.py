"""Legs with any numbers, fills, outside trades and restarts: each leg has an answer, and the engine never stops."""

from decimal import Decimal
from random import Random  # noqa: TID251 - seeded
from typing import Any

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import DecisionKey, Done, SubmitRequest
from ocw_mcp.domain.decision import NUMBERS, Action, Decision, Leg
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Accepted, Canceled, OutsideCause, OutsideFill, Purpose, Side
from ocw_mcp.domain.steps import Asked
from ocw_mcp.runtime.validation import validated_request
from tests.support.examples import slow_after
from tests.support.runs import policies
from tests.support.wire import Wire

D = Decimal
BTC = "BTCUSDT"
ODD = ("0", "-1", "NaN", "1e-6", "1e12", "0.0001", "1")
SHARES = ("0.01", "0.05", "0.5", "1")
PRICES = ("97", "98.5", "99.9", "100.1", "101.5", "103")
GATE = {"close_wakes": ["1m"], "close_wakes_in_position": ["1m"], "cooldown_s": 0}
APPROVED = {"above_notional": 500, "modes": [], "answer_s": 120}
MANDATE = {"amount": 1_000_000, "symbols": ["*"], "expires": "2100-01-01T00:00:00Z"}


def any_leg(rng: Random, wire: Wire) -> Leg:
    """A leg that often fits the position, with a number now and then that no order can have."""
    fitting = [Action.REDUCE, Action.PROTECT, Action.SELL, Action.COVER, Action.ADD]
    wanted = fitting if wire.held() else [Action.BUY, Action.SHORT, Action.CANCEL]
    action = rng.choice(wanted if rng.random() < 0.8 else list(Action))
    terms: dict[str, Any] = {}
    for name in action.fields:
        if name in NUMBERS and rng.random() < 0.6:
            usual = PRICES if name in ("stop", "target", "limit") else SHARES
            terms[name] = D(rng.choice(usual if rng.random() < 0.8 else ODD))
    return Leg(BTC, action, reasoning="why", **terms)


def decide(rng: Random, wire: Wire) -> None:
    """Answer the last wake, or correct its answer, and check that each leg has an answer."""
    wake = next(each.wake_id for each in reversed(wire.journal) if isinstance(each, events.WakeRaised))
    legs = tuple(any_leg(rng, wire) for _ in range(rng.randrange(4)))
    asked = SubmitRequest(f"k{len(wire.journal)}", "anna", wake, Decision(legs), rng.random() < 0.2)
    request = validated_request(asked, (BTC,))
    assert isinstance(request, SubmitRequest)
    wire.give(Asked(request))
    answer = wire.engine.answer(request)
    if isinstance(answer, Done):
        key = answer.decision or DecisionKey(wake)
        asking = [place for place, leg in enumerate(request.decision.legs) if leg.asks]
        assert all(wire.engine.executor.answers.get(key.leg(place)) for place in asking)


def venue(rng: Random, wire: Wire) -> None:
    """Some live orders are accepted, filled or cancelled, and other traders trade on the account."""
    for each in list(wire.engine.orders.live()):
        chance = rng.random()
        if chance < 0.5 and each.purpose in (Purpose.ENTRY, Purpose.EXIT):
            wire.fill(each.order, rng.choice([each.remaining, (each.remaining / 2).quantize(D("0.001")) or None]))
        elif chance < 0.8:
            wire.give(Accepted(each.ref, "v"))
        elif chance < 0.9:
            wire.give(Canceled(each.ref, "the venue"))
    if rng.random() < 0.2:
        number, side, size = len(wire.journal), rng.choice(list(Side)), D(rng.randrange(1, 4))
        wire.give(OutsideFill(f"x{number}", BTC, side, size, D(100), D(0), wire.now, OutsideCause.OTHER_TRADER))


def story(seed: int, *, restarts: bool) -> Wire:
    rng = Random(seed)
    tables: dict[str, Any] = {"approval": APPROVED, "mandate": MANDATE} if seed % 3 == 0 else {}
    wire = Wire(rng.choice(list(Product)), policies(gate=GATE, **tables))
    for _ in range(40):
        decide(rng, wire)
        venue(rng, wire)
        if rng.random() < 0.2:
            wire.command("approve", f"a{rng.randrange(1, 6)}")
        wire.command("resume")
        wire.tick({BTC: 100 + rng.gauss(0, 1)})
        assert wire.engine.snapshot(wire.now).symbols
        if restarts:
            wire.restart()
    return wire


@pytest.mark.parametrize("seed", slow_after(3, range(12)))
def test_any_decision_is_answered_and_survives_restarts(seed: int) -> None:
    once, often = story(seed, restarts=False), story(seed, restarts=True)
    assert str(once.journal) == str(often.journal)
    assert once.engine.state() == often.engine.state()
