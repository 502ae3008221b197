"""The account's part of a snapshot beside the positions: what happened since an answered wake, and what stands.

Money and prices in quote currency, quantities in the base asset, times in ms.
"""

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum

import msgspec

from ocw_mcp.domain.decision import WakeCondition
from ocw_mcp.domain.orders import OrderRef, Side
from ocw_mcp.domain.unknown import Reading, Unknown


class HappeningKind(StrEnum):
    """The kinds of happenings."""

    FILLED = "filled"
    """An order opened or enlarged a position."""
    REDUCED = "reduced"
    """An order closed a part of a position."""
    CLOSED = "closed"
    """A position was closed."""
    STOP_MOVED = "stop_moved"
    TARGET_MOVED = "target_moved"
    LAPSED = "lapsed"
    """An entry, or the rest of one, expired or was cancelled by the venue."""
    CANCELLED = "cancelled"
    """An entry, or the rest of one, was cancelled on request or by the engine."""
    NOT_CANCELLED = "not_cancelled"
    """The venue did not cancel an entry, which may still trade."""
    REJECTED = "rejected"
    """The venue rejected an entry, or a stop, which is then the cause."""
    REFUSED = "refused"
    """A leg of a decision was refused."""
    CONDITIONS_ENDED = "conditions_ended"
    """Wake conditions ended with the position of their symbol."""
    STATE = "state"
    """The trading state changed."""
    LIMIT = "limit"
    """A limit of the account blocks entries for a time."""
    COMMAND = "command"
    """An operator gave a command."""
    FUNDING = "funding"
    TRANSFER = "transfer"
    MARKET_ENDED = "market_ended"
    INCIDENT = "incident"


class Happening(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event that concerns the account; equal ones and the fills of one order are one happening."""

    at: int
    """The time of the last event of the happening."""
    kind: HappeningKind
    symbol: str = ""
    by: str = ""
    """The principal whose order or request it was; empty for the venue and the market."""
    cause: str = ""
    """One word: the action that was refused, the verb of a command, the new state, the limit, what closed a position
    (`stop`, `target`, `leg`, `client`, an exit rule, or the cause of a trade of the venue), why an entry lapsed."""
    code: str = ""
    """The code of a refusal or a rejection."""
    price: Decimal | None = None
    """The average price of the fills, the new price of a stop or a target, or the limit price of an entry."""
    previous: Decimal | None = None
    """The average price of the position before a reduction, or the previous price of a stop or a target."""
    quantity: Decimal | None = None
    """The change of the position, below 0 for sales; of an entry that ended, the quantity that did not fill."""
    filled: Decimal | None = None
    """The quantity that an entry filled before it ended."""
    amount: Decimal | None = None
    """The result of a closed position net of fees and funding, of a reduction net of its fee; the funding or the
    transfer received."""
    order: OrderRef | None = None
    began_at: int | None = None
    """The time at which the entry was sent, or the position was opened."""
    until: int | None = None
    """The time at which the effect ends."""
    detail: str = ""
    """One clause of the engine, which may name a client or an operator."""
    times: int = 1
    """The number of equal happenings."""

    def shown_without(self, held: Collection[str]) -> bool:
        """Return whether a decider that may not trade the symbols `held` sees the happening: it sees commands."""
        return self.symbol not in held or self.kind is HappeningKind.COMMAND


class RestingOrder(msgspec.Struct, frozen=True):
    """A live entry, or one that waits for an approval. `quantity` is the part that has not filled."""

    order: OrderRef | None
    """None until the entry is approved."""
    symbol: str
    side: Side
    quantity: Decimal
    filled: Decimal
    limit: Decimal | None
    """None for a market order that the venue has not answered yet."""
    stop: Decimal | None
    target: Decimal | None
    by: str
    sent_at: int | None
    expires_at: int | None
    """The time at which the entry is cancelled, or refused if it is not approved by then."""
    approval: str = ""
    """The id of the approval that the entry waits for."""
    cancelling: bool = False
    """Whether a cancel was requested."""
    thesis: str = ""
    """The reason of the decision of `by` that asked for the entry, which only `by` is shown; empty without one."""


class StandingCondition(msgspec.Struct, frozen=True):
    """A wake condition that waits; `reading` is the present value of its metric."""

    condition: WakeCondition
    by: str
    set_at: int
    expires_at: int
    reading: Reading = Unknown("not computed")
    with_position: bool = False
    """Whether the condition ends when the position of its symbol is closed."""


class GuardPlan(msgspec.Struct, frozen=True):
    """What the position guard will do: the mark prices and times at which it closes the position by itself."""

    max_loss_at: float
    take_profit_at: float
    trail_from: float
    """The price from which a part of the largest gain may be given back."""
    trail_at: float | None
    """The price at which the allowed part is given back; None until `trail_from` was reached."""
    max_hold_until: int
    deadline: int | None = None
    """The time at which the position is closed if it still has no stop; None while a stop covers it."""
    reduce_to: Decimal | None = None
    """The quantity to which the guard reduces the position, because the fills of its entries exceeded a limit."""
    stop_trail: Decimal | None = None
    """The distance at which the stop follows the best price, as a share of that price; None if it does not."""
    band: str = "hold"
    """The band of the last score of the rules: `hold`, `review` (the decider is woken) or `exit` (it is closed)."""
