"""A person's statement about an order whose outcome is unknown, as the subject of the command `settle`."""

import re
from decimal import Decimal
from typing import Final, NamedTuple

from ocw_mcp.domain.orders import OrderRef, Purpose

_AMOUNT: Final = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_SUBJECT: Final = re.compile(rf"([0-9]{{1,15}})-([estx])-([0-9]{{1,9}}) (?:gone|filled ({_AMOUNT}) ({_AMOUNT}))")


class Settlement(NamedTuple):
    """The outcome of an order: a quantity (base asset) filled at a price (quote), or None for both if it is gone."""

    ref: OrderRef
    price: Decimal | None = None
    quantity: Decimal | None = None


def read_settlement(subject: str) -> Settlement | None:
    """Read `REF gone` or `REF filled PRICE QUANTITY`, with amounts above 0; return None if it is neither."""
    found = _SUBJECT.fullmatch(subject)
    if found is None:
        return None
    n, leg, revision, price, quantity = found.groups()
    ref = OrderRef(int(n), Purpose(leg), int(revision))
    if price is None:
        return Settlement(ref)
    given = Settlement(ref, Decimal(price), Decimal(quantity))
    return given if given.price and given.quantity else None
