"""The table of a policy file for the way in which entries without a limit price are carried out."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ocw_mcp.domain.policy_table import OPTIONAL, Table


class ExecutionPolicy(Table):
    """The way in which an entry without a limit price is carried out. Every entry is checked at its worst price, the
    last price with `order.price_allowance`, and no order of it may trade at a worse one. Each order of a chased entry
    has to pass every limit again; the entry ends if one does not, and with a cancel, a halt or unreliable data."""

    style: Annotated[Literal["taker", "maker_first"], OPTIONAL] = "taker"
    """`taker` sends one immediate-or-cancel order at the worst price. `maker_first` chases: it sends a post-only order
    at the best price of its own side, and moves it when that price moves away. Without a recent quote, as on a market
    of candles alone, every entry is a taker."""
    reprices: Annotated[int, Field(ge=0, le=20), OPTIONAL] = 4
    """The largest number of times that a chased entry gets a new price; a rejected order counts as one."""
    wait_s: Annotated[int, Field(ge=1, le=600), OPTIONAL] = 10
    """The seconds that a chased entry rests at each price."""
    follow: Annotated[Decimal, Field(gt=0, le=Decimal("0.1")), OPTIONAL] = Decimal("0.001")
    """The farthest that a chased entry follows the market away from its first price, as a share of that price."""
    at_end: Annotated[Literal["take", "give_up"], OPTIONAL] = "take"
    """What happens to the rest of a chased entry that has not filled after its last price: `take` sends it as an
    immediate-or-cancel order at the worst price at most, `give_up` leaves it."""
