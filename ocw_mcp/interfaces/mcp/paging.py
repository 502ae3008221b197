"""Pages of long lists: their size, their cursors, and the ids of orders in them."""

import re
from typing import Final

from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError

CONCISE: Final = 8_000
DETAILED: Final = 24_000
"""Characters that a text, or the JSON of a result, has at most; clients cut what is much longer by themselves."""


def cursor(tool: str, place: int | None) -> str | None:
    """Where the next page of a list begins."""
    return None if place is None else f"{tool}:{place}"


def order_ref(text: str) -> OrderRef:
    """The order of a name such as `3-e-0`. Raises RequestError."""
    found = re.fullmatch(r"([0-9]{1,9})-([estx])-([0-9]{1,9})", text.strip(), re.ASCII)
    if found is None:
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="an order's id such as 3-e-0",
            actual=repr(text[:40]),
            next_="orders_get shows the live orders",
        )
    return OrderRef(int(found[1]), Purpose(found[2]), int(found[3]))


def place(tool: str, text: str | None) -> int | None:
    """What a cursor of this tool says. Raises RequestError for any other text."""
    if text is None:
        return None
    found = re.fullmatch(rf"{tool}:([0-9]{{1,18}})", text)
    if found is None:
        raise RequestError(
            RequestCode.BAD_CURSOR,
            limit=f"a cursor such as {tool}:123",
            actual=repr(text[:40]),
            next_="pass the cursor of the last answer unchanged, or none for the newest",
        )
    return int(found[1])
