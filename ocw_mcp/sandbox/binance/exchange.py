"""The REST half of the sandbox exchange: a request and a time in, a response out."""

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.signed import SignedApi, SignedRequest
from ocw_mcp.sandbox.binance.answers import Answers, Payload
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo, FilterChange
from ocw_mcp.sandbox.binance.futures_answers import FuturesAnswers
from ocw_mcp.sandbox.binance.limits import Limits, Pool, Verdict
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters
from ocw_mcp.sandbox.binance.spot.api import SpotApi

JSON = {"Content-Type": "application/json;charset=UTF-8"}

Query = dict[str, str]


class Request(msgspec.Struct, frozen=True):
    """A REST request: the query has decoded values, the names of headers are in lower case."""

    method: str
    path: str
    query: Query = {}
    headers: dict[str, str] = {}
    ip: str = "127.0.0.1"
    text: str = ""
    """The query string as it was sent; empty if the query was not sent as text."""
    body: str = ""

    def signed(self) -> SignedRequest:
        """Return the parts that a signature covers; a query that was not sent as text is encoded in its order."""
        text = self.text if self.text or self.body else urlencode(self.query)
        return SignedRequest(self.method, self.path, self.query, self.headers, self.ip, text, self.body)


class Response(msgspec.Struct, frozen=True):
    """A REST response; the body is JSON, except that of an unknown path on spot."""

    status: int
    body: bytes
    headers: dict[str, str] = {}


class Route(NamedTuple):
    """A path: what answers it, and what it costs."""

    answer: Callable[[Parameters, int], Payload]
    weight: Callable[[Query], int]
    pool: Pool = Pool.WEIGHT


class Exchange:
    """The exchange: it answers as Binance does, with weights, limits and bans per IP address."""

    def __init__(self, market: SandboxMarket) -> None:
        self.market = market
        self.info = ExchangeInfo(market)
        self.limits = Limits(market.product)
        is_spot = market.product is Product.SPOT
        self.account: SignedApi = SpotApi(market, self.info) if is_spot else FuturesApi(market, self.info)
        self._routes = _spot(Answers(market, self.info)) if is_spot else _futures(FuturesAnswers(market, self.info))

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that are answered."""
        return (*self._routes, *self.account.paths)

    def handle(self, request: Request, now: int, skew: int = 0) -> Response:
        """Return the response at the exchange's time `now` (ms); its clock is ahead by `skew` (ms)."""
        weight_of_account = self.account.weight(request.method, request.path, request.query)
        if weight_of_account is not None:
            return self._signed(request, weight_of_account, now, skew)
        route = self._routes.get(request.path)
        weight, pool = (1, Pool.WEIGHT) if route is None else (route.weight(request.query), route.pool)
        verdict = self.limits.charge(request.ip, pool, weight, now)
        if verdict.status != 200:
            return _refused(verdict, -1003, verdict.message, verdict.status)
        if route is None or request.method != "GET":
            return self._unknown(request, verdict)
        parameters = Parameters(request.query, self.market.product, self.market.symbols)
        try:
            payload = route.answer(parameters, now)
            parameters.finish()
        except ApiError as error:
            return _refused(verdict, error.code, error.message, error.status)
        return Response(200, msgspec.json.encode(payload), JSON | verdict.headers)

    def _signed(self, request: Request, weight: int, now: int, skew: int) -> Response:
        """Return the response to a request of the account."""
        verdict = self.limits.charge(request.ip, Pool.WEIGHT, weight, now)
        if verdict.status != 200:
            return _refused(verdict, -1003, verdict.message, verdict.status)
        headers = dict(verdict.headers)
        try:
            payload = self.account.answer(request.signed(), now, now + skew, headers)
        except ApiError as error:
            return _refused(msgspec.structs.replace(verdict, headers=headers), error.code, error.message, error.status)
        return Response(200, msgspec.json.encode(payload), JSON | headers)

    def ban(self, ip: str, until: int) -> None:
        """Answer 418 to an IP address until a time (ms)."""
        self.limits.ban(ip, until)

    def change_filters(
        self,
        symbol: str,
        at: int,
        *,
        tick: str | None = None,
        step: str | None = None,
        min_notional: str | None = None,
        status: str | None = None,
    ) -> None:
        """Change filters or the status of a symbol in exchangeInfo from a time (ms) on."""
        self.info.change(FilterChange(symbol, at, tick, step, min_notional, status))

    def _unknown(self, request: Request, verdict: Verdict) -> Response:
        if self.market.product is Product.SPOT:
            html = b"<html><body><h2>404 Not found</h2></body></html>"
            return Response(404, html, {"Content-Type": "text/html"} | verdict.headers)
        return _refused(verdict, -5000, f"Path {request.path}, Method {request.method} is invalid", 404)


def _refused(verdict: Verdict, code: int, message: str, status: int) -> Response:
    body: dict[str, Any] = {"code": code, "msg": message}
    return Response(status, msgspec.json.encode(body), JSON | verdict.headers)


def _fixed(weight: int) -> Callable[[Query], int]:
    return lambda _query: weight


def _with_symbol(one: int, all_of_them: int) -> Callable[[Query], int]:
    """Return the weight of a path that answers for one symbol, or for all."""
    return lambda query: one if query.get("symbol") else all_of_them


def _by_limit(default: int, *steps: tuple[int, int]) -> Callable[[Query], int]:
    """Return the weight by `limit`: each step is a largest limit and its weight; the last weight is for all others."""

    def weight(query: Query) -> int:
        text = query.get("limit", "")
        limit = int(text) if text.isdecimal() and len(text) < 20 else default
        return next((weight for most, weight in steps if limit <= most), steps[-1][1])

    return weight


def _spot_ticker(few: int, some: int, most: int) -> Callable[[Query], int]:
    """Return the weight of a spot ticker by the number of symbols: up to 20, up to 100, and more or all."""

    def weight(query: Query) -> int:
        if query.get("symbol"):
            return few
        count = query.get("symbols", "").count(",") + 1 if query.get("symbols") else 1000
        return few if count <= 20 else some if count <= 100 else most

    return weight


def _futures(answers: FuturesAnswers) -> dict[str, Route]:
    klines = _by_limit(500, (99, 1), (499, 2), (1000, 5), (1500, 10))
    data, funding = Pool.DATA, Pool.FUNDING
    one = _fixed(1)
    return {
        "/fapi/v1/ping": Route(answers.ping, one),
        "/fapi/v1/time": Route(answers.time, one),
        "/fapi/v1/exchangeInfo": Route(answers.exchange_info, one),
        "/fapi/v1/klines": Route(answers.klines, klines),
        "/fapi/v1/continuousKlines": Route(answers.continuous_klines, klines),
        "/fapi/v1/aggTrades": Route(answers.aggregate_trades, _fixed(20)),
        "/fapi/v1/trades": Route(answers.recent_trades, _fixed(5)),
        "/fapi/v1/depth": Route(answers.depth, _by_limit(500, (50, 2), (100, 5), (500, 10), (1000, 20))),
        "/fapi/v1/ticker/24hr": Route(answers.day_ticker, _with_symbol(1, 40)),
        "/fapi/v1/ticker/price": Route(answers.price_ticker, _with_symbol(1, 2)),
        "/fapi/v2/ticker/price": Route(answers.price_ticker, _with_symbol(1, 2)),
        "/fapi/v1/ticker/bookTicker": Route(answers.book_ticker, _with_symbol(2, 5)),
        "/fapi/v1/premiumIndex": Route(answers.premium_index, _with_symbol(1, 10)),
        "/fapi/v1/fundingRate": Route(answers.funding_rates, one, funding),
        "/fapi/v1/fundingInfo": Route(answers.funding_info, one, funding),
        "/fapi/v1/openInterest": Route(answers.open_interest, one),
        "/futures/data/openInterestHist": Route(answers.open_interest_history, one, data),
        "/futures/data/topLongShortPositionRatio": Route(answers.top_position_ratio, one, data),
        "/futures/data/topLongShortAccountRatio": Route(answers.top_account_ratio, one, data),
        "/futures/data/globalLongShortAccountRatio": Route(answers.account_ratio, one, data),
        "/futures/data/takerlongshortRatio": Route(answers.taker_ratio, one, data),
        "/futures/data/basis": Route(answers.basis, one, data),
    }


def _spot(answers: Answers) -> dict[str, Route]:
    return {
        "/api/v3/ping": Route(answers.ping, _fixed(1)),
        "/api/v3/time": Route(answers.time, _fixed(1)),
        "/api/v3/exchangeInfo": Route(answers.exchange_info, _fixed(20)),
        "/api/v3/klines": Route(answers.klines, _fixed(2)),
        "/api/v3/uiKlines": Route(answers.klines, _fixed(2)),
        "/api/v3/aggTrades": Route(answers.aggregate_trades, _fixed(4)),
        "/api/v3/trades": Route(answers.recent_trades, _fixed(25)),
        "/api/v3/depth": Route(answers.depth, _by_limit(100, (100, 5), (500, 25), (1000, 50), (5000, 250))),
        "/api/v3/avgPrice": Route(answers.average_price, _fixed(2)),
        "/api/v3/ticker/24hr": Route(answers.day_ticker, _spot_ticker(2, 40, 80)),
        "/api/v3/ticker/price": Route(answers.price_ticker, _with_symbol(2, 4)),
        "/api/v3/ticker/bookTicker": Route(answers.book_ticker, _with_symbol(2, 4)),
    }
