"""The REST client: weights within the exchange's budget, waits that the exchange asks for, back-off with jitter."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import IntEnum
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse, Transport, pause
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND

_LIMITS: Final = {Product.UM: 2_400, Product.SPOT: 6_000}
"""The request weight that an IP address may use in a minute, by product; exchangeInfo confirms it."""
_ALLOWED: Final = 0.7
"""The part of the limit that the feed uses: orders and other programs on this address need the rest."""
_AT_ONCE: Final = 4
"""Requests at one time."""
_FIRST_BACK_OFF_S: Final = 0.5
_LONGEST_BACK_OFF_S: Final = 30.0
_UNTIL: Final = re.compile(r"until\s+(\d{13})")
_BAN_S: Final = 120.0
"""The assumed length of a ban that does not say when it ends."""


class Priority(IntEnum):
    """How a request behaves while the exchange refuses requests."""

    URGENT = 0
    """It fails at once: the caller needs to know."""
    PATIENT = 1
    """It waits until the exchange accepts requests again: history and gaps."""


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

    def __init__(self, transport: Transport, product: Product, jitter: Callable[[], float]) -> None:
        self._transport, self._jitter = transport, jitter
        self._limit = _LIMITS[product]
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._blocked_until = -1.0
        """The loop time (s) until which the exchange refuses requests."""
        self._minute = -1
        self._used = 0
        """The weight used in the present minute, by this feed or by the whole address, whichever is more."""
        self.now_ms: Callable[[], int] = transport.now_ms
        """The exchange's time, by which it counts minutes and dates bans."""
        self.refused = 0
        """The number of answers 429 and 418."""
        self.last_error = ""
        """Why the last request failed; empty after a success."""

    def set_limit(self, weight: int) -> None:
        """Set the weight that an address may use in a minute, as exchangeInfo reports it."""
        self._limit = max(weight, 100)

    @property
    def weight_limit(self) -> int:
        """The weight that an address may use in a minute."""
        return self._limit

    @property
    def used_weight(self) -> int:
        """The weight used in the present minute, by this feed or by the whole address, whichever is more."""
        return self._used if self.now_ms() // MINUTE == self._minute else 0

    @property
    def blocked_s(self) -> float:
        """How long (s) the exchange still refuses requests; 0 if it accepts them."""
        return max(0.0, self._blocked_until - _loop_time())

    async def get(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        weight: int,
        priority: Priority = Priority.URGENT,
    ) -> bytes:
        """Return the body of the answer. A patient request retries without limit, unless the request itself is wrong.

        Raises MarketUnreachable without a usable answer, and FeedError if the exchange calls the request wrong.
        """
        attempt = 0
        while True:
            try:
                await self._admit(path, weight, priority)
                async with self._slots:
                    body = await self._once(path, query or {})
                self.last_error = ""
                return body
            except MarketUnreachable as error:
                self.last_error = str(error)
                if priority is Priority.URGENT:
                    raise
                # During a ban `_admit` waits for its end; the back-off is for everything else.
                await pause(back_off_s(attempt, self._jitter))
                attempt += 1

    async def _admit(self, path: str, weight: int, priority: Priority) -> None:
        """Wait until a request of this weight may be sent."""
        while True:
            if (blocked := self.blocked_s) > 0:
                if priority is Priority.URGENT:
                    raise MarketUnreachable(f"{path} was not sent: the exchange refuses requests for {blocked:.0f} s")
                await pause(blocked + self._jitter())
                continue
            now = self.now_ms()
            if now // MINUTE != self._minute:
                self._minute, self._used = now // MINUTE, 0
            # An urgent request may use what the exchange allows; a patient one leaves a part to others.
            allowed = self._limit * (_ALLOWED if priority is Priority.PATIENT else 0.95)
            if self._used + weight <= allowed or self._used == 0:
                self._used += weight
                return
            if priority is Priority.URGENT:
                raise MarketUnreachable(f"{path} was not sent: {self._used} of {self._limit} weight is used")
            await pause((MINUTE - now % MINUTE) / SECOND + self._jitter())

    async def _once(self, path: str, query: Mapping[str, str | int]) -> bytes:
        try:
            async with asyncio.timeout(self._transport.timeout_s):
                answer = await self._transport.get(path, query)
        except TimeoutError:
            raise MarketUnreachable(f"{path} had no answer in {self._transport.timeout_s:.0f} s") from None
        used = answer.headers.get("x-mbx-used-weight-1m", "")
        if used.isdecimal():
            self._used = max(self._used, int(used))
        if answer.status == 200:
            return answer.body
        problem = _problem_of(answer)
        if answer.status in (418, 429) or problem.code == -1003:
            self.refused += 1
            waits = self._asked_wait_s(answer, problem)
            self._blocked_until = max(self._blocked_until, _loop_time() + waits)
            raise MarketUnreachable(f"{path} was answered {answer.status}: wait {waits:.0f} s")
        if 400 <= answer.status < 500 and answer.status not in (403, 408, 451):
            raise FeedError(f"the exchange refused {path}: {answer.status} {problem.code} {problem.text[:200]!r}")
        raise MarketUnreachable(f"{path} was answered {answer.status} {problem.text[:80]!r}")

    def _asked_wait_s(self, answer: RestResponse, problem: _Problem) -> float:
        """Return how long (s) the exchange asked to wait: spot in a header, futures in the text of the error."""
        waits = []
        header = answer.headers.get("retry-after", "")
        if header.isdecimal():
            waits.append(float(header))
        elif header:
            with contextlib.suppress(ValueError):
                waits.append(parsedate_to_datetime(header).timestamp() - self.now_ms() / SECOND)
        if until := _UNTIL.search(problem.text):
            waits.append((int(until[1]) - self.now_ms()) / SECOND)
        if waits:
            return max(1.0, *waits)
        if answer.status == 418:
            return _BAN_S
        # The weight of a minute is counted anew in the next one.
        return (MINUTE - self.now_ms() % MINUTE) / SECOND + self._jitter()


def _problem_of(answer: RestResponse) -> _Problem:
    try:
        return msgspec.json.decode(answer.body, type=_Problem, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Problem()


def _loop_time() -> float:
    return asyncio.get_running_loop().time()
