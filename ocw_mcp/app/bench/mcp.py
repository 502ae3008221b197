"""Measures MCP calls of OCW relative to calls of the MCP SDK alone; the calls alternate, since the load may change."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer

from ocw_mcp import __version__
from ocw_mcp.adapters.control.address import Address, read_address
from ocw_mcp.adapters.control.tokens import add_token
from ocw_mcp.adapters.feeds.simulated import SimulatedFeed
from ocw_mcp.app.bench.answers import text_of
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.compose import WiredRun
from ocw_mcp.app.parsing import ListenAddress
from ocw_mcp.app.policy_loader import load_policies
from ocw_mcp.app.serve import facade_of, serve_engine
from ocw_mcp.domain.time import HOUR
from ocw_mcp.interfaces.mcp.server import build
from ocw_mcp.runtime.clock import SimulatedClock
from ocw_mcp.runtime.facade import Facade

ROUNDS: Final = 300
CLIENTS: Final = 50
TOKENS: Final = 5
"""Number of access tokens that the clients share, since the open requests per token are limited."""
CALLS: Final = 1_000
"""Number of calls of each client."""
STARTS: Final = 7
BOOK_HOURS: Final = 6
PROTOCOL: Final = "2026-07-28"

EMPTY_SERVER: Final = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("empty")
@server.tool()
async def nothing() -> str:
    return "ok"
server.run()
"""


def measure() -> dict[str, Any]:
    """Measure the ratios to the SDK and the response times with 50 clients, which takes some minutes."""
    with open_book(SimulatedFeed(1), load_policies(None)) as (book, directory):
        return asyncio.run(_measure(book, directory)) | _starts(directory)


async def _measure(book: WiredRun, directory: Path) -> dict[str, Any]:
    await book.run.run(__version__, BOOK_HOURS * HOUR)
    facade = facade_of(book, directory)
    found = await _in_process(facade)
    async with serve_engine(ListenAddress("127.0.0.1", 0), facade, directory):
        address = read_address(directory)
        assert address is not None
        found |= await _many_clients(address, [add_token(directory, "read", None, 0)[0] for _ in range(TOKENS)])
        found |= await _over_stdio(directory, address)
    return found


async def _in_process(facade: Facade) -> dict[str, Any]:
    """Return median durations (µs) of the status and snapshot tools, and of SDK tools with a constant text."""
    plain: MCPServer[Any] = MCPServer("plain", log_level="ERROR")
    async with AsyncExitStack() as stack:
        ocw = await stack.enter_async_context(Client(build(lambda: facade, __version__)))
        taken = text_of(await ocw.call_tool("market_get_snapshot", {}))

        @plain.tool()
        async def nothing() -> str:
            return "ok"

        @plain.tool()
        async def constant() -> str:
            return taken

        sdk = await stack.enter_async_context(Client(plain))
        empty, status = await _in_turns((sdk, "nothing"), (ocw, "ocw_get_status"))
        same, snapshot = await _in_turns((sdk, "constant"), (ocw, "market_get_snapshot"))
    return {
        "sdk_empty_tool_us": empty,
        "status_us": status,
        "status_ratio": round(status / empty, 2),
        "sdk_constant_snapshot_us": same,
        "snapshot_us": snapshot,
        "snapshot_ratio": round(snapshot / same, 2),
    }


async def _in_turns(*calls: tuple[Client, str]) -> list[float]:
    clock, taken = SimulatedClock(), [[0.0] * ROUNDS for _ in calls]
    for number in range(-10, ROUNDS):
        for place, (client, tool) in enumerate(calls):
            began = clock.wall_ms()
            await client.call_tool(tool, {})
            if number >= 0:
                taken[place][number] = (clock.wall_ms() - began) * 1_000
    return [round(median(each), 1) for each in taken]


async def _many_clients(address: Address, tokens: Sequence[str]) -> dict[str, Any]:
    """Return response times (ms) of many HTTP clients, each of which makes one call after the other."""
    clock, taken = SimulatedClock(), list[float]()
    errors = 0

    async def one(number: int) -> None:
        nonlocal errors
        async with _client(address, tokens[number % len(tokens)]) as client:
            for _ in range(CALLS):
                began = clock.wall_ms()
                answered = await client.call_tool("ocw_get_status", {})
                taken.append(clock.wall_ms() - began)
                errors += bool(answered.is_error)

    began = clock.wall_ms()
    ended = await asyncio.gather(*(one(number) for number in range(CLIENTS)), return_exceptions=True)
    errors += sum(isinstance(each, BaseException) for each in ended)
    taken.sort()
    return {
        "http_clients": CLIENTS,
        "http_calls": len(taken),
        "http_errors": errors,
        "http_calls_per_s": round(len(taken) / ((clock.wall_ms() - began) / 1_000)),
        "http_p50_ms": round(taken[len(taken) // 2], 1),
        "http_p99_ms": round(taken[len(taken) * 99 // 100], 1),
    }


@asynccontextmanager
async def _client(address: Address, token: str) -> AsyncIterator[Client]:
    headers = {"authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False))
        transport = streamable_http_client(f"{address.url}/mcp", http_client=http)
        yield await stack.enter_async_context(Client(transport, mode=PROTOCOL))


async def _over_stdio(directory: Path, address: Address) -> dict[str, Any]:
    """Return medians (ms) of a call through `ocw mcp` and of the same call over HTTP; this process runs the engine."""
    arguments = ["-m", "ocw_mcp", "mcp", "--state", str(directory)]
    bridge = stdio_client(StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ)))
    async with Client(bridge, mode="legacy") as stdio, _client(address, address.token) as http:
        through, direct = await _in_turns((stdio, "ocw_get_status"), (http, "ocw_get_status"))
    return {"stdio_p50_ms": round(through / 1_000, 1), "http_one_client_p50_ms": round(direct / 1_000, 1)}


def _starts(directory: Path) -> dict[str, Any]:
    """Return the seconds from process start to the list of tools, for an empty server of the SDK and `ocw mcp`."""
    empty = [sys.executable, "-c", EMPTY_SERVER]
    ocw = [sys.executable, "-m", "ocw_mcp", "mcp", "--state", str(directory / "none")]
    pairs = [(_seconds_to_list(empty), _seconds_to_list(ocw)) for _ in range(STARTS)]
    return {
        "sdk_stdio_list_s": round(median(first for first, _ in pairs), 3),
        "stdio_list_s": round(median(second for _, second in pairs), 3),
        "stdio_list_ratio": round(median(second / first for first, second in pairs), 2),
    }


def _seconds_to_list(command: list[str]) -> float:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    messages = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    ]
    clock = SimulatedClock()
    began = clock.wall_ms()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write("".join(f"{json.dumps(each)}\n" for each in messages))
        process.stdin.flush()
        while json.loads(process.stdout.readline()).get("id") != 2:
            pass
        taken = (clock.wall_ms() - began) / 1_000
        process.stdin.close()
        process.wait(timeout=30)
    return taken
