"""The bridge lists the tools itself and forwards calls to the running engine."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, Implementation, PromptReference, TextResourceContents

from ocw_mcp.adapters.control.address import Address
from ocw_mcp.adapters.control.tokens import add_token, revoke_token
from ocw_mcp.domain import events
from ocw_mcp.domain.errors import AttachError, SettingsError
from ocw_mcp.interfaces.mcp.bridge import Bridge
from ocw_mcp.interfaces.mcp.server import build
from tests.support.facades import FacadeRun
from tests.support.served import Served, served


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(6))
    yield found
    found.store.close()


WRONG_PROMPTS: list[tuple[str, dict[str, Any], str]] = [
    ("post_mortem", {}, "argument trade"),
    ("post_mortem", {"trade": " "}, "argument trade.*an empty text"),
    ("pre_trade_checklist", {"action": "buying"}, "argument symbol"),
    ("morning_review", {"symbol": "X"}, "no argument 'symbol'"),
    ("nothing", {}, "UNKNOWN_PROMPT"),
]


class Known:
    """Returns engine addresses one after the other; a silent engine is skipped."""

    def __init__(self, *addresses: Address) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def __call__(self, silent: Address | None = None) -> Address:
        self.asked += 1
        if silent is not None:
            self.addresses.remove(silent)
        if not self.addresses:
            raise AttachError("no engine runs")
        return self.addresses[0]


def address(endpoint: Served) -> Address:
    return Address(endpoint.url, endpoint.token, 1)


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert block.type == "text"
    return block.text


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_bridge_lists_the_engines_tools_without_an_engine(sim: FacadeRun, era: str) -> None:
    attach = Known()
    async with Client(Bridge(attach, "1").server, mode=era) as bridged:
        listed = (await bridged.list_tools()).tools
    async with Client(build(lambda: sim.facade, "1"), mode=era) as direct:
        assert listed == (await direct.list_tools()).tools
    assert attach.asked == 0


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_bridge_returns_the_engines_own_answer_to_a_call(sim: FacadeRun, tmp_path: Path, era: str) -> None:
    async with (
        served(sim.facade, tmp_path) as endpoint,
        Client(Bridge(Known(address(endpoint)), "1").server, mode=era) as c,
    ):
        for tool, arguments in (("portfolio_get", {}), ("market_get_candles", {"symbol": "X"}), ("trades_search", {})):
            async with Client(build(lambda: sim.facade, "1")) as direct:
                expected = await direct.call_tool(tool, arguments)
            answered = await c.call_tool(tool, arguments)
            assert (answered.content, answered.structured_content, answered.is_error) == (
                expected.content,
                expected.structured_content,
                expected.is_error,
            )


async def test_bridge_uses_another_engine_if_the_first_does_not_answer(sim: FacadeRun, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(served(sim.facade, tmp_path))
        attach = Known(Address("http://127.0.0.1:9", "gone", 1), address(endpoint))
        client = await stack.enter_async_context(Client(Bridge(attach, "1").server))
        assert not (await client.call_tool("ocw_get_status", {})).is_error
        assert attach.asked == 2


async def test_bridge_call_without_an_engine_returns_an_error(sim: FacadeRun) -> None:
    async with Client(Bridge(Known(), "1").server) as client:
        answered = await client.call_tool("ocw_get_status", {})
    assert answered.is_error
    assert text(answered) == "NO_ENGINE: no engine runs. next: report it to the operator"


async def test_bridge_does_not_retry_an_engine_that_refuses_its_token(sim: FacadeRun, tmp_path: Path) -> None:
    async with served(sim.facade, tmp_path) as endpoint:
        revoke_token(tmp_path, "read-1")
        attach = Known(address(endpoint))
        async with Client(Bridge(attach, "1").server) as client:
            answered = await client.call_tool("ocw_get_status", {})
    assert text(answered).startswith("UNAUTHORIZED: ")
    assert endpoint.token not in text(answered)
    assert attach.asked == 1


async def test_bridge_does_not_forward_a_call_of_an_unknown_tool(sim: FacadeRun) -> None:
    attach = Known()
    async with Client(Bridge(attach, "1", ["market"]).server) as client:
        for tool in ("portfolio_get", "rm", ""):
            assert text(await client.call_tool(tool, {})).startswith("UNKNOWN_TOOL: ")
    assert attach.asked == 0
    with pytest.raises(SettingsError, match="no toolset 'nothing'"):
        Bridge(attach, "1", ["nothing"])


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_bridge_forwards_resources_prompts_and_completions(sim: FacadeRun, tmp_path: Path, era: str) -> None:
    async with (
        served(sim.facade, tmp_path) as endpoint,
        Client(Bridge(Known(address(endpoint)), "1").server, mode=era) as c,
    ):
        async with Client(build(lambda: sim.facade, "1"), mode=era) as direct:
            assert (await c.list_resources()).resources == (await direct.list_resources()).resources
            assert (await c.list_prompts()).prompts == (await direct.list_prompts()).prompts
            templates = (await c.list_resource_templates()).resource_templates
            assert templates == (await direct.list_resource_templates()).resource_templates
        read = (await c.read_resource("ocw://snapshot/ETHUSDT")).contents[0]
        assert isinstance(read, TextResourceContents)
        assert "ETHUSDT" in read.text
        with pytest.raises(MCPError, match="UNKNOWN_SYMBOL: "):
            await c.read_resource("ocw://snapshot/DOGEUSDT")
        assert (await c.get_prompt("post_mortem", {"trade": "order:3"})).messages
        symbols = await c.complete(PromptReference(name="pre_trade_checklist"), {"name": "symbol", "value": "e"})
        assert symbols.completion.values == ["ETHUSDT"]


async def test_reading_a_resource_without_an_engine_returns_an_error() -> None:
    async with Client(Bridge(Known(), "1").server) as client:
        with pytest.raises(MCPError, match="NO_ENGINE: no engine runs"):
            await client.read_resource("ocw://status")


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_client_name_is_journaled_and_grants_nothing(tmp_path: Path, era: str) -> None:
    names = {
        "Claude Desktop": "mcp:attached/claude-desktop",
        "../mcp:claude\n": "mcp:attached/mcp-claude",
        "x" * 90: f"mcp:attached/{'x' * 20}",
        "ракета": "mcp:attached",
    }
    sim = FacadeRun(tmp_path / "desk")
    await sim.go(3)
    async with served(sim.facade, tmp_path) as endpoint:
        tokens = [(add_token(tmp_path, "trade", "attached", 0)[0], names), (endpoint.trader, {"rules": "mcp:trade-1"})]
        for token, called in tokens:
            bridge = Bridge(Known(Address(endpoint.url, token, 1)), "1")
            for number, (name, principal) in enumerate(called.items()):
                info = Implementation(name=name, version="1")
                async with Client(bridge.server, mode=era, client_info=info) as client:
                    key = f"{number}{token[-4:]}"
                    noted = await client.call_tool("journal_note", {"text": "mine", "key": key})
                    assert not noted.is_error, text(noted)
                *_, last = sim.store.events_after(0)
                assert isinstance(last.event, events.CallerAsked)
                assert last.event.request.principal == principal
    sim.store.close()


@pytest.mark.parametrize("agent", ["rules", "attached", "none"])
async def test_first_bridge_answer_has_the_notice_about_the_engines_agent(tmp_path: Path, agent: str) -> None:
    sim = FacadeRun(tmp_path / "desk", agent=agent)
    await sim.go(1)
    async with served(sim.facade, tmp_path) as endpoint, Client(Bridge(Known(address(endpoint)), "1").server) as client:
        first, second = [await client.call_tool("positions_get", {}) for _ in range(2)]
        status = await client.call_tool("ocw_get_status", {})
    own = {"rules": "agent rules trades this book on its own", "attached": "the rules decide each wake", "none": ""}
    notices = [notice for notice in own.values() if notice and notice in text(first)]
    assert notices == ([own[agent]] if own[agent] else [])
    if own[agent]:
        assert text(first).splitlines()[1].startswith(own[agent])
    assert text(second) == text(first).replace(f"{text(first).splitlines()[1]}\n" if notices else "", "", 1)
    assert own[agent] in text(status)
    sim.store.close()


class Engine:
    """A server that answers each request with the next answer of a list; None closes the connection instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with closing(writer):
            while head := await _head(reader):
                self.bodies.append(await reader.readexactly(int(head["content-length"])))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()


async def _head(reader: asyncio.StreamReader) -> dict[str, str]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[1:-1]
    except asyncio.IncompleteReadError:
        return {}
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def http(status: str, body: str, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


def result(said: str, **structured: Any) -> str:
    answer = {
        "resultType": "complete",
        "content": [{"type": "text", "text": said}],
        "structuredContent": {"meta": {}, "positions": []} | structured,
        "isError": False,
    }
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": answer})


@asynccontextmanager
async def engine(*answers: bytes | None) -> AsyncIterator[tuple[Engine, Address]]:
    found = Engine(*answers)
    server = await asyncio.start_server(found, "127.0.0.1", 0)
    async with server:
        yield found, Address(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "t", 1)


NAMED = {
    "UNAUTHORIZED": http("401 No", '{"error": "UNAUTHORIZED: this route asks for a token."}'),
    "TOO_LARGE": http("413 No", "Request body too large", "text/plain"),
    "BUSY": http("503 No", '{"error": "BUSY: too much at once."}'),
    "SLOW_BODY": http("408 No", '{"error": "SLOW_BODY: too slow."}'),
    "BAD_ANSWER": http("200 OK", "<html>", "text/html"),
    "BAD_ANSWER: the server at the address is not an engine": http("404 No", '{"error": "no such page"}'),
    "ENGINE_STOPPED": None,
}


@pytest.mark.parametrize("code", NAMED)
async def test_unusable_engine_answer_becomes_an_error_with_its_own_code(code: str) -> None:
    async with engine(NAMED[code]) as (there, where), Client(Bridge(Known(where), "1").server) as client:
        answered = await client.call_tool("risk_halt", {"key": "k"})
    assert answered.is_error
    assert text(answered).startswith(code)
    assert len(there.bodies) == 1


async def test_bridge_calls_share_one_connection() -> None:
    answers = [http("200 OK", result(str(number))) for number in range(5)]
    async with engine(*answers) as (there, where), Client(Bridge(Known(where), "1").server) as client:
        for _ in range(4):
            assert not (await client.call_tool("positions_get", {})).is_error
    # The fifth request asks for the notice about the agent.
    assert (there.connections, len(there.bodies)) == (1, 5)


async def test_agent_notice_is_added_even_if_the_answer_contains_its_text() -> None:
    notice = "agent rules trades this book"
    answers = [http("200 OK", result(f"head\n{notice}")), http("200 OK", result("status", engine={"notice": notice}))]
    async with engine(*answers) as (_, where), Client(Bridge(Known(where), "1").server) as client:
        answered = await client.call_tool("positions_get", {})
    assert text(answered).splitlines() == ["head", notice, notice]


async def test_agent_notice_is_added_later_if_the_status_request_fails() -> None:
    notice = "agent rules trades this book"
    status = http("200 OK", result("status", engine={"notice": notice}))
    answers = [http("200 OK", result("first")), NAMED["BUSY"], http("200 OK", result("second")), status]
    async with engine(*answers) as (_, where), Client(Bridge(Known(where), "1").server) as client:
        assert text(await client.call_tool("positions_get", {})) == "first"
        assert text(await client.call_tool("positions_get", {})).splitlines() == ["second", notice]


async def test_bridge_repeats_reads_at_a_new_engine_but_no_orders() -> None:
    again = [http("200 OK", result("here"))] * 2
    async with engine(None, None) as (first, gone), engine(*again) as (second, where):
        async with Client(Bridge(Known(gone, where), "1").server) as client:
            assert text(await client.call_tool("positions_get", {})) == "here"
        async with Client(Bridge(Known(gone, where), "1").server) as client:
            stopped = await client.call_tool("positions_close", {"symbol": "BTCUSDT", "key": "k"})
    assert text(stopped).startswith("ENGINE_STOPPED: ")
    assert "the same key" in text(stopped)
    assert (len(first.bodies), len(second.bodies)) == (2, 2)


async def test_error_while_finding_an_engine_keeps_its_code() -> None:
    async def attach(silent: Address | None = None) -> Address:
        raise AttachError("it stopped serving", "ENGINE_STOPPING")

    async with Client(Bridge(attach, "1").server) as client:
        assert text(await client.call_tool("positions_get", {})).startswith("ENGINE_STOPPING: it stopped serving")
        with pytest.raises(MCPError, match="ENGINE_STOPPING: "):
            await client.read_resource("ocw://status")


async def test_bridge_refuses_too_large_arguments_without_sending_them() -> None:
    async with engine() as (there, where), Client(Bridge(Known(where), "1").server) as client:
        answered = await client.call_tool("journal_note", {"text": "x" * (1 << 20), "key": "k"})
    assert text(answered).startswith("TOO_LARGE: ")
    assert not there.bodies


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_progress_of_a_long_call_reaches_the_client(era: str) -> None:
    note = {"progressToken": 1, "progress": 3.0, "total": 9.0, "message": "warming up"}
    events = [json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": note}), result("done")]
    stream = ": ping\r\n\r\n" + "".join(f"event: message\r\ndata: {each}\r\n\r\n" for each in events)
    seen: list[tuple[float, float | None, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    answers = [http("200 OK", stream, "text/event-stream"), http("200 OK", result("status"))]
    async with engine(*answers) as (_, where), Client(Bridge(Known(where), "1").server, mode=era) as client:
        answered = await client.call_tool("positions_get", {}, progress_callback=heard)
    assert text(answered) == "done"
    assert seen == [(3.0, 9.0, "warming up")]


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_prompt_without_its_argument_starts_no_engine(era: str) -> None:
    attach = Known()
    async with Client(Bridge(attach, "1").server, mode=era) as client:
        for name, given, said in WRONG_PROMPTS:
            with pytest.raises(MCPError, match=said) as raised:
                await client.get_prompt(name, given)
            assert raised.value.code == -32602
    assert attach.asked == 0
