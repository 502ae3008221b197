"""Books what moved money: fills, funding, trades that were not ours, and transfers.

Each goes into the ledger and the journal, and a position that it closed is a trade.
"""

from typing import Literal

from ocw_mcp.core.orders.ledger import Booked, Position
from ocw_mcp.domain.events import FundingBooked, OrderFilled, OutsideFilled, PositionClosed, TransferBooked
from ocw_mcp.domain.orders import Filled, FundingPaid, Order, OutsideFill, Side, Transferred
from ocw_mcp.domain.snapshot import TradeView
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.effect_buffer import EffectBuffer


def book_fill(order: Order, fill: Filled, account: Account, effects: EffectBuffer, now: int) -> Booked:
    """Book a fill that the table of orders has taken, and tell what it did to the position."""
    booked = account.ledger.book(
        order.symbol,
        order.side,
        fill.quantity,
        fill.price,
        fill.fee,
        now,
        leverage=order.leverage,
        base_fee=fill.base_fee,
    )
    account.activity.filled(fill.quantity * fill.price, fill.fee)
    effects.record(
        OrderFilled(
            ref=fill.ref,
            fill_id=fill.fill_id,
            symbol=order.symbol,
            side=order.side,
            quantity=fill.quantity,
            price=fill.price,
            fee=fill.fee,
            traded_at=fill.traded_at,
            maker=fill.maker,
            realised=booked.realised,
            position=booked.position,
            base_fee=fill.base_fee,
        )
    )
    if booked.closed is not None:
        book_trade(booked.closed, order.side, account, effects, now)
    return booked


def book_outside_fill(fill: OutsideFill, account: Account, effects: EffectBuffer, now: int) -> Booked | None:
    """Book a trade that no order of ours made, once; None where it was booked before."""
    if not account.first_time(f"fill {fill.symbol} {fill.fill_id}"):
        return None
    account.version += 1
    booked = account.ledger.book(fill.symbol, fill.side, fill.quantity, fill.price, fill.fee, now)
    account.activity.filled(fill.quantity * fill.price, fill.fee)
    effects.record(
        OutsideFilled(
            fill_id=fill.fill_id,
            symbol=fill.symbol,
            side=fill.side,
            quantity=fill.quantity,
            price=fill.price,
            fee=fill.fee,
            traded_at=fill.at,
            cause=fill.cause,
            realised=booked.realised,
            position=booked.position,
        )
    )
    if booked.closed is not None:
        book_trade(booked.closed, fill.side, account, effects, now)
    return booked


def book_transfer(transfer: Transferred, account: Account, effects: EffectBuffer) -> bool:
    """Book money that came or went, once. Whether it was booked."""
    if not account.first_time(f"transfer {transfer.transfer_id}"):
        return False
    account.version += 1
    account.transfer(transfer.amount)
    effects.record(TransferBooked(transfer.transfer_id, transfer.amount, transfer.at))
    return True


def book_trade(closed: Position, closing: Side, account: Account, effects: EffectBuffer, now: int) -> None:
    """Write a closed position down as a trade; `closing` is the side that closed it."""
    mfe, mae = (round(each, 6) for each in closed.excursions())
    effects.record(PositionClosed(closed.symbol, closed.opened_at, closed.pnl, closed.fees, closed.funding, mfe, mae))
    side: Literal["long", "short"] = "short" if closing is Side.BUY else "long"
    account.closed(TradeView(closed.symbol, side, closed.opened_at, now, closed.pnl))


def book_funding(paid: FundingPaid, account: Account, effects: EffectBuffer) -> bool:
    """Book one settlement, once: a venue may tell it again. Whether it was booked."""
    if paid.at <= account.funded_until.get(paid.symbol, -1):
        return False
    account.funded_until[paid.symbol] = paid.at
    account.version += 1
    account.ledger.fund(paid.symbol, paid.amount)
    effects.record(
        FundingBooked(
            symbol=paid.symbol,
            amount=paid.amount,
            rate=paid.rate,
            quantity=paid.quantity,
            mark=paid.mark,
            settled_at=paid.at,
            assumed=paid.assumed,
        )
    )
    return True
