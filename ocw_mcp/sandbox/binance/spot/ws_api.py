"""The WebSocket API of spot: user data by signed subscriptions, and the signed requests of REST over a connection."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ocw_mcp.domain.market import Product
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.account.keys import Permission, check_signature, check_time
from ocw_mcp.sandbox.binance.account.signed import SignedApi, SignedRequest
from ocw_mcp.sandbox.binance.names import Route, StreamPath
from ocw_mcp.sandbox.binance.parameters import ApiError
from ocw_mcp.sandbox.binance.streams import USER, Outgoing, StreamConnection

PATH: Final = "/ws-api/v3"
SUBSCRIBE, UNSUBSCRIBE = "userDataStream.subscribe.signature", "userDataStream.unsubscribe"
METHODS: Final = {
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.status": ("GET", "/api/v3/order"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
    "orderList.cancel": ("DELETE", "/api/v3/orderList"),
    "orderList.status": ("GET", "/api/v3/orderList"),
    "openOrderLists.status": ("GET", "/api/v3/openOrderList"),
    "account.status": ("GET", "/api/v3/account"),
    "myTrades": ("GET", "/api/v3/myTrades"),
}
"""The requests of the WebSocket API that REST has too."""


class WsApiConnection(StreamConnection):
    """One connection to the WebSocket API."""

    def __init__(self, account: SignedApi, now: int) -> None:
        super().__init__(Product.SPOT, lambda _name, _route: None, StreamPath(Route.SPOT, False, ()), now)
        self._account = account
        self._now = now
        """The market's time (ms) up to which the connection has spoken."""
        self._subscriptions: dict[int, Callable[[int], list[Event]]] = {}
        self._next = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """The name of the user data stream, if the client has subscribed to it."""
        return (USER,) if self._subscriptions else ()

    def receive(self, text: str, now: int) -> list[Outgoing]:
        """Return the answer to a request; `now` (ms) is real time, by which it is stamped."""
        if self.closed is not None:
            return []
        answer: dict[str, Any] = {"id": None}
        try:
            request = msgspec.json.decode(text, type=dict[str, Any])
            answer["id"] = request.get("id")
            params = request.get("params") or {}
            if not isinstance(params, dict):
                raise ApiError(-1100, "Illegal characters found in parameter 'params'.")
            answer |= {"status": 200, "result": self._result(str(request.get("method")), params)}
        except (msgspec.MsgspecError, UnicodeError):
            answer |= {"status": 400, "error": {"code": -1000, "msg": "The request is not valid JSON."}}
        except ApiError as error:
            answer |= {"status": error.status, "error": {"code": error.code, "msg": error.message}}
        return [Outgoing(now, msgspec.json.encode(answer | {"rateLimits": []}).decode())]

    def _result(self, method: str, params: dict[str, Any]) -> Any:
        """Return the result of a request. Raises ApiError."""
        if method == "ping":
            return {}
        if method == "time":
            return {"serverTime": self._now}
        if method == UNSUBSCRIBE:
            number = params.get("subscriptionId")
            for each in [number] if number is not None else list(self._subscriptions):
                self._subscriptions.pop(each, None)
            return {}
        query = {name: _text(value) for name, value in params.items()}
        signed = "&".join(f"{name}={query[name]}" for name in sorted(query))
        headers = {"x-mbx-apikey": query.pop("apiKey", "")}
        if method == SUBSCRIBE:
            key = self._account.keyring.identify(headers, "127.0.0.1", Permission.READING)
            check_time(query, self._now)
            check_signature(key, signed, "")
            number, self._next = self._next, self._next + 1
            self._subscriptions[number] = self._account.user_events("", frozenset(), self._now)
            return {"subscriptionId": number}
        if method not in METHODS:
            raise ApiError(-1000, f"Unknown method {method[:60]!r}.")
        request = SignedRequest(*METHODS[method], query, headers, "127.0.0.1", signed, "")
        return self._account.answer(request, self._now, self._now, {})

    def messages(self, since: int, until: int) -> list[Outgoing]:
        """Return what the connection says with since < time <= until (ms), in the order of time."""
        if self.closed is not None:
            return []
        self._now = until
        said = []
        for number, read in self._subscriptions.items():
            said += [
                Outgoing(each.at, f'{{"subscriptionId":{number},"event":{each.text}}}', f"{USER}{each.kind}")
                for each in read(until)
            ]
        said += super().messages(since, until)
        return sorted(said, key=lambda each: each.at)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
