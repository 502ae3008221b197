"""One caller cannot lock others out, and what a revoked token holds open ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from ocw_mcp.adapters.control.tokens import Keyring, add_token, revoke_token
from ocw_mcp.interfaces import auth, quotas, serving
from ocw_mcp.interfaces.auth import AuthMiddleware
from tests.support.facades import Looked
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
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    found = Looked(tmp_path_factory.mktemp("looked"))
    yield found
    found.store.close()


@pytest.fixture
async def door(looked: Looked, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(looked.facade, tmp_path) as found:
        yield found


def head(token: str, length: int, path: str = "/mcp") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def is_served(door: Served, token: str) -> bool:
    """Whether a caller gets in over a connection of its own."""
    async with httpx2.AsyncClient(base_url=door.url, headers=bearer(token)) as client:
        return (await client.get("/status")).status_code == 200


async def begin(door: Served, token: str) -> str:
    begun = await door.client.post("/mcp", json=INITIALIZE, headers=MCP_HEADERS | bearer(token))
    return str(begun.headers["mcp-session-id"])


async def lists(door: Served, token: str, session: str) -> int:
    headers = MCP_HEADERS | bearer(token) | {"mcp-session-id": session}
    return (await door.client.post("/mcp", json=LIST, headers=headers)).status_code


async def test_a_body_that_drips_has_one_deadline_in_all(door: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "BODY_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head(door.token, 1_000))

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.02)  # noqa: TID251 - a client that sends a byte now and then

    dripping = asyncio.ensure_future(drip())
    async with asyncio.timeout(2):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()
    writer.close()


async def test_a_client_that_goes_away_within_its_body_leaves_no_traceback(
    door: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for length in (0, 5):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(head(door.token, 50) + b"{" * length)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert await is_served(door, door.token)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_bytes_that_one_caller_has_sent_take_no_room_of_another(
    door: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "MOST_BUFFERED", 100_000)
    first, held = await asyncio.open_connection("127.0.0.1", door.port)
    held.write(head(door.token, 90_000) + b" " * 80_000)
    await held.drain()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head(door.token, 90_000) + b" " * 80_000)
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        assert await lists(door, door.trader, await begin(door, door.trader)) == 200
        held.write(b" " * 10_000)
        assert (await first.readline()).startswith(b"HTTP/1.1 400 "), "it is whole, no JSON, and answered"
    assert await lists(door, door.token, await begin(door, door.token)) == 200
    for each in (held, writer):
        each.close()


@pytest.mark.parametrize("busy", [True, False])
async def test_connections_of_one_caller_leave_room_for_another(
    door: Served, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    monkeypatch.setattr(serving, "MOST_OF_ONE", 6)
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 8)
    greedy = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(20)]
    for reader, writer in greedy:
        writer.write(head(door.token, 50 if busy else 1))
        if not busy:
            writer.write(b"1")
            await reader.readline()
    if busy:
        answered = [asyncio.ensure_future(reader.readline()) for reader, _ in greedy]
        await asyncio.wait(answered, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert all(each.result().startswith(b"HTTP/1.1 503 ") for each in answered if each.done())
    assert await is_served(door, door.trader)
    for _, writer in greedy:
        writer.close()
    if busy:
        await asyncio.gather(*answered, return_exceptions=True)


async def test_a_caller_has_its_reserve_when_all_others_are_many(door: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MOST_CONNECTIONS", 3)
    greedy = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(8)]
    for _, writer in greedy:
        writer.write(head(door.token, 50))
    async with asyncio.timeout(5):
        assert await is_served(door, door.trader)
    for _, writer in greedy:
        writer.close()


async def test_silent_connections_without_a_token_keep_no_caller_out(
    door: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MOST_UNKNOWN", 5)
    silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(40)]
    async with asyncio.timeout(5):
        assert await is_served(door, door.token)
        assert sum(await asyncio.gather(*(ends(reader) for reader, _ in silent[:30]))) == 30
    for _, writer in silent:
        writer.close()


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that never answers."""
    await asyncio.Event().wait()


async def ends(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_requests_of_one_caller_beyond_its_share_are_refused_at_once(tmp_path: Path) -> None:
    token, _ = add_token(tmp_path, "read", None, 0)
    opened = asyncio.Semaphore(0)

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        opened.release()
        await never(scope, receive, send)

    gate = AuthMiddleware(counted, Keyring(tmp_path), (), lambda route, status: None)
    transport = httpx2.ASGITransport(app=gate)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        streams = [asyncio.ensure_future(client.get("/mcp")) for _ in range(quotas.MOST_OPEN)]
        for _ in streams:
            await opened.acquire()
        refused = await client.get("/mcp")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        for each in streams:
            each.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def test_sessions_of_one_caller_take_the_place_of_its_own_alone(
    door: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "SESSIONS", 3)
    other = await begin(door, door.trader)
    mine = [await begin(door, door.token) for _ in range(3)]
    assert await lists(door, door.token, mine[0]) == 200, "which makes it the one that was used last"
    mine.append(await begin(door, door.token))
    assert [await lists(door, door.token, each) for each in mine] == [200, 404, 200, 200]
    assert await lists(door, door.trader, other) == 200


async def test_streams_of_a_revoked_token_end_within_a_second(
    door: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token, row = add_token(tmp_path, "trade", "late", 0)
    async with AsyncExitStack() as stack:
        bodies = []
        for each in (token, door.trader):
            headers = bearer(each) | {"accept": "text/event-stream", "mcp-session-id": await begin(door, each)}
            stream = await stack.enter_async_context(door.client.stream("GET", "/mcp", headers=headers))
            assert stream.status_code == 200
            bodies.append(asyncio.ensure_future(stream.aread()))
        revoke_token(tmp_path, row.name)
        done, still = await asyncio.wait(bodies, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        assert (done, still) == ({bodies[0]}, {bodies[1]})
        assert not bodies[0].exception()
        bodies[1].cancel()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_call_under_way_of_a_revoked_token_ends_too(tmp_path: Path) -> None:
    token, row = add_token(tmp_path, "trade", None, 0)
    gate = AuthMiddleware(never, Keyring(tmp_path), (), lambda route, status: None)
    transport = httpx2.ASGITransport(app=gate)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        waiting = asyncio.ensure_future(client.post("/mcp", content=b"{}"))
        await asyncio.wait([waiting], timeout=0.05)
        revoke_token(tmp_path, row.name)
        async with asyncio.timeout(1.0):
            assert (await waiting).status_code == 401
