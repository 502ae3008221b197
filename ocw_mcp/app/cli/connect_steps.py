"""The steps of `ocw connect`: the mode, the key, the checks of the account, its settings, and the mandate."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import typer

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control.keys import Connection, HostClass, Kept, checked_form, connections, keep_key
from ocw_mcp.adapters.files import FileRefused, read_file
from ocw_mcp.adapters.store.book import peek_book
from ocw_mcp.adapters.store.directory import has_book, prepare
from ocw_mcp.app.cli.control import require_terminal, typed
from ocw_mcp.app.cli.lists import checks_text
from ocw_mcp.app.cli.options import print_result
from ocw_mcp.app.connecting import AccountCalls, AccountFound, check_account, check_permissions, set_up
from ocw_mcp.app.exchange_access import find_key, host_class, key_of_settings, require_mode
from ocw_mcp.app.exchange_account import machine_clock, open_calls
from ocw_mcp.app.live_market import SYMBOLS
from ocw_mcp.app.output import say
from ocw_mcp.app.parsing import parse_product, parse_symbols
from ocw_mcp.app.settings import Settings, load_settings, mode_of
from ocw_mcp.app.views.market_checks import Check, CheckVerdict
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.state import Mode

MODES = (Mode.DEMO, Mode.LIVE)
_LARGEST = 4_096
_STORED_DESPITE = frozenset({"position mode", "asset mode", "margin type", "balances"})
"""The checks that concern the account, not the key: the key is stored, and the account is mended afterwards."""


class ConnectRequest(NamedTuple):
    """The options of `ocw connect`."""

    state: Path
    mode: str | None = None
    product: str | None = None
    symbols: str | None = None
    env: Path | None = None
    new_key: bool = False
    key_file: Path | None = None
    sandbox_key: bool = False
    keyring: bool = False
    set_up: bool = False
    mandate: bool = False
    amount: str | None = None
    days: int | None = None
    policies: Path | None = None
    policy: str = "default"
    as_json: bool = False


class Target(NamedTuple):
    """What is connected: the account of a mode and a product, at the exchange or at a sandbox."""

    state: Path
    mode: Mode
    product: Product
    symbols: tuple[str, ...]
    settings: Settings

    @property
    def host(self) -> HostClass:
        """Where signed requests go."""
        return host_class(self.settings)


def connect_and_print(request: ConnectRequest) -> None:
    """Connect a state directory to an account, and print each check. Raises OcwError, and exits 1 for a problem."""
    settings = load_settings(request.env, request.state, os.environ)
    target = _target(request, settings)
    key, kept = _key(request, target)
    machine = machine_clock(target.product, settings.binance_loopback)
    with asyncio.Runner(loop_factory=machine.new_loop) as runner:
        checks, found = runner.run(_examine(request, target, key, machine))
    wrong = [each for each in checks if each.verdict is CheckVerdict.PROBLEM]
    stored = found is not None and all(each.name in _STORED_DESPITE for each in wrong)
    if stored and found is not None:
        _require_account(target, found.fingerprint)
        now = time.time_ns() // 1_000_000  # noqa: TID251 - the time of the check, for the operator
        row = Connection(target.mode, target.product, target.host, kept, key.fingerprint, found.fingerprint, now)
        if left := keep_key(target.state, row, key):
            checks.append(Check("keyring", CheckVerdict.WARNING, left, "delete that entry in the keyring"))
    result: dict[str, Any] = {"ok": not wrong, "stored": stored, "checks": msgspec.to_builtins(checks)}
    print_result(
        result, [*checks_text(checks), _closing(target, kept, wrong, stored)], request.as_json, soft_wrap=False
    )
    if wrong:
        raise typer.Exit(1)
    if request.mandate:
        from ocw_mcp.app.cli.mandate_steps import give_mandate

        assert found is not None
        give_mandate(request, target, key, found.fingerprint)


def _target(request: ConnectRequest, settings: Settings) -> Target:
    """Return what is connected. Raises SettingsError and BookError."""
    asked = request.mode
    if asked is None and settings.ocw_mode is Mode.PAPER:
        require_terminal("a mode is chosen", "; or give --mode demo or --mode live")
        asked = typed("mode, demo (test money) or live (your money): ").strip().lower()
    # Only an order needs LIVE_TRADING; checks read.
    allowed = settings if request.mandate else settings.model_copy(update={"live_trading": True})
    mode = mode_of(allowed, asked)
    if mode is Mode.PAPER:
        raise SettingsError("the mode is paper, which needs no account; expected demo or live; give --mode demo")
    if request.mandate and mode is not Mode.LIVE:
        raise SettingsError("--mandate is for live mode, and the mode is demo, which needs none; leave it out")
    if (request.amount is not None or request.days is not None) and not request.mandate:
        raise SettingsError("--amount and --days are terms of a mandate; expected --mandate with them; add it")
    prepare(request.state)
    require_mode(request.state, mode)
    product, symbols = parse_product(request.product), parse_symbols(request.symbols)
    if has_book(request.state):
        stamp = peek_book(request.state).stamp
        if product not in (None, stamp.product):
            raise SettingsError(f"--product is {product}, and the book in {request.state} has {stamp.product}")
        product, symbols = stamp.product, symbols or stamp.market.symbols
    names = tuple(each.upper() for each in symbols) or SYMBOLS
    return Target(request.state, mode, product or Product.UM, names, settings)


def _key(request: ConnectRequest, target: Target) -> tuple[ApiKey, Kept]:
    """Return the key to check, and where it is kept. Raises SettingsError."""
    ways = {
        "--new-key": request.new_key,
        "--key-file": request.key_file is not None,
        "--sandbox-key": request.sandbox_key,
    }
    if len(given := [name for name, used in ways.items() if used]) > 1:
        raise SettingsError(f"{given[0]} and {given[1]} both choose the key; expected one of them")
    store = Kept.KEYRING if request.keyring else Kept.FILE
    if request.sandbox_key:
        return _sandbox_key(target.settings), store
    if request.key_file is not None:
        return _key_of_file(request.key_file), store
    in_settings = key_of_settings(target.settings)
    if in_settings is not None:
        if request.new_key or request.keyring:
            raise SettingsError(
                "BINANCE_API_KEY is set, and a key of the settings is not stored; expected one way to give a key; "
                "remove the setting, or leave out --new-key and --keyring"
            )
        return in_settings, Kept.ENVIRONMENT
    place = (target.mode, target.product, target.host)
    known = next((each for each in connections(target.state) if each.place == place), None)
    if known is not None and known.kept is not Kept.ENVIRONMENT and not request.new_key:
        _, key = find_key(target.state, target.mode, target.product, target.settings)
        return key, store if request.keyring else known.kept
    require_terminal("a key is typed", "; or give --key-file")
    if not request.as_json:
        what = "the demo trading site" if target.mode is Mode.DEMO else "the exchange"
        say(
            f"Create a key at {what}: it must be allowed to trade {target.product}, and neither to withdraw nor to "
            "transfer. What you type is not shown."
        )
    return checked_form(typed("API key: ").strip(), typed("secret: ").strip()), store


def _sandbox_key(settings: Settings) -> ApiKey:
    from ocw_mcp.sandbox.binance.account.keys import made_key

    if settings.binance_loopback is None:
        raise SettingsError(
            "--sandbox-key is for a sandbox exchange, and BINANCE_LOOPBACK names none; set it to the address that ocw "
            "sandbox binance prints, or leave the option out"
        )
    made = made_key("1")
    return ApiKey(made.key, made.secret)


def _key_of_file(path: Path) -> ApiKey:
    """Return the key of a file with two lines: key and secret. Raises SettingsError, which shows no line of it."""
    try:
        data = sys.stdin.buffer.read(_LARGEST) if str(path) == "-" else read_file(path, _LARGEST, private=True)
        lines = data.decode().split()
    except FileRefused as error:
        raise SettingsError(str(error)) from None
    except UnicodeDecodeError:
        raise SettingsError(f"--key-file {path} is not text; expected two lines, the key and its secret") from None
    except OSError as error:
        raise SettingsError(f"--key-file {path} cannot be read: {error.strerror}; check the path") from None
    if len(lines) != 2:
        raise SettingsError(f"--key-file {path} has {len(lines)} words; expected two lines, the key and its secret")
    return checked_form(lines[0], lines[1])


async def _examine(
    request: ConnectRequest, target: Target, key: ApiKey, machine: Any
) -> tuple[list[Check], AccountFound | None]:
    """Return the checks, after the settings were changed if that was requested, and the account."""
    checks = [Check("host", CheckVerdict.OK, "")]
    loopback = target.settings.binance_loopback
    async with open_calls(target.mode, target.product, key, loopback, machine) as account:
        checks = [Check("host", CheckVerdict.OK, f"{account.where}, for {target.mode} {target.product}")]
        if request.set_up and not await _set_up(account, target, checks):
            return checks, None
        found = None
        async for each in check_account(account, target.symbols):
            if isinstance(each, AccountFound):
                found = each
            else:
                checks.append(each)
    return checks, found


async def _set_up(account: AccountCalls, target: Target, checks: list[Check]) -> bool:
    """Change the settings, and add the outcomes; return False without a change if the key must not be used."""
    allowed = await check_permissions(account)
    if allowed.verdict is CheckVerdict.PROBLEM:
        checks.append(allowed)
        return False
    async for outcome in set_up(account, target.symbols):
        checks.append(msgspec.structs.replace(outcome, name=f"set {outcome.name}"))
    return True


def _require_account(target: Target, fingerprint: str) -> None:
    """Raise BookError if the book of the directory belongs to another account."""
    if has_book(target.state) and (bound := peek_book(target.state).stamp.account) != fingerprint:
        raise BookError(
            f"the book in {target.state} belongs to account {bound}, and this key to account {fingerprint}; expected a "
            "key of the same account; nothing was stored: use such a key, or another --state directory"
        )


def _closing(target: Target, kept: Kept, wrong: list[Check], stored: bool) -> str:
    """Return the last line: what was stored, and the next command."""
    if not stored:
        return "nothing was stored"
    where = {
        Kept.FILE: "the key is stored in keys.json, which only you can read",
        Kept.KEYRING: "the key is stored in the keyring of the system",
        Kept.ENVIRONMENT: "the key stays in the settings, and only its fingerprint is stored",
    }[kept]
    if wrong:
        return f"{where}; mend what is wrong, and run it again"
    if target.mode is Mode.LIVE:
        return f"{where}; a live book also needs a mandate: ocw connect --mode live --mandate --state {target.state}"
    run = f"ocw run --mode {target.mode} --market binance --product {target.product} --state {target.state}"
    return f"{where}; next: {run}"
