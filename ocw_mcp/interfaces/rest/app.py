"""The application that `ocw run --serve` serves: a few routes for machines, and `/mcp` for models, behind one gate."""

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
from ocw_mcp.interfaces.mcp import account_view
from ocw_mcp.interfaces.mcp.access import Looks, meta
from ocw_mcp.interfaces.mcp.results import StatusResult
from ocw_mcp.interfaces.mcp.wire import StrictBodies
from ocw_mcp.interfaces.quotas import SESSIONS
from ocw_mcp.interfaces.rest.metrics import EngineMetrics

MOST_SESSIONS = (SESSIONS + AT_ONCE) * (MOST_TOKENS + 1)
"""Clients of the older protocol at a time: so many of each token, and of the engine's owner, as `quotas` lets be."""
IDLE_S = 1_800.0


def application(look: Looks, mcp: MCPServer[Any], keyring: Keyring, hosts: Iterable[str], *, schema: bool) -> ASGIApp:
    """The whole application, gate and all. `hosts` are names beside those of loopback; `schema` serves `/openapi.json`.

    Pages for a browser are not served: it has no token to show, and they would load their scripts from elsewhere.
    """
    metrics = EngineMetrics(look)
    # The gate has looked at host and origin already, and at those of every other route, too.
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
        """Whether this process answers. It tells nothing else, since nobody has to show a token for it."""
        return {"ok": True}

    @app.get("/status")
    async def status() -> StatusResult:
        """The engine at a glance, as the tool ocw_get_status has it."""
        facade = look()
        return account_view.status_of(meta(facade), facade.status())

    @app.get("/metrics")
    async def read_metrics() -> Response:
        """The engine and the doors in numbers, for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    # Its routes beside ours, and not a mount below them: that would answer for every route that we do not know.
    app.router.routes.extend(streamable.routes)
    return AuthMiddleware(StrictBodies(app, "/mcp"), keyring, hosts, metrics.counted)


async def _refused(request: Request, error: Exception) -> Response:
    """What no route answers, in the form of every other error here."""
    assert isinstance(error, HTTPException), "the handler is registered for these alone"
    path, known = request.url.path[:60], "/health, /status, /metrics and /mcp"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        text = f"METHOD_NOT_ALLOWED: not taken here. limit={allowed} actual={request.method} next: use it"
    else:
        text = f"NOT_FOUND: there is nothing here. limit={known} actual={path!r} next: ask for one of these"
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)
