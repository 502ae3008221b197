"""The rows of the account's REST answers as typed values. Times are in ms."""

from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from msgspec import field

from ocw_mcp.domain.money import ZERO

T = TypeVar("T")


class OrderRow(msgspec.Struct, frozen=True):
    """An order, as `/fapi/v1/order` and `/fapi/v1/openOrders` answer it."""

    id: int = field(name="orderId")
    client_id: str = field(name="clientOrderId")
    symbol: str
    status: str
    side: str
    type: str
    quantity: Decimal = field(name="origQty", default=ZERO)
    executed: Decimal = field(name="executedQty", default=ZERO)
    price: Decimal = ZERO
    stop_price: Decimal = field(name="stopPrice", default=ZERO)
    reduce_only: bool = field(name="reduceOnly", default=False)
    closes: bool = field(name="closePosition", default=False)
    original_type: str = field(name="origType", default="")


class AlgoRow(msgspec.Struct, frozen=True):
    """An algo order, as `/fapi/v1/algoOrder` and `/fapi/v1/openAlgoOrders` answer it."""

    id: int = field(name="algoId")
    client_id: str = field(name="clientAlgoId")
    symbol: str
    status: str = field(name="algoStatus")
    side: str
    type: str = field(name="orderType")
    quantity: Decimal = ZERO
    trigger: Decimal = field(name="triggerPrice", default=ZERO)
    price: Decimal = ZERO
    order_id: str = field(name="actualOrderId", default="")
    """The id of the order that it became when it triggered; empty before."""
    executed: Decimal | None = field(name="actualQty", default=None)
    closes: bool = field(name="closePosition", default=False)
    reduce_only: bool = field(name="reduceOnly", default=False)


class TradeRow(msgspec.Struct, frozen=True):
    """A trade, as `/fapi/v1/userTrades` answers it. A commission above 0 was paid."""

    id: int
    order_id: int = field(name="orderId")
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal = field(name="qty")
    at: int = field(name="time")
    fee: Decimal = field(name="commission", default=ZERO)
    fee_asset: str = field(name="commissionAsset", default="")
    maker: bool = False


class IncomeRow(msgspec.Struct, frozen=True):
    """A change of a balance, as `/fapi/v1/income` answers it."""

    kind: str = field(name="incomeType")
    amount: Decimal = field(name="income")
    asset: str
    at: int = field(name="time")
    transaction: int = field(name="tranId")
    """Unique among the records of one kind."""
    symbol: str = ""
    info: str = ""


class PositionRow(msgspec.Struct, frozen=True):
    """A position, as `/fapi/v3/positionRisk` answers it."""

    symbol: str
    quantity: Decimal = field(name="positionAmt")
    entry: Decimal = field(name="entryPrice", default=ZERO)
    mark: Decimal = field(name="markPrice", default=ZERO)
    liquidation: Decimal = field(name="liquidationPrice", default=ZERO)
    isolated_margin: Decimal = field(name="isolatedMargin", default=ZERO)
    isolated_wallet: Decimal = field(name="isolatedWallet", default=ZERO)
    initial_margin: Decimal = field(name="positionInitialMargin", default=ZERO)
    position_side: str = field(name="positionSide", default="BOTH")


class BalanceRow(msgspec.Struct, frozen=True):
    """A balance, as `/fapi/v3/balance` answers it."""

    asset: str
    total: Decimal = field(name="balance")
    free: Decimal = field(name="availableBalance", default=ZERO)
    alias: str = field(name="accountAlias", default="")
    """The exchange's name of the account."""


class AccountConfig(msgspec.Struct, frozen=True):
    """The settings of the account, as `/fapi/v1/accountConfig` answers them."""

    hedged: bool = field(name="dualSidePosition")
    multi_assets: bool = field(name="multiAssetsMargin")
    may_trade: bool = field(name="canTrade", default=False)


class SymbolConfig(msgspec.Struct, frozen=True):
    """The settings of a symbol, as `/fapi/v1/symbolConfig` answers them."""

    symbol: str
    margin_type: str = field(name="marginType")
    leverage: int


class KeyRights(msgspec.Struct, frozen=True):
    """The rights of the API key, as `/sapi/v1/account/apiRestrictions` answers them.

    A right to move money that the answer does not name counts as given; every other one counts as missing.
    """

    reading: bool = field(name="enableReading", default=False)
    futures: bool = field(name="enableFutures", default=False)
    spot: bool = field(name="enableSpotAndMarginTrading", default=False)
    withdrawals: bool = field(name="enableWithdrawals", default=True)
    internal_transfer: bool = field(name="enableInternalTransfer", default=True)
    universal_transfer: bool = field(name="permitsUniversalTransfer", default=True)
    fixed_addresses: bool = field(name="ipRestrict", default=False)
    """Whether the key works from fixed addresses only."""


class ListenKey(msgspec.Struct, frozen=True):
    """What `/fapi/v1/listenKey` answers."""

    key: str = field(name="listenKey", default="")


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
