"""Faults on the stream connections of the sandbox exchange."""

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import DAY, MINUTE, SECOND
from ocw_mcp.sandbox.binance.faults import random_faults
from ocw_mcp.sandbox.binance.streams import Outgoing
from tests.support.examples import examples
from tests.support.exchange import NOW, connected, exchange, opened, payloads

MARKS, TRADES = "btcusdt@markPrice@1s", "ethusdt@aggTrade"
PATH = f"/market/stream?streams={MARKS}/{TRADES}/btcusdt@kline_1m"
BEGIN, END = NOW + MINUTE, NOW + 2 * MINUTE
"""The fault of each test is active from `BEGIN` to `END`."""


def fault(kind: str, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "at": "1m", "for": "1m"} | more


def said(*faults: Any, path: str = PATH, until: int = NOW + 3 * MINUTE) -> list[Outgoing]:
    return opened(exchange(*faults), path).messages(NOW, until)


def usual(path: str = PATH) -> list[Outgoing]:
    return connected(path).messages(NOW, NOW + 3 * MINUTE)


def within(messages: list[Outgoing]) -> list[Outgoing]:
    return [each for each in messages if BEGIN <= each.at < END]


def test_exchange_without_faults_says_what_the_streams_say() -> None:
    assert said() == usual()


def test_mute_stream_is_silent_for_its_time_and_the_others_go_on() -> None:
    messages = said(fault("mute", stream="*@markPrice*"))
    assert [each for each in within(messages) if each.stream == MARKS] == []
    assert messages == [each for each in usual() if each.stream != MARKS or not BEGIN <= each.at < END]


def test_delayed_messages_arrive_later_and_complete() -> None:
    messages = said(fault("delay", by="10s", stream=MARKS))
    expected = [
        each._replace(at=each.at + 10 * SECOND) if each.stream == MARKS and BEGIN <= each.at < END else each
        for each in usual()
    ]
    assert sorted(messages) == sorted(expected)
    assert [each.at for each in messages] == sorted(each.at for each in messages)


def test_duplicated_messages_arrive_as_often_as_said() -> None:
    messages = said(fault("duplicate", times=3, stream=TRADES))
    assert [each for each in within(messages) if each.stream == TRADES] == [
        copy for each in within(usual()) if each.stream == TRADES for copy in [each] * 3
    ]


def test_reordered_messages_change_places_in_pairs() -> None:
    messages, right = said(fault("reorder", stream=TRADES)), usual()
    ids, sorted_ids = (
        [each["a"] for each in payloads([each for each in some if each.stream == TRADES])] for some in (messages, right)
    )
    assert ids != sorted(ids) == sorted_ids
    assert max(abs(place - sorted_ids.index(number)) for place, number in enumerate(ids)) == 1


def test_message_that_waits_for_a_second_one_arrives_when_the_fault_ends() -> None:
    messages = said({"kind": "reorder", "at": "1m", "for": "59s", "stream": MARKS}, path=f"/market/ws/{MARKS}")
    arrived = {each["E"]: message.at for message, each in zip(messages, payloads(messages), strict=True)}
    assert len(arrived) == 180
    assert arrived[BEGIN + 58 * SECOND] == BEGIN + 59 * SECOND


@pytest.mark.parametrize("nth", [1, 10])
def test_only_each_nth_message_is_changed(nth: int) -> None:
    more = len(said(fault("duplicate", nth=nth, stream=MARKS))) - len(usual())
    assert more == 60 // nth


def bad(form: str, path: str = PATH) -> list[str]:
    """Return the texts of garbage that takes the place of the right messages."""
    return [each.text for each in within(said(fault("garbage", form=form, replaces=True), path=path))]


def prices(message: dict[str, Any]) -> list[float]:
    fields = message.get("k", message)
    names = {"kline": "ohlc", "aggTrade": "p", "markPriceUpdate": "p"}[message["e"]]
    return [float(fields[name]) for name in names]


def test_malformed_garbage_is_no_json() -> None:
    for text in bad("malformed"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(
    ("form", "check"),
    [
        ("nan", math.isnan),
        ("zero", lambda price: price == 0),
        ("huge", lambda price: price > 1e11),
        ("negative", lambda price: price < 0),
    ],
)
def test_garbage_prices_are_as_invalid_as_said(form: str, check: Any) -> None:
    events = [json.loads(text)["data"] for text in bad(form)]
    assert {each["e"] for each in events} == {"kline", "aggTrade", "markPriceUpdate"}
    assert all(check(price) for each in events for price in prices(each))


def test_garbage_has_another_symbol_future_times_or_another_schema() -> None:
    right = payloads(within(usual()))
    others, future, schema = (
        [json.loads(text)["data"] for text in bad(form)] for form in ("other_symbol", "future", "schema")
    )
    assert {each["s"] for each in others}.isdisjoint(each["s"] for each in right)
    assert [each["E"] for each in future] == [each["E"] + DAY for each in right]
    assert all(
        set(each) != set(one) or set(each["k"]) != set(one["k"]) for each, one in zip(schema, right, strict=True)
    )


def test_garbage_comes_before_the_right_message() -> None:
    messages = said(fault("garbage", form="nan"))
    assert [each for each in messages if "NaN" not in each.text] == usual()
    assert len(within(messages)) == 2 * len(within(usual()))


def test_skewed_clock_changes_event_times_only() -> None:
    skewed, right = payloads(within(said(fault("skew", by="-3s")))), payloads(within(usual()))
    assert [each | {"E": each["E"] + 3 * SECOND} for each in skewed] == right


@pytest.mark.parametrize(("kind", "code"), [("drop", 1006), ("close", 1001)])
def test_connection_that_a_fault_ends_says_nothing_more(kind: str, code: int) -> None:
    connection = opened(exchange({"kind": kind, "at": "1m"}), PATH)
    messages = connection.messages(NOW, NOW + 3 * MINUTE)
    assert messages[:-1] == [each for each in usual() if each.at <= BEGIN]
    assert (messages[-1].at, messages[-1].code, connection.closed) == (BEGIN, code, True)
    assert connection.messages(NOW + 3 * MINUTE, NOW + 4 * MINUTE) == []


def test_fault_ends_only_connections_with_its_stream() -> None:
    faulty = exchange({"kind": "drop", "at": "1m", "stream": "*@kline_1m"})
    first, second = opened(faulty, PATH), opened(faulty, f"/market/ws/{MARKS}")
    first.messages(NOW, NOW + 2 * MINUTE)
    assert len(second.messages(NOW, NOW + 2 * MINUTE)) == 120
    assert (first.closed, second.closed) == (True, False)


def test_connection_opened_after_a_drop_stays() -> None:
    connection = opened(exchange({"kind": "drop", "at": "1m"}), f"/market/ws/{MARKS}", BEGIN)
    assert len(connection.messages(BEGIN, END)) == 60


def test_spot_warns_before_a_planned_close() -> None:
    connection = opened(exchange({"kind": "close", "at": "15m"}, product=Product.SPOT), "/ws")
    messages = connection.messages(NOW, NOW + 20 * MINUTE)
    assert payloads(messages) == [{"e": "serverShutdown", "E": NOW + 5 * MINUTE}]
    assert messages[-1].at == NOW + 15 * MINUTE


def test_connections_are_refused_while_the_fault_lasts() -> None:
    faulty = exchange(fault("refuse"))
    assert [faulty.refuses(at) for at in (BEGIN - 1, BEGIN, END - 1, END)] == [False, True, True, False]


def test_division_of_time_does_not_change_what_faults_do() -> None:
    rates = {f"{kind}s_per_hour": 60 for kind in ("mute", "delay", "duplicate", "reorder", "garbage")}
    schedule = random_faults({"seed": 5, "for": "10m"} | rates)
    whole, parts = opened(exchange(*schedule), PATH), opened(exchange(*schedule), PATH)
    end = NOW + 5 * MINUTE
    divided = [each for since, until in pairwise([*range(NOW, end, 777), end]) for each in parts.messages(since, until)]
    assert sorted(whole.messages(NOW, end)) == sorted(divided)
    assert sorted(divided) != sorted(connected(PATH).messages(NOW, end))


@given(seed=st.integers(0, 10**6))
@examples(4, slow=20)
def test_no_message_is_lost_by_delays_repetition_or_disorder(seed: int) -> None:
    rates = {f"{kind}s_per_hour": 60 for kind in ("delay", "duplicate", "reorder")}
    connection = opened(exchange(*random_faults({"seed": seed, "for": "3m"} | rates)), PATH)
    right = [(each.stream, each.text) for each in usual()]
    got = [(each.stream, each.text) for each in connection.messages(NOW, NOW + 10 * MINUTE)]
    assert set(right) <= set(got)


def test_each_change_is_counted_by_its_kind() -> None:
    faulty = exchange(fault("mute", stream=MARKS), {"kind": "drop", "at": "2m30s"})
    opened(faulty, PATH).messages(NOW, NOW + 3 * MINUTE)
    assert faulty.counters(NOW + 3 * MINUTE)["faults"] == {"mute": 60, "drop": 1}


def test_each_beginning_and_end_of_a_fault_is_one_line() -> None:
    plan = exchange(fault("mute", stream=MARKS), {"kind": "drop", "at": "90s"}).plan
    assert plan.news(NOW, NOW + 5 * MINUTE) == [
        (BEGIN, f"mute {MARKS} for 1m begins"),
        (NOW + 90 * SECOND, "drop"),
        (END, f"mute {MARKS} for 1m ends"),
    ]
    assert plan.news(END, NOW + 5 * MINUTE) == []
