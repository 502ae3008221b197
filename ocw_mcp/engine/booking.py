"""Books what moved money, fills and funding: into the ledger, into the journal, and a closed position as a trade."""

from ocw_mcp.core.orders.ledger import Booked
from ocw_mcp.domain.events import FundingBooked, OrderFilled, PositionClosed
from ocw_mcp.domain.orders import Filled, FundingPaid, Order, Side
from ocw_mcp.domain.snapshot import TradeView
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.out import Out


def book_fill(order: Order, fill: Filled, account: Account, out: Out, now: int) -> Booked:
    """Book a fill that the table of orders has taken, and tell what it did to the position."""
    booked = account.ledger.book(order.symbol, order.side, fill.quantity, fill.price, fill.fee, now)
    account.activity.filled(fill.quantity * fill.price, fill.fee)
    out.record(
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
        )
    )
    if booked.closed is not None:
        closed = booked.closed
        out.record(PositionClosed(order.symbol, closed.opened_at, closed.pnl, closed.fees, closed.funding))
        account.closed(
            TradeView(order.symbol, "short" if order.side is Side.BUY else "long", closed.opened_at, now, closed.pnl)
        )
    return booked


def book_funding(paid: FundingPaid, account: Account, out: Out) -> bool:
    """Book one settlement, once: a venue may tell it again. Whether it was booked."""
    if paid.at <= account.funded_until.get(paid.symbol, -1):
        return False
    account.funded_until[paid.symbol] = paid.at
    account.version += 1
    account.ledger.fund(paid.symbol, paid.amount)
    out.record(
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
