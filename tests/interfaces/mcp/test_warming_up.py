"""Calls before the market begins wait or are refused; none is answered with history."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import INTERNAL_ERROR, CallToolResult

from ocw_mcp.interfaces.mcp.server import build
from tests.support.facades import FacadeRun
from tests.support.runs import Unhurried

OF_NOW = {
    "market_get_snapshot": {},
    "market_get_candles": {"symbol": "BTCUSDT", "timeframe": "1h"},
    "market_get_indicators": {"symbol": "BTCUSDT"},
    "derivatives_get_summary": {},
    "risk_check_order": {"symbol": "BTCUSDT", "action": "BUY", "size": "0.1", "stop": "1"},
    "orders_preview": {"symbol": "BTCUSDT", "action": "BUY", "size": "0.1", "stop": "1"},
}


def text(result: CallToolResult) -> str:
    block = result.content[0]
    assert block.type == "text"
    return block.text


class Midway(Unhurried):
    """Makes one call while the engine loads history."""

    def __init__(self) -> None:
        super().__init__()
        self.called = False
        self.call: Callable[[], Awaitable[None]] | None = None

    async def wait_until(self, at: int) -> None:
        if self.call is not None and not self.called:
            self.called = True
            await self.call()


@pytest.fixture
def clock() -> Midway:
    return Midway()


@pytest.fixture
def cold(tmp_path: Path, clock: Midway) -> Iterator[FacadeRun]:
    sim = FacadeRun(tmp_path, warmup_days=1, clock=clock)
    yield sim
    sim.store.close()


async def test_market_tool_is_refused_until_the_market_data_begins(cold: FacadeRun, clock: Midway) -> None:
    """After the longest wait the call is refused, with the next step."""
    async with Client(build(lambda: cold.facade, "1", warm_up_s=0.01)) as client:

        async def look() -> None:
            for tool, arguments in OF_NOW.items():
                answered = await client.call_tool(tool, arguments)
                assert answered.is_error, tool
                assert text(answered).startswith("WARMING_UP: "), tool
                assert "call again in 5 s" in text(answered)
            with pytest.raises(MCPError, match="WARMING_UP: ") as raised:
                await client.read_resource("ocw://snapshot/BTCUSDT")
            assert raised.value.code == INTERNAL_ERROR
            status = await client.call_tool("ocw_get_status", {})
            assert "STALE: the market has not begun" in text(status)

        clock.call = look
        await cold.go(1)
        assert clock.called
        assert not (await client.call_tool("market_get_snapshot", {})).is_error


async def test_first_calls_wait_until_the_warm_up_ends(cold: FacadeRun) -> None:
    async with Client(build(lambda: cold.facade, "1", warm_up_s=20)) as client:
        tools = ("ocw_get_status", "market_get_snapshot")
        calling = [asyncio.ensure_future(client.call_tool(tool, {})) for tool in tools]
        done, _ = await asyncio.wait(calling, timeout=0.05)
        assert not done
        await cold.go(1)
        for answered in await asyncio.gather(*calling):
            assert not answered.is_error
            assert "STALE" not in text(answered)


async def test_halt_is_accepted_before_the_warm_up_ends(cold: FacadeRun) -> None:
    async with Client(build(lambda: cold.facade, "1", warm_up_s=60)) as client:
        answered = await asyncio.wait_for(client.call_tool("risk_halt", {"key": "k"}), 10)
    assert not answered.is_error
