"""The REST client: requests within the budget of the host, waits that the exchange asks for, back-off with jitter."""

import asyncio
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, Transport, pause
from ocw_mcp.adapters.binance.weights import OverBudget, Scope, Use, Weights
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import SECOND

_AT_ONCE: Final = 4
"""Requests at one time."""
_FIRST_BACK_OFF_S: Final = 0.5
_LONGEST_BACK_OFF_S: Final = 30.0


class Priority(IntEnum):
    """How a request behaves while the exchange refuses requests."""

    URGENT = 0
    """The request fails at once: the caller needs to know."""
    PATIENT = 1
    """The request waits until the exchange accepts requests again: history and gaps."""


class _Problem(msgspec.Struct):
    """The body of an error."""

    code: int = 0
    text: str = msgspec.field(name="msg", default="")


def back_off_s(attempt: int, jitter: Callable[[], float]) -> float:
    """Return the wait (s) before try `attempt` (from 0): it doubles, and is between a half of that and all of it."""
    longest = min(_LONGEST_BACK_OFF_S, _FIRST_BACK_OFF_S * 2.0 ** min(attempt, 16))
    return longest * (0.5 + 0.5 * jitter())


class RestClient:
    """GET requests for market data of one product. `jitter` returns a number from 0 to below 1."""

    def __init__(
        self, transport: Transport, product: Product, jitter: Callable[[], float], weights: Weights | None = None
    ) -> None:
        """`weights` is the budget of the host if others use it as well."""
        self._transport, self._jitter = transport, jitter
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self.weights = weights or Weights(product)
        self.weights.begin(transport.now_ms)
        self.refused = 0
        """The number of answers 429 and 418."""
        self.last_error = ""
        """Why the last request failed; empty after a success."""

    async def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        weight: int,
        use: Use = Use.QUERY,
        scope: Scope = Scope.ALL,
        priority: Priority = Priority.URGENT,
    ) -> bytes:
        """Return the body of the answer. A patient request retries without limit, unless the request itself is wrong.

        `scope` names the limit of the path if it has one of its own.
        Raises MarketUnreachable without a usable answer, and FeedError if the exchange calls the request wrong.
        """
        attempt = 0
        while True:
            try:
                await self._admit(path, use, weight, scope, priority)
                async with self._slots:
                    body = await self._once(path, query or {}, scope)
                self.last_error = ""
                return body
            except MarketUnreachable as error:
                self.last_error = str(error)
                if priority is Priority.URGENT:
                    raise
                # During a ban `_admit` waits for its end; the back-off is for everything else.
                await pause(back_off_s(attempt, self._jitter))
                attempt += 1

    async def _admit(self, path: str, use: Use, weight: int, scope: Scope, priority: Priority) -> None:
        """Wait until a request of this weight may be sent."""
        while True:
            try:
                self.weights.admit(use, weight, scope=scope)
                return
            except OverBudget as over:
                wait = max(0, over.until_ms - self.weights.now_ms()) / SECOND
                if priority is Priority.URGENT:
                    raise MarketUnreachable(f"{path} was not sent for the next {wait:.0f} s: {over.why}") from None
                await pause(wait + self._jitter())

    async def _once(self, path: str, query: Mapping[str, str | int], scope: Scope) -> bytes:
        try:
            async with asyncio.timeout(self._transport.timeout_s):
                answer = await self._transport.get(path, query)
        except TimeoutError:
            raise MarketUnreachable(f"{path} had no answer in {self._transport.timeout_s:.0f} s") from None
        self.weights.note(answer.headers)
        if answer.status == 200:
            return answer.body
        problem = _problem_of(answer)
        if answer.status in (418, 429) or problem.code == -1003:
            self.refused += 1
            over = self.weights.block(answer, problem.text, scope=scope)
            wait = max(0, over.until_ms - self.weights.now_ms()) / SECOND
            raise MarketUnreachable(f"{path} was answered {answer.status}: wait {wait:.0f} s")
        if 400 <= answer.status < 500 and answer.status not in (403, 408, 451):
            raise FeedError(f"the exchange refused {path}: {answer.status} {problem.code} {problem.text[:200]!r}")
        raise MarketUnreachable(f"{path} was answered {answer.status} {problem.text[:80]!r}")


def _problem_of(answer: RestResponse) -> _Problem:
    try:
        return msgspec.json.decode(answer.body, type=_Problem, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Problem()
