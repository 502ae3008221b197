"""A scripted client over standard input and output, attached to a running engine: the session of docs/claude.md."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from ocw_mcp.adapters.control.address import read_address
from tests.support.trading import AS_PROGRAM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

HOUR_A_MINUTE = ("run", "--market", "sim", "--agent", "none", "--speed", "60", "--serve", "127.0.0.1:0")


@asynccontextmanager
async def engine(desk: Path) -> AsyncIterator[None]:
    """An engine that trades nothing by itself, a minute a second."""
    process = subprocess.Popen(
        [sys.executable, "-m", "ocw_mcp", *HOUR_A_MINUTE, "--state", str(desk)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while read_address(desk) is None:
            assert process.poll() is None, "the engine ended before it was served"
            await asyncio.sleep(0.05)  # noqa: TID251 - waits for another process
        yield
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


class Session:
    """One client, and what it was told."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The typed result of a call that succeeds."""
        answer = await self._client.call_tool(tool, arguments, meta=AS_PROGRAM)
        self._show(tool, arguments, answer.content[0])
        assert not answer.is_error, answer.content
        assert isinstance(answer.structured_content, dict)
        return answer.structured_content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """What a call that is refused is told."""
        answer = await self._client.call_tool(tool, arguments, meta=AS_PROGRAM)
        text = self._show(tool, arguments, answer.content[0])
        assert answer.is_error, text
        return text

    def _show(self, tool: str, arguments: dict[str, Any], block: Any) -> str:
        assert block.type == "text"
        text: str = block.text
        print(f"> {tool} {arguments}\n{text}\n")
        return text


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_each_step_of_a_client_session_is_journaled(tmp_path: Path, era: str) -> None:
    desk = tmp_path / "desk"
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "ocw_mcp", "mcp", "--market", "sim", "--state", str(desk)],
        env=dict(os.environ),
    )
    async with engine(desk), Client(stdio_client(command), mode=era) as client:
        call = Session(client)
        seen = await call("market_get_snapshot", symbol="ETHUSDT")
        while seen["meta"]["stale"]:
            await asyncio.sleep(0.2)  # noqa: TID251 - waits for another process
            seen = await call("market_get_snapshot", symbol="ETHUSDT")
        last = seen["symbols"][0]["readings"]["last"]
        wanted = {"symbol": "ETHUSDT", "action": "BUY", "stop": f"{last * 0.97:.2f}"}

        over = await call("orders_preview", **wanted, size="0.4")
        assert over["preview_id"] is None
        assert over["refusal"].startswith("POSITION_SHARE: ")
        assert float(over["largest"]) > 0
        largest = await call("risk_check_order", **wanted, quantity=over["largest"])
        assert largest["passes"]

        preview = await call("orders_preview", **wanted, size="0.1")
        placed = await call(
            "orders_place", preview_id=preview["preview_id"], key="eth-1", rationale="the range broke upwards"
        )
        again = await call("orders_place", preview_id=preview["preview_id"], key="eth-1", rationale="asked twice")
        assert again["order"] == placed["order"]
        held = (await call("positions_get"))["positions"]
        while not held or held[0]["stop"] is None:
            await asyncio.sleep(0.2)  # noqa: TID251 - waits for another process
            held = (await call("positions_get"))["positions"]
        assert held[0]["quantity"] == preview["quantity"]

        tighter = f"{last * 0.975:.2f}"
        assert (await call("positions_set_protection", symbol="ETHUSDT", key="eth-2", stop=tighter))["order"]
        looser = await call.refused("positions_set_protection", symbol="ETHUSDT", key="eth-3", stop=wanted["stop"])
        assert looser.startswith("LOOSER_STOP: ")
        assert f"limit={tighter}" in looser

        halted = await call("risk_halt", key="halt-1", why="enough for today")
        assert halted["meta"]["state"] == "HALTED"
        more = await call("orders_preview", symbol="ETHUSDT", action="ADD", size="0.01")
        assert more["refusal"].startswith("NOT_ACTIVE: ")

        journal = await call("journal_get", about="desk", limit=80)
        told = "\n".join(journal["events"])
        assert f"mcp:attached/mcp requested: BUY {preview['quantity']} ETHUSDT" in told
        assert "the range broke upwards" in [each["untrusted_text"] for each in journal["said"]]
        assert told.count("mcp:attached/mcp requested: stop ") == 2
        orders = await call("journal_get", about="orders", limit=80)
        assert "protect of ETHUSDT: LOOSER_STOP" in "\n".join(orders["events"])
        assert "halted by mcp:attached/mcp" in told
