"""The sources outside of the exchange: their formats, and answers that are refused."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpcore2
import pytest
import respx

from ocw_mcp.adapters.outside.http import OutsideHttp
from ocw_mcp.adapters.outside.values import (
    DOMINANCE,
    ETF_FLOW,
    FEAR_GREED,
    STABLECOINS,
    Dominance,
    EtfFlow,
    FearGreed,
    Stablecoins,
)
from ocw_mcp.domain.context import ContextItem
from ocw_mcp.domain.errors import SourceUnavailable
from ocw_mcp.domain.protocols import OutsideSource
from ocw_mcp.domain.time import HOUR, day_begins

NOW = day_begins("2026-11-30") + 12 * HOUR
INDEX = {
    "name": "Fear and Greed Index",
    "data": [{"value": "23", "timestamp": "1795996800", "value_classification": "x"}],
}
CHAINS = [
    {"name": "Ethereum", "totalCirculatingUSD": {"peggedUSD": 150.5e9, "peggedEUR": 0.5e9}, "tokenSymbol": "ETH"},
    {"name": "Tron", "totalCirculatingUSD": {"peggedUSD": 80e9, "peggedVAR": None}},
    {"name": "Empty"},
]
GLOBAL = {"data": {"market_cap_percentage": {"btc": 57.123, "eth": 11.0}, "updated_at": NOW // 1_000 - 60}}
FLOWS = [{"date": "2026-11-27", "totalNetInflow": -519200000.4}, {"date": "2026-11-26", "totalNetInflow": 1.0}]


@pytest.fixture
async def http() -> AsyncIterator[OutsideHttp]:
    client = OutsideHttp()
    yield client
    await client.close()


async def test_each_source_reads_the_number_of_its_answer(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.get(FEAR_GREED).respond(json=INDEX)
    httpx2_mock.get(STABLECOINS).respond(json=CHAINS)
    httpx2_mock.get(DOMINANCE).respond(json=GLOBAL)
    flow = httpx2_mock.post(ETF_FLOW).respond(json={"code": 0, "data": FLOWS})
    assert await FearGreed(http).fetch(NOW) == (
        ContextItem("fear_greed", NOW, 1_795_996_800_000, value=23.0, unit="of 100"),
    )
    assert await Stablecoins(http).fetch(NOW) == (
        ContextItem("stablecoins", NOW, None, value=231_000_000_000.0, unit="USD"),
    )
    assert await Dominance(http).fetch(NOW) == (ContextItem("btc_dominance", NOW, NOW - 60_000, value=57.12, unit="%"),)
    assert await EtfFlow(http).fetch(NOW) == (
        ContextItem("etf_flow", NOW, day_begins("2026-11-27"), value=-519_200_000.0, unit="USD"),
    )
    assert json.loads(flow.calls.last.request.content) == {"type": "us-btc-spot"}


async def test_flows_are_also_read_from_the_older_format(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    httpx2_mock.post(ETF_FLOW).respond(json={"code": 0, "data": {"list": [*FLOWS, {"date": "2026-11-30"}]}})
    (found,) = await EtfFlow(http).fetch(NOW)
    assert found.as_of == day_begins("2026-11-27")


@pytest.mark.parametrize(
    ("made", "url", "answer"),
    [
        (FearGreed, FEAR_GREED, {"data": []}),
        (FearGreed, FEAR_GREED, {"data": [{"value": "101", "timestamp": "0"}]}),
        (FearGreed, FEAR_GREED, {"data": [{"value": "no", "timestamp": "0"}]}),
        (Stablecoins, STABLECOINS, []),
        (Stablecoins, STABLECOINS, [{"totalCirculatingUSD": {"peggedUSD": -5}}]),
        (Stablecoins, STABLECOINS, {"error": "soon"}),
        (Dominance, DOMINANCE, {"data": {"market_cap_percentage": {"eth": 11}}}),
        (Dominance, DOMINANCE, {"status": {"error_code": 429}}),
        (EtfFlow, ETF_FLOW, {"code": 500, "msg": "key", "data": None}),
        (EtfFlow, ETF_FLOW, {"code": 0, "data": [{"date": "yesterday", "totalNetInflow": 1}]}),
        (EtfFlow, ETF_FLOW, {"code": 0, "data": [{"date": "2026-11-27", "totalNetInflow": None}]}),
    ],
)
async def test_answer_of_another_format_is_no_report(
    http: OutsideHttp, httpx2_mock: respx.MockRouter, made: Any, url: str, answer: object
) -> None:
    httpx2_mock.route(url=url if made is not FearGreed else f"{url}?limit=1").respond(json=answer)
    source: OutsideSource = made(http)
    with pytest.raises(SourceUnavailable, match=source.name):
        await source.fetch(NOW)


async def test_faults_of_the_network_name_the_host_and_never_the_address(
    http: OutsideHttp, httpx2_mock: respx.MockRouter
) -> None:
    url = "https://one.example.org/path/secret"
    route = httpx2_mock.get(url, params={"api_key": "secret"})
    answers: list[tuple[dict[str, Any], str]] = [
        ({"status_code": 503}, "one.example.org answers with status 503"),
        ({"status_code": 302, "headers": {"Location": "https://two.example.org/secret"}}, "redirects to another"),
        ({"content": b"x" * 100}, "answers with more than 64 bytes"),
        ({"content": b"x", "headers": {"Content-Encoding": "gzip"}}, "compresses its answer"),
    ]
    for answer, text in answers:
        route.respond(**answer)
        with pytest.raises(SourceUnavailable, match=text) as raised:
            await http.get(url, {"api_key": "secret"}, most=64)
        assert "secret" not in str(raised.value)
    for fault in (httpcore2.ConnectError("secret"), httpcore2.ReadTimeout("secret")):
        route.side_effect = fault
        with pytest.raises(SourceUnavailable, match=r"one.example.org does not answer") as raised:
            await http.get(url, {"api_key": "secret"})
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize("place", ["http://two.example.org/feed", "http://169.254.169.254/", "ftp://two.example.org"])
async def test_redirection_is_followed_only_to_https(
    http: OutsideHttp, httpx2_mock: respx.MockRouter, place: str
) -> None:
    httpx2_mock.get("https://one.example.org/feed").respond(302, headers={"Location": place})
    with pytest.raises(SourceUnavailable, match="not https"):
        await http.get("https://one.example.org/feed", redirects=3)


async def test_redirections_end(http: OutsideHttp, httpx2_mock: respx.MockRouter) -> None:
    route = httpx2_mock.get("https://one.example.org/feed").respond(302, headers={"Location": "/feed"})
    with pytest.raises(SourceUnavailable, match="redirects"):
        await http.get("https://one.example.org/feed", redirects=3)
    assert route.call_count == 4


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "127.1", "fly"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_public_source_cannot_redirect_to_a_private_address(
    http: OutsideHttp, httpx2_mock: respx.MockRouter, scheme: str, host: str
) -> None:
    place = f"{scheme}://{host}/halt"
    httpx2_mock.get("https://one.example.org/feed").respond(302, headers={"Location": place})
    with pytest.raises(SourceUnavailable, match=r"not https|to a private address"):
        await http.get("https://one.example.org/feed", redirects=3)
