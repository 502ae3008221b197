"""Host, origin, token and size checks stand before every route."""

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
from tests.support.facades import BOOK, FacadeRun
from tests.support.served import Served, bearer, served

ROUTES = (
    *("/status", "/metrics", "/mcp", "/docs", "/openapi.json", "/", "/nothing", "/health/", "//health"),
    *("/decisions", "/trades?limit=1", "/prices/BTCUSDT", "/wakes/1"),
)
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
MCP_HEADERS = {"accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FacadeRun]:
    found = FacadeRun(tmp_path_factory.mktemp("looked"))
    asyncio.run(found.go(6))
    yield found
    found.store.close()


@pytest.fixture
async def endpoint(sim: FacadeRun, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(sim.facade, tmp_path) as found:
        yield found


def code(response: httpx2.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"].partition(":")[0]


async def test_loopback_request_needs_a_token_except_for_health(endpoint: Served) -> None:
    wrong: tuple[dict[str, str], ...] = (
        {},
        bearer("ocw_wrong"),
        {"authorization": f"Basic {endpoint.token}"},
        {"authorization": "Bearer"},
    )
    async with httpx2.AsyncClient(base_url=endpoint.url) as stranger:
        for method, path, headers in product(("GET", "POST", "DELETE"), ROUTES, wrong):
            answered = await stranger.request(method, path, headers=headers)
            assert code(answered) == (401, "UNAUTHORIZED"), (method, path)
            assert answered.headers["www-authenticate"] == "Bearer"
        assert (await stranger.get("/health")).json() == {"ok": True}


async def test_wrong_host_or_origin_is_refused_on_every_route(endpoint: Served) -> None:
    hosts = ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "[::1", "10.0.0.1:8080")
    origins = ("https://evil.example", "null", "http://127.0.0.1.evil.example", "file://localhost", "http://[::1")
    for path in ("/health", *ROUTES):
        for host in hosts:
            assert code(await endpoint.client.get(path, headers={"host": host})) == (421, "WRONG_HOST"), host
        for origin in origins:
            assert code(await endpoint.client.get(path, headers={"origin": origin})) == (403, "WRONG_ORIGIN"), origin


async def test_request_with_a_loopback_host_and_origin_is_accepted(endpoint: Served) -> None:
    for host in (f"localhost:{endpoint.port}", "127.0.0.1", "[::1]:1"):
        answered = await endpoint.client.get(
            "/status", headers={"host": host, "origin": f"http://localhost:{endpoint.port}"}
        )
        assert answered.status_code == 200


PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, mcp-protocol-version",
}


@pytest.mark.parametrize("path", ["/mcp", "/status", "/health"])
async def test_allowed_origin_may_call_after_a_preflight(endpoint: Served, path: str) -> None:
    origin = f"http://localhost:{endpoint.port}"
    async with httpx2.AsyncClient(base_url=endpoint.url) as browser:
        asked = await browser.options(path, headers=PREFLIGHT | {"origin": origin})
        assert (asked.status_code, asked.content) == (204, b"")
        allowed = asked.headers["access-control-allow-headers"]
        assert all(each in allowed for each in ("authorization", "mcp-protocol-version", "mcp-session-id"))
        assert "POST" in asked.headers["access-control-allow-methods"]
        refused = await browser.get(path, headers={"origin": origin})
        answered = await endpoint.client.get(path, headers={"origin": origin})
    for each in (asked, refused, answered):
        assert each.headers["access-control-allow-origin"] == origin
        assert each.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in each.headers
    assert "mcp-session-id" in answered.headers["access-control-expose-headers"]


async def test_preflight_of_an_origin_that_is_not_allowed_is_refused(endpoint: Served) -> None:
    for origin in ("https://evil.example", "null"):
        asked = await endpoint.client.options("/mcp", headers=PREFLIGHT | {"origin": origin})
        assert code(asked) == (403, "WRONG_ORIGIN")
        assert "access-control-allow-origin" not in asked.headers
    assert "access-control-allow-origin" not in (await endpoint.client.get("/status")).headers


async def test_well_known_routes_are_not_found_even_without_a_token(endpoint: Served) -> None:
    async with httpx2.AsyncClient(base_url=endpoint.url) as stranger:
        for path in ("oauth-protected-resource", "oauth-protected-resource/mcp", "oauth-authorization-server", ""):
            assert code(await stranger.get(f"/.well-known/{path}")) == (404, "NOT_FOUND")
        for path in ("/.well-known", "/mcp/.well-known/openid-configuration"):
            assert code(await stranger.get(path)) == (404, "NOT_FOUND")
        evil = {"host": "evil.example"}
        assert code(await stranger.get("/.well-known/oauth-protected-resource", headers=evil)) == (421, "WRONG_HOST")


async def test_configured_host_is_accepted_and_disabled_schema_is_not_found(sim: FacadeRun, tmp_path: Path) -> None:
    async with served(sim.facade, tmp_path, schema=False, hosts=("desk.example.org",)) as endpoint:
        assert (await endpoint.client.get("/status", headers={"host": "Desk.example.org"})).status_code == 200
        assert (await endpoint.client.get("/openapi.json")).status_code == 404


async def test_schema_needs_a_token_and_no_docs_page_is_served(endpoint: Served) -> None:
    assert "/status" in (await endpoint.client.get("/openapi.json")).json()["paths"]
    assert code(await endpoint.client.get("/docs")) == (404, "NOT_FOUND")


async def test_wrong_method_is_answered_in_json(endpoint: Served) -> None:
    for path in ("/status", "/metrics", "/health", "/decisions", "/prices/BTCUSDT"):
        answered = await endpoint.client.post(path)
        assert code(answered) == (405, "METHOD_NOT_ALLOWED")
        assert "limit=GET actual=POST" in answered.json()["error"]
        assert answered.headers["allow"] == "GET"
    assert code(await endpoint.client.get("/mcp/more")) == (404, "NOT_FOUND")


async def test_status_and_metrics_return_the_values_of_the_engine(endpoint: Served, sim: FacadeRun) -> None:
    status = (await endpoint.client.get("/status")).json()
    assert (status["engine"]["book"], status["meta"]["mode"]) == (BOOK, "paper")
    text = (await endpoint.client.get("/metrics")).text
    assert 'ocw_desk_state{state="ACTIVE"} 1.0' in text
    assert 'ocw_data_age_seconds{symbol="ETHUSDT"} 0.0' in text
    assert f"ocw_equity_quote {float(sim.facade.portfolio().equity)}" in text
    assert 'ocw_requests_total{route="/status",status="200"} 1.0' in text


async def test_metrics_count_answers_by_route_and_not_by_path(endpoint: Served) -> None:
    for path in (
        "/prices/BTCUSDT",
        "/prices/ETHUSDT",
        "/wakes/1",
        "/prices/BTCUSDT/more",
        "/trades?limit=1",
        "/wakes/",
    ):
        await endpoint.client.get(path)
    lines = (await endpoint.client.get("/metrics")).text.splitlines()
    counted = {line for line in lines if line.startswith("ocw_requests_total{")}
    assert counted == {
        'ocw_requests_total{route="/prices/{symbol}",status="200"} 2.0',
        'ocw_requests_total{route="/wakes/{wake}",status="200"} 1.0',
        'ocw_requests_total{route="/trades",status="200"} 1.0',
        'ocw_requests_total{route="other",status="404"} 2.0',
    }


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_mcp_tools_can_be_called_over_http(endpoint: Served, era: str) -> None:
    async with Client(streamable_http_client(f"{endpoint.url}/mcp", http_client=endpoint.client), mode=era) as client:
        assert len((await client.list_tools()).tools) == 16
        answered = await client.call_tool("positions_get", {})
        assert not answered.is_error


async def test_mcp_session_of_another_token_is_not_found(endpoint: Served, tmp_path: Path) -> None:
    begun = await endpoint.client.post("/mcp", json=INITIALIZE, headers=MCP_HEADERS)
    session = {"mcp-session-id": begun.headers["mcp-session-id"]}
    other, _ = add_token(tmp_path, "trade", "other", 0)
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    stolen = await endpoint.client.post("/mcp", json=listing, headers=MCP_HEADERS | session | bearer(other))
    assert stolen.status_code == 404
    own = await endpoint.client.post("/mcp", json=listing, headers=MCP_HEADERS | session)
    assert own.status_code == 200


async def test_token_changes_take_effect_at_the_next_request(endpoint: Served, tmp_path: Path) -> None:
    token, row = add_token(tmp_path, "trade", "late", 0)
    assert (await endpoint.client.get("/status", headers=bearer(token))).status_code == 200
    revoke_token(tmp_path, row.name)
    assert code(await endpoint.client.get("/status", headers=bearer(token))) == (401, "UNAUTHORIZED")


async def test_token_file_readable_by_others_is_not_used(endpoint: Served, tmp_path: Path) -> None:
    (tmp_path / TOKENS).chmod(0o644)
    assert code(await endpoint.client.get("/status")) == (401, "UNAUTHORIZED")


async def raw(port: int, head: str) -> bytes:
    """Send the head of a request without its body, and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        await writer.drain()
        return await asyncio.wait_for(reader.read(4_096), 20)


async def test_100_mb_body_is_refused_before_it_is_read(endpoint: Served) -> None:
    head = f"POST /mcp HTTP/1.1\nHost: localhost\nAuthorization: Bearer {endpoint.token}\nContent-Length: {100 << 20}"
    assert (await raw(endpoint.port, head)).startswith(b"HTTP/1.1 413 ")


async def test_too_large_body_without_a_length_is_refused(endpoint: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3 * LARGEST_BODY // 65_536):
            yield b"x" * 65_536

    answered = await endpoint.client.post("/mcp", content=endless(), headers={"content-type": "application/json"})
    assert answered.status_code == 413


async def test_request_without_its_body_gets_a_timeout(endpoint: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "BODY_S", 0.05)
    head = f"POST /mcp HTTP/1.1\nHost: localhost\nAuthorization: Bearer {endpoint.token}\nContent-Length: 50"
    assert (await raw(endpoint.port, head)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(("method", "path"), [("POST", "/mcp"), ("GET", "/equity")])
async def test_requests_beyond_the_limit_wait_and_then_get_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
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
    middleware = AuthMiddleware(slow, Keyring(tmp_path), (), lambda route, status: None)
    transport = httpx2.ASGITransport(app=middleware)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=bearer(token)) as client:
        flood = [asyncio.ensure_future(client.request(method, path)) for _ in range(6)]
        done, _ = await asyncio.wait(flood, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 4:
            done, _ = await asyncio.wait(flood, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            done = {each for each in flood if each.done()}
        assert {code(each.result()) for each in done} == {(503, "BUSY")}
        go.set()
        assert sorted(each.status_code for each in await asyncio.gather(*flood)) == [200, 200, 503, 503, 503, 503]
    assert most == 2


async def test_websocket_connection_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("a websocket was passed on")

    async def nothing() -> Any:
        raise AssertionError("a body that must not be read was read")

    await AuthMiddleware(never, None, (), lambda route, status: None)({"type": "websocket"}, nothing, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "websockets are not supported"}]


async def test_flood_of_client_requests_does_not_change_the_run(tmp_path: Path) -> None:
    """Clients flood the server, disconnect within calls and send garbage; the fingerprint stays the same."""
    alone = await FacadeRun(tmp_path / "alone").go(6)
    (tmp_path / "tokens").mkdir()
    watched = FacadeRun(tmp_path / "watched")
    async with served(watched.facade, tmp_path / "tokens") as endpoint:
        run = asyncio.ensure_future(watched.go(6))
        crowd = [asyncio.ensure_future(_pester(endpoint, number)) for number in range(12)]
        await run
        for each in crowd:
            each.cancel()
        answered = await asyncio.gather(*crowd, return_exceptions=True)
        assert (await endpoint.client.get("/health")).status_code == 200
    assert all(isinstance(each, asyncio.CancelledError | httpx2.HTTPError) for each in answered)
    assert watched.store.fingerprint == alone.store.fingerprint
    for sim in (alone, watched):
        sim.store.close()


async def _pester(endpoint: Served, number: int) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "market_get_snapshot", "arguments": {}},
    }
    while True:
        if number % 3 == 0:
            await endpoint.client.post("/mcp", content=b"\xff{" * 50, headers=MCP_HEADERS)
        elif number % 3 == 1:
            for path in (
                "/metrics",
                "/equity?timeframe=1h",
                "/decisions?limit=100",
                "/snapshot",
                "/trades",
                "/wakes/1",
            ):
                await endpoint.client.get(path)
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            body = json.dumps(call)
            head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {endpoint.token}\r\n"
            head += "MCP-Protocol-Version: 2026-07-28\r\nContent-Type: application/json\r\n"
            head += "Accept: application/json, text/event-stream\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
            writer.close()
