"""Whole processes: `ocw mcp` over standard input and output, and the engine that it starts."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from ocw_mcp.adapters.control.address import read_address
from ocw_mcp.adapters.store.directory import is_locked, lock_owner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "desk"
    yield directory
    if directory.exists() and is_locked(directory) and (pid := lock_owner(directory)) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command(desk: Path, *more: str) -> StdioServerParameters:
    arguments = ["-m", "ocw_mcp", "mcp", "--market", "sim", "--state", str(desk), *more]
    return StdioServerParameters(
        command=sys.executable, args=arguments, env={**os.environ, "BINANCE_API_KEY": "canary"}
    )


async def look(desk: Path, era: str) -> str:
    async with Client(stdio_client(command(desk)), mode=era) as client:
        assert len((await client.list_tools()).tools) == 25
        answered = await client.call_tool("ocw_get_status", {})
        block = answered.content[0]
        assert block.type == "text"
        assert not answered.is_error, block.text
        return block.text


async def test_two_clients_that_start_together_share_one_engine(desk: Path) -> None:
    both = await asyncio.gather(look(desk, "auto"), look(desk, "legacy"))
    assert all(each.startswith("[paper ") for each in both)
    owner = lock_owner(desk)
    assert owner is not None
    assert is_locked(desk)
    await look(desk, "auto")
    assert lock_owner(desk) == owner
    assert os.getsid(owner) == owner
    environment = Path(f"/proc/{owner}/environ")
    if environment.exists():
        assert b"canary" not in environment.read_bytes()
    address = read_address(desk)
    assert address is not None
    shown = subprocess.run(["ps", "-p", str(owner), "-o", "args="], capture_output=True, text=True, check=False).stdout
    assert address.token not in shown


async def test_killed_engine_is_restarted_at_the_next_tool_call(desk: Path) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(stdio_client(command(desk))))
        assert not (await client.call_tool("ocw_get_status", {})).is_error
        owner = lock_owner(desk)
        assert owner is not None
        os.kill(owner, signal.SIGKILL)
        while is_locked(desk):
            await asyncio.sleep(0.05)  # noqa: TID251 - waits for a process to die
        answered = await client.call_tool("ocw_get_status", {})
        assert not answered.is_error, answered.content
        assert lock_owner(desk) != owner


def test_tools_are_listed_without_importing_the_engine() -> None:
    """What a client waits for at its start: nothing but the SDK and the tools."""
    program = """
import sys
import ocw_mcp.app.attach, ocw_mcp.app.cli.clients, ocw_mcp.interfaces.mcp.bridge
print([each for each in ("numpy", "talib", "sqlite_utils", "fastapi", "ocw_mcp.engine.step") if each in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


async def test_first_answer_after_engine_start_has_current_prices(desk: Path) -> None:
    assert "STALE" not in (await look(desk, "legacy")).splitlines()[0]


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.2, 0.5])
async def test_call_during_engine_stop_is_answered_by_new_engine(desk: Path, after_s: float) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client(stdio_client(command(desk))))
        assert not (await client.call_tool("ocw_get_status", {})).is_error
        owner = lock_owner(desk)
        assert owner is not None
        os.kill(owner, signal.SIGTERM)
        await asyncio.sleep(after_s)  # noqa: TID251 - into the stopping of another process
        answered = await asyncio.wait_for(client.call_tool("ocw_get_status", {}), 40)
        acted = await asyncio.wait_for(client.call_tool("journal_note", {"text": "here", "key": "k"}), 40)
    assert not answered.is_error, answered.content
    block = acted.content[0]
    assert block.type == "text"
    # An order of any kind is never sent twice: it is done, or the client is told that the engine stopped.
    assert not acted.is_error or block.text.startswith(("ENGINE_STOPPED: ", "ENDED: ")), block.text


def test_invalid_json_gets_an_error_with_its_request_id(desk: Path) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    call = (
        '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"orders_preview","arguments":'
        '{"symbol":"BTCUSDT","action":"BUY","size":0.1,"stop":90000,"limit":%s}}}'
    )
    lines: list[bytes] = [
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}).encode(),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}',
        *((call % (number, given)).encode() for number, given in enumerate(("1e999", "-1e400", "NaN", "Infinity"), 2)),
        (call % (6, '"\\ud800"')).encode(),
        b"\xef\xbb\xbf" + (call % (7, "1")).encode(),
        b"{nothing",
        b'{"jsonrpc":"2.0","id":8,"method":"tools/list"}',
    ]
    start = command(desk)
    with subprocess.Popen(
        [start.command, *start.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=start.env
    ) as bridge:
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        bridge.stdin.write(b"\n".join(lines) + b"\n")
        bridge.stdin.flush()
        answers = [json.loads(bridge.stdout.readline()) for _ in range(9)]
        bridge.stdin.close()
        bridge.wait(timeout=30)
    codes = {each["id"]: each["error"]["code"] for each in answers if "error" in each}
    assert codes == dict.fromkeys((2, 3, 4, 5, 6, 7, None), -32700)
    assert {each["id"] for each in answers if "result" in each} == {1, 8}
    assert not desk.exists()
