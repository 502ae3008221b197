"""`ocw bench`: one command for each measurement. What they need is imported when one is asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from ocw_mcp.app.cli.options import IntervalOption, JsonOption, ProductOption, SeedOption, SymbolsOption

bench = typer.Typer(
    help="Measurements on this machine; without a name all of the engine's, in some minutes.", rich_markup_mode=None
)

ENGINE: Final = {
    "replay": "Candles a second through the whole engine; beside backtesting.py, where that is installed.",
    "history": "What a candle costs after 200,000 others over what it costs after 10,000.",
    "gate": "One look of the gate.",
    "policies": "One entry held against every policy.",
    "journal": "From an order's intent to its being durable, beside a bare SQLite transaction on the same disk.",
    "snapshot": "How many characters a snapshot has as text.",
    "mcp": "Looks over MCP beside the SDK alone: in process, 50 clients over HTTP, calls and start over stdio.",
    "agent": "A decision of Claude's: characters, rounds, money, our own time; a stand-in answers. Up to two minutes.",
    "memory": "Two years of three symbols in a process of its own; takes some minutes.",
}


OneLineOption = Annotated[bool, typer.Option("--json", help="On one line. It is JSON in any case.")]


@bench.callback(invoke_without_command=True)
def usual(context: typer.Context, as_json: OneLineOption = False) -> None:
    """Measurements on this machine; without a name all of the engine's, in some minutes."""
    if context.invoked_subcommand is None:
        _measure(None, as_json=as_json)


def _command(name: str) -> Callable[[bool], None]:
    def command(as_json: OneLineOption = False) -> None:
        _measure(name, as_json=as_json)

    return command


for _name, _help in ENGINE.items():
    bench.command(_name, help=_help)(_command(_name))


def _measure(what: str | None, *, as_json: bool) -> None:
    from ocw_mcp.app import bench as measurements

    result = measurements.measure(what, lambda name: typer.echo(f"measuring {name}: {ENGINE[name]}", err=True))
    typer.echo(json.dumps(result, indent=None if as_json else 2))


@bench.command("market")
def market(
    tape: Annotated[
        Path | None, typer.Option("--tape", help="Candles of the exchange's public archive to compare with.")
    ] = None,
    as_json: JsonOption = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw it into this PNG file, too; needs the extra plot.")
    ] = None,
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
) -> None:
    """How real the simulated market is, beside a tape: tails, memory of volatility, jumps, volume, season, range."""
    from ocw_mcp.app.bench.market import compare, table
    from ocw_mcp.app.bench.market import picture as pictures
    from ocw_mcp.app.cli.runs import parse_product, parse_symbols
    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.app.output import working

    if picture is not None:
        pictures.require_plotting()  # told before the minute of work, not after it
    with working("simulating markets and measuring them", quiet=as_json) as tell:
        comparison = compare(tape, parse_product(product), interval, parse_symbols(symbols), seed)
        if picture is not None:
            tell("drawing the picture")
            pictures.draw(comparison, picture)
    if as_json:
        typer.echo(json.dumps(comparison.found, allow_nan=False))
    else:
        Clean(highlight=False, soft_wrap=True).print(table(comparison.found))
