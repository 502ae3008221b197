"""The command `ocw macro`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ocw_mcp.app.cli import options
from ocw_mcp.app.cli.options import option, print_result
from ocw_mcp.domain.errors import SettingsError
from ocw_mcp.domain.time import day_begins, utc_day

if TYPE_CHECKING:
    from rich.console import RenderableType

FIRST: Final = "2003-01-01"


def macro(
    files: Annotated[
        Path | None,
        typer.Argument(help="A directory of CSV files of FRED; the default is MACRO_DIR, or else FRED itself."),
    ] = None,
    begin: Annotated[str, option("--from", "The first day.")] = FIRST,
    env: Annotated[Path | None, option("--env", "A file of settings, as for ocw run.")] = None,
    picture: Annotated[
        Path | None, option("--picture", "Also draw the quadrants into this PNG or SVG (needs ocw-mcp[plot]).")
    ] = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the macro quadrant of each day, beside recessions.

    A quadrant follows from what was published by its day; the recessions are those of the NBER.
    """
    from ocw_mcp.app.drawing import require_png_or_svg
    from ocw_mcp.app.macro.history import from_files, from_fred, report
    from ocw_mcp.app.macro.picture import draw
    from ocw_mcp.app.output import working
    from ocw_mcp.app.settings import load_settings

    if picture is not None:
        require_png_or_svg(picture)
    settings = load_settings(env, None, os.environ)
    try:
        first = day_begins(begin)
    except ValueError:
        raise SettingsError(f"--from is {begin!r}; expected a day such as {FIRST}") from None
    directory = files or settings.macro_dir
    with working("reading the series", quiet=as_json) as show:
        past = from_fred(settings, first) if directory is None else from_files(directory, first)
        found = report(past, each_day=as_json)
        if picture is not None:
            show("drawing the picture")
            draw(picture, past, found)
    print_result(found, text(found), as_json, indent=None, soft_wrap=False)


def text(found: dict[str, Any]) -> "Iterator[RenderableType]":
    """Yield the report of the quadrants as text."""
    from ocw_mcp.app.cli.tables import Column, grid

    span = f"{utc_day(found['from'])} to {utc_day(found['to'])}"
    yield f"{span}: {found['days']:,} days, known on {found['days_known']:,}"
    yield from (f"unknown on {count:,} days: {reason}" for reason, count in found["unknown"].items())
    now = found["now"]
    if now["quadrant"] is None:
        yield f"{now['day']}: unknown, {now['unknown']}"
    else:
        yield (
            f"{now['day']}: {now['quadrant']} since {now['since']}; growth {now['growth']:+.2f}, inflation "
            f"{now['inflation']:+.2f}"
        )
        rows = now["series"]
        yield grid(
            "newest values",
            Column("series", [each["name"] for each in rows]),
            Column("value", [f"{each['value']:,.8g}" for each in rows], number=True),
            Column(
                "change", ["-" if each["change"] is None else f"{each['change']:+,.6g}" for each in rows], number=True
            ),
            Column("of", [each["date"] for each in rows]),
        )
    rows = found["quadrants"]
    yield grid(
        "quadrants",
        Column("quadrant", list(rows)),
        Column("days", [f"{row['days']:,}" for row in rows.values()], number=True),
        Column("share", [_percent(row["share"]) for row in rows.values()], number=True),
        Column("times", [f"{row['spells']}" for row in rows.values()], number=True),
        Column("median days", [_days(row["median_days"]) for row in rows.values()], number=True),
        Column("longest", [_days(row["longest_days"]) for row in rows.values()], number=True),
        Column("of it in recession", [_percent(row["recession_share"]) for row in rows.values()], number=True),
    )
    for each in found["recessions"]:
        read = "never" if each["falling_from"] is None else f"from {each['falling_from']} to {each['falling_to']}"
        yield f"recession {each['from']} to {each['to']}: growth was read as falling {read}"
    if found["recession_days"]:
        yield (
            f"growth was read as falling on {found['falling_in_recession']:,} of {found['recession_days']:,} days of "
            f"recession, and on {found['falling_days'] - found['falling_in_recession']:,} other days"
        )
    if not found["first_releases"]:
        yield "prices and unemployment are today's values, which may have been revised since their first release"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _days(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
