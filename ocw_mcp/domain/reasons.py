"""Why an order was refused: one code each, with the sentence that explains it. The docs are generated from here."""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from ocw_mcp.domain.money import ZERO, plain


class RefusalCode(StrEnum):
    """The codes of a refusal. What they mean is in `MEANING`."""

    MALFORMED = "MALFORMED"
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    SYMBOL_NOT_ALLOWED = "SYMBOL_NOT_ALLOWED"
    ORDER_NOTIONAL = "ORDER_NOTIONAL"
    POSITION_SHARE = "POSITION_SHARE"
    GROSS_EXPOSURE = "GROSS_EXPOSURE"
    CORRELATED_EXPOSURE = "CORRELATED_EXPOSURE"
    OPEN_POSITIONS = "OPEN_POSITIONS"
    STOP_REQUIRED = "STOP_REQUIRED"
    RISK_PER_TRADE = "RISK_PER_TRADE"
    DAILY_LOSS = "DAILY_LOSS"
    LOSSES_IN_A_ROW = "LOSSES_IN_A_ROW"
    ENTRY_RATE = "ENTRY_RATE"
    TURNOVER = "TURNOVER"
    FEES = "FEES"
    REENTRY = "REENTRY"
    NOT_ACTIVE = "NOT_ACTIVE"
    STALE_DATA = "STALE_DATA"
    NO_PRICE = "NO_PRICE"
    SIDE_NOT_ALLOWED = "SIDE_NOT_ALLOWED"
    SPOT_CANNOT_SHORT = "SPOT_CANNOT_SHORT"
    BELOW_MINIMUM = "BELOW_MINIMUM"
    BAD_SIZE = "BAD_SIZE"
    OPPOSITE_POSITION = "OPPOSITE_POSITION"
    ALREADY_IN_POSITION = "ALREADY_IN_POSITION"
    NO_POSITION = "NO_POSITION"
    ENTRY_PENDING = "ENTRY_PENDING"
    EXIT_PENDING = "EXIT_PENDING"
    LOOSER_STOP = "LOOSER_STOP"
    BAD_TARGET = "BAD_TARGET"
    BAD_LIMIT = "BAD_LIMIT"
    LEVERAGE = "LEVERAGE"
    FREE_MARGIN = "FREE_MARGIN"
    LIQUIDATION = "LIQUIDATION"
    PRICE_COLLAR = "PRICE_COLLAR"
    PRICE_MOVED = "PRICE_MOVED"
    SPREAD = "SPREAD"
    DEPTH = "DEPTH"
    MANDATE = "MANDATE"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"
    NOT_APPROVED = "NOT_APPROVED"
    HELD_BY_PERSON = "HELD_BY_PERSON"
    FALLBACK = "FALLBACK"
    REDUCTION_RATE = "REDUCTION_RATE"
    PROTECTIVE = "PROTECTIVE"
    NO_ORDER = "NO_ORDER"
    NO_WAKE = "NO_WAKE"
    KEY_REUSED = "KEY_REUSED"
    CALLER_RATE = "CALLER_RATE"


QUOTING: Final = frozenset({RefusalCode.MALFORMED, RefusalCode.UNKNOWN_SYMBOL, RefusalCode.SYMBOL_NOT_ALLOWED})
"""Codes whose `actual` repeats what the caller wrote."""

MEANING: dict[RefusalCode, str] = {
    RefusalCode.MALFORMED: "this leg could not be read; the others were carried out",
    RefusalCode.UNKNOWN_SYMBOL: "this engine does not follow that symbol",
    RefusalCode.SYMBOL_NOT_ALLOWED: "the policy's symbols do not include this one",
    RefusalCode.ORDER_NOTIONAL: "the order is larger than one order may be",
    RefusalCode.POSITION_SHARE: "the position would be a larger share of equity than one position may be",
    RefusalCode.GROSS_EXPOSURE: "all positions and open entries together would exceed the exposure allowed",
    RefusalCode.CORRELATED_EXPOSURE: "symbols that move as one would be a larger bet one way than they may be",
    RefusalCode.OPEN_POSITIONS: "there are as many positions and open entries as there may be",
    RefusalCode.STOP_REQUIRED: "an entry needs a stop, on the losing side of the price and within the allowed distance",
    RefusalCode.RISK_PER_TRADE: "at its stop, with an allowance for a gap, the position would lose more than one may",
    RefusalCode.DAILY_LOSS: "today's loss has reached its limit; entries are closed until the next UTC day",
    RefusalCode.LOSSES_IN_A_ROW: "so many trades lost in a row that entries pause",
    RefusalCode.ENTRY_RATE: "as many entries were sent as may be in this time",
    RefusalCode.TURNOVER: "today's turnover, with this order, would exceed its limit",
    RefusalCode.FEES: "today's fees have reached their limit; entries are closed until the next UTC day",
    RefusalCode.REENTRY: "the symbol's last position was closed too short a time ago",
    RefusalCode.NOT_ACTIVE: "the desk is not ACTIVE; only what lowers risk passes",
    RefusalCode.STALE_DATA: "the last price is older than the feed's cadence plus slack",
    RefusalCode.NO_PRICE: "there is no price for this symbol yet",
    RefusalCode.SIDE_NOT_ALLOWED: "the policy does not allow positions this way",
    RefusalCode.SPOT_CANNOT_SHORT: "spot has no short; sell what is held, or trade futures",
    RefusalCode.BELOW_MINIMUM: "after rounding, the order is below the venue's smallest quantity or notional",
    RefusalCode.BAD_SIZE: "the size is not a share of equity above 0 and up to 1",
    RefusalCode.OPPOSITE_POSITION: "a position the other way is open; close it first",
    RefusalCode.ALREADY_IN_POSITION: "a position this way is open; ADD is the word for making it larger",
    RefusalCode.NO_POSITION: "there is no position to act on",
    RefusalCode.ENTRY_PENDING: "an entry on this symbol is on its way already",
    RefusalCode.EXIT_PENDING: "the position is being closed already",
    RefusalCode.LOOSER_STOP: "a stop is only ever replaced by an equal or tighter one",
    RefusalCode.BAD_TARGET: "a target lies on the winning side of the price",
    RefusalCode.BAD_LIMIT: "a limit is a price above 0, and its time runs out later than now",
    RefusalCode.LEVERAGE: "the leverage is above what policy or bracket allow, or not that of the open position",
    RefusalCode.FREE_MARGIN: "after this order too little of equity would be free of margin",
    RefusalCode.LIQUIDATION: "the position would be liquidated before its stop, or too near to it",
    RefusalCode.PRICE_COLLAR: "the limit lies too far from the mark price",
    RefusalCode.PRICE_MOVED: "the mark price has left the collar around the one that was shown",
    RefusalCode.SPREAD: "the best prices of the order book are too far apart",
    RefusalCode.DEPTH: "the order would take too much of what is offered near the best price",
    RefusalCode.MANDATE: "the mandate does not cover this: its amount, its symbols, or its time",
    RefusalCode.APPROVAL_REQUIRED: "a person has to approve an order like this one",
    RefusalCode.NOT_APPROVED: "a person said no, or nobody answered in time",
    RefusalCode.HELD_BY_PERSON: "a person has taken this symbol over; the agent that decides here leaves it alone",
    RefusalCode.FALLBACK: "the rules stand in for the agent here: they may not enter, or not against its last position",
    RefusalCode.REDUCTION_RATE: "as many closings and tighter stops were asked for as may be in a minute",
    RefusalCode.PROTECTIVE: "a protective order is never cancelled: tighten the stop, or close the position",
    RefusalCode.NO_ORDER: "there is no order in what was asked for, or none of that name is live",
    RefusalCode.NO_WAKE: "that wake waits for no such answer of this caller",
    RefusalCode.KEY_REUSED: "the key was used before, for something else",
    RefusalCode.CALLER_RATE: "this caller wrote as many notes or was refused as often as it may in a minute; ask later",
}


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order that did not pass: the code, the limit, what it was held against, and what would pass.

    `limit` and `actual` are texts for people, in the unit of the policy. `largest` is the largest quantity (base asset)
    of this very order that would pass every policy now; 0, which no text and no record shows, where no size helps.
    """

    code: RefusalCode
    limit: str
    actual: str
    largest: Decimal = ZERO

    def __str__(self) -> str:
        return self.told(self.limit, self.actual)

    def told(self, limit: str, actual: str) -> str:
        """It on one line, with limit and actual value as whoever shows it lets them be read."""
        helps = f" largest={plain(self.largest)}" if self.largest else ""
        return f"{self.code}: {MEANING[self.code]}. limit={limit} actual={actual}{helps}"
