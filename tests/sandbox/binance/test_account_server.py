"""The account of the sandbox exchange on a socket: signed forms, user data, the control endpoint, and lost answers."""

import json
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from websockets.asyncio.client import connect

from ocw_mcp.sandbox.binance.account.keys import sign
from tests.support.exchange import served

ORDER = "/fapi/v1/order"


class Client:
    """A client that signs with the key of the control endpoint."""

    def __init__(self, address: str, http: httpx2.AsyncClient) -> None:
        self.address, self.http = f"http://{address}", http
        self.key: dict[str, Any] = {}

    async def control(self, path: str, body: Any = None) -> Any:
        method = "GET" if body is None else "POST"
        answer = await self.http.request(method, f"{self.address}/sandbox/{path}", json=body)
        return answer.json()

    async def signed(self, method: str, path: str, *, form: bool = False, **query: object) -> httpx2.Response:
        """Send a signed request, whose parameters are in the query or in a form."""
        now = (await self.control("clock"))["now"]
        text = urlencode({**query, "timestamp": now})
        text += f"&signature={sign(self.key['secret'], text)}"
        headers = {"X-MBX-APIKEY": self.key["key"]}
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return await self.http.request(method, f"{self.address}{path}", content=text, headers=headers)
        return await self.http.request(method, f"{self.address}{path}?{text}", headers=headers)


async def client_of(address: str, http: httpx2.AsyncClient) -> Client:
    client = Client(address, http)
    (client.key,) = await client.control("keys")
    return client


@pytest.mark.parametrize("form", [True, False])
async def test_order_over_a_socket_is_reported_on_the_user_stream(form: bool) -> None:
    async with served() as address, httpx2.AsyncClient(trust_env=False) as http:
        client = await client_of(address, http)
        listen = (await client.signed("POST", "/fapi/v1/listenKey")).json()["listenKey"]
        async with connect(f"ws://{address}/private/ws?listenKey={listen}") as stream:
            query = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.02"}
            placed = await client.signed("POST", ORDER, form=form, **query)
            assert placed.status_code == 200
            assert placed.headers["x-mbx-order-count-10s"] == "1"
            said = [json.loads(await stream.recv()) for _ in range(4)]
        assert {each["o"]["i"] for each in said if "o" in each} == {placed.json()["orderId"]}
        overview = await client.control("account")
        assert [each["positionAmt"] for each in overview["positions"]] == ["0.020"]
        assert (overview["orders"], overview["algoOrders"]) == ([], [])
        queried = await client.signed("GET", ORDER, symbol="BTCUSDT", orderId=placed.json()["orderId"])
        assert queried.json()["status"] == "FILLED"


async def test_key_is_added_with_permissions_while_the_sandbox_runs() -> None:
    async with served() as address, httpx2.AsyncClient(trust_env=False) as http:
        client = await client_of(address, http)
        client.key = await client.control("keys", {"permissions": ["reading", "withdrawals"]})
        assert client.key["permissions"] == ["reading", "withdrawals"]
        may = (await client.signed("GET", "/sapi/v1/account/apiRestrictions")).json()
        assert (may["enableWithdrawals"], may["enableFutures"]) == (True, False)
        wrong = await client.control("keys", {"permissions": ["everything"]})
        assert "expected permissions, some of reading, trading" in wrong["error"]
        assert len(await client.control("keys")) == 2


async def test_lost_answer_closes_the_connection_and_the_order_exists() -> None:
    async with served() as address, httpx2.AsyncClient(trust_env=False) as http:
        client = await client_of(address, http)
        await client.control("faults", {"kind": "order_drop", "for": "1m", "executed": True})
        query = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.02", "newClientOrderId": "a"}
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.signed("POST", ORDER, form=True, **query)
        found = await client.signed("GET", ORDER, symbol="BTCUSDT", origClientOrderId="a")
        assert found.json()["status"] == "FILLED"
        await client.control("faults", {"kind": "owner_close", "symbol": "BTCUSDT"})
        assert (await client.control("account"))["positions"] == []
