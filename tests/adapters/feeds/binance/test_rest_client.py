"""The REST client waits as long as it was asked to, keeps to its weight, and never hammers."""

from collections.abc import Callable, Coroutine, Mapping
from itertools import pairwise
from typing import Any

import pytest

from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.transport import RestResponse, pause
from ocw_mcp.adapters.binance.weights import Use
from ocw_mcp.adapters.feeds.binance.rest import Priority, RestClient
from ocw_mcp.domain.errors import FeedError, MarketUnreachable
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.virtual_time import run_in_virtual_time
from tests.support.live_feeds import jitter
from tests.support.scripted_market import BEGIN, ScriptedMarket

Work = Callable[[RestClient], Coroutine[Any, Any, Any]]


class Answers:
    """Answers of the exchange in order, the last for all further requests, and the times (ms) of the requests."""

    def __init__(self, *answers: RestResponse | Exception) -> None:
        self.market = ScriptedMarket(BEGIN)
        self.market.rest = self._next
        self.answers, self.times = list(answers), list[int]()

    def _next(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
        self.times.append(self.market.exchange_ms() - BEGIN)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, work: Work, product: Product = Product.UM) -> Any:
        async def play() -> Any:
            return await work(RestClient(self.market, product, jitter()))

        return run_in_virtual_time(play())


GOOD = RestResponse(200, b"{}", {"x-mbx-used-weight-1m": "1"})


async def patient(rest: RestClient) -> bytes:
    return await rest.get("/x", weight=1, priority=Priority.PATIENT)


async def urgent(rest: RestClient) -> bytes:
    return await rest.get("/x", weight=1)


@pytest.mark.requirement("L01")
def test_spot_says_in_a_header_how_long_to_wait() -> None:
    answers = Answers(RestResponse(429, b'{"code":-1003,"msg":"Too many requests."}', {"retry-after": "17"}), GOOD)
    assert answers.run(patient, Product.SPOT) == b"{}"
    first, second = answers.times
    assert 17 * SECOND <= second - first <= 19 * SECOND


def test_futures_say_in_the_text_when_a_ban_ends() -> None:
    text = f'{{"code":-1003,"msg":"Way too many requests; IP(1.2.3.4) banned until {BEGIN + 120 * SECOND}. Use ..."}}'
    answers = Answers(RestResponse(418, text.encode(), {}), GOOD)
    assert answers.run(patient) == b"{}"
    assert answers.times[1] >= 120 * SECOND
    assert answers.times[1] <= 122 * SECOND


def test_urgent_request_fails_at_once_during_a_ban_without_being_sent() -> None:
    answers = Answers(RestResponse(418, b"", {}), GOOD)

    async def three(rest: RestClient) -> None:
        for _ in range(3):
            with pytest.raises(MarketUnreachable):
                await urgent(rest)
        assert rest.weights.blocked_s == pytest.approx(120, abs=1)

    answers.run(three)
    assert len(answers.times) == 1


@pytest.mark.parametrize(
    "fault",
    [RestResponse(503, b"<html>", {}), RestResponse(200, b"{}", {}), MarketUnreachable("refused")],
    ids=["503", "good", "no answer"],
)
def test_patient_request_backs_off_between_tries(fault: RestResponse | Exception) -> None:
    answers = Answers(*[fault] * 8, GOOD)
    assert answers.run(patient) == b"{}"
    waits = [later - earlier for earlier, later in pairwise(answers.times)]
    if isinstance(fault, RestResponse) and fault.status == 200:
        assert waits == []
        return
    assert len(waits) == 8
    assert all(
        longest / 2 <= wait <= longest + 100 for wait, longest in zip(waits, (500, 1_000, 2_000, 4_000), strict=False)
    )
    assert max(waits) <= 30 * SECOND + 100


def test_wrong_request_is_not_tried_again() -> None:
    answers = Answers(RestResponse(400, b'{"code":-1121,"msg":"Invalid symbol."}', {}), GOOD)
    with pytest.raises(FeedError, match="-1121 'Invalid symbol"):
        answers.run(patient)
    assert len(answers.times) == 1


def test_weight_of_a_minute_is_kept() -> None:
    answers = Answers(RestResponse(200, b"{}", {}))

    async def many(rest: RestClient) -> None:
        for _ in range(40):
            await rest.get("/x", weight=100, use=Use.CANDLES, priority=Priority.PATIENT)

    answers.run(many)
    for minute in range(3):
        within = [each for each in answers.times if minute * MINUTE <= each < (minute + 1) * MINUTE]
        assert len(within) * 100 <= 0.7 * 2_400


def test_weight_that_others_use_on_the_address_counts() -> None:
    answers = Answers(RestResponse(200, b"{}", {"x-mbx-used-weight-1m": "2000"}))

    async def two(rest: RestClient) -> None:
        for _ in range(2):
            await rest.get("/x", weight=1, use=Use.CANDLES, priority=Priority.PATIENT)

    answers.run(two)
    assert answers.times[1] >= MINUTE


def test_request_without_an_answer_ends() -> None:
    class Silent(ScriptedMarket):
        async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
            import asyncio

            await asyncio.Event().wait()
            raise AssertionError

    async def ask() -> None:
        await RestClient(Silent(), Product.UM, jitter()).get("/x", weight=1)

    with pytest.raises(MarketUnreachable, match="no answer in 10 s"):
        run_in_virtual_time(ask())


def test_answer_on_a_fast_loop_takes_as_long_as_in_real_time() -> None:
    class Slow(ScriptedMarket):
        async def get(self, path: str, query: Mapping[str, str | int]) -> RestResponse:
            await pause(590)
            return RestResponse(200, b"{}", {})

    async def ask() -> bytes:
        slow = Slow()
        slow.timeout_s = NetworkTransport(hosts_of(Product.UM, "127.0.0.1:1"), slow.now_ms, speed=60.0).timeout_s
        return await RestClient(slow, Product.UM, jitter()).get("/x", weight=1)

    assert run_in_virtual_time(ask()) == b"{}"
