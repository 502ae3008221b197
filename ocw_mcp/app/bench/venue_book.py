"""A whole book that trades on the sandbox exchange in virtual time: how soon its stops are in place, and its memory.

Each request to the exchange takes a random time. `python -m ocw_mcp.app.bench.venue_book MINUTES` prints the memory of
such a book, in a process of its own; with `paper` after it, of a book on paper in the same market.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from random import Random  # noqa: TID251 - the delays of the network in a benchmark, seeded
from typing import Any, Final

from ocw_mcp.adapters.binance.transport import Connection, RestResponse
from ocw_mcp.adapters.feeds.binance import BinanceFeed
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.app.bench.feed_day import VirtualClock, process_bytes
from ocw_mcp.app.bench.fixtures import open_book
from ocw_mcp.app.bench.live_day import START
from ocw_mcp.app.bench.venue_wire import percentile
from ocw_mcp.app.exchange_access import ExchangeAccess
from ocw_mcp.app.policy_loader import LoadedPolicies, load_policies
from ocw_mcp.domain import events
from ocw_mcp.domain.causes import Cause, CauseKind
from ocw_mcp.domain.decision import Action, Decision, Leg
from ocw_mcp.domain.market import Frame, MarketIdentity, Product
from ocw_mcp.domain.orders import Purpose
from ocw_mcp.domain.policies import Policies
from ocw_mcp.domain.protocols import ExchangeVenue
from ocw_mcp.domain.snapshot import DecisionRequest
from ocw_mcp.domain.state import Mode
from ocw_mcp.domain.time import HOUR, MINUTE, SECOND
from ocw_mcp.runtime.clock import LiveClock
from ocw_mcp.sandbox.binance.exchange import Exchange
from ocw_mcp.sandbox.binance.faulty import FaultyExchange
from ocw_mcp.sandbox.binance.inprocess import InProcessTransport
from ocw_mcp.sandbox.binance.market import SandboxMarket
from ocw_mcp.sandbox.virtual_time import VirtualTimeLoop

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
ROUND_TRIP_MS: Final = 100
"""The mean time of a request; each one takes between half and one and a half of it, evenly distributed."""
MOST_ROUND_TRIPS: Final = 2.0
_BEGINS_MS: Final = HOUR + MINUTE // 2
"""The time (ms) from the beginning of the market to that of the book."""
_GRAIN_MS: Final = 25
_WIDE: Final[dict[str, dict[str, Any]]] = {
    "symbols": {"allow": SYMBOLS},
    "positions": {"max_open": len(SYMBOLS)},
    "drawdown": {"max_share": 1},
    "daily_loss": {"max_share": 1},
    "losses": {"in_a_row": 100, "pause_s": 0},
    "pace": {
        "entries_per_minute": 1_000,
        "entries_per_day": 100_000,
        "max_turnover": 1_000,
        "max_fees": 1,
        "reductions_per_minute": 1_000,
        "reentry_s": 0,
    },
    "gate": {"close_wakes": ("1m",), "cooldown_s": 0},
}
"""The limits that would stop a book which trades every minute."""


class Slow(InProcessTransport):
    """The way to the exchange, with a random time for each request and each message."""

    def __init__(self, exchange: FaultyExchange, start: int, draw: Random) -> None:
        super().__init__(exchange, start, grain_ms=_GRAIN_MS, round_trip_ms=0)
        self._draw = draw
        self.took_ms: list[float] = []
        """The times of all requests."""

    async def request(
        self, method: str, path: str, query: str = "", form: str = "", headers: Mapping[str, str] | None = None
    ) -> RestResponse:
        there, back = _one_way_s(self._draw), _one_way_s(self._draw)
        self.took_ms.append((there + back) * SECOND)
        await asyncio.sleep(there)  # noqa: TID251 - virtual time
        answer = await super().request(method, path, query, form, headers)
        await asyncio.sleep(back)  # noqa: TID251 - virtual time
        return answer

    async def connect(self, path: str) -> Any:
        return _SlowConnection(await super().connect(path), self._draw)


class _SlowConnection:
    """A stream connection whose messages take a random time."""

    def __init__(self, connection: Connection, draw: Random) -> None:
        self._connection, self._draw = connection, draw
        self.send, self.close = connection.send, connection.close

    async def receive(self) -> Sequence[bytes | str]:
        messages = await self._connection.receive()
        await asyncio.sleep(_one_way_s(self._draw))  # noqa: TID251 - virtual time
        return messages


def _one_way_s(draw: Random) -> float:
    return draw.uniform(0.25, 0.75) * ROUND_TRIP_MS / SECOND


class _Trades:
    """Opens a position in each symbol in one minute, and closes it in the next."""

    name = "bench"

    def thinking_ms(self, request: DecisionRequest) -> int:
        return 0

    async def decide(self, request: DecisionRequest) -> Decision:
        legs = []
        for symbol, view in request.snapshot.symbols.items():
            if view.position is not None:
                legs.append(Leg(symbol, Action.SELL))
            elif isinstance(view.last, float):
                legs.append(Leg(symbol, Action.BUY, size="0.05", stop=f"{view.last * 0.98:.6g}"))
        return Decision(tuple(legs)) if legs else Decision(cause=Cause(CauseKind.NOTHING_TO_DO))


class _Ending:
    """The live feed until a time of the exchange (ms)."""

    def __init__(self, feed: BinanceFeed, transport: InProcessTransport, until: int) -> None:
        self._feed, self._transport, self._until = feed, transport, until
        self.watch, self.resume_at = feed.watch, feed.resume_at

    @property
    def identity(self) -> MarketIdentity:
        return self._feed.identity

    async def frames(self, after: int | None = None) -> AsyncGenerator[Frame, None]:
        async with aclosing(self._feed.frames(after)) as frames:
            async for frame in frames:
                if self._transport.exchange_ms() >= self._until:
                    return
                yield frame


class _Stops:
    """From the first fill of each position to the acceptance of its stop, in engine time."""

    def __init__(self) -> None:
        self._filled: dict[str, int] = {}
        self.waited_ms: list[float] = []
        self.entries = 0

    def note(self, at: int, event: events.DomainEvent) -> None:
        """Take an event of the journal."""
        match event:
            case events.OrderFilled(ref=ref, symbol=symbol) if ref.leg is Purpose.ENTRY:
                self.entries += symbol not in self._filled
                self._filled.setdefault(symbol, at)
            case events.PositionProtected(symbol=symbol) if symbol in self._filled:
                self.waited_ms.append(at - self._filled.pop(symbol))


def sandbox_market() -> SandboxMarket:
    """Return the market of the measured book."""
    return SandboxMarket.simulated(7, SYMBOLS, Product.UM, START)


def measure_stops(minutes: int, market: SandboxMarket) -> dict[str, Any]:
    """Return the times from the report of a fill to the acceptance of the stop, in round trips."""
    stops, took_ms = _Stops(), list[float]()
    _run(minutes, market, stops, took_ms)
    return {
        "round_trip_ms": ROUND_TRIP_MS,
        "minutes": minutes,
        "positions": stops.entries,
        "stops": len(stops.waited_ms),
        "stop_p50_round_trips": _round_trips(stops.waited_ms, 50),
        "stop_p99_round_trips": _round_trips(stops.waited_ms, 99),
        "stop_p99_round_trips_at_most": MOST_ROUND_TRIPS,
        "request_p99_round_trips": _round_trips(took_ms, 99),
    }


def _round_trips(values: list[float], percent: float) -> float:
    return round(percentile(values, percent) / ROUND_TRIP_MS, 2)


def _run(minutes: int, market: SandboxMarket, stops: _Stops, took_ms: list[float], *, paper: bool = False) -> None:
    """Run a new book to its end."""
    loop, begin = VirtualTimeLoop(), market.start + _BEGINS_MS
    clock = VirtualClock(loop, begin)

    async def main() -> None:
        exchange = FaultyExchange(Exchange(market), begin, thin=20)
        way, signed = InProcessTransport(exchange, begin), Slow(exchange, begin, Random(7))
        numbers = count()
        feed = BinanceFeed(
            Product.UM,
            market.symbols,
            way,
            jitter=lambda: next(numbers) * 0.37 % 1,
            warmup_days=0,
            tick_ms=5 * SECOND,
            brackets=paper_brackets,
        )
        access = None if paper else await _access(signed, market.symbols)
        ending = _Ending(feed, way, begin + minutes * MINUTE)
        with open_book(
            ending, _policies(), make_decider=lambda _: _Trades(), clock=clock, access=access, listener=stops.note
        ) as (book, _):
            await book.run.run("bench")
        took_ms.extend(signed.took_ms)
        for each in (way, signed):
            await each.close()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


async def _access(transport: InProcessTransport, symbols: Sequence[str]) -> ExchangeAccess:
    """Set the account up, and return it for a demo run."""
    # ccxt is imported here, so that a book on paper is measured without it.
    from ocw_mcp.adapters.binance.api_key import ApiKey
    from ocw_mcp.adapters.venues.binance.client import SignedClient
    from ocw_mcp.adapters.venues.binance.venue import BinanceVenue
    from ocw_mcp.sandbox.binance.account.keys import made_key

    key = made_key("1")

    def client() -> SignedClient:
        return SignedClient(transport, ApiKey(key.key, key.secret), Mode.DEMO, loopback="127.0.0.1:1")

    def make_venue(book: str, symbols: tuple[str, ...], clock: LiveClock) -> ExchangeVenue:
        return BinanceVenue(client(), book, symbols)

    for symbol in symbols:
        parameters = {"symbol": symbol, "marginType": "ISOLATED"}
        await client().call("POST", "/fapi/v1/marginType", parameters, weight=1)
    return ExchangeAccess(Mode.DEMO, "bench", make_venue)


def _policies() -> LoadedPolicies:
    loaded = load_policies(None)
    data = loaded.policies.model_dump()
    for table, changes in _WIDE.items():
        data[table] |= changes
    return replace(loaded, policies=Policies.model_validate(data))


if __name__ == "__main__":
    _run(int(sys.argv[1]), sandbox_market(), _Stops(), [], paper="paper" in sys.argv[2:])
    sys.stdout.write(str(process_bytes()))
