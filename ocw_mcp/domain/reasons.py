"""Why an order was refused: a code, its meaning, the limit and the actual value."""

from decimal import Decimal
from typing import Final

import msgspec

from ocw_mcp.domain.explained import Explained
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.orders import SizeUnit


class RefusalCode(Explained):
    """Why an order was refused. Limits are declared in `core.risk`."""

    MALFORMED = "MALFORMED", "this leg could not be read; the others were carried out"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL", "this engine does not follow that symbol"
    SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED", "the policy's symbols do not include this one"
    ORDER_NOTIONAL = "ORDER_NOTIONAL", "the order is larger than the policy allows for one order"
    POSITION_SHARE = "POSITION_SHARE", "the position would be a larger share of equity than the policy allows"
    GROSS_EXPOSURE = "GROSS_EXPOSURE", "all positions and open entries together would exceed the policy's exposure"
    CORRELATED_EXPOSURE = (
        "CORRELATED_EXPOSURE",
        "symbols that move as one would be a larger bet in one direction than the policy allows",
    )
    OPEN_POSITIONS = "OPEN_POSITIONS", "there are as many positions and open entries as the policy allows"
    STOP_REQUIRED = (
        "STOP_REQUIRED",
        "a stop lies on the losing side of the price; an entry needs one, within the allowed distance",
    )
    RISK_PER_TRADE = (
        "RISK_PER_TRADE",
        "at its stop, with an allowance for a gap, the position would lose more than one position may",
    )
    DAILY_LOSS = "DAILY_LOSS", "today's loss has reached its limit; entries are closed until the next UTC day"
    LOSSES_IN_A_ROW = "LOSSES_IN_A_ROW", "so many trades in a row lost that entries pause"
    ENTRY_RATE = "ENTRY_RATE", "as many entries were sent as the policy allows in this time"
    TURNOVER = "TURNOVER", "today's turnover, with this order, would exceed its limit"
    FEES = "FEES", "today's fees have reached their limit; entries are closed until the next UTC day"
    REENTRY = "REENTRY", "the symbol's last position was closed too recently"
    NOT_ACTIVE = "NOT_ACTIVE", "the engine is not ACTIVE; only orders that reduce risk pass"
    NOT_RECONCILED = (
        "NOT_RECONCILED",
        "the books were not compared with the exchange's account yet, or differ from it, or it cannot be seen",
    )
    VENUE_BUSY = "VENUE_BUSY", "the exchange takes no entries for some time, because it got too many requests"
    ADOPTED = "ADOPTED", "the symbol has a position that this book did not open; no entry passes until it is flat"
    STALE_DATA = "STALE_DATA", "the last price is older than the feed's cadence plus slack"
    NO_PRICE = "NO_PRICE", "there is no price for this symbol yet"
    SIDE_NOT_ALLOWED = "SIDE_NOT_ALLOWED", "the policy does not allow positions this way"
    SPOT_CANNOT_SHORT = "SPOT_CANNOT_SHORT", "spot has no short; sell a position, or trade futures"
    BELOW_MINIMUM = "BELOW_MINIMUM", "after rounding, the order is below the venue's smallest quantity or notional"
    ABOVE_MAXIMUM = (
        "ABOVE_MAXIMUM",
        "the order, or the position that one stop has to close, is above the venue's largest quantity",
    )
    PRICE_BAND = "PRICE_BAND", "the venue does not accept a limit price so far from the mark price"
    UNUSED_FIELD = "UNUSED_FIELD", "this action does not use that field; leave it out"
    MISSING_FIELD = "MISSING_FIELD", "this action needs a field that the leg does not have"
    BAD_SIZE = "BAD_SIZE", "an entry has a size or a risk, a share of equity above 0 and up to 1"
    BAD_SHARE = "BAD_SHARE", "the share of the position to close is not above 0 and up to 1"
    BAD_TRAIL = "BAD_TRAIL", "the trailing distance is a share of the price, above 0, and keeps the stop off the price"
    OPPOSITE_POSITION = "OPPOSITE_POSITION", "a position the other way is open; close it first"
    ALREADY_IN_POSITION = "ALREADY_IN_POSITION", "a position this way is open; use ADD to make it larger"
    NO_POSITION = "NO_POSITION", "there is no position to act on"
    ENTRY_PENDING = "ENTRY_PENDING", "an entry on this symbol is on its way already"
    EXIT_PENDING = "EXIT_PENDING", "the position is being closed already"
    LOOSER_STOP = "LOOSER_STOP", "a stop is only ever replaced by an equal or tighter one"
    BAD_TARGET = "BAD_TARGET", "a target lies on the winning side of the price"
    BAD_LIMIT = "BAD_LIMIT", "a limit is a price above 0, and its time runs out later than now"
    LEVERAGE = "LEVERAGE", "the leverage is above the policy's or the bracket's, or is not that of the open position"
    FREE_MARGIN = "FREE_MARGIN", "after this order too little of equity would be free of margin"
    LIQUIDATION = "LIQUIDATION", "the position would be liquidated before its stop, or too near to it"
    PRICE_COLLAR = "PRICE_COLLAR", "the limit lies too far from the mark price"
    PRICE_MOVED = "PRICE_MOVED", "the mark price has left the collar around the price that was shown"
    SPREAD = "SPREAD", "the best prices of the order book are too far apart"
    DEPTH = "DEPTH", "the order would take too much of the quantity offered near the best price"
    ANOMALY = "ANOMALY", "the symbol's last hour is too unusual among the hours before it"
    MANDATE = "MANDATE", "the mandate does not cover this: its amount, its symbols, or its time"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED", "a person has to approve an order like this one"
    NOT_APPROVED = "NOT_APPROVED", "a person denied the order, or did not answer in time"
    HELD_BY_PERSON = "HELD_BY_PERSON", "a person controls this symbol; the agent that decides here leaves it alone"
    FALLBACK = "FALLBACK", "the rules stand in for the agent here: they may not enter, or not against its last position"
    REDUCTION_RATE = (
        "REDUCTION_RATE",
        "as many closings and tighter stops were requested as the policy allows in a minute",
    )
    PROTECTIVE = "PROTECTIVE", "a protective order is never cancelled: tighten the stop, or close the position"
    NO_ORDER = "NO_ORDER", "the request names no order, or none of that name is live"
    NO_WAKE = "NO_WAKE", "that wake expects no such answer from this caller"
    KEY_REUSED = "KEY_REUSED", "the key was used before, for something else"
    CALLER_RATE = (
        "CALLER_RATE",
        "this caller wrote as many notes, or was refused as often, as the policy allows in a minute; ask later",
    )


QUOTING: Final = frozenset({RefusalCode.MALFORMED, RefusalCode.UNKNOWN_SYMBOL, RefusalCode.SYMBOL_NOT_ALLOWED})
"""The codes whose `actual` repeats a text of the caller."""


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The refusal of an order: the code, the limit and the actual value as texts, in the unit of the policy.

    `largest` is the largest quantity (base asset) of this order that would pass every policy now; 0 if none would.
    """

    code: RefusalCode
    limit: str
    actual: str
    largest: Decimal = ZERO
    unit: SizeUnit = SizeUnit.QUANTITY
    """The unit in which the size was requested."""
    largest_in_unit: Decimal = ZERO
    """The size in `unit`, at most 1, that becomes `largest`; 0 for a quantity."""

    def __str__(self) -> str:
        return self.text(self.limit, self.actual)

    def text(self, limit: str, actual: str) -> str:
        """Return the refusal as one line that shows the texts `limit` and `actual`."""
        helps = f" largest={plain(self.largest)}" if self.largest else ""
        if self.largest and self.unit is not SizeUnit.QUANTITY:
            helps = f" largest {self.unit}={plain(self.largest_in_unit)}"
        return f"{self.code}: {self.code.meaning}. limit={limit} actual={actual}{helps}"
