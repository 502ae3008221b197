"""The user data stream of futures: a connection with a listen key, which has to be extended."""

from collections.abc import Awaitable, Callable
from typing import Final

from ocw_mcp.adapters.binance.transport import Connection, pause
from ocw_mcp.adapters.venues.binance.queries import Queries, QueryFailed

EXTENDED_EVERY_S: Final = 25 * 60.0
"""The time (s) after which the listen key is extended; it lives for an hour."""
_TRIED_AGAIN_S: Final = 60.0
"""The time (s) after which a failed extension is tried again."""


class ListenKeyChannel:
    """Opens connections with the account's listen key, and extends it."""

    def __init__(self, queries: Queries, connect: Callable[[str], Awaitable[Connection]]) -> None:
        self._queries, self._connect = queries, connect

    async def connect(self) -> Connection:
        """Return a connection that delivers events. Raises QueryFailed or MarketUnreachable."""
        key = await self._queries.listen_key()
        return await self._connect(f"/private/ws?listenKey={key}")

    async def keep(self) -> str:
        """Extend the listen key now and then; return when it does not exist any more."""
        wait = EXTENDED_EVERY_S
        while True:
            await pause(wait)
            try:
                if not await self._queries.extend_listen_key():
                    return "its listen key has expired"
            except QueryFailed:
                wait = _TRIED_AGAIN_S
            else:
                wait = EXTENDED_EVERY_S
