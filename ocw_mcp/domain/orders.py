"""Orders: intents, references, and the reports of venues. `core.orders` tracks the state of each order."""

import re
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self

import msgspec

from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.reject_reasons import RejectReason as RejectReason

RULES: Final = "rules"
GUARD: Final = "guard"
"""The names under which the engine's own parts place orders: the rule strategy and the position guard."""
ATTACHED: Final = "attached"
CLAUDE: Final = "claude"
NOBODY: Final = "none"
"""The deciders of a book: attached clients, the autonomous loop with Claude, or none, which holds every symbol."""
MOST_TOKENS: Final = 64
"""The largest number of access tokens of one book, which bounds the data kept per caller."""


class Side(StrEnum):
    """The direction of an order."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell: the sign of a fill's effect on a position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The opposite side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """The type of an order. The two conditional types rest at the venue and trigger a market order."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    TAKE_PROFIT_MARKET = "take_profit_market"


class TriggerBy(StrEnum):
    """The price that triggers a conditional order."""

    MARK = "mark"
    """The mark price."""
    LAST = "last"
    """The price of the last trade."""


class Purpose(StrEnum):
    """The purpose of an order. Its letter is part of the client order id."""

    ENTRY = "e"
    STOP = "s"
    TARGET = "t"
    EXIT = "x"

    @property
    def reduces(self) -> bool:
        """Whether the order is sent reduce-only: true for every purpose except an entry."""
        return self is not Purpose.ENTRY


class SizeUnit(StrEnum):
    """The unit in which an entry's size was requested, and in which a refusal names the largest size."""

    QUANTITY = "quantity"
    """In the base asset."""
    SIZE = "size"
    """The notional as a share of equity."""
    RISK = "risk"
    """The loss at the stop as a share of equity."""


class OrderRef(msgspec.Struct, frozen=True, order=True):
    """The reference of an order within the book."""

    n: int
    leg: Purpose
    revision: int = 0

    def __str__(self) -> str:
        return f"{self.n}-{self.leg}-{self.revision}"

    def client_id(self, book: str) -> str:
        """Return the client order id, under which the venue knows the order; at most 36 characters."""
        return f"ocw-{book}-{self}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the reference that `str` wrote, or None for any other text."""
        found = _REF.fullmatch(text)
        return None if found is None else cls(int(found[1]), Purpose(found[2]), int(found[3]))


_REF: Final = re.compile(rf"(0|[1-9][0-9]{{0,17}})-([{''.join(Purpose)}])-(0|[1-9][0-9]{{0,8}})", re.ASCII)


def ref_of(client_id: str, book: str) -> OrderRef | None:
    """Return the order of a book that a client order id names; None for an id of another book or trader."""
    prefix = f"ocw-{book}-"
    return OrderRef.parse(client_id.removeprefix(prefix)) if client_id.startswith(prefix) else None


class OrderIntent(msgspec.Struct, frozen=True):
    """An order as requested, before the risk check. Quantity in the base asset, prices in quote currency."""

    idempotency_key: str
    """A repeated request with the same key gets the same answer. The guard's orders have no key."""
    principal: str
    """The origin of the request: `rules`, `agent`, `guard`, or a person's name."""
    symbol: str
    side: Side
    type: OrderType
    purpose: Purpose
    quantity: Decimal
    trigger_price: Decimal | None = None
    protect_at: Decimal | None = None
    """The stop price of an entry; an entry without a stop is refused."""
    target_at: Decimal | None = None
    wake_id: int | None = None
    limit_price: Decimal | None = None
    post_only: bool = False
    """Whether the venue must reject a limit order that would be a taker."""
    expires_at: int | None = None
    """The time (ms) at which the unfilled rest of the order is cancelled."""
    leverage: int | None = None
    """The leverage of the position that an entry opens; None means the policy's usual one."""
    approval: str = ""
    """The approval by a person: its id, or the interface on which it was given; empty without one."""
    tainted: bool = False
    """Whether the decider had read untrusted text of other authors. The `[tainted]` policy then applies as well."""
    quoted: Decimal | None = None
    """The mark price that the caller was shown, or None: an entry is refused if the market has since moved too far."""
    unit: SizeUnit = SizeUnit.QUANTITY
    """The unit in which the size of an entry was requested."""
    action: str = ""
    """The action of a refused leg that names no side, such as PROTECT; empty for every other order."""
    close_position: bool = False
    """As in `Order`."""

    @property
    def wanted(self) -> str:
        """The action of a refused leg that names no side, or the purpose of the order, in lower case."""
        return self.action.lower() or self.purpose.name.lower()


class Order(msgspec.Struct, frozen=True):
    """An order as a venue receives it: rounded to the venue's filters, and with a reference."""

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
    """Whether the venue cancels the part of a limit order that does not fill at once."""
    leverage: int = 1
    take_at: Decimal | None = None
    """The profit-taking price of a spot stop; both sides form an OCO with one reference."""
    trigger_by: TriggerBy | None = None
    """The price that triggers a conditional order; None means the mark price on futures, the last price on spot."""
    close_position: bool = False
    """Whether a stop on futures closes the whole position of its trigger time; `quantity` is that of its clearing."""


class Accepted(msgspec.Struct, frozen=True, tag="accepted"):
    """The venue has accepted the order. An order that the venue knows under several ids is reported with each."""

    ref: OrderRef
    venue_order_id: str
    at: int | None = None
    """A time (ms, of the venue) at which it was known that the venue has the order; None if the venue has no clock."""


NOT_JOURNALED: Final = RejectReason.NOT_JOURNALED


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The venue proved that it will never have the order, or OCW did not send it; `text` is in the venue's words."""

    ref: OrderRef
    reason: RejectReason
    text: str


class OutcomeUnknown(msgspec.Struct, frozen=True, tag="outcome_unknown"):
    """It is unknown whether the venue has the order. The budget stays reserved, and the order is not sent again."""

    ref: OrderRef
    why: str


class Filled(msgspec.Struct, frozen=True, tag="filled"):
    """A fill of an order. Price and fee (≥ 0) in quote currency; `traded_at` is the venue's time (ms)."""

    ref: OrderRef
    fill_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal
    traded_at: int
    maker: bool = False
    base_fee: Decimal = ZERO
    """The part of a spot purchase deducted as fee, in the base asset; `fee` is its value."""
    fee_asset: str = ""
    fee_amount: Decimal = ZERO
    """The asset in which the venue charged the fee, and how much of it; `fee` is its value when it was charged.

    Without a name, the fee was taken from the quote balance or, with `base_fee`, out of the bought quantity.
    """


class Canceled(msgspec.Struct, frozen=True, tag="canceled"):
    """The unfilled part of an order is no longer live at the venue; `why` gives the cause."""

    ref: OrderRef
    why: str
    filled: Decimal | None = None
    """The quantity that the order had filled in all, some of which may be reported later; None if it is not known."""


class CancelRefused(msgspec.Struct, frozen=True, tag="cancel_refused"):
    """The venue did not cancel an order: it does not know it, or the order is already over. Its fate is not known yet.

    The venue adapter looks the order up and reports what became of it.
    """

    ref: OrderRef
    why: str


class Triggered(msgspec.Struct, frozen=True, tag="triggered"):
    """The trigger of a conditional order was reached, and the venue gave the order that now trades a second id."""

    ref: OrderRef
    venue_order_id: str
    at: int | None = None
    """As in Accepted."""


class FundingPaid(msgspec.Struct, frozen=True, tag="funding_paid"):
    """Funding was settled on the position open at `at` (ms). `amount` (quote) is received; below 0 it is paid."""

    symbol: str
    amount: Decimal
    rate: Decimal | None
    """The funding rate of this settlement; above 0 longs pay shorts. None, as below, if the venue does not say."""
    quantity: Decimal | None
    mark: Decimal | None
    at: int
    assumed: bool = False
    """True if the funding rate was unknown; the venue then charges an assumed rate to longs and shorts alike."""
    transaction_id: str = ""
    """The venue's id of the payment, by which it is booked once; without an id, each time is booked once."""


class OutsideCause(StrEnum):
    """The cause of a trade on the account that no order of the engine made."""

    LIQUIDATION = "liquidation"
    DELEVERAGING = "auto-deleveraging"
    OTHER_TRADER = "somebody else"
    ENDED = "the end of its market"
    FOUND = "found at the exchange"
    """The position at the exchange differed from the book, which was corrected."""


class OutsideFill(msgspec.Struct, frozen=True, tag="outside_fill"):
    """A trade on the account that no order of the engine made. Price and fee in quote currency; `at` in ms."""

    fill_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    at: int
    cause: OutsideCause
    base_fee: Decimal = ZERO
    fee_asset: str = ""
    fee_amount: Decimal = ZERO
    """See `Filled`."""


class Transferred(msgspec.Struct, frozen=True, tag="transferred"):
    """A deposit (`amount` above 0, quote) or withdrawal of the account, neither a profit nor a loss."""

    transfer_id: str
    amount: Decimal
    at: int


class Balance(msgspec.Struct, frozen=True):
    """What the account has of one asset, in units of that asset: in all, and not locked by orders or margin."""

    asset: str
    total: Decimal
    free: Decimal


class PositionSeen(msgspec.Struct, frozen=True):
    """A position as the venue reports it. `quantity` (base asset) is signed; prices and margin in quote currency."""

    symbol: str
    quantity: Decimal
    entry_price: Decimal
    leverage: int = 1
    isolated: bool = True
    margin: Decimal = ZERO
    liquidation_price: Decimal | None = None


class OrderSeen(msgspec.Struct, frozen=True):
    """A live order as the venue reports it; `ref` is None for an order that is not of this book."""

    venue_order_id: str
    client_id: str
    ref: OrderRef | None
    symbol: str
    side: Side
    type: str
    """The venue's name of the type."""
    quantity: Decimal
    filled: Decimal
    reduces: bool
    """Whether the order can only reduce a position."""
    trigger_price: Decimal | None = None
    limit_price: Decimal | None = None


class AccountSeen(msgspec.Struct, frozen=True, tag="account_seen"):
    """The account as the venue reported it at `at` (ms). Every list is complete: a failed query gives no such report.

    All fills, funding and transfers until `at` have been reported before it.
    """

    at: int
    balances: tuple[Balance, ...]
    positions: tuple[PositionSeen, ...]
    """The positions of every symbol of the account that are not flat; empty on spot."""
    orders: tuple[OrderSeen, ...]


class Throttled(msgspec.Struct, frozen=True, tag="throttled"):
    """The venue refuses requests until `until` (ms), or its budget of requests is left to reductions until then."""

    until: int
    why: str


class VenueNoticeKind(StrEnum):
    """What a notice of the venue adapter means for trading."""

    DEGRADED = "degraded"
    """What the account does cannot be seen at once, such as while the user data stream is down: no entries."""
    CONNECTING = "connecting"
    """The run begins or goes on: no entries until an AccountSeen agrees with the books."""
    RESTORED = "restored"
    ONLY_REDUCTIONS = "only_reductions"
    """The venue takes only reductions."""
    HALT = "halt"
    """The key, the address or the settings of the account are wrong: a person has to mend it."""
    INCIDENT = "incident"
    """A fault that was handled, or a person's change of the account's settings."""


class VenueNotice(msgspec.Struct, frozen=True, tag="venue_notice"):
    """What a venue adapter reports about its own connection, or about the account's settings; one clause of text."""

    kind: VenueNoticeKind
    detail: str


OrderReport = Accepted | Rejected | OutcomeUnknown | Filled | Canceled | CancelRefused | Triggered
AccountReport = AccountSeen | Throttled | VenueNotice
VenueReport = OrderReport | FundingPaid | OutsideFill | Transferred | AccountReport
