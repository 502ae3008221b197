"""The rows of the account's REST answers as typed values. Times are in ms."""

from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from ocw_mcp.domain.money import ZERO

T = TypeVar("T")
_name = msgspec.field


class OrderRow(msgspec.Struct, frozen=True):
    """An order, as `/fapi/v1/order` and `/fapi/v1/openOrders` answer it."""

    id: int = _name(name="orderId")
    client_id: str = _name(name="clientOrderId")
    symbol: str
    status: str
    side: str
    type: str
    quantity: Decimal = _name(name="origQty", default=ZERO)
    executed: Decimal = _name(name="executedQty", default=ZERO)
    price: Decimal = ZERO
    stop_price: Decimal = _name(name="stopPrice", default=ZERO)
    reduce_only: bool = _name(name="reduceOnly", default=False)
    closes: bool = _name(name="closePosition", default=False)
    original_type: str = _name(name="origType", default="")
    created_at: int = _name(name="time", default=0)
    updated_at: int = _name(name="updateTime", default=0)


class AlgoRow(msgspec.Struct, frozen=True):
    """An algo order, as `/fapi/v1/algoOrder` and `/fapi/v1/openAlgoOrders` answer it."""

    id: int = _name(name="algoId")
    client_id: str = _name(name="clientAlgoId")
    symbol: str
    status: str = _name(name="algoStatus")
    side: str
    type: str = _name(name="orderType")
    quantity: Decimal = ZERO
    trigger: Decimal = _name(name="triggerPrice", default=ZERO)
    price: Decimal = ZERO
    order_id: str = _name(name="actualOrderId", default="")
    """The id of the order that it became when it triggered; empty before."""
    executed: Decimal | None = _name(name="actualQty", default=None)
    closes: bool = _name(name="closePosition", default=False)
    reduce_only: bool = _name(name="reduceOnly", default=False)
    updated_at: int = _name(name="updateTime", default=0)


class TradeRow(msgspec.Struct, frozen=True):
    """A trade, as `/fapi/v1/userTrades` answers it. A commission above 0 was paid."""

    id: int
    order_id: int = _name(name="orderId")
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal = _name(name="qty")
    at: int = _name(name="time")
    fee: Decimal = _name(name="commission", default=ZERO)
    fee_asset: str = _name(name="commissionAsset", default="")
    maker: bool = False


class IncomeRow(msgspec.Struct, frozen=True):
    """A change of a balance, as `/fapi/v1/income` answers it."""

    kind: str = _name(name="incomeType")
    amount: Decimal = _name(name="income")
    asset: str
    at: int = _name(name="time")
    transaction: int = _name(name="tranId")
    """Unique among the records of one kind."""
    symbol: str = ""
    info: str = ""


class PositionRow(msgspec.Struct, frozen=True):
    """A position, as `/fapi/v3/positionRisk` answers it."""

    symbol: str
    quantity: Decimal = _name(name="positionAmt")
    entry: Decimal = _name(name="entryPrice", default=ZERO)
    mark: Decimal = _name(name="markPrice", default=ZERO)
    liquidation: Decimal = _name(name="liquidationPrice", default=ZERO)
    isolated_margin: Decimal = _name(name="isolatedMargin", default=ZERO)
    isolated_wallet: Decimal = _name(name="isolatedWallet", default=ZERO)
    initial_margin: Decimal = _name(name="positionInitialMargin", default=ZERO)
    position_side: str = _name(name="positionSide", default="BOTH")
    updated_at: int = _name(name="updateTime", default=0)


class BalanceRow(msgspec.Struct, frozen=True):
    """A balance, as `/fapi/v3/balance` answers it."""

    asset: str
    total: Decimal = _name(name="balance")
    free: Decimal = _name(name="availableBalance", default=ZERO)
    updated_at: int = _name(name="updateTime", default=0)


class AccountConfig(msgspec.Struct, frozen=True):
    """The settings of the account, as `/fapi/v1/accountConfig` answers them."""

    hedged: bool = _name(name="dualSidePosition")
    multi_assets: bool = _name(name="multiAssetsMargin")
    may_trade: bool = _name(name="canTrade", default=True)


class SymbolConfig(msgspec.Struct, frozen=True):
    """The settings of a symbol, as `/fapi/v1/symbolConfig` answers them."""

    symbol: str
    margin_type: str = _name(name="marginType")
    leverage: int


class PositionMode(msgspec.Struct, frozen=True):
    """What `/fapi/v1/positionSide/dual` answers."""

    hedged: bool = _name(name="dualSidePosition")


class AssetMode(msgspec.Struct, frozen=True):
    """What `/fapi/v1/multiAssetsMargin` answers."""

    multi: bool = _name(name="multiAssetsMargin")


class KeyRights(msgspec.Struct, frozen=True):
    """The rights of the API key, as `/sapi/v1/account/apiRestrictions` answers them."""

    futures: bool = _name(name="enableFutures", default=False)
    withdrawals: bool = _name(name="enableWithdrawals", default=False)
    internal_transfer: bool = _name(name="enableInternalTransfer", default=False)
    universal_transfer: bool = _name(name="permitsUniversalTransfer", default=False)


class ListenKey(msgspec.Struct, frozen=True):
    """What `/fapi/v1/listenKey` answers."""

    key: str = _name(name="listenKey", default="")


class UnreadableAnswer(Exception):  # noqa: N818
    """An answer of the exchange whose form is not the documented one. It proves nothing."""


_DECODERS: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}


def decode(body: bytes, form: type[T], what: str) -> T:
    """Return an answer as a typed value; `what` names the request. Raises UnreadableAnswer."""
    decoder = _DECODERS.get(form)
    if decoder is None:
        decoder = _DECODERS[form] = msgspec.json.Decoder(form, strict=False)
    try:
        found: T = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise UnreadableAnswer(f"{what} answered in another form than documented: {str(error)[:160]}") from None
    return found
