"""The table of a policy file for positions and orders of the account that this book did not place."""

from typing import Annotated, Literal

from ocw_mcp.domain.policy_table import EARLIER, OPTIONAL, Table


class AdoptPolicy(Table):
    """The treatment of positions and orders on the account that are not this book's own: those that were there before
    the book, and those that a person or another program makes. No entry adds to such a position."""

    positions: Annotated[Literal["protect", "ignore", "close"], EARLIER, OPTIONAL] = "protect"
    """The treatment of a position: `protect` it with a stop at `stop.max_distance` and count it in every limit, but
    leave its exit to the stop, to the agent and to persons; `ignore` it, so that it is in no limit and has no stop; or
    `close` it. If it is added to a position of this book, the whole has a stop, and `close` sells the addition."""
    orders: Annotated[Literal["leave", "cancel"], EARLIER, OPTIONAL] = "leave"
    """The treatment of an order: `leave` it and report it, or `cancel` it."""
