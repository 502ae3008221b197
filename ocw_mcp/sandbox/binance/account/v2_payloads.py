"""The answers of the second version of `account` and `positionRisk`, which clients still read."""

from ocw_mcp.sandbox.binance.account.payloads import Row, account_answer, risk_row
from ocw_mcp.sandbox.binance.account.positions import Position
from ocw_mcp.sandbox.binance.account.prices import brackets
from ocw_mcp.sandbox.binance.account.state import State

_OF_THIRD = ("adl", "askNotional", "bidNotional", "initialMargin", "maintMargin", "marginAsset")
"""Fields of a position that only the third version has, with those that end in `InitialMargin`."""

_KEPT = (
    *("initialMargin", "maintMargin", "positionInitialMargin", "openOrderInitialMargin", "entryPrice"),
    *("bidNotional", "askNotional", "positionSide", "positionAmt", "updateTime"),
)


def room(position: Position) -> str:
    """Return the largest value (quote) that a position may have at its leverage."""
    return str(int(brackets(position.symbol).cap(position.leverage)))


def old_risk_row(state: State, position: Position, at: int) -> Row:
    """Return a position as `/fapi/v2/positionRisk` answers it: with the settings of its symbol."""
    row = risk_row(state, position, at)
    kept = {name: value for name, value in row.items() if name not in _OF_THIRD and not name.endswith("InitialMargin")}
    return kept | {
        "marginType": position.margin_type,
        "isAutoAddMargin": "false",
        "leverage": str(position.leverage),
        "maxNotionalValue": room(position),
    }


def old_account_answer(state: State, symbols: tuple[str, ...], settings: Row, at: int) -> Row:
    """Return the answer of `/fapi/v2/account`: with `settings`, and a row for each symbol of the exchange."""
    found = account_answer(state, at)
    assets = [row | {"marginAvailable": True} for row in found["assets"]]
    positions = [_position(state, state.position(symbol), at) for symbol in symbols]
    return settings | found | {"assets": assets, "positions": positions}


def _position(state: State, position: Position, at: int) -> Row:
    row = risk_row(state, position, at)
    return {
        "symbol": position.symbol,
        "unrealizedProfit": row["unRealizedProfit"],
        "leverage": str(position.leverage),
        "isolated": position.isolated,
        "maxNotional": room(position),
        **{name: row[name] for name in _KEPT},
    }
