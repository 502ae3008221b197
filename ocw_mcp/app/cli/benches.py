"""`ocw bench`: one command for each measurement. A command imports its measurement only when it runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from ocw_mcp.app.cli.options import IntervalOption, JsonOption, ProductOption, SeedOption, SymbolsOption

bench = typer.Typer(
    help="Measurements on this machine; without a name all of the engine's, which takes some minutes.",
    rich_markup_mode=None,
)

ENGINE: Final = {
    "replay": "Candles per second through the whole engine, compared with backtesting.py if that is installed.",
    "history": "Time per candle after 200,000 candles, divided by the time per candle after 10,000.",
    "gate": "Time of one gate evaluation.",
    "policies": "Time to check one entry against every policy.",
    "journal": "Time from an order's intent to its durable record, beside a bare SQLite transaction on the same disk.",
    "snapshot": "Number of characters of a snapshot as text.",
    "mcp": "Reads over MCP beside the SDK alone: in process, 50 clients over HTTP, calls and start over stdio.",
    "agent": "One decision of Claude's, answered by a stand-in: characters, rounds, cost, our own time. Two minutes.",
    "memory": "Memory of a process that runs two years of three symbols; takes some minutes.",
}


OneLineOption = Annotated[bool, typer.Option("--json", help="Print the JSON on one line. It is JSON in any case.")]


@bench.callback(invoke_without_command=True)
def usual(context: typer.Context, as_json: OneLineOption = False) -> None:
    """Measure this machine; without a name all of the engine's measurements, which takes some minutes."""
    if context.invoked_subcommand is None:
        _measure(None, as_json=as_json)


def _command(name: str) -> Callable[[bool], None]:
    def command(as_json: OneLineOption = False) -> None:
        _measure(name, as_json=as_json)

    return command


for _name, _help in ENGINE.items():
    bench.command(_name, help=_help)(_command(_name))


def _measure(chosen: str | None, *, as_json: bool) -> None:
    from ocw_mcp.app import bench as measurements

    result = measurements.measure(chosen, lambda name: typer.echo(f"measuring {name}: {ENGINE[name]}", err=True))
    typer.echo(json.dumps(result, indent=None if as_json else 2))


@bench.command("market")
def market(
    tape: Annotated[
        Path | None, typer.Option("--tape", help="Candles of the exchange's public archive to compare the market with.")
    ] = None,
    as_json: JsonOption = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Also draw the comparison into this PNG (needs ocw-mcp[plot]).")
    ] = None,
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
) -> None:
    """Compare the simulated market with a tape: tails, volatility clustering, jumps, volume, time of day, range."""
    from ocw_mcp.app.bench.market import compare, draw, require_plotting, table
    from ocw_mcp.app.cli.runs import parse_product, parse_symbols
    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.app.output import working

    if picture is not None:
        require_plotting()  # fails before the minute of work, not after it
    with working("simulating markets and measuring them", quiet=as_json) as show:
        comparison = compare(tape, parse_product(product), interval, parse_symbols(symbols), seed)
        if picture is not None:
            show("drawing the picture")
            draw(comparison, picture)
    if as_json:
        typer.echo(json.dumps(comparison.found, allow_nan=False))
    else:
        Clean(highlight=False, soft_wrap=True).print(table(comparison.found))
