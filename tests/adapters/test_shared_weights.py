"""One budget of requests for the feed and the venue of a host: bans, counts of the exchange, and shares."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.adapters.binance.transport import RestResponse
from ocw_mcp.adapters.binance.weights import SHARES, OverBudget, Scope, Use, Weights
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.binance_account import ADDRESS, credentials
from tests.support.examples import examples
from tests.support.exchange import NOW, exchange

KLINES, FUNDING, BALANCE = "/fapi/v1/klines", "/fapi/v1/fundingRate", "/fapi/v3/balance"
LIMIT = 2_400


class Answering(InProcessTransport):
    """The sandbox, where a path can be given an answer; it counts what is sent."""

    def __init__(self) -> None:
        super().__init__(exchange(), NOW)
        self.answers: dict[str, RestResponse] = {}
        self.sent = Counter[str]()

    async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        self.sent[path] += 1
        return self.answers.get(path) or RestResponse(200, b"[]", {})

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        self.sent[path] += 1
        return self.answers.get(path) or await super().request(method, path, query, form, headers)


class Host:
    """A feed and a venue of one process, which share the weights of one host."""

    def __init__(self) -> None:
        self.transport = Answering()
        self.weights = Weights(Product.UM)
        self.rest = RestClient(self.transport, Product.UM, lambda: 0.5, self.weights)
        self.client = SignedClient(
            self.transport, credentials(), Mode.DEMO, Product.UM, loopback=ADDRESS, weights=self.weights
        )

    async def candles(self, priority: Priority = Priority.URGENT, weight: int = 1) -> bytes:
        return await self.rest.get(KLINES, weight=weight, use=Use.CANDLES, priority=priority)

    async def balance(self) -> bytes:
        return await self.client.call("GET", BALANCE, weight=5)

    async def reduce(self, weight: int = 1) -> bytes:
        return await self.client.call("GET", BALANCE, weight=weight, reduces=True)


def on_host(use: Callable[[Host], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await use(Host())

    return run_in_virtual_time(main())


BANS = [
    RestResponse(418, b'{"code":-1003,"msg":"banned until %d."}' % (NOW + 90 * SECOND), {}),
    RestResponse(429, b'{"code":-1003,"msg":"Too many requests."}', {"retry-after": "90"}),
]


@pytest.mark.parametrize("ban", BANS, ids=["418", "429"])
def test_ban_that_the_feed_hears_of_stops_the_venue(ban: RestResponse) -> None:
    async def use(host: Host) -> None:
        await host.balance()
        host.transport.answers[KLINES] = ban
        with pytest.raises(MarketUnreachable):
            await host.candles()
        for send in (host.balance, host.reduce):
            with pytest.raises(Banned) as banned:
                await send()
            assert NOW + 90 * SECOND <= banned.value.until_ms <= NOW + 92 * SECOND
        assert host.transport.sent[BALANCE] == 1
        await asyncio.sleep(92)  # noqa: TID251 - virtual time
        await host.reduce()

    on_host(use)


@pytest.mark.parametrize("ban", BANS, ids=["418", "429"])
def test_ban_that_the_venue_hears_of_stops_the_feed(ban: RestResponse) -> None:
    async def use(host: Host) -> None:
        host.transport.answers[BALANCE] = ban
        with pytest.raises(Banned):
            await host.balance()
        with pytest.raises(MarketUnreachable, match="was not sent for the next 90 s"):
            await host.candles()
        began = host.transport.exchange_ms()
        await host.candles(Priority.PATIENT)
        assert 90 * SECOND <= host.transport.exchange_ms() - began <= 92 * SECOND
        assert host.transport.sent[KLINES] == 1

    on_host(use)


def test_weight_that_the_venue_sees_in_a_header_stops_the_feed() -> None:
    async def use(host: Host) -> None:
        host.transport.answers[BALANCE] = RestResponse(200, b"[]", {"x-mbx-used-weight-1m": "1800"})
        await host.balance()
        with pytest.raises(MarketUnreachable, match="1800 of 2400"):
            await host.candles()
        await host.balance()
        assert host.transport.sent[KLINES] == 0

    on_host(use)


def test_reduction_passes_when_the_rest_is_used_up() -> None:
    async def use(host: Host) -> None:
        host.transport.answers[KLINES] = RestResponse(200, b"[]", {"x-mbx-used-weight-1m": "2000"})
        await host.reduce()
        await host.candles()
        with pytest.raises(Banned):
            await host.balance()
        await host.reduce()
        await host.reduce(weight=300)

    on_host(use)


def test_refusal_of_a_path_with_its_own_limit_stops_nothing_else() -> None:
    async def use(host: Host) -> None:
        host.transport.answers[FUNDING] = RestResponse(429, b'{"code":-1003,"msg":"500 requests per 5 minutes"}', {})
        for _ in range(2):
            with pytest.raises(MarketUnreachable):
                await host.rest.get(FUNDING, weight=1, scope=Scope.FUNDING)
        assert host.transport.sent[FUNDING] == 1
        await host.candles()
        await host.reduce()
        host.transport.answers["/futures/data/x"] = BANS[0]
        with pytest.raises(MarketUnreachable):
            await host.rest.get("/futures/data/x", weight=0, use=Use.DERIVATIVES, scope=Scope.DATA)
        with pytest.raises(Banned):
            await host.reduce()

    on_host(use)


def test_paths_without_weight_keep_to_their_own_limit() -> None:
    weights = Weights(Product.UM, lambda: NOW)
    for _ in range(900):
        weights.admit(Use.DERIVATIVES, 0, scope=Scope.DATA)
    with pytest.raises(OverBudget, match="900 of 1000 are used of the limit futures data") as over:
        weights.admit(Use.DERIVATIVES, 0, scope=Scope.DATA)
    assert over.value.until_ms >= NOW + 5 * MINUTE
    weights.admit(Use.DERIVATIVES, 1)
    assert weights.used_weight == 1


def test_time_measured_at_the_exchange_dates_its_minutes() -> None:
    weights = Weights(Product.UM)
    weights.begin(lambda: NOW + 20 * SECOND)
    weights.admit(Use.REDUCTION, LIMIT)
    weights.begin(lambda: NOW + 90 * SECOND)
    assert weights.used_weight == LIMIT
    weights.follow(lambda: NOW + MINUTE)
    weights.admit(Use.REDUCTION, LIMIT)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(sorted(Use)),
        st.integers(0, 400),
        st.booleans(),
        st.sampled_from([0, 0, 0, 1, 7, 31]),
        st.one_of(st.none(), st.integers(0, LIMIT)),
    ),
    max_size=60,
)


def used(log: Sequence[tuple[int, Use | None, int, int]], now: int) -> int:
    """Return the weight of the present minute from a log of requests, and of counts of the exchange (without a use)."""
    total = 0
    for at, use, count, _ in log:
        if at // MINUTE == now // MINUTE:
            total = max(total, count) if use is None else total + count
    return total


def refusal(weights: Weights, use: Use, weight: int, orders: int) -> int | None:
    """Return the time (ms) until which a request has to wait; None if it is admitted."""
    try:
        weights.admit(use, weight, orders)
    except OverBudget as over:
        return over.until_ms
    return None


@examples(40, slow=400)
@given(STEPS)
def test_no_use_exceeds_its_share(steps: list[tuple[Use, int, bool, int, int | None]]) -> None:
    now, log = NOW, list[tuple[int, Use | None, int, int]]()
    weights = Weights(Product.UM, lambda: now)
    for use, weight, is_order, later, header in steps:
        now += later * SECOND
        share = SHARES[use]
        own = sum(count for at, of, count, _ in log if of is use and at // MINUTE == now // MINUTE)
        orders = [sum(each[3] for each in log if each[0] // span == now // span) for span in (10 * SECOND, MINUTE)]
        fits = not weight or (used(log, now) + weight <= LIMIT * share.weight and own + weight <= LIMIT * share.own)
        fits &= not is_order or (orders[0] < 300 * share.orders and orders[1] < 1_200 * share.orders)
        waits_until = refusal(weights, use, weight, int(is_order))
        assert (waits_until is None) == fits
        if waits_until is None:
            log.append((now, use, weight, int(is_order)))
        else:
            assert now < waits_until <= now + MINUTE + SECOND
        if header is not None:
            weights.note({"x-mbx-used-weight-1m": str(header)})
            log.append((now, None, header, 0))
