"""Checks of the market of a book: whether the exchange answers, its clock, the symbols and the weight of requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from ocw_mcp.adapters.feeds.binance.clock import LIMIT_MS
from ocw_mcp.app.markets import BINANCE, SIMULATED
from ocw_mcp.app.settings import Settings
from ocw_mcp.domain.errors import FeedError, OcwError
from ocw_mcp.domain.market import Instrument, MarketIdentity, Product
from ocw_mcp.domain.money import plain

if TYPE_CHECKING:
    from ocw_mcp.app.live_market import StreamState

MUCH_WEIGHT: Final = 0.7
"""The part of the allowed weight of a minute above which the feed waits with requests for history and gaps."""
_MOST_NAMED: Final = 5


class CheckVerdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Check(msgspec.Struct, frozen=True):
    """One check: its name, its result, what it found, what to do about it, and what is expected."""

    name: str
    verdict: CheckVerdict
    found: str
    todo: str = ""
    expected: str = ""


def market_checks(market: MarketIdentity | None, load: Callable[[], Settings]) -> Iterator[Check]:
    """Yield the checks of a market; None stands for the live market with its usual symbols.

    `load` returns the settings. An exchange that cannot be reached has one check, with the reason.
    """
    if market is not None and market.kind != BINANCE:
        kind = "simulated" if market.kind == SIMULATED else "recorded"
        why = f"{kind}: no exchange is asked; connection, clock offset, symbols and request weight do not apply"
        yield Check("market", CheckVerdict.OK, why)
        return
    # The libraries of the network are imported only for the live market.
    from ocw_mcp.app.live_market import SYMBOLS, ask_exchange

    product, symbols = (Product.UM, SYMBOLS) if market is None else (market.product, market.symbols)
    try:
        loopback = load().binance_loopback
    except OcwError:
        # The check of the settings reports what is wrong with them.
        return
    try:
        state = ask_exchange(product, symbols, loopback)
    except FeedError as error:
        # The error about a sandbox says itself what to do.
        todo = "check the network" if loopback is None else ""
        text = f"cannot be reached, so its clock, symbols and request weight are not known: {_line(error)}"
        yield Check("exchange", CheckVerdict.PROBLEM, text, todo)
        return
    where = "Binance" if loopback is None else f"the sandbox exchange at {loopback}"
    yield Check("exchange", CheckVerdict.OK, f"{where} answers")
    yield _clock_offset(state.offset_ms, state.offset_error_ms)
    yield _streams(state.streams)
    yield _symbols({symbol: status for symbol, status in state.status.items() if status != "TRADING"}, symbols)
    if state.filters:
        yield _filters(state.filters)
    yield _weight(state.weight, state.weight_limit)


def _clock_offset(offset_ms: int, error_ms: int) -> Check:
    way = "ahead of" if offset_ms > 0 else "behind"
    found = f"{abs(offset_ms)} ms {way} the exchange's clock, give or take {error_ms} ms"
    if abs(offset_ms) <= LIMIT_MS:
        return Check("clock offset", CheckVerdict.OK, found)
    todo = "set the clock of this machine, and keep it with NTP"
    return Check("clock offset", CheckVerdict.PROBLEM, f"{found}: above {LIMIT_MS} ms no entry passes", todo)


def _streams(streams: "Sequence[StreamState]") -> Check:
    """Return the check of the stream connections, each with the time until its first price."""
    if not streams:
        return Check(
            "streams", CheckVerdict.WARNING, "not tried, because no symbol trades", "see the check of the symbols"
        )
    silent = [f"{each.path}: {each.why}" for each in streams if each.after_ms is None]
    if silent:
        todo = "let this machine open websockets (wss) to the exchange: without streams no entry passes"
        return Check("streams", CheckVerdict.PROBLEM, "; ".join(silent), todo)
    found = ", ".join(f"{each.path} has prices after {each.after_ms} ms" for each in streams)
    return Check("streams", CheckVerdict.OK, found)


def _filters(filters: Mapping[str, Instrument]) -> Check:
    """Return the check that shows the filters with which orders are rounded and refused."""
    named = list(filters.items())[:_MOST_NAMED]
    shown = [
        f"{symbol} tick {plain(each.tick)} step {plain(each.step)} least {plain(each.min_quantity)}, worth "
        f"{plain(each.min_notional)}"
        for symbol, each in named
    ]
    more = f"; and {len(filters) - _MOST_NAMED} others" if len(filters) > _MOST_NAMED else ""
    return Check("filters", CheckVerdict.OK, f"{'; '.join(shown)}{more}")


def _symbols(wrong: dict[str, str], symbols: tuple[str, ...]) -> Check:
    """Return the check of the symbols of a book; `wrong` has the status of those that do not trade."""
    if not wrong:
        named = ", ".join(symbols[:_MOST_NAMED])
        more = f" and {len(symbols) - _MOST_NAMED} others" if len(symbols) > _MOST_NAMED else ""
        return Check("symbols", CheckVerdict.OK, f"{named}{more}: tradable")
    listed = ", ".join(f"{symbol} ({status[:40]})" for symbol, status in list(wrong.items())[:_MOST_NAMED])
    found = f"{len(wrong)} of {len(symbols)} not tradable: {listed}"
    verdict = CheckVerdict.PROBLEM if len(wrong) == len(symbols) else CheckVerdict.WARNING
    return Check("symbols", verdict, found, "no entry of these passes; see the exchange's announcements")


def _weight(used: int, limit: int) -> Check:
    found = f"{used:,} of {limit:,} used in this minute, by all programs on this address"
    if used <= MUCH_WEIGHT * limit:
        return Check("request weight", CheckVerdict.OK, found)
    todo = "stop other programs that ask the exchange from this address: it bans an address that goes on"
    return Check("request weight", CheckVerdict.WARNING, found, todo)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
