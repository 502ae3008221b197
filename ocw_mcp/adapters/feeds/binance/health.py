"""The health of a running session of the live feed."""

import asyncio

from ocw_mcp.adapters.feeds.binance.session import Session
from ocw_mcp.domain.health import FeedHealth, StreamHealth
from ocw_mcp.domain.time import SECOND


def health_of(session: Session) -> FeedHealth:
    """Return the present health. The caller is on the event loop of the session."""
    now, clock, rest = asyncio.get_running_loop().time(), session.clock, session.rest
    streams = [
        StreamHealth(
            route.name,
            route.symbol,
            None if route.seen is None else round((now - route.seen) * SECOND),
            route.refused_at is not None and (route.seen is None or route.refused_at > route.seen),
        )
        for socket in session.sockets
        for route in socket.routes
    ]
    return FeedHealth(
        streams=tuple(sorted(streams, key=lambda each: each.name)),
        incidents=dict(sorted(session.notices.counts.items())),
        messages=session.dispatcher.messages,
        reconnects=sum(max(0, socket.opened - 1) for socket in session.sockets),
        clock_offset_ms=clock.offset_ms if clock.measured else None,
        request_weight=rest.weights.used_weight,
        request_weight_limit=rest.weights.limit,
        requests_refused=rest.refused,
    )
