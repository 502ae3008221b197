"""The command `ocw regime`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ocw_mcp.app.cli import options
from ocw_mcp.app.cli.options import one_of, option, print_result
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import utc_day

if TYPE_CHECKING:
    from rich.console import RenderableType

SIMULATED_SPAN: Final = "730d"
"""The default length of a simulated market, which has no end."""


def regime(
    market: Annotated[str, typer.Argument(help="The path of a tape, or sim.", autocompletion=one_of("sim"))],
    symbol: Annotated[
        str | None, option("--symbol", "The symbol to follow; the default is BTCUSDT, or the only symbol of a tape.")
    ] = None,
    for_: Annotated[
        str | None, option("--for", f"Length to follow; the default is the whole tape, or {SIMULATED_SPAN} of sim.")
    ] = None,
    product: options.ProductOption = None,
    interval: options.IntervalOption = None,
    seed: Annotated[int, option("--seed", "Seed of the fits, and of the simulated market.", min=0)] = 1,
    picture: Annotated[
        Path | None, option("--picture", "Also draw the regime into this PNG or SVG (needs ocw-mcp[plot]).")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the volatility regime of a market over time."""
    from ocw_mcp.app.drawing import require_png_or_svg
    from ocw_mcp.app.markets import SIMULATED, open_market
    from ocw_mcp.app.output import working
    from ocw_mcp.app.parsing import parse_product, parse_span, parse_symbols
    from ocw_mcp.app.regime.days import read_days
    from ocw_mcp.app.regime.history import follow, report
    from ocw_mcp.app.regime.picture import draw

    if picture is not None:
        require_png_or_svg(picture)  # fails before the minute of work, not after it
    simulated = market == SIMULATED
    wanted, kind = parse_symbols(symbol, "--symbol"), parse_product(product)
    if len(wanted) > 1:
        raise SettingsError(f"--symbol has {len(wanted)} symbols; expected one, such as BTCUSDT")
    length = interval or ("1h" if simulated else None)
    feed = open_market(market, product=kind, interval=length, symbols=wanted, seed=seed)
    if len(feed.identity.symbols) > 1:
        feed = open_market(market, product=kind, interval=length, symbols=("BTCUSDT",), seed=seed)
    with working("reading daily candles", quiet=as_json) as show:
        days = read_days(feed, parse_span(for_ or (SIMULATED_SPAN if simulated else None)))
        if not days:
            raise SettingsError("the market has no whole day; expected a year of days or more; choose a longer tape")
        history = follow(days, seed, show)
        found = report(history, each_day=as_json)
        if picture is not None:
            show("drawing the picture")
            draw(picture, history, found)
    print_result(found, text(found), as_json, indent=None, soft_wrap=False)


def text(found: dict[str, Any]) -> "Iterator[RenderableType]":
    """Yield the report of a regime as text."""
    from ocw_mcp.app.cli.tables import Column, grid
    from ocw_mcp.app.regime.history import USE

    span = f"{utc_day(found['from'])} to {utc_day(found['to'] - 1)}"
    yield f"{found['symbol']}, {span}: {found['days']:,} days, regime known on {found['days_known']:,}"
    yield from (f"unknown on {count:,} days: {reason}" for reason, count in found["unknown"].items())
    yield _now(found["now"])
    if found["days_known"]:
        rows = found["levels"]
        yield grid(
            "levels (a volatility is a share of the price a year)",
            Column("level", list(rows)),
            Column("days", [f"{row['days']:,}" for row in rows.values()], number=True),
            Column("share", [_percent(row["share"]) for row in rows.values()], number=True),
            Column("times", [f"{row['episodes']}" for row in rows.values()], number=True),
            Column("median days", [_days(row["median_days"]) for row in rows.values()], number=True),
            Column("longest", [_days(row["longest_days"]) for row in rows.values()], number=True),
            Column(
                "next day's volatility", [_percent(row["next_day_volatility"]) for row in rows.values()], number=True
            ),
        )
        yield f"{found['changes_a_year']} changes of level a year"
        yield (
            f"the model gives one state 99 % or more on {_percent(found['sure_share'])} of the days; that is too sure, "
            "because the windows of 14 days overlap"
        )
    fits = [each for each in found["refits"] if each["states"] is not None]
    if fits:
        last = fits[-1]["candidates"]
        yield grid(
            f"last fit, {fits[-1]['at_utc'][:10]}, of {fits[-1]['rows']:,} days: the lowest thinned BIC was chosen",
            Column("states", [f"{each['states']}" for each in last], number=True),
            Column("parameters", [f"{each['parameters']}" for each in last], number=True),
            Column("log likelihood", [_number(each["log_likelihood"]) for each in last], number=True),
            Column("BIC", [_number(each["bic"]) for each in last], number=True),
            Column("thinned BIC", [_number(each["thinned_bic"]) for each in last], number=True),
            Column(
                "", [each["problem"] or ("chosen" if each["states"] == fits[-1]["states"] else "") for each in last]
            ),
        )
        counts = {number: sum(each["states"] == number for each in fits) for number in (2, 3, 4)}
        chosen = ", ".join(f"{number} states {count} times" for number, count in counts.items() if count)
        yield f"{len(found['refits'])} fits: {chosen}"
    yield USE


def _now(now: dict[str, Any]) -> str:
    if now["level"] is None:
        return f"{now['day']}: unknown, {now['unknown']}"
    lasting = "" if now["expected_days"] is None else f", expected to last {now['expected_days']:.0f} more days"
    return (
        f"{now['day']}: {now['level']} since {utc_day(now['since'] - 1)}{lasting}; probability "
        f"{now['probability']:.0%}, state {now['state'] + 1} of {len(now['probabilities'])}, "
        f"volatility {now['volatility']:.0%} a year"
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _days(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
