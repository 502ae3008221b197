"""An account under random faults: whatever happens at the exchange is reported once, and the readings agree with it."""

from decimal import Decimal
from random import Random  # noqa: TID251 - seeded
from typing import Any, NamedTuple

import pytest

from ocw_mcp.domain.orders import Canceled, Filled, FundingPaid, Order, OutsideFill, Rejected, Side, Transferred
from tests.support.binance_venue import BTC, VenueRig, entry, on_venue, stop

D = Decimal
pytestmark = pytest.mark.slow
SEEDS = 30
KINDS = (
    *("drop", "mute", "mute", "delay", "duplicate", "reorder", "garbage", "error", "limit", "ban", "refuse", "close"),
    *("order_drop", "order_drop", "order_error", "order_error", "order_hidden", "key_expired"),
)


class Trade(NamedTuple):
    """A trade as it was reported."""

    id: str
    symbol: str
    side: Side
    quantity: Decimal
    fee: Decimal


def random_faults(dice: Random) -> list[dict[str, Any]]:
    """Return faults of half an hour; none of them is active in its last five minutes."""
    found: list[dict[str, Any]] = []
    for _ in range(dice.randrange(4, 12)):
        at = dice.randrange(10, 20 * 60)
        kind = dice.choice(KINDS)
        fault: dict[str, Any] = {"kind": kind, "at": f"{at}s"}
        if kind not in ("drop", "close", "key_expired"):
            fault["for"] = f"{dice.randrange(2, 200)}s"
        if kind in ("mute", "delay", "duplicate", "reorder", "garbage"):
            fault["stream"] = dice.choice(["user@*", "user@ORDER_TRADE_UPDATE", "user@A*"])
        if kind == "delay":
            fault["by"] = f"{dice.randrange(1, 40)}s"
        if kind == "garbage":
            fault |= {"form": dice.choice(["nan", "zero", "schema", "malformed", "negative"]), "replaces": True}
        if kind == "error":
            path = dice.choice(["/fapi/*", "/fapi/v1/userTrades", "/fapi/v3/*", "/fapi/v1/income", "/fapi/v1/order"])
            fault |= {"path": path, "status": 503, "code": -1000, "msg": "Unknown error, please check your request"}
        if kind in ("order_drop", "order_error"):
            fault["executed"] = dice.random() < 0.5
            if fault["executed"] and dice.random() < 0.5:
                fault["by"] = f"{dice.randrange(1, 240)}s"
        if kind == "order_error":
            fault["answer"] = dice.choice(["timeout", "unknown"])
        if kind == "order_hidden":
            fault["by"] = f"{dice.randrange(1, 100)}s"
        found.append(fault)
    return found


async def act(rig: VenueRig, dice: Random, orders: list[Order]) -> None:
    """Let the book, the owner or the exchange do something."""
    n = len(orders) + 1
    match dice.randrange(9):
        case 0 | 1:
            side = dice.choice([Side.BUY, Side.SELL])
            orders.append(entry(n, "0.01", side))
            await rig.send(orders[-1])
        case 2 | 3:
            orders.append(entry(n, "0.01", limit=rig.price("0.9999")))
            await rig.send(orders[-1])
        case 4:
            side = Side.SELL if rig.held() > 0 else Side.BUY
            share = "0.999" if side is Side.SELL else "1.001"
            orders.append(stop(n, "0.01", rig.price(share), side))
            await rig.send(orders[-1])
        case 5 if orders:
            await rig.venue.cancel(dice.choice(orders).ref, rig.now)
        case 6:
            rig.fault("owner_order", symbol=dice.choice([BTC, "ETHUSDT"]), side="BUY", quantity="0.1")
        case 7:
            rig.fault(dice.choice(["owner_close", "owner_cancel", "deleverage"]), symbol=BTC)
        case 8:
            rig.fault("transfer", amount=dice.choice(["-20", "50"]))


def check(rig: VenueRig, orders: list[Order]) -> None:
    """Check that all reports together say what the exchange's books say."""
    state = rig.account.state
    sides = {order.ref: order.side for order in orders}
    fills = [Trade(each.fill_id, BTC, sides[each.ref], each.quantity, each.fee) for each in rig.of(Filled)]
    fills += [Trade(each.fill_id, each.symbol, each.side, each.quantity, each.fee) for each in rig.of(OutsideFill)]
    assert sorted((each.id, each.quantity) for each in fills) == sorted(rig.fills_at_exchange())
    ours = {order.id: order.client_id for order in state.orders.values()}
    named = {each.fill_id: each.ref.client_id("abc234") for each in rig.of(Filled)}
    assert all(named.get(str(fill.id), ours[fill.order]) == ours[fill.order] for fill in state.fills)
    assert {str(fill.id) for fill in state.fills if ours[fill.order].startswith("ocw-")} == set(named)
    cash = D(10_000) + sum((each.amount for each in rig.of(FundingPaid)), D(0))
    cash += sum((each.amount for each in rig.of(Transferred)), D(0))
    held: dict[str, Decimal] = {}
    for each in fills:
        held[each.symbol] = held.get(each.symbol, D(0)) + each.side.sign * each.quantity
        cash -= each.fee
    assert {symbol: value for symbol, value in held.items() if value} == {
        each.symbol: each.quantity for each in rig.seen.positions
    }
    realized = sum((each.amount for each in state.wallet.income if each.kind == "REALIZED_PNL"), D(0))
    assert cash + realized == state.wallet.balances["USDT"] == rig.seen.balances[0].total
    live = {each.client_id for each in state.open.values()} | {each.client_id for each in state.waiting.values()}
    assert {each.client_id for each in rig.seen.orders} == live
    for order in orders:
        over = any(isinstance(each, Canceled | Rejected) and each.ref == order.ref for each in rig.reports)
        done = rig.filled(order.ref) >= order.quantity
        alive = order.ref.client_id("abc234") in live
        assert over or done or alive, f"{order.ref}: {rig.about(order.ref)}"
        assert not (alive and done)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_that_happens_is_reported_under_random_faults(seed: int) -> None:
    dice = Random(seed)

    async def use(rig: VenueRig) -> None:
        orders: list[Order] = []
        until = rig.now + 22 * 60_000
        while rig.now < until:
            await act(rig, dice, orders)
            await rig.later(dice.randrange(1, 60))
        await rig.later(600)
        # Whatever would happen in the last moment could not be in the last reading.
        rig.fault("owner_cancel", symbol=BTC)
        await rig.later(40)
        check(rig, orders)

    on_venue(use, *random_faults(dice))
