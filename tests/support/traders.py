"""Clients of the sandbox exchange's accounts for tests: they sign requests, and read the user data stream."""

import json
from decimal import Decimal
from typing import Any, Self
from urllib.parse import urlencode

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import HOUR
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.api import FuturesApi
from ocw_mcp.sandbox.binance.account.keys import ApiKey, sign
from ocw_mcp.sandbox.binance.exchange import Exchange, Request, Response
from ocw_mcp.sandbox.binance.faults import parse_fault
from ocw_mcp.sandbox.binance.faulty import FaultyConnection, FaultyExchange
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.binance.spot.account import SpotAccount
from ocw_mcp.sandbox.binance.spot.api import SpotApi
from tests.support.sandbox_market import DAY_1, simulated

NOW = DAY_1 + 30 * HOUR + 25_123
"""A time in the market that the tests share."""
ORDER, ALGO, SPOT_ORDER = "/fapi/v1/order", "/fapi/v1/algoOrder", "/api/v3/order"


class Client:
    """The owner of an account, with a clock that the test moves."""

    def __init__(self, market: SandboxMarket, now: int, faults: tuple[dict[str, Any], ...]) -> None:
        self.now = now
        self.faulty = FaultyExchange(Exchange(market), now, [parse_fault(each) for each in faults])
        self.key: ApiKey = self.faulty.exchange.account.keyring.first
        self._position = now
        self._stream: FaultyConnection | None = None

    def later(self, ms: int) -> Self:
        """Move the clock."""
        self.now += ms
        return self

    def send(self, method: str, path: str, *, secret: Any = None, headers: Any = None, **query: Any) -> Response | None:
        """Send a signed request, and return the response; None if it stays unanswered."""
        values = {name: str(value) for name, value in query.items()}
        values.setdefault("timestamp", str(self.now))
        text = urlencode(values)
        text += f"&signature={sign(secret or self.key.secret, text)}"
        known = {"x-mbx-apikey": self.key.key} if headers is None else headers
        return self.faulty.handle(Request(method, path, values, known, text=text), self.now)

    def ask(self, method: str, path: str, **query: Any) -> Any:
        """Return the answer to a request that succeeds."""
        response = self.send(method, path, **query)
        assert response is not None
        assert response.status == 200, response.body
        return json.loads(response.body)

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, **query)

    def refusal(self, method: str, path: str, **query: Any) -> tuple[int, int, str]:
        """Return status, code and text of the answer to a request that fails."""
        response = self.send(method, path, **query)
        assert response is not None
        error = json.loads(response.body)
        assert response.status != 200
        return response.status, error["code"], error["msg"]

    def heard(self, ms: int = 0) -> list[Any]:
        """Return the events until a time after now, to which the clock moves."""
        assert self._stream is not None
        self.now += ms
        said = self._stream.messages(self._position, self.now)
        self._position = self.now
        return [json.loads(each.text) for each in said if each.code is None]


class Trader(Client):
    """The owner of the account on futures."""

    def __init__(self, *faults: dict[str, Any], market: SandboxMarket | None = None, now: int = NOW) -> None:
        super().__init__(market or simulated(), now, faults)
        assert isinstance(self.faulty.exchange.account, FuturesApi)
        self.api = self.faulty.exchange.account

    @property
    def account(self) -> Account:
        return self.api.account

    def order(self, side: str, quantity: object, price: object = None, **more: object) -> Any:
        """Place an order of BTCUSDT, at the market without a price, and return the answer."""
        return self.ask("POST", ORDER, **stated(side, quantity, price, **more))

    def refused(self, side: str, quantity: object, price: object = None, **more: object) -> tuple[int, str]:
        """Return code and text of the refusal of an order of BTCUSDT."""
        return self.refusal("POST", ORDER, **stated(side, quantity, price, **more))[1:]

    def algo(self, side: str, trigger: object, kind: str = "STOP_MARKET", **more: object) -> Any:
        """Place an algo order of BTCUSDT on the mark price, which closes the position if it has no quantity."""
        return self.ask("POST", ALGO, **stated_algo(side, trigger, kind, **more))

    def refused_algo(self, side: str, trigger: object, kind: str = "STOP_MARKET", **more: object) -> tuple[int, str]:
        return self.refusal("POST", ALGO, **stated_algo(side, trigger, kind, **more))[1:]

    def held(self, symbol: str = "BTCUSDT") -> Decimal:
        """Return the quantity of the position, as the exchange reports it."""
        rows = self.get("/fapi/v3/positionRisk", symbol=symbol)
        return Decimal(rows[0]["positionAmt"]) if rows else Decimal(0)

    def balance(self) -> Decimal:
        return Decimal(self.get("/fapi/v3/balance")[0]["balance"])

    def price(self, side: str) -> Decimal:
        """Return the best price for an order of a side."""
        return self.account.prices.best("BTCUSDT", side == "BUY", self.now)

    def mark(self) -> Decimal:
        return self.account.prices.mark("BTCUSDT", self.now)

    def listen(self, events: str = "") -> str:
        """Open the user data stream, and return its listen key."""
        key: str = self.ask("POST", "/fapi/v1/listenKey")["listenKey"]
        query = f"&events={events}" if events else ""
        self._stream = self.faulty.connect(f"/private/ws?listenKey={key}{query}", self.now)
        self._position = self.now
        return key


class SpotTrader(Client):
    """The owner of the account on spot."""

    def __init__(self, *faults: dict[str, Any], market: SandboxMarket | None = None, now: int = NOW) -> None:
        super().__init__(market or simulated(Product.SPOT), now, faults)
        assert isinstance(self.faulty.exchange.account, SpotApi)
        self.account: SpotAccount = self.faulty.exchange.account.account

    def order(self, side: str, quantity: object, price: object = None, **more: object) -> Any:
        """Place an order of BTCUSDT, at the market without a price, and return the answer."""
        return self.ask("POST", SPOT_ORDER, **stated(side, quantity, price, **more))

    def refused(self, side: str, quantity: object, price: object = None, **more: object) -> tuple[int, str]:
        """Return code and text of the refusal of an order of BTCUSDT."""
        return self.refusal("POST", SPOT_ORDER, **stated(side, quantity, price, **more))[1:]

    def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Return what is free and what is locked of each asset."""
        rows = self.get("/api/v3/account")["balances"]
        return {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in rows}

    def last(self) -> Decimal:
        return self.account.prices.last("BTCUSDT", self.now)

    def call(self, method: str, **params: object) -> Any:
        """Return the answer of the WebSocket API to a signed request."""
        if self._stream is None:
            self._stream = self.faulty.connect("/ws-api/v3", self.now)
            self._position = self.now
        assert self._stream is not None
        self._stream.messages(self._position, self.now)
        self._position = self.now
        query = {**params, "apiKey": self.key.key, "timestamp": self.now}
        text = "&".join(f"{name}={query[name]}" for name in sorted(query))
        query["signature"] = sign(self.key.secret, text)
        request = {"id": "1", "method": method, "params": query}
        (answer,) = self._stream.receive(json.dumps(request, default=str), self.now)
        return json.loads(answer.text)

    def listen(self) -> None:
        assert self.call("userDataStream.subscribe.signature")["result"] == {"subscriptionId": 0}


def stated(side: str, quantity: object, price: object = None, **more: object) -> dict[str, object]:
    query: dict[str, object] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "type": "MARKET"}
    if price is not None:
        query |= {"type": "LIMIT", "price": price, "timeInForce": "GTC"}
    return query | more


def stated_algo(side: str, trigger: object, kind: str, **more: object) -> dict[str, object]:
    query: dict[str, object] = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": kind}
    query |= {"workingType": "MARK_PRICE"} | ({} if trigger is None else {"triggerPrice": trigger})
    return query | more if "quantity" in more else query | {"closePosition": "true"} | more


def floored(value: Decimal, tick: str = "0.1") -> Decimal:
    return value - value % Decimal(tick)
