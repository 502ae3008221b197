"""The fault script: what it accepts, what it refuses and why, and random schedules."""

from typing import Any

import pytest

from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import DAY, HOUR, MINUTE, SECOND
from ocw_mcp.sandbox.binance.fault_kinds import ANSWERS, FORMS, KEYS, KINDS
from ocw_mcp.sandbox.binance.faults import (
    ORDER_DELAYS,
    RANDOM,
    Fault,
    load_script,
    parse_fault,
    parse_span,
    random_faults,
    span_text,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("10s", 10 * SECOND), ("1h30m", 90 * MINUTE), ("23h59m30s", DAY - 30 * SECOND), ("-2s", -2_000)],
)
def test_span_is_read_and_written_alike(text: str, ms: int) -> None:
    assert parse_span(text) == ms
    assert span_text(ms) == text


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "1.5h", "--2s", "10x", "s10"])
def test_text_that_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no span of time"):
        parse_span(text)


def test_script_gives_its_faults_in_the_order_of_time() -> None:
    script = """
        [[fault]]
        at = "10m"
        for = "2m"
        kind = "mute"
        stream = "btcusdt@kline_1m"

        [[fault]]
        at = "5m"
        kind = "drop"
    """
    assert load_script(script, "faults.toml") == [
        Fault("drop", 5 * MINUTE),
        Fault("mute", 10 * MINUTE, 2 * MINUTE, stream="btcusdt@kline_1m"),
    ]


def test_script_reports_every_problem_with_entry_and_line() -> None:
    script = """[[fault]]
at = "10m"
kind = "mut"

[[fault]]
kind = "delay"
at = 10
by = "1s"
path = "/x"

[[fault]]
at = "1m"
for = "1m"
kind = "garbage"
form = "odd"

[random]
seed = "x"
drop_per_hour = 1
"""
    with pytest.raises(SettingsError) as error:
        load_script(script, "faults.toml")
    lines = str(error.value).splitlines()
    assert all(line.startswith("faults.toml: ") for line in lines)
    assert [line.removeprefix("faults.toml: ").partition(":")[0] for line in lines] == [
        "fault 1 (line 1)",
        "fault 2 (line 5)",
        "fault 2 (line 5)",
        "fault 2 (line 5)",
        "fault 3 (line 11)",
        "[random]",
        "[random]",
    ]
    assert "did you mean 'mute'?" in lines[0]
    assert "path" in lines[1]
    assert "for is missing; 'delay' needs it; write for = \"2m\"" in lines[2]
    assert 'at is 10; expected a span of time; write at = "10m"' in lines[3]
    assert 'write form = "nan"' in lines[4]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("[[fault]", "no valid TOML"),
        ("[fault]\nat = '1m'", "write each fault under a line"),
        ("[[faults]]\nat = '1m'", "expected [[fault]] and [random]"),
        ("[random]\nseed = 1\nbans_per_hour = 100", "expected a number from 0 to 60"),
        ("random = 3", "expected a table"),
    ],
)
def test_script_of_another_form_is_refused(script: str, said: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_script(script, "f.toml")
    assert said in str(error.value)


EXAMPLES: dict[str, Any] = {
    "at": "10m",
    "for": "2m",
    "every": "1h",
    "stream": "btcusdt@kline_*",
    "path": "/fapi/v1/klines",
    "by": "500ms",
    "times": 2,
    "status": 503,
    "code": -1000,
    "msg": "Unknown error",
    "form": "nan",
    "nth": 10,
    "replaces": True,
    "rest": True,
    "symbol": "BTCUSDT",
    "tick": "0.01",
    "step": "0.001",
    "min_notional": "10",
    "answer": "timeout",
    "executed": True,
    "method": "POST",
    "side": "SELL",
    "quantity": "0.01",
    "price": "80000",
    "amount": "-100",
    "share": "0.5",
}
WRONG: dict[str, Any] = {
    "at": "-1m",
    "for": "0s",
    "every": 1,
    "stream": "",
    "path": 1,
    "by": "soon",
    "times": 1,
    "status": 200,
    "code": "x",
    "msg": 5,
    "form": "odd",
    "nth": 0,
    "replaces": "yes",
    "rest": 1,
    "symbol": "btcusdt",
    "tick": "0.0",
    "step": 0.1,
    "min_notional": "-1",
    "answer": "no",
    "executed": "yes",
    "method": "GET",
    "side": "buy",
    "quantity": "0",
    "price": 80000,
    "amount": "+1",
    "share": "1.5",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_each_of_its_keys(kind: str) -> None:
    keys = ("at", "every", *KINDS[kind].required, *KINDS[kind].optional)
    fault = parse_fault({"kind": kind} | {key: EXAMPLES[key] for key in keys})
    for key in keys:
        expected = parse_span(EXAMPLES[key]) if key in ("at", "for", "every", "by") else EXAMPLES[key]
        assert getattr(fault, "lasts" if key == "for" else key) == expected


@pytest.mark.parametrize("key", KEYS)
def test_each_key_refuses_a_wrong_value_and_shows_a_right_one(key: str) -> None:
    kind = next(kind for kind, each in KINDS.items() if key in (*each.required, *each.optional, "at", "every"))
    entry = {"kind": kind, "at": "1m"} | {each: EXAMPLES[each] for each in KINDS[kind].required}
    with pytest.raises(SettingsError) as error:
        parse_fault(entry | {key: WRONG[key]})
    assert str(error.value).startswith(f"{key} is ")
    assert f"write {key} = {KEYS[key].example}" in str(error.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kind": "order_drop", "by": "90s"}, "write executed = true, or remove by"),
        ({"kind": "order_drop", "by": "-1s", "executed": True}, "a delay is longer than zero"),
        ({"kind": "order_error", "answer": "overloaded", "executed": True}, "use timeout or unknown"),
    ],
)
def test_order_is_executed_late_only_if_its_outcome_is_unknown(entry: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_fault({"at": "1m", "for": "1m"} | entry)


def test_repetition_must_be_longer_than_the_fault() -> None:
    with pytest.raises(SettingsError, match="every is not longer than for"):
        parse_fault({"kind": "mute", "at": "1m", "for": "2m", "every": "2m"})


def test_delay_that_is_not_longer_than_zero_is_refused() -> None:
    with pytest.raises(SettingsError, match="a delay is longer than zero"):
        parse_fault({"kind": "delay", "at": "1m", "for": "2m", "by": "-1s"})


def test_repeated_fault_begins_and_is_active_each_time() -> None:
    fault = parse_fault({"kind": "mute", "at": "10m", "for": "2m", "every": "1h"})
    assert list(fault.begins(0, 3 * HOUR)) == [10 * MINUTE, 70 * MINUTE, 130 * MINUTE]
    assert list(fault.begins(70 * MINUTE, 2 * HOUR)) == []
    assert [fault.began(minute * MINUTE) for minute in (9, 10, 12, 71, 72)] == [
        None,
        10 * MINUTE,
        None,
        70 * MINUTE,
        None,
    ]


RATES = {f"{kind}s_per_hour": 2.5 for kind in RANDOM}


def test_random_schedule_depends_on_its_seed_only() -> None:
    assert random_faults({"seed": 1} | RATES) == random_faults({"seed": 1} | RATES)
    assert random_faults({"seed": 1} | RATES) != random_faults({"seed": 2} | RATES)


def test_random_schedule_has_about_as_many_faults_as_its_rates() -> None:
    faults = random_faults({"seed": 7, "for": "7d"} | RATES)
    counts = {kind: sum(fault.kind == kind for fault in faults) for kind in RANDOM}
    assert all(0.85 < count / (2.5 * 24 * 7) < 1.15 for count in counts.values())
    assert all(0 <= fault.at < 7 * DAY for fault in faults)
    assert {fault.form for fault in faults if fault.kind == "garbage"} == set(FORMS)


def test_random_faults_execute_orders_only_of_unknown_outcome() -> None:
    faults = random_faults({"seed": 7, "for": "7d", "order_errors_per_hour": 4, "order_drops_per_hour": 4})
    assert {fault.answer for fault in faults} == {"", *ANSWERS}
    assert {fault.by for fault in faults if fault.executed} == set(ORDER_DELAYS)
    assert not any(fault.by for fault in faults if not fault.executed)
    definite = {name for name, each in ANSWERS.items() if not each.unknown}
    assert not any(fault.executed for fault in faults if fault.answer in definite)
    executed = [fault.executed for fault in faults if fault.kind == "order_drop"]
    assert 0.4 < sum(executed) / len(executed) < 0.6


def test_rates_of_a_random_schedule_are_independent() -> None:
    alone = random_faults({"seed": 3, "mutes_per_hour": 2})
    both = random_faults({"seed": 3, "mutes_per_hour": 2, "drops_per_hour": 4})
    assert [fault for fault in both if fault.kind == "mute"] == alone
