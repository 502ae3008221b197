"""The sources outside of the exchange that the settings name."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ocw_mcp.app.settings import Settings
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.protocols import MacroCalendar, OutsideReader
from ocw_mcp.runtime.clock import LiveClock

if TYPE_CHECKING:
    from ocw_mcp.adapters.outside.http import OutsideHttp

CACHE: Final = "outside"
"""The directory in the state directory that keeps the last reports."""


class Outside(NamedTuple):
    """What a run reads outside of the exchange; by default nothing."""

    readers: tuple[OutsideReader, ...] = ()
    """The sources of a live market."""
    macro: MacroCalendar | None = None
    """The macro regime of a simulated or recorded market."""
    http: "OutsideHttp | None" = None

    async def close(self) -> None:
        """Close the connections of the sources."""
        if self.http is not None:
            await self.http.close()


def outside_of(settings: Settings, state: Path | None, *, live: bool) -> Outside:
    """Return the sources of a run. Raises SettingsError if a setting lacks another one or a file is at fault.

    A simulated or recorded market, and that of the sandbox exchange, has only the macro regime of MACRO_DIR, as known
    at its time: the reports of today do not belong to it.
    """
    _check(settings)
    calendar = None if settings.macro_dir is None else _calendar(settings.macro_dir)
    if not live:
        return Outside(macro=calendar)
    if settings.binance_loopback is not None or not settings.outside:
        return Outside() if calendar is None else Outside(readers=(_of_files(calendar),))
    # The libraries of the network are imported only if a source is configured.
    from ocw_mcp.adapters.outside.cache import CachedSource, no_items
    from ocw_mcp.adapters.outside.fred import Fred
    from ocw_mcp.adapters.outside.headlines import Headlines
    from ocw_mcp.adapters.outside.http import OutsideHttp
    from ocw_mcp.adapters.outside.values import Dominance, EtfFlow, FearGreed, Stablecoins
    from ocw_mcp.domain.protocols import OutsideSource

    http, machine_ms = OutsideHttp(), LiveClock().machine
    made: dict[str, OutsideSource] = {
        "macro": Fred(http, machine_ms, settings.fred_api_key),
        "fear_greed": FearGreed(http),
        "stablecoins": Stablecoins(http),
        "btc_dominance": Dominance(http),
        "etf_flow": EtfFlow(http),
        "headlines": Headlines(http, settings.headline_feeds),
    }
    directory = None if state is None else state / CACHE
    unread = {Fred.name: Fred.unread}
    readers: list[OutsideReader] = [
        CachedSource(made[name], directory, machine_ms, unread=unread.get(name, no_items)) for name in settings.outside
    ]
    return Outside(tuple(readers), http=http)


def _check(settings: Settings) -> None:
    if "headlines" in settings.outside and not settings.headline_feeds:
        raise SettingsError(
            "OUTSIDE has headlines, and HEADLINE_FEEDS names no feed; expected the addresses of one or more RSS or "
            "Atom feeds; name them, or remove headlines"
        )
    if settings.headline_feeds and "headlines" not in settings.outside:
        raise SettingsError(
            "HEADLINE_FEEDS names feeds, and OUTSIDE lacks headlines; add headlines, or remove the feeds"
        )
    if "macro" in settings.outside and settings.macro_dir is not None:
        raise SettingsError(
            "OUTSIDE has macro, and MACRO_DIR names a directory; expected one source of the macro regime; remove one"
        )


def _calendar(directory: Path) -> MacroCalendar:
    from ocw_mcp.adapters.outside.macro_files import read_macro_files
    from ocw_mcp.core.macro.history import MacroHistory

    return MacroHistory(read_macro_files(directory))


def _of_files(calendar: MacroCalendar) -> OutsideReader:
    from ocw_mcp.adapters.outside.macro_files import MacroFiles

    return MacroFiles(calendar)
