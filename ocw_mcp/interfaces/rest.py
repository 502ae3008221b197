"""The application behind `ocw run --serve`: routes for scripts, `/metrics` for Prometheus and `/mcp` for models."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.domain.orders import MOST_TOKENS
from ocw_mcp.domain.requests import RequestError
from ocw_mcp.domain.state import TradingState
from ocw_mcp.interfaces.auth import AT_ONCE, LARGEST_BODY, SESSIONS, AuthMiddleware
from ocw_mcp.interfaces.http.history_routes import history_routes
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
    registry.register(_EngineMetrics(get_facade))
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


class _EngineMetrics(Collector):
    """The state of the engine for Prometheus, read at each scrape."""

    def __init__(self, get_facade: GetFacade) -> None:
        self._get_facade = get_facade

    def describe(self) -> Iterator[Metric]:
        """Return no metrics, so that registering the collector does not read the engine."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        facade = self._get_facade()
        moment, status, portfolio = facade.moment(), facade.status(), facade.portfolio()
        state = GaugeMetricFamily("ocw_desk_state", "1 for the current trading state.", labels=["state"])
        for possible in TradingState:
            state.add_metric([possible], float(possible is moment.state))
        yield state
        age = GaugeMetricFamily("ocw_data_age_seconds", "Age of the last closed candle.", labels=["symbol"])
        for each in facade.feed().symbols:
            if each.age_ms is not None:
                age.add_metric([each.symbol], each.age_ms / 1_000)
        yield age
        gauges = {
            "ocw_equity_quote": ("Equity in quote currency.", float(portfolio.equity)),
            "ocw_gross_share": ("Gross exposure over equity.", float(portfolio.gross_share)),
            "ocw_daily_loss_share": ("Today's loss over the day's first equity.", float(portfolio.daily_loss)),
            "ocw_drawdown_share": ("Drawdown from the peak of equity.", float(portfolio.drawdown)),
            "ocw_open_positions": ("Open positions.", status.open_positions),
            "ocw_unprotected_positions": ("Positions without a live stop.", len(status.unprotected)),
            "ocw_live_orders": ("Orders that may still trade.", status.live_orders),
            "ocw_data_stale": ("1 while some price is too old for an entry.", float(moment.stale)),
            "ocw_catching_up": ("1 while the engine catches up after a restart.", float(moment.catching_up)),
        }
        for name, (meaning, value) in gauges.items():
            yield GaugeMetricFamily(name, meaning, value=value)
        if moment.as_of is not None:
            yield GaugeMetricFamily("ocw_engine_time_seconds", "Engine time.", value=moment.as_of / 1_000)
        yield CounterMetricFamily("ocw_wakes", "Wakes of the gate.", value=status.last_wake)
