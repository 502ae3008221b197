"""One caller cannot lock others out, and the open requests of a revoked token end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from ocw_mcp.adapters.control.tokens import Keyring, add_token, revoke_token
from ocw_mcp.interfaces import auth, serving
from ocw_mcp.interfaces.auth import AuthMiddleware
from tests.support.facades import FacadeRun
from tests.support.served import Served, bearer, served

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
LIST = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
MCP_HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    yield found
    found.store.close()


@pytest.fixture
async def endpoint(sim: FacadeRun, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(sim.facade, tmp_path) as found:
        yield found


def head(token: str, length: int, path: str = "/mcp") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def is_served(endpoint: Served, token: str) -> bool:
    """Return whether a caller is served over a new connection."""
    async with httpx2.AsyncClient(base_url=endpoint.url, headers=bearer(token)) as client:
        return (await client.get("/status")).status_code == 200


async def begin(endpoint: Served, token: str) -> str:
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=MCP_HEADERS | bearer(token))
    return str(begun.headers["mcp-session-id"])


async def lists(endpoint: Served, token: str, session: str) -> int:
    headers = MCP_HEADERS | bearer(token) | {"mcp-session-id": session}
    return (await endpoint.client.post("/mcp", json=LIST, headers=headers)).status_code


async def test_slowly_sent_body_gets_a_timeout_despite_new_bytes(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "BODY_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(head(endpoint.token, 1_000))

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)  # noqa: TID251 - a client that sends one byte at a time

    dripping = asyncio.ensure_future(drip())
    async with asyncio.timeout(2):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    writer.close()


async def test_client_that_disconnects_within_a_body_logs_nothing(
    endpoint: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for length in (0, 5):
        _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(head(endpoint.token, 50) + b"{" * length)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert await is_served(endpoint, endpoint.token)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_caller_at_its_buffer_limit_does_not_block_another_caller(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MOST_BUFFERED", 100_000)
    first, held = await asyncio.open_connection("127.0.0.1", endpoint.port)
    held.write(head(endpoint.token, 90_000) + b" " * 80_000)
    await held.drain()
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
    writer.write(head(endpoint.token, 90_000) + b" " * 80_000)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        assert await lists(endpoint, endpoint.trader, await begin(endpoint, endpoint.trader)) == 200
        held.write(b" " * 10_000)
        assert (await first.readline()).startswith(b"HTTP/1.1 400 "), "it is whole, no JSON, and answered"
    assert await lists(endpoint, endpoint.token, await begin(endpoint, endpoint.token)) == 200
    for each in (held, writer):
        each.close()


@pytest.mark.parametrize("busy", [True, False])
async def test_caller_with_too_many_connections_does_not_block_another(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(serving, "MOST_OF_ONE", 6)
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 8)
    greedy = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(20)]
    for reader, writer in greedy:
        writer.write(head(endpoint.token, 50 if busy else 1))
        if not busy:
            writer.write(b"1")
            await reader.readline()
    if busy:
        answered = [asyncio.ensure_future(reader.readline()) for reader, _ in greedy]
        await asyncio.wait(answered, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert all(each.result().startswith(b"HTTP/1.1 503 ") for each in answered if each.done())
    assert await is_served(endpoint, endpoint.trader)
    for _, writer in greedy:
        writer.close()
    if busy:
        await asyncio.gather(*answered, return_exceptions=True)


async def test_caller_gets_reserved_connections_when_others_use_all_the_rest(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    greedy = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(8)]
    for _, writer in greedy:
        writer.write(head(endpoint.token, 50))
    async with asyncio.timeout(5):
        assert await is_served(endpoint, endpoint.trader)
    for _, writer in greedy:
        writer.close()


async def test_many_connections_without_a_token_block_no_caller(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_UNKNOWN", 5)
    silent = [await asyncio.open_connection("127.0.0.1", endpoint.port) for _ in range(40)]
    async with asyncio.timeout(5):
        assert await is_served(endpoint, endpoint.token)
        assert sum(await asyncio.gather(*(ends(reader) for reader, _ in silent[:30]))) == 30
    for _, writer in silent:
        writer.close()


class NeverAnswers:
    """An application that never answers; `full` is set as soon as `expected` requests are open."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.full = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._missing -= 1
        if self._missing == 0:
            self.full.set()
        await asyncio.Event().wait()


async def ends(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_request_beyond_the_open_request_quota_is_refused_immediately(tmp_path: Path) -> None:
    token, _ = add_token(tmp_path, "read", None, 0)
    app = NeverAnswers(auth.MOST_OPEN)
    transport = httpx2.ASGITransport(app=AuthMiddleware(app, Keyring(tmp_path), (), lambda route, status: None))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        streams = [asyncio.ensure_future(client.get("/mcp")) for _ in range(auth.MOST_OPEN)]
        await app.full.wait()
        refused = await client.get("/mcp")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        for each in streams:
            each.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def test_session_beyond_quota_ends_only_the_callers_longest_idle_one(
    endpoint: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "SESSIONS", 3)
    other = await begin(endpoint, endpoint.trader)
    mine = [await begin(endpoint, endpoint.token) for _ in range(3)]
    assert await lists(endpoint, endpoint.token, mine[0]) == 200, "which makes it the one that was used last"
    mine.append(await begin(endpoint, endpoint.token))
    assert [await lists(endpoint, endpoint.token, each) for each in mine] == [200, 404, 200, 200]
    assert await lists(endpoint, endpoint.trader, other) == 200


async def test_streams_of_a_revoked_token_end_within_a_second(
    endpoint: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, row = add_token(tmp_path, "trade", "late", 0)
    async with AsyncExitStack() as stack:
        bodies = []
        for each in (token, endpoint.trader):
            headers = bearer(each) | {"accept": "text/event-stream", "mcp-session-id": await begin(endpoint, each)}
            stream = await stack.enter_async_context(endpoint.client.stream("GET", "/mcp", headers=headers))
            assert stream.status_code == 200
            bodies.append(asyncio.ensure_future(stream.aread()))
        revoke_token(tmp_path, row.name)
        done, still = await asyncio.wait(bodies, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        assert (done, still) == ({bodies[0]}, {bodies[1]})
        assert not bodies[0].exception()
        bodies[1].cancel()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_open_call_of_a_revoked_token_ends(tmp_path: Path) -> None:
    token, row = add_token(tmp_path, "trade", None, 0)
    app = NeverAnswers(1)
    transport = httpx2.ASGITransport(app=AuthMiddleware(app, Keyring(tmp_path), (), lambda route, status: None))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        waiting = asyncio.ensure_future(client.post("/mcp", content=b"{}"))
        await app.full.wait()
        revoke_token(tmp_path, row.name)
        async with asyncio.timeout(1.0):
            assert (await waiting).status_code == 401
