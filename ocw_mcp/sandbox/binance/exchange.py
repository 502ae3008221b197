"""The REST half of the sandbox exchange: a request and a time in, a response out."""

import msgspec

from ocw_mcp.sandbox.binance.market import SandboxMarket


class Request(msgspec.Struct, frozen=True):
    """A REST request: the query has decoded values, the names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    ip: str = "127.0.0.1"


class Response(msgspec.Struct, frozen=True):
    """A REST response with a JSON body."""

    status: int
    body: bytes
    headers: dict[str, str] = {}


class Exchange:
    """The market half of the exchange: it answers as Binance does, with weights, limits and bans per IP address."""

    def __init__(self, market: SandboxMarket) -> None:
        self.market = market

    def handle(self, request: Request, now: int) -> Response:
        """Return the response at the exchange's time `now` (ms)."""
        raise NotImplementedError

    def ban(self, ip: str, until: int) -> None:
        """Answer 418 to an IP address until a time (ms)."""
        raise NotImplementedError

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
        raise NotImplementedError
