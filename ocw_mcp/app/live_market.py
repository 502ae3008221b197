"""Opens the live market of Binance, or the exchange of the sandbox at an address of this machine."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random  # noqa: TID251 - spreads repeated requests over time; it never enters the engine
from threading import Event
from typing import Final, NamedTuple

import httpx2
import msgspec

from ocw_mcp.adapters.binance.hosts import hosts_of
from ocw_mcp.adapters.binance.network import NetworkTransport
from ocw_mcp.adapters.binance.weights import Weights
from ocw_mcp.adapters.feeds.binance.clock import FeedClock
from ocw_mcp.adapters.feeds.binance.exchange_info import fetch_info
from ocw_mcp.adapters.feeds.binance.feed import INTERVALS, BinanceFeed
from ocw_mcp.adapters.feeds.binance.rest import RestClient, back_off_s
from ocw_mcp.adapters.feeds.binance.wire import routes_of
from ocw_mcp.adapters.venues.instruments import paper_brackets
from ocw_mcp.domain.errors import MarketUnreachable, SettingsError
from ocw_mcp.domain.market import Instrument, Product
from ocw_mcp.domain.time import MINUTE, span_ms, span_name
from ocw_mcp.runtime.clock import LiveClock, loop_speed

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
"""The symbols of the live market if none are named."""
_ANSWER_S: Final = 5.0
_PRICE_S: Final = 10.0
"""Real time (s) in which a stream has to have its first price: BTCUSDT has one every second."""
_SAMPLES: Final = 5
"""Requests for the time of a sandbox; the one with the shortest way counts."""
_CLOCK: Final = "/sandbox/clock"
_PING: Final = {Product.UM: "/fapi/v1/ping", Product.SPOT: "/api/v3/ping"}


class LiveMarket(NamedTuple):
    """A live feed and the clock that its times belong to."""

    feed: BinanceFeed
    clock: LiveClock


class ExchangeState(NamedTuple):
    """What the exchange says about itself, some symbols and this machine."""

    offset_ms: int
    """By how much the machine's clock is ahead of the exchange's, plus or minus `offset_error_ms`."""
    offset_error_ms: int
    status: Mapping[str, str]
    """The status of each symbol: TRADING, or why it does not trade."""
    weight: int
    """The weight of the requests of this machine's address in the present minute."""
    weight_limit: int
    filters: Mapping[str, Instrument]
    """The filters of each listed symbol."""
    streams: Sequence["StreamState"]


class StreamState(NamedTuple):
    """A stream connection of the exchange: its path, and what came of it."""

    path: str
    after_ms: int | None
    """The time (ms) from the request to the first price; None without one."""
    why: str = ""
    """Why no price came."""


class _SandboxClock(msgspec.Struct):
    now: int
    speed: float


def open_live(
    product: Product | None,
    symbols: Sequence[str],
    interval: str | None,
    loopback: str | None,
    progress: Callable[[float], None],
    weights: Weights | None = None,
) -> LiveMarket:
    """Return the live market of some symbols; at an address of this machine if `loopback` names one.

    `progress` gets the fetched part of the history, 0 to 1. `weights` is the budget of the host if a venue uses it as
    well. Raises SettingsError and FeedError for invalid arguments, and MarketUnreachable if there is no sandbox at
    `loopback`.
    """
    try:
        step = MINUTE if interval is None else span_ms(interval)
    except ValueError as error:
        raise SettingsError(f"--interval: {error}") from None
    if step not in INTERVALS:
        known = ", ".join(map(span_name, INTERVALS))
        raise SettingsError(f"--interval is {interval}, which the live market does not have; expected one of {known}")
    product = product or Product.UM
    hosts = hosts_of(product, loopback)
    clock = LiveClock() if loopback is None else sandbox_clock(hosts.rest)
    feed = BinanceFeed(
        product,
        [re.sub(r"[^A-Z0-9]", "", each.upper()) for each in symbols] or SYMBOLS,
        NetworkTransport(hosts, clock.machine, clock.speed),
        interval=step,
        jitter=Random().random,
        brackets=paper_brackets,
        progress=progress,
        weights=weights,
    )
    clock.follow(feed.exchange_ms)
    return LiveMarket(feed, clock)


def why_unreachable(product: Product = Product.UM, loopback: str | None = None) -> str:
    """Return why the exchange gives no answer now, in one clause; empty if it answers."""
    try:
        answer = httpx2.get(
            hosts_of(product, loopback).rest + _PING[product], timeout=_ANSWER_S, trust_env=loopback is None
        )
    except httpx2.HTTPError as error:
        return f"{type(error).__name__} {error}".strip()[:200]
    return "" if answer.is_success else f"it answers with status {answer.status_code}"


def await_sandbox(loopback: str, warn: Callable[[str], None]) -> None:
    """Wait until a sandbox exchange tells its time, for an existing book, also while it refuses other requests.

    `warn` gets one sentence if there is none, and another one when it answers. Ctrl-C ends the wait.
    """
    attempt = 0
    while why := _why_no_clock(hosts_of(Product.UM, loopback).rest):
        if attempt == 0:
            warn(f"no sandbox exchange answers at {loopback}, so this book waits for it ({why}); Ctrl-C ends the wait")
        Event().wait(back_off_s(attempt, Random().random))
        attempt += 1
    if attempt:
        warn(f"the sandbox exchange at {loopback} answers again")


def _why_no_clock(address: str) -> str:
    """Return why nothing answers a question for the time at a loopback address; empty if something does."""
    try:
        httpx2.get(address + _CLOCK, timeout=_ANSWER_S, trust_env=False)
    except httpx2.HTTPError as error:
        return f"{type(error).__name__} {error}".strip()[:200]
    return ""


def require_reachable(product: Product | None, loopback: str | None) -> None:
    """Raise MarketUnreachable if the exchange gives no answer, so that no book is created for it."""
    product = product or Product.UM
    if why := why_unreachable(product, loopback):
        who = "Binance" if loopback is None else f"{product.value} at {loopback}, which BINANCE_LOOPBACK names,"
        todo = "check the network" if loopback is None else f"start ocw sandbox binance --product {product.value}"
        raise MarketUnreachable(
            f"{who} cannot be reached, and no book was created ({why}); {todo}, or use --market sim"
        )


def ask_exchange(product: Product, symbols: Sequence[str], loopback: str | None) -> ExchangeState:
    """Return the state of the exchange for some symbols now. Raises MarketUnreachable and FeedError."""
    hosts = hosts_of(product, loopback)
    machine = LiveClock() if loopback is None else sandbox_clock(hosts.rest)

    async def ask() -> ExchangeState:
        transport = NetworkTransport(hosts, machine.present, machine.speed)
        rest = RestClient(transport, product, Random().random)
        clock = FeedClock(transport, rest, product)
        try:
            await clock.measure()
            info = await fetch_info(rest, product, symbols, paper_brackets)
            # The shortest of some requests measures the clock; half of its way is the error.
            error_ms = round(clock.round_trip_ms / 2)
            limit = info.weight_limit or rest.weights.limit
            status = {symbol: info.status.get(symbol, "not listed") for symbol in symbols}
            trading = [symbol for symbol in symbols if status[symbol] == "TRADING"]
            # Each path is a connection of its own, and may be closed off by itself.
            routes = routes_of(product, trading[:1], MINUTE) if trading else {}
            opened = [_first_price(transport, path, [each.name for each in group]) for path, group in routes.items()]
            streams = await asyncio.gather(*opened)
            return ExchangeState(
                clock.offset_ms, error_ms, status, rest.weights.used_weight, limit, info.instruments, streams
            )
        finally:
            await transport.close()

    with asyncio.Runner(loop_factory=machine.new_loop) as runner:
        return runner.run(ask())


async def _first_price(transport: NetworkTransport, path: str, names: Sequence[str]) -> StreamState:
    """Return what comes of a connection to some streams until the first message, or until _PRICE_S are over."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(_PRICE_S * loop_speed()):
            connection = await transport.connect(f"{path}/stream?streams={'/'.join(names)}")
            try:
                await connection.receive()
            finally:
                await connection.close()
    except MarketUnreachable as error:
        return StreamState(path or "/", None, str(error))
    except TimeoutError:
        return StreamState(path or "/", None, f"no price of {names[0]} and others within {_PRICE_S:g} s")
    return StreamState(path or "/", round((loop.time() - began) * 1_000 / loop_speed()))


def sandbox_clock(address: str) -> LiveClock:
    """Return a clock with the time and the speed of a sandbox exchange; that of the machine for another server."""
    best: LiveClock | None = None
    shortest = float("inf")
    try:
        with httpx2.Client(timeout=_ANSWER_S, trust_env=False) as client:
            for _ in range(_SAMPLES):
                # The answer is from the middle of the way there and back, give or take half of it.
                timer = LiveClock(first=0)
                answer = client.get(address + _CLOCK)
                if answer.status_code == httpx2.codes.NOT_FOUND:
                    return LiveClock()
                found = msgspec.json.decode(answer.content, type=_SandboxClock)
                took = timer.present()
                if took < shortest:
                    best, shortest = LiveClock(found.speed, found.now + round(took * found.speed / 2)), took
    except (httpx2.HTTPError, msgspec.MsgspecError) as error:
        raise MarketUnreachable(
            f"no sandbox exchange answers at {address}, which BINANCE_LOOPBACK names ({error}); start it with ocw "
            "sandbox binance, or remove the setting"
        ) from None
    assert best is not None
    return best
