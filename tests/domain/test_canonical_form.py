"""The canonical form of an event, and the digest chain over all events."""

import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import (
    CommandTaken,
    DayOpened,
    DecisionMade,
    DomainEvent,
    OrderFilled,
    StateChanged,
    WakeRaised,
    kind_of,
)
from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.state import TradingState
from tests.support.wakes import wake

AT = 1_767_225_600_000


def decided(confidence: float, size: str = "0.25") -> DecisionMade:
    leg = Leg("BTCUSDT", Action.BUY, Decimal(size), stop=Decimal("95.50"), confidence=confidence)
    return DecisionMade(wake_id=7, decider="rules", thinking_ms=0, decision=Decision(legs=(leg,)))


def test_canonical_event_is_one_line_of_sorted_json() -> None:
    event = CommandTaken(command_id="c1", verb="halt", by="ann", after_frame=-1)
    expected = (
        b'[3,1767225600000,"command.taken",{"after_frame":-1,"by":"ann","command_id":"c1","subject":"","verb":"halt"}]'
    )
    assert canonical(3, AT, event) == expected


def test_json_keys_are_sorted_at_every_depth() -> None:
    line = canonical(1, AT, decided(0.5)).decode()
    for keys in (("decider", "decision", "thinking_ms", "wake_id"), ("action", "confidence", "size", "symbol")):
        places = [line.index(f'"{key}":') for key in keys]
        assert places == sorted(places)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10000", "10000"),
        ("10000.00", "10000"),
        ("1E+4", "10000"),
        ("0.10", "0.1"),
        ("1E-9", "0.000000001"),
        ("0E-8", "0"),
        ("-0.0", "0"),
        ("-12.3400", "-12.34"),
        ("100", "100"),
    ],
)
def test_decimal_is_plain_text_without_trailing_zeros(value: str, text: str) -> None:
    assert canonical(1, AT, DayOpened("2026-01-01", Decimal(value))).endswith(
        b'{"day":"2026-01-01","equity":"%s"}]' % text.encode()
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (1.0, "1"),
        (1 / 3, "0.3333333333"),
        (2 / 3, "0.6666666667"),
        (1e-12, "1e-12"),
        (12345678901.0, "1.23456789e+10"),
    ],
)
def test_float_keeps_ten_significant_digits(value: float, text: str) -> None:
    assert b'"confidence":"%s"' % text.encode() in canonical(1, AT, decided(value))


def test_float_digits_beyond_the_tenth_do_not_change_the_form() -> None:
    assert canonical(1, AT, decided(0.5)) == canonical(1, AT, decided(0.5 + 1e-13))
    assert canonical(1, AT, decided(0.5)) != canonical(1, AT, decided(0.5 + 1e-9))


def test_no_digit_of_a_decimal_is_dropped() -> None:
    assert canonical(1, AT, decided(0.5, "0.25")) != canonical(1, AT, decided(0.5, "0.25000000000000000001"))


def test_tuples_enums_structs_and_none_become_plain_json() -> None:
    woken = WakeRaised(1, (wake("BTCUSDT", "close:4h"), wake(None, "timer")))
    assert canonical(1, 5, woken) == (
        b'[1,5,"wake.raised",{"reasons":[{"reasons":[{"kind":"close","subject":"4h"}],"symbol":"BTCUSDT"},'
        b'{"reasons":[{"kind":"timer"}],"symbol":null}],"wake_id":1}]'
    )
    changed = StateChanged(TradingState.ACTIVE, TradingState.HALTED, "halted by ann")
    assert canonical(1, 5, changed) == (
        b'[1,5,"state.changed",{"after":"HALTED","before":"ACTIVE","why":"halted by ann"}]'
    )


def test_canonical_fill_has_the_order_ref_without_book_name() -> None:
    fill = OrderFilled(
        ref=OrderRef(4, Purpose.STOP, 2),
        fill_id="paper-9-1",
        symbol="ETHUSDT",
        side="sell",
        quantity=Decimal("0.500"),
        price=Decimal("3000.10"),
        fee=Decimal("0.75"),
        traded_at=AT,
        maker=False,
        realised=Decimal("-3"),
        position=Decimal("0.000"),
    )
    line = canonical(12, AT, fill)
    assert b'"ref":{"leg":"s","n":4,"revision":2}' in line
    assert b'"quantity":"0.5"' in line
    assert b'"position":"0"' in line
    assert b"ocw-" not in line


def test_canonical_event_contains_its_kind_once() -> None:
    event: DomainEvent = DayOpened("2026-01-01", Decimal(1))
    assert kind_of(event) == "day.opened"
    assert canonical(1, AT, event).count(b"day.opened") == 1
    assert b'"kind"' not in canonical(1, AT, event)


def test_chain_resumed_from_a_digest_equals_an_unbroken_chain() -> None:
    lines = [canonical(seq, AT + seq, DayOpened("2026-01-01", Decimal(seq))) for seq in range(1, 6)]
    whole = GENESIS
    for line in lines:
        whole = chain(whole, line)
    first = chain(chain(GENESIS, lines[0]), lines[1])
    resumed = chain(chain(chain(first, lines[2]), lines[3]), lines[4])
    assert resumed == whole
    assert whole != GENESIS
    assert len(whole) == 64


def test_digest_covers_the_previous_digest_and_the_line() -> None:
    line = b'[1,5,"day.opened",{}]'
    assert chain(GENESIS, line) == hashlib.sha256(GENESIS.encode() + line).hexdigest()


def test_digest_depends_on_order_sequence_time_and_content() -> None:
    one, two = DayOpened("2026-01-01", Decimal(1)), DayOpened("2026-01-02", Decimal(2))
    forward = chain(chain(GENESIS, canonical(1, 5, one)), canonical(2, 6, two))
    variants = {
        forward,
        chain(chain(GENESIS, canonical(2, 6, two)), canonical(1, 5, one)),
        chain(chain(GENESIS, canonical(1, 5, one)), canonical(3, 6, two)),
        chain(chain(GENESIS, canonical(1, 5, one)), canonical(2, 7, two)),
        chain(chain(GENESIS, canonical(1, 5, two)), canonical(2, 6, two)),
    }
    assert len(variants) == 5


_PROGRAM = """
from decimal import Decimal
from ocw_mcp.domain.canonical import GENESIS, canonical, chain
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.events import DecisionMade
legs = tuple(
    Leg(symbol, Action.BUY, Decimal("0.10"), confidence=0.1 + 0.2, signals=("adx", "rsi"))
    for symbol in ("BTCUSDT", "ETHUSDT")
)
print(chain(GENESIS, canonical(1, 5, DecisionMade(1, "rules", 0, Decision(legs=legs)))))
"""


def test_digest_does_not_depend_on_the_hash_seed() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "4242")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_canonical_form_of_an_old_row_keeps_removed_fields() -> None:
    event = CommandTaken(command_id="c1", verb="halt", by="ann", after_frame=-1)
    stored = {"kind": "command.taken", "command_id": "c1", "verb": "halt", "by": "ann", "after_frame": -1, "old": "0"}
    assert canonical(3, AT, event, stored) == (
        b'[3,1767225600000,"command.taken",{"after_frame":-1,"by":"ann","command_id":"c1","old":"0","verb":"halt"}]'
    )


def test_a_changed_value_changes_the_canonical_form() -> None:
    event = decided(0.5)
    stored = json.loads(msgspec.json.encode(event))
    assert canonical(3, AT, event, stored) == canonical(3, AT, event)
    assert canonical(3, AT, decided(0.6), stored) != canonical(3, AT, event)
