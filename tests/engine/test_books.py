"""The engine uses a valid order book until it is too old."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ocw_mcp.core.risk.account import AccountView
from ocw_mcp.domain.market import OrderBook
from ocw_mcp.domain.time import MINUTE
from ocw_mcp.engine.price_board import Liquidity
from ocw_mcp.engine.step import Engine
from tests.support.markets import START, ListFeed, path
from tests.support.runs import Run

D = Decimal
NAN, ENDLESS = float("nan"), float("inf")
GOOD = OrderBook("BTCUSDT", START + MINUTE, 99.9, 100.1, bid_depth=5.0, ask_depth=7.5)


async def told(*books: OrderBook) -> Run:
    return await Run(ListFeed(path([100.0] * 3), books=books)).go()


def seen(run: Run, at: int = START + 3 * MINUTE) -> AccountView:
    view = run.engine.manager.view("BTCUSDT", at)
    assert view is not None
    return view


async def test_the_risk_officer_gets_spread_and_depths_of_the_order_book() -> None:
    view = seen(await told(GOOD))
    assert (view.spread, view.bid_depth, view.ask_depth) == (D("0.002"), D(5), D("7.5"))


async def test_the_risk_officer_gets_none_for_an_unknown_spread_or_depth() -> None:
    view = seen(await told())
    assert (view.spread, view.bid_depth, view.ask_depth) == (None, None, None)
    view = seen(await told(msgspec.structs.replace(GOOD, bid_depth=None, ask_depth=None)))
    assert (view.spread, view.bid_depth, view.ask_depth) == (D("0.002"), None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"bid": NAN},
        {"ask": NAN},
        {"ask": ENDLESS},
        {"bid": 0.0},
        {"bid": -1.0},
        {"bid": 100.2},
        {"bid": 100.1},
        {"bid_depth": NAN},
        {"ask_depth": -1.0},
        {"ask_depth": ENDLESS},
        {"at": START},
    ],
)
async def test_an_invalid_or_older_order_book_is_ignored(changes: dict[str, Any]) -> None:
    run = await told(GOOD)
    run.engine.prices.take_book(msgspec.structs.replace(GOOD, **{"at": START + 2 * MINUTE} | changes))
    assert run.engine.prices.state() == {"BTCUSDT": GOOD}


async def test_an_order_book_of_an_unknown_symbol_is_not_stored() -> None:
    run = await told(GOOD)
    run.engine.prices.take_book(msgspec.structs.replace(GOOD, symbol="NOSUCH"))
    assert list(run.engine.prices.state()) == ["BTCUSDT"]


async def test_an_order_book_older_than_the_age_limit_is_unknown() -> None:
    run = await told(GOOD)
    last = GOOD.at + run.engine.prices.age_limit_ms
    assert run.engine.prices.book("BTCUSDT", last) == Liquidity(D("0.002"), D(5), D("7.5"))
    assert run.engine.prices.book("BTCUSDT", last + 1) is None


async def test_order_book_survives_a_restart() -> None:
    run = await told(GOOD)
    again = Engine(run.config)
    again.restore(run.engine.state())
    assert again.prices.book("BTCUSDT", START + 3 * MINUTE) == run.engine.prices.book("BTCUSDT", START + 3 * MINUTE)
    assert again.state() == run.engine.state()
