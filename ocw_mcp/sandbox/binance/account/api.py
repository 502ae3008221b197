"""The account on futures: which path does what, what it needs, and what it costs."""

from collections.abc import Callable, Mapping
from typing import Any

from ocw_mcp.sandbox.binance.account import payloads
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.account_answers import AccountAnswers
from ocw_mcp.sandbox.binance.account.keys import Permission
from ocw_mcp.sandbox.binance.account.order_answers import OrderAnswers
from ocw_mcp.sandbox.binance.account.settings import Settings
from ocw_mcp.sandbox.binance.account.signed import SignedApi, SignedRoute
from ocw_mcp.sandbox.binance.account.user_stream import ListenKeys, UserSource
from ocw_mcp.sandbox.binance.exchange_info import ExchangeInfo
from ocw_mcp.sandbox.binance.market import SandboxMarket


class FuturesApi(SignedApi):
    """The account on futures as its clients see it."""

    def __init__(self, market: SandboxMarket, info: ExchangeInfo) -> None:
        self.account = Account(market, info, market.start)
        self.settings = Settings(self.account.state)
        self.listen_keys = ListenKeys(self.account)
        orders = OrderAnswers(self.account, self.settings, lambda path, now: self.hidden(path, now))
        answers = AccountAnswers(self.account, self.settings, self.listen_keys)
        super().__init__(market, self.account, _order_routes(orders), _account_routes(answers))
        self._routes["GET", "/fapi/v1/rateLimit/order"] = SignedRoute(lambda _parameters, _now: self.counts.rules(), 1)

    def actions(self) -> Mapping[str, Callable[..., object]]:
        """Return what the account's owner and the exchange can do to the account, by the kind of a fault."""
        found = self.account
        return {
            "owner_order": found.owner_order,
            "owner_close": found.owner_close,
            "owner_cancel": found.owner_cancel,
            "transfer": found.transfer,
            "deleverage": found.deleverage,
            "key_expired": self.listen_keys.expire,
        }

    def overview(self, now: int) -> dict[str, Any]:
        """Return what the account has at a time (ms), without a signature."""
        self.account.advance(now)
        state, at = self.account.state, self.account.at
        return {
            "balances": [payloads.balance_row(state, asset, at) for asset in state.assets()],
            "positions": [payloads.risk_row(state, each, at) for each in state.positions.values() if each.quantity],
            "orders": [payloads.order_row(each, state.prices) for each in state.open.values()],
            "algoOrders": [payloads.algo_row(each, state.prices) for each in state.waiting.values()],
        }

    def user_events(self, key: str, names: frozenset[str], now: int) -> UserSource:
        """Return the events of a new connection with a listen key; `names` limits them, if it is not empty."""
        self.account.advance(now)
        return UserSource(self.account, self.listen_keys, key, names)


def _order_routes(orders: OrderAnswers) -> dict[tuple[str, str], SignedRoute]:
    trade, one = Permission.FUTURES, (1, 1)
    return {
        ("POST", "/fapi/v1/order"): SignedRoute(orders.place, 0, needs=trade, orders=one),
        ("POST", "/fapi/v1/order/test"): SignedRoute(orders.test, 1, needs=trade),
        ("PUT", "/fapi/v1/order"): SignedRoute(orders.amend, 0, needs=trade, orders=one),
        ("DELETE", "/fapi/v1/order"): SignedRoute(orders.cancel, 1, needs=trade),
        ("GET", "/fapi/v1/order"): SignedRoute(orders.order, 1),
        ("POST", "/fapi/v1/batchOrders"): SignedRoute(orders.place_batch, 5, needs=trade, orders=(5, 1)),
        ("DELETE", "/fapi/v1/batchOrders"): SignedRoute(orders.cancel_batch, 1, needs=trade),
        ("DELETE", "/fapi/v1/allOpenOrders"): SignedRoute(orders.cancel_all, 1, needs=trade),
        ("GET", "/fapi/v1/openOrder"): SignedRoute(orders.open_order, 1),
        ("GET", "/fapi/v1/openOrders"): SignedRoute(orders.open_orders, 1, 40),
        ("GET", "/fapi/v1/allOrders"): SignedRoute(orders.all_orders, 5),
        ("GET", "/fapi/v1/userTrades"): SignedRoute(orders.trades, 5),
        ("POST", "/fapi/v1/algoOrder"): SignedRoute(orders.place_algo, 0, needs=trade, orders=one),
        ("DELETE", "/fapi/v1/algoOrder"): SignedRoute(orders.cancel_algo, 1, needs=trade),
        ("GET", "/fapi/v1/algoOrder"): SignedRoute(orders.algo, 1),
        ("DELETE", "/fapi/v1/algoOpenOrders"): SignedRoute(orders.cancel_all_algos, 1, needs=trade),
        ("GET", "/fapi/v1/openAlgoOrders"): SignedRoute(orders.open_algos, 1, 40),
        ("GET", "/fapi/v1/allAlgoOrders"): SignedRoute(orders.all_algos, 5),
    }


def _account_routes(answers: AccountAnswers) -> dict[tuple[str, str], SignedRoute]:
    trade = Permission.FUTURES
    return {
        ("GET", "/fapi/v2/balance"): SignedRoute(answers.balances, 5),
        ("GET", "/fapi/v3/balance"): SignedRoute(answers.balances, 5),
        ("GET", "/fapi/v3/account"): SignedRoute(answers.account, 5),
        ("GET", "/fapi/v2/account"): SignedRoute(answers.old_account, 5),
        ("GET", "/fapi/v2/positionRisk"): SignedRoute(answers.old_positions, 5),
        ("GET", "/fapi/v3/positionRisk"): SignedRoute(answers.positions, 5),
        ("GET", "/fapi/v1/accountConfig"): SignedRoute(answers.config, 5),
        ("GET", "/fapi/v1/symbolConfig"): SignedRoute(answers.symbol_config, 5),
        ("GET", "/fapi/v1/leverageBracket"): SignedRoute(answers.brackets, 1),
        ("GET", "/fapi/v1/commissionRate"): SignedRoute(answers.commission, 20),
        ("POST", "/fapi/v1/leverage"): SignedRoute(answers.set_leverage, 1, needs=trade),
        ("POST", "/fapi/v1/marginType"): SignedRoute(answers.set_margin_type, 1, needs=trade),
        ("POST", "/fapi/v1/positionMargin"): SignedRoute(answers.add_margin, 1, needs=trade),
        ("POST", "/fapi/v1/positionSide/dual"): SignedRoute(answers.set_position_mode, 1, needs=trade),
        ("GET", "/fapi/v1/positionSide/dual"): SignedRoute(answers.position_mode, 30),
        ("POST", "/fapi/v1/multiAssetsMargin"): SignedRoute(answers.set_asset_mode, 1, needs=trade),
        ("GET", "/fapi/v1/multiAssetsMargin"): SignedRoute(answers.asset_mode, 30),
        ("GET", "/fapi/v1/income"): SignedRoute(answers.income, 30),
        ("POST", "/fapi/v1/listenKey"): SignedRoute(answers.start_stream, 1, signed=False),
        ("PUT", "/fapi/v1/listenKey"): SignedRoute(answers.keep_stream, 1, signed=False),
        ("DELETE", "/fapi/v1/listenKey"): SignedRoute(answers.end_stream, 1, signed=False),
    }
