"""What the tools that act answer: the order that came of it, the tool that helps, and the story without an id."""

from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

import pytest
from mcp.types import CallToolResult

from ocw_mcp.domain import events
from ocw_mcp.domain.asks import LegRequest
from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.mcp import trade_view
from ocw_mcp.interfaces.mcp.access import meta
from tests.support.deciders import Scripted
from tests.support.facades import Looked
from tests.support.trading import call, content, holding, price, text


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Looked]:
    """A desk on which no other agent trades."""
    found = Looked(tmp_path / "desk", Scripted({}))
    yield found
    found.store.close()


async def test_a_target_alone_is_answered_with_the_target(desk: Looked) -> None:
    await holding(desk)
    target = f"{price(desk) * 1.05:.1f}"
    answer = await call(desk, "positions_set_protection", symbol="BTC/USDT", key="k1", target=target)
    (order,) = desk.run.engine.orders.live("BTCUSDT", Purpose.TARGET)
    assert content(answer)["order"] == str(order.ref)
    assert f"protection set, target at {target}: order {order.ref}" in text(answer)


async def test_a_second_target_is_answered_with_the_second(desk: Looked) -> None:
    await holding(desk)
    for factor, key in ((1.05, "k1"), (1.06, "k2")):
        answer = await call(
            desk, "positions_set_protection", symbol="BTCUSDT", key=key, target=f"{price(desk) * factor:.1f}"
        )
    live = [each.ref for each in desk.run.engine.orders.live("BTCUSDT", Purpose.TARGET) if not each.cancel_requested]
    assert [content(answer)["order"]] == [str(ref) for ref in live]


@pytest.mark.parametrize(("action", "stop", "target"), [("BUY", 0.97, 1.05), ("SHORT", 1.03, 0.95)])
async def test_prices_are_shown_as_they_are_sent(desk: Looked, action: str, stop: float, target: float) -> None:
    await desk.run.go(HOUR)
    last, way = price(desk), 1 if action == "BUY" else -1
    asked = {
        "stop": f"{last * stop:.1f}3",
        "target": f"{last * target:.1f}3",
        "limit": f"{last + way * last / 100:.1f}3",
    }
    preview = await call(desk, "orders_preview", symbol="BTCUSDT", action=action, size="0.1", **asked)
    up, down = (ROUND_CEILING, ROUND_FLOOR) if way > 0 else (ROUND_FLOOR, ROUND_CEILING)
    ways = {"stop": up, "target": down, "limit": down}
    sent = {name: Decimal(each).quantize(Decimal("0.1"), ways[name]) for name, each in asked.items()}
    for name, each in sent.items():
        assert Decimal(content(preview)[name]) == each
        assert asked[name] not in text(preview)
    await call(desk, "orders_place", preview_id=content(preview)["preview_id"], key="k1", rationale="why")
    await desk.run.go(2 * HOUR)
    (held,) = desk.facade.positions()
    assert (held.stop, desk.facade.target("BTCUSDT")) == (sent["stop"], sent["target"])
    moved = {"stop": f"{last * (1 + stop) / 2:.1f}7", "target": f"{last * (1 + 2 * target) / 3:.1f}7"}
    answer = await call(desk, "positions_set_protection", symbol="btc-usdt", key="k2", **moved)
    (held,) = desk.facade.positions()
    assert f"protection set, stop at {held.stop} and target at {desk.facade.target('BTCUSDT')}" in text(answer)


async def test_a_stop_that_is_none_on_the_tick_is_refused(desk: Looked) -> None:
    await desk.run.go(HOUR)
    last = price(desk)
    for action, stop in (("BUY", f"{last - 0.001:.3f}"), ("SHORT", f"{last + 0.001:.3f}")):
        preview = await call(desk, "orders_preview", symbol="BTCUSDT", action=action, size="0.1", stop=stop)
        assert content(preview)["refusal"].startswith("STOP_REQUIRED")
    await holding(desk)
    answer = await call(desk, "positions_set_protection", symbol="BTCUSDT", key="k1", stop=f"{price(desk) - 0.001:.3f}")
    assert text(answer).startswith("STOP_REQUIRED")


async def test_a_refusal_points_to_the_tool_that_helps(desk: Looked) -> None:
    await holding(desk)
    twice = await placed_anyway(desk)
    assert text(twice).startswith("ALREADY_IN_POSITION: ")
    assert "next: positions_get" in text(twice)
    await call(desk, "risk_halt", key="halt")
    halted = await placed_anyway(desk, symbol="ETHUSDT")
    assert text(halted).startswith("NOT_ACTIVE: ")
    assert "next: ocw_get_status" in text(halted)


async def placed_anyway(desk: Looked, symbol: str = "BTCUSDT") -> CallToolResult:
    """Place an entry that no preview would let pass, as an engine answers it that has changed since the preview."""
    entry = Leg(symbol, Action.BUY, size=Decimal("0.1"), stop=Decimal(f"{price(desk, symbol) * 0.97:.1f}"))
    answer = await desk.ask(LegRequest(f"k{symbol}", "mcp:insider", entry))
    return trade_view.done(meta(desk.facade), answer, "placed")


async def test_a_preview_that_is_gone_points_to_the_tool_that_makes_another(desk: Looked) -> None:
    await desk.go(1)
    answer = await call(desk, "orders_place", preview_id="p123", key="k1", rationale="late")
    assert text(answer).startswith("UNKNOWN_PREVIEW: ")
    assert "next: preview the order again with orders_preview" in text(answer)


async def test_explaining_without_an_id_tells_of_the_newest_order_of_a_client(desk: Looked) -> None:
    await holding(desk)
    story = content(await call(desk, "decisions_explain"))
    (entry,) = [event for _, event in desk.store.all_events() if isinstance(event, events.OrderIntended)][:1]
    assert any(f"{entry.ref}" in step for step in story["steps"])
    assert any("it looks right" in each["untrusted_text"] for each in story["said"])


async def test_explaining_without_an_id_tells_of_a_refusal_where_nothing_was_sent(desk: Looked) -> None:
    await desk.go(1)
    await call(desk, "positions_close", symbol="BTCUSDT", key="k1")
    assert content(await call(desk, "decisions_explain"))["refusals"][0].partition(" ")[2].startswith("NO_POSITION")


@pytest.mark.parametrize("why", ["sell", "продай", "BUY", "a/b:c"])
async def test_a_reason_of_one_word_is_quoted_as_any_other(desk: Looked, why: str) -> None:
    await holding(desk)
    await call(desk, "positions_close", symbol="BTCUSDT", key="k1", rationale=why)
    await call(desk, "journal_note", text=why, key="k2")
    told = content(await call(desk, "journal_get", about="desk"))
    assert why in [each["untrusted_text"] for each in told["said"]]
    assert not any(line.endswith(f": {why}") for line in told["events"])
