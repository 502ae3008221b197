"""The snapshot of a wake: complete, as of one time, and the same after a checkpoint."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.adapters.venues.paper import PaperVenue
from ocw_mcp.core.market.market import Market
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import Side
from ocw_mcp.domain.snapshot import (
    TRADES_SHOWN,
    DecisionRequest,
    Feasible,
    FormingCandle,
    Remark,
    Snapshot,
    TradeView,
)
from ocw_mcp.domain.time import HOUR, MINUTE
from ocw_mcp.domain.unknown import Unknown
from ocw_mcp.engine.config import EngineConfig
from ocw_mcp.engine.protection import Protection
from ocw_mcp.engine.snapshot import take_snapshot
from ocw_mcp.engine.step import Engine
from tests.support.markets import START, candle
from tests.support.runs import policies
from tests.support.wakes import wake

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
NOTE = Remark("wait", "claude", 1)
TRADE = TradeView(BTC, "long", START, START + HOUR, D("1.5"))


def taken(minutes: int, *, held: bool = False, **told: Any) -> Snapshot:
    """A snapshot after so many minutes of BTC; ETH has no candle yet."""
    venue = PaperVenue(Product.UM, D(10_000), 5 * MINUTE)
    config = EngineConfig(
        policies(), "hash", "prompts", Product.UM, MINUTE, (BTC, ETH), D(10_000), "test", venue.instrument
    )
    engine, market = Engine(config), Market(MINUTE, config.symbols)
    for place in range(minutes):
        price = 100 + place % 37 / 10
        market.symbols[BTC].close(candle(place, price, symbol=BTC))
    if held:
        ledger = engine.account.ledger
        ledger.book(BTC, Side.BUY, D(2), D(100), D("0.1"), START)
        ledger.mark(BTC, D(101))
        ledger.positions[BTC].see(95.0, 110.0)
        engine.guard.protections[BTC] = Protection(D(90), None, protected=True)
    now = START + minutes * MINUTE
    return take_snapshot(market, engine.guard, (wake(BTC, "close:1h"),), now, **told)


def test_the_snapshot_has_indicators_forming_candles_and_returns() -> None:
    view = taken(1_600).symbols[BTC]
    assert [values.timeframe for values in view.indicators] == ["15m", "1h", "4h"]
    assert [values.candles for values in view.indicators] == [106, 26, 6]
    assert [each.timeframe for each in view.forming] == ["1h", "4h"]
    hour = view.forming[0].candle
    assert isinstance(hour, FormingCandle)
    assert hour.opened_at == START + 26 * HOUR
    assert hour.close == hour.indicators.close == view.last
    assert hour.indicators.candles == 26
    assert isinstance(hour.indicators.rsi_14, float)
    assert all(isinstance(value, float) for value in (view.return_1h, view.return_4h, view.return_24h))


def test_snapshot_values_of_a_symbol_without_candles_are_unknown() -> None:
    view = taken(100).symbols[ETH]
    assert (view.last, view.age_ms) == (Unknown("no candle yet"), -1)
    assert view.return_24h == Unknown("no candle yet")
    assert all(isinstance(each.candle, Unknown) for each in view.forming)
    assert all(values.rsi_7 == Unknown("needs 8 candles, has 0") for values in view.indicators)


def test_a_position_shows_its_best_and_worst_gain() -> None:
    position = taken(10, held=True).positions[BTC]
    assert (position.unrealised, position.stop) == (D(2), D(90))
    assert position.mfe == pytest.approx(0.10)
    assert position.mae == pytest.approx(-0.05)


def test_a_snapshot_without_given_sizes_or_trades_has_none() -> None:
    snapshot = taken(10)
    assert isinstance(snapshot.symbols[BTC].feasible, Unknown)
    assert (snapshot.trades, snapshot.note, snapshot.limits) == ((), None, ())


def test_a_snapshot_has_the_given_sizes_note_limits_and_last_trades() -> None:
    sizes = {BTC: Feasible(D("0.5"), D(0), D("0.001")), ETH: Unknown("no price")}
    trades = tuple(msgspec.structs.replace(TRADE, pnl=D(place)) for place in range(TRADES_SHOWN + 3))
    limits = (("order", "at most 2000"),)
    snapshot = taken(10, sizes=sizes.__getitem__, trades=trades, note=NOTE, limits=limits)
    assert {name: view.feasible for name, view in snapshot.symbols.items()} == sizes
    assert [trade.pnl for trade in snapshot.trades] == [D(place) for place in range(3, TRADES_SHOWN + 3)]
    assert (snapshot.note, snapshot.limits) == (NOTE, limits)


@pytest.mark.parametrize("minutes", [1, 61, 1_600])
@pytest.mark.parametrize("encoding", [msgspec.msgpack, msgspec.json])
def test_a_decision_request_survives_encoding_unchanged(encoding: Any, minutes: int) -> None:
    told = {"sizes": lambda symbol: Feasible(D("0.5"), D("0.25"), D("0.001")), "trades": (TRADE,), "note": NOTE}
    for snapshot in (taken(minutes), taken(minutes, held=True, limits=(("stop", "within 5%"),), **told)):
        request = DecisionRequest(1, snapshot, START)
        assert encoding.decode(encoding.encode(request), type=DecisionRequest) == request
