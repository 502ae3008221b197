"""The checks of an account before a book trades it: clock, key, permissions, settings and balances.

All checks only read. `set_up` changes the settings of the account, and nothing else does.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple, TypeVar

from ocw_mcp.adapters.control.keys import account_fingerprint
from ocw_mcp.adapters.feeds.binance.clock import LIMIT_MS
from ocw_mcp.adapters.venues.binance.errors import Banned, CallFailed, Outcome, Refused, Unanswered
from ocw_mcp.adapters.venues.binance.queries import RIGHTS, Caller
from ocw_mcp.adapters.venues.binance.rest_wire import (
    AccountConfig,
    BalanceRow,
    KeyRights,
    PositionRow,
    SymbolConfig,
    UnreadableAnswer,
    decode,
)
from ocw_mcp.adapters.venues.binance.spot.wire import SpotAccountRow
from ocw_mcp.app.views.market_checks import Check, CheckVerdict
from ocw_mcp.domain.errors import MarketUnreachable, VenueRefused
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.money import ZERO, plain
from ocw_mcp.domain.state import Mode

_WRONG_KEY: Final = frozenset({-2008, -2014, -2015})
_WRONG_SECRET: Final = -1022
_SHOWN: Final = 5
_T = TypeVar("_T")


class AccountCalls(NamedTuple):
    """The calls to an account: `calls` to its product, `permissions` to the host that knows the key's permissions."""

    mode: Mode
    product: Product
    calls: Caller
    permissions: Caller | None
    """None if no host of the mode knows the permissions of the key, as in demo trading."""
    machine_ms: Callable[[], int]
    """Returns the time of the machine, ms."""
    where: str
    """The host, for the operator."""
    sandbox: bool = False
    """Whether the host is a sandbox exchange on this machine."""


class AccountFound(NamedTuple):
    """An account that was read."""

    fingerprint: str
    balances: dict[str, Decimal]
    """The balance of each asset of which there is some."""


async def read(account: AccountCalls, path: str, kind: type[_T], weight: int, of: Caller | None = None) -> _T:
    """Return the answer to a signed GET request. Raises VenueRefused, and MarketUnreachable without an answer."""
    body = await answered(account, (of or account.calls).call("GET", path, weight=weight), path)
    try:
        return decode(body, kind, path)
    except UnreadableAnswer:
        # The answer is not shown: it may name the account.
        why = f"{path} was answered with other fields than expected; try again, and update OCW if that stays so"
        raise MarketUnreachable(why) from None


async def answered(account: AccountCalls, call: Awaitable[bytes], path: str) -> bytes:
    """Await a call. Raises VenueRefused with the way to mend it, and MarketUnreachable without an answer."""
    try:
        return await call
    except Refused as refused:
        if refused.passes:
            raise MarketUnreachable(f"{account.where} refused {path} for now ({refused}); try again") from None
        raise VenueRefused(_refusal(account, path, refused)) from None
    except Banned as banned:
        why = f"{account.where} takes no request now: {banned.why}; wait, and try again"
        raise MarketUnreachable(why, banned.until_ms) from None
    except Unanswered as failed:
        raise MarketUnreachable(
            f"{account.where} gave no answer: {failed.why}; check the network, and try again"
        ) from None


def _refusal(account: AccountCalls, path: str, refused: Refused) -> str:
    other = "live exchange" if account.mode is Mode.DEMO else "demo trading"
    if refused.code in _WRONG_KEY:
        return (
            f"{account.where} refused the key ({refused.code} {refused.text}); expected a key of {account.mode} mode "
            f"that may be used from this address: a key of the {other} is not known there; create one for this mode, "
            "or check its list of addresses and its permissions, then run ocw connect --new-key"
        )
    if refused.code == _WRONG_SECRET:
        return (
            f"{account.where} refused the signature ({refused.code}), so the secret is not that of the key; copy both "
            "again, with ocw connect --new-key"
        )
    return f"{account.where} refused {path} ({refused.status} {refused.code} {refused.text})"


async def check_account(account: AccountCalls, symbols: Sequence[str]) -> AsyncIterator[Check | AccountFound]:
    """Yield the result of each check, and the account last. Raises VenueRefused and MarketUnreachable."""
    if account.product is Product.SPOT:
        found, can_trade, wrong = await _spot(account)
    else:
        found, can_trade, wrong = await _futures(account, symbols)
    yield _ok("key", f"{account.where} accepts it")
    yield _clock(account.calls.now_ms() - account.machine_ms())
    yield await check_permissions(account)
    if can_trade:
        yield _ok("account", f"may trade; its fingerprint is {found.fingerprint}")
    else:
        yield _problem("account", "the exchange says that it may not trade", "see its notices in the exchange's app")
    for check in wrong:
        yield check
    named = [f"{plain(amount)} {asset}" for asset, amount in list(found.balances.items())[:_SHOWN]]
    more = f" and {len(found.balances) - _SHOWN} other assets" if len(found.balances) > _SHOWN else ""
    if named:
        yield _ok("balances", ", ".join(named) + more)
    else:
        yield Check("balances", CheckVerdict.WARNING, "nothing", "an entry needs a balance: transfer some there")
    yield found


async def check_permissions(account: AccountCalls) -> Check:
    """Return the check of what the key may do: trade, and neither withdraw nor transfer.

    Raises VenueRefused and MarketUnreachable.
    """
    if account.permissions is None:
        why = "not checkable in demo trading, which does not tell what a key may do; there is only test money"
        return _ok("permissions", why)
    may = await read(account, RIGHTS, KeyRights, 1, account.permissions)
    moves = {
        "withdraw": may.withdrawals,
        "transfer to other users": may.internal_transfer,
        "transfer between wallets": may.universal_transfer,
    }
    if given := [name for name, allowed in moves.items() if allowed]:
        todo = "remove these permissions in the settings of the key, or create a key without them"
        return _problem("permissions", f"the key may {' and '.join(given)}, and such a key is refused", todo)
    needed = may.spot if account.product is Product.SPOT else may.futures
    if not (may.reading and needed):
        name = "Spot & Margin Trading" if account.product is Product.SPOT else "Futures"
        return _problem("permissions", "the key may not trade this product", f"enable Reading and {name} for the key")
    shown = "reads and trades, and can neither withdraw nor transfer"
    if may.fixed_addresses or account.sandbox:
        shown = shown if account.sandbox else f"{shown}; it works from fixed addresses only"
        return _ok("permissions", shown)
    todo = "restrict it to the address of this machine, so that a stolen key is useless"
    return Check("permissions", CheckVerdict.WARNING, f"{shown}; it works from every address", todo)


async def read_fingerprint(account: AccountCalls) -> str:
    """Return the fingerprint of the account that a key belongs to now. Raises VenueRefused and MarketUnreachable."""
    if account.product is Product.SPOT:
        found, _, _ = await _spot(account)
        return found.fingerprint
    return (await _futures_account(account)).fingerprint


async def _spot(account: AccountCalls) -> tuple[AccountFound, bool, list[Check]]:
    answer = await read(account, "/api/v3/account", SpotAccountRow, 20)
    balances = {each.asset: each.free + each.locked for each in answer.balances if each.free + each.locked}
    return AccountFound(_fingerprint(account, answer.uid), balances), answer.may_trade, []


async def _futures(account: AccountCalls, symbols: Sequence[str]) -> tuple[AccountFound, bool, list[Check]]:
    found = await _futures_account(account)
    config = await read(account, "/fapi/v1/accountConfig", AccountConfig, 5)
    todo = f"run ocw connect --mode {account.mode} --set-up, while no position is open"
    checks = [
        _problem("position mode", "hedge mode, in which OCW does not trade", todo)
        if config.hedged
        else _ok("position mode", "one-way"),
        _problem("asset mode", "multi-assets mode, in which OCW does not trade", todo)
        if config.multi_assets
        else _ok("asset mode", "single-asset"),
    ]
    unknown, crossed = await _not_isolated(account, symbols)
    if unknown:
        other = "name symbols that trade there, such as BTCUSDT, with --symbols"
        checks.append(_problem("symbols", f"the exchange does not have {', '.join(unknown)}", other))
    if crossed:
        checks.append(_problem("margin type", f"not isolated: {', '.join(crossed)}", todo))
    elif not unknown:
        checks.append(_ok("margin type", f"isolated for {', '.join(symbols)}"))
    return found, config.may_trade, checks


async def _futures_account(account: AccountCalls) -> AccountFound:
    rows = await read(account, "/fapi/v3/balance", list[BalanceRow], 5)
    if not rows:
        raise VenueRefused(
            f"{account.where} knows no futures account of this key; open one in the exchange's app, and try again"
        )
    return AccountFound(_fingerprint(account, rows[0].alias), {each.asset: each.total for each in rows if each.total})


def _fingerprint(account: AccountCalls, name: str | int) -> str:
    """Return the fingerprint of an account from the exchange's name of it. Raises MarketUnreachable without one."""
    if not name:
        raise MarketUnreachable(
            f"{account.where} did not name the account of the key; try again, and update OCW if that stays so"
        )
    return account_fingerprint(account.mode, account.product, str(name))


async def _not_isolated(account: AccountCalls, symbols: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the symbols that the exchange does not have, and those whose margin type is another."""
    rows = await read(account, "/fapi/v1/symbolConfig", list[SymbolConfig], 5)
    isolated = {row.symbol: row.margin_type.upper() == "ISOLATED" for row in rows}
    unknown = [symbol for symbol in symbols if symbol not in isolated]
    return unknown, [symbol for symbol in symbols if not isolated.get(symbol, True)]


async def set_up(account: AccountCalls, symbols: Sequence[str]) -> AsyncIterator[Check]:
    """Change the settings of a futures account to those that OCW needs; yield the outcome of each call.

    Raises VenueRefused if a position is open, MarketUnreachable without an answer.
    """
    if account.product is Product.SPOT:
        yield _ok("settings", "spot needs none")
        return
    rows = await read(account, "/fapi/v3/positionRisk", list[PositionRow], 5)
    if held := [f"{plain(row.quantity)} {row.symbol}" for row in rows if row.quantity != ZERO]:
        raise VenueRefused(
            f"the account has open positions ({', '.join(held[:_SHOWN])}), and its settings are changed only while "
            "there is none; nothing was changed; close them, and run it again"
        )
    yield await _set(account, "position mode", "one-way", "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"})
    yield await _set(
        account, "asset mode", "single-asset", "/fapi/v1/multiAssetsMargin", {"multiAssetsMargin": "false"}
    )
    for symbol in symbols:
        terms: dict[str, str | int] = {"symbol": symbol, "marginType": "ISOLATED"}
        yield await _set(account, f"margin type of {symbol}", "isolated", "/fapi/v1/marginType", terms)


async def _set(account: AccountCalls, name: str, wanted: str, path: str, terms: Mapping[str, str | int]) -> Check:
    try:
        await account.calls.call("POST", path, terms, weight=1)
    except Refused as refused:
        if refused.verdict.outcome is Outcome.UNCHANGED:
            return _ok(name, f"{wanted}, as it was before")
        todo = "cancel the open orders, and run it again" if "open order" in refused.text else "see the exchange's app"
        return _problem(name, f"not changed: {refused.code} {refused.text}", todo)
    except CallFailed as failed:
        return _problem(name, f"it is not known whether it was changed: {failed}", "run ocw connect again")
    return _ok(name, f"now {wanted}")


def _clock(ahead_ms: int) -> Check:
    found = f"{abs(ahead_ms)} ms {'behind' if ahead_ms > 0 else 'ahead of'} the exchange's"
    if abs(ahead_ms) <= LIMIT_MS:
        return _ok("clock", found)
    return Check("clock", CheckVerdict.WARNING, found, "set the clock of this machine, and keep it with NTP")


def _ok(name: str, found: str) -> Check:
    return Check(name, CheckVerdict.OK, found)


def _problem(name: str, found: str, todo: str) -> Check:
    return Check(name, CheckVerdict.PROBLEM, found, todo)
