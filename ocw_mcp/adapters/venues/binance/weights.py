"""The budget of requests: what the exchange counts by address and by account, with a reserve for reductions."""

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.venues.binance.errors import Banned
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND

MARGIN_MS: Final = 100
"""The time (ms) that is waited after the end of a span, because the exchange's time is known with an error only."""
_BAN_MS: Final = 2 * MINUTE
"""The assumed length of a ban that does not say when it ends: that of the shortest."""
_UNTIL: Final = re.compile(r"until\s+(\d{13})")


class Use(StrEnum):
    """What a request is for."""

    ENTRY = "entry"
    QUERY = "query"
    REDUCTION = "reduction"
    """An order that reduces a position, or a cancel."""


SHARES: Final = {Use.ENTRY: 0.6, Use.QUERY: 0.8, Use.REDUCTION: 1.0}
"""The share of each limit up to which a use may go."""


class _Limit(msgspec.Struct):
    """A limit of the exchange in spans of fixed length, and what of it is used."""

    header: str
    span: int
    most: int
    number: int = -1
    """The number of the span that `used` belongs to."""
    used: int = 0

    def used_at(self, now: int) -> int:
        return self.used if self.number == now // self.span else 0

    def add(self, count: int, now: int) -> None:
        self.number, self.used = now // self.span, self.used_at(now) + count

    def correct(self, used: int, now: int) -> None:
        """Take the exchange's own count, unless ours is higher: requests under way are not counted there yet."""
        self.number, self.used = now // self.span, max(self.used_at(now), used)

    def ends(self, now: int) -> int:
        return (now // self.span + 1) * self.span + MARGIN_MS


_WEIGHT: Final = {Product.UM: 2_400, Product.SPOT: 6_000}
_ORDERS: Final = {
    Product.UM: (("10s", 10 * SECOND, 300), ("1m", MINUTE, 1_200)),
    Product.SPOT: (("10s", 10 * SECOND, 100), ("1d", DAY, 200_000)),
}


class Weights:
    """What is used of the limits, and until when the exchange takes no requests. `now_ms` is the exchange's time."""

    def __init__(self, product: Product, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._weight = _Limit("x-mbx-used-weight-1m", MINUTE, _WEIGHT[product])
        self._orders = [_Limit(f"x-mbx-order-count-{name}", span, most) for name, span, most in _ORDERS[product]]
        self._blocked: dict[bool, Banned] = {}
        """By whether it concerns new orders only: the last refusal of the exchange."""

    @property
    def used_weight(self) -> int:
        """The weight that this address has used in the present minute."""
        return self._weight.used_at(self._now_ms())

    @property
    def blocked_until(self) -> int:
        """The time (exchange time, ms) until which the exchange takes no request; 0 if it takes them now."""
        blocked = self._blocked.get(False)
        return blocked.until_ms if blocked is not None and blocked.until_ms > self._now_ms() else 0

    def set_weight_limit(self, most: int) -> None:
        """Set the weight of a minute, as exchangeInfo reports it."""
        self._weight.most = max(most, 100)

    def admit(self, use: Use, weight: int, orders: int) -> None:
        """Count a request that is about to be sent. Raises Banned if it has to wait."""
        now = self._now_ms()
        for only_orders, blocked in self._blocked.items():
            if now < blocked.until_ms and (orders or not only_orders):
                raise Banned(blocked.until_ms, blocked.why)
        counted = [(self._weight, weight), *((each, orders) for each in self._orders)]
        for limit, count in counted:
            if count and limit.used_at(now) + count > limit.most * SHARES[use]:
                share = "" if use is Use.REDUCTION else f", of which {SHARES[use]:.0%} are for requests of this kind"
                why = f"{limit.used_at(now)} of {limit.most} are used of the limit {limit.header}{share}"
                raise Banned(limit.ends(now), why)
        for limit, count in counted:
            limit.add(count, now)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take the counts from the headers of an answer."""
        now = self._now_ms()
        for limit in (self._weight, *self._orders):
            text = headers.get(limit.header, "")
            if text.isdecimal():
                limit.correct(int(text), now)

    def block(self, answer: RestResponse, text: str, *, only_orders: bool = False) -> Banned:
        """Take no requests, or no new orders, until the exchange takes them again; return the error to raise."""
        until = self._end_of(answer, text, only_orders)
        known = self._blocked.get(only_orders)
        if known is not None:
            until = max(until, known.until_ms)
        self._blocked[only_orders] = Banned(until, f"the exchange answered {answer.status}: {text[:160]}")
        return Banned(until, self._blocked[only_orders].why)

    def _end_of(self, answer: RestResponse, text: str, only_orders: bool) -> int:
        """Return when the exchange takes requests again: from a header, from the text, or from the span."""
        now = self._now_ms()
        ends: list[int] = []
        header = answer.headers.get("retry-after", "")
        if header.isdecimal():
            ends.append(now + int(header) * SECOND)
        elif header:
            with contextlib.suppress(ValueError, OverflowError):
                ends.append(math.ceil(parsedate_to_datetime(header).timestamp() * SECOND))
        if found := _UNTIL.search(text):
            ends.append(int(found[1]))
        if ends:
            return max(now + SECOND, max(ends) + MARGIN_MS)
        if answer.status == 418:
            return now + _BAN_MS
        limits = self._orders if only_orders else [self._weight]
        exceeded = [each for each in limits if each.used_at(now) >= each.most] or limits[:1]
        return max(each.ends(now) for each in exceeded)
