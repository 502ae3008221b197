"""Parses arguments of the command line and of `replay`; each error names the option or argument."""

import re
import unicodedata
from ipaddress import ip_address
from math import inf
from typing import NamedTuple

from ocw_mcp.adapters.feeds.tape.options import DISCONTINUITY_FACTOR, STAMP_CHANGE, TapeOptions
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.market import Product
from ocw_mcp.domain.time import day_begins, span_ms

END, BEGINNING = "end", "beginning"
NEVER = 1 << 62
"""A time (ms) after every time stamp."""
LISTEN_DEFAULT = "127.0.0.1:8080"


class ListenAddress(NamedTuple):
    """An address to serve at; `hosts` are the accepted host names other than loopback. Port 0 is any free port."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The host as written in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_product(text: str | None, option: str = "--product") -> Product | None:
    """Return the product, `um` (futures) or `spot`; None for None. Raises SettingsError for any other text."""
    try:
        return Product(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"{option} is {text!r}; expected spot or um") from error


def parse_symbols(text: str | None, option: str = "--symbols") -> tuple[str, ...]:
    """Return comma-separated symbols as they were written, sorted; an empty tuple for None. Raises SettingsError."""
    if text is None:
        return ()
    symbols = sorted({unicodedata.normalize("NFC", part.strip()) for part in text.split(",")})
    wrong = [symbol for symbol in symbols if not re.fullmatch(r"\w[\w/:\- ]{0,38}\w", symbol)]
    if wrong:
        raise SettingsError(f"{option} has {wrong[0]!r}, not a symbol; expected symbols such as BTCUSDT,ETHUSDT")
    return tuple(symbols)


def parse_span(text: str | None, option: str = "--for") -> int | None:
    """Return a span of time such as `30d` in ms; None for None. Raises SettingsError for any other text."""
    try:
        return span_ms(text) if text is not None else None
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from error


def tape_terms(strict: bool, discontinuity: float | None, stamps: str | None) -> TapeOptions:
    """Return the options for reading a tape; None gives the default value. Raises SettingsError."""
    factor = DISCONTINUITY_FACTOR if discontinuity is None else discontinuity
    if not 1 < factor < inf:
        raise SettingsError(
            f"--discontinuity is {factor:g}; expected a factor above 1 such as {DISCONTINUITY_FACTOR:g}; correct it"
        )
    begins_from = {None: STAMP_CHANGE, END: NEVER, BEGINNING: 0}.get(stamps)
    if begins_from is None:
        try:
            begins_from = day_begins(stamps or "")
        except ValueError:
            raise SettingsError(
                f"--metrics-stamps is {stamps!r}; expected {END}, {BEGINNING}, or the first day whose time stamps "
                "mean the beginning of a period, such as 2026-06-25; correct it"
            ) from None
    return TapeOptions(strict, factor, begins_from)


def parse_listen_address(text: str, hosts: tuple[str, ...]) -> ListenAddress:
    """Return the address of `--serve`. An address beyond loopback needs `hosts` (SERVE_HOSTS). Raises SettingsError."""
    found = re.fullmatch(r"(?:(\[[0-9a-fA-F:]+\]|[0-9.]+|localhost):)?([0-9]{1,5})", text.strip())
    host = (found[1] or "127.0.0.1").strip("[]") if found else ""
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ip_address(host)
    except ValueError:
        address = None
    if found is None or address is None or int(found[2]) > 65_535:
        raise SettingsError(
            f"--serve is {text[:40]!r}; expected an address and a port such as {LISTEN_DEFAULT}, or a port"
        )
    if not address.is_loopback and not hosts:
        raise SettingsError(
            f"--serve {text} would answer other machines over plain HTTP; if that is intended, set SERVE_HOSTS to the "
            f"host names that they use for this machine, and add a TLS proxy; otherwise serve at {LISTEN_DEFAULT}"
        )
    return ListenAddress(host, int(found[2]), hosts)
