"""One stream connection that never ends: subscriptions, reconnection, and a renewal before the exchange closes it.

A renewal opens a second connection, waits for its first data, and only then closes the old one, so that no message is
lost; the values that arrive twice are recognised by those who store them.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import Connection, Transport, pause
from ocw_mcp.adapters.feeds.binance.notices import MARKET, Notices
from ocw_mcp.adapters.feeds.binance.rest import back_off_s
from ocw_mcp.adapters.feeds.binance.wire import Answer, Route, Shutdown
from ocw_mcp.domain.errors import FeedError, MarketUnreachable

MOST_STREAMS: Final = 1_024
"""The streams that one connection may have."""
_IN_URL: Final = 100
"""The streams of the address; the others are subscribed to by messages of as many."""
_MESSAGE_EVERY_S: Final = 0.5
"""The exchange allows 5 messages a second on spot and 10 on futures, pongs included."""
_LIFETIME_S: Final = 23 * 3_600.0
"""The exchange closes a connection after 24 hours."""
_PROVEN_S: Final = 60.0
"""A connection that gave data for so long (s) ends the back-off."""
_FIRST_DATA_S: Final = 30.0
_OPEN_S: Final = 15.0
CONNECTION: Final = "connection"
"""The kind of incident of a connection that ended or cannot be opened."""
_SLICE: Final = 2_000
"""Messages that are processed before other tasks get a turn."""

Deliver = Callable[[Sequence[bytes | str]], tuple[int, list[Answer | Shutdown]]]


class _Link:
    """One connection and the task that reads it."""

    def __init__(self, connection: Connection, opened_at: float) -> None:
        self.connection, self.opened_at = connection, opened_at
        self.first_data = asyncio.Event()
        self.data_until = opened_at
        """The loop time (s) of the last batch with valid data."""
        self.task: asyncio.Task[None] | None = None


class StreamSocket:
    """The streams of one path, such as `/market`. `deliver` stores a batch of messages and returns how many were valid.

    `jitter` returns a number from 0 to below 1.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        routes: Sequence[Route],
        deliver: Deliver,
        notices: Notices,
        jitter: Callable[[], float],
    ) -> None:
        if len(routes) > MOST_STREAMS:
            raise FeedError(f"{len(routes)} streams on one connection; at most {MOST_STREAMS}: choose fewer symbols")
        self._transport, self._path, self.routes = transport, path, tuple(routes)
        self._deliver, self._notices, self._jitter = deliver, notices, jitter
        self._link: _Link | None = None
        self._renew = asyncio.Event()
        self._why_renew = ""
        self._request_id = 0
        self._not_before = 0.0
        """The loop time (s) before which no renewal is tried again."""
        self.opened = 0
        """The number of connections so far."""
        self.last_error = ""
        """Why the last connection ended or could not be opened."""

    @property
    def connected_at(self) -> float | None:
        """The loop time (s) at which the present connection was opened; None without one."""
        return None if self._link is None else self._link.opened_at

    def renew(self, why: str) -> None:
        """Replace the connection by a new one without a hole, at the next opportunity."""
        if not self._renew.is_set():
            self._why_renew = why
            self._renew.set()

    async def resubscribe(self, routes: Sequence[Route]) -> None:
        """Cancel and renew some subscriptions on the present connection."""
        link = self._link
        if link is None:
            return
        names = [route.name for route in routes]
        self._begin_whole(routes, None)
        try:
            for method in ("UNSUBSCRIBE", "SUBSCRIBE"):
                await self._send(link.connection, method, names)
                await pause(_MESSAGE_EVERY_S)
            if self._link is not None:
                self._begin_whole(routes, _loop_s())
        except MarketUnreachable as error:
            self.last_error = str(error)

    async def run(self) -> None:
        """Keep a connection open and deliver its messages, until the task is cancelled."""
        attempt = 0
        try:
            while True:
                try:
                    link = self._link = await self._open()
                except MarketUnreachable as error:
                    self.last_error = str(error)
                    self._report(f"cannot be opened: {error}")
                    await pause(back_off_s(attempt, self._jitter))
                    attempt += 1
                    continue
                self._notices.end(CONNECTION, self._path or "/")
                self._begin_whole(self.routes, link.opened_at)
                link = await self._until_lost(link)
                self._begin_whole(self.routes, None)
                proven = link.data_until - link.opened_at >= _PROVEN_S
                self._link = None
                await link.connection.close()
                self._report(f"ended: {self.last_error}")
                attempt = 0 if proven else attempt + 1
                # Also a connection that is accepted and closed at once is not opened again without a pause.
                await pause(back_off_s(attempt, self._jitter))
        finally:
            await self._drop(self._link)
            self._link = None

    @staticmethod
    def _begin_whole(routes: Sequence[Route], at: float | None) -> None:
        """Note the loop time (s) since which some streams are received without a hole; None for a hole now."""
        for route in routes:
            route.whole_since = at

    def _report(self, what: str) -> None:
        self._notices.incident(MARKET, CONNECTION, f"{self._path or '/'} {what}"[:300], until=self._path or "/")

    async def _until_lost(self, link: _Link) -> _Link:
        """Return the last connection when it has ended; renew the connection in time."""
        while True:
            task = link.task
            assert task is not None
            lifetime = _LIFETIME_S * (1 - 0.02 * self._jitter())
            left = max(0.0, link.opened_at + lifetime - _loop_s())
            renewal = asyncio.ensure_future(self._renewal_due(left))
            try:
                await asyncio.wait({task, renewal}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                renewal.cancel()
            if task.done():
                self.last_error = str(task.exception() or "the exchange closed the connection")
                return link
            link = await self._replaced(link)

    async def _renewal_due(self, left: float) -> None:
        """Return when the connection has to be renewed, and not before the pause after a failed renewal."""
        try:
            async with asyncio.timeout(left):
                await self._renew.wait()
        except TimeoutError:
            self._why_renew = "it is nearly a day old"
        await pause(max(0.0, self._not_before - _loop_s()))

    async def _replaced(self, old: _Link) -> _Link:
        """Return a new connection that gives data, and close the old one; return the old one if that fails."""
        self._renew.clear()
        self._not_before = _loop_s() + _FIRST_DATA_S * (1 + self._jitter())
        try:
            new = await self._open()
        except MarketUnreachable as error:
            self.last_error = str(error)
            self.renew(self._why_renew)
            return old
        try:
            async with asyncio.timeout(_FIRST_DATA_S):
                await new.first_data.wait()
        except TimeoutError:
            self.last_error = f"the new connection gave no data in {_FIRST_DATA_S:.0f} s"
            await self._drop(new)
            self.renew(self._why_renew)
            return old
        except BaseException:
            await self._drop(new)
            raise
        if old.task is not None and old.task.done():
            # The old connection ended before the new one was complete.
            self._begin_whole(self.routes, new.opened_at)
        self._link = new
        await self._drop(old)
        return new

    async def _open(self) -> _Link:
        names = [route.name for route in self.routes]
        connection: Connection | None = None
        try:
            async with asyncio.timeout(_OPEN_S + _MESSAGE_EVERY_S * len(names) / _IN_URL):
                connection = await self._transport.connect(f"{self._path}/stream?streams={'/'.join(names[:_IN_URL])}")
                for first in range(_IN_URL, len(names), _IN_URL):
                    await self._send(connection, "SUBSCRIBE", names[first : first + _IN_URL])
                    await pause(_MESSAGE_EVERY_S)
        except BaseException as error:
            if connection is not None:
                await connection.close()
            if isinstance(error, TimeoutError):
                raise MarketUnreachable(f"{self._path or '/'} did not open in {_OPEN_S:.0f} s") from None
            raise
        link = _Link(connection, _loop_s())
        self.opened += 1
        link.task = asyncio.ensure_future(self._read(link))
        return link

    async def _send(self, connection: Connection, method: str, names: Sequence[str]) -> None:
        self._request_id += 1
        message = {"method": method, "params": list(names), "id": self._request_id}
        await connection.send(msgspec.json.encode(message).decode())

    async def _read(self, link: _Link) -> None:
        """Deliver messages until the connection ends, which raises MarketUnreachable."""
        receive, deliver = link.connection.receive, self._deliver
        while True:
            batch = await receive()
            for first in range(0, len(batch), _SLICE):
                valid, others = deliver(batch[first : first + _SLICE] if len(batch) > _SLICE else batch)
                if valid:
                    link.data_until = _loop_s()
                    link.first_data.set()
                for each in others:
                    self._take_other(each)
                if first + _SLICE < len(batch):
                    await pause(0)

    def _take_other(self, message: Answer | Shutdown) -> None:
        if isinstance(message, Shutdown):
            self.renew("the server announced its shutdown")
        elif message.error is not None:
            self._notices.incident(MARKET, "refused subscription", f"{self._path or '/'}: {message.error}")

    async def _drop(self, link: _Link | None) -> None:
        """Stop reading a connection and close it."""
        if link is None:
            return
        if link.task is not None:
            link.task.cancel()
            await _ended(link.task)
        await link.connection.close()


async def _ended(task: asyncio.Task[None]) -> None:
    """Wait until a cancelled task has ended, whatever its result is."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _loop_s() -> float:
    return asyncio.get_running_loop().time()
