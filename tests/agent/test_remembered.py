"""When a HOLD is repeated without asking: nothing that matters has changed, and what has does not matter."""

from typing import Any

import msgspec
import pytest

from ocw_mcp.agent.decision_cache import LONGEST_MS, remembered
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot, SymbolViews, WakeReason
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import NOON, RISING, holding, snapshot, view

REASONS = (WakeReason("BTCUSDT", ("close:1h", "outlier:15m z=+2.61")), WakeReason(None, ("timer",)))
THEN = msgspec.structs.replace(
    snapshot(view(RISING, position=holding("0.1")), view(symbol="ETHUSDT", last=50.0)), wake=REASONS
)


def woken(**changes: Any) -> Snapshot:
    """The same half an hour later, but for some changes."""
    return msgspec.structs.replace(THEN, **({"at": NOON + 30 * MINUTE} | changes))


def priced(first: Any, second: Any) -> dict[str, Any]:
    """With other last prices."""
    btc, eth = THEN.symbols.values()
    replace = msgspec.structs.replace
    views = (replace(btc, last=first, age_ms=4_000), replace(eth, last=second))
    return {"symbols": SymbolViews.of(views)}


def answer(now: Snapshot, version: int = 4) -> str | None:
    """What is remembered at a wake, where wake 7 was held on version 4 of the account."""
    return remembered(DecisionRequest(9, now, 0, version, DecisionRequest(7, THEN, 0, 4)))


def test_the_same_again_is_held_as_at_the_wake_before() -> None:
    assert answer(woken()) == "memory: as at wake 7, 30 min ago; nothing that matters has changed since"


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOON + LONGEST_MS},
        priced(100.19, 49.91),
        {"wake": (WakeReason("BTCUSDT", ("outlier:15m z=-4.20",)),)},
        {"wake": (*REASONS, WakeReason("ETHUSDT", ("close:1h",)))},
        {"note": "another note"},
    ],
    ids=["age", "prices that hardly moved", "fewer kinds of reasons", "whose reasons they are", "its own note"],
)
def test_what_does_not_matter_changes_nothing(changes: dict[str, Any]) -> None:
    assert answer(woken(**changes)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOON + LONGEST_MS + 1},
        priced(100.21, 50.0),
        priced(100.0, 49.89),
        priced(Unknown("no candle yet"), 50.0),
        {"symbols": dict([*THEN.symbols.items()][:1])},
        {"state": TradingState.REDUCING},
        {"limits": (("order.max_notional", "2000"),)},
        {"regime": "calm"},
        {"macro": "goldilocks"},
        {"wake": (WakeReason("BTCUSDT", ("close:4h",)),)},
    ],
)
def test_what_matters_is_asked_about_anew(changes: dict[str, Any]) -> None:
    assert answer(woken(**changes)) is None


def test_another_version_of_the_account_is_asked_about_anew() -> None:
    assert answer(woken(), version=5) is None


@pytest.mark.parametrize("reason", ["score:0.55 profit given back", "condition:price gt 100, now 101", "and 3 more"])
def test_a_review_or_a_condition_is_asked_about_even_where_it_was_there_before(reason: str) -> None:
    wake = (WakeReason("BTCUSDT", (reason,)),)
    then = msgspec.structs.replace(THEN, wake=wake)
    assert remembered(DecisionRequest(9, woken(wake=wake), 0, 4, DecisionRequest(7, then, 0, 4))) is None


def test_where_nothing_was_held_nothing_is_remembered() -> None:
    assert remembered(DecisionRequest(9, woken(), 0, 4)) is None
