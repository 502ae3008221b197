"""Signed calls to one account: signature, exchange time, budget of requests, and the meaning of each answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.clock import MEASURED_EVERY_S, SAMPLES, TIME_PATHS, ServerClock
from ocw_mcp.adapters.binance.transport import NotSent, RestResponse, SignedTransport, pause
from ocw_mcp.adapters.binance.weights import OverBudget, Scope, Use, Weights
from ocw_mcp.adapters.venues.binance.errors import Banned, CallFailed, Outcome, Refused, Unanswered, classify
from ocw_mcp.adapters.venues.binance.hosts import check_host
from ocw_mcp.adapters.venues.binance.signing import Signer
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode

_LONGEST_TEXT: Final = 200


class _Problem(msgspec.Struct):
    """The body of an error."""

    code: int
    text: str = msgspec.field(name="msg", default="")


class SignedClient:
    """Signed requests of one account. No client exists for paper, so a book on paper sends nothing signed."""

    def __init__(
        self,
        transport: SignedTransport,
        key: ApiKey,
        mode: Mode,
        product: Product = Product.UM,
        *,
        loopback: str | None = None,
        weights: Weights | None = None,
    ) -> None:
        """`loopback` is the address of a sandbox on this machine; without it only the exchange's hosts are allowed.

        `weights` is the budget of the host if others use it as well.

        Raises VenueRefused if the mode makes no signed calls, or if the transport leads to a host of another mode.
        """
        check_host(mode, product, transport.rest, loopback)
        self.mode, self.product = mode, product
        self.transport = transport
        self.clock = ServerClock(transport.now_ms)
        self.weights = weights or Weights(product)
        self.weights.begin(self.clock.now_ms)
        self._host, self._loopback = transport.rest, loopback
        self._signer = Signer(product, transport.rest, key, self.clock.now_ms)

    def now_ms(self) -> int:
        """Return the exchange's time, ms."""
        return self.clock.now_ms()

    async def keep_time(self) -> None:
        """Measure the exchange's time now and then; this never ends."""
        while True:
            # Without an answer the last measurement stays. A time that is wrong is refused, and measured again.
            with contextlib.suppress(Banned, Unanswered):
                await self.measure_time()
            await pause(MEASURED_EVERY_S)

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        weight: int,
        orders: int = 0,
        reduces: bool = False,
    ) -> bytes:
        """Send a signed request; return the body of its success. `orders` is how many new orders it counts as.

        A request whose time stamp was refused is sent once more, with the same parameters.
        Raises Refused, Banned or Unanswered.
        """
        if not self.clock.measured:
            await self.measure_time()
        use = Use.REDUCTION if reduces else Use.ENTRY if orders else Use.QUERY
        try:
            return await self._once(method, path, params or {}, weight, orders, use)
        except Refused as refused:
            if refused.verdict.outcome is not Outcome.CLOCK:
                raise
            try:
                await self.measure_time()
            except (Banned, Unanswered):
                raise refused from None
        return await self._once(method, path, params or {}, weight, orders, use)

    async def get(self, path: str, query: Mapping[str, str | int], *, weight: int) -> bytes:
        """Send a request without a signature; return the body of its success. Raises Refused, Banned or Unanswered."""
        self._admit(Use.QUERY, weight)
        return await self._answered(path, self.transport.get(path, query))

    async def subscription(self, *, weight: int) -> Mapping[str, str | int]:
        """Return the signed parameters of a subscription by the WebSocket API. Raises Banned or Unanswered."""
        if not self.clock.measured:
            await self.measure_time()
        self._admit(Use.QUERY, weight)
        return self._signer.subscription()

    async def measure_time(self) -> None:
        """Measure the exchange's time. Raises Banned or Unanswered."""
        path = TIME_PATHS[self.product]
        self._admit(Use.QUERY, SAMPLES)
        try:
            await self.clock.measure_by(lambda: self._answered(path, self.transport.request("GET", path)))
        except Banned:
            raise
        except (CallFailed, MarketUnreachable) as error:
            raise Unanswered(f"the exchange's time was not measured: {error}", sent=False) from None
        self.weights.follow(self.now_ms)

    def _admit(self, use: Use, weight: int, orders: int = 0) -> None:
        try:
            self.weights.admit(use, weight, orders)
        except OverBudget as over:
            raise Banned(over.until_ms, over.why) from None

    async def _once(
        self, method: str, path: str, params: Mapping[str, str | int], weight: int, orders: int, use: Use
    ) -> bytes:
        if self.transport.rest != self._host:
            check_host(self.mode, self.product, self.transport.rest, self._loopback)
        self._admit(use, weight, orders)
        sent = self._signer.sign(method, path, params)
        request = self.transport.request(sent.method, sent.path, sent.query, sent.form, sent.headers)
        return await self._answered(path, request)

    async def _answered(self, path: str, request: Awaitable[RestResponse]) -> bytes:
        try:
            async with asyncio.timeout(self.transport.timeout_s):
                answer = await request
        except TimeoutError:
            raise Unanswered(f"{path} had no answer in {self.transport.timeout_s:.0f} s", sent=True) from None
        except NotSent as error:
            raise Unanswered(str(error), sent=False) from None
        except MarketUnreachable as error:
            raise Unanswered(str(error), sent=True) from None
        self.weights.note(answer.headers)
        if answer.status == 200:
            return answer.body
        raise self._failure(path, answer)

    def _failure(self, path: str, answer: RestResponse) -> Exception:
        """Return the error that an answer means."""
        problem = _problem_of(answer)
        code, text = (None, "") if problem is None else (problem.code, problem.text[:_LONGEST_TEXT])
        verdict = classify(answer.status, code, text, self.product)
        if verdict.outcome in (Outcome.BANNED, Outcome.TOO_MANY_ORDERS):
            scope = Scope.ORDERS if verdict.outcome is Outcome.TOO_MANY_ORDERS else Scope.ALL
            over = self.weights.block(answer, text, scope=scope)
            return Banned(over.until_ms, over.why)
        if verdict.outcome is Outcome.UNKNOWN:
            return Unanswered(f"{path} was answered {answer.status} {code or ''} {text}".rstrip(), sent=True)
        return Refused(code or 0, text, answer.status, verdict)


def _problem_of(answer: RestResponse) -> _Problem | None:
    try:
        return msgspec.json.decode(answer.body, type=_Problem, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
