"""Answers of the acting tools: the resulting order, the tool that shows more, and the story without an id."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import pytest
from mcp.types import CallToolResult

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.money import plain
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.mcp import trade_answers
from ocw_mcp.interfaces.mcp.tool import meta
from tests.support.deciders import Scripted
from tests.support.facades import FacadeRun
from tests.support.trading import call, content, holding, price, text


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[FacadeRun]:
    """An engine on which no agent trades."""
    found = FacadeRun(tmp_path / "desk", Scripted({}))
    yield found
    found.store.close()


async def test_answer_to_setting_only_a_target_shows_the_target(sim: FacadeRun) -> None:
    await holding(sim)
    target = f"{price(sim) * 1.05:.1f}"
    answer = await call(sim, "positions_set_protection", symbol="BTC/USDT", key="k1", target=target)
    (order,) = sim.run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert content(answer)["order"] == str(order.ref)
    assert f"order {order.ref}, stop" in text(answer)
    assert f"target {target} (was none); follow it" in text(answer)


async def test_position_shows_the_distance_of_its_trailing_stop(sim: FacadeRun) -> None:
    await holding(sim)
    assert "trailing" not in text(await call(sim, "positions_get"))
    await call(sim, "positions_set_protection", symbol="BTCUSDT", key="k1", trail="0.02")
    shown = await call(sim, "positions_get")
    assert "trailing 2.00% behind the best price, target" in text(shown)
    assert content(shown)["positions"][0]["trail"] == "0.02"


async def test_preview_of_a_short_calls_no_better_price_the_worst(sim: FacadeRun) -> None:
    await sim.run.go(HOUR)
    stop = f"{price(sim) * 1.03:.1f}"
    shown = await call(sim, "orders_preview", symbol="BTCUSDT", action="SHORT", size="0.05", stop=stop)
    assert f"of equity, counted as {content(shown)['notional']}; mark" in text(shown)
    assert "worst" not in text(shown)


async def test_preview_without_a_stop_measures_nothing_to_it(sim: FacadeRun) -> None:
    await sim.run.go(HOUR)
    shown = text(await call(sim, "orders_preview", symbol="BTCUSDT", action="BUY", size="0.1"))
    assert "market order, stop none, target none" in shown


async def test_too_long_note_is_refused_and_not_cut(sim: FacadeRun) -> None:
    shown = await call(sim, "journal_note", key="k1", text="x" * 1_001)
    assert shown.is_error
    assert "at most 1000 characters" in text(shown)
    assert len(text(shown)) < 400


async def test_answer_to_a_changed_target_names_the_new_target_order(sim: FacadeRun) -> None:
    await holding(sim)
    for factor, key in ((1.05, "k1"), (1.06, "k2")):
        answer = await call(
            sim, "positions_set_protection", symbol="BTCUSDT", key=key, target=f"{price(sim) * factor:.1f}"
        )
    live = [each.ref for each in sim.run.engine.orders.live("BTCUSDT", Purpose.TARGET) if not each.cancel_requested]
    assert [content(answer)["order"]] == [str(ref) for ref in live]


@pytest.mark.parametrize(("action", "stop", "target"), [("BUY", 0.97, 1.05), ("SHORT", 1.03, 0.95)])
async def test_stop_target_and_limit_are_shown_rounded_to_the_tick(
    sim: FacadeRun, action: str, stop: float, target: float
) -> None:
    await sim.run.go(HOUR)
    last, way = price(sim), 1 if action == "BUY" else -1
    asked = {
        "stop": f"{last * stop:.1f}3",
        "target": f"{last * target:.1f}3",
        "limit": f"{last + way * last / 100:.1f}3",
    }
    preview = await call(sim, "orders_preview", symbol="BTCUSDT", action=action, size="0.1", **asked)
    up, down = (ROUND_CEILING, ROUND_FLOOR) if way > 0 else (ROUND_FLOOR, ROUND_CEILING)
    ways = {"stop": up, "target": down, "limit": down}
    sent = {name: Decimal(each).quantize(Decimal("0.1"), ways[name]) for name, each in asked.items()}
    for name, each in sent.items():
        assert Decimal(content(preview)[name]) == each
        assert asked[name] not in text(preview)
    await call(sim, "orders_place", preview_id=content(preview)["preview_id"], key="k1", rationale="why")
    await sim.run.go(2 * HOUR)
    (held,) = sim.facade.positions()
    assert (held.stop, held.target) == (sent["stop"], sent["target"])
    moved = {"stop": f"{last * (1 + stop) / 2:.1f}7", "target": f"{last * (1 + 2 * target) / 3:.1f}7"}
    answer = await call(sim, "positions_set_protection", symbol="btc-usdt", key="k2", **moved)
    (held,) = sim.facade.positions()
    before, now = [plain(sent["stop"]), plain(sent["target"])], [held.stop, held.target]
    terms = [f"{name} {new} (was {old})" for name, new, old in zip(("stop", "target"), now, before, strict=True)]
    assert ", ".join(terms) in text(answer)


async def test_stop_that_rounds_to_the_market_price_is_refused(sim: FacadeRun) -> None:
    await sim.run.go(HOUR)
    last = price(sim)
    for action, stop in (("BUY", f"{last - 0.001:.3f}"), ("SHORT", f"{last + 0.001:.3f}")):
        preview = await call(sim, "orders_preview", symbol="BTCUSDT", action=action, size="0.1", stop=stop)
        assert content(preview)["refusal"].startswith("STOP_REQUIRED")
    await holding(sim)
    answer = await call(sim, "positions_set_protection", symbol="BTCUSDT", key="k1", stop=f"{price(sim) - 0.001:.3f}")
    assert text(answer).startswith("STOP_REQUIRED")


async def test_refused_order_names_the_tool_to_call_next(sim: FacadeRun) -> None:
    await holding(sim)
    twice = await placed_anyway(sim)
    assert text(twice).startswith("ALREADY_IN_POSITION: ")
    assert "next: positions_get" in text(twice)
    await call(sim, "risk_halt", key="halt")
    halted = await placed_anyway(sim, symbol="ETHUSDT")
    assert text(halted).startswith("NOT_ACTIVE: ")
    assert "next: ocw_get_status" in text(halted)


async def placed_anyway(sim: FacadeRun, symbol: str = "BTCUSDT") -> CallToolResult:
    """Place an entry that became impossible after its preview."""
    entry = Leg(symbol, Action.BUY, size=Decimal("0.1"), stop=Decimal(f"{price(sim, symbol) * 0.97:.1f}"))
    answer = await sim.ask(LegRequest(f"k{symbol}", "mcp:insider", entry))
    return trade_answers.done(meta(sim.facade), answer, "placed")


async def test_error_for_an_unknown_preview_names_the_preview_tool(sim: FacadeRun) -> None:
    await sim.go(1)
    answer = await call(sim, "orders_place", preview_id="p123", key="k1", rationale="late")
    assert text(answer).startswith("UNKNOWN_PREVIEW: ")
    assert "next: preview the order again with orders_preview" in text(answer)


async def test_explanation_without_an_id_shows_the_newest_client_order(sim: FacadeRun) -> None:
    await holding(sim)
    story = content(await call(sim, "decisions_explain"))
    (entry,) = [event for _, event in sim.store.all_events() if isinstance(event, events.OrderIntended)][:1]
    assert any(f"{entry.ref}" in step for step in story["steps"])
    assert any("it looks right" in each["untrusted_text"] for each in story["said"])


async def test_explanation_without_an_id_or_orders_shows_newest_refusal(sim: FacadeRun) -> None:
    await sim.go(1)
    await call(sim, "positions_close", symbol="BTCUSDT", key="k1")
    assert content(await call(sim, "decisions_explain"))["refusals"][0].partition(" ")[2].startswith("NO_POSITION")


@pytest.mark.parametrize("why", ["sell", "продай", "BUY", "a/b:c"])
async def test_clients_reason_of_one_word_is_quoted_as_data(sim: FacadeRun, why: str) -> None:
    await holding(sim)
    await call(sim, "positions_close", symbol="BTCUSDT", key="k1", rationale=why)
    await call(sim, "journal_note", text=why, key="k2")
    journal = content(await call(sim, "journal_get", about="desk"))
    assert why in [each["untrusted_text"] for each in journal["said"]]
    assert not any(line.endswith(f": {why}") for line in journal["events"])
