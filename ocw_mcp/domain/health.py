"""The health of a live feed: the age of its streams, its counters, and the state of its requests."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec


class StreamHealth(msgspec.Struct, frozen=True):
    """One stream of a live feed."""

    name: str
    symbol: str
    age_ms: int | None
    """The time since its last valid message, or since a request confirmed that nothing has changed; None before it."""
    refused: bool
    """Whether messages have come since then, and none of them was valid."""


class FeedHealth(msgspec.Struct, frozen=True):
    """The health of a live feed. Counts begin with the process."""

    streams: tuple[StreamHealth, ...]
    incidents: Mapping[str, int]
    """All faults so far by kind, also those that were reported together; `degraded` counts degraded subjects."""
    messages: int
    """The valid messages so far."""
    reconnects: int
    """The connections that were opened in place of an earlier one."""
    clock_offset_ms: int | None
    """By how much the machine's clock is ahead of the exchange's; None before it is measured."""
    request_weight: int
    """The weight of requests in the present minute, of this machine's address as far as known."""
    request_weight_limit: int
    """The weight that the exchange allows in a minute."""
    requests_refused: int
    """The requests that the exchange answered with 429 or 418."""


@runtime_checkable
class HealthReporter(Protocol):
    """A feed that knows its health."""

    def health(self) -> FeedHealth | None:
        """Return the present health; None while the feed does not run."""
