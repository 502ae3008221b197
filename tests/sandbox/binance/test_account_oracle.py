"""An independent recount: balance and position of the account follow from its trades, fees, funding and transfers."""

from decimal import Decimal
from fractions import Fraction
from random import Random  # noqa: TID251 - seeded generators of the tests' orders
from typing import Any

import pytest

from ocw_mcp.domain.time import MINUTE, SECOND
from tests.support.traders import ALGO, ORDER, Trader, floored, stated, stated_algo

PENNY = Fraction(1, 10**5)
"""What the roundings of single amounts to eight decimals may add up to."""


def recounted(trades: list[Any], income: list[Any]) -> tuple[Fraction, Fraction, Fraction]:
    """Return position, its cost, and the balance: trades move cash, and the balance is cash with the position's cost.

    The cost of a position changes in the proportion of its quantity when it is reduced.
    """
    held = cost = cash = Fraction(0)
    for row in trades:
        quantity = Fraction(row["qty"]) * (1 if row["side"] == "BUY" else -1)
        price = Fraction(row["price"])
        cash -= quantity * price + Fraction(row["commission"])
        reduced = min(abs(held), abs(quantity)) if held * quantity < 0 else Fraction(0)
        if reduced:
            cost *= 1 - reduced / abs(held)
        opened = abs(quantity) - reduced
        cost += opened * price * (1 if quantity > 0 else -1)
        held += quantity
    other = ("FUNDING_FEE", "TRANSFER", "INSURANCE_CLEAR")
    cash += sum(Fraction(row["income"]) for row in income if row["incomeType"] in other)
    return held, cost, cash + cost


def traded(seed: int, *faults: dict[str, Any], isolated: bool) -> Trader:
    """Return a trader after a hundred random orders, which are small and large, at the market and resting."""
    draw, trader = Random(seed), Trader(*faults)
    trader.account.transfer(Decimal(100_000), trader.now)
    if isolated:
        trader.ask("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    trader.ask("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=draw.choice((5, 20, 50)))
    for _ in range(100):
        side, quantity = draw.choice(("BUY", "SELL")), Decimal(draw.randrange(1, draw.choice((400, 6000)))) / 1000
        price = floored(trader.mark() + draw.randrange(-60, 60))
        more = {"reduceOnly": draw.choice(("true", "false", "false"))}
        kind = draw.randrange(6)
        if kind == 0:
            trader.send("POST", ALGO, **stated_algo(side, price, "STOP_MARKET", quantity=quantity, **more))
        elif kind == 1:
            trader.send("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
        elif kind == 2:
            trader.account.transfer(Decimal(draw.randrange(-300, 300)), trader.now)
        else:
            limit = price if kind < 5 else None
            force = {"timeInForce": draw.choice(("GTC", "GTC", "IOC", "GTX"))} if limit else {}
            trader.send("POST", ORDER, **stated(side, quantity, limit, **more, **force))
        trader.later(draw.choice((SECOND, MINUTE, 9 * MINUTE)))
    return trader


@pytest.mark.slow
@pytest.mark.parametrize("isolated", [False, True])
def test_balance_and_position_equal_a_recount_of_the_trades(isolated: bool) -> None:
    seen: set[str] = set()
    parts: set[int] = set()
    for seed in range(4):
        trader = traded(seed, isolated=isolated)
        trades = trader.get("/fapi/v1/userTrades", symbol="BTCUSDT", limit=1000)
        income = trader.get("/fapi/v1/income", startTime=0, limit=1000)
        held, cost, balance = recounted(trades, income)
        assert Fraction(trader.held()) == held, f"seed {seed}"
        assert abs(Fraction(trader.balance()) - balance) < PENNY, f"seed {seed}"
        assert Fraction(trader.balance()) == sum(Fraction(row["income"]) for row in income), f"seed {seed}"
        if held:
            (row,) = trader.get("/fapi/v3/positionRisk", symbol="BTCUSDT")
            assert abs(Fraction(row["entryPrice"]) - cost / held) < PENNY, f"seed {seed}"
            seen.add("long" if held > 0 else "short")
        for order in trader.get("/fapi/v1/allOrders", symbol="BTCUSDT", limit=1000):
            own = [Fraction(row["qty"]) for row in trades if row["orderId"] == order["orderId"]]
            assert sum(own) == Fraction(order["executedQty"]), f"seed {seed}"
            parts.add(len(own))
            seen.add(f"{order['type']} {order['status']}")
        seen |= {row["incomeType"] for row in income} | {"maker" if row["maker"] else "taker" for row in trades}
    # The orders were of all kinds, or the recount would prove little.
    assert {"COMMISSION", "REALIZED_PNL", "TRANSFER", "FUNDING_FEE", "maker", "taker", "long", "short"} <= seen
    assert {"LIMIT FILLED", "LIMIT EXPIRED", "LIMIT CANCELED", "MARKET FILLED"} <= seen
    assert {0, 1, 2, 3} <= parts


def test_recount_holds_with_faults_of_orders_and_actions_of_the_owner() -> None:
    often = {"at": "0s", "for": "1m", "every": "3m"}
    trader = traded(
        9,
        {"kind": "order_drop", **often, "executed": True, "by": "90s"},
        {"kind": "order_error", **often, "at": "90s", "answer": "unknown", "executed": True, "nth": 2},
        {"kind": "owner_order", "at": "5m", "every": "11m", "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.2"},
        {"kind": "owner_close", "at": "1h", "every": "1h", "symbol": "BTCUSDT"},
        {"kind": "deleverage", "at": "7m", "every": "31m", "symbol": "BTCUSDT", "share": "0.3"},
        {"kind": "transfer", "at": "9m", "every": "20m", "amount": "-50"},
        isolated=True,
    )
    trades = trader.get("/fapi/v1/userTrades", symbol="BTCUSDT", limit=1000)
    held, _, balance = recounted(trades, trader.get("/fapi/v1/income", startTime=0, limit=1000))
    assert Fraction(trader.held()) == held
    assert abs(Fraction(trader.balance()) - balance) < PENNY
    applied = trader.faulty.plan.applied
    assert all(applied[kind] > 2 for kind in ("order_drop", "owner_order", "owner_close", "deleverage", "transfer"))
    assert applied["order_error"]
