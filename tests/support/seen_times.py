"""The times in which a book cannot see the exchange: no process runs, or the exchange refuses or fails all requests."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from ocw_mcp.domain.time import MINUTE, SECOND
from ocw_mcp.sandbox.binance.exchange import Request, Response
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from tests.support.oracles import Span, time_without

_ALL_REQUESTS = -1003


class Refusals:
    """The times for which an exchange refuses or fails all requests.

    A refusal counts from the answer that says until when. Failures count from the first to the last one without a
    success between them.
    """

    def __init__(self, exchange: FaultyExchange) -> None:
        self.spans: list[Span] = []
        self._failing: int | None = None
        self._handle = exchange.handle
        exchange.handle = self._noted  # type: ignore[method-assign]

    def _noted(self, request: Request, now: int) -> Response | None:
        response = self._handle(request, now)
        if response is None or response.status >= 500:
            self._failing = now if self._failing is None else self._failing
            self.spans.append((self._failing, now))
        elif response.status == 200:
            self._failing = None
        elif response.status in (418, 429):
            problem = msgspec.json.decode(response.body)
            if problem["code"] == _ALL_REQUESTS:
                self.spans.append((now, _end_of(response, problem["msg"], now)))
        return response


def _end_of(response: Response, text: str, now: int) -> int:
    """Return the time that an answer names; an answer without one means the minute of the limit."""
    wait, named = response.headers.get("Retry-After"), re.search(r"until (\d+)", text)
    if wait is not None:
        return now + int(wait) * SECOND
    return int(named[1]) if named else (now // MINUTE + 1) * MINUTE


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans without overlaps that cover the same time."""
    found: list[Span] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def settled_at(until: int, bound_ms: int, unseen: Sequence[Span]) -> int:
    """Return the latest time (ms) from which the exchange could be seen for `bound_ms` by the time `until`."""
    at = until - bound_ms
    while (lacking := bound_ms - time_without(at, until, unseen)) > 0:
        at -= lacking
    return at
