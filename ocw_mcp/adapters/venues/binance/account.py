"""The account as one report, from the rows of its queries; and its settings, which have to be those that OCW needs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from ocw_mcp.adapters.venues.binance.errors import Refused
from ocw_mcp.adapters.venues.binance.identities import Identities
from ocw_mcp.adapters.venues.binance.queries import Queries, QueryFailed
from ocw_mcp.adapters.venues.binance.rest_wire import (
    AccountConfig,
    AlgoRow,
    BalanceRow,
    KeyRights,
    OrderRow,
    PositionRow,
    SymbolConfig,
)
from ocw_mcp.adapters.venues.binance.terms import ISOLATED, SET_UP, Terms
from ocw_mcp.domain.errors import VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO
from ocw_mcp.domain.orders import (
    AccountSeen,
    Balance,
    Order,
    OrderRef,
    OrderSeen,
    OrderType,
    PositionSeen,
    RejectReason,
    Side,
)
from ocw_mcp.domain.state import Mode

ONE_WAY: Final = "BOTH"
_TYPES: Final = {"MARKET": OrderType.MARKET, "LIMIT": OrderType.LIMIT, "LIMIT_MAKER": OrderType.LIMIT}
"""The types of orders without a trigger, by their names at the exchange."""


def account_seen(
    at: int,
    balances: Sequence[BalanceRow],
    positions: Sequence[PositionRow],
    orders: Iterable[OrderRow],
    algos: Iterable[AlgoRow],
    identities: Identities,
    terms: Terms,
) -> AccountSeen:
    """Return the account at a time (ms)."""
    return AccountSeen(
        at,
        tuple(Balance(row.asset, row.total, row.free) for row in balances if row.total or row.free),
        tuple(_position(row, terms) for row in positions if row.quantity),
        tuple(order_seen(row, identities) for row in orders) + tuple(algo_seen(row, identities) for row in algos),
    )


def _position(row: PositionRow, terms: Terms) -> PositionSeen:
    known = terms.is_isolated(row.symbol)
    isolated = row.isolated_wallet > ZERO if known is None else known
    return PositionSeen(
        row.symbol,
        row.quantity,
        row.entry,
        terms.leverage(row.symbol),
        isolated,
        row.isolated_wallet if isolated else row.initial_margin,
        row.liquidation if row.liquidation > ZERO else None,
    )


def order_seen(row: OrderRow, identities: Identities) -> OrderSeen:
    """Return an open order. One that an algo order became has the reference of the algo order."""
    identity = identities.add(row.symbol, row.id, row.client_id)
    return OrderSeen(
        str(row.id),
        row.client_id,
        identity.ref,
        row.symbol,
        Side(row.side.lower()),
        row.type,
        row.quantity,
        row.executed,
        row.reduce_only or row.closes,
        row.stop_price or None,
        row.price or None,
    )


def algo_seen(row: AlgoRow, identities: Identities) -> OrderSeen:
    """Return an algo order that waits; one that closes the position has no quantity."""
    return OrderSeen(
        str(row.id),
        row.client_id,
        identities.ref(row.client_id),
        row.symbol,
        Side(row.side.lower()),
        row.type,
        row.quantity,
        ZERO,
        row.reduce_only or row.closes,
        row.trigger or None,
        row.price or None,
    )


def order_of(seen: OrderSeen, ref: OrderRef) -> Order:
    """Return a listed order of this book that is not known here any more, so that it can be looked up and cancelled."""
    conditional = OrderType.TAKE_PROFIT_MARKET if seen.type.startswith("TAKE_PROFIT") else OrderType.STOP_MARKET
    # The client id of an order in a list of two has a suffix after the reference.
    listed = not seen.client_id.endswith(str(ref))
    kind = OrderType.STOP_MARKET if listed else _TYPES.get(seen.type, conditional)
    return Order(
        ref,
        seen.symbol,
        seen.side,
        kind,
        seen.quantity,
        reduce_only=ref.leg.reduces,
        trigger_price=seen.trigger_price,
        limit_price=seen.limit_price,
        take_at=(seen.limit_price or seen.trigger_price) if listed else None,
        close_position=not seen.quantity,
    )


async def check_account(queries: Queries, mode: Mode, symbols: Sequence[str], keys: "KeyQueries") -> list[SymbolConfig]:
    """Return leverage and margin type of all symbols, if the account can be traded with; nothing is changed.

    `keys` asks for the rights of the key. Raises VenueRefused if key or settings are wrong, and QueryFailed.
    """
    try:
        config = await queries.account_config()
        rows = await queries.symbol_configs()
        positions = await queries.positions()
        if mode is Mode.LIVE:
            await check_key(keys, Product.UM)
    except QueryFailed as error:
        raise refused_key(error) or error from None
    problems = settings_problems(config, {row.symbol: row for row in rows}, symbols, positions)
    if problems:
        raise VenueRefused(f"{'; '.join(problems)}; {SET_UP}, which sets what can be set, and start again")
    return rows


def refused_key(error: QueryFailed) -> VenueRefused | None:
    """Return what to raise for a query that failed because of the key; None if it failed for another reason."""
    cause = error.__cause__
    if not isinstance(cause, Refused) or cause.verdict.reason is not RejectReason.NOT_AUTHORISED:
        return None
    text = "the exchange refuses the key, or its use from this address"
    return VenueRefused(f"{text}: {cause}; check the key at the exchange, and run `ocw connect`")


class KeyQueries(Protocol):
    """What the check of a key needs."""

    async def key_rights(self) -> KeyRights:
        """Return the rights of the API key. Raises QueryFailed."""


async def check_key(queries: KeyQueries, product: Product) -> None:
    """Check that a live key can trade a product and cannot move money: without an answer, no live book starts.

    Raises VenueRefused if the key has the wrong rights, or if the exchange refuses to report them; QueryFailed if it
    refuses the key itself, or for a cause that passes. In demo mode no host reports the rights of a key.
    """
    try:
        problem = key_problem(await queries.key_rights(), product)
    except QueryFailed as error:
        cause = error.__cause__
        if not isinstance(cause, Refused) or cause.passes or refused_key(error) is not None:
            raise
        problem = (
            f"the exchange does not report the rights of the API key: {cause}; a live book starts only with a "
            "key whose rights are known; run `ocw connect`, and if it has the same problem, update OCW"
        )
    if problem:
        raise VenueRefused(problem)


def settings_problems(
    config: AccountConfig,
    symbols: Mapping[str, SymbolConfig],
    traded: Iterable[str],
    positions: Iterable[PositionRow],
) -> list[str]:
    """Return a clause for each setting of the account that OCW cannot trade with; empty if all are right."""
    found = []
    if config.hedged or any(row.position_side != ONE_WAY and row.quantity for row in positions):
        found.append("the account is in hedge mode, expected one-way mode")
    if config.multi_assets:
        found.append("the account is in multi-assets mode, expected single-asset mode")
    if not config.may_trade:
        found.append("the exchange does not let the account trade")
    for symbol in traded:
        row = symbols.get(symbol)
        if row is None:
            found.append(f"the exchange reports no margin type of {symbol}")
        elif row.margin_type.upper() != ISOLATED:
            found.append(f"the margin type of {symbol} is {row.margin_type.lower()}, expected isolated")
    return found


def key_problem(rights: KeyRights, product: Product = Product.UM) -> str:
    """Return why a key is refused; empty if it may trade a product and cannot move money out of the account."""
    too_much = [
        name
        for name, has in (
            ("withdrawals", rights.withdrawals),
            ("internal transfers", rights.internal_transfer),
            ("universal transfers", rights.universal_transfer),
        )
        if has
    ]
    if too_much:
        return (
            f"the API key permits {' and '.join(too_much)}, which OCW never needs; expected a key that can only read "
            "and trade; take the right away at the exchange, or make another key, and run `ocw connect`"
        )
    name, may_trade = ("spot", rights.spot) if product is Product.SPOT else ("futures", rights.futures)
    if not may_trade:
        return f"the API key may not trade {name}; give it that right at the exchange, and run `ocw connect`"
    return ""
