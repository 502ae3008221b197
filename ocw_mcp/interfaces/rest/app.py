"""The application behind `ocw run --serve`: a few routes for scripts and `/mcp` for models, behind one middleware."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.domain.orders import MOST_TOKENS
from ocw_mcp.interfaces.auth import AT_ONCE, LARGEST_BODY, AuthMiddleware
from ocw_mcp.interfaces.mcp.access import GetFacade, meta
from ocw_mcp.interfaces.mcp.account_tools import status_of
from ocw_mcp.interfaces.mcp.results import StatusResult
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES, StrictBodies
from ocw_mcp.interfaces.quotas import SESSIONS
from ocw_mcp.interfaces.rest.metrics import EngineMetrics

MOST_SESSIONS = (SESSIONS + AT_ONCE) * (MOST_TOKENS + 1)
"""Sessions of the older protocol at a time: the quota of each token and of the engine's owner together."""
IDLE_S = 1_800.0


def application(
    get_facade: GetFacade, mcp: MCPServer[Any], keyring: Keyring, hosts: Iterable[str], *, schema: bool
) -> ASGIApp:
    """Return the whole application with its authentication.

    `hosts` are allowed host names beside those of loopback; `schema` serves `/openapi.json`. The documentation pages of
    FastAPI are off: a browser has no token to send, and the pages load scripts from other hosts.
    """
    metrics = EngineMetrics(get_facade)
    # The middleware checks host and origin of every route, this one included.
    streamable = mcp.streamable_http_app(
        max_request_body_size=LARGEST_BODY,
        max_sessions=MOST_SESSIONS,
        session_idle_timeout=IDLE_S,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with mcp.session_manager.run():
            yield

    app = FastAPI(
        title="OCW",
        version=mcp.version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if schema else None,
        exception_handlers={HTTPException: _refused},
    )

    @app.get("/health")
    async def health() -> dict[str, bool]:
        """Answer as long as this process runs. It shows nothing else, since it needs no token."""
        return {"ok": True}

    @app.get("/status")
    async def status() -> StatusResult:
        """Return the status, as the tool ocw_get_status does."""
        facade = get_facade()
        return status_of(meta(facade), facade.status())

    @app.get("/metrics")
    async def read_metrics() -> Response:
        """Return figures of the engine and of these interfaces for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    # The routes of MCP are added one by one: a mount would answer for every unknown route.
    app.router.routes.extend(streamable.routes)
    return AuthMiddleware(StrictBodies(app, "/mcp"), keyring, hosts, metrics.counted)


async def _refused(request: Request, error: Exception) -> Response:
    """Return the error for an unknown route or method, in the form of all other errors."""
    assert isinstance(error, HTTPException), "the handler is registered for these alone"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        text = f"{HTTP_CODES[405]}: not a method of this route. limit={allowed} actual={request.method} next: use it"
    else:
        known, path = "/health, /status, /metrics and /mcp", request.url.path[:60]
        text = f"{HTTP_CODES[404]}: no such route. limit={known} actual={path!r} next: use one of these"
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)
