"""The command `ocw gate-report`."""

import math
from pathlib import Path
from typing import Annotated, Final

import typer

from ocw_mcp.app.cli import options
from ocw_mcp.app.cli.options import one_of, option, print_result
from ocw_mcp.domain.errors import SettingsError

MONTH: Final = "30d"
"""The default length of a gate report on the simulated market, which has no end."""


def gate_report(
    market: Annotated[str, typer.Argument(help="sim, or the path of a tape.", autocompletion=one_of("sim"))],
    for_: Annotated[
        str | None, option("--for", f"Simulated time to run; the default is the whole tape, or {MONTH} of sim.")
    ] = None,
    policies: options.PoliciesOption = None,
    policy: options.PolicyOption = "default",
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    symbols: options.SymbolsOption = None,
    seed: options.SeedOption = 1,
    usd_per_wake: Annotated[
        float | None,
        option("--usd-per-wake", "Cost of a wake in USD. The default is measured with a warm prompt cache."),
    ] = None,
    picture: Annotated[
        Path | None,
        option(
            "--picture",
            "Also run the gates of the shipped policies, and draw what each meets at how many wakes into this PNG or "
            "SVG (needs ocw-mcp[plot]).",
        ),
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show how often the gate wakes, and which moves it meets. Nothing is traded."""
    from ocw_mcp.app import log
    from ocw_mcp.app.cli.gate_text import text
    from ocw_mcp.app.drawing import require_png_or_svg
    from ocw_mcp.app.gate_report import curve
    from ocw_mcp.app.gate_report.report import USD_PER_WAKE, measure
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols
    from ocw_mcp.app.policy_loader import load_policies, load_prompts
    from ocw_mcp.app.settings import LogLevel

    usd = USD_PER_WAKE if usd_per_wake is None else usd_per_wake
    if not (math.isfinite(usd) and usd >= 0):
        raise SettingsError(f"--usd-per-wake is {usd:g}; expected a cost in USD, 0 or more; use one such as 0.01")
    if picture is not None:
        require_png_or_svg(picture)  # fails before the minute of work, not after it
    log.configure(LogLevel.INFO, quiet=True)
    feed = open_market(
        market, product=parse_product(product), interval=interval, symbols=parse_symbols(symbols), seed=seed
    )
    for_ms = parse_span(for_ or (MONTH if market == SIMULATED else None))
    loaded, prompts = load_policies(policies, policy), load_prompts(None)
    with working("running the gate over the market", quiet=as_json) as show:
        found, judged = measure(feed, loaded, prompts, for_ms, usd)
        if picture is not None and judged is not None:
            found["curve"] = curve.trace(found, judged, feed, loaded, prompts, for_ms, show)
            show("drawing the picture")
            curve.draw(picture, found)
    print_result(found, text(found), as_json, indent=None, soft_wrap=False)
