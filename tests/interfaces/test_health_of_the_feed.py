"""The health of the market data in the status API, in the metrics and in the status of MCP."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import Client

from ocw_mcp.app.bench.answers import text_of
from ocw_mcp.domain.health import FeedHealth, StreamHealth
from ocw_mcp.domain.time import iso
from ocw_mcp.engine.summary import summary
from ocw_mcp.runtime.outbox import OutboxStats
from tests.support.facades import FacadeRun
from tests.support.http_api import api

STREAMS = (
    StreamHealth("btcusdt@aggTrade", "BTCUSDT", None, refused=True),
    StreamHealth("btcusdt@kline_1m", "BTCUSDT", 250, refused=False),
)
HEALTH = FeedHealth(
    streams=STREAMS,
    incidents={"refused kline": 7, "degraded": 1},
    messages=1_234,
    reconnects=2,
    clock_offset_ms=-1_500,
    request_weight=25,
    request_weight_limit=2_400,
    requests_refused=3,
)
BEAT = 1_767_225_630_500
WHY = "ethusdt@kline_1m is silent for 76 s, and REST gives no value: it was answered 418 'see http://evil.example/now'"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[FacadeRun]:
    run = FacadeRun(tmp_path / "book")
    asyncio.run(run.go(1))
    yield run
    run.store.close()


def degrade(run: FacadeRun, *subjects: str) -> None:
    run.run.engine.prices.degraded = dict.fromkeys(subjects, WHY)


async def read(sim: FacadeRun, directory: Path, path: str) -> str:
    async with api(lambda: sim.facade, directory) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_feed_shows_streams_and_counts_of_the_live_market(sim: FacadeRun, tmp_path: Path) -> None:
    sim.health, sim.heartbeat_at = HEALTH, BEAT
    async with api(lambda: sim.facade, tmp_path) as client:
        found = (await client.get("/feed")).json()
    assert found["connection"] == {
        "messages": 1_234,
        "reconnects": 2,
        "incidents": {"refused kline": 7, "degraded": 1},
        "clock_offset_ms": -1_500,
        "request_weight": 25,
        "request_weight_limit": 2_400,
        "requests_refused": 3,
        "streams": [
            {"name": "btcusdt@aggTrade", "symbol": "BTCUSDT", "age_ms": None, "refused": True},
            {"name": "btcusdt@kline_1m", "symbol": "BTCUSDT", "age_ms": 250, "refused": False},
        ],
    }
    assert (found["heartbeat_at"], found["degraded"]) == (iso(BEAT), [])


async def test_feed_of_a_simulated_market_has_no_connection(sim: FacadeRun, tmp_path: Path) -> None:
    async with api(lambda: sim.facade, tmp_path) as client:
        found = (await client.get("/feed")).json()
    assert (found["connection"], found["heartbeat_at"], found["degraded"]) == (None, None, [])


async def test_metrics_have_health_and_heartbeat(sim: FacadeRun, tmp_path: Path) -> None:
    sim.health, sim.heartbeat_at = HEALTH, BEAT
    degrade(sim, "ETHUSDT")
    lines = (await read(sim, tmp_path, "/metrics")).splitlines()
    expected = (
        "ocw_heartbeat_timestamp_seconds 1.7672256305e+09",
        'ocw_feed_degraded{subject="ETHUSDT"} 1.0',
        'ocw_feed_degraded{subject="BTCUSDT"} 0.0',
        'ocw_feed_degraded{subject="clock"} 0.0',
        'ocw_feed_incidents_total{kind="refused kline"} 7.0',
        'ocw_feed_stream_age_seconds{stream="btcusdt@kline_1m"} 0.25',
        "ocw_feed_messages_total 1234.0",
        "ocw_feed_reconnects_total 2.0",
        "ocw_feed_requests_refused_total 3.0",
        "ocw_feed_request_weight 25.0",
        "ocw_feed_request_weight_limit 2400.0",
        "ocw_feed_clock_offset_seconds -1.5",
    )
    assert [line for line in expected if line not in lines] == []
    # A stream without a message has no age.
    assert not any("aggTrade" in line for line in lines)


async def test_metrics_of_a_simulated_market_have_no_connection(sim: FacadeRun, tmp_path: Path) -> None:
    found = await read(sim, tmp_path, "/metrics")
    assert 'ocw_feed_degraded{subject="market"} 0.0' in found
    assert "ocw_feed_messages" not in found
    assert "ocw_heartbeat" not in found


async def test_metrics_of_a_book_at_an_exchange_show_its_outbox(sim: FacadeRun, tmp_path: Path) -> None:
    assert "ocw_outbox" not in await read(sim, tmp_path, "/metrics")
    sim.outbox = OutboxStats(waiting=2, under_way=3, sent=40, last_wait_ms=1.0, longest_wait_ms=250.0)
    lines = (await read(sim, tmp_path, "/metrics")).splitlines()
    expected = (
        "ocw_outbox_waiting 2.0",
        "ocw_outbox_under_way 3.0",
        "ocw_outbox_orders_sent_total 40.0",
        "ocw_outbox_longest_wait_seconds 0.25",
    )
    assert [line for line in expected if line not in lines] == []


async def test_degraded_subjects_are_the_same_everywhere(sim: FacadeRun, tmp_path: Path) -> None:
    degrade(sim, "SOLUSDT", "ETHUSDT")
    async with api(lambda: sim.facade, tmp_path) as client:
        shown = [(await client.get(path)).json()["degraded"] for path in ("/feed", "/status")]
    assert shown[0] == shown[1]
    assert [each["subject"] for each in shown[0]] == list(summary(sim.run.engine)["degraded"]) == ["ETHUSDT", "SOLUSDT"]
    assert "http" not in shown[0][0]["untrusted_text"]


async def status(sim: FacadeRun) -> str:
    async with Client(sim.server) as client:
        return text_of(await client.call_tool("ocw_get_status", {}))


async def test_status_of_mcp_names_degraded_subjects_briefly(sim: FacadeRun) -> None:
    before = await status(sim)
    degrade(sim, "ETHUSDT")
    one = await status(sim)
    (line,) = set(one.splitlines()) - set(before.splitlines())
    reason = '"ethusdt@kline_1m is silent for 76 s, and REST giv…"'
    assert line == f"market data degraded, entries refused, untrusted_text: ETHUSDT {reason}"
    degrade(sim, *(f"X{number:03}USDT" for number in range(200)))
    many = await status(sim)
    assert many.count("untrusted_text") == 1
    assert "; 197 others" in many
    assert len(many) - len(before) <= 300


async def test_status_of_mcp_is_unchanged_without_degraded_data(sim: FacadeRun) -> None:
    assert "degraded" not in await status(sim)
