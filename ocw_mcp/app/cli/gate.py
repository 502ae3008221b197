"""`ocw gate-report`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocw_mcp.app.cli.options import (
    IntervalOption,
    JsonOption,
    PoliciesOption,
    PolicyOption,
    ProductOption,
    SeedOption,
    SymbolsOption,
    one_of,
)

if TYPE_CHECKING:
    from rich.console import Console

MONTH = "30d"
"""The default length of a report on the simulated market, which has no end."""


def gate_report(
    market: Annotated[str, typer.Argument(help="sim, or the path of a tape.", autocompletion=one_of("sim"))],
    for_: Annotated[
        str | None,
        typer.Option("--for", help=f"Simulated time to run; the default is the whole tape, or {MONTH} of sim."),
    ] = None,
    policies: PoliciesOption = None,
    policy: PolicyOption = "default",
    product: ProductOption = None,
    interval: IntervalOption = None,
    symbols: SymbolsOption = None,
    seed: SeedOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Show how often the gate wakes on a market without trades, and which of the largest moves it misses."""
    from ocw_mcp.app import log
    from ocw_mcp.app.cli.tables import Clean
    from ocw_mcp.app.gate_report import measure
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols
    from ocw_mcp.app.policy_loader import load_policies, load_prompts
    from ocw_mcp.app.settings import LogLevel

    log.configure(LogLevel.INFO, quiet=True)
    feed = open_market(
        market, product=parse_product(product), interval=interval, symbols=parse_symbols(symbols), seed=seed
    )
    for_ms = parse_span(for_ or (MONTH if market == SIMULATED else None))
    with working("running the gate over the market", quiet=as_json):
        found = measure(feed, load_policies(policies, policy), load_prompts(None), for_ms)
    if as_json:
        print(json.dumps(found))  # noqa: T201 - the result
    else:
        _show(found, Clean(highlight=False, soft_wrap=True))


def _show(found: dict[str, Any], console: "Console") -> None:
    from rich.table import Table

    from ocw_mcp.domain.time import iso

    if not found["candles"]:
        console.print("no candle closed, so there is nothing to report")
        return
    span = f"{iso(found['from'])[:16]} to {iso(found['to'])[:16]}"
    console.print(f"{', '.join(found['symbols'])}, {span} UTC: {found['days']} days, {found['candles']:,} candles")
    gap = found["median_gap_min"]
    between = f", {gap:g} min between two wakes (median)" if gap is not None else ""
    console.print(f"{found['skip_rate']:.2%} of evaluations skipped; {found['wakes_a_day']:g} wakes per day{between}")
    reasons = ", ".join(f"{name} {count}" for name, count in found["reasons"].items())
    console.print(f"wakes by reason: {reasons}", style="dim")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("moves over", "smallest", "moves", "missed", "by chance", "woken after"):
        table.add_column(name, justify="left" if name == "moves over" else "right")
    for each in found["moves"]:
        least = [f"{share:.2%}" for share in sorted(each["least"].values())]
        table.add_row(
            each["over"],
            least[0] if len(least) == 1 else f"{least[0]} to {least[-1]}" if least else "",
            str(each["moves"]),
            "" if each["miss_rate"] is None else f"{each['missed']} ({each['miss_rate']:.0%})",
            f"{each['by_chance']:.0%}",
            "" if each["median_delay_min"] is None else f"{each['median_delay_min']:g} min",
        )
    console.print(table)
    console.print(
        f"a move is one of the largest {found['largest']:.1%} of returns over a span, found with hindsight", style="dim"
    )


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gate-report")(gate_report)
