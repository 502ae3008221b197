"""A snapshot as a strategy reads it: symbols and positions by name, and readings that may be unknown."""

import copy
import pickle
from typing import Any, cast

import msgspec
import pytest

from ocw_mcp.domain.snapshot import Snapshot
from ocw_mcp.domain.unknown import Unknown
from tests.support.views import RISING, holding, snapshot, values, view

SEEN = snapshot(
    view(RISING, symbol="SOLUSDT"), view(values(RISING, timeframe="4h"), position=holding("-2"), last=Unknown("none"))
)


def test_snapshot_symbols_are_found_by_name_in_engine_order() -> None:
    assert list(SEEN.symbols) == ["SOLUSDT", "BTCUSDT"]
    assert SEEN.symbols["SOLUSDT"].last == 100.0
    assert "DOGEUSDT" not in SEEN.symbols


def test_snapshot_positions_omit_symbols_without_one() -> None:
    assert SEEN.positions == {"BTCUSDT": holding("-2")}
    assert not snapshot(view(RISING)).positions


def test_an_unknown_reading_is_falsy_and_a_price_is_truthy() -> None:
    assert not Unknown("no candle yet")
    assert not SEEN.symbols["BTCUSDT"].last
    assert SEEN.symbols["SOLUSDT"].last


@pytest.mark.parametrize(
    "change",
    [
        lambda symbols: symbols.pop("SOLUSDT"),
        lambda symbols: symbols.update(SOLUSDT=None),
        lambda symbols: symbols.clear(),
        lambda symbols: symbols.__setitem__("SOLUSDT", None),
        lambda symbols: symbols.__delitem__("SOLUSDT"),
        lambda symbols: symbols.__ior__({}),
    ],
)
def test_the_symbols_of_a_snapshot_cannot_be_changed(change: Any) -> None:
    for each in (SEEN, msgspec.msgpack.decode(msgspec.msgpack.encode(SEEN), type=Snapshot), copy.deepcopy(SEEN)):
        with pytest.raises(TypeError, match="a snapshot cannot be changed"):
            change(cast(Any, each.symbols))
        assert each == SEEN


def test_a_snapshot_survives_being_stored_and_pickled() -> None:
    assert msgspec.json.decode(msgspec.json.encode(SEEN), type=Snapshot) == SEEN
    assert pickle.loads(pickle.dumps(SEEN)) == SEEN


def test_a_reading_is_found_by_its_metric_name() -> None:
    sol = SEEN.symbols["SOLUSDT"]
    assert (sol.reading("price"), sol.reading("rsi_14@1h"), sol.reading("atr_14@1h")) == (100.0, 72.0, 1.0)
    assert sol.reading("funding_8h") == Unknown("not computed")
    assert SEEN.symbols["BTCUSDT"].reading("ema_9@4h") == 99.0


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("rsi_14@15m", "'rsi_14@15m' is not kept here; nearest: rsi_14@1h, rsi_7@1h, mfi_14@1h"),
        ("rsi_14", "'rsi_14' is no metric; nearest: rsi_14@1h, rsi_7@1h, mfi_14@1h"),
        ("luck@1h", "'luck@1h' is no metric; nearest: price, rsi_14@1h"),
        ("timeframe@1h", "'timeframe@1h' is no metric; nearest: price, rsi_14@1h"),
        ("closed_at@1h", "'closed_at@1h' is no metric; nearest: close@1h, price"),
        ("", "'' is no metric; nearest: price, rsi_14@1h"),
    ],
)
def test_a_missing_reading_is_unknown_and_names_the_nearest(metric: str, reason: str) -> None:
    assert SEEN.symbols["SOLUSDT"].reading(metric) == Unknown(reason)
