"""Every venue keeps an account: money, margin, liquidation, fees in the bought asset, and funding."""

from decimal import Decimal

import pytest

from ocw_mcp.domain.market import Product
from ocw_mcp.domain.orders import (
    Accepted,
    Canceled,
    Filled,
    FundingPaid,
    OrderRef,
    OutsideCause,
    Purpose,
    Side,
)
from ocw_mcp.domain.reject_reasons import RejectReason
from tests.adapters.venues.conformance import Stage, hold, only, outside, refusal, send, traded

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def no_money(stage: Stage) -> RejectReason:
    """Return the reason with which the stage's venue rejects an order that the account cannot pay."""
    return RejectReason.INSUFFICIENT_BALANCE if stage.product is Product.SPOT else RejectReason.INSUFFICIENT_MARGIN


@pytest.mark.parametrize("limit", [None, "1000"])
async def test_unaffordable_entry_is_rejected(stage: Stage, limit: str | None) -> None:
    assert await refusal(stage, BUY, "100.1", limit=limit) is no_money(stage)
    assert stage.position() == 0


async def test_resting_limit_order_locks_money_until_cancelled(stage: Stage) -> None:
    await send(stage, BUY, "60", limit="990")
    assert await refusal(stage, BUY, "60", n=2) is (
        RejectReason.INSUFFICIENT_BALANCE if stage.product is Product.SPOT else RejectReason.INSUFFICIENT_MARGIN
    )
    await stage.cancel(OrderRef(1, Purpose.ENTRY))
    await send(stage, BUY, "60", n=3)
    assert traded(await stage.moves(1_000.0)) == 60


@only(Product.UM)
async def test_position_above_the_cap_of_its_leverage_is_rejected(stage: Stage) -> None:
    brackets = stage.brackets
    most = brackets.rows[0].max_leverage
    too_high = await refusal(stage, BUY, "10", leverage=most + 1)
    assert too_high in (RejectReason.POSITION_LIMIT, RejectReason.WRONG_SETTINGS)
    cap = brackets.rows[0].cap
    assert (
        await refusal(stage, BUY, str(cap / 1_000 + 1), n=2, leverage=most, limit="1000") is RejectReason.POSITION_LIMIT
    )
    assert isinstance(await send(stage, BUY, str(cap / 1_000), n=3, leverage=most, limit="1000"), Accepted)


@only("paper", Product.UM)
async def test_addition_to_a_position_uses_the_position_leverage(stage: Stage) -> None:
    await hold(stage, "90", leverage=1)
    assert await refusal(stage, BUY, "20", n=2, leverage=10) is RejectReason.INSUFFICIENT_MARGIN


@only(Product.UM)
@pytest.mark.parametrize(("side", "far"), [(BUY, 880.0), (SELL, 1_120.0)])
async def test_liquidated_position_has_no_stop_that_trades(stage: Stage, side: Side, far: float) -> None:
    before = stage.wallet()
    await hold(stage, "20", side, leverage=10)
    fees = before - stage.wallet()
    await send(stage, side.opposite, "20", Purpose.STOP, n=2, trigger="850" if side is BUY else "1150")
    reports = await stage.moves(far)
    (gone,) = outside(reports)
    assert (gone.cause, gone.side, gone.quantity) == (OutsideCause.LIQUIDATION, side.opposite, D(20))
    # The exchange keeps a reduce-only stop of a quantity; the engine cancels it.
    for canceled in (each for each in reports if isinstance(each, Canceled)):
        assert canceled.ref == OrderRef(2, Purpose.STOP)
        assert reports.index(gone) < reports.index(canceled)
    assert stage.position() == 0
    # No more is lost than the tenth of its cost that was its margin.
    assert D(1_990) < before - fees - stage.wallet() <= D("2002")
    assert await stage.moves(1_000.0) == []


@only(Product.SPOT)
async def test_spot_is_never_liquidated(stage: Stage) -> None:
    await hold(stage)
    assert await stage.moves(0.5) == []


@only(Product.SPOT)
@pytest.mark.parametrize(
    ("low", "high", "paid", "maker"),
    [(949.0, 1_000.0, D(950), False), (1_000.0, 1_050.01, D(1_050), True), (949.0, 1_051.0, D(950), False)],
    ids=["the stop", "the profit", "both"],
)
async def test_oco_fills_in_full_on_the_side_that_is_reached(
    stage: Stage, low: float, high: float, paid: Decimal, maker: bool
) -> None:
    held = await hold(stage)
    await send(stage, SELL, held, Purpose.STOP, trigger="950", take_at="1050")
    assert await stage.spans(951.0, 1_050.0, 1_000.0) == []
    (fill,) = await stage.spans(low, high, 1_000.0)
    assert isinstance(fill, Filled)
    assert (fill.quantity, fill.maker) == (D(held), maker)
    assert paid * D("0.998") < fill.price <= paid
    assert await stage.spans(900.0, 1_100.0, 1_000.0) == []


@only(Product.SPOT)
@pytest.mark.parametrize("take_at", ["1000", "960", "900"])
async def test_oco_with_a_target_not_above_the_price_is_rejected(stage: Stage, take_at: str) -> None:
    held = await hold(stage)
    assert (
        await refusal(stage, SELL, held, Purpose.STOP, trigger="950", take_at=take_at)
        is RejectReason.WOULD_TRIGGER_IMMEDIATELY
    )


@only("paper", Product.UM)
async def test_oco_on_futures_is_rejected(stage: Stage) -> None:
    held = await hold(stage)
    assert await refusal(stage, SELL, held, Purpose.STOP, trigger="950", take_at="1050") is RejectReason.MALFORMED


@only(Product.SPOT)
async def test_spot_buy_pays_fee_in_base_and_a_sale_in_quote(stage: Stage) -> None:
    before = stage.wallet()
    await send(stage, BUY, "2")
    (bought,) = await stage.moves(1_000.0)
    assert isinstance(bought, Filled)
    assert 0 < bought.base_fee == bought.fee / bought.price
    assert stage.position() == 2 - bought.base_fee
    await send(stage, SELL, "1", Purpose.EXIT)
    (sold,) = await stage.moves(1_000.0)
    assert isinstance(sold, Filled)
    assert sold.base_fee == 0 < sold.fee
    assert stage.wallet() < before


@only(Product.UM)
@pytest.mark.parametrize(("side", "sign"), [(BUY, -1), (SELL, 1)])
async def test_funding_moves_the_wallet_of_a_holder_by_the_rate(stage: Stage, side: Side, sign: int) -> None:
    assert await stage.settles(0.001) == []
    await stage.moves(1_000.0)
    await hold(stage, side=side)
    before = stage.wallet()
    (paid,) = await stage.settles(0.001)
    assert isinstance(paid, FundingPaid)
    assert paid.amount == sign * D(2) == stage.wallet() - before
