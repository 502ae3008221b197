"""User data of spot: fills come once whatever is lost or repeated, and a stream that ends or is mute is replaced."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned, Unanswered
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.adapters.venues.binance.signing import Signer
from ocw_mcp.adapters.venues.binance.spot.channel import SubscriptionChannel
from ocw_mcp.adapters.venues.binance.spot.wire import (
    AccountPosition,
    BalanceChange,
    Execution,
    ListStatus,
    StreamEnds,
    decode_event,
)
from ocw_mcp.adapters.venues.binance.user_wire import UnreadableEvent
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Filled, OutsideFill, Purpose, Side, Transferred
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.exchange import FIXTURES
from tests.support.spot_venue import SpotRig, on_spot, order

D = Decimal
EVENTS = FIXTURES / "user_stream" / "spot" / "user_data_json"
FAULTS: dict[str, dict[str, Any]] = {
    "duplicated": {"kind": "duplicate", "at": "0s", "for": "1h", "stream": "user@*", "times": 3},
    "reordered": {"kind": "reorder", "at": "0s", "for": "1h", "stream": "user@*"},
    "delayed": {"kind": "delay", "at": "0s", "for": "1h", "stream": "user@*", "by": "8s", "nth": 2},
    "no trades": {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@executionReport"},
    "mute": {"kind": "mute", "at": "0s", "for": "1h", "stream": "user@*"},
    "unreadable": {"kind": "garbage", "at": "0s", "for": "1h", "stream": "user@*", "form": "schema", "replaces": True},
    "no numbers": {"kind": "garbage", "at": "0s", "for": "1h", "stream": "user@*", "form": "nan", "replaces": True},
    "dropped": {"kind": "drop", "at": "3s", "every": "10s"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_spot_fills_are_reported_once_whatever_the_stream_does(name: str) -> None:
    async def use(rig: SpotRig) -> None:
        first = await rig.send(order(quantity="0.05"))
        await rig.later(2)
        second = await rig.send(order(Side.SELL, "0.02", Purpose.EXIT, n=2))
        await rig.until(lambda: (rig.filled(first), rig.filled(second)) == (D("0.05"), D("0.02")), 70)
        await rig.later(35)
        assert sorted((each.fill_id, each.quantity) for each in rig.of(Filled)) == sorted(rig.fills_at_exchange())
        assert rig.of(OutsideFill) == []
        assert {each.asset: each.total for each in rig.seen.balances} == rig.account.totals

    on_spot(use, FAULTS[name])


@pytest.mark.parametrize("event", ["eventStreamTerminated", "serverShutdown"])
def test_stream_that_says_that_it_ends_is_replaced(event: str) -> None:
    async def use(rig: SpotRig) -> None:
        rig.say(event, json.dumps({"e": event, "E": rig.now}))
        await rig.until(lambda: rig.notices() == ["degraded", "restored"], 10)
        ref = await rig.send(order())
        await rig.until(lambda: rig.filled(ref), 2)

    on_spot(use)


def test_mute_stream_is_replaced_when_rest_shows_a_trade() -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("mute", **{"for": "50s", "stream": "user@*"})
        rig.fault("owner_order", symbol="BTCUSDT", side="BUY", quantity="0.01")
        await rig.until(lambda: rig.of(OutsideFill), 40)
        await rig.until(lambda: rig.notices()[-1:] == ["restored"], 90)
        assert rig.notices()[0] == "degraded"

    on_spot(use)


@pytest.mark.parametrize("stream", ["whole", "twice"])
def test_transfer_of_the_quote_currency_is_reported_once(stream: str) -> None:
    async def use(rig: SpotRig) -> None:
        if stream == "twice":
            rig.fault("duplicate", **{"for": "1h", "stream": "user@*", "times": 2})
        rig.fault("transfer", amount="-100")
        await rig.until(lambda: rig.of(Transferred), 3)
        await rig.later(35)
        (moved,) = rig.of(Transferred)
        assert moved.amount == -100
        assert {each.asset: each.total for each in rig.seen.balances}["USDT"] == 9_900

    on_spot(use)


def test_transfer_of_a_base_asset_changes_the_position_and_is_explained() -> None:
    async def use(rig: SpotRig) -> None:
        rig.account.transfer(D("0.3"), rig.now, "BTC")
        await rig.until(lambda: rig.notices() == ["incident"], 3)
        await rig.until(lambda: {each.asset: each.total for each in rig.seen.balances}.get("BTC") == D("0.3"), 5)
        assert rig.of(Transferred) == []

    on_spot(use)


def test_balance_that_nothing_explains_is_believed_after_a_while() -> None:
    async def use(rig: SpotRig) -> None:
        await rig.later(5)
        rig.account.totals["BTC"] = D("0.3")
        await rig.until(lambda: {each.asset: each.total for each in rig.seen.balances}.get("BTC") == D("0.3"), 60)
        assert rig.notices()[0] == "incident"

    on_spot(use)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("execution_report_new", Execution),
        ("execution_report_trade", Execution),
        ("execution_report_canceled", Execution),
        ("execution_report_expired", Execution),
        ("execution_report_stop_loss", Execution),
        ("execution_report_wrapped", Execution),
        ("list_status_wrapped", ListStatus),
        ("balance_update", BalanceChange),
        ("balance_update_wrapped", BalanceChange),
        ("account_position_wrapped", AccountPosition),
    ],
)
def test_recorded_event_of_spot_is_read(name: str, kind: type[Any]) -> None:
    path = EVENTS / f"{name}.json"
    if not path.is_file():
        pytest.skip("the fixtures are not beside this checkout (expected ../shared/fixtures)")
    found = decode_event(path.read_bytes())
    assert isinstance(found, kind)
    if isinstance(found, Execution):
        assert (found.row() is not None) == (found.kind == "TRADE")
    if name == "execution_report_canceled":
        assert found.client_id == (found.original_name or found.name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id": "user", "status": 200, "result": {"subscriptionId": 0}}', None),
        ('{"subscriptionId": 0, "event": {"e": "newKind", "E": 1}}', None),
        ('{"e": "serverShutdown", "E": 1}', StreamEnds("serverShutdown")),
        ('{"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": 1}}', StreamEnds("eventStreamTerminated")),
    ],
)
def test_message_that_is_no_event_of_the_account_is_left_out(text: str, expected: Any) -> None:
    assert decode_event(text) == expected


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"event": {"e": "executionReport", "i": "x"}}', '{"event": 5}'])
def test_unreadable_message_of_spot_is_an_error(text: str) -> None:
    with pytest.raises(UnreadableEvent):
        decode_event(text)


class Answering:
    """A connection to the WebSocket API that answers a subscription with fixed messages."""

    def __init__(self, *batches: list[str]) -> None:
        self.batches = list(batches)
        self.sent: list[Any] = []
        self.is_open = True

    async def receive(self) -> list[str]:
        if not self.batches:
            await asyncio.get_running_loop().create_future()
        return self.batches.pop(0)

    async def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    async def close(self) -> None:
        self.is_open = False


class Subscriber:
    """What a channel needs of a client."""

    def __init__(self, connection: Answering, fails: Exception | None = None) -> None:
        self.connection, self.fails = connection, fails
        self.transport = self
        self.paths: list[str] = []
        self.measured = 0

    async def connect(self, path: str) -> Answering:
        self.paths.append(path)
        return self.connection

    async def measure_time(self) -> None:
        self.measured += 1

    async def subscription(self, *, weight: int) -> Mapping[str, str | int]:
        if self.fails is not None:
            raise self.fails
        return {"apiKey": "key", "timestamp": 5, "signature": "s"}


def subscribed(*batches: list[str], fails: Exception | None = None) -> tuple[Subscriber, Any]:
    """Return a client after the opening of its stream, and what the stream delivers first, or the failure."""
    client = Subscriber(Answering(*batches), fails)

    async def main() -> Any:
        channel = SubscriptionChannel(client)  # type: ignore[arg-type]
        try:
            connection = await channel.connect()
        except QueryFailed as error:
            return error
        async with asyncio.timeout(1):
            return await connection.receive()

    return client, run_in_virtual_time(main())


OK = '{"id":"user","status":200,"result":{"subscriptionId":0}}'


def test_events_that_come_with_the_answer_are_not_lost() -> None:
    client, first = subscribed(['{"event":{}}'], [OK, "a", "b"])
    assert list(first) == ["a", "b"]
    assert client.paths == ["/ws-api/v3"]
    (sent,) = client.connection.sent
    assert sent == {
        "id": "user",
        "method": "userDataStream.subscribe.signature",
        "params": {"apiKey": "key", "timestamp": 5, "signature": "s"},
    }


@pytest.mark.parametrize(("code", "measured"), [(-2015, 0), (-1021, 1)])
def test_refused_subscription_is_an_error_and_closes_the_connection(code: int, measured: int) -> None:
    client, error = subscribed([json.dumps({"id": "user", "status": 400, "error": {"code": code, "msg": "no"}})])
    assert isinstance(error, QueryFailed)
    assert str(code) in str(error)
    assert client.measured == measured
    assert not client.connection.is_open


@pytest.mark.parametrize(("fails", "until"), [(Banned(9_000, "ban"), 9_000), (Unanswered("no time", sent=False), 0)])
def test_subscription_that_cannot_be_signed_is_an_error(fails: Exception, until: int) -> None:
    client, error = subscribed(fails=fails)
    assert isinstance(error, QueryFailed)
    assert error.until == until
    assert not client.connection.is_open


def test_subscription_is_signed_over_its_parameters_in_order() -> None:
    signer = Signer(Product.SPOT, "http://127.0.0.1:1", ApiKey("key", "secret"), lambda: 1_700_000_000_000)
    signed = signer.subscription()
    assert list(signed) == ["apiKey", "recvWindow", "timestamp", "signature"]
    # `openssl dgst` gives this for apiKey=key&recvWindow=4000&timestamp=1700000000000.
    assert signed["signature"] == "3afa6ccf94422e06b36f4686f26cc24372a601eb2149819bd3573d1778fe9ae2"


def test_client_that_is_banned_signs_no_subscription() -> None:
    async def use(rig: SpotRig) -> None:
        rig.fault("ban", **{"for": "1m"})
        client: SignedClient = rig.client
        with pytest.raises(Banned):
            await client.call("GET", "/api/v3/account", weight=20)
        with pytest.raises(Banned):
            await client.subscription(weight=2)

    on_spot(use)
