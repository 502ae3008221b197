"""Books funding: into the wallet, into the position that paid or got it, and into the journal."""

from ocw_mcp.domain.events import FundingBooked
from ocw_mcp.domain.orders import FundingPaid
from ocw_mcp.engine.account import Account
from ocw_mcp.engine.out import Out


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
