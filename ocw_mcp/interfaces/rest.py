"""The application behind `ocw run --serve`: routes for scripts, `/metrics` for Prometheus and `/mcp` for models."""

import asyncio
from collections.abc import Iterable
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.domain.orders import MOST_TOKENS
from ocw_mcp.domain.requests import RequestError
from ocw_mcp.interfaces.auth import AT_ONCE, LARGEST_BODY, SESSIONS, AuthMiddleware
from ocw_mcp.interfaces.http.history_routes import history_routes
from ocw_mcp.interfaces.http.metrics import EngineMetrics
from ocw_mcp.interfaces.http.openapi import document
from ocw_mcp.interfaces.http.parameters import (
    ERRORS,
    only_known_parameters,
    refuse_parameter,
    refuse_request,
    refuse_route,
    report_fault,
)
from ocw_mcp.interfaces.http.present_routes import present_routes
from ocw_mcp.interfaces.http.results import HealthResult
from ocw_mcp.interfaces.mcp.tool import GetFacade
from ocw_mcp.interfaces.mcp.wire import StrictBodies

MOST_SESSIONS = (SESSIONS + AT_ONCE) * (MOST_TOKENS + 1)
"""Largest number of sessions of the older MCP protocol: the quotas of all tokens and the owner, added up."""
IDLE_S = 1_800.0


def application(
    get_facade: GetFacade, mcp: MCPServer[Any], keyring: Keyring, hosts: Iterable[str], *, schema: bool
) -> ASGIApp:
    """Return the whole application with its authentication.

    `hosts` are allowed host names in addition to loopback; `schema` serves `/openapi.json`. The documentation pages of
    FastAPI are off: a browser has no token to send, and the pages load scripts from other hosts.
    """
    # A registry of its own has no metrics of the process.
    registry = CollectorRegistry()
    registry.register(EngineMetrics(get_facade))
    answers = Counter("ocw_requests", "Answers by route and status.", ["route", "status"], registry=registry)
    # The middleware checks host and origin of every route, this one included.
    streamable = mcp.streamable_http_app(
        max_request_body_size=LARGEST_BODY,
        max_sessions=MOST_SESSIONS,
        session_idle_timeout=IDLE_S,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    app = FastAPI(
        title="OCW",
        version=mcp.version,
        lifespan=lambda app: mcp.session_manager.run(),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        generate_unique_id_function=lambda route: route.name,
        exception_handlers={
            RequestError: refuse_request,
            RequestValidationError: refuse_parameter,
            HTTPException: refuse_route,
            Exception: report_fault,
        },
    )
    if schema:

        @app.get("/openapi.json", include_in_schema=False)
        async def openapi() -> Response:
            """Return the OpenAPI document, which is made in a thread, since that takes a fifth of a second."""
            return Response(await asyncio.to_thread(document, app), media_type="application/json")

    @app.get("/health", tags=["process"])
    async def health() -> HealthResult:
        """Answer that this process runs, and nothing more, since the route needs no token."""
        return HealthResult(ok=True)

    @app.get(
        "/metrics",
        tags=["process"],
        responses=ERRORS,
        response_class=PlainTextResponse,
        dependencies=[Depends(only_known_parameters)],
    )
    async def metrics() -> Response:
        """Return the metrics of the engine and of the HTTP interface for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.include_router(present_routes(get_facade))
    app.include_router(history_routes(get_facade))
    # The routes of MCP are added one by one: a mount would answer for every unknown route.
    app.router.routes.extend(streamable.routes)
    return AuthMiddleware(
        StrictBodies(app), keyring, hosts, lambda route, status: answers.labels(route, str(status)).inc()
    )
