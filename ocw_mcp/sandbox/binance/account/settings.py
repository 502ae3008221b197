"""The settings of the account: leverage, margin type, position mode and asset mode, with their refusals."""

from typing import Final

from ocw_mcp.domain.money import ZERO
from ocw_mcp.sandbox.binance.account import events
from ocw_mcp.sandbox.binance.account.orders import flag, needed
from ocw_mcp.sandbox.binance.account.positions import Position, amount
from ocw_mcp.sandbox.binance.account.prices import brackets, margin_asset
from ocw_mcp.sandbox.binance.account.state import State
from ocw_mcp.sandbox.binance.parameters import ApiError, Parameters

DONE: Final = {"code": 200, "msg": "success"}


class Settings:
    """Changes the settings of the account. All functions raise ApiError if a change is refused."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.hedged = False
        """Whether a long and a short position of a symbol may exist side by side; the sandbox takes no orders then."""

    def leverage(self, parameters: Parameters, at: int) -> Position:
        """Set the leverage of a symbol, and return its position."""
        symbol = parameters.symbol()
        parameters.required("leverage")
        wanted, position = parameters.number("leverage") or 0, self._state.position(symbol)
        table = brackets(symbol)
        if not 1 <= wanted <= table.rows[0].max_leverage:
            raise ApiError(-4028, f"Leverage {wanted} is not valid")
        if position.quantity:
            if position.isolated and wanted < position.leverage:
                raise ApiError(
                    -4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions."
                )
            if abs(position.notional(self._state.prices.mark(symbol, at))) > table.cap(wanted):
                raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
            if (
                not position.isolated
                and not self._state.available(margin_asset(symbol), at)
                and (wanted < position.leverage)
            ):
                raise ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        if wanted != position.leverage:
            position.leverage = wanted
            self._state.log.add(events.leverage_update(symbol, wanted, at))
        return position

    def margin_type(self, parameters: Parameters, at: int) -> None:
        """Set the margin type of a symbol."""
        symbol = parameters.symbol()
        isolated = parameters.one_of("marginType", ("ISOLATED", "CROSSED")) == "ISOLATED"
        position = self._state.position(symbol)
        if isolated == position.isolated:
            raise ApiError(-4046, "No need to change margin type.")
        if isolated and self._state.multi_assets:
            raise ApiError(-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if position.quantity:
            raise ApiError(-4048, "Margin type cannot be changed if there exists position.")
        if self._state.open_of(symbol):
            raise ApiError(-4047, "Margin type cannot be changed if there exists open orders.")
        position.isolated = isolated
        self._state.report("MARGIN_TYPE_CHANGE", at, position)

    def position_mode(self, parameters: Parameters) -> None:
        """Set whether positions are hedged."""
        parameters.required("dualSidePosition")
        hedged = flag(parameters, "dualSidePosition")
        if hedged == self.hedged:
            raise ApiError(-4059, "No need to change position side.")
        if self._state.open or self._state.waiting:
            raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
        if any(each.quantity for each in self._state.positions.values()):
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        self.hedged = hedged

    def asset_mode(self, parameters: Parameters, at: int) -> None:
        """Set whether all assets are margin of all positions."""
        parameters.required("multiAssetsMargin")
        multi = flag(parameters, "multiAssetsMargin")
        state = self._state
        if multi == state.multi_assets:
            raise ApiError(-4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.")
        if state.open or state.waiting:
            raise ApiError(-4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.")
        if multi and any(each.isolated for each in state.positions.values()):
            text = "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode."
            raise ApiError(-4167, text)
        state.multi_assets = multi
        state.log.add(events.assets_update(multi, at))

    def add_margin(self, parameters: Parameters, at: int) -> None:
        """Add isolated margin to a position (type 1), or take it back (type 2)."""
        symbol, change = parameters.symbol(), amount(needed(parameters, "amount"))
        adds = parameters.one_of("type", ("1", "2")) == "1"
        position, state = self._state.position(symbol), self._state
        if not (position.quantity and position.isolated):
            raise ApiError(-4054, "Cannot add position margin: position is 0.")
        mark = state.prices.mark(symbol, at)
        if adds and change > state.available(margin_asset(symbol), at):
            raise ApiError(-4051, "Isolated balance insufficient.")
        spare = position.wallet + min(ZERO, position.profit(mark)) - position.initial(mark)
        if not adds and change > spare:
            raise ApiError(-4051, "Isolated balance insufficient.")
        position.wallet += change if adds else -change
        state.report("MARGIN_TRANSFER", at, position)
