"""The user data stream: reconnection with back-off, and a renewal before the exchange closes it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ocw_mcp.adapters.binance.transport import Connection, pause
from ocw_mcp.adapters.venues.binance.product import Channel
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.domain.errors import MarketUnreachable
from ocw_mcp.domain.time import SECOND

LIFETIME_S: Final = 23 * 3_600.0
"""The age (s) at which a connection is replaced; the exchange closes it after 24 hours."""
_OPEN_S: Final = 15.0
_OVERLAP_S: Final = 1.0
"""The time (s) for which the old connection is still read when a new one is open."""
_LONGEST_WAIT_S: Final = 30.0
_PROVEN_S: Final = 60.0
"""A connection that lived for so long (s) ends the back-off."""
_OLD: Final = "it is nearly a day old"


class _Link:
    """An open connection, and the task that reads it."""

    def __init__(self, connection: Connection, reader: asyncio.Task[None], opened_s: float) -> None:
        self.connection, self.reader, self.opened_s = connection, reader, opened_s

    async def close(self) -> None:
        self.reader.cancel()
        await asyncio.wait({self.reader})
        if not self.reader.cancelled():
            self.reader.exception()
        await self.connection.close()


class UserStream:
    """One user data stream that never ends."""

    def __init__(
        self,
        channel: Channel,
        now_ms: Callable[[], int],
        deliver: Callable[[Sequence[bytes | str]], None],
        changed: Callable[[bool, str], None],
        jitter: Callable[[], float],
    ) -> None:
        """`now_ms` returns the exchange's time. `deliver` takes the messages.

        `changed` is called when the stream is open, or down with the reason.

        `jitter` returns a number from 0 to below 1.
        """
        self._channel, self._now_ms, self._deliver = channel, now_ms, deliver
        self._changed, self._jitter = changed, jitter
        self._replace = asyncio.Event()
        self._why = ""
        self.opened_at: int | None = None
        """The exchange's time (ms) at which the present connection was opened; None while there is none."""
        self.connections = 0
        """The number of connections so far."""

    def replace(self, why: str) -> None:
        """Close the connection, and open another one: this one is mute, or its key has expired."""
        if self.opened_at is not None and not self._replace.is_set():
            self._why = why
            self._replace.set()

    async def run(self) -> None:
        """Keep a connection open and deliver its messages, until the task is cancelled."""
        attempt, link = 0, None
        try:
            while True:
                if link is None:
                    try:
                        link = await self._open()
                    except (QueryFailed, MarketUnreachable) as error:
                        self._changed(False, f"the user data stream cannot be opened: {error}")
                        await pause(self._wait_s(attempt, error))
                        attempt += 1
                        continue
                    self._changed(True, "")
                why = await self._until_over(link)
                if why is _OLD and (new := await self._renewed()) is not None:
                    await pause(_OVERLAP_S)
                    await link.close()
                    link = new
                    continue
                attempt = 0 if _loop_s() - link.opened_s >= _PROVEN_S else attempt + 1
                await link.close()
                link, self.opened_at = None, None
                self._changed(False, f"the user data stream ended: {why}")
                # Also a connection that is accepted and closed at once is not opened again without a pause.
                await pause(self._wait_s(attempt - 1, None) if attempt else 0)
        finally:
            self.opened_at = None
            if link is not None:
                await link.close()

    def _wait_s(self, attempt: int, error: Exception | None) -> float:
        """Return how long (s) to wait before the next attempt."""
        wait: float = min(2 ** min(attempt, 10), _LONGEST_WAIT_S) * (0.5 + self._jitter() / 2)
        until = error.until if isinstance(error, QueryFailed) else 0
        return max(wait, (until - self._now_ms()) / SECOND)

    async def _renewed(self) -> _Link | None:
        """Return a new connection beside the old one, or None if that fails."""
        try:
            return await self._open()
        except (QueryFailed, MarketUnreachable):
            return None

    async def _open(self) -> _Link:
        self._replace.clear()
        try:
            async with asyncio.timeout(_OPEN_S):
                connection = await self._channel.connect()
        except TimeoutError:
            raise MarketUnreachable(f"it did not open in {_OPEN_S:.0f} s") from None
        self.opened_at = self._now_ms()
        self.connections += 1
        return _Link(connection, asyncio.ensure_future(self._read(connection)), _loop_s())

    async def _read(self, connection: Connection) -> None:
        """Deliver messages until the connection ends, which raises MarketUnreachable."""
        while True:
            self._deliver(await connection.receive())

    async def _until_over(self, link: _Link) -> str:
        """Return why a connection has to be replaced."""
        left = max(0.0, link.opened_s + LIFETIME_S * (1 - 0.02 * self._jitter()) - _loop_s())
        keeper = asyncio.ensure_future(self._channel.keep())
        asked = asyncio.ensure_future(self._replace.wait())
        try:
            done, _ = await asyncio.wait(
                {link.reader, keeper, asked}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (keeper, asked):
                task.cancel()
            await asyncio.wait({keeper, asked})
        if link.reader in done:
            return str(link.reader.exception() or "the exchange closed it")
        if keeper in done:
            return keeper.result()
        return self._why if asked in done else _OLD


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
