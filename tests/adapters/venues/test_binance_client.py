"""Signed calls: which mode may make them, what is signed, the exchange's time, and what a failure proves."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from ocw_mcp.adapters.binance.hosts import Hosts, hosts_of
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned, Refused, Unanswered
from ocw_mcp.adapters.venues.binance.hosts import venue_hosts
from ocw_mcp.adapters.venues.binance.signing import Signer
from ocw_mcp.domain.errors import InvariantError, MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.account.keys import made_key, sign
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_account import ADDRESS, BTC, SandboxAccount, credentials, on_sandbox
from tests.support.exchange import NOW, exchange, served

LIVE, DEMO = "https://fapi.binance.com", "https://demo-fapi.binance.com"


class Recording(InProcessTransport):
    """The sandbox under another address."""

    def __init__(self, rest: str) -> None:
        super().__init__(exchange(), NOW)
        self.address = rest

    @property
    def rest(self) -> str:
        return self.address


def construct(rest: str, mode: Mode, loopback: str | None = None) -> list[str]:
    """Construct a client, and return the requests that were made."""

    async def main() -> list[str]:
        transport = Recording(rest)
        try:
            SignedClient(transport, credentials(), mode, loopback=loopback)
        finally:
            assert transport.requests == []
        return transport.requests

    return run_in_virtual_time(main())


@pytest.mark.requirement("M04")
@pytest.mark.parametrize("rest", [LIVE, DEMO, f"http://{ADDRESS}"])
@pytest.mark.parametrize("loopback", [None, ADDRESS])
def test_no_client_exists_for_paper_so_nothing_signed_leaves(rest: str, loopback: str | None) -> None:
    with pytest.raises(VenueRefused, match="in paper mode makes no signed calls"):
        construct(rest, Mode.PAPER, loopback)


@pytest.mark.parametrize(
    ("rest", "mode"),
    [
        (LIVE, Mode.DEMO),
        (DEMO, Mode.LIVE),
        ("https://api.binance.com", Mode.LIVE),
        ("https://fapi.binance.com.example.com", Mode.LIVE),
        ("http://fapi.binance.com", Mode.LIVE),
        (f"http://{ADDRESS}", Mode.DEMO),
    ],
)
def test_host_of_another_mode_is_refused(rest: str, mode: Mode) -> None:
    with pytest.raises(VenueRefused, match="signed calls would go to"):
        construct(rest, mode)


@pytest.mark.parametrize("rest", [LIVE, DEMO, "http://127.0.0.1:2"])
def test_only_the_named_address_of_this_machine_is_allowed(rest: str) -> None:
    with pytest.raises(VenueRefused, match=r"go to http://127\.0\.0\.1:1 only"):
        construct(rest, Mode.DEMO, ADDRESS)


@pytest.mark.parametrize("address", ["example.com:80", "10.0.0.1:80", "fapi.binance.com:443"])
def test_address_of_another_machine_is_no_sandbox(address: str) -> None:
    with pytest.raises(VenueRefused, match="no key is sent there"):
        venue_hosts(Mode.DEMO, Product.UM, address)


def test_each_mode_and_product_has_hosts_of_its_own() -> None:
    found = [venue_hosts(mode, product).rest for mode in (Mode.DEMO, Mode.LIVE) for product in Product]
    assert sorted(found) == [
        *("https://api.binance.com", "https://demo-api.binance.com", "https://demo-fapi.binance.com"),
        "https://fapi.binance.com",
    ]


def test_client_whose_transport_changes_its_host_sends_nothing() -> None:
    async def main() -> list[str]:
        transport = Recording(DEMO)
        client = SignedClient(transport, credentials(), Mode.DEMO)
        await client.call("GET", "/fapi/v3/balance", weight=5)
        transport.address = LIVE
        with pytest.raises(VenueRefused):
            await client.call("GET", "/fapi/v3/balance", weight=5)
        return transport.requests

    assert run_in_virtual_time(main()).count("/fapi/v3/balance") == 1


def test_signature_covers_all_parameters_and_the_window_is_short() -> None:
    key = made_key("1")
    signer = Signer(Product.UM, LIVE, credentials(), lambda: NOW)
    signed = signer.sign("DELETE", "/fapi/v1/order", {"symbol": BTC, "origClientOrderId": "ocw-a:b/c-1"})
    text, _, signature = signed.query.partition("&signature=")
    assert dict(part.split("=") for part in text.split("&")) == {
        "timestamp": str(NOW),
        "symbol": BTC,
        "origClientOrderId": "ocw-a%3Ab%2Fc-1",
        "recvWindow": "4000",
    }
    assert signature == sign(key.secret, text)
    assert (signed.path, signed.form, signed.headers["X-MBX-APIKEY"]) == ("/fapi/v1/order", "", key.key)


@pytest.mark.parametrize("path", ["/fapi/v1/order", "/fapi/v1/algoOrder", "/api/v3/order", "/api/v3/orderList/oco"])
def test_order_without_our_client_id_is_never_signed(path: str) -> None:
    signer = Signer(Product.UM, LIVE, credentials(), lambda: NOW)
    with pytest.raises(InvariantError, match="without our id"):
        signer.sign("POST", path, {"symbol": BTC})


def test_path_outside_of_the_signed_interface_is_refused() -> None:
    with pytest.raises(InvariantError, match="no path of signed requests"):
        Signer(Product.UM, LIVE, credentials(), lambda: NOW).sign("GET", "/evil", {})


def test_clock_of_the_machine_may_be_wrong() -> None:
    async def use(account: SandboxAccount) -> Any:
        balance = await account.asks("GET", "/fapi/v3/balance", 5)
        return balance[0]["balance"], account.client.now_ms() - account.transport.exchange_ms()

    balance, error = on_sandbox(use, machine_ahead_ms=-2 * 60 * MINUTE)
    assert balance == "10000.00000000"
    assert abs(error) <= 1


def test_clock_that_jumped_at_the_exchange_is_measured_again() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.client.measure_time()
        account.exchange.add_fault({"kind": "skew", "for": "1h", "by": "1m"}, account.transport.exchange_ms())
        await asyncio.sleep(1)  # noqa: TID251 - virtual time
        await account.asks("GET", "/fapi/v3/balance", 5)
        return account.client.clock.measurements, account.transport.requests.count("/fapi/v3/balance")

    assert on_sandbox(use) == (2, 2)


def test_time_is_measured_now_and_then() -> None:
    async def use(account: SandboxAccount) -> Any:
        keeping = asyncio.create_task(account.client.keep_time())
        await asyncio.sleep(600)  # noqa: TID251 - virtual time
        keeping.cancel()
        return account.client.clock.measurements

    assert on_sandbox(use) == 4


def test_request_before_the_time_is_known_was_certainly_not_sent() -> None:
    async def use(account: SandboxAccount) -> Any:
        with pytest.raises(Unanswered) as failed:
            await account.asks("GET", "/fapi/v3/balance", 5)
        return failed.value.sent, account.transport.requests

    assert on_sandbox(use, {"kind": "refuse", "rest": True, "at": "0ms", "for": "1m"}) == (False, ["/fapi/v1/time"])


class Answering(InProcessTransport):
    """The sandbox, but one path gets a set answer."""

    def __init__(self, answer: RestResponse | Exception | None) -> None:
        super().__init__(exchange(), NOW)
        self.answer = answer

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        if path.endswith("/time"):
            return await super().request(method, path, query, form, headers)
        if self.answer is None:
            await asyncio.sleep(1_000)  # noqa: TID251 - virtual time
        if isinstance(self.answer, Exception):
            raise self.answer
        assert self.answer is not None
        return self.answer


def failure(answer: RestResponse | Exception | None, **call: Any) -> Any:
    """Return the error of a call whose answer is set; None is no answer at all."""

    async def main() -> Any:
        client = SignedClient(Answering(answer), credentials(), Mode.DEMO, loopback=ADDRESS)
        with pytest.raises((Refused, Banned, Unanswered)) as failed:
            await client.call("GET", "/fapi/v3/balance", weight=5, **call)
        return failed.value

    return run_in_virtual_time(main())


@pytest.mark.parametrize(
    "answer",
    [
        None,
        MarketUnreachable("the connection was closed"),
        RestResponse(502, b"<html>Bad gateway</html>", {}),
        RestResponse(504, b"", {}),
        RestResponse(400, b"\xff\xfe", {}),
        RestResponse(503, b'{"code":-1000,"msg":"Unknown error, please check your request."}', {}),
        RestResponse(302, b"", {}),
    ],
)
def test_call_without_a_usable_answer_may_have_been_executed(answer: RestResponse | Exception | None) -> None:
    found = failure(answer)
    assert isinstance(found, Unanswered)
    assert found.sent


def test_refused_call_has_code_text_and_status() -> None:
    found = failure(RestResponse(400, b'{"code":-4164,"msg":"Too small."}', {}))
    assert isinstance(found, Refused)
    assert (found.code, found.text, found.status) == (-4164, "Too small.", 400)


BAN = b'{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until %d. Please use the websocket."}'


@pytest.mark.parametrize(
    ("answer", "wait_ms"),
    [
        (RestResponse(418, BAN % (NOW + 5 * MINUTE), {}), 5 * MINUTE),
        (RestResponse(429, b'{"code":-1003,"msg":"Too many requests."}', {"retry-after": "7"}), 7 * SECOND),
        (RestResponse(429, b'{"code":-1003,"msg":"Too many requests."}', {}), MINUTE),
        (RestResponse(418, b"", {}), 2 * MINUTE),
        (RestResponse(429, b'{"code":-1015,"msg":"Too many new orders."}', {}), 10 * SECOND),
    ],
)
def test_ban_ends_when_the_exchange_says(answer: RestResponse, wait_ms: int) -> None:
    found = failure(answer)
    assert isinstance(found, Banned)
    assert NOW + wait_ms <= found.until_ms <= NOW + wait_ms + SECOND


def test_calls_during_a_ban_are_not_sent() -> None:
    async def use(account: SandboxAccount) -> Any:
        await account.asks("GET", "/fapi/v3/balance", 5)
        account.exchange.add_fault({"kind": "ban", "for": "2m"}, account.transport.exchange_ms())
        for _ in range(3):
            with pytest.raises(Banned):
                await account.asks("GET", "/fapi/v3/balance", 5)
        during = account.transport.requests.count("/fapi/v3/balance")
        await asyncio.sleep(121)  # noqa: TID251 - virtual time
        await account.asks("GET", "/fapi/v3/balance", 5)
        return during

    assert on_sandbox(use) == 2


async def test_signed_calls_pass_over_the_network() -> None:
    async with served() as address:
        transport = NetworkTransport(hosts_of(Product.UM, address), lambda: NOW)
        client = SignedClient(transport, credentials(), Mode.DEMO, loopback=address)
        try:
            params = {"symbol": BTC, "side": "BUY", "type": "MARKET", "quantity": "0.01"}
            sent = params | {"newClientOrderId": "ocw-abc/234:1"}
            placed = await client.call("POST", "/fapi/v1/order", sent, weight=0, orders=1)
            found = await client.call(
                "GET", "/fapi/v1/order", {"symbol": BTC, "origClientOrderId": "ocw-abc/234:1"}, weight=1
            )
        finally:
            await transport.close()
    assert b'"clientOrderId":"ocw-abc/234:1"' in placed
    assert b'"status":"FILLED"' in found


async def test_refused_connection_means_that_nothing_was_sent() -> None:
    transport = NetworkTransport(Hosts("http://127.0.0.1:9", "ws://127.0.0.1:9", "loopback"), lambda: NOW)
    client = SignedClient(transport, credentials(), Mode.DEMO, loopback="127.0.0.1:9")
    try:
        with pytest.raises(Unanswered) as failed:
            await client.call("GET", "/fapi/v3/balance", weight=5)
    finally:
        await transport.close()
    assert not failed.value.sent
