"""The application behind `ocw run --serve`: routes for scripts, `/metrics` for Prometheus and `/mcp` for models."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp

from ocw_mcp.adapters.control.tokens import Keyring
from ocw_mcp.domain.orders import MOST_TOKENS
from ocw_mcp.domain.state import TradingState
from ocw_mcp.interfaces.auth import AT_ONCE, LARGEST_BODY, SESSIONS, AuthMiddleware
from ocw_mcp.interfaces.mcp.account_tools import status_of
from ocw_mcp.interfaces.mcp.results import StatusResult
from ocw_mcp.interfaces.mcp.tool import GetFacade, meta
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES, StrictBodies

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
        openapi_url="/openapi.json" if schema else None,
        exception_handlers={HTTPException: _refused},
    )

    @app.get("/health")
    async def health() -> dict[str, bool]:
        """Answer that this process runs, and nothing more, since the route needs no token."""
        return {"ok": True}

    @app.get("/status")
    async def status() -> StatusResult:
        """Return the same status as the tool ocw_get_status."""
        facade = get_facade()
        return status_of(meta(facade), facade.status())

    @app.get("/metrics")
    async def read_metrics() -> Response:
        """Return the metrics of the engine and of the HTTP interface for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    # The routes of MCP are added one by one: a mount would answer for every unknown route.
    app.router.routes.extend(streamable.routes)
    return AuthMiddleware(
        StrictBodies(app), keyring, hosts, lambda route, status: answers.labels(route, str(status)).inc()
    )


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
        for each in TradingState:
            state.add_metric([each], float(each is moment.state))
        yield state
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
