"""The user data stream of spot: a signed subscription on a connection to the WebSocket API."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

import msgspec

from ocw_mcp.adapters.binance.transport import Connection
from ocw_mcp.adapters.venues.binance.client import SignedClient
from ocw_mcp.adapters.venues.binance.errors import Banned, Outcome, Refused, Unanswered, classify
from ocw_mcp.adapters.venues.binance.queries import QueryFailed
from ocw_mcp.domain.market import Product

PATH: Final = "/ws-api/v3"
SUBSCRIBE: Final = "userDataStream.subscribe.signature"
_WEIGHT: Final = 2
_ID: Final = "user"


class _Error(msgspec.Struct):
    code: int
    text: str = msgspec.field(name="msg", default="")


class _Answer(msgspec.Struct):
    id: str | int | None = None
    status: int = 0
    error: _Error | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer, strict=False)


class _Subscribed:
    """A connection whose first messages came with the answer to the subscription."""

    def __init__(self, connection: Connection, first: Sequence[bytes | str]) -> None:
        self._connection, self._first = connection, first

    async def receive(self) -> Sequence[bytes | str]:
        """Return the messages that have arrived, at least one. Raises MarketUnreachable after the last."""
        first, self._first = self._first, ()
        return first or await self._connection.receive()

    async def send(self, text: str) -> None:
        """Send a text message. Raises MarketUnreachable if the connection is closed."""
        await self._connection.send(text)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


class SubscriptionChannel:
    """Opens connections that are subscribed to the account's events. A subscription needs no extension."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def connect(self) -> Connection:
        """Return a connection that delivers events. Raises QueryFailed or MarketUnreachable."""
        connection = await self._client.transport.connect(PATH)
        try:
            try:
                params = await self._client.subscription(weight=_WEIGHT)
            except (Banned, Unanswered) as error:
                until = error.until_ms if isinstance(error, Banned) else 0
                raise QueryFailed(f"the subscription was not sent: {error}", until) from error
            request = {"id": _ID, "method": SUBSCRIBE, "params": params}
            await connection.send(msgspec.json.encode(request).decode())
            return _Subscribed(connection, await self._answered(connection))
        except BaseException:
            await connection.close()
            raise

    async def _answered(self, connection: Connection) -> Sequence[bytes | str]:
        """Wait for the answer to the subscription, and return the messages that came after it.

        Raises QueryFailed if it is refused.
        """
        while True:
            messages = await connection.receive()
            for number, each in enumerate(messages):
                try:
                    answer = _ANSWER.decode(each)
                except (msgspec.MsgspecError, UnicodeError):
                    continue
                if answer.id != _ID:
                    continue
                if answer.status == 200:
                    return messages[number + 1 :]
                await self._refuse(answer)

    async def _refuse(self, answer: _Answer) -> None:
        """Raise QueryFailed. After a refused time stamp, the exchange's time is measured again first."""
        error = answer.error or _Error(0, "without a reason")
        verdict = classify(answer.status, error.code, error.text, Product.SPOT)
        if verdict.outcome is Outcome.CLOCK:
            with contextlib.suppress(Banned, Unanswered):
                await self._client.measure_time()
        refused = Refused(error.code, error.text, answer.status, verdict)
        raise QueryFailed(f"the subscription was refused: {refused}") from refused

    async def keep(self) -> str:
        """Wait without end: there is nothing to extend."""
        await asyncio.Event().wait()
        return ""
