"""Listen keys, and what a connection with one of them says."""

import hashlib
from typing import Final

from ocw_mcp.domain.time import HOUR
from ocw_mcp.sandbox.binance.account import events
from ocw_mcp.sandbox.binance.account.account import Account
from ocw_mcp.sandbox.binance.account.events import Event
from ocw_mcp.sandbox.binance.parameters import ApiError

LIFETIME: Final = HOUR
"""The time (ms) after which a listen key that was not extended expires."""
MOST_ENDED: Final = 1_000


class ListenKeys:
    """The listen key of the account: there is one at a time."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._number = 0
        self._current: str | None = None
        self._expires = 0
        self._ended: dict[str, int] = {}
        """By key that has ended: the place in the log behind the last event that its connections get."""

    def start(self) -> str:
        """Return the active listen key, extended by an hour; a new one if there is none."""
        if self._current is None:
            self._number += 1
            self._current = hashlib.sha256(f"sandbox listen key {self._number}".encode()).hexdigest()
        self._extend()
        return self._current

    def keep_alive(self) -> str:
        """Extend the active listen key, and return it. Raises ApiError if there is none."""
        if self._current is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        self._extend()
        return self._current

    def close(self) -> None:
        """End the active listen key; its connections stay open, and mute."""
        if self._current is not None:
            self._end(self._current)

    def expire(self, at: int) -> bool:
        """Let the active listen key expire; return whether there was one."""
        if self._current is None:
            return False
        self._account.state.log.add(events.key_expired(self._current, at))
        self._end(self._current)
        return True

    def _extend(self) -> None:
        self._expires = self._account.at + LIFETIME
        self._account.plan(self._expires, self._check)

    def _check(self, at: int) -> None:
        if self._current is not None and at >= self._expires:
            self.expire(at)

    def _end(self, key: str) -> None:
        self._current = None
        self._ended[key] = self._account.state.log.end
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def passes(self, event: Event, place: int, key: str) -> bool:
        """Return whether connections with a listen key get the event at a place in the log."""
        if event.key not in (None, key):
            return False
        return key == self._current or place < self._ended.get(key, 0)


class UserSource:
    """The events of the account that one connection gets."""

    def __init__(self, account: Account, keys: ListenKeys, key: str, names: frozenset[str]) -> None:
        """`names` are the events that the connection asked for; all if it is empty."""
        self._account, self._keys, self._key, self._names = account, keys, key, names
        self._place = account.state.log.end

    def __call__(self, until: int) -> list[Event]:
        """Return the events that are sent up to a time (ms); each call continues the one before it."""
        self._account.advance(until)
        found, self._place = self._account.state.log.read(self._place, until)
        first = self._place - len(found)
        return [
            each
            for place, each in enumerate(found, first)
            if (not self._names or each.kind in self._names) and self._keys.passes(each, place, self._key)
        ]
