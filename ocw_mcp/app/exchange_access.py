"""The checked key that a demo or live run needs before its book is opened, and the mandate that a live run needs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ocw_mcp.adapters.binance.api_key import ApiKey
from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.control import mandate
from ocw_mcp.adapters.control.keys import Connection, HostClass, checked_form, find_connection
from ocw_mcp.adapters.store.book import peek_book
from ocw_mcp.adapters.store.directory import has_book
from ocw_mcp.adapters.venues.binance.hosts import venue_hosts
from ocw_mcp.app.markets import BINANCE
from ocw_mcp.app.policy_loader import LoadedPolicies, under_mandate
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain.errors import BookError, SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.state import Mode
from ocw_mcp.runtime.clock import LiveClock

VENUE = "binance"


class ExchangeAccess(NamedTuple):
    """The account of a demo or live run, and how its venue is made."""

    mode: Mode
    account: str
    """The fingerprint of the account, which the book is bound to."""
    make_venue: Callable[[str, tuple[str, ...], LiveClock], ExchangeVenue]
    """Makes the venue of a book from its id, its symbols and its clock. It may import the libraries of the exchange."""


def require_mode(directory: Path, mode: Mode) -> None:
    """Raise BookError if a state directory has a book of another mode: a book never changes its mode."""
    if has_book(directory) and (made := peek_book(directory).stamp.mode) is not mode:
        raise BookError(
            f"the book in {directory} is a {made} book, and this command is for {mode} mode; expected a book of the "
            f"same mode, since a book never changes its mode; give --mode {made}, or use another --state directory"
        )


def require_exchange(mode: Mode, market: str, state: Path | None) -> Path:
    """Return the state directory of a demo or live run. Raises SettingsError for a run that cannot be one."""
    if market != BINANCE:
        raise SettingsError(
            f"the mode is {mode}, and --market is {market}; expected --market binance, since {mode} orders trade on "
            "the exchange; give it, or use --mode paper"
        )
    if state is None:
        raise SettingsError(
            f"the mode is {mode}, and no state directory is given; expected one, since the book of an account must be "
            "kept; give --state DIR, or set OCW_STATE"
        )
    return state


def host_class(settings: Settings) -> HostClass:
    """Return where signed requests of these settings go."""
    return HostClass.EXCHANGE if settings.binance_loopback is None else HostClass.LOOPBACK


def key_of_settings(settings: Settings) -> ApiKey | None:
    """Return the key of BINANCE_API_KEY and BINANCE_SECRET_KEY, or None. Raises SettingsError if one is missing."""
    key, secret = settings.binance_api_key, settings.binance_secret_key
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        missing = "BINANCE_API_KEY" if key is None else "BINANCE_SECRET_KEY"
        raise SettingsError(
            f"{missing} is not set, and the other of the two is; expected both or neither; set {missing} as well, or "
            "remove the other, and store the key with ocw connect"
        )
    return checked_form(key.get_secret_value(), secret.get_secret_value())


def find_key(directory: Path, mode: Mode, product: Product, settings: Settings) -> tuple[Connection, ApiKey]:
    """Return the checked key of a state directory for a mode and a product. Raises SettingsError and BookError."""
    return find_connection(directory, mode, product, host_class(settings), key_of_settings(settings))


def open_access(
    mode: Mode,
    product: Product,
    state: Path,
    settings: Settings,
    policies: LoadedPolicies,
    warn: Callable[[str], None],
    weights: Weights | None = None,
) -> tuple[ExchangeAccess, LoadedPolicies]:
    """Return the account of a demo or live run and its policies; those of a live run are under its mandate.

    `weights` is the budget of the host of the market, which the venue shares unless it has another host, as in demo
    trading. Raises SettingsError and BookError if the key was not checked, or if live mode has no valid mandate.
    """
    connection, key = find_key(state, mode, product, settings)
    if mode is Mode.LIVE:
        policies = policies_under_mandate(state, connection.account, policies, warn)

    def make_venue(book: str, symbols: tuple[str, ...], clock: LiveClock) -> ExchangeVenue:
        from ocw_mcp.app.exchange_account import binance_venue

        loopback, account = settings.binance_loopback, connection.account
        is_shared = venue_hosts(mode, product, loopback).rest == hosts_of(product, loopback).rest
        shared = weights if is_shared else None
        return binance_venue(mode, product, key, loopback, book, symbols, clock, account, shared)

    return ExchangeAccess(mode, connection.account, make_venue), policies


def policies_under_mandate(
    directory: Path, account: str, policies: LoadedPolicies, warn: Callable[[str], None]
) -> LoadedPolicies:
    """Return the policies of a live run: its own limits, and those of the mandate of its state directory.

    A new book needs a mandate that has not expired. An existing book starts with an expired one, so that its positions
    are managed, and `warn` gets one sentence. Raises SettingsError and BookError without a valid mandate.
    """
    now = time.time_ns() // 1_000_000  # noqa: TID251 - the start of a process; the engine has its own time
    found = mandate.require(directory, account, policies.hash, now)
    if now >= found.expires_at:
        way = f"renew it with ocw connect --mode live --mandate --state {directory}"
        if not has_book(directory):
            raise SettingsError(f"the mandate of {directory} has expired, and no book was created; {way}")
        warn(f"the mandate has expired, so no entry passes, and positions are only managed and closed; {way}")
    return under_mandate(policies, found)
