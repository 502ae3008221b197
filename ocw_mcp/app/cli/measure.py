"""Commands that measure: `ocw bench`; and `ocw sandbox`, servers to test the engine against."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ocw_mcp.app.cli import exchange, options
from ocw_mcp.app.cli.options import group, option, print_json, print_result
from ocw_mcp.domain.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ocw_mcp.app.bench.seat import Table
    from ocw_mcp.domain.protocols import Feed

bench = typer.Typer(rich_markup_mode=None)
sandbox = group("Local stand-ins for external services, to test against.")

ENGINE: Final = {
    "replay": "Candles per second through the whole engine. backtesting.py, if installed, is measured beside it.",
    "history": "Time per candle after 200,000 candles. It is divided by the time per candle after 10,000.",
    "feed": "The live feed with engine and gate, beside a bare loop. Speed, a burst, latency, a day of faults.",
    "gate": "Time of one gate evaluation.",
    "policies": "Time to check one entry against every policy.",
    "journal": "Time from an order's intent to its durable record. A bare SQLite transaction is measured beside it.",
    "venue": "Time to send an order, beside ccxt. Then restarts with open orders, stops and memory. Some minutes.",
    "snapshot": "Number of characters of a snapshot as text.",
    "mcp": "Reads over MCP beside the SDK alone. In process, 50 clients over HTTP, calls and start over stdio.",
    "answers": "Characters of each MCP tool and of its longest answer.",
    "agent": "One decision of Claude's, answered by a stand-in. Characters, rounds, cost, our own time. Two minutes.",
    "outside": "Delays of the event loop while outside sources misbehave. They hang, flood and send hostile texts.",
    "derivatives": "Request weight of thirty symbols. As a share of what the exchange allows, usual and extreme.",
    "regime": "Time of a refit of the regime in a worker. The delays of the event loop meanwhile.",
    "learning": "What the learning of signals gains on markets of known truth. Its speed. One to two minutes.",
    "memory": "Memory of a process that runs two years of three symbols. It takes some minutes.",
}
HOST: Final = "127.0.0.1"

OneLineOption = Annotated[bool, option("--json", "Print the JSON on one line. It is JSON in any case.")]


@bench.callback(invoke_without_command=True)
def usual(context: typer.Context, as_json: OneLineOption = False) -> None:
    """Measure this machine. Without a command all measurements of the engine run, which takes some minutes."""
    if context.invoked_subcommand is None:
        _measure(None, as_json)


def _measure(chosen: str | None, as_json: bool) -> None:
    from ocw_mcp.app import bench as measurements

    result = measurements.measure(chosen, lambda name: typer.echo(f"measuring {name}: {ENGINE[name]}", err=True))
    print_json(result, indent=None if as_json else 2)


def _measurement(name: str) -> Callable[[bool], None]:
    def command(as_json: OneLineOption = False) -> None:
        _measure(name, as_json)

    return command


for _name, _help in ENGINE.items():
    if _name != "agent":
        bench.command(_name, help=_help)(_measurement(_name))


@bench.command("agent", help=f"{ENGINE['agent']} With --tape or --memory, whole runs.")
def agent(
    tape: Annotated[
        Path | None, option("--tape", "Only count the wakes at which Claude is asked, over the candles of this tape.")
    ] = None,
    memory: Annotated[bool, option("--memory", "Only compare the same run with the memory and without it.")] = False,
    for_: Annotated[str | None, option("--for", "Length of such a run. [default: 30d, with --memory 7d]")] = None,
    as_json: OneLineOption = False,
    product: options.ProductOption = None,
    symbols: options.SymbolsOption = None,
    seed: options.SeedOption = 1,
) -> None:
    """Measure the decisions of Claude with a stand-in for the model."""
    from ocw_mcp.app.bench.agent_runs import measure_memory, measure_month
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols

    if tape is None and not memory:
        if (product, symbols, for_) != (None, None, None):
            raise SettingsError("--product, --symbols and --for need --tape or --memory; add one, or omit them")
        _measure("agent", as_json)
        return
    market = SIMULATED if tape is None else str(tape)

    def opened() -> "Feed":
        return open_market(market, product=parse_product(product), symbols=parse_symbols(symbols), seed=seed)

    found = (measure_memory if memory else measure_month)(opened, parse_span(for_))
    print_json(found, indent=None if as_json else 2)


@bench.command("market")
def market(
    tape: Annotated[
        Path | None, option("--tape", "Candles of the exchange's public archive to compare the market with.")
    ] = None,
    as_json: options.JsonOption = False,
    picture: Annotated[
        Path | None, option("--picture", "Also draw the comparison into this PNG (needs ocw-mcp[plot]).")
    ] = None,
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    symbols: options.SymbolsOption = None,
    seed: options.SeedOption = 1,
) -> None:
    """Compare the simulated market with a tape. Tails, volatility, jumps, volume, time of day and range are shown."""
    from ocw_mcp.app.bench.market import compare, draw, table
    from ocw_mcp.app.drawing import require_png
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_symbols

    if picture is not None:
        require_png(picture)  # fails before the minute of work, not after it
    with working("simulating markets and measuring them", quiet=as_json) as show:
        comparison = compare(tape, parse_product(product), interval, parse_symbols(symbols), seed)
        if picture is not None:
            show("drawing the picture")
            draw(comparison, picture)
    print_result(comparison.found, [table(comparison.found)], as_json, indent=None)


@bench.command("seat")
def seat(
    model: Annotated[
        str | None, option("--model", "The model to ask; the default is CLAUDE_MODEL, or the model of ocw run.")
    ] = None,
    case: Annotated[str, option("--case", "Only the situations with such names: spot*.")] = "*",
    usd: Annotated[float, option("--usd", "The most that all answers may cost, in USD.", min=0)] = 2.0,
    env: Annotated[
        Path | None, option("--env", "A file of settings; environment variables take precedence over it.")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Ask a model what it would do in some situations. Its answers are graded; without a key nothing is run."""
    import asyncio
    import os
    from decimal import Decimal

    import msgspec

    from ocw_mcp.agent.client import SdkMessages, credentials
    from ocw_mcp.agent.messages import Trouble
    from ocw_mcp.app import log
    from ocw_mcp.app.bench.seat import Table, ask
    from ocw_mcp.app.bench.situations import load
    from ocw_mcp.app.claude import MODEL
    from ocw_mcp.app.output import working
    from ocw_mcp.app.settings import LogLevel, load_settings

    log.configure(LogLevel.WARNING, quiet=True)
    settings = load_settings(env, None, os.environ)
    found = credentials(settings.anthropic_api_key, settings.anthropic_auth_token, settings.anthropic_base_url)
    messages = found if isinstance(found, Trouble) else SdkMessages(found)
    name = model or settings.claude_model or MODEL
    situations = tuple(load(case).values())

    async def run(show: Callable[[str], None]) -> Table:
        try:
            return await ask(situations, messages, name, Decimal(str(usd)), show)
        finally:
            if isinstance(messages, SdkMessages):
                await messages.close()

    with working(f"asking {name}", quiet=as_json) as show:
        table = asyncio.run(run(show))
    print_result(msgspec.to_builtins(table), _seat_table(table), as_json, indent=None)


def _seat_table(table: "Table") -> "Iterator[RenderableType]":
    from collections import Counter

    from ocw_mcp.app.cli.tables import Column, grid

    yield grid(
        f"{table.model} in {len(table.rows)} situations",
        Column("situation", [row.name for row in table.rows]),
        Column("outcome", [row.outcome for row in table.rows]),
        Column("USD", [f"{row.usd:.4f}" if row.calls else "-" for row in table.rows], number=True),
        Column("answer", [row.answer for row in table.rows], wraps=True),
    )
    counts = Counter(row.outcome for row in table.rows)
    yield ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    if table.remark:
        yield table.remark


def _characters(incomplete: str) -> list[str]:
    from ocw_mcp.sandbox.claude.characters import CHARACTERS

    return [name for name in CHARACTERS if name.startswith(incomplete)]


sandbox.command()(exchange.binance)


@sandbox.command()
def claude(
    character: Annotated[
        str,
        typer.Option(
            "--character", help="The behaviour of the answers; an unknown name lists all.", autocompletion=_characters
        ),
    ] = "trader",
    port: Annotated[int, option("--port", "0 chooses a free port.", min=0, max=65_535)] = 0,
    seed: Annotated[int, option("--seed", "Seed of the character's random choices.")] = 1,
) -> None:
    """Serve a Messages API with scripted answers, not a model. No key or network is needed; Ctrl-C ends it."""
    import asyncio

    import uvicorn

    from ocw_mcp.interfaces.serving import listen
    from ocw_mcp.runtime.clock import LiveClock
    from ocw_mcp.sandbox.claude.app import MessagesApi
    from ocw_mcp.sandbox.claude.characters import CHARACTERS

    if character not in CHARACTERS:
        raise SettingsError(f"--character is {character[:40]!r}; expected one of {', '.join(CHARACTERS)}")
    bound = listen(HOST, port, "--port")
    app = MessagesApi(CHARACTERS[character], LiveClock(), seed).application()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    typer.echo(f"ANTHROPIC_BASE_URL=http://{HOST}:{bound.getsockname()[1]}")
    typer.echo(f"the {character} answers at this address, and accepts any key; Ctrl-C ends it", err=True)
    asyncio.run(server.serve([bound]))
