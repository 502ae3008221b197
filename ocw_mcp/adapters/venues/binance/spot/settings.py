"""The settings of the account on spot, which have to be those that OCW needs."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from ocw_mcp.adapters.venues.binance.account import check_key, refused_key
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.adapters.venues.binance.spot.orders import USED_TYPES
from ocw_mcp.adapters.venues.binance.spot.queries import SpotQueries
from ocw_mcp.adapters.venues.binance.spot.wire import ListedSymbol, Listing, SpotAccountRow
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.symbols import assets_of

_UNKNOWN_SYMBOL: Final = 400
"""The status with which exchangeInfo refuses a symbol that it does not have."""
_GROUP: Final = "TRD_GRP_"
"""How the names of groups of symbols begin, for which the exchange also gives permissions on spot."""


async def check_spot(client: SignedClient, queries: SpotQueries, symbols: Sequence[str]) -> None:
    """Return if the account can be traded with; nothing is changed.

    Raises VenueRefused if key, account or symbols cannot be traded with, and QueryFailed.
    """
    if shared := shared_assets(symbols):
        raise VenueRefused(f"{'; '.join(shared)}; leave all but one of them out of the book's symbols, start again")
    try:
        account = await queries.account()
        if client.mode is Mode.LIVE:
            await check_key(queries, Product.SPOT)
    except QueryFailed as error:
        raise refused_key(error) or error from None
    listed = await _listed(client, symbols) if symbols else []
    problems = account_problems(account) + symbol_problems(listed, symbols)
    if problems:
        raise VenueRefused(f"{'; '.join(problems)}; correct it at the exchange or in the book's symbols, start again")


def account_problems(account: SpotAccountRow) -> list[str]:
    """Return a clause for each property of the account that OCW cannot trade with; empty if all are right."""
    found = []
    if not account.may_trade:
        found.append("the exchange does not let the account trade")
    if account.kind != "SPOT":
        found.append(f"the account is of the type {account.kind[:20]}, expected SPOT: OCW never borrows")
    elif account.permissions and not any(each == "SPOT" or each.startswith(_GROUP) for each in account.permissions):
        found.append(f"the account has the permissions {', '.join(account.permissions)[:80]}, expected SPOT")
    return found


def shared_assets(symbols: Sequence[str]) -> list[str]:
    """Return a clause for what two symbols of one book cannot share: a base asset; or for more than one quote asset.

    The position of a symbol is the account's balance of its base asset, which does not say to which symbol it belongs.
    The book counts its money in one currency.
    """
    assets = {symbol: assets_of(symbol) for symbol in symbols}
    found = []
    for base in sorted({each for each, _ in assets.values()}):
        names = sorted(symbol for symbol, each in assets.items() if each[0] == base)
        if len(names) > 1:
            found.append(f"{' and '.join(names)} have the same balance of {base}, which cannot be two positions")
    quotes = sorted({quote for _, quote in assets.values()})
    if len(quotes) > 1:
        found.append(f"the symbols are paid for in {' and '.join(quotes)}; a book on spot has one currency")
    return found


def symbol_problems(listed: Iterable[ListedSymbol], symbols: Iterable[str]) -> list[str]:
    """Return a clause for each symbol for which the exchange does not take all types of orders that OCW sends."""
    by_name, found = {each.symbol: each for each in listed}, []
    for symbol in symbols:
        row = by_name.get(symbol)
        if row is None or not row.spot:
            found.append(f"the exchange does not trade {symbol} on spot")
        elif missing := USED_TYPES - set(row.types):
            found.append(f"the exchange takes no orders of the type {', '.join(sorted(missing))} for {symbol}")
        elif not row.lists:
            found.append(f"the exchange takes no order lists for {symbol}: a stop and a target need one")
    return found


async def _listed(client: SignedClient, symbols: Sequence[str]) -> list[ListedSymbol]:
    """Return what exchangeInfo says of the symbols; the request is not signed. Raises QueryFailed."""
    names = msgspec.json.encode(list(symbols)).decode()
    try:
        async with asyncio.timeout(client.transport.timeout_s):
            answer = await client.transport.get("/api/v3/exchangeInfo", {"symbols": names})
        if answer.status not in (200, _UNKNOWN_SYMBOL):
            raise QueryFailed(f"/api/v3/exchangeInfo was answered {answer.status}")
        return msgspec.json.decode(answer.body, type=Listing).symbols if answer.status == 200 else []
    except (MarketUnreachable, TimeoutError, msgspec.MsgspecError) as error:
        raise QueryFailed(f"/api/v3/exchangeInfo could not be read: {error}"[:300]) from error
