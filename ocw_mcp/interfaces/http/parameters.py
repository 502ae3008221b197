"""The parameters of routes, and errors for requests that a route cannot answer: one form for all of them."""

from inspect import signature
from typing import Annotated, Any, Final

from fastapi import Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.auth import ERROR_HEADERS, ROUTES
from ocw_mcp.interfaces.http.results import Refused
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER
from ocw_mcp.interfaces.mcp.wire import HTTP_CODES

MOST_ROWS: Final = 100
"""Largest number of rows in a page."""
MOST_POINTS: Final = 500
"""Largest number of candles or of points of a curve in a page."""

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows in a page."), ASCII_NUMBER]
Points = Annotated[int, Query(ge=1, le=MOST_POINTS, description="Candles or points in a page."), ASCII_NUMBER]


def _cursor(of: str) -> Any:
    """Return the query parameter for a cursor of a list. Its pattern is documented only: `place_of` refuses others."""
    about = "The `cursor` of the page before, unchanged; none for the newest page."
    return Query(max_length=40, description=about, json_schema_extra={"pattern": f"^{of}:[0-9]{{1,18}}$"})


CandlesCursor = Annotated[str | None, _cursor("candles")]
DecisionsCursor = Annotated[str | None, _cursor("decisions")]
EquityCursor = Annotated[str | None, _cursor("equity")]
OrdersCursor = Annotated[str | None, _cursor("orders")]
RefusalsCursor = Annotated[str | None, _cursor("refusals")]
TradesCursor = Annotated[str | None, _cursor("trades")]
Symbol = Annotated[str | None, Query(max_length=40, description="Only this symbol, such as ETHUSDT.")]
OneSymbol = Annotated[str, Path(max_length=40, description="A symbol that the engine follows, such as ETHUSDT.")]
Wake = Annotated[int, Path(ge=1, lt=10**18, description="The number of a wake."), ASCII_NUMBER]

STATUSES: Final = {
    RequestCode.UNKNOWN_SYMBOL: 404,
    RequestCode.UNKNOWN_ID: 404,
    RequestCode.UNREADABLE: 503,
}
"""The HTTP status of a request error; of all other ones it is 400."""
_MEANINGS: Final[dict[int | str, str]] = {
    400: "A parameter is unknown, repeated, malformed or out of bounds.",
    401: "No token, or an unknown or revoked one.",
    403: "The request comes from a web page of an origin that is not allowed.",
    404: "No such route, symbol or wake.",
    421: "This server has no such host name.",
    503: "A quota is exceeded, or the book cannot be read now; try again later.",
    "default": "Any other error.",
}
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Refused, "description": meaning} for status, meaning in _MEANINGS.items()
}
"""The documented errors of a route that needs a token."""


async def only_known_parameters(request: Request) -> None:
    """Check the names of the query's parameters. Raises RequestError for an unknown or a repeated one."""
    known = [name for name in signature(request.scope["endpoint"]).parameters if name not in request.path_params]
    given = [name for name, _ in request.query_params.multi_items()]
    if unknown := [name for name in given if name not in known]:
        what, limit = "this route has no such parameter", ",".join(known) or "no parameter"
        raise _bad(what, limit, repr(unknown[0][:40]), "leave it out")
    if repeated := [name for name in given if given.count(name) > 1]:
        actual = f"{given.count(repeated[0])} times {repeated[0]}"
        raise _bad("a parameter is repeated", "each parameter once", actual, "send one")


async def refuse_request(request: Request, error: Exception) -> Response:
    """Return the error for a request that the engine cannot answer."""
    assert isinstance(error, RequestError), "the handler is registered for these alone"
    status = STATUSES.get(error.code, 400)
    headers = {name.decode(): value.decode() for name, value in ERROR_HEADERS.get(status, ())}
    return JSONResponse({"error": str(error)}, status, headers=headers)


async def refuse_parameter(request: Request, error: Exception) -> Response:
    """Return the error for a parameter of a wrong type or out of bounds; the first one is named."""
    assert isinstance(error, RequestValidationError), "the handler is registered for these alone"
    first = error.errors()[0]
    name, given = first["loc"][-1], first.get("input")
    text = first["msg"].removeprefix("Value error, ").removeprefix("Input ")[:120]
    wrong = _bad(f"{name} is malformed or out of bounds", text, repr(given)[:40], "send a value within the limit")
    return await refuse_request(request, wrong)


async def refuse_route(request: Request, error: Exception) -> Response:
    """Return the error for an unknown route or method."""
    assert isinstance(error, HTTPException), "the handler is registered for these alone"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "GET")
        text = f"{HTTP_CODES[405]}: not a method of this route. limit={allowed} actual={request.method} next: use it"
    else:
        known, path = ", ".join(ROUTES), request.url.path[:60]
        text = f"{HTTP_CODES[404]}: no such route. limit={known} actual={path!r} next: use one of these"
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)


async def report_fault(request: Request, error: Exception) -> Response:
    """Return the error for a fault of the server, without its text. The server logs the exception itself."""
    text = f"{HTTP_CODES[500]}: the answer failed; the engine keeps running. limit=an answer actual=none next: "
    return JSONResponse({"error": f"{text}ask the operator for the log"}, 500)


def _bad(what: str, limit: str, actual: str, next_: str) -> RequestError:
    return RequestError(RequestCode.BAD_ARGUMENTS, what=what, limit=limit, actual=actual, next_=next_)
