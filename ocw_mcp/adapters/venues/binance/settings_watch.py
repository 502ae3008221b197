"""Looks at the settings of the account and the rights of the key while a book runs: both can be changed in the app."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ocw_mcp.adapters.binance.transport import pause
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.domain.errors import VenueRefused
from ocw_mcp.domain.orders import VenueNotice, VenueNoticeKind

EVERY_S: Final = 300.0
"""The time (s) between two looks. Position mode and rights have no event; that of another setting may be lost."""


class SettingsWatch:
    """Halts a book once its account has settings with which it would not have started."""

    def __init__(self, check: Callable[[], Awaitable[None]], say: Callable[[VenueNotice], None]) -> None:
        """`check` raises VenueRefused for wrong settings, and QueryFailed without an answer."""
        self._check, self._say = check, say
        self._said = ""

    async def run(self) -> None:
        """Look every `EVERY_S` until the task is cancelled."""
        while True:
            await pause(EVERY_S)
            with suppress(QueryFailed):
                await self._look()

    async def _look(self) -> None:
        """Report a halt if the settings are wrong, once for each cause."""
        try:
            await self._check()
        except VenueRefused as refused:
            if str(refused) != self._said:
                self._said = str(refused)
                self._say(VenueNotice(VenueNoticeKind.HALT, f"while the book ran: {refused}"))
        else:
            self._said = ""
