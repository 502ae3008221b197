"""Request limits of the exchange per IP address: weights of a minute, counts of five minutes, bans."""

from enum import StrEnum

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange_info import WEIGHTS
from ocw_mcp.sandbox.binance.klines import Cache

TOLERATED = 10
"""Requests after the first 429 of a minute that get 429 too; the next one gets a ban."""
FIRST_BAN, LONGEST_BAN = 2 * MINUTE, 3 * DAY
"""The length (ms) of the first ban of an address, which each further one doubles, and of the longest."""
DATA_LIMIT, FUNDING_LIMIT = 1000, 500
"""Requests of five minutes to `/futures/data`, and to fundingRate and fundingInfo together."""
_ADDRESSES = 1_000


class Pool(StrEnum):
    """A limit that some paths share."""

    WEIGHT = "weight"
    DATA = "data"
    FUNDING = "funding"


_SPANS = {Pool.WEIGHT: MINUTE, Pool.DATA: 5 * MINUTE, Pool.FUNDING: 5 * MINUTE}


class Verdict(msgspec.Struct, frozen=True):
    """Whether a request is within the limits, and what its response says about them."""

    status: int
    """200, 429 or 418."""
    message: str
    """The text of the error -1003; empty for 200."""
    headers: dict[str, str]


class _Address(msgspec.Struct):
    used: dict[Pool, tuple[int, int]] = {}
    """The number of the present span and the weight used in it."""
    refused: tuple[int, int] = (-1, 0)
    """The minute of the last 429, and the refusals in it."""
    banned_until: int = 0
    bans: int = 0


class Limits:
    """Counts what each IP address uses, and bans those that go on after 429."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._limits = {Pool.WEIGHT: WEIGHTS[product], Pool.DATA: DATA_LIMIT, Pool.FUNDING: FUNDING_LIMIT}
        self._addresses: Cache[str, _Address] = Cache(_ADDRESSES)

    def ban(self, ip: str, until: int) -> None:
        """Ban an address until a time (ms)."""
        self._address(ip).banned_until = until

    def used(self, ip: str, now: int, pool: Pool = Pool.WEIGHT) -> int:
        """Return what an address has used of a limit in the present span."""
        span, used = self._address(ip).used.get(pool, (-1, 0))
        return used if span == now // _SPANS[pool] else 0

    def charge(self, ip: str, pool: Pool, weight: int, now: int) -> Verdict:
        """Count a request of an address at a time (ms), and return whether it is within the limits."""
        address = self._address(ip)
        if now < address.banned_until:
            return self._banned(ip, address, now)
        used = self.used(ip, now, pool) + weight
        address.used[pool] = now // _SPANS[pool], used
        if used <= self._limits[pool]:
            return Verdict(200, "", self._headers(ip, now))
        minute = now // MINUTE
        refusals = address.refused[1] + 1 if address.refused[0] == minute else 1
        address.refused = minute, refusals
        if refusals > TOLERATED + 1:
            address.banned_until = now + min(FIRST_BAN << address.bans, LONGEST_BAN)
            address.bans = min(address.bans + 1, 16)
            return self._banned(ip, address, now)
        span = _SPANS[pool]
        return Verdict(429, self._exceeded(ip, pool), self._headers(ip, now, span - now % span))

    def _address(self, ip: str) -> _Address:
        return self._addresses.get(ip) or self._addresses.put(ip, _Address())

    def _headers(self, ip: str, now: int, wait: int = 0) -> dict[str, str]:
        used = str(self.used(ip, now))
        if self._product is Product.UM:
            return {"X-MBX-USED-WEIGHT-1M": used}
        headers = {"x-mbx-used-weight": used, "x-mbx-used-weight-1m": used}
        return headers | {"Retry-After": str(-(-wait // SECOND))} if wait else headers

    def _banned(self, ip: str, address: _Address, now: int) -> Verdict:
        until = address.banned_until
        if self._product is Product.UM:
            text = (
                f"Way too many requests; IP({ip}) banned until {until}. "
                "Please use the websocket for live updates to avoid bans."
            )
        else:
            text = (
                f"Way too much request weight used; IP banned until {until}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
        return Verdict(418, text, self._headers(ip, now, until - now))

    def _exceeded(self, ip: str, pool: Pool) -> str:
        limit, minutes = self._limits[pool], _SPANS[pool] // MINUTE
        if self._product is Product.SPOT:
            return (
                f"Too much request weight used; current limit is {limit} request weight per {minutes} MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API."
            )
        span = "minute" if minutes == 1 else f"{minutes} minutes"
        return (
            f"Too many requests; current limit of IP({ip}) is {limit} requests per {span}. "
            "Please use the websocket for live updates to avoid polling the API."
        )
