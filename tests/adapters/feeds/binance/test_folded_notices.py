"""Notices of faults that last: one line at once, repeats together in ever longer pauses, and one line at the end."""

from itertools import groupby, pairwise

import pytest

from ocw_mcp.adapters.feeds.binance.notices import CLOCK, Notices
from ocw_mcp.domain.market import FeedNotice
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from tests.support.live_feeds import assert_all_once, feed_on, run_feed
from tests.support.scripted_market import BEGIN, SYMBOLS, ScriptedMarket, kline_text, mark_text, source_candle

START = BEGIN + 30 * SECOND


class Watched:
    """Notices with a time that is set, and what they gave so far, with the time (s) of each."""

    def __init__(self) -> None:
        self.now = 0.0
        self.woken = 0
        self.notices = Notices(lambda: BEGIN + int(self.now * SECOND), lambda: self.now, self._wake)
        self.told: list[tuple[float, FeedNotice]] = []

    def _wake(self) -> None:
        self.woken += 1

    def pass_to(self, until: float) -> None:
        """Let time pass to `until` (s), and take what is due each second."""
        while self.now < until:
            self.now += 1.0
            self.take()

    def take(self) -> None:
        self.told += [(self.now, each) for each in self.notices.take()]

    @property
    def lines(self) -> list[tuple[float, str, str]]:
        return [(at, each.subject, each.detail) for at, each in self.told]

    @property
    def kinds(self) -> list[tuple[float, str]]:
        return [(at, each.kind.value) for at, each in self.told]


def refuse(watched: Watched, symbol: str, part: str = "mark") -> None:
    """Report a refused value of a stream."""
    watched.notices.incident(symbol, "refused", f"{symbol.lower()}@{part}: too high", part=part)


def test_first_incident_is_reported_at_once_with_the_symbols_of_the_moment() -> None:
    watched = Watched()
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
        refuse(watched, symbol)
    assert watched.woken == 1
    watched.take()
    told = "refused mark: btcusdt@mark: too high; also of ETHUSDT, SOLUSDT"
    assert watched.lines == [(0.0, "BTCUSDT", told)]


def test_repeats_are_one_line_in_pauses_that_double_to_an_hour() -> None:
    watched, every_s, hours = Watched(), 10, 6
    for second in range(0, hours * 3_600, every_s):
        watched.pass_to(second)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            refuse(watched, symbol, "kline" if second % 20 else "mark")
    times = [at for at, _ in watched.kinds]
    pauses = [(after - before) / 60 for before, after in pairwise(times)]
    assert [round(pause) for pause in pauses] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert watched.lines[2][1:] == (
        "market",
        "refused: 24 more in 2 min of BTCUSDT, ETHUSDT (kline 12, mark 12); the last: ethusdt@mark: too high",
    )
    # Every incident is in one of the lines, or still to be reported.
    assert watched.notices.counts.total() == 2 * hours * 3_600 // every_s
    folded = sum(int(text.split(" more in ")[0].split(": ")[1].replace(",", "")) for _, _, text in watched.lines[1:])
    watched.pass_to(hours * 3_600 + 300)
    assert watched.lines[-1][2] == "refused is over after 6 h: 4,320 in all of BTCUSDT, ETHUSDT"
    assert watched.notices.counts.total() - folded < 2 * 3_600 / every_s


def test_fault_without_a_known_end_is_over_when_it_stays_away() -> None:
    watched = Watched()
    for second in (0, 20, 40, 50, 70, 80):
        watched.pass_to(second)
        refuse(watched, "BTCUSDT")
    watched.pass_to(3_600)
    assert watched.lines == [
        (1.0, "BTCUSDT", "refused mark: btcusdt@mark: too high"),
        (61.0, "BTCUSDT", "refused: 3 more in 60 s (mark 3); the last: btcusdt@mark: too high"),
        (200.0, "BTCUSDT", "refused is over after 80 s: 6 in all"),
    ]


def test_short_fault_has_one_line_at_its_end() -> None:
    watched = Watched()
    for second in (0, 1, 2):
        watched.pass_to(second)
        refuse(watched, "BTCUSDT")
    watched.pass_to(3_600)
    assert [text for _, _, text in watched.lines[1:]] == ["refused is over after 2 s: 3 in all"]


def test_single_incident_has_no_second_line() -> None:
    watched = Watched()
    refuse(watched, "BTCUSDT")
    watched.pass_to(2 * 3_600)
    assert len(watched.told) == 1
    # It is forgotten after an hour: the next one is the first of its kind.
    refuse(watched, "BTCUSDT")
    watched.take()
    assert [text for _, _, text in watched.lines] == ["refused mark: btcusdt@mark: too high"] * 2


def test_fault_whose_end_is_known_lasts_until_then() -> None:
    watched = Watched()
    for symbol in ("BTCUSDT", "ETHUSDT"):
        watched.notices.incident(symbol, "mute", f"{symbol} is silent", part="kline", until=symbol)
    watched.pass_to(1_800)
    assert len(watched.told) == 1
    watched.notices.end("mute", "BTCUSDT")
    watched.pass_to(1_860)
    assert len(watched.told) == 1
    watched.notices.end("mute", "ETHUSDT")
    watched.pass_to(3_600)
    assert watched.lines[1:] == [(1_861.0, "market", "mute is over after 31 min: 2 in all of BTCUSDT, ETHUSDT")]


def test_fault_that_comes_and_goes_gets_ever_fewer_lines() -> None:
    watched, hours = Watched(), 12
    for second in range(0, hours * 3_600, 90):
        watched.pass_to(second)
        watched.notices.incident("market", "connection", "/market ended", until="/market")
        watched.pass_to(second + 5)
        watched.notices.end("connection", "/market")
    watched.pass_to(hours * 3_600 + 3_700)
    assert watched.notices.counts["connection"] == hours * 40
    assert len(watched.told) <= 2 * (hours + 8)
    last = [text for _, _, text in watched.lines][-1]
    assert "it is over" in last or "is over after" in last


def test_kinds_are_folded_each_by_itself() -> None:
    watched = Watched()
    for second in range(0, 50, 5):
        watched.pass_to(second)
        for kind in ("refused", "malformed"):
            watched.notices.incident("BTCUSDT", kind, "it is wrong")
    watched.pass_to(120)
    assert [text.split(":")[0] for _, _, text in watched.lines] == ["refused", "malformed"] * 2


def test_many_symbols_are_named_in_part() -> None:
    watched = Watched()
    for number in range(200):
        refuse(watched, f"X{number}USDT")
    watched.take()
    (line,) = watched.lines
    assert line[2].endswith("also of X100USDT, X101USDT, X102USDT, X103USDT, X104USDT and 194 others")


def test_subject_that_flaps_stays_degraded_for_a_growing_time() -> None:
    watched = Watched()
    for second in range(0, 3_600, 10):
        watched.pass_to(second)
        watched.notices.degrade("BTCUSDT", "mark", "no value")
        watched.pass_to(second + 5)
        watched.notices.restore("BTCUSDT", "mark", "data again")
    assert [each for each, _ in groupby(kind for _, kind in watched.kinds)] == ["degraded", "restored", "degraded"]
    assert watched.notices.counts["degraded"] == 360
    watched.pass_to(3_596)
    assert watched.lines[-1][2] == "data again, but the data failed 360 times, each within an hour: 480 s are awaited"
    watched.pass_to(3_595 + 8 * 60 + 1)
    assert watched.lines[-1] == (3_595.0 + 8 * 60, "BTCUSDT", "data again, for 480 s now")


def test_reason_of_a_degraded_subject_is_one_that_holds() -> None:
    watched = Watched()
    watched.notices.degrade("BTCUSDT", "mark", "no mark")
    watched.notices.degrade("BTCUSDT", "quote", "no quote")
    watched.notices.restore("BTCUSDT", "mark", "a mark")
    watched.notices.restore("BTCUSDT", "quote", "a quote")
    watched.take()
    assert [(kind, text) for (_, kind), (_, _, text) in zip(watched.kinds, watched.lines, strict=True)] == [
        ("degraded", "no mark"),
        ("degraded", "no quote"),
        ("restored", "a quote"),
    ]


def test_second_fault_of_an_hour_is_restored_after_a_minute() -> None:
    watched = Watched()
    for second in (0, 1_800, 9_000):
        watched.pass_to(second)
        watched.notices.degrade(CLOCK, CLOCK, "wrong")
        watched.pass_to(second + 100)
        watched.notices.restore(CLOCK, CLOCK, "right")
    watched.pass_to(10_000)
    restored = [at for at, kind in watched.kinds if kind == "restored"]
    assert restored == [101.0, 1_960.0, 9_101.0]


@pytest.mark.requirement("D05")
def test_stream_whose_messages_are_refused_is_not_called_mute() -> None:
    """The exchange's messages are 20 s ahead of its own time, as during a skew of its clock."""
    market = ScriptedMarket(START)
    market.muted = ["*@markPrice@1s"]

    def mark() -> None:
        now = market.exchange_ms()
        for symbol in SYMBOLS:
            market.send(f"{symbol.lower()}@markPrice@1s", mark_text(symbol, 1e12, now))

    script = {BEGIN + 2 * MINUTE + second * SECOND: mark for second in range(0, 240, 2)}
    run = run_feed(feed_on(market), BEGIN + 6 * MINUTE, script=script)
    assert_all_once(run, BEGIN - DAY, BEGIN + 6 * MINUTE)
    told = run.told("incident")
    unusable = [text for text in told if text.startswith("unusable mark")]
    assert len(unusable) == 1
    assert "has given only messages that are refused for" in unusable[0]
    assert "is absurd" in unusable[0]
    assert run.counts["refused mark"] == 2 * len(script)


@pytest.mark.slow
def test_hour_of_bad_messages_of_all_kinds_is_a_few_lines() -> None:
    market = ScriptedMarket(START)

    def disturb() -> None:
        now = market.exchange_ms()
        for symbol in SYMBOLS:
            candle = source_candle(symbol, now // MINUTE * MINUTE)
            texts = [mark_text(symbol, 9e13, now), kline_text(candle, now, closed=False, h="nan", c="nan")]
            market.send(f"{symbol.lower()}@kline_1m", *texts, texts[0][:-20])

    script = {BEGIN + 2 * MINUTE + second * SECOND: disturb for second in range(0, 3_600, 5)}
    run = run_feed(feed_on(market), BEGIN + HOUR + 10 * MINUTE, script=script)
    told = run.told("incident")
    assert [sum(text.startswith(kind) for text in told) for kind in ("refused", "malformed")] == [7, 7]
    assert [text.split(":")[0] for text in told][-2:] == [
        "refused is over after 60 min",
        "malformed is over after 60 min",
    ]
    each = len(SYMBOLS) * len(script)
    assert (run.counts["refused mark"], run.counts["refused kline"], run.counts["malformed"]) == (each, each, each)
