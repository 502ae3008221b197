"""The decision cache: which changes let a HOLD be repeated, and which ask the model."""

from typing import Any

import msgspec
import pytest

from ocw_mcp.agent.fewer_calls import LONGEST_MS, repeated_hold
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.happenings import Happening, HappeningKind
from ocw_mcp.domain.snapshot import DecisionRequest, Snapshot, SymbolViews
from ocw_mcp.domain.state import TradingState
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import NOON, RISING, holding, snapshot, view
from tests.support.wakes import wake

REASONS = (wake("BTCUSDT", "close:1h", "outlier:15m z=+2.61"), wake(None, "timer"))
THEN = msgspec.structs.replace(
    snapshot(view(RISING, position=holding("0.1")), view(symbol="ETHUSDT", last=50.0)), wake=REASONS
)


def woken(**changes: Any) -> Snapshot:
    """Return the same snapshot half an hour later, with some changes."""
    return msgspec.structs.replace(THEN, **({"at": NOON + 30 * MINUTE} | changes))


def priced(first: Any, second: Any) -> dict[str, Any]:
    """Return the change to other last prices."""
    btc, eth = THEN.symbols.values()
    replace = msgspec.structs.replace
    return {"symbols": SymbolViews.of((replace(btc, last=first, age_ms=4_000), replace(eth, last=second)))}


def answer(now: Snapshot, version: int = 4) -> Cause | None:
    """Return the cause of the repeated HOLD, if wake 7 was HOLD at version 4 of the account."""
    return repeated_hold(DecisionRequest(9, now, 0, version, DecisionRequest(7, THEN, 0, 4)))


def test_unchanged_snapshot_repeats_the_models_last_hold() -> None:
    assert answer(woken()) == Cause(CauseKind.REMEMBERED, "at wake 7, 30 min ago")


@pytest.mark.parametrize(
    "changes",
    [
        {"at": NOON + LONGEST_MS},
        priced(100.19, 49.91),
        {"wake": (wake("BTCUSDT", "outlier:15m z=-4.20"),)},
        {"wake": (*REASONS, wake("ETHUSDT", "close:1h"))},
        {"note": "another note"},
    ],
    ids=["age", "small price moves", "fewer kinds of reasons", "symbol of the reason", "own note"],
)
def test_irrelevant_snapshot_change_repeats_the_models_last_hold(changes: dict[str, Any]) -> None:
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
        {"wake": (wake("BTCUSDT", "close:4h"),)},
        {"wake": (wake("BTCUSDT", "position_closed:stop -12.40"),)},
        {"since": (Happening(NOON, HappeningKind.INCIDENT, detail="the venue is slow"),)},
    ],
)
def test_relevant_snapshot_change_calls_the_model(changes: dict[str, Any]) -> None:
    assert answer(woken(**changes)) is None


def test_changed_account_version_calls_the_model() -> None:
    assert answer(woken(), version=5) is None


@pytest.mark.parametrize("reason", ["score:0.55 profit given back", "condition:price gt 100, now 101", "and 3 more"])
def test_position_review_or_wake_condition_always_calls_the_model(reason: str) -> None:
    again = (wake("BTCUSDT", reason),)
    then = msgspec.structs.replace(THEN, wake=again)
    assert repeated_hold(DecisionRequest(9, woken(wake=again), 0, 4, DecisionRequest(7, then, 0, 4))) is None


def test_model_is_called_if_there_is_no_earlier_hold() -> None:
    assert repeated_hold(DecisionRequest(9, woken(), 0, 4)) is None
