"""The characters of the MCP tools and of their answers, as clients show them to a model."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from mcp import Client
from mcp.types import CallToolResult, TextContent

from ocw_mcp import __version__
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.agent.decider import READS
from ocw_mcp.agent.tools import SUBMIT
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.serve import facade_of
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.mcp.server import build, tools
from ocw_mcp.runtime.clock import PacedClock

SYMBOL: Final = "ETHUSDT"
SPEED: Final = 60.0
"""Simulated time over real time: an entry fills within a second."""
PATIENCE_S: Final = 30.0

_Call = Callable[..., Awaitable[str]]


def measure() -> dict[str, Any]:
    """Return the characters of each tool's definition, and of its longest answer in a session that trades."""
    listed = {tool.name: definition(tool.name, tool.description, tool.parameters) for tool in tools(lambda: None)}  # type: ignore[arg-type,return-value]
    sizes = {name: len(text) for name, text in listed.items()}
    loop = sum(sizes[name] for name in (SUBMIT, *READS))
    return {
        "definitions": sizes | {"all": sum(sizes.values()), "decision_loop": loop},
        "answers": asyncio.run(_answers()),
    }


def definition(name: str, description: str, schema: dict[str, Any]) -> str:
    """Return a tool as it is sent to a model."""
    return _compact({"name": name, "description": description, "input_schema": schema})


def text_of(answer: CallToolResult) -> str:
    """Return an answer as most clients show it: its text."""
    return "\n".join(each.text for each in answer.content if isinstance(each, TextContent))


def shown_by_claude_code(answer: CallToolResult) -> str:
    """Return an answer as Claude Code shows it: structured content as JSON, without the text; otherwise the text."""
    if answer.structured_content is None or answer.is_error:
        return text_of(answer)
    return _compact(answer.structured_content)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def _answers() -> dict[str, dict[str, int]]:
    """Return the characters of the longest answer of each tool in a session of look, preview, place, protect, close."""
    found: dict[str, dict[str, int]] = {}
    with open_book(SimulatedFeed(1), load_policies(None), "none", clock=PacedClock(SPEED)) as (book, directory):
        facade = facade_of(book, directory)
        running = asyncio.ensure_future(book.run.run(__version__, HOUR))
        async with Client(build(lambda: facade, __version__, warm_up_s=PATIENCE_S)) as client:

            async def call(tool: str, **arguments: Any) -> str:
                answer = await client.call_tool(tool, arguments)
                sizes = {"claude_code": len(shown_by_claude_code(answer)), "text": len(text_of(answer))}
                found[tool] = max(found.get(tool, sizes), sizes, key=lambda each: each["claude_code"])
                return text_of(answer)

            await _session(call, lambda: facade.symbol(SYMBOL).last)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return found


async def _session(call: _Call, last: Callable[[], Any]) -> None:
    """Trade one symbol through the tools, and call each tool at least once."""
    for tool in ("ocw_get_status", "regime_get_current", "context_get", "weights_get", "portfolio_get", "policies_get"):
        await call(tool)
    await call("derivatives_get_summary", symbol=SYMBOL)
    await call("market_get_candles", symbol=SYMBOL)
    await call("market_get_indicators", symbol=SYMBOL)
    entry = {"symbol": SYMBOL, "action": "BUY", "stop": f"{last() * 0.97:.2f}"}
    await call("risk_check_order", **entry, size="0.1")
    await call("orders_preview", **entry, size="0.9")
    await _place(call, "waits", **entry, size="0.02", limit=f"{last() * 0.99:.2f}", target=f"{last() * 1.1:.2f}")
    order = (await call("orders_get")).splitlines()[1].split(" ")[0]
    await call("orders_cancel", order=order, key="cancel")
    await _place(call, "enters", **entry, size="0.02", leverage=2, target=f"{last() * 1.1:.2f}")
    async with asyncio.timeout(PATIENCE_S):
        while "stop" not in await call("positions_get"):
            await asyncio.sleep(0.1)  # noqa: TID251 - waits for the paced run
    await call("market_get_snapshot", symbol=SYMBOL)
    await call("positions_set_protection", symbol=SYMBOL, key="protect", stop=f"{last() * 0.975:.2f}")
    await call("positions_reduce", symbol=SYMBOL, share=0.5, key="reduce")
    await call("orders_preview", symbol=SYMBOL, action="SELL")
    await call("positions_close", symbol=SYMBOL, key="close", rationale="measured")
    await call("decisions_submit", wake=1, legs=[])
    await call("journal_note", text="measured", key="note")
    for tool in ("trades_search", "decisions_explain", "journal_get", "ocw_get_status"):
        await call(tool)
    await call("risk_halt", key="halt", why="measured")


async def _place(call: _Call, key: str, **order: Any) -> None:
    shown = await call("orders_preview", **order)
    preview_id = shown.partition("preview_id ")[2].partition(",")[0]
    await call("orders_place", preview_id=preview_id, key=key, rationale="measured")
