"""The budget of requests to one host: what the exchange counts by address and by account, and who may use how much.

The feed and the venue of a process share one budget for each host, so a ban of one stops the other as well.
"""

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND

MARGIN_MS: Final = 100
"""The time (ms) that is waited after the end of a span, because the exchange's time is known with an error only."""
_BAN_MS: Final = 2 * MINUTE
"""The assumed length of a ban that does not say when it ends: that of the shortest."""
_UNTIL: Final = re.compile(r"until\s+(\d{13})")


class Use(StrEnum):
    """What a request is for, from the most important to the least."""

    REDUCTION = "reduction"
    """An order that reduces a position, or a cancel."""
    QUERY = "query"
    """Orders, positions and settings of the account, the exchange's time, and prices that a stream does not give."""
    ENTRY = "entry"
    CANDLES = "candles"
    """History and gaps."""
    DERIVATIVES = "derivatives"
    """Open interest and similar figures, which are asked for again and again."""
    PAGES = "pages"
    """What only a person looks at."""


class Scope(StrEnum):
    """The requests that a refusal concerns."""

    ALL = "all"
    ORDERS = "orders"
    """New orders."""
    DATA = "futures data"
    """Paths below `/futures/data`, which have no weight and a limit of their own."""
    FUNDING = "funding rates"
    """fundingRate and fundingInfo, which share a limit of their own."""


class Share(NamedTuple):
    """The parts of the limits up to which a use may go; the rest is left to more important uses."""

    weight: float
    """The part of the weight of a minute that is used at most, by all uses together, after a request of this use."""
    orders: float = 0.0
    """The same of the counts of orders."""
    own: float = 1.0
    """The part of the weight of a minute that this use alone may use."""


SHARES: Final[Mapping[Use, Share]] = {
    Use.REDUCTION: Share(1.0, orders=1.0),
    Use.QUERY: Share(0.8),
    Use.ENTRY: Share(0.75, orders=0.6),
    Use.CANDLES: Share(0.7),
    Use.DERIVATIVES: Share(0.6, own=0.2),
    Use.PAGES: Share(0.5),
}


class OverBudget(Exception):  # noqa: N818
    """A request was not sent, because it has to wait until `until_ms` (exchange time, ms)."""

    def __init__(self, until_ms: int, why: str) -> None:
        self.until_ms, self.why = until_ms, why
        super().__init__(why)


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


_FIVE_MINUTES: Final = {Scope.DATA: 1_000, Scope.FUNDING: 500}
"""The numbers of requests in five minutes that an address may send to paths with a limit of their own."""
_OF_FIVE_MINUTES: Final = 0.9
"""The part of them that is used at most."""


class Weights:
    """What is used of the limits, and until when the exchange takes no requests."""

    def __init__(self, product: Product, now_ms: Callable[[], int] | None = None) -> None:
        """`now_ms` is the exchange's time, or the best that is known of it; see `begin` and `follow`."""
        self._time = now_ms
        self._weight = _Limit("x-mbx-used-weight-1m", MINUTE, _WEIGHT[product])
        self._orders = [_Limit(f"x-mbx-order-count-{name}", span, most) for name, span, most in _ORDERS[product]]
        self._own = {use: _Limit("", MINUTE, 0) for use in Use}
        """The weight that each use has used; its limit is a share of that of `_weight`."""
        self._counts = {scope: _Limit("", 5 * MINUTE, most) for scope, most in _FIVE_MINUTES.items()}
        self._refused: dict[Scope, OverBudget] = {}
        """The last refusal of the exchange, by what it concerns."""

    def begin(self, now_ms: Callable[[], int]) -> None:
        """Use the time of a client (ms) if none is in use."""
        self._time = self._time or now_ms

    def follow(self, now_ms: Callable[[], int]) -> None:
        """Use a time (ms) that was measured at the exchange, which dates its minutes and bans."""
        self._time = now_ms

    def now_ms(self) -> int:
        """Return the time by which minutes are counted, ms."""
        assert self._time is not None, "no client has begun to use these weights"
        return self._time()

    @property
    def limit(self) -> int:
        """The weight that an address may use in a minute."""
        return self._weight.most

    @property
    def used_weight(self) -> int:
        """The weight that this address has used in the present minute."""
        return self._weight.used_at(self.now_ms())

    @property
    def blocked_until(self) -> int:
        """The time (exchange time, ms) until which the exchange takes no request; 0 if it takes them now."""
        refused = self._refused.get(Scope.ALL)
        return refused.until_ms if refused is not None and refused.until_ms > self.now_ms() else 0

    @property
    def blocked_s(self) -> float:
        """How long (s) the exchange takes no request; 0 if it takes them now."""
        return max(0, self.blocked_until - self.now_ms()) / SECOND

    def set_limit(self, most: int) -> None:
        """Set the weight of a minute, as exchangeInfo reports it."""
        self._weight.most = max(most, 100)

    def admit(self, use: Use, weight: int, orders: int = 0, *, scope: Scope = Scope.ALL) -> None:
        """Count a request that is about to be sent; `scope` names its limit if it has one of its own.

        Raises OverBudget if it has to wait.
        """
        now, share, own = self.now_ms(), SHARES[use], self._own[use]
        concerned = {Scope.ALL, scope, *([Scope.ORDERS] if orders else [])}
        for each, refused in self._refused.items():
            if now < refused.until_ms and each in concerned:
                raise OverBudget(refused.until_ms, refused.why)
        counted = [(self._weight, weight, share.weight), *((each, orders, share.orders) for each in self._orders)]
        if scope in self._counts:
            counted.append((self._counts[scope], 1, _OF_FIVE_MINUTES))
        for limit, count, part in counted:
            if count and limit.used_at(now) + count > limit.most * part:
                less = "" if part == 1 else f", of which {part:.0%} are for requests of this kind"
                why = f"{limit.used_at(now)} of {limit.most} are used of the limit {limit.header or scope}{less}"
                raise OverBudget(limit.ends(now), why)
        if weight and own.used_at(now) + weight > self._weight.most * share.own:
            why = f"{own.used_at(now)} weight is used for {use}, which may use {share.own:.0%} of {self._weight.most}"
            raise OverBudget(own.ends(now), why)
        for limit, count, _ in counted:
            limit.add(count, now)
        own.add(weight, now)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take the counts from the headers of an answer."""
        now = self.now_ms()
        for limit in (self._weight, *self._orders):
            text = headers.get(limit.header, "")
            if text.isdecimal():
                limit.correct(int(text), now)

    def block(self, answer: RestResponse, text: str, *, scope: Scope = Scope.ALL) -> OverBudget:
        """Take no request of a scope until the exchange takes them again; return the error to raise.

        A ban of the address concerns all requests.
        """
        if answer.status == 418:
            scope = Scope.ALL
        until = self._end_of(answer, text, scope)
        known = self._refused.get(scope)
        if known is not None:
            until = max(until, known.until_ms)
        self._refused[scope] = OverBudget(until, f"the exchange answered {answer.status}: {text[:160]}")
        return OverBudget(until, self._refused[scope].why)

    def _end_of(self, answer: RestResponse, text: str, scope: Scope) -> int:
        """Return when the exchange takes requests again: from a header, from the text, or from the span."""
        now = self.now_ms()
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
        limits = self._orders if scope is Scope.ORDERS else [self._counts.get(scope, self._weight)]
        exceeded = [each for each in limits if each.used_at(now) >= each.most] or limits[:1]
        return max(each.ends(now) for each in exceeded)
