"""Calls of the trading tools, as a client makes them."""

from typing import Any, cast

from mcp import Client
from mcp.types import CallToolResult, RequestParamsMeta

from ocw_mcp.domain.asks import TYPED
from tests.support.facades import FacadeRun

AS_PROGRAM = cast(RequestParamsMeta, {TYPED: True})
"""The `_meta` of a call that wants the typed result beside the text."""


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


def content(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text(result)
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def call(desk: FacadeRun, tool: str, era: str = "auto", **arguments: Any) -> CallToolResult:
    async with Client(desk.server, mode=era) as client:
        return await client.call_tool(tool, arguments, meta=AS_PROGRAM)


def price(desk: FacadeRun, symbol: str = "BTCUSDT") -> float:
    last = desk.facade.symbol(symbol).last
    assert isinstance(last, float)
    return last


async def previewed(desk: FacadeRun, era: str = "auto", **changes: Any) -> dict[str, Any]:
    wanted = {"symbol": "BTCUSDT", "action": "BUY", "size": "0.1", "stop": f"{price(desk) * 0.97:.1f}"} | changes
    return content(await call(desk, "orders_preview", era, **wanted))


async def placed(desk: FacadeRun, key: str, era: str = "auto", **changes: Any) -> CallToolResult:
    seen = await previewed(desk, era, **changes)
    return await call(desk, "orders_place", era, preview_id=seen["preview_id"], key=key, rationale="it looks right")


async def holding(desk: FacadeRun) -> FacadeRun:
    """Open a long position whose stop is at the venue."""
    await desk.go(1)
    content(await placed(desk, "enter"))
    await desk.go(2)
    assert desk.facade.positions()[0].stop is not None
    return desk
