"""The steps of `ocw connect --mandate`: the terms, the passphrase, the proving order, and the seal."""

import hashlib
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.control import mandate, passphrase
from ocw_mcp.adapters.control.mandate import LONGEST_DAYS, Mandate
from ocw_mcp.adapters.store.directory import StateLock, has_book
from ocw_mcp.adapters.store.figures import read_last_run
from ocw_mcp.adapters.store.reader import ask_book
from ocw_mcp.app import exchange_account
from ocw_mcp.app.cli.connect_steps import ConnectRequest, Target
from ocw_mcp.app.cli.control import ask_passphrase, require_terminal, typed
from ocw_mcp.app.output import say
from ocw_mcp.app.parsing import parse_symbols
from ocw_mcp.app.policy_loader import load_policies, under_mandate
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.time import DAY


def give_mandate(request: ConnectRequest, target: Target, key: ApiKey, account: str) -> None:
    """Give the mandate of a live book. Raises OcwError, and changes no file then; exits 1 for a wrong passphrase."""
    state = target.state
    require_terminal("a mandate is given")
    if not passphrase.is_set(state):
        raise SettingsError(
            "a mandate is sealed with the passphrase, and none is set; set one first, at a terminal: "
            f"ocw passphrase set --state {state}"
        )
    policies = load_policies(request.policies, request.policy)
    # No engine may trade the account while the proving order does.
    with StateLock(state):
        _require_clean_end(state)
        terms = _terms(request, account, policies.hash)
        bound = under_mandate(policies, terms).policies
        say(f"The mandate: {terms}, for account {account} and the policies {policies.policies.name}.")
        say("Before it is sealed, an order of the smallest size is bought, protected with a stop, and sold again.")
        ask_passphrase(state, "the passphrase, to allow that order and to seal the mandate: ")
        book = hashlib.sha256(f"{account} {terms.given_at}".encode()).hexdigest()[:6]
        loopback = target.settings.binance_loopback
        proof = exchange_account.prove(
            target.mode,
            target.product,
            key,
            loopback,
            book,
            terms.symbols[0],
            bound,
            lambda line: say(f"  {line}"),
            account=account,
        )
        mandate.give(state, msgspec.structs.replace(terms, proven_at=proof.ended_at))
    own = "" if request.policies is None else f" --policies {request.policies}"
    named = f"{own} --policy {request.policy} --symbols {','.join(terms.symbols)}"
    run = f"LIVE_TRADING=true ocw run --mode live --market binance --product {target.product}{named} --state {state}"
    say(f"The mandate is sealed. It is for these policies only: {run}")


def _terms(request: ConnectRequest, account: str, policy: str) -> Mandate:
    """Return the terms of the mandate, asked for at the terminal if an option is missing. Raises SettingsError."""
    amount = request.amount or typed("the largest notional of all positions and entries together, in quote: ")
    names = parse_symbols(request.symbols or typed("the symbols, such as BTCUSDT,ETHUSDT: "))
    days = typed(f"for how many days, at most {LONGEST_DAYS}: ") if request.days is None else str(request.days)
    now = time.time_ns() // 1_000_000  # noqa: TID251 - the time at which a person gives it
    if not days.strip().isdecimal():
        raise SettingsError(f"--days is {days[:20]!r}; expected a whole number from 1 to {LONGEST_DAYS}")
    ends = now + int(days) * DAY
    terms = Mandate(account, policy, _amount(amount), tuple(each.upper() for each in names), now, ends, now)
    mandate.require_valid(terms)
    return terms


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text.strip().replace(",", ""))
    except InvalidOperation:
        raise SettingsError(f"--amount is {text[:20]!r}; expected a number in quote currency, such as 500") from None


def _require_clean_end(state: Path) -> None:
    """Raise BookError if the last run was interrupted: its last steps must be repeated under the same mandate."""
    if not has_book(state):
        return
    last = ask_book(state, lambda db, _book: read_last_run(db))
    if last is not None and last.to_be_repeated:
        raise BookError(
            f"the last run of the book in {state} was interrupted, and its last steps must be repeated under the same "
            "mandate; start it, stop it with Ctrl-C, and then renew the mandate"
        )
