"""Events of the journal about the account at an exchange."""

from ocw_mcp.domain.events import DomainEvent
from ocw_mcp.domain.orders import Balance, OrderSeen, PositionSeen


class AccountFound(DomainEvent, frozen=True, tag="account.found"):
    """The account as the exchange reported it at `seen_at` (ms), when the book took it over before its first trade."""

    seen_at: int
    balances: tuple[Balance, ...]
    positions: tuple[PositionSeen, ...]
    orders: tuple[OrderSeen, ...]
