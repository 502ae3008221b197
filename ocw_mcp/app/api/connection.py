"""`connect`: a client of a running engine, with the names and results of its MCP tools and of its status API."""

import asyncio
import math
import secrets  # noqa: TID251 - requests need unique keys; no decision depends on them
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from mcp.shared.exceptions import MCPError
from mcp.types import Implementation

from ocw_mcp import __version__
from ocw_mcp.adapters.control.address import Address, read_address
from ocw_mcp.app.attach import SERVED, SIMULATED
from ocw_mcp.app.resources import home
from ocw_mcp.domain.addresses import may_receive_secrets
from ocw_mcp.domain.asks import TYPED
from ocw_mcp.domain.decision import Action, Number
from ocw_mcp.domain.errors import AttachError
from ocw_mcp.interfaces.http.results import DecisionsPage, EquityPage, FeedResult, RefusalsPage
from ocw_mcp.interfaces.mcp.link import EngineError, EngineLink, NoAnswerError
from ocw_mcp.interfaces.mcp.results import (
    CandlesResult,
    OrdersResult,
    PortfolioResult,
    PositionsResult,
    Result,
    SnapshotResult,
    StatusResult,
    StoryResult,
    TradesResult,
)
from ocw_mcp.interfaces.mcp.trade_results import DoneResult, PreviewResult

_R = TypeVar("_R", bound=Result)
WHY: Final = "requested by a program"
"""The default rationale of an order, stored in the journal."""
_NAMED: Final = Implementation(name="python", version=__version__)
_HOW: Final = f"start one: ocw run {' '.join((*SIMULATED, *SERVED))}"


class EngineClient:
    """A client of a running engine. Each method calls the MCP tool, or reads the route of the status API, that its
    docstring names, with the same arguments.

    Amounts of money in results are texts. A refused order raises no error: the `refusal` of the result has the code,
    the limit and the actual value; a request that the engine cannot answer raises AttachError with a `code`. Use the
    client as a context manager, or call `disconnect`.
    """

    def __init__(self, find: Callable[[], Address]) -> None:
        """`find` returns the engine's address; it is called before each request."""
        self._find = find
        self._link = EngineLink()
        # The link is asynchronous: it runs in its own thread, so that it does not use a notebook's event loop.
        self._thread = ThreadPoolExecutor(1, "ocw-connect")
        self._loop = asyncio.Runner()
        self._closed = False

    def status(self) -> StatusResult:
        """Return a summary of the engine: mode, state, equity, today's loss, open positions (`ocw_get_status`)."""
        return self._ask(StatusResult, "ocw_get_status")

    def portfolio(self) -> PortfolioResult:
        """Return the account: equity, free margin, exposure, drawdown, fees and funding (`portfolio_get`)."""
        return self._ask(PortfolioResult, "portfolio_get")

    def positions(self, symbol: str | None = None) -> PositionsResult:
        """Return the open positions with their stops and targets (`positions_get`)."""
        return self._ask(PositionsResult, "positions_get", symbol=symbol)

    def orders(self, status: str = "live", limit: int = 20, cursor: str | None = None) -> OrdersResult:
        """Return orders, newest first: `live`, `all` or `refused` (`orders_get`)."""
        return self._ask(OrdersResult, "orders_get", status=status, limit=limit, cursor=cursor)

    def trades(
        self,
        symbol: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> TradesResult:
        """Return closed trades, newest first: `won`, `lost` or all, between two UTC days (`trades_search`)."""
        return self._ask(
            TradesResult, "trades_search", symbol=symbol, outcome=outcome, since=since, until=until, limit=limit,
            cursor=cursor,
        )  # fmt: skip

    def decisions(self, acted: bool = False, limit: int = 20, cursor: str | None = None) -> DecisionsPage:
        """Return decisions, newest first, with their reasons, legs and cost (`/decisions`)."""
        return self._read(DecisionsPage, "/decisions", acted=acted, limit=limit, cursor=cursor)

    def refusals(self, symbol: str | None = None, limit: int = 20, cursor: str | None = None) -> RefusalsPage:
        """Return the orders that the policies refused, newest first (`/refusals`)."""
        return self._read(RefusalsPage, "/refusals", symbol=symbol, limit=limit, cursor=cursor)

    def equity(self, timeframe: str = "1d", limit: int = 100, cursor: str | None = None) -> EquityPage:
        """Return the equity over time, at the start of each UTC day or at closes of candles (`/equity`)."""
        return self._read(EquityPage, "/equity", timeframe=timeframe, limit=limit, cursor=cursor)

    def prices(self, symbol: str, timeframe: str = "1h", limit: int = 100, cursor: str | None = None) -> CandlesResult:
        """Return closed candles in the engine's memory, oldest first (`/prices`)."""
        route = f"/prices/{quote(symbol, safe='')}"
        return self._read(CandlesResult, route, timeframe=timeframe, limit=limit, cursor=cursor)

    def wake(self, number: int) -> StoryResult:
        """Return one wake from its reasons to its last fill (`/wakes`)."""
        return self._read(StoryResult, f"/wakes/{number}")

    def feed(self) -> FeedResult:
        """Return the time and the age of each symbol's last closed candle (`/feed`)."""
        return self._read(FeedResult, "/feed")

    def snapshot(self, symbol: str | None = None, detail: str = "concise") -> SnapshotResult:
        """Return the current snapshot, with `detail` `concise` or `detailed` (`market_get_snapshot`)."""
        return self._ask(SnapshotResult, "market_get_snapshot", symbol=symbol, detail=detail)

    def preview(
        self,
        symbol: str,
        action: Action | str,
        size: Number | None = None,
        quantity: Number | None = None,
        stop: Number | None = None,
        target: Number | None = None,
        limit: Number | None = None,
        leverage: int | None = None,
    ) -> PreviewResult:
        """Check an order with the code that places it, and keep the order and its price for 60 s (`orders_preview`).

        Give `size` as a fraction of equity, or `quantity` in the base asset. No order is sent.
        """
        return self._ask(
            PreviewResult, "orders_preview", symbol=symbol, action=str(action), size=size, quantity=quantity, stop=stop,
            target=target, limit=limit, leverage=leverage,
        )  # fmt: skip

    def place(self, preview: PreviewResult | str, rationale: str = WHY, key: str | None = None) -> DoneResult:
        """Place the order of a preview; every limit is checked again (`orders_place`).

        The default idempotency key is the preview's id, so placing a preview twice sends one order.
        """
        preview_id = preview if isinstance(preview, str) else preview.preview_id
        if preview_id is None:
            assert isinstance(preview, PreviewResult)
            raise AttachError(f"this order would be refused, so it cannot be placed: {preview.refusal}", "REFUSED")
        return self._ask(DoneResult, "orders_place", preview_id=preview_id, key=key or preview_id, rationale=rationale)

    def close(self, symbol: str, rationale: str = WHY, key: str | None = None) -> DoneResult:
        """Close a whole position at the market, or cancel its waiting entry (`positions_close`)."""
        return self._ask(DoneResult, "positions_close", symbol=symbol, rationale=rationale, key=key or _fresh_key())

    def cancel(self, order: str, key: str | None = None) -> DoneResult:
        """Cancel a waiting entry by its id, such as `3-e-0` (`orders_cancel`)."""
        return self._ask(DoneResult, "orders_cancel", order=order, key=key or _fresh_key())

    def halt(self, why: str = WHY, key: str | None = None) -> DoneResult:
        """Halt the engine: entries are cancelled, and no entry passes until a person resumes it (`risk_halt`)."""
        return self._ask(DoneResult, "risk_halt", why=why, key=key or _fresh_key())

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call any tool of the engine by its name, and return its result as JSON values. Raises AttachError."""
        given = {name: _argument(name, value) for name, value in arguments.items() if value is not None}
        answer = self._request({"name": tool, "arguments": given, "_meta": {TYPED: True}})
        structured = answer.get("structuredContent")
        if not isinstance(structured, dict):
            text = " ".join(each.get("text", "") for each in answer.get("content", ()))
            code, separator, what = text.partition(": ")
            raise EngineError(code, what) if separator else EngineError("BAD_ANSWER", text)
        return structured

    def disconnect(self) -> None:
        """Close the connection. The engine continues."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._loop.run, self._link.aclose()).result()
            self._thread.submit(self._loop.close).result()
            self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def _ask(self, kind: type[_R], tool: str, **arguments: Any) -> _R:
        return kind.model_validate(self.call(tool, **arguments))

    def _read(self, kind: type[_R], route: str, **parameters: str | int | None) -> _R:
        given = {name: value for name, value in parameters.items() if value is not None}
        return kind.model_validate(self._send(lambda address: self._link.read(address, route, given)))

    def _request(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(lambda address: self._link.ask(address, "tools/call", params, _NAMED))

    def _send(self, work: Callable[[Address], Coroutine[Any, Any, dict[str, Any]]]) -> dict[str, Any]:
        """Return the answer to one request, made in the thread of the link. Raises AttachError."""
        if self._closed:
            raise AttachError("this client was disconnected; connect again", "DISCONNECTED")
        address = self._find()
        try:
            return self._thread.submit(lambda: self._loop.run(work(address))).result()
        except NoAnswerError:
            raise AttachError(f"no engine answers at {address.url}; {_HOW}") from None
        except MCPError as error:
            raise EngineError("PROTOCOL", str(error)) from None


def connect(state: str | Path | None = None, *, url: str | None = None, token: str | None = None) -> EngineClient:
    """Connect to a running engine: the engine of a state directory, or the engine at a URL, with a token.

    Without arguments, connect to the engine of the default book of `ocw mcp`. `ocw token new` makes an access token.

    Raises AttachError if no engine answers; the text of the error has the command that starts an engine.
    """
    client = EngineClient(_finder(state, url, token))
    try:
        client.status()
    except BaseException:
        client.disconnect()
        raise
    return client


def _finder(state: str | Path | None, url: str | None, token: str | None) -> Callable[[], Address]:
    if url is None and token is None:
        return partial(_address_of, Path(state) if state is not None else home())
    if url is None or token is None or state is not None:
        raise AttachError("connect takes a state directory, or a url with a token; expected one of the two")
    if not may_receive_secrets(url):
        raise AttachError(
            f"{url[:80]} is not an address to which a token may be sent; expected https and a host, or http to this "
            "machine"
        )
    address = Address(url.rstrip("/").removesuffix("/mcp"), token, 0)
    return lambda: address


def _address_of(directory: Path) -> Address:
    found = read_address(directory)
    if found is None:
        raise AttachError(f"no engine is served from {directory}; {_HOW} --state {directory}")
    return found


def _argument(name: str, value: object) -> object:
    """Return an argument as JSON values, a Decimal as text. Raises AttachError for a number that is not finite."""
    if isinstance(value, dict):
        return {key: _argument(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_argument(f"{name}[{place}]", each) for place, each in enumerate(value)]
    if isinstance(value, Decimal | float) and not math.isfinite(value):
        raise AttachError(f"{name} is {value}; expected a finite number", "BAD_ARGUMENTS")
    return str(value) if isinstance(value, Decimal) else value


def _fresh_key() -> str:
    return secrets.token_hex(8)
