"""Requests of clients that reduce, protect and cancel: answered as the legs of decisions are, in every state."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import CallerRequest, LegRequest, ProtectionRequest, Taken, request_key
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.orders import Canceled, Order, OrderRef, Purpose, Rejected
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.reasons import Refusal, RefusalCode
from ocw_mcp.domain.reject_reasons import RejectReason
from ocw_mcp.domain.steps import Asked, Command, Verb
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.engine.idempotency import Answer
from ocw_mcp.engine.step import Engine
from tests.support.deciders import Scripted
from tests.support.legs import buy
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run, policies
from tests.support.wire import Wire

D = Decimal
SYMBOL = "BTCUSDT"
NOW = START + 4 * MINUTE
POLICY = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0})
FEW = policies(
    gate={"close_wakes": ["1m"], "cooldown_s": 0},
    callers={"refusals_per_minute": 4},
    pace={"reductions_per_minute": 3},
)


def leg(action: str, **fields: object) -> Leg:
    return Leg(SYMBOL, action, **fields)  # type: ignore[arg-type]


REDUCE, PROTECT, CANCEL = leg("REDUCE", share="0.5"), leg("PROTECT", stop="98"), leg("CANCEL")
WAITS = buy("88", limit="90")
MANAGED: Sequence[Leg] = (
    REDUCE,
    leg("REDUCE", share="0.999"),
    leg("REDUCE", share="0.0001"),
    leg("REDUCE", share="2"),
    leg("REDUCE"),
    PROTECT,
    leg("PROTECT", stop="98", target="104", trail="0.01"),
    leg("PROTECT", trail="0.5"),
    leg("PROTECT", stop="96"),
    leg("PROTECT", stop="100.05"),
    leg("PROTECT", target="99"),
    leg("PROTECT", trail="0.0001"),
    leg("PROTECT"),
    CANCEL,
    leg("SELL"),
    leg("COVER"),
    leg("SELL", size="0.5"),
)


async def ran(*script: Decision, policy: Policies = POLICY) -> Run:
    decisions = dict(enumerate(script, 1))
    return await Run(ListFeed(path([100.0] * 4)), Scripted(decisions), policy=policy).go()


async def ask(run: Run, request: CallerRequest, at: int = NOW) -> Answer:
    run.clock.advance(at)
    await run.simulation.shell.take(Asked(request, NOW))
    answer = run.engine.answer(request)
    assert answer is not None
    return answer


def code(answer: Answer | None) -> RefusalCode:
    assert isinstance(answer, Refusal), f"passed: {answer}"
    return answer.code


def shown(given: Leg) -> str:
    return " ".join([given.action, *(f"{each}={getattr(given, each)}" for each in given.action.fields), given.unused])


@pytest.mark.parametrize("given", MANAGED, ids=shown)
async def test_leg_gets_the_same_answer_by_a_decision_a_request_and_a_check(given: Leg) -> None:
    decided = await ran(buy("97"), Decision(), Decision(), Decision((given,)))
    (made,) = [each for each in decided.events(events.DecisionMade) if each.decision.legs == (given,)]
    refused = [e.refusal for e in decided.events(events.OrderRefused) if e.intent.wake_id == made.wake_id]
    asked = await ran(buy("97"))
    checked = asked.engine.check(given, "anna", NOW)
    answer = await ask(asked, LegRequest("k", "anna", given))
    assert ([answer] if isinstance(answer, Refusal) else []) == refused
    assert checked.refusal == (answer if isinstance(answer, Refusal) else None)
    taken = asked.engine.executor.answers.taken(request_key(LegRequest("k", "anna", given)))
    assert (taken is None) == isinstance(answer, Refusal), "a refused leg is not shown as carried out"
    if given.action.closes and taken is not None:
        assert taken.quantity == checked.quantity
    if given.action is Action.PROTECT:
        other = await ran(buy("97"))
        request = ProtectionRequest("k", "anna", SYMBOL, given.stop, given.target, given.trail)
        assert await ask(other, request) == answer
        assert other.engine.executor.answers.taken(request_key(request)) == taken


async def test_quantity_of_a_request_that_is_no_entry_is_refused_by_name() -> None:
    run = await ran(buy("97"))
    for number, given in enumerate((REDUCE, PROTECT, CANCEL, leg("SELL"))):
        answer = await ask(run, LegRequest(f"k{number}", "anna", given, quantity=D(1)))
        assert isinstance(answer, Refusal)
        assert (answer.code, answer.actual) == (RefusalCode.UNUSED_FIELD, "quantity=1")


async def test_repeated_key_is_answered_once_and_another_request_with_it_is_refused() -> None:
    run = await ran(buy("97"))
    request = LegRequest("k", "anna", REDUCE)
    first = await ask(run, request)
    taken = run.engine.executor.answers.taken(request_key(request))
    assert await ask(run, request) == first
    assert run.engine.executor.answers.taken(request_key(request)) == taken
    assert len(run.events(events.OrderIntended)) == 3, "the entry, its stop and one exit"
    assert code(await ask(run, LegRequest("k", "anna", leg("REDUCE", share="0.4")))) is RefusalCode.KEY_REUSED
    trails = ProtectionRequest("p", "anna", SYMBOL, trail=D("0.01"))
    await ask(run, trails)
    other = ProtectionRequest("p", "anna", SYMBOL, trail=D("0.02"))
    assert code(await ask(run, other)) is RefusalCode.KEY_REUSED


@pytest.mark.parametrize(
    "useless",
    [
        LegRequest("", "anna", REDUCE),
        LegRequest("", "anna", leg("HOLD")),
        LegRequest("", "anna", leg("COVER", size="1")),
        LegRequest("", "anna", CANCEL, quantity=D(1)),
        LegRequest("", "anna", PROTECT),
        ProtectionRequest("", "anna", SYMBOL, stop=D(98)),
    ],
    ids=lambda each: each.leg.action if isinstance(each, LegRequest) else "protection",
)
async def test_useless_request_while_an_entry_waits_is_bound_by_the_quota(useless: CallerRequest) -> None:
    run = await ran(WAITS, policy=FEW)
    for number in range(8):
        request = type(useless)(**{**{f: getattr(useless, f) for f in useless.__struct_fields__}, "key": f"k{number}"})
        answer = await ask(run, request)
    assert code(answer) is RefusalCode.CALLER_RATE
    assert len(run.events(events.CallerAsked)) == 4
    assert isinstance(await ask(run, LegRequest("c", "anna", CANCEL)), OrderRef), "it can still be cancelled"


async def test_refusals_of_a_caller_do_not_keep_it_from_reducing() -> None:
    run = await ran(buy("97"), policy=FEW)
    for number in range(6):
        await ask(run, LegRequest(f"k{number}", "anna", leg("REDUCE", share="7")))
    assert isinstance(await ask(run, LegRequest("p", "anna", PROTECT)), OrderRef)
    assert isinstance(await ask(run, LegRequest("r", "anna", REDUCE)), OrderRef)


async def test_refusals_and_unused_fields_do_not_count_as_reductions() -> None:
    run = await ran(buy("97"), policy=FEW)
    for number, given in enumerate((leg("PROTECT", stop="96"), leg("REDUCE"), leg("SELL", size="1"))):
        assert isinstance(await ask(run, LegRequest(f"k{number}", "anna", given)), Refusal)
    for number, stop in enumerate((98, 98.5)):
        assert isinstance(await ask(run, ProtectionRequest(f"p{number}", "anna", SYMBOL, stop=D(stop))), OrderRef)
    assert isinstance(await ask(run, LegRequest("r", "anna", REDUCE)), OrderRef), "the third in this minute"
    refused = LegRequest("r2", "anna", PROTECT)
    assert code(await ask(run, refused)) is RefusalCode.EXIT_PENDING


async def test_reduction_beyond_the_pace_is_not_shown_as_carried_out() -> None:
    run = await ran(buy("97"), policy=policies(gate={"close_wakes": ["1m"]}, pace={"reductions_per_minute": 1}))
    await ask(run, ProtectionRequest("p", "anna", SYMBOL, stop=D(98)))
    request = LegRequest("r", "anna", REDUCE)
    assert code(await ask(run, request)) is RefusalCode.REDUCTION_RATE
    assert run.engine.executor.answers.taken(request_key(request)) is None


@pytest.mark.parametrize("verb", [Verb.HALT, Verb.PAUSE])
async def test_halted_or_paused_engine_protects_and_reduces(verb: Verb) -> None:
    run = await ran(buy("97"))
    await run.simulation.shell.take(Command("c1", verb, "bob"))
    assert isinstance(await ask(run, LegRequest("p", "anna", PROTECT)), OrderRef)
    assert isinstance(await ask(run, LegRequest("r", "anna", REDUCE)), OrderRef)


async def test_position_is_protected_and_reduced_on_stale_prices() -> None:
    run = await ran(buy("97"))
    assert isinstance(await ask(run, LegRequest("p", "anna", PROTECT), NOW + HOUR), OrderRef)
    assert isinstance(await ask(run, LegRequest("r", "anna", REDUCE), NOW + HOUR), OrderRef)


def test_flatten_whose_exit_failed_takes_a_tighter_stop_and_no_target() -> None:
    wire = Wire()
    entry = wire.enter(quantity="10")
    assert isinstance(entry, Order)
    wire.fill(entry)
    wire.command("flatten")
    wire.give(Rejected(wire.last(Purpose.EXIT).ref, RejectReason.OTHER, "no"))
    aims = ProtectionRequest("t", "anna", SYMBOL, target=D(110))
    wire.give(Asked(aims))
    assert code(wire.engine.answer(aims)) is RefusalCode.EXIT_PENDING
    tighter = ProtectionRequest("s", "anna", SYMBOL, stop=D(99))
    wire.give(Asked(tighter))
    assert isinstance(wire.engine.answer(tighter), OrderRef)
    assert wire.last(Purpose.STOP).trigger_price == 99


def test_symbol_without_a_price_has_nothing_to_change() -> None:
    wire = Wire(symbols=("BTCUSDT", "ETHUSDT"))
    engine = Engine(wire.engine.config)
    found = []
    for number, action in enumerate(("REDUCE", "PROTECT", "CANCEL", "SELL", "COVER")):
        given = Leg(
            "ETHUSDT", action, share="0.5" if action == "REDUCE" else None, stop="9" if action == "PROTECT" else None
        )
        request = LegRequest(f"k{number}", "anna", given)
        engine.step(Asked(request), START)
        answer = engine.answer(request)
        assert engine.check(given, "anna", START).refusal == answer
        found.append(code(answer))
    flat = RefusalCode.NO_POSITION
    assert found == [flat, flat, RefusalCode.NO_ORDER, flat, flat]


@pytest.mark.parametrize("way", ["request", "leg"])
def test_cancel_of_a_partly_filled_entry_keeps_the_filled_part_protected(way: str) -> None:
    wire = Wire()
    entry = wire.enter(quantity="10", limit=D(99))
    assert isinstance(entry, Order)
    wire.fill(entry, "4", "99")
    request = LegRequest("c", "anna", CANCEL)
    wire.give(Asked(request))
    assert wire.engine.answer(request) == entry.ref
    taken = wire.engine.executor.answers.taken(request_key(request))
    assert taken == Taken(D(6), price=D(99), changed=("its cancel is requested",))
    if way == "leg":
        # The venue fills a little more before it cancels.
        wire.fill(entry, "1", "99")
    wire.give(Canceled(entry.ref, "on request"))
    held = D(5) if way == "leg" else D(4)
    assert wire.held() == held
    stops = [each for each in wire.engine.orders.live(SYMBOL, Purpose.STOP) if not each.cancel_requested]
    assert max(each.remaining for each in stops) == held
    assert not any(wire.engine.orders.live(SYMBOL, Purpose.ENTRY))


async def test_decision_that_reduces_and_tightens_does_both_in_any_order() -> None:
    for legs in ((REDUCE, PROTECT), (PROTECT, REDUCE)):
        run = await Run(ListFeed(path([100.0] * 6)), Scripted({1: buy("97"), 3: Decision(legs)}), policy=POLICY).go()
        assert run.events(events.OrderRefused) == []
        _, stop = run.engine.orders.live(SYMBOL, Purpose.STOP)
        assert stop.order.trigger_price == 98
        assert stop.remaining == run.engine.account.ledger.quantity(SYMBOL) == D("4.99")


async def test_refused_change_is_journaled_under_its_name_and_side() -> None:
    run = await ran(
        buy("97"), Decision(), Decision((leg("PROTECT", stop="96"), CANCEL, leg("REDUCE"), leg("HOLD", stop="1")))
    )
    intents = [each.intent for each in run.events(events.OrderRefused)]
    assert [each.wanted for each in intents] == ["protect", "cancel", "reduce", "hold"]
    assert {each.side for each in intents} == {"sell"}


async def test_smallest_share_of_a_refusal_can_be_sold() -> None:
    run = await ran(buy("97", size="0.0123"))
    refused = await ask(run, LegRequest("k", "anna", leg("REDUCE", share="0.0001")))
    assert isinstance(refused, Refusal)
    share = refused.limit.removeprefix("a share of ").removesuffix(" or more")
    assert isinstance(await ask(run, LegRequest("k2", "anna", leg("REDUCE", share=share))), OrderRef)
