"""Orders as they are meant, named and answered. What became of one is kept by `core.orders`."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.domain.money import ZERO

RULES: Final = "rules"
GUARD: Final = "guard"
"""The principals that are not somebody with a mind of their own."""
ATTACHED: Final = "attached"
CLAUDE: Final = "claude"
"""Who decides where attached clients do, and where the loop does."""
MOST_TOKENS: Final = 64
"""Tokens of one book: for so many callers, and for those without a token, something is kept."""


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell: what a fill does to a signed position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that undoes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """How an order meets the market; the two conditional ones rest at the venue and trigger a market order.

    A limit order is good till it is cancelled.
    """

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    TAKE_PROFIT_MARKET = "take_profit_market"


class Purpose(StrEnum):
    """What an order is for. The letter is its leg in the client id."""

    ENTRY = "e"
    STOP = "s"
    TARGET = "t"
    EXIT = "x"

    @property
    def reduces(self) -> bool:
        """Everything but an entry is sent reduce-only."""
        return self is not Purpose.ENTRY


class OrderRef(msgspec.Struct, frozen=True, order=True):
    """An order's name inside the book: its counter in the journal, its leg and its revision."""

    n: int
    leg: Purpose
    revision: int = 0

    def __str__(self) -> str:
        return f"{self.n}-{self.leg}-{self.revision}"

    def client_id(self, book: str) -> str:
        """The id under which the venue knows the order; at most 36 characters."""
        return f"ocw-{book}-{self}"


class OrderIntent(msgspec.Struct, frozen=True):
    """What somebody wants, before anybody has checked it. Quantity in the base asset, prices in quote currency."""

    idempotency_key: str
    """The same key gives the same answer, however often it is sent. The guard's own orders have none."""
    principal: str
    """Who asked: `rules`, `agent`, `guard`, or a person's name."""
    symbol: str
    side: Side
    type: OrderType
    purpose: Purpose
    quantity: Decimal
    trigger_price: Decimal | None = None
    """Where a stop or a target triggers."""
    protect_at: Decimal | None = None
    """The stop that an entry brings along; a stop-less entry does not pass."""
    target_at: Decimal | None = None
    """The take-profit that an entry brings along, if any."""
    wake_id: int | None = None
    limit_price: Decimal | None = None
    """The worst price of a limit order."""
    post_only: bool = False
    """A limit order that is rather refused than pay as a taker."""
    expires_at: int | None = None
    """When (ms) what has not traded of it is taken off."""
    leverage: int | None = None
    """At which an entry opens its position; None is the policy's usual one."""
    approval: str = ""
    """A person's approval of this very order, if it has one: its id, or where they gave it."""
    tainted: bool = False
    """Whether whoever decided had read what others wrote: the stricter policies of the file hold, too."""
    quoted: Decimal | None = None
    """The mark price that whoever asks was shown; an entry passes only near it. None was shown none."""


class Order(msgspec.Struct, frozen=True):
    """An order as a venue receives it: already quantised, named, and allowed."""

    ref: OrderRef
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    reduce_only: bool
    trigger_price: Decimal | None = None
    limit_price: Decimal | None = None
    post_only: bool = False
    immediate: bool = False
    """Immediate or cancel: a limit order that trades at once, no worse than its limit. The venue cancels the rest."""
    leverage: int = 1
    """Of the position that an entry opens: its margin is its cost over this."""
    take_at: Decimal | None = None
    """A stop on spot that sells at a profit there instead, whichever comes first: an OCO, under one name."""


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The venue has the order."""

    ref: OrderRef
    venue_order_id: str


NOT_JOURNALED = "NOT_JOURNALED"
"""In place of a venue's code: the order was never sent, since the disk did not take its intent."""


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The venue proved that it does not have the order and never will. `code` is the venue's own, or NOT_JOURNALED."""

    ref: OrderRef
    code: str
    text: str


class OutcomeUnknown(msgspec.Struct, frozen=True, tag="outcome_unknown"):
    """Nobody knows whether the venue has the order: its budget stays reserved and nothing is sent again."""

    ref: OrderRef
    why: str


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """Part or all of an order traded. Price and fee in quote currency, fee ≥ 0; `traded_at` in ms, venue's time."""

    ref: OrderRef
    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    traded_at: int
    maker: bool = False
    base_fee: Decimal = ZERO
    """The part of a spot purchase that was kept as its fee, in the base asset; `fee` is what it is worth."""


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    """The rest of an order is gone from the book of the venue; `why` says who took it away."""

    ref: OrderRef
    why: str


class FundingPaid(msgspec.Struct, frozen=True, tag="funding_paid"):
    """Funding was settled on the position held at `at` (ms). `amount` (quote) is gained: below 0 it is paid.

    A venue tells each of a symbol's settlements once, in the order of their stamps.
    """

    symbol: str
    amount: Decimal
    rate: Decimal
    """Per settlement; above 0 longs pay shorts."""
    quantity: Decimal
    """The signed position that it was settled on."""
    mark: Decimal
    at: int
    assumed: bool = False
    """Nobody told the rate, and the venue assumed one that costs either side."""


class OutsideCause(StrEnum):
    """Who traded on the account without an order of ours."""

    LIQUIDATION = "liquidation"
    DELEVERAGING = "auto-deleveraging"
    SOMEBODY = "somebody else"
    ENDED = "the end of its market"


class OutsideFill(msgspec.Struct, frozen=True, tag="outside_fill"):
    """A trade on this account that no order of ours made. Price and fee in quote currency; `at` in ms."""

    fill_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: int
    cause: OutsideCause


class Transferred(msgspec.Struct, frozen=True, tag="transferred"):
    """Money came into the account or left it: `amount` (quote) above 0 came. It is neither profit nor loss."""

    transfer_id: str
    amount: Decimal
    at: int


OrderReport = Accepted | Rejected | OutcomeUnknown | Filled | Canceled
"""All that a venue can say about an order."""

VenueReport = OrderReport | FundingPaid | OutsideFill | Transferred
"""All that a venue can say."""
