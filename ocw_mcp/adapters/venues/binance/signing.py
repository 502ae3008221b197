"""Signed requests as bytes: ccxt signs them and builds their addresses; ccxt itself sends nothing."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn
from urllib.parse import urlencode, urlsplit

import msgspec

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.domain.errors import InvariantError
from ocw_mcp.domain.market import Product

WINDOW_MS: Final = 4_000
"""How long (ms) after its time stamp the exchange may still execute a request: `recvWindow`."""
_SECTIONS: Final = {
    "/fapi/v1/": "fapiPrivate",
    "/fapi/v2/": "fapiPrivateV2",
    "/fapi/v3/": "fapiPrivateV3",
    "/api/v3/": "private",
    "/sapi/v1/": "sapi",
}
"""By the beginning of a path: ccxt's name of that part of the interface."""
_CLIENT_IDS: Final = {
    "/fapi/v1/order": "newClientOrderId",
    "/fapi/v1/algoOrder": "clientAlgoId",
    "/api/v3/order": "newClientOrderId",
    "/api/v3/orderList/oco": "listClientOrderId",
}
"""The parameter with the client id of a new order, by path. ccxt would choose an id if it were missing."""


class SignedRequest(msgspec.Struct, frozen=True):
    """A request as it is sent."""

    method: str
    path: str
    query: str
    form: str
    headers: Mapping[str, str]


class Signer:
    """Signs requests for one account at one address."""

    def __init__(self, product: Product, rest: str, key: ApiKey, now_ms: Callable[[], int]) -> None:
        """`now_ms` returns the exchange's time. ccxt is imported here: its import takes half a second."""
        import ccxt.async_support as ccxt

        make = ccxt.binanceusdm if product is Product.UM else ccxt.binance
        exchange: Any = make({"apiKey": key.key, "secret": key.secret, "enableRateLimit": False})
        exchange.options["recvWindow"] = WINDOW_MS
        exchange.urls["api"] = {section: rest + start.rstrip("/") for start, section in _SECTIONS.items()}
        exchange.nonce = now_ms
        exchange.fetch = _sends_nothing
        self._exchange, self._rest, self._now_ms = exchange, rest, now_ms

    def sign(self, method: str, path: str, params: Mapping[str, str | int]) -> SignedRequest:
        """Return a request with time stamp and signature. Raises InvariantError for an unknown path or a missing id."""
        start = next((each for each in _SECTIONS if path.startswith(each)), None)
        if start is None:
            raise InvariantError(f"{path} is no path of signed requests; expected one of {', '.join(_SECTIONS)}")
        if method == "POST" and path in _CLIENT_IDS and _CLIENT_IDS[path] not in params:
            raise InvariantError(f"an order needs {_CLIENT_IDS[path]}: without our id it could not be found again")
        signed = self._exchange.sign(path.removeprefix(start), [_SECTIONS[start]], method, dict(params))
        address = str(signed["url"])
        if not address.startswith(self._rest + "/"):
            raise InvariantError(f"ccxt built an address outside of {self._rest}")
        parts = urlsplit(address)
        return SignedRequest(method, parts.path, parts.query, signed["body"] or "", signed["headers"])

    def subscription(self) -> Mapping[str, str | int]:
        """Return the parameters of a request of the WebSocket API without other parameters, with their signature."""
        params: dict[str, str | int] = {
            "apiKey": self._exchange.apiKey,
            "recvWindow": WINDOW_MS,
            "timestamp": self._now_ms(),
        }
        # What is signed is in the order of the names.
        text, secret = urlencode(params), self._exchange.secret
        return params | {"signature": hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()}


async def _sends_nothing(*_arguments: object, **_named: object) -> NoReturn:
    raise InvariantError("ccxt would have sent a request by itself; only OCW's own transport sends")
