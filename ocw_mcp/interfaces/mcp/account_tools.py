"""Tools about the account: status, portfolio, positions, orders, limits, and a check of an order."""

from decimal import Decimal
from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field, WithJsonSchema

from ocw_mcp.domain.decision import Action, Leg
from ocw_mcp.domain.requests import RequestCode, RequestError
from ocw_mcp.interfaces.mcp import account_view, paging
from ocw_mcp.interfaces.mcp.access import GetFacade, after_warm_up, meta
from ocw_mcp.interfaces.mcp.arguments import ASCII_NUMBER, ROUNDED
from ocw_mcp.interfaces.mcp.results import (
    CheckResult,
    OrdersResult,
    PoliciesResult,
    PortfolioResult,
    PositionsResult,
    StatusResult,
)
from ocw_mcp.interfaces.mcp.tool import OcwTool, make

LARGEST = 10**12
Amount = Annotated[
    Decimal,
    Field(gt=0, le=LARGEST, max_digits=30, decimal_places=12, allow_inf_nan=False),
    WithJsonSchema({"type": "number"}),
    ROUNDED,
    ASCII_NUMBER,
]
"""A price, a quantity or a share above 0, as a number or as text."""

HYPOTHETICAL = "asked"
"""The principal of an order that is only checked."""


def account_tools(get_facade: GetFacade) -> list[OcwTool]:
    """Return the tools; each call reads the engine of `get_facade`."""

    async def ocw_get_status() -> Annotated[CallToolResult, StatusResult]:
        """Status: mode, trading state (ACTIVE; REDUCING: no new risk; HALTED: no new risk until a person resumes),
        equity, today's loss, open positions, live orders. Start here."""
        facade = get_facade()
        return account_view.status(meta(facade), facade.status())

    async def portfolio_get() -> Annotated[CallToolResult, PortfolioResult]:
        """The account: equity, free margin, exposure, loss of the day, drawdown, fees and funding so far. Shares are
        fractions. Single positions: positions_get."""
        facade = get_facade()
        return account_view.portfolio(meta(facade), facade.portfolio())

    async def positions_get(symbol: str | None = None) -> Annotated[CallToolResult, PositionsResult]:
        """Open positions with stop, target, profit, best (mfe) and worst (mae) gain so far. A position without a stop
        is closed at unprotected_until."""
        facade = get_facade()
        name = facade.known(symbol) if symbol is not None else None
        held = [each for each in facade.positions() if name in (None, each.symbol)]
        return account_view.positions(meta(facade), facade, held)

    async def orders_get(
        status: Literal["live", "all", "refused"] = "live",
        limit: Annotated[int, Field(ge=1, le=50), ASCII_NUMBER] = 20,
        cursor: str | None = None,
    ) -> Annotated[CallToolResult, OrdersResult]:
        """Orders, newest first: live ones, all, or those that policies refused, with limit, actual value and the
        largest size that would have passed."""
        facade = get_facade()
        if status == "live":
            live = facade.orders()[::-1]
            begin = paging.place("live", cursor) or 0
            more = paging.cursor("live", begin + limit) if len(live) > begin + limit else None
            rows = [account_view.live_order(each) for each in live[begin : begin + limit]]
        elif status == "all":
            page = await facade.history.orders(limit, paging.place("orders", cursor))
            rows, more = [account_view.past_order(each) for each in page.rows], paging.cursor("orders", page.next)
        else:
            refused = await facade.history.refusals(limit, paging.place("refusals", cursor))
            rows = [account_view.refused_order(each) for each in refused.rows]
            more = paging.cursor("refusals", refused.next)
        return account_view.orders(meta(facade), rows, more, status)

    async def policies_get() -> Annotated[CallToolResult, PoliciesResult]:
        """All limits in force by their names in the policy file, and how much of each is used. No tool changes a
        limit."""
        facade = get_facade()
        return account_view.policies(meta(facade), facade.policy())

    async def risk_check_order(
        symbol: str,
        action: Literal["BUY", "SHORT", "ADD", "SELL", "COVER"],
        size: Annotated[Amount | None, Field(description="share of equity, 0.1 is 10%")] = None,
        quantity: Annotated[Amount | None, Field(description="base asset, instead of size")] = None,
        stop: Amount | None = None,
        target: Amount | None = None,
        limit: Annotated[Amount | None, Field(description="limit price")] = None,
    ) -> Annotated[CallToolResult, CheckResult]:
        """Check whether an order would pass now, by the code that places orders: each limit's verdict and the largest
        size that would pass. Entries need size or quantity, and a stop; SELL and COVER close the whole position."""
        facade = after_warm_up(get_facade)()
        chosen = Action(action)
        require_one_size(chosen, size, quantity, limit)
        # A quantity replaces the share, which is then any valid value.
        share = size if quantity is None else Decimal(1)
        leg = Leg(facade.known(symbol), chosen, size=share, stop=stop, target=target, limit=limit)
        return account_view.check(meta(facade), leg, facade.check(leg, HYPOTHETICAL, quantity))

    tools = (ocw_get_status, portfolio_get, positions_get, orders_get, policies_get, risk_check_order)
    return [make(each) for each in tools]


def require_one_size(
    action: Action, size: Decimal | None, quantity: Decimal | None, limit: Decimal | None = None
) -> None:
    """Require one of size and quantity for an entry, and neither, nor a limit, for a closing. Raises RequestError."""
    if not action.adds_risk and (beyond := beyond_closing(size, quantity, limit)):
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            what=f"{action} closes the whole position at the market",
            limit="no size, no quantity and no limit",
            actual=beyond,
            next_=f"call {action} without it",
        )
    if action.adds_risk and (size is None) == (quantity is None):
        raise RequestError(
            RequestCode.BAD_ARGUMENTS,
            limit="one of size and quantity",
            actual="none" if size is None else "both",
            next_="give the share of equity as size, or the base asset as quantity",
        )


def beyond_closing(size: Decimal | None, quantity: Decimal | None, limit: Decimal | None) -> str:
    """Return the arguments that a market closing of a whole position cannot have, such as `size=0.5`."""
    asked = {"size": size, "quantity": quantity, "limit": limit}
    return ",".join(f"{name}={value}" for name, value in asked.items() if value is not None)
