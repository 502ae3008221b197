"""`ocw bench feed` on a small load: nothing is lost, what is invalid is counted, and the figures have their bounds."""

from collections import Counter

import pytest

from ocw_mcp.app.bench.feed import BEGIN, MOST_P99_MS, MOST_TIMES_BARE, SYMBOLS, FeedBench, Load, day_figures
from ocw_mcp.app.bench.feed_day import run_book_day, size_of
from ocw_mcp.app.bench.feed_traffic import Traffic, TrafficSpec, Write
from ocw_mcp.app.bench.live_day import START
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.market import SandboxMarket

SMALL = Load(
    minutes=2,
    runs=1,
    per_minute=3_000,
    rate=15_000,
    burst=3_000,
    slow_minutes=6,
    slow_per_minute=150,
    malformed=500,
    warmup_days=1,
)
SPEC = TrafficSpec(dict.fromkeys(SYMBOLS, 100.0), BEGIN, minutes=2, per_minute=3_000, per_write=50, burst=300)
NOTHING_LOST = {"lost": 0, "candles_missing": 0, "candles_repeated": 0, "candles_different": 0, "late": 0}


@pytest.mark.slow
def test_feed_bench_loses_no_message_and_counts_malformed_ones() -> None:
    found = FeedBench(SMALL).speed()
    assert found.items() >= NOTHING_LOST.items()
    assert (found["messages"], found["candles"], found["verdicts_missing"]) == (6_003, 6, 0)
    assert found["malformed_sent"] == found["incidents"]["malformed"] == 12
    assert found["times_bare"] == pytest.approx(found["cpu_us_per_message"] / found["bare_cpu_us_per_message"], 0.01)
    assert found["times_bare_at_most"] == MOST_TIMES_BARE


@pytest.mark.slow
def test_feed_bench_takes_a_burst_whole() -> None:
    found = FeedBench(SMALL).burst()
    assert found.items() >= NOTHING_LOST.items()
    assert (found["burst"], found["messages"]) == (3_000, 9_003)


@pytest.mark.slow
def test_feed_bench_measures_the_time_to_each_verdict() -> None:
    found = FeedBench(SMALL).latency()
    assert found.items() >= NOTHING_LOST.items()
    assert (found["candles"], found["verdicts"], found["verdicts_missing"]) == (18, 15, 0)
    assert 0 < found["p50_ms"] <= found["p99_ms"] >= found["p99_ms_without_waits_for_a_core"] > 0
    assert 0 < found["bare_p50_ms"] <= found["bare_p99_ms"]
    assert found["p99_ms_at_most"] == MOST_P99_MS


def frames(data: bytes) -> list[bytes]:
    """The payloads of unmasked text frames."""
    found = []
    while data:
        assert data[0] == 0x81
        begin = 2 if data[1] < 126 else 4
        length = data[1] if begin == 2 else int.from_bytes(data[2:4], "big")
        found.append(data[begin : begin + length])
        data = data[begin + length :]
    return found


def written(spec: TrafficSpec) -> tuple[Traffic, list[Write]]:
    traffic = Traffic(spec)
    return traffic, list(traffic.writes())


def test_traffic_has_its_number_of_messages_in_the_mixture_of_a_market() -> None:
    traffic, writes = written(SPEC)
    assert traffic.messages == SPEC.messages == sum(each.messages for each in writes) == 6_303
    streams = Counter(
        each.split(b'"')[3].split(b"@")[1] for write in writes for each in frames(write.market + write.public)
    )
    assert streams.keys() == {b"bookTicker", b"aggTrade", b"markPrice", b"kline_1m", b"forceOrder"}
    assert streams[b"bookTicker"] > 3 * streams[b"aggTrade"] > 9 * streams[b"kline_1m"]


def test_traffic_closes_the_candles_of_a_minute_in_one_write() -> None:
    traffic, writes = written(SPEC)
    closing = [each for each in writes if each.closed_at]
    assert [each.closed_at for each in closing] == [BEGIN + MINUTE, BEGIN + 2 * MINUTE]
    assert [sum(b'"x":true' in frame for frame in frames(each.market)) for each in closing] == [3, 3]
    assert [each.symbol for each in traffic.candles] == [*sorted(SYMBOLS), *sorted(SYMBOLS)]


def test_traffic_with_the_same_arguments_is_the_same() -> None:
    assert written(SPEC)[1] == written(SPEC)[1]


def test_traffic_counts_malformed_messages_apart() -> None:
    traffic, writes = written(TrafficSpec(SPEC.prices, BEGIN, 1, 3_000, 50, malformed=100))
    assert (traffic.messages, traffic.malformed) == (3_003, 30)
    assert sum(len(frames(each.market + each.public)) for each in writes) == 3_033


class Holder:
    """An object of the size of its list, with a part of the exchange that does not count."""

    def __init__(self, count: int) -> None:
        self.kept = [float(each) for each in range(count)]
        self.exchange = Exchange(SandboxMarket.simulated(1, SYMBOLS, Product.UM, START))


def test_own_memory_grows_with_what_the_objects_hold() -> None:
    small, large = size_of([Holder(10)]), size_of([Holder(1_010)])
    assert large - small == pytest.approx(1_000 * (24 + 8), 0.1)


def test_shared_object_counts_once() -> None:
    one = Holder(100)
    assert size_of([one, one, one.kept]) == size_of([one])


@pytest.mark.slow
def test_book_loses_no_candle_and_no_verdict_in_hours_of_faults() -> None:
    found = day_figures(run_book_day(hours=2, warmup_days=1))
    assert (found["hours"], found["candles"]) == (2, 3 * 26 * 60)
    assert {found[f"candles_{each}"] for each in ("missing", "repeated", "different")} == {0}
    assert found["verdicts_missing"] == 0
    assert found["incidents"]["connection"] > 0
    assert found["memory_ratio"] == 1.0
    assert found["memory_mb_last_hour"] * 1_024 > found["own_kb_largest"] >= found["own_kb_last_hour"] > 0
