"""The queries of the account: each returns typed rows, or raises QueryFailed, which proves nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from ocw_mcp.adapters.venues.binance.errors import Banned, CallFailed, Outcome, Refused
from ocw_mcp.adapters.venues.binance.rest_wire import (
    AccountConfig,
    AlgoRow,
    BalanceRow,
    IncomeRow,
    KeyRights,
    ListenKey,
    OrderRow,
    PositionRow,
    SymbolConfig,
    TradeRow,
    UnreadableAnswer,
    decode,
)
from ocw_mcp.domain.time import DAY

T = TypeVar("T")
WEEK: Final = 7 * DAY - 1
"""The longest time (ms) from startTime to endTime."""
OLDEST: Final = 89 * DAY
"""The age (ms) up to which the exchange returns trades and income: three months."""
MOST_ROWS: Final = 1_000
RIGHTS: Final = "/sapi/v1/account/apiRestrictions"


class Caller(Protocol):
    """What queries need of the client of the account."""

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        weight: int,
        orders: int = 0,
        reduces: bool = False,
    ) -> bytes:
        """Return the body of a success. Raises Refused, Banned or Unanswered."""

    def now_ms(self) -> int:
        """Return the exchange's time, ms."""


class QueryFailed(Exception):  # noqa: N818
    """A query without a usable answer. `until` (ms) is when the exchange takes requests again, 0 if it does not say."""

    def __init__(self, text: str, until: int = 0) -> None:
        self.until = until
        super().__init__(text)


class NotShown(QueryFailed):
    """The exchange shows a part of what it must have: an order without its trades, or a trade without its order."""


class Holdings(NamedTuple):
    """What the account has. On spot, the position of a symbol is the balance of its base asset."""

    positions: list[PositionRow]
    balances: list[BalanceRow]


PERIOD_S: Final = 30.0
"""The time (s) between two readings of the account."""
MOST_SYMBOLS: Final = 15
"""The number of symbols whose orders are read one by one; with more, the lists of the whole account are read."""


class ReadingBudget(NamedTuple):
    """The weight that readings of the account may cost, a tenth of the exchange's limit, and what one costs."""

    a_second: int
    asked_at_once: int
    """The weight of readings that are asked for which may follow each other at once."""
    asked_a_second: int
    """The weight a second of readings that are asked for, after these."""
    holdings: int
    """The weight of positions and balances, before and after the rest."""
    trades: int
    lists: int
    """The weight of the trades of a symbol, and of the lists of its orders."""
    all_lists: int
    """The weight of the lists of the whole account."""

    def period_s(self, symbols: int) -> float:
        """Return the time (s) between two readings of some symbols.

        Income, look-ups and lists of the whole account that are read now and then do not delay the next reading.
        """
        lists = self.all_lists if symbols > MOST_SYMBOLS else symbols * self.lists
        return max(PERIOD_S, (self.holdings + symbols * self.trades + lists) / self.a_second)


class Pace:
    """The pace of readings that are asked for: some at once, and then at most so much weight a second."""

    def __init__(self, budget: ReadingBudget) -> None:
        self._budget = budget
        self._left, self._at = float(budget.asked_at_once), 0.0

    def wait_s(self, spent: int, now_s: float) -> float:
        """Return how long (s) to wait after a reading that has cost `spent`."""
        most, a_second = self._budget.asked_at_once, self._budget.asked_a_second
        self._left = min(most, self._left + (now_s - self._at) * a_second) - spent
        self._at = now_s
        return max(1.0, -self._left / a_second)


class AccountQueries(Protocol):
    """The queries with which the account is read, the same for both products. Each may raise QueryFailed."""

    budget: ReadingBudget
    spent: int
    shows_positions: bool
    """Whether the account has positions apart from its balances."""

    def now_ms(self) -> int: ...

    def follows(self, symbol: str) -> bool:
        """Return whether the trades and the position of a symbol are read."""

    async def order(self, symbol: str, *, client_id: str = "", order_id: int = 0) -> OrderRow | None: ...

    async def algo(self, client_id: str) -> AlgoRow | None: ...

    async def open_orders(self, symbol: str | None = None) -> list[OrderRow]: ...

    async def open_algos(self, symbol: str | None = None) -> list[AlgoRow]: ...

    async def recent_orders(self, symbol: str) -> list[OrderRow]:
        """Return orders of a symbol that are over, as far as a list shows them: none on futures."""

    async def holdings(self) -> Holdings: ...

    async def trades_of(self, symbol: str, order_id: int) -> list[TradeRow]: ...

    async def trades_from(self, symbol: str, first: int) -> list[TradeRow]: ...

    async def trades_since(self, symbol: str, since: int) -> list[TradeRow]: ...

    async def income(self, since: int) -> list[IncomeRow]: ...

    async def symbol_configs(self) -> list[SymbolConfig]: ...


class QueryClient:
    """Sends the queries of an account, and adds up what they cost."""

    def __init__(self, client: Caller) -> None:
        self._client = client
        self.spent = 0
        """The weight of all queries so far."""

    def now_ms(self) -> int:
        """Return the exchange's time, ms."""
        return self._client.now_ms()

    async def _found(
        self, path: str, params: Mapping[str, str | int], form: type[T], *, weight: int, absent: Collection[int] = ()
    ) -> T | None:
        """Return what a query found; None if the exchange does not know it, which the codes `absent` say as well."""
        try:
            return await self._get(path, params, form, weight=weight)
        except QueryFailed as error:
            cause = error.__cause__
            if isinstance(cause, Refused) and (cause.verdict.outcome is Outcome.NOT_FOUND or cause.code in absent):
                return None
            raise

    async def _get(self, path: str, params: Mapping[str, str | int], form: type[T], *, weight: int) -> T:
        return await self._send("GET", path, params, form, weight=weight)

    async def _send(self, method: str, path: str, params: Mapping[str, str | int], form: type[T], *, weight: int) -> T:
        self.spent += weight
        try:
            return decode(await self._client.call(method, path, params, weight=weight), form, path)
        except UnreadableAnswer as error:
            raise QueryFailed(str(error)) from error
        except CallFailed as error:
            until = error.until_ms if isinstance(error, Banned) else 0
            raise QueryFailed(f"{path}: {error}"[:300], until) from error


class Queries(QueryClient):
    """Queries of one account on USD-M futures."""

    budget = ReadingBudget(
        a_second=4, asked_at_once=240, asked_a_second=8, holdings=20, trades=5, lists=2, all_lists=80
    )
    shows_positions = True

    def follows(self, symbol: str) -> bool:
        """Return whether the trades and the position of a symbol are read: those of all symbols are."""
        return True

    async def order(self, symbol: str, *, client_id: str = "", order_id: int = 0) -> OrderRow | None:
        """Return the latest order with an id, or None if the exchange does not know one (-2013)."""
        named: dict[str, str | int] = {"orderId": order_id} if order_id else {"origClientOrderId": client_id}
        return await self._found("/fapi/v1/order", {"symbol": symbol, **named}, OrderRow, weight=1)

    async def algo(self, client_id: str) -> AlgoRow | None:
        """Return the latest algo order with a client id, or None if the exchange does not know one (-2013)."""
        return await self._found("/fapi/v1/algoOrder", {"clientAlgoId": client_id}, AlgoRow, weight=1)

    async def open_orders(self, symbol: str | None = None) -> list[OrderRow]:
        """Return the open orders of a symbol (weight 1) or of the account (weight 40)."""
        return await self._get("/fapi/v1/openOrders", _of(symbol), list[OrderRow], weight=1 if symbol else 40)

    async def open_algos(self, symbol: str | None = None) -> list[AlgoRow]:
        """Return the algo orders that wait, of a symbol (weight 1) or of the account (weight 40)."""
        return await self._get("/fapi/v1/openAlgoOrders", _of(symbol), list[AlgoRow], weight=1 if symbol else 40)

    async def recent_orders(self, symbol: str) -> list[OrderRow]:
        """Return nothing: an order that is over is found by its id."""
        return []

    async def holdings(self) -> Holdings:
        """Return positions and balances."""
        positions, balances = await asyncio.gather(self.positions(), self.balances())
        return Holdings(positions, balances)

    async def positions(self) -> list[PositionRow]:
        """Return the positions that are not flat or have open orders."""
        return await self._get("/fapi/v3/positionRisk", {}, list[PositionRow], weight=5)

    async def balances(self) -> list[BalanceRow]:
        """Return the balances."""
        return await self._get("/fapi/v3/balance", {}, list[BalanceRow], weight=5)

    async def trades_of(self, symbol: str, order_id: int) -> list[TradeRow]:
        """Return the trades of an order."""
        params: dict[str, str | int] = {"symbol": symbol, "orderId": order_id, "limit": MOST_ROWS}
        return await self._get("/fapi/v1/userTrades", params, list[TradeRow], weight=5)

    async def trades_from(self, symbol: str, first: int) -> list[TradeRow]:
        """Return the trades of a symbol from an id on, in order."""
        found: list[TradeRow] = []
        while True:
            params: dict[str, str | int] = {"symbol": symbol, "fromId": first, "limit": MOST_ROWS}
            rows = await self._get("/fapi/v1/userTrades", params, list[TradeRow], weight=5)
            found += rows
            if len(rows) < MOST_ROWS:
                return sorted(found, key=lambda row: row.id)
            first = max(row.id for row in rows) + 1

    async def trades_since(self, symbol: str, since: int) -> list[TradeRow]:
        """Return the trades of a symbol since a time (ms), in order: at most those of three months."""
        now = self.now_ms()

        async def read(start: int, end: int) -> list[TradeRow]:
            params: dict[str, str | int] = {"symbol": symbol, "startTime": start, "endTime": end, "limit": MOST_ROWS}
            return await self._get("/fapi/v1/userTrades", params, list[TradeRow], weight=5)

        return await in_spans(read, max(since, now - OLDEST), now, WEEK)

    async def income(self, since: int) -> list[IncomeRow]:
        """Return the income since a time (ms), in order: at most that of three months."""
        now, found, page = self.now_ms(), list[IncomeRow](), 1
        start = max(since, now - OLDEST)
        while True:
            params: dict[str, str | int] = {"startTime": start, "endTime": now + DAY, "limit": MOST_ROWS, "page": page}
            rows = await self._get("/fapi/v1/income", params, list[IncomeRow], weight=30)
            found += rows
            if len(rows) < MOST_ROWS:
                return sorted(found, key=lambda row: row.at)
            page += 1

    async def account_config(self) -> AccountConfig:
        """Return the settings of the account."""
        return await self._get("/fapi/v1/accountConfig", {}, AccountConfig, weight=5)

    async def symbol_configs(self) -> list[SymbolConfig]:
        """Return leverage and margin type of all symbols."""
        return await self._get("/fapi/v1/symbolConfig", {}, list[SymbolConfig], weight=5)

    async def key_rights(self) -> KeyRights:
        """Return the rights of the API key, which only the live exchange reports."""
        return await self._get(RIGHTS, {}, KeyRights, weight=1)

    async def listen_key(self) -> str:
        """Return the active listen key, which is then valid for an hour."""
        found = await self._send("POST", "/fapi/v1/listenKey", {}, ListenKey, weight=1)
        if not found.key:
            raise QueryFailed("/fapi/v1/listenKey answered without a key")
        return found.key

    async def extend_listen_key(self) -> bool:
        """Extend the listen key by an hour; return False if it does not exist (-1125)."""
        try:
            await self._send("PUT", "/fapi/v1/listenKey", {}, ListenKey, weight=1)
        except QueryFailed as error:
            cause = error.__cause__
            if isinstance(cause, Refused) and cause.code == -1125:
                return False
            raise
        return True


async def in_spans(
    read: Callable[[int, int], Awaitable[list[TradeRow]]], since: int, until: int, longest: int
) -> list[TradeRow]:
    """Return the trades from a time to another (ms), in order, which `read` returns of a span of at most `longest`."""
    found: dict[int, TradeRow] = {}
    spans = [(start, min(start + longest, until + DAY)) for start in range(since, until + 1, longest + 1)]
    while spans:
        start, end = spans.pop()
        rows = await read(start, end)
        found |= {row.id: row for row in rows}
        if len(rows) >= MOST_ROWS and end > start:
            # It is not documented which of more trades are returned, so the span is divided.
            middle = (start + end) // 2
            spans += [(start, middle), (middle + 1, end)]
    return sorted(found.values(), key=lambda row: row.id)


async def together(*waited: Awaitable[T]) -> list[T]:
    """Return the results of queries that run at the same time. Raises the first error."""
    return list(await asyncio.gather(*waited))


def _of(symbol: str | None) -> dict[str, str | int]:
    return {} if symbol is None else {"symbol": symbol}
