"""A refusal names the first problem to correct, and a largest size only if a size helps."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import SubmitRequest
from ocw_mcp.domain.canonical import canonical
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.reasons import RefusalCode
from ocw_mcp.domain.steps import Command, DecisionSubmitted
from ocw_mcp.domain.time import MINUTE
from tests.support.deciders import Scripted
from tests.support.legs import buy, short
from tests.support.markets import ListFeed, candle, path
from tests.support.runs import Commands, Run, policies

D = Decimal
QUARTER = policies(gate={"close_wakes": ["1m"], "cooldown_s": 0}, position={"max_share": "0.25"})


async def ran(script: dict[int, Any], policy: Any = QUARTER, commands: Commands | None = None) -> Run:
    return await Run(ListFeed(path([100.0] * 5)), Scripted(script), policy=policy, commands=commands).go()


def refused(run: Run, leg: Leg, quantity: str | None = None, *, later_ms: int = 0) -> Any:
    asked = None if quantity is None else D(quantity)
    refusal = run.engine.check(leg, "anna", run.clock.now() + later_ms, asked).refusal
    assert refusal is not None
    return refusal


BUY = Leg("BTCUSDT", Action.BUY, size=D("0.1"), stop=D(97))
SHORT = Leg("BTCUSDT", Action.SHORT, size=D("0.1"), stop=D(103))
ADD = Leg("BTCUSDT", Action.ADD, size=D("0.1"))


@pytest.mark.parametrize("leg", [BUY, SHORT, ADD, msgspec.structs.replace(BUY, size=D(10))])
@pytest.mark.parametrize("script", [{}, {1: buy("97")}, {1: short("103")}, {4: buy("95", limit="96")}])
async def test_an_entry_refused_for_several_reasons_names_the_halt(script: dict[int, Any], leg: Leg) -> None:
    run = await ran(script)
    run = await Run(
        ListFeed(path([100.0] * 5)),
        Scripted({}),
        policy=QUARTER,
        commands=Commands([Command("c1", "halt", "ann")]),
        store=run.store.reopened(),
    ).go()
    refusal = refused(run, leg)
    assert (refusal.code, refusal.limit, refusal.actual) == (RefusalCode.NOT_ACTIVE, "ACTIVE", "HALTED")
    assert str(refusal).endswith("limit=ACTIVE actual=HALTED")


async def test_a_refusal_names_stale_data_or_barred_symbol_before_position() -> None:
    run = await ran({1: buy("97")})
    assert refused(run, BUY).code is RefusalCode.ALREADY_IN_POSITION
    assert refused(run, BUY, later_ms=3_600_000).code is RefusalCode.STALE_DATA
    only_eth = QUARTER.model_copy(update={"symbols": QUARTER.symbols.model_copy(update={"allow": ("ETH*",)})})
    again = await Run(ListFeed(path([100.0] * 5)), Scripted({}), policy=only_eth, store=run.store.reopened()).go()
    assert refused(again, BUY).code is RefusalCode.SYMBOL_NOT_ALLOWED


async def test_a_refusal_names_a_halt_before_a_missing_first_price() -> None:
    late = [*path([100.0] * 4), *[candle(place, 50.0, symbol="ETHUSDT") for place in range(9, 11)]]
    run = Run(ListFeed(late), Scripted({}), policy=QUARTER, commands=Commands([Command("c1", "halt", "ann")]))
    await run.go(for_ms=3 * 60_000)
    assert refused(run, msgspec.structs.replace(BUY, symbol="ETHUSDT")).code is RefusalCode.NOT_ACTIVE


@pytest.mark.parametrize("leg", [BUY, SHORT])
@pytest.mark.parametrize(("size", "quantity"), [("10", None), ("0", None), ("NaN", None), ("1", "-1"), ("1", "NaN")])
async def test_a_missing_size_is_refused_with_the_largest_size(leg: Leg, size: str, quantity: str | None) -> None:
    run = await ran({})
    refusal = refused(run, msgspec.structs.replace(leg, size=D(size)), quantity)
    assert refusal.code is RefusalCode.BAD_SIZE
    assert refusal.largest * D("100.2") <= 2_500 < (refusal.largest + D("0.01")) * D("100.2")
    if quantity is None:
        assert f" largest size={plain(refusal.largest_in_unit)}" in str(refusal)
        assert D("0.2499") < refusal.largest_in_unit <= D("0.25")
    else:
        assert f" largest={plain(refusal.largest)}" in str(refusal)
    assert run.engine.check(leg, "anna", run.clock.now(), refusal.largest).refusal is None
    assert refused(run, leg, str(refusal.largest + D("0.01"))).code is RefusalCode.POSITION_SHARE


@pytest.mark.parametrize("size", ["10", "0.9", "0.3"])
async def test_largest_size_of_a_tainted_entry_passes_both_policies(size: str) -> None:
    strict = policies(order={"max_notional": 500})
    thinking = Scripted({}, thinking_ms=10 * MINUTE)
    run = await Run(ListFeed(path([100.0] * 2)), thinking, policy=QUARTER, strict=strict).go()
    for asked in (D(size), None):
        decision = buy("97", str(asked or run.events(events.OrderRefused)[0].refusal.largest * D("100.2") / 10_000))
        wake = run.engine.decisions.state().last_wake
        request = SubmitRequest(f"k{asked}", "anna", wake, decision, tainted=True)
        await run.simulation.shell.take(DecisionSubmitted(request, 0))
    (refusal,) = [each.refusal for each in run.events(events.OrderRefused)]
    assert refusal.largest * D("100.2") <= 500 < (refusal.largest + D("0.001")) * D("100.2")
    assert [each.intent.quantity for each in run.events(events.OrderIntended)] == [refusal.largest]


async def test_an_entry_with_invalid_limit_price_or_stop_is_refused() -> None:
    run = await ran({})
    assert refused(run, msgspec.structs.replace(BUY, size=D(10), limit=D("0.0001"))).largest == 0
    assert refused(run, msgspec.structs.replace(BUY, limit=D("0.0001"))).code is RefusalCode.BAD_LIMIT
    nothing = msgspec.structs.replace(BUY, action=Action.ADD, stop=D("NaN"))
    assert refused(await ran({1: buy("97")}), nothing).code is RefusalCode.STOP_REQUIRED


async def test_a_refusal_has_a_largest_size_only_if_some_size_passes() -> None:
    run = await ran({1: buy("97", size="10"), 2: buy("97", size="0.3"), 3: buy("99.99999", size="0.1"), 4: buy("101")})
    stored = [canonical(0, 0, event) for event in run.events(events.OrderRefused)]
    assert [b'"largest":' in each for each in stored] == [True, True, False, False]
    for event in run.events(events.OrderRefused):
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event
