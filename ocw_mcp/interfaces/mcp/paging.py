"""Pages of long lists: their size, their cursors, and the ids of orders in them."""

import re
from typing import Final

from ocw_mcp.domain.orders import OrderRef, Purpose
from ocw_mcp.domain.requests import RequestCode, RequestError

CONCISE: Final = 8_000
DETAILED: Final = 24_000
"""Largest number of characters of a text or of a result's JSON; clients cut longer answers."""


def cursor(tool: str, place: int | None) -> str | None:
    """Return the cursor of the next page of a list; None after the last page."""
    return None if place is None else f"{tool}:{place}"


def older(cursor: str | None) -> list[str]:
    """Return the last line of a page that is not the last one."""
    return [f"older: cursor={cursor}"] if cursor else []


def order_ref(text: str) -> OrderRef:
    """Return the order with an id such as `3-e-0`. Raises RequestError for a malformed id."""
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
    """Return the place in a cursor of this tool, or None without a cursor. Raises RequestError for any other text."""
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
