"""What the paths of balances, positions, settings, income and listen keys answer."""

from typing import Any, Final

from ocw_mcp.domain.time import DAY
from ocw_mcp.sandbox.binance.account import payloads
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.positions import Position
from ocw_mcp.sandbox.binance.account.settings import DONE, Settings
from ocw_mcp.sandbox.binance.account.trading import MAKER, TAKER
from ocw_mcp.sandbox.binance.account.user_stream import ListenKeys
from ocw_mcp.sandbox.binance.account.v2_payloads import old_account_answer, old_risk_row, room
from ocw_mcp.sandbox.binance.answers import Payload
from ocw_mcp.sandbox.binance.parameters import Parameters

_WEEK: Final = 7 * DAY


class AccountAnswers:
    """Answers of the paths of the account. Each may raise ApiError."""

    def __init__(self, account: Account, settings: Settings, keys: ListenKeys) -> None:
        self._account, self._settings, self._keys = account, settings, keys
        self._state = account.state

    def balances(self, parameters: Parameters, now: int) -> Payload:
        """Return the balances."""
        return [payloads.balance_row(self._state, asset, now) for asset in self._state.assets()]

    def account(self, parameters: Parameters, now: int) -> Payload:
        """Return balances, margins and positions."""
        return payloads.account_answer(self._state, now)

    def old_account(self, parameters: Parameters, now: int) -> Payload:
        """Return the same in the second version, with the settings, and the positions of all symbols."""
        config = self._config()
        del config["dualSidePosition"]
        return old_account_answer(self._state, self._account.symbols, config, now)

    def positions(self, parameters: Parameters, now: int) -> Payload:
        """Return the positions that are not zero or have open orders, of one symbol or of all."""
        symbol = parameters.optional_symbol()
        return [
            payloads.risk_row(self._state, each, now)
            for each in self._state.positions.values()
            if symbol in (None, each.symbol) and (each.quantity or self._state.open_of(each.symbol))
        ]

    def old_positions(self, parameters: Parameters, now: int) -> Payload:
        """Return the positions in the second version, also those that are zero."""
        return [old_risk_row(self._state, each, now) for each in self._selected(parameters)]

    def config(self, parameters: Parameters, now: int) -> Payload:
        """Return the settings of the account."""
        return self._config()

    def _config(self) -> dict[str, Any]:
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self._settings.hedged,
            "updateTime": 0,
            "multiAssetsMargin": self._state.multi_assets,
            "tradeGroupId": -1,
        }

    def symbol_config(self, parameters: Parameters, now: int) -> Payload:
        """Return leverage and margin type, of one symbol or of all."""
        return [
            {
                "symbol": each.symbol,
                "marginType": "ISOLATED" if each.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": each.leverage,
                "maxNotionalValue": room(each),
            }
            for each in self._selected(parameters)
        ]

    def brackets(self, parameters: Parameters, now: int) -> Payload:
        """Return the margin brackets, of one symbol or of all."""
        return [payloads.bracket_row(each.symbol) for each in self._selected(parameters)]

    def _selected(self, parameters: Parameters) -> list[Position]:
        symbol = parameters.optional_symbol()
        symbols = self._account.symbols if symbol is None else (symbol,)
        return [self._state.position(each) for each in symbols]

    def commission(self, parameters: Parameters, now: int) -> Payload:
        """Return the fees of a symbol, as shares of the value."""
        rates = {"makerCommissionRate": f"{MAKER:f}", "takerCommissionRate": f"{TAKER:f}"}
        return {"symbol": parameters.symbol()} | rates

    def set_leverage(self, parameters: Parameters, now: int) -> Payload:
        """Set the leverage of a symbol."""
        found = self._settings.leverage(parameters, now)
        return {"symbol": found.symbol, "leverage": found.leverage, "maxNotionalValue": room(found)}

    def set_margin_type(self, parameters: Parameters, now: int) -> Payload:
        """Set the margin type of a symbol."""
        self._settings.margin_type(parameters, now)
        return dict(DONE)

    def set_position_mode(self, parameters: Parameters, now: int) -> Payload:
        """Set one-way mode or hedge mode."""
        self._settings.position_mode(parameters)
        return dict(DONE)

    def position_mode(self, parameters: Parameters, now: int) -> Payload:
        """Return whether the account is in hedge mode."""
        return {"dualSidePosition": self._settings.hedged}

    def set_asset_mode(self, parameters: Parameters, now: int) -> Payload:
        """Set single-asset mode or multi-asset mode."""
        self._settings.asset_mode(parameters, now)
        return dict(DONE)

    def asset_mode(self, parameters: Parameters, now: int) -> Payload:
        """Return whether the account is in multi-asset mode."""
        return {"multiAssetsMargin": self._state.multi_assets}

    def add_margin(self, parameters: Parameters, now: int) -> Payload:
        """Change the isolated margin of a position."""
        self._settings.add_margin(parameters, now)
        text = "Successfully modify position margin."
        kind, change = int(parameters.required("type")), float(parameters.required("amount"))
        return {"code": 200, "msg": text, "amount": change, "type": kind}

    def income(self, parameters: Parameters, now: int) -> Payload:
        """Return the income: the first records of a time range, or the latest of the last week."""
        symbol, kind = parameters.optional_symbol(), parameters.text("incomeType")
        start, end = parameters.times()
        page, limit = parameters.number("page") or 1, parameters.limit(100, 1000)
        since = now - _WEEK if start is None else start
        found = [
            each
            for each in self._state.wallet.income
            if since <= each.at <= (now if end is None else end)
            and symbol in (None, each.symbol)
            and kind in (None, each.kind)
        ]
        first = max(0, len(found) - limit * page) if start is None else limit * (page - 1)
        last = len(found) - limit * (page - 1) if start is None else first + limit
        return [payloads.income_row(each) for each in found[first : max(0, last)]]

    def start_stream(self, parameters: Parameters, now: int) -> Payload:
        """Return the listen key, which is valid for an hour from now."""
        return {"listenKey": self._keys.start()}

    def keep_stream(self, parameters: Parameters, now: int) -> Payload:
        """Extend the listen key by an hour."""
        return {"listenKey": self._keys.keep_alive()}

    def end_stream(self, parameters: Parameters, now: int) -> Payload:
        """End the listen key."""
        self._keys.close()
        return {}
