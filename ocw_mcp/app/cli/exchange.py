"""The command `ocw sandbox binance`: the exchange of the sandbox on a port of this machine."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from ocw_mcp.app.cli.options import SymbolsOption, option
from ocw_mcp.app.output import say
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import DAY, SECOND, iso

if TYPE_CHECKING:
    import socket

    from ocw_mcp.sandbox.binance.faults import Fault
    from ocw_mcp.sandbox.binance.faulty import FaultyExchange
    from ocw_mcp.sandbox.binance.market import SandboxMarket

HOST: Final = "127.0.0.1"
NOW: Final = "now"
FASTEST: Final = 100_000.0
DENSEST: Final = 20.0
"""The speed above which streams that repeat a state are thinned, so that their messages a real second stay as many."""


def binance(
    faults: Annotated[
        Path | None, option("--faults", "A fault script (TOML): drops, mutes, delays, bans and others at set times.")
    ] = None,
    speed: Annotated[
        float, option("--speed", "Market time divided by real time: 1 is real time, 60 is one hour per minute.")
    ] = 1.0,
    market: Annotated[str, option("--market", "sim, or the path of a tape with candles of one minute.", "sim")] = "sim",
    product: Annotated[str | None, option("--product", "spot or um (USD-M futures).", "spot", "um")] = None,
    symbols: SymbolsOption = None,
    seed: Annotated[int, option("--seed", "Seed of the simulated market.")] = 1,
    start: Annotated[
        str | None,
        option(
            "--start",
            "The market's time at the start: now, or a time such as 2026-03-01T12:00Z. "
            "[default: now for sim; the beginning of a tape]",
            NOW,
        ),
    ] = None,
    port: Annotated[int, option("--port", "0 chooses a free port.", min=0, max=65_535)] = 0,
) -> None:
    """Serve a local exchange with the interface of Binance. No network is needed; Ctrl-C ends it.

    REST and streams are on one port, on this machine only. An account trades. Under /sandbox/ are the clock, counters,
    the account and its API keys, and faults that are added while it runs.
    """
    import asyncio

    from ocw_mcp.domain.market import Product
    from ocw_mcp.interfaces.serving import listen
    from ocw_mcp.runtime.clock import LiveClock
    from ocw_mcp.sandbox.binance.account.keys import made_key
    from ocw_mcp.sandbox.binance.exchange import Exchange
    from ocw_mcp.sandbox.binance.faulty import FaultyExchange

    if not 0 < speed <= FASTEST:
        raise SettingsError(f"--speed is {speed:g}; expected more than 0 and at most {FASTEST:,.0f}, such as 60")
    traded, begins = _market(market, product, symbols, seed, start)
    script = _script(faults)
    thin = max(1, -(-int(speed) // int(DENSEST)))
    for symbol in traded.symbols:
        traded.quote(symbol, begins if begins is not None else LiveClock().now())  # the first day takes a while to read
    if begins is None:
        begins = LiveClock().now()
    exchange = FaultyExchange(Exchange(traded), begins, script, thin)
    bound = listen(HOST, port, "--port")
    bound.listen()  # a client that reads the address may connect at once
    address = f"http://{HOST}:{bound.getsockname()[1]}"
    say(address)
    named = f"{', '.join(traded.symbols)} ({traded.product})"
    say(f"{named} from {iso(begins)} at speed {speed:g}, with {_count(script)}; Ctrl-C ends it", err=True)
    first = made_key("1")
    say(f"API key {first.key}\nsecret  {first.secret}", err=True)
    of_product = "" if traded.product is Product.UM else f" --product {traded.product}"
    way = f"BINANCE_LOOPBACK={address} ocw connect --mode demo --sandbox-key --set-up{of_product} --state DIR"
    say(f"connect a new book to its account: {way}", err=True)
    asyncio.run(_serve(exchange, begins, speed, bound))


def _count(script: "list[Fault]") -> str:
    return f"{len(script)} fault{'' if len(script) == 1 else 's'} planned" if script else "no faults planned"


def _script(path: Path | None) -> "list[Fault]":
    """Return the faults of a script. Raises SettingsError."""
    from ocw_mcp.app.settings import read_text
    from ocw_mcp.sandbox.binance.faults import load_script

    return load_script(read_text(path), path.name) if path is not None else []


def _market(
    market: str, product: str | None, symbols: str | None, seed: int, start: str | None
) -> "tuple[SandboxMarket, int | None]":
    """Return the market of the options, and the time (ms) at which its clock starts; None for the present.

    Raises SettingsError and TapeError.
    """
    from ocw_mcp.adapters.feeds.simulated.feed import SYMBOLS
    from ocw_mcp.domain.market import Product
    from ocw_mcp.runtime.clock import LiveClock
    from ocw_mcp.sandbox.binance.market import SandboxMarket

    if product is not None and product not in list(Product):
        raise SettingsError(f"--product is {product[:40]!r}; expected spot or um")
    chosen = tuple(name for each in (symbols or "").split(",") if (name := each.strip().upper()))
    kind = Product(product) if product is not None else None
    now = LiveClock().now()
    at = _time(start) if start is not None and start != NOW else None
    if market == "sim":
        day = (at if at is not None else now) // DAY * DAY
        return SandboxMarket.simulated(seed, chosen or SYMBOLS, kind or Product.UM, day), at
    traded = SandboxMarket.recorded(Path(market), kind, chosen, now if start == NOW else at)
    return traded, traded.start if start is None else at


def _time(text: str) -> int:
    """Return a time (ms). Raises SettingsError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"--start is {text[:40]!r}; expected now, or a time such as 2026-03-01T12:00Z") from None
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        found = found.replace(tzinfo=UTC)
    if found.tzinfo is None:
        raise SettingsError(f"--start is {text[:40]!r}, without a time zone; write {text[:16]}Z for UTC")
    return int(found.timestamp() * SECOND)


async def _serve(exchange: "FaultyExchange", begins: int, speed: float, bound: "socket.socket") -> None:
    """Serve until a signal arrives, and report each fault on standard error."""
    import asyncio
    import signal

    from ocw_mcp.sandbox.binance.server import MarketClock, SandboxServer

    def report(at: int, line: str) -> None:
        say(f"{iso(at)} {line}", err=True)

    stopped, clock = asyncio.Event(), MarketClock(begins, speed)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with SandboxServer(exchange, clock, report).serving(bound):
        await stopped.wait()
    found = exchange.counters(clock.now())
    applied = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found["faults"].items())) or "none"
    say(
        f"ended after {found['running']} of market time: {sum(found['requests'].values()):,} requests, "
        f"{found['messages'].get('sent', 0):,} messages; faults: {applied}",
        err=True,
    )
