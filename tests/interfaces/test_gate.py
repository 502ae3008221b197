"""One gate stands before every route."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.types import Receive, Scope, Send

from ocw_mcp.adapters.control.tokens import TOKENS, Keyring, add_token, revoke_token
from ocw_mcp.interfaces import auth
from ocw_mcp.interfaces.auth import LARGEST_BODY, AuthMiddleware
from tests.support.facades import BOOK, Looked
from tests.support.served import Served, bearer, served

ROUTES = ("/status", "/metrics", "/mcp", "/docs", "/openapi.json", "/", "/nothing", "/health/", "//health")
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
MCP_HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Looked]:
    found = Looked(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(6))
    yield found
    found.store.close()


@pytest.fixture
async def door(looked: Looked, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(looked.facade, tmp_path) as found:
        yield found


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"].partition(":")[0]


async def test_every_route_but_health_asks_for_a_token_on_loopback_too(door: Served) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {},
        bearer("ocw_wrong"),
        {"authorization": f"Basic {door.token}"},
        {"authorization": "Bearer"},
    )
    async with httpx2.AsyncClient(base_url=door.url) as nobody:
        for method, path, headers in product(("GET", "POST", "DELETE"), ROUTES, wrong):
            answered = await nobody.request(method, path, headers=headers)
            assert code(answered) == (401, "UNAUTHORIZED"), (method, path)
            assert answered.headers["www-authenticate"] == "Bearer"
        assert (await nobody.get("/health")).json() == {"ok": True}


async def test_hosts_and_origins_are_looked_at_on_every_route(door: Served) -> None:
    hosts = ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1", "10.0.0.1:8080")
    origins = ("https://evil.example", "null", "http://127.0.0.1.evil.example", "file://localhost", "http://[::1")
    for path in ("/health", *ROUTES):
        for host in hosts:
            assert code(await door.client.get(path, headers={"host": host})) == (421, "WRONG_HOST"), host
        for origin in origins:
            assert code(await door.client.get(path, headers={"origin": origin})) == (403, "WRONG_ORIGIN"), origin


async def test_our_own_hosts_and_origins_pass(door: Served) -> None:
    for host in (f"localhost:{door.port}", "127.0.0.1", "[::1]:1"):
        answered = await door.client.get("/status", headers={"host": host, "origin": f"http://localhost:{door.port}"})
        assert answered.status_code == 200


PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, mcp-protocol-version",
}


@pytest.mark.parametrize("path", ["/mcp", "/status", "/health"])
async def test_a_page_of_an_allowed_origin_may_ask_after_a_preflight(door: Served, path: str) -> None:
    origin = f"http://localhost:{door.port}"
    async with httpx2.AsyncClient(base_url=door.url) as browser:
        asked = await browser.options(path, headers=PREFLIGHT | {"origin": origin})
        assert (asked.status_code, asked.content) == (204, b"")
        allowed = asked.headers["access-control-allow-headers"]
        assert all(each in allowed for each in ("authorization", "mcp-protocol-version", "mcp-session-id"))
        assert "POST" in asked.headers["access-control-allow-methods"]
        refused = await browser.get(path, headers={"origin": origin})
        answered = await door.client.get(path, headers={"origin": origin})
    for each in (asked, refused, answered):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in each.headers
    assert "mcp-session-id" in answered.headers["access-control-expose-headers"]


async def test_a_page_of_another_origin_gets_no_preflight(door: Served) -> None:
    for origin in ("https://evil.example", "null"):
        asked = await door.client.options("/mcp", headers=PREFLIGHT | {"origin": origin})
        assert code(asked) == (403, "WRONG_ORIGIN")
        assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in (await door.client.get("/status")).headers


async def test_there_is_no_authorization_server_to_find(door: Served) -> None:
    async with httpx2.AsyncClient(base_url=door.url) as nobody:
        for path in ("oauth-protected-resource", "oauth-protected-resource/mcp", "oauth-authorization-server", ""):
            assert code(await nobody.get(f"/.well-known/{path}")) == (404, "NOT_FOUND")
        for path in ("/.well-known", "/mcp/.well-known/openid-configuration"):
            assert code(await nobody.get(path)) == (404, "NOT_FOUND")
        evil = {"host": "evil.example"}
        assert code(await nobody.get("/.well-known/oauth-protected-resource", headers=evil)) == (421, "WRONG_HOST")


async def test_beyond_loopback_the_named_hosts_pass_and_the_schema_is_not_told(looked: Looked, tmp_path: Path) -> None:
    async with served(looked.facade, tmp_path, schema=False, hosts=("desk.example.org",)) as door:
        assert (await door.client.get("/status", headers={"host": "Desk.example.org"})).status_code == 200
        assert (await door.client.get("/openapi.json")).status_code == 404


async def test_the_schema_is_for_whoever_shows_a_token_and_no_page_loads_scripts_from_elsewhere(door: Served) -> None:
    assert "/status" in (await door.client.get("/openapi.json")).json()["paths"]
    assert code(await door.client.get("/docs")) == (404, "NOT_FOUND")


async def test_a_method_that_a_route_does_not_take_is_answered_as_such_in_json(door: Served) -> None:
    for path in ("/status", "/metrics", "/health"):
        answered = await door.client.post(path)
        assert code(answered) == (405, "METHOD_NOT_ALLOWED")
        assert "limit=GET actual=POST" in answered.json()["error"]
        assert answered.headers["allow"] == "GET"
    assert code(await door.client.get("/mcp/more")) == (404, "NOT_FOUND")


async def test_status_and_metrics_tell_of_the_engine(door: Served, looked: Looked) -> None:
    status = (await door.client.get("/status")).json()
    assert (status["engine"]["book"], status["meta"]["mode"]) == (BOOK, "paper")
    text = (await door.client.get("/metrics")).text
    assert 'ocw_desk_state{state="ACTIVE"} 1.0' in text
    assert f"ocw_equity_quote {float(looked.facade.portfolio().equity)}" in text
    assert 'ocw_requests_total{route="/status",status="200"} 1.0' in text


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_tools_are_there_over_http(door: Served, era: str) -> None:
    async with Client(streamable_http_client(f"{door.url}/mcp", http_client=door.client), mode=era) as client:
        assert len((await client.list_tools()).tools) == 15
        answered = await client.call_tool("positions_get", {})
        assert not answered.is_error


async def test_a_session_is_of_the_token_that_began_it(door: Served, tmp_path: Path) -> None:
    begun = await door.client.post("/mcp", json=INITIALIZE, headers=MCP_HEADERS)
    session = {"mcp-session-id": begun.headers["mcp-session-id"]}
    other, _ = add_token(tmp_path, "trade", "other", 0)
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    stolen = await door.client.post("/mcp", json=listing, headers=MCP_HEADERS | session | bearer(other))
    assert stolen.status_code == 404
    own = await door.client.post("/mcp", json=listing, headers=MCP_HEADERS | session)
    assert own.status_code == 200


async def test_tokens_are_heeded_while_they_are_made_and_taken_away(door: Served, tmp_path: Path) -> None:
    token, row = add_token(tmp_path, "trade", "late", 0)
    assert (await door.client.get("/status", headers=bearer(token))).status_code == 200
    revoke_token(tmp_path, row.name)
    assert code(await door.client.get("/status", headers=bearer(token))) == (401, "UNAUTHORIZED")


async def test_a_token_file_that_others_may_read_lets_nobody_in(door: Served, tmp_path: Path) -> None:
    (tmp_path / TOKENS).chmod(0o644)
    assert code(await door.client.get("/status")) == (401, "UNAUTHORIZED")


async def raw(port: int, head: str) -> bytes:
    """Send the head of a request and nothing of its body; what comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        await writer.drain()
        return await asyncio.wait_for(reader.read(4_096), 20)


async def test_a_body_of_a_hundred_megabytes_is_refused_before_a_byte_of_it_is_read(door: Served) -> None:
    head = f"POST /mcp HTTP/1.1\nHost: localhost\nAuthorization: Bearer {door.token}\nContent-Length: {100 << 20}"
    assert (await raw(door.port, head)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_tell_its_length_is_cut_too(door: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3 * LARGEST_BODY // 65_536):
            yield b"x" * 65_536

    answered = await door.client.post("/mcp", content=endless(), headers={"content-type": "application/json"})
    assert answered.status_code == 413


async def test_a_body_that_does_not_come_is_not_waited_for(door: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "BODY_S", 0.05)
    head = f"POST /mcp HTTP/1.1\nHost: localhost\nAuthorization: Bearer {door.token}\nContent-Length: 50"
    assert (await raw(door.port, head)).startswith(b"HTTP/1.1 408 ")


async def test_too_much_at_once_waits_and_is_then_told_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "AT_ONCE", 2)
    monkeypatch.setattr(auth, "PATIENCE_S", 0.05)
    go, most, now = asyncio.Event(), 0, 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await go.wait()
        now -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    token, _ = add_token(tmp_path, "read", None, 0)
    gate = AuthMiddleware(slow, Keyring(tmp_path), (), lambda route, status: None)
    transport = httpx2.ASGITransport(app=gate)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        flood = [asyncio.ensure_future(client.post("/mcp")) for _ in range(6)]
        done, _ = await asyncio.wait(flood, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 4:
            done, _ = await asyncio.wait(flood, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            done = {each for each in flood if each.done()}
        assert {code(each.result()) for each in done} == {(503, "BUSY")}
        go.set()
        assert sorted(each.status_code for each in await asyncio.gather(*flood)) == [200, 200, 503, 503, 503, 503]
    assert most == 2


async def test_no_websocket_is_served() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the gate is closed")

    async def nothing() -> Any:
        raise AssertionError("nobody is listened to")

    await AuthMiddleware(never, None, (), lambda route, status: None)({"type": "websocket"}, nothing, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "no websocket is served here"}]


async def test_a_run_that_is_looked_at_by_a_crowd_is_the_run_that_nobody_looks_at(tmp_path: Path) -> None:
    """Clients flood, go away in mid-call and send rubbish; the engine goes on, to the same fingerprint."""
    alone = await Looked(tmp_path / "alone").go(6)
    (tmp_path / "tokens").mkdir()
    watched = Looked(tmp_path / "watched")
    async with served(watched.facade, tmp_path / "tokens") as door:
        run = asyncio.ensure_future(watched.go(6))
        crowd = [asyncio.ensure_future(_pester(door, number)) for number in range(12)]
        await run
        for each in crowd:
            each.cancel()
        answered = await asyncio.gather(*crowd, return_exceptions=True)
        assert (await door.client.get("/health")).status_code == 200
    assert all(isinstance(each, asyncio.CancelledError | httpx2.HTTPError) for each in answered)
    assert watched.store.fingerprint == alone.store.fingerprint
    for looked in (alone, watched):
        looked.store.close()


async def _pester(door: Served, number: int) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "market_get_snapshot", "arguments": {}},
    }
    while True:
        if number % 3 == 0:
            await door.client.post("/mcp", content=b"\xff{" * 50, headers=MCP_HEADERS)
        elif number % 3 == 1:
            await door.client.get("/metrics")
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
            body = json.dumps(call)
            head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {door.token}\r\n"
            head += "MCP-Protocol-Version: 2026-07-28\r\nContent-Type: application/json\r\n"
            head += "Accept: application/json, text/event-stream\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
            writer.close()
